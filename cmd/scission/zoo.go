package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"scission/bench/zoo"
	"scission/onnximport"
)

func (a *app) zooCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "zoo",
		Short: "The built-in networks",
		Long: `The built-in networks are those of Keras Applications, with seeded weights in
place of trained ones. Use them as zoo:NAME wherever a model is expected.`,
		Example: "  scission zoo list\n  scission zoo export resnet50 -o resnet50.onnx",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(a.err)
			cmd.Help()
			return usagef("list or export?")
		},
	}
	list := &cobra.Command{
		Use: "list", Short: "List the built-in networks", Example: "  scission zoo list --json", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			infos := zoo.List()
			return a.print(map[string]any{"networks": infos}, func(w io.Writer) {
				table(w, "name\tparameters\tinput", func(row func(...any)) {
					for _, n := range infos {
						row(n.Name, n.Params, n.Input)
					}
				})
			})
		},
	}
	var output string
	export := &cobra.Command{
		Use: "export NAME -o FILE", Short: "Write a built-in network as an ONNX file",
		Example: "  scission zoo export mobilenetv2 -o mobilenetv2.onnx", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if output == "" {
				return usagef("where to? give -o FILE")
			}
			g, err := zoo.Build(strings.TrimPrefix(args[0], zooPrefix))
			if errors.Is(err, zoo.ErrUnknown) {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			if err != nil {
				return err
			}
			f, err := os.Create(output)
			if err != nil {
				return err
			}
			n := &counter{w: f}
			if err := errors.Join(onnximport.Save(n, g), f.Close()); err != nil {
				return err
			}
			return a.print(map[string]any{"network": g.Name, "file": output, "bytes": n.n}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s, %d layers, %d parameters\n", output, size(n.n), len(g.Nodes), zoo.Params(g))
			})
		},
	}
	export.Flags().StringVarP(&output, "output", "o", "", "the `FILE` to write")
	c.AddCommand(list, export)
	return c
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return c.w.Write(b)
}
