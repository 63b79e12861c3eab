package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Body returns a graph attribute, which must be given.
func (a *Attrs) Body(name string) *graph.Body {
	b := attr(a, name, (*graph.Body)(nil))
	if b == nil {
		a.Fail("attribute %q has no graph", name)
		return &graph.Body{Graph: &graph.Graph{}}
	}
	return b
}

// part is a body built for what is known of its inputs.
type part struct {
	graph *graph.Graph
	from  []int // which of the body's inputs are those of graph
}

// buildBody builds a body for inputs of these facts, first the given ones.
func buildBody(b *graph.Body, in []graph.Fact) (part, error) {
	if len(in) != len(b.Graph.Inputs) {
		return part{}, fmt.Errorf("graph %q has %d inputs, want %d", b.Graph.Name, len(b.Graph.Inputs), len(in))
	}
	g, err := b.Graph.With(in)
	if err != nil {
		return part{}, fmt.Errorf("graph %q: %w", b.Graph.Name, err)
	}
	p := part{graph: g}
	for i, f := range in {
		if f.Const == nil {
			p.from = append(p.from, i)
		}
	}
	return p, nil
}

// openBody is a body as it is, for inputs whose types vary.
func openBody(b *graph.Body) part {
	p := part{graph: b.Graph}
	for i := range b.Graph.Inputs {
		p.from = append(p.from, i)
	}
	return p
}

// inputs picks from the body's inputs those of the graph.
func (p part) inputs(all []*tensor.Tensor) []*tensor.Tensor {
	in := make([]*tensor.Tensor, len(p.from))
	for i, from := range p.from {
		in[i] = all[from]
	}
	return in
}

// results returns the facts of what the graph gives, none of them late.
func (p part) results() ([]graph.Fact, error) {
	out := graph.Facts(p.graph.Outputs)
	if slices.ContainsFunc(out, func(f graph.Fact) bool { return f.Late }) {
		return nil, fmt.Errorf("%w: that of a result of graph %q", graph.ErrLate, p.graph.Name)
	}
	return out, nil
}

// anything forgets the values of facts, which then have a type only.
func anything(facts []graph.Fact) []graph.Fact {
	out := make([]graph.Fact, len(facts))
	for i, f := range facts {
		out[i] = graph.Fact{Type: f.Type}
	}
	return out
}

// checkBodyInputs verifies that a node has so many inputs of its own at most, and
// all that its bodies capture behind them, and returns both.
func checkBodyInputs(in []graph.Fact, bodies ...*graph.Body) (own, captured []graph.Fact, err error) {
	n := len(in)
	for _, b := range bodies {
		n -= b.Captured()
	}
	if n < 0 {
		return nil, nil, fmt.Errorf("got %d inputs, want those that the graphs capture at least", len(in))
	}
	if slices.ContainsFunc(in[n:], graph.Fact.Missing) {
		return nil, nil, fmt.Errorf("a value that a graph captures is missing")
	}
	return in[:n], in[n:], nil
}

// isTruth verifies that a condition is one bool.
func isTruth(f graph.Fact) error {
	if f.DType != tensor.Bool || f.Shape.Elems() != 1 {
		return fmt.Errorf("the condition is %v, want one bool", f.Type)
	}
	return nil
}
