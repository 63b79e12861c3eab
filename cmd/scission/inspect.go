package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"scission/bench/zoo"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split/cut"
)

type valueReport struct {
	Name  string       `json:"name"`
	DType string       `json:"dtype"`
	Shape tensor.Shape `json:"shape"`
}

type layerReport struct {
	Layer  int           `json:"layer"`
	Name   string        `json:"name"`
	Op     string        `json:"op"`
	Out    []valueReport `json:"outputs"`
	Bytes  int           `json:"bytes"`
	FLOPs  int64         `json:"flops"`
	Params int           `json:"params"`
}

type cutReport struct {
	Position int           `json:"position"` // layers before the cut
	Width    int           `json:"width"`
	Bytes    int           `json:"bytes"`
	After    string        `json:"after,omitempty"`
	Values   []valueReport `json:"values"`
}

type inspectReport struct {
	Model   string         `json:"model"`
	Opsets  map[string]int `json:"opsets,omitempty"`
	Inputs  []valueReport  `json:"inputs"`
	Outputs []valueReport  `json:"outputs"`
	Params  int            `json:"params"`
	FLOPs   int64          `json:"flops"`
	Layers  []layerReport  `json:"layers"`
	Cuts    []cutReport    `json:"cuts,omitempty"`
}

func (a *app) inspectCommand() *cobra.Command {
	var cuts bool
	var maxWidth int
	c := &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Show a model's layers and where it can be cut",
		Long: `Show inputs, outputs, parameters, arithmetic work and layers of a model. With
--cuts also show where it can be cut, and what crosses there. Layers are counted
from 0; cut N is before layer N. A tensor that several layers read crosses once.`,
		Example: "  scission inspect model.onnx\n  scission inspect zoo:resnet50 --cuts --max-width 2",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if maxWidth < 0 {
				return usagef("--max-width %d, want at least 0", maxWidth)
			}
			m, err := openModel(args[0])
			if err != nil {
				return err
			}
			r := inspect(m)
			if cuts {
				r.Cuts = inspectCuts(m.Graph, maxWidth)
			}
			return a.print(r, func(w io.Writer) { printInspect(w, r) })
		},
	}
	c.Flags().BoolVar(&cuts, "cuts", false, "show the cuts")
	c.Flags().IntVar(&maxWidth, "max-width", 1, "show cuts that at most `N` tensors cross; 0 is all")
	return c
}

func reportValues(vs []*graph.Value) []valueReport {
	rs := []valueReport{}
	for _, v := range vs {
		if v != nil {
			rs = append(rs, valueReport{v.Name, v.DType.String(), v.Shape})
		}
	}
	return rs
}

func inspect(m *model) inspectReport {
	g := m.Graph
	r := inspectReport{Model: m.Name, Inputs: reportValues(g.Inputs), Outputs: reportValues(g.Outputs), Params: zoo.Params(g)}
	if m.file != nil {
		r.Opsets = m.file.Opsets()
	}
	for i, n := range g.Nodes {
		l := layerReport{Layer: i, Name: n.Name, Op: n.Op.String(), Out: reportValues(n.Out), FLOPs: flops(n), Params: zoo.Params(&graph.Graph{Nodes: g.Nodes[i : i+1]})}
		for _, v := range n.Out {
			if v != nil {
				l.Bytes += v.Type.Bytes()
			}
		}
		r.FLOPs += l.FLOPs
		r.Layers = append(r.Layers, l)
	}
	return r
}

func flops(n *graph.Node) int64 {
	if c, ok := n.Op.(graph.Coster); ok {
		return c.FLOPs(graph.Facts(n.In), graph.Facts(n.Out))
	}
	return 0
}

func inspectCuts(g *graph.Graph, maxWidth int) []cutReport {
	var rs []cutReport
	for _, c := range cut.Find(g, maxWidth) {
		r := cutReport{Position: c.Position, Width: c.Width(), Bytes: c.Bytes, Values: reportValues(c.Values)}
		if c.Position > 0 {
			r.After = g.Nodes[c.Position-1].Name
		}
		rs = append(rs, r)
	}
	return rs
}

func (v valueReport) String() string { return fmt.Sprintf("%s %s%v", v.Name, v.DType, v.Shape) }

func join(vs []valueReport) string {
	var s []string
	for _, v := range vs {
		s = append(s, v.String())
	}
	return strings.Join(s, ", ")
}

func printInspect(w io.Writer, r inspectReport) {
	fmt.Fprintf(w, "model      %s\ninputs     %s\noutputs    %s\nparameters %d\nwork       %.3f GFLOP\nlayers     %d\n",
		r.Model, join(r.Inputs), join(r.Outputs), r.Params, float64(r.FLOPs)/1e9, len(r.Layers))
	title(w, "layers")
	table(w, "layer\tname\toperator\toutput\tsize\tMFLOP\tparameters", func(row func(...any)) {
		for _, l := range r.Layers {
			var shapes []string
			for _, o := range l.Out {
				shapes = append(shapes, fmt.Sprint(o.Shape))
			}
			row(l.Layer, l.Name, l.Op, strings.Join(shapes, " "), size(int64(l.Bytes)), fmt.Sprintf("%.2f", float64(l.FLOPs)/1e6), l.Params)
		}
	})
	if r.Cuts == nil {
		return
	}
	title(w, "cuts")
	table(w, "before layer\tafter\ttensors\tbytes\twhat crosses", func(row func(...any)) {
		for _, c := range r.Cuts {
			row(c.Position, c.After, c.Width, c.Bytes, join(c.Values))
		}
	})
}
