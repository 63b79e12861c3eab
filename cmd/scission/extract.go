package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"scission/onnximport"
	"scission/split"
	"scission/split/cut"
)

func (a *app) extractCommand() *cobra.Command {
	var layers, output string
	c := &cobra.Command{
		Use:   "extract MODEL --layers FIRST-LAST -o FILE",
		Short: "Write a part of a model as an ONNX file",
		Long: `Write the layers FIRST to LAST of a model, as "scission inspect" counts them, as an
ONNX file of its own. Its inputs and outputs are the tensors that cross the two
cuts, under their own names, so that parts fit together and any ONNX tool can
open them.`,
		Example: "  scission extract model.onnx --layers 0-16 -o head.onnx\n  scission extract model.onnx --layers 17-end -o tail.onnx",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if layers == "" || output == "" {
				return usagef("--layers FIRST-LAST and -o FILE are needed")
			}
			m, err := openModel(args[0])
			if err != nil {
				return err
			}
			s, err := split.ParseSegment(layers, len(m.Graph.Nodes))
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			part, err := cut.Extract(m.Graph, s)
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			if err := writeFile(output, func(w io.Writer) error { return onnximport.Save(w, part) }); err != nil {
				return err
			}
			in, out := reportValues(part.Inputs), reportValues(part.Outputs)
			return a.print(map[string]any{"file": output, "layers": s, "inputs": in, "outputs": out}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: layers %v\ninputs  %s\noutputs %s\n", output, s, join(in), join(out))
			})
		},
	}
	c.Flags().StringVar(&layers, "layers", "", "`FIRST-LAST`, both included; \"end\" is the last layer")
	c.Flags().StringVarP(&output, "output", "o", "", "the `FILE` to write")
	return c
}
