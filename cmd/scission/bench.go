package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"scission/split"
	"scission/split/run"
)

type benchReport struct {
	Model   string        `json:"model"`
	Machine split.Machine `json:"machine"`
	Runs    int           `json:"runs"`
	Warmup  int           `json:"warmup"`
	Open    time.Duration `json:"open_ns"` // compiling and packing weights
	Min     time.Duration `json:"min_ns"`
	Median  time.Duration `json:"median_ns"`
	P95     time.Duration `json:"p95_ns"`
	GFLOPS  float64       `json:"gflops"` // of the median
	Samples split.Samples `json:"samples_ns"`
	Layers  []benchLayer  `json:"layers,omitempty"`
}

type benchLayer struct {
	Layers []int         `json:"layers"` // that the optimiser has joined
	Name   string        `json:"name"`
	Op     string        `json:"op"`
	Kernel string        `json:"kernel"`
	Median time.Duration `json:"median_ns"`
	Share  float64       `json:"share"`
	GFLOPS float64       `json:"gflops"`
	Bytes  int           `json:"bytes"` // of operands and results that are not constants
}

func (a *app) benchCommand() *cobra.Command {
	var inputs inputFlags
	var threads, runs, warmup int
	var exact bool
	var layers bool
	c := &cobra.Command{
		Use:   "bench MODEL",
		Short: "Measure a model's latency here",
		Long: `Measure how long a model takes on this machine: minimum, median and 95th
percentile of repeated runs, and with --layers the median time of each layer.
Layers that the optimiser has joined are one line. Inputs that are not given are
random; "scission run --help" says what can be given.`,
		Example: "  scission bench zoo:resnet50 --threads 1\n  scission bench model.onnx --layers --runs 50 --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if runs < 1 || warmup < 0 {
				return usagef("--runs %d --warmup %d, want at least 1 and 0", runs, warmup)
			}
			m, in, err := inputs.openOne(args[0], true)
			if err != nil {
				return err
			}
			n := &run.Node{Name: deviceName, Threads: threads, Exact: exact, Machine: machine(threads)}
			start := time.Now()
			e, err := n.Open(cmd.Context(), run.Deployment{Model: m.Model, Stages: native(deviceName, m.Graph), Layers: layers})
			if err != nil {
				return err
			}
			defer e.Close()
			r := benchReport{Model: m.Name, Machine: n.Machine, Runs: runs, Warmup: warmup, Open: time.Since(start)}
			p := newProgress(a.err)
			samples, err := run.Measure(cmd.Context(), e, in, warmup, runs, func(done, of int) { p.update("runs", int64(done), int64(of)) })
			p.clear()
			if err != nil {
				return err
			}
			r.fill(m, e, samples)
			return a.print(r, func(w io.Writer) { printBench(w, r) })
		},
	}
	inputs.flags(c)
	c.Flags().IntVar(&runs, "runs", 20, "measured runs")
	c.Flags().IntVar(&warmup, "warmup", 3, "runs before that")
	c.Flags().BoolVar(&layers, "layers", false, "show the time of each layer")
	threadsFlag(c, &threads)
	exactFlag(c, &exact)
	return c
}

func (r *benchReport) fill(m *model, e *run.Execution, samples []run.Sample) {
	var layers []split.Samples
	for _, s := range samples {
		r.Samples = append(r.Samples, s.Total)
		for _, span := range s.Spans {
			for i, took := range span.Layers {
				if layers == nil {
					layers = make([]split.Samples, len(span.Layers))
				}
				layers[i] = append(layers[i], took)
			}
		}
	}
	r.Min, r.Median, r.P95 = r.Samples.Min(), r.Samples.Median(), r.Samples.Quantile(0.95)
	work := int64(0)
	for _, n := range m.Graph.Nodes {
		work += flops(n)
	}
	r.GFLOPS = gflops(work, r.Median)
	if layers == nil {
		return
	}
	for _, n := range e.Nodes {
		if len(n.Layers) == 0 {
			continue
		}
		l := benchLayer{Layers: n.Layers, Name: n.Name, Op: n.Op, Kernel: n.Kernel, Bytes: n.Bytes}
		l.Median = layers[n.Layers[0]].Median()
		if k := len(r.Layers); k > 0 && r.Layers[k-1].Layers[0] == n.Layers[0] {
			// The node before is the change of layout of this one's input,
			// whose time is in this one's.
			r.Layers = r.Layers[:k-1]
			l.Kernel = "reorder, " + l.Kernel
		}
		work := int64(0)
		for _, i := range n.Layers {
			work += flops(m.Graph.Nodes[i])
		}
		l.GFLOPS, l.Share = gflops(work, l.Median), float64(l.Median)/float64(r.Median)
		r.Layers = append(r.Layers, l)
	}
}

func gflops(work int64, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(work) / float64(took)
}

func printBench(w io.Writer, r benchReport) {
	m := r.Machine
	fmt.Fprintf(w, "%s on %s (%s/%s, %s kernels, %d of %d cores)\n", r.Model, m.CPU, m.OS, m.Arch, m.ISA, m.Threads, m.Cores)
	fmt.Fprintf(w, "min %s, median %s, p95 %s (%d runs after %d), %.1f GFLOP/s; ready to run after %s\n",
		ms(r.Min), ms(r.Median), ms(r.P95), r.Runs, r.Warmup, r.GFLOPS, ms(r.Open))
	if r.Layers == nil {
		return
	}
	title(w, "layers")
	table(w, "layers\tname\toperator\tkernel\tmedian\tshare\tGFLOP/s\tbytes", func(row func(...any)) {
		for _, l := range r.Layers {
			which := fmt.Sprint(l.Layers[0])
			if k := len(l.Layers); k > 1 {
				which += fmt.Sprintf("+%d", k-1)
			}
			row(which, l.Name, l.Op, l.Kernel, ms(l.Median), fmt.Sprintf("%.1f%%", 100*l.Share), fmt.Sprintf("%.1f", l.GFLOPS), l.Bytes)
		}
	})
}
