package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("SequenceMap", 17, func(a *Attrs) graph.Op { return sequenceMap{a.Body("body")} })
}

// sequenceMap runs a graph for each item of a sequence.
//
//	first input: a sequence
//	other inputs: sequences of as many items, which the graph gets one by one,
//	              or other values, which it gets each time
//	results: a sequence for each result of the graph
//
// Source: ONNX SequenceMap-17.
type sequenceMap struct{ body *graph.Body }

func (sequenceMap) String() string { return "SequenceMap" }

func (m sequenceMap) Bodies() []*graph.Body { return []*graph.Body{m.body} }

func (m sequenceMap) Infer(in []graph.Fact) ([]graph.Fact, error) {
	own, _, err := checkBodyInputs(in, m.body)
	if err != nil {
		return nil, err
	}
	if err := countInputs(own, 1, maxItems); err != nil {
		return nil, err
	}
	if len(own) != m.body.Given || slices.ContainsFunc(own, graph.Fact.Missing) {
		return nil, fmt.Errorf("got %d inputs, want %d as graph %q has", len(own), m.body.Given, m.body.Graph.Name)
	}
	return nil, late("the sequence")
}

func (m sequenceMap) Compile(_, _ []graph.Fact) (graph.Kernel, error) {
	p := openBody(m.body)
	call := func(run graph.Runner, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		lists := make([][]*tensor.Tensor, m.body.Given)
		for i := range lists {
			if in[i].DType != tensor.Packed {
				continue
			}
			v, err := in[i].Unpack()
			if err != nil {
				return nil, err
			}
			if v.Kind == tensor.Sequence {
				lists[i] = append([]*tensor.Tensor{}, v.Items...)
			}
			if lists[i] != nil && len(lists[i]) != len(lists[0]) {
				return nil, fmt.Errorf("input %d has %d items, want %d as the first one", i, len(v.Items), len(lists[0]))
			}
		}
		if lists[0] == nil {
			return nil, fmt.Errorf("the first input is %v, want a sequence", in[0].Type)
		}
		made, size := make([][]*tensor.Tensor, len(m.body.Graph.Outputs)), 0
		for k := range lists[0] {
			all := slices.Clone(in)
			for i, list := range lists {
				if list != nil {
					all[i] = list[k]
				}
			}
			outs, err := run(0, p.inputs(all))
			if err != nil {
				return nil, err
			}
			for i, t := range outs {
				if len(t.Raw) > graph.DefaultLimit-size {
					return nil, fmt.Errorf("the results of %d items take more than %d bytes", k+1, graph.DefaultLimit)
				}
				size += len(t.Raw)
				made[i] = append(made[i], t.Clone())
			}
		}
		results := make([]*tensor.Tensor, len(made))
		for i, items := range made {
			t, err := tensor.Value{Kind: tensor.Sequence, Items: items}.Pack()
			if err != nil {
				return nil, err
			}
			results[i] = t
		}
		return results, nil
	}
	return graph.Kernel{Info: "map", Bodies: []*graph.Graph{p.graph}, Call: call}, nil
}
