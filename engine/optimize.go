package engine

import (
	"fmt"

	"scission/engine/graph"
)

// maxRewrites bounds the rewrites of Optimize, per node and operand: each
// removes or absorbs a node or moves it to the operands of another, so a graph
// that needs more than that has an operator that rewrites in circles.
const maxRewrites = 4

// Optimize returns a simpler graph with the same results, bit for bit: each
// operator's own rewrites are applied until none changes anything, then its
// fusions likewise, and nodes
// whose results nobody reads are dropped. g itself is not changed; if it has late
// values, it is given back as it is. The result depends on g alone, so it is the
// same on every machine.
func Optimize(g *graph.Graph) (*graph.Graph, error) {
	c, err := prepare(g)
	if err != nil {
		return nil, err
	}
	if divide(c) != nil {
		return prepare(g)
	}
	return c, rewrite(c)
}

// prepare returns a copy of g whose nodes have their Layers.
func prepare(g *graph.Graph) (*graph.Graph, error) {
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("engine: optimize %q: %w", g.Name, err)
	}
	g = g.Clone()
	for i, n := range g.Nodes {
		n.Layers = []int{i}
	}
	return g, nil
}

// rewrite applies the rewrites and fusions of the operators of g, which has no late values.
func rewrite(g *graph.Graph) error {
	budget := maxRewrites
	for _, n := range g.Nodes {
		budget += maxRewrites * (1 + len(n.In))
	}
	e := graph.Edit(g)
	for fusing, changed := false, true; changed || !fusing; {
		fusing = fusing || !changed
		changed = false
		for i := 0; i < len(g.Nodes); i++ {
			n := g.Nodes[i]
			if e.Gone(n) {
				continue
			}
			did, err := rewriteNode(e, n, fusing)
			if err != nil {
				return fmt.Errorf("engine: optimize node %q (%s): %w", n.Name, n.Op, err)
			}
			if did {
				changed = true
				if budget--; budget < 0 {
					return fmt.Errorf("engine: optimize %q: rewrites do not come to an end, last at node %q (%s)", g.Name, n.Name, n.Op)
				}
			}
		}
	}
	e.Done()
	return nil
}

// rewriteNode lets the operator of n rewrite, or fuse, if it can.
func rewriteNode(e *graph.Editor, n *graph.Node, fusing bool) (changed bool, err error) {
	if op, ok := n.Op.(graph.Rewriter); ok && !fusing {
		return op.Rewrite(e, n)
	}
	if op, ok := n.Op.(graph.Fuser); ok && fusing {
		return op.Fuse(e, n)
	}
	return false, nil
}
