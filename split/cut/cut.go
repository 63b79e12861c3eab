// Package cut finds where a graph can be cut and cuts it.
//
// Cuts are places between the layers of a graph as it was imported, before any
// optimisation, so that every host that holds the file counts the same layers.
// What crosses a cut is the set of live values: those that exist before it and
// are read behind it. A value read by several layers crosses once.
//
// Since the optimiser changes no bit of any result, running the parts one
// after the other gives exactly what running the whole graph gives.
//
// The package runs nothing, and of planning knows only the bound that a graph
// sets (Optimal); it imports engine/graph, engine/tensor, split and
// split/maxflow.
package cut

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/split"
)

// Cut is a place before layer Position of a graph: 0 is before the first layer
// and crossed by the graph's inputs, the number of layers is behind the last
// and crossed by its outputs.
type Cut struct {
	Position int
	Values   []*graph.Value // what crosses, in the order in which it is made
	Bytes    int            // of Values, row-major
}

// Width is the number of values that cross.
func (c Cut) Width() int { return len(c.Values) }

// Find returns the cuts of g that at most maxWidth values cross; maxWidth 0
// means any number. The two ends are always there. There is none where a late
// value would cross, since it has no size: layers between which late values
// live stay together. Nor is there where the result of a graph.Joined would.
func Find(g *graph.Graph, maxWidth int) []Cut {
	joined := map[*graph.Value]bool{}
	for _, n := range g.Nodes {
		if _, ok := n.Op.(graph.Joined); ok {
			for _, v := range n.Out {
				joined[v] = true
			}
		}
	}
	return slices.DeleteFunc(Places(g), func(c Cut) bool {
		if c.Position == 0 || c.Position == len(g.Nodes) {
			return false
		}
		return maxWidth > 0 && len(c.Values) > maxWidth ||
			slices.ContainsFunc(c.Values, func(v *graph.Value) bool { return v.Late || joined[v] })
	})
}

// Places returns what crosses at every position of g from 0 to len(g.Nodes),
// even where it cannot be cut.
func Places(g *graph.Graph) []Cut {
	l := lifetimes(g)
	cuts := make([]Cut, len(g.Nodes)+1)
	for p := range cuts {
		cuts[p] = Cut{Position: p, Values: l.live(p)}
		for _, v := range cuts[p].Values {
			if !v.Late {
				cuts[p].Bytes += v.Type.Bytes()
			}
		}
	}
	return cuts
}

// Extract returns layers [s.From, s.To) of g as a graph of its own. Its inputs
// are what crosses the cut at s.From and its outputs what crosses the one at
// s.To, both in the order of Cut.Values; the ends have g's own inputs and
// outputs. An input of the part may be an output of it as well, where a value
// only passes by. The part shares operators and constants with g.
func Extract(g *graph.Graph, s split.Segment) (*graph.Graph, error) {
	if s.From < 0 || s.To > len(g.Nodes) || s.From >= s.To {
		return nil, fmt.Errorf("cut: graph %q has layers 0 to %d, got segment %v", g.Name, len(g.Nodes)-1, s)
	}
	l := lifetimes(g)
	part := &graph.Graph{
		Name:    fmt.Sprintf("%s[%v]", g.Name, s),
		Inputs:  l.live(s.From),
		Outputs: l.live(s.To),
		Nodes:   g.Nodes[s.From:s.To],
		Limit:   g.Limit,
		Forget:  g.Forget,
	}
	return part.Clone(), nil
}

// life says from which position on a value exists and behind which no layer
// reads it.
type life struct {
	value       *graph.Value
	first, last int
}

type lives struct {
	g     *graph.Graph
	order []life // as the values are made
}

func lifetimes(g *graph.Graph) lives {
	last := map[*graph.Value]int{}
	for i, n := range g.Nodes {
		for _, v := range n.In {
			if v != nil {
				last[v] = i
			}
		}
	}
	for _, v := range g.Outputs {
		last[v] = len(g.Nodes)
	}
	l := lives{g: g}
	for _, v := range g.Inputs {
		l.order = append(l.order, life{v, 0, last[v]})
	}
	for i, n := range g.Nodes {
		for _, v := range n.Out {
			if v != nil && v.Const == nil {
				l.order = append(l.order, life{v, i + 1, last[v]})
			}
		}
	}
	return l
}

// live returns what crosses at position p.
func (l lives) live(p int) []*graph.Value {
	switch p {
	case 0:
		return l.g.Inputs
	case len(l.g.Nodes):
		return l.g.Outputs
	}
	var vs []*graph.Value
	for _, x := range l.order {
		if x.first <= p && p <= x.last {
			vs = append(vs, x.value)
		}
	}
	return vs
}
