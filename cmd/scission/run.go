package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/split"
	"scission/split/run"
)

// outputReport is what is shown of an output.
type outputReport struct {
	Name  string       `json:"name"`
	DType string       `json:"dtype"`
	Shape tensor.Shape `json:"shape"`
	File  string       `json:"file,omitempty"`
	Min   float64      `json:"min"`
	Max   float64      `json:"max"`
	Mean  float64      `json:"mean"`
	Top   []topElement `json:"top,omitempty"`
}

type topElement struct {
	Index int     `json:"index"` // in the last dimension
	Value float64 `json:"value"`
}

// topElements is how many of the largest elements are shown of a vector.
const topElements = 5

func (a *app) runCommand() *cobra.Command {
	var inputs []string
	var output string
	var threads int
	var exact bool
	c := &cobra.Command{
		Use:   "run MODEL --input NAME=FILE... --output DIR",
		Short: "Run a model here",
		Long: `Run a model on this machine and write its outputs as .npy files.

An input is a .npy file, an ONNX TensorProto (.pb), or random:SEED. NAME= may be
left out for a model with one input. Of outputs that are vectors the largest
elements are shown.`,
		Example: `  scission run squeezenet.onnx --input data_0=kitten.npy --output results
  scission run zoo:mobilenetv2 --input random:1 --threads 2 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, in, err := openWithInputs(args[0], inputs, false)
			if err != nil {
				return err
			}
			n := &run.Node{Name: deviceName, Threads: threads, Exact: exact}
			e, err := n.Open(cmd.Context(), run.Deployment{Model: m.Model, Stages: native(deviceName, m.Graph)})
			if err != nil {
				return err
			}
			defer e.Close()
			out, _, err := e.Run(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.outputs(m.Graph, out, output)
		},
	}
	c.Flags().StringArrayVar(&inputs, "input", nil, "`NAME=FILE` for each input")
	c.Flags().StringVar(&output, "output", "", "write the outputs into folder `DIR`")
	threadsFlag(c, &threads)
	exactFlag(c, &exact)
	return c
}

// deviceName is this machine's name in stages unless a flag says otherwise.
const deviceName = "device"

func exactFlag(c *cobra.Command, exact *bool) {
	c.Flags().BoolVar(exact, "exact", false, "sum convolutions directly where Winograd's method, which rounds more, is faster")
}

func threadsFlag(c *cobra.Command, threads *int) {
	c.Flags().IntVar(threads, "threads", 0, "threads of a run; 0 is one for each core")
	c.PreRunE = func(*cobra.Command, []string) error {
		if *threads < 0 {
			return usagef("--threads %d, want at least 0", *threads)
		}
		return nil
	}
}

// native is the partition that runs all of g on one host.
func native(host string, g *graph.Graph) split.Partition {
	return split.Partition{{Host: host, Segment: split.Segment{From: 0, To: len(g.Nodes)}}}
}

// outputs writes the results of a run into dir, unless that is empty, and
// describes them.
func (a *app) outputs(g *graph.Graph, out []*tensor.Tensor, dir string) error {
	reports, err := reportOutputs(g, out, dir)
	if err != nil {
		return err
	}
	return a.print(map[string]any{"outputs": reports}, func(w io.Writer) { printOutputs(w, reports) })
}

func reportOutputs(g *graph.Graph, out []*tensor.Tensor, dir string) ([]outputReport, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	var reports []outputReport
	for i, t := range out {
		r := describeOutput(g.Outputs[i].Name, t)
		if dir != "" {
			path, err := writeTensor(dir, r.Name, t)
			if err != nil {
				return nil, err
			}
			r.File = path
		}
		reports = append(reports, r)
	}
	return reports, nil
}

func printOutputs(w io.Writer, reports []outputReport) {
	for _, r := range reports {
		fmt.Fprintf(w, "output %s: %s%v, min %.6g, max %.6g, mean %.6g\n", r.Name, r.DType, r.Shape, r.Min, r.Max, r.Mean)
		for _, e := range r.Top {
			fmt.Fprintf(w, "  class %d: %.6g\n", e.Index, e.Value)
		}
		if r.File != "" {
			fmt.Fprintf(w, "  written to %s\n", r.File)
		}
	}
}

func describeOutput(name string, t *tensor.Tensor) outputReport {
	r := outputReport{Name: name, DType: t.DType.String(), Shape: t.Shape}
	n := t.Shape.Elems()
	if n == 0 {
		return r
	}
	r.Min, r.Max = math.MaxFloat64, -math.MaxFloat64
	top := make([]topElement, n)
	for i := range n {
		v := tensortest.At(t, i)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			v = math.Copysign(math.MaxFloat64, v) // JSON has no others
		}
		r.Min, r.Max, r.Mean = min(r.Min, v), max(r.Max, v), r.Mean+v/float64(n)
		top[i] = topElement{i, v}
	}
	r.Mean = min(max(r.Mean, -math.MaxFloat64), math.MaxFloat64) // it may be rounded up
	if k := len(t.Shape); k > 0 && n > 1 && t.Shape[k-1] == n || k > 1 && n > 1 && t.Shape[1] == n {
		slices.SortStableFunc(top, func(a, b topElement) int { return cmp.Compare(b.Value, a.Value) })
		r.Top = top[:min(topElements, n)]
	}
	return r
}

// title is the heading of a section of a report.
func title(w io.Writer, format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	fmt.Fprintf(w, "\n%s\n%s\n", s, strings.Repeat("-", len(s)))
}
