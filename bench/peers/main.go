// Peers measures scission and other inference engines on the same networks, on
// this machine, in one run:
//
//	./run.sh [flags] [network...]
//	./run.sh -scaling [flags] [network...]
//	./run.sh -kernels
//
// A network is a name of the zoo, with or without "zoo:" before it, or the
// path of an ONNX file that ends in .onnx; without any, all of the zoo are
// measured. Each engine is a process of its own for each network and number of
// threads. They are measured by turns, A B A B, and only one computes at a
// time; the ratio of two engines is taken within each round, so that what
// slows the machine down for a while cancels. Outputs are compared before
// anything is timed. Cold starts and peak memory are measured too. An engine
// that is not there or cannot take a network is left out, and the table says
// why. Markdown tables go to standard output.
//
// With -scaling it measures scission alone, likewise by turns: with one thread,
// with several, and with several while a process takes a CPU, anywhere or always
// the same.
//
// With -kernels it measures the machine's multiply-adds and memory, and the
// convolution and matrix kernels and NumPy's BLAS as parts of that.
//
// The shares of the CPU come from /proc, so it runs on Linux only. It is a
// module of its own: nothing that it needs is needed by the product.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"scission/bench/peers/worker"
	"scission/bench/zoo"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/onnximport"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 2 && os.Args[1] == workerArg {
		scission().Main()
		return
	}
	if len(os.Args) == 3 && os.Args[1] == busyArg {
		fmt.Fprintln(os.Stderr, "peers:", beBusy(os.Args[2]))
		os.Exit(1)
	}
	if err := peers(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

const usage = `Measures scission and other engines on the same networks, by turns.

  run.sh [flags] [network...]
  run.sh -scaling [flags] [network...]
  run.sh -kernels

Without a network it takes all of the zoo; NAME.onnx is a file.

Examples:
  run.sh -json peers.json                                 everything
  run.sh -engines scission,onnxruntime -rounds 3 resnet50 two engines, quickly
  run.sh -threads 1 -engines gomlx,onnxgo mobilenetv2     the pure Go peers
  run.sh -scaling resnet50 vgg16                          threads, and a busy process
  run.sh -kernels -json kernels.json                      kernels against the machine's peak

Flags:
`

// peers measures what the command line asks for.
func peers(ctx context.Context) error {
	p := protocol{}
	threads := flag.String("threads", "1,2", "numbers of threads, separated by commas")
	names := flag.String("engines", strings.Join(engineNames(), ","), "engines, separated by commas; "+subject+" is always one")
	home := flag.String("home", ".venv", "folder with the engines, as setup.sh makes it")
	root := flag.String("root", filepath.Join("..", ".."), "folder of scission's module, for -kernels")
	ofKernels := flag.Bool("kernels", false, "measure kernels in place of networks")
	ofScaling := flag.Bool("scaling", false, "measure "+subject+" with the fewest and the most of -threads, and beside a busy process")
	jsonPath := flag.String("json", "", "write everything, samples included, to this file as JSON")
	flag.IntVar(&p.Rounds, "rounds", 7, "rounds that count")
	flag.IntVar(&p.Extra, "extra", 14, "further rounds at most, to replace noisy ones")
	flag.IntVar(&p.Starts, "starts", 5, "cold starts of each engine")
	flag.DurationVar(&p.Turn, "turn", 500*time.Millisecond, "length of an engine's turn in a round")
	flag.DurationVar(&p.Warmup, "warmup", time.Second, "how long an engine runs before the first round")
	flag.Float64Var(&p.Others, "others", 0.06, "a round is noisy if other processes take more than this share of the CPUs")
	flag.DurationVar(&p.Slowest, "slowest", 20*time.Second, "an engine whose run takes longer is not timed")
	flag.DurationVar(&p.Patience, "patience", 10*time.Minute, "an engine that takes longer to answer is given up")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if p.Rounds < 1 || p.Extra < 0 || p.Starts < 0 {
		return fmt.Errorf("%d rounds, %d extra and %d starts, want at least 1, 0 and 0", p.Rounds, p.Extra, p.Starts)
	}
	dir, err := os.MkdirTemp("", "scission-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *ofKernels {
		r, err := measureKernels(ctx, *root, pythonOf(*home), dir)
		if err != nil {
			return err
		}
		r.table(os.Stdout)
		return writeJSON(*jsonPath, r)
	}

	counts, err := parseThreads(*threads)
	if err != nil {
		return err
	}
	networks := flag.Args()
	if len(networks) == 0 {
		for _, info := range zoo.List() {
			networks = append(networks, info.Name)
		}
	}
	list, err := engines(strings.Split(*names, ","), *home, dir)
	if err != nil {
		return err
	}
	if *ofScaling {
		r := scalingReport{Machine: thisMachine(), Protocol: p}
		for _, network := range networks {
			if err := r.add(ctx, list[0], network, dir, counts); err != nil {
				return err
			}
		}
		r.table(os.Stdout)
		return writeJSON(*jsonPath, r)
	}
	r := report{Machine: thisMachine(), Protocol: p}
	for _, network := range networks {
		if err := r.add(ctx, list, network, dir, counts); err != nil {
			return err
		}
	}
	r.table(os.Stdout)
	return errors.Join(writeJSON(*jsonPath, r), r.complete())
}

// complete is an error if the subject or the reference was not measured on
// everything. Of the others each may have its gaps.
func (r report) complete() error {
	for _, res := range r.Results {
		for _, name := range []string{subject, reference} {
			if en := res.of(name); en.Error != "" {
				return fmt.Errorf("%s was not measured on %s: %s", name, res.Network, en.Error)
			}
		}
	}
	return nil
}

// writeJSON writes v to a file, unless path is empty.
func writeJSON(path string, v any) error {
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func parseThreads(list string) ([]int, error) {
	var counts []int
	for _, s := range strings.Split(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no number of threads, want 1 or more", s)
		}
		counts = append(counts, n)
	}
	return counts, nil
}

// add measures a network with each number of threads. Files go to a folder in
// dir that is removed again.
func (r *report) add(ctx context.Context, list []contender, network, dir string, threads []int) error {
	sub, err := os.MkdirTemp(dir, "model-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(sub)
	m, err := prepare(network, sub)
	if err != nil {
		return err
	}
	if err := m.convert(ctx, list, sub, r.Protocol.Patience); err != nil {
		return err
	}
	for _, t := range threads {
		begin := time.Now()
		res, err := measure(ctx, list, m, t, r.Protocol)
		if err != nil {
			return err
		}
		r.Results = append(r.Results, res)
		fmt.Fprintf(os.Stderr, "%s, threads %d: %d rounds, %d more for noise, %v\n", network, t, len(res.Rounds), res.Repeats, time.Since(begin).Round(time.Second))
		for _, en := range res.Engines {
			if en.Error != "" {
				fmt.Fprintf(os.Stderr, "\t%s: %s\n", en.Engine, en.Error)
			}
		}
	}
	return nil
}

// smallIDs is the number of different integers in an input: fewer than any table
// that they choose from has rows.
const smallIDs = 100

// prepare puts a network's ONNX file, unless it is one, and inputs into dir: random
// ones, or small integers.
func prepare(network, dir string) (model, error) {
	m := model{name: strings.TrimPrefix(network, "zoo:"), path: network}
	var g *graph.Graph
	var err error
	if strings.HasSuffix(network, ".onnx") {
		m.name = filepath.Base(network)
		g, err = onnximport.LoadFile(network)
	} else {
		m.path = filepath.Join(dir, "model.onnx")
		if g, err = zoo.Build(m.name); err == nil {
			err = export(m.path, g)
		}
	}
	if err != nil {
		return model{}, err
	}
	for i, v := range g.Inputs {
		var t *tensor.Tensor
		switch v.DType {
		case tensor.Float32:
			t = tensortest.Random(uint64(i), v.Shape...)
		case tensor.Int64:
			t = tensor.New(v.DType, v.Shape...) // such as words
			for j, ids := 0, tensor.View[int64](t); j < len(ids); j++ {
				ids[j] = int64(j % smallIDs)
			}
		default:
			return model{}, fmt.Errorf("%s: input %q is %v, want float32 or int64", network, v.Name, v.Type)
		}
		f, err := worker.Write(filepath.Join(dir, fmt.Sprintf("input%d.bin", i)), v.Name, t)
		if err != nil {
			return model{}, err
		}
		m.inputs = append(m.inputs, f)
	}
	return m, nil
}

func export(path string, g *graph.Graph) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(onnximport.Save(f, g), f.Close())
}
