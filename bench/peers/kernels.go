package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// kernelReport is what the machine can do, and what kernels make of it.
type kernelReport struct {
	Machine machine   `json:"machine"`
	Peak    float64   `json:"peak_gflops"` // of the fused multiply-adds of one thread
	Read    []float64 `json:"read_gbs"`    // 10^9 bytes a second that 1, 2 … threads read from memory
	Copy    []float64 `json:"copy_gbs"`    // that they copy, read and written ones counted
	BLAS    string    `json:"blas"`        // NumPy's
	Kernels []kernel  `json:"kernels"`
}

// kernel is the best implementation's rate for a case, of one thread.
type kernel struct {
	Package string  `json:"package"` // blas for NumPy's
	Case    string  `json:"case"`
	GFLOPS  float64 `json:"gflops"`
}

// measureKernels runs the benchmarks of the kernels in the module at root,
// whose packages only their own tests can call, then NumPy's products.
func measureKernels(ctx context.Context, root, python, dir string) (kernelReport, error) {
	r := kernelReport{Machine: thisMachine()}
	for threads := 1; threads <= r.Machine.CPUs; threads++ {
		r.Read = append(r.Read, bandwidth(threads, 1, func(to, from []byte) { bytes.IndexByte(from, 1) }))
		r.Copy = append(r.Copy, bandwidth(threads, 2, func(to, from []byte) { copy(to, from) }))
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", ".", "-benchtime", "200ms", "-skip", "./^go_|././_go",
		"./ops/internal/conv", "./ops/internal/winograd", "./ops/internal/dwconv", "./ops/internal/gemm")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("kernels: %w: %s", err, out)
	}
	if r.Kernels, r.Peak, err = parseBenchmarks(bytes.NewReader(out)); err != nil {
		return r, err
	}
	blas, version, err := measureBLAS(ctx, python, dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers: no BLAS:", err)
		return r, nil
	}
	r.BLAS, r.Kernels = version, append(r.Kernels, blas...)
	return r, nil
}

// bandwidth is the best rate in 10^9 bytes a second at which threads pass over
// memory of their own, far larger than the caches. A pass over n bytes counts as
// weight*n.
func bandwidth(threads, weight int, pass func(to, from []byte)) float64 {
	const size, tries = 256 << 20, 10
	to, from := make([][]byte, threads), make([][]byte, threads)
	for i := range threads {
		to[i], from[i] = make([]byte, size/threads), make([]byte, size/threads)
		pass(to[i], from[i])
		clear(to[i]) // memory that was never written is all one page
		clear(from[i])
	}
	best := time.Duration(1 << 62)
	for range tries {
		var group sync.WaitGroup
		begin := time.Now()
		for i := range threads {
			group.Go(func() { pass(to[i], from[i]) })
		}
		group.Wait()
		best = min(best, time.Since(begin))
	}
	return float64(weight) * size / float64(best.Nanoseconds())
}

// implementation matches the part of a benchmark's name that names an
// implementation.
var implementation = regexp.MustCompile(`(?i)(^|_)(go|avx2|avx512|neon)(_|#|$)`)

// parseBenchmarks reads what go test prints. It returns the best rate of each
// case, in the order of the cases, and the peak of one thread: what a rate is
// stated as a part of.
func parseBenchmarks(r io.Reader) (list []kernel, peak float64, err error) {
	pkg := ""
	for s := bufio.NewScanner(r); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) == 2 && fields[0] == "pkg:" {
			pkg = filepath.Base(fields[1])
		}
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		metrics := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 {
			if metrics[fields[i+1]], err = strconv.ParseFloat(fields[i], 64); err != nil {
				return nil, 0, fmt.Errorf("benchmark line %q: %w", s.Text(), err)
			}
		}
		rate, part := metrics["GFLOP/s"], metrics["%peak"]
		if part > 0 {
			peak = max(peak, 100*rate/part)
		}
		k := kernel{Package: pkg, Case: caseOf(fields[0]), GFLOPS: rate}
		if i := slices.IndexFunc(list, func(o kernel) bool { return o.Package == k.Package && o.Case == k.Case }); i >= 0 {
			list[i].GFLOPS = max(list[i].GFLOPS, rate)
		} else if rate > 0 {
			list = append(list, k)
		}
	}
	return list, peak, nil
}

// caseOf is a benchmark's name without the number of CPUs and the
// implementation; what tells benchmarks of one name apart stays.
func caseOf(benchmark string) string {
	name := strings.TrimPrefix(benchmark, "Benchmark")
	if dash := strings.LastIndexByte(name, '-'); dash >= 0 {
		name = name[:dash]
	}
	parts := strings.Split(name, "/")
	var kept []string
	for i, part := range parts {
		if i == 0 || !implementation.MatchString(part) {
			kept = append(kept, part)
		} else if _, number, ok := strings.Cut(part, "#"); ok {
			kept[len(kept)-1] += "#" + number
		}
	}
	return strings.Join(kept, "/")
}

// measureBLAS times NumPy's matrix products on one thread.
func measureBLAS(ctx context.Context, python, dir string) ([]kernel, string, error) {
	if err := os.CopyFS(dir, pythonFiles); err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, python, filepath.Join(dir, "python", "blas.py"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, "", err
	}
	var answer struct {
		BLAS     string   `json:"blas"`
		Products []kernel `json:"products"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, "", err
	}
	return answer.Products, answer.BLAS, nil
}

// table writes the report as Markdown.
func (r kernelReport) table(w io.Writer) {
	fmt.Fprintf(w, "One thread of %s (%s): %.1f GFLOP/s of fused multiply-adds in float32.\n", r.Machine.CPU, r.Machine.Flags, r.Peak)
	for i := range r.Read {
		fmt.Fprintf(w, "Memory, threads: %d: %.1f GB/s read, %.1f GB/s copied.\n", i+1, r.Read[i], r.Copy[i])
	}
	fmt.Fprintf(w, "Best times of one thread with warm memory; blas is NumPy's %s. Winograd's rates count the operations of the direct convolution, so they may pass the peak.\n\n", cmp.Or(r.BLAS, "(absent)"))
	fmt.Fprintf(w, "| kernel | case | GFLOP/s | %% of peak |\n|---|---|--:|--:|\n")
	for _, k := range r.Kernels {
		part := missing
		if r.Peak > 0 {
			part = fmt.Sprintf("%.0f", 100*k.GFLOPS/r.Peak)
		}
		fmt.Fprintf(w, "| %s | %s | %.1f | %s |\n", k.Package, k.Case, k.GFLOPS, part)
	}
}
