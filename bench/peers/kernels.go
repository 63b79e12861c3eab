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
	GFLOPS  float64 `json:"gflops"`  // of the best times
	Part    float64 `json:"percent"` // of the multiply-adds that were measured between its pieces, best times of both
	Median  float64 `json:"median"`  // of that per cent over the rounds
	Stream  float64 `json:"gbs"`     // 10^9 bytes a second of what is read once only, or 0
}

// demand is the least per cent of the peak that some kernels should reach.
type demand struct {
	what, pkg, cases string // cases is the start of their names
	percent          float64
}

var demands = []demand{
	{"direct convolution, ResNet50", "conv", "Layers/resnet50/", 90},
	{"depthwise convolution", "dwconv", "Layers/", 60},
	{"packed product, 512", "gemm", "Kernel/512x512x512", 90},
	{"packed product, 1024", "gemm", "Kernel/1024x1024x1024", 90},
}

// measureKernels runs the benchmarks of the kernels in the module at root,
// whose packages only their own tests can call, then NumPy's products.
func measureKernels(ctx context.Context, root, python, dir string) (kernelReport, error) {
	r := kernelReport{Machine: thisMachine()}
	for threads := 1; threads <= r.Machine.CPUs; threads++ {
		// One stream alone does not keep the memory busy.
		r.Read = append(r.Read, bandwidth(threads, 1, func(_, from []byte) { bytes.Equal(from[:len(from)/2], from[len(from)/2:]) }))
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

// streamed begins the names of the cases that read a matrix once for each run.
const streamed = "OneRow/"

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
		k := kernel{pkg, caseOf(fields[0]), metrics["GFLOP/s"], metrics["%peak"], metrics["%peak-median"], 0}
		if k.Part > 0 {
			peak = max(peak, 100*k.GFLOPS/k.Part)
		}
		if strings.HasPrefix(k.Case, streamed) {
			k.Stream = metrics["GB/s"]
		}
		if i := slices.IndexFunc(list, func(o kernel) bool { return o.Package == k.Package && o.Case == k.Case }); i < 0 && k.GFLOPS > 0 {
			list = append(list, k)
		} else if i >= 0 && k.GFLOPS > list[i].GFLOPS {
			list[i] = k
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
	fmt.Fprintf(w, "Best times of one thread with warm memory, as parts of the multiply-adds measured between the pieces of each kernel; medians are of such parts round by round. blas is NumPy's %s. Winograd's rates count the operations of the direct convolution, so they may pass the peak.\n\n", cmp.Or(r.BLAS, "(absent)"))
	fmt.Fprintf(w, "| kernel | case | GFLOP/s | %% of peak | median | GB/s | %% of memory |\n|---|---|--:|--:|--:|--:|--:|\n")
	number := func(format string, x float64) string {
		if x == 0 {
			return missing
		}
		return fmt.Sprintf(format, x)
	}
	for _, k := range r.Kernels {
		part := k.Part
		if part == 0 && r.Peak > 0 {
			part = 100 * k.GFLOPS / r.Peak
		}
		fmt.Fprintf(w, "| %s | %s | %.1f | %s | %s | %s | %s |\n", k.Package, k.Case, k.GFLOPS, number("%.0f", part), number("%.0f", k.Median),
			number("%.1f", k.Stream), number("%.0f", 100*k.Stream/r.Read[0]))
	}
	fmt.Fprintf(w, "\n| %% of peak | wanted | least | middle | largest | cases below |\n|---|--:|--:|--:|--:|---|\n")
	for _, d := range demands {
		var parts []float64
		var below []string
		for _, k := range r.Kernels {
			if k.Package != d.pkg || !strings.HasPrefix(k.Case, d.cases) || k.Part == 0 {
				continue
			}
			if parts = append(parts, k.Part); k.Part < d.percent {
				below = append(below, fmt.Sprintf("%s (%.0f)", strings.TrimPrefix(k.Case, d.cases), k.Part))
			}
		}
		if len(parts) > 0 {
			fmt.Fprintf(w, "| %s | %.0f | %.0f | %.0f | %.0f | %s |\n", d.what, d.percent, slices.Min(parts), median(parts), slices.Max(parts), strings.Join(below, ", "))
		}
	}
}
