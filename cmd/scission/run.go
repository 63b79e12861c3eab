package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
	"scission/split/run"
)

func (a *app) runCommand() *cobra.Command {
	var inputs inputFlags
	var outputs outputFlags
	var threads int
	var exact bool
	c := &cobra.Command{
		Use:   "run MODEL [NAME=]FILE... --output DIR",
		Short: "Run a model here",
		Long: `Run a model on this machine, show its outputs and write them as .npy files. Files
may be given with --input or behind the model.

` + inputHelp + "\n\n" + outputHelp,
		Example: `  scission run squeezenet.onnx cat.jpg --labels imagenet.txt
  scission run squeezenet.onnx *.jpg --batch --preprocess "size: 256, color: BGR, scale: 1" --json
  scission run bert.onnx inputs.npz --output results
  scission run detector.onnx --input image=street.png --preprocess "resize: letterbox, pad: 114"
  scission run zoo:mobilenetv2 random:1 --threads 2 --json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			inputs.files = append(inputs.files, args[1:]...)
			x, err := inputs.open(args[0], false)
			if err != nil {
				return err
			}
			r, err := outputs.reporter(x)
			if err != nil {
				return err
			}
			n := &run.Node{Name: deviceName, Threads: threads, Exact: exact}
			shapes := run.NewDynamic(func(ctx context.Context, _ []tensor.Type) (*run.Execution, error) {
				return n.Open(ctx, run.Deployment{Model: x.model.Model, Stages: native(deviceName, x.model.Graph)})
			}, 0)
			defer shapes.Close()
			var all []outputReport
			for i := range x.runs {
				in, err := x.load(i)
				if err != nil {
					return err
				}
				out, _, err := shapes.Run(cmd.Context(), in)
				if err != nil {
					return err
				}
				reports, err := r.report(x.model.Graph, in, out, i)
				if err != nil {
					return err
				}
				all = append(all, reports...)
			}
			return a.print(map[string]any{"preprocess": x.preprocess(), "outputs": all}, func(w io.Writer) {
				x.printPreprocess(w)
				printOutputs(w, all)
			})
		},
	}
	inputs.flags(c)
	outputs.flags(c)
	threadsFlag(c, &threads)
	exactFlag(c, &exact)
	return c
}

// preprocess is how pictures became inputs, by the inputs' names, as
// --preprocess takes it.
func (x *feed) preprocess() map[string]string {
	texts := map[string]string{}
	for name, s := range x.specs {
		texts[name] = s.String()
	}
	return texts
}

// printPreprocess shows it to people.
func (x *feed) printPreprocess(w io.Writer) {
	texts := x.preprocess()
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		fmt.Fprintf(w, "input %s from pictures: %s\n", name, texts[name])
	}
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
