package ops

import (
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// line returns a graph of one operator behind the other, from input x, with
// the last value as output.
func line(t *testing.T, x tensor.Type, ops ...graph.Op) *graph.Graph {
	t.Helper()
	g := &graph.Graph{}
	v := g.Input("x", x)
	for _, op := range ops {
		vs, err := g.Add(op.String(), op, nil, []*graph.Value{v}, op.String())
		if err != nil {
			t.Fatal(err)
		}
		v = vs[0]
	}
	g.Outputs = []*graph.Value{v}
	return g
}

// rewrite applies every node's own Rewrite until none changes anything, then
// every node's Fuse.
func rewrite(t *testing.T, g *graph.Graph) {
	t.Helper()
	e := graph.Edit(g)
	settle(t, e, g, func(n *graph.Node) (bool, error) {
		if op, ok := n.Op.(graph.Rewriter); ok {
			return op.Rewrite(e, n)
		}
		return false, nil
	})
	settle(t, e, g, func(n *graph.Node) (bool, error) {
		if op, ok := n.Op.(graph.Fuser); ok {
			return op.Fuse(e, n)
		}
		return false, nil
	})
	e.Done()
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
}

// settle applies change to every node of e's graph g until it changes nothing.
func settle(t *testing.T, e *graph.Editor, g *graph.Graph, change func(n *graph.Node) (bool, error)) {
	t.Helper()
	for changed := true; changed; {
		changed = false
		for _, n := range g.Nodes {
			if e.Gone(n) {
				continue
			}
			did, err := change(n)
			if err != nil {
				t.Fatal(err)
			}
			changed = changed || did
		}
	}
}

func TestWhatChangesNothingIsRemoved(t *testing.T) {
	x := tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{2, 3}}
	flatten := build(t, "Flatten", 13)
	for _, op := range []graph.Op{
		build(t, "Identity", 14),
		build(t, "Dropout", 13),
		build(t, "Cast", 13, "to", 1),
		build(t, "Transpose", 13, "perm", []int{0, 1}),
		build(t, "Pad", 7, "pads", []int{0, 0, 0, 0}),
	} {
		g := line(t, x, op, flatten)
		rewrite(t, g)
		if len(g.Nodes) != 1 || g.Nodes[0].In[0] != g.Inputs[0] {
			t.Errorf("%s: %d nodes are left, want Flatten alone", op, len(g.Nodes))
		}
		g = line(t, x, op)
		rewrite(t, g)
		if len(g.Nodes) != 1 || g.Outputs[0].Name != op.String() {
			t.Errorf("%s: the graph's output is lost or renamed", op)
		}
	}
}

func TestWhatChangesSomethingIsKept(t *testing.T) {
	x := tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{3, 3}}
	for _, op := range []graph.Op{
		build(t, "Cast", 13, "to", 11),
		build(t, "Transpose", 13),
		build(t, "Pad", 7, "pads", []int{1, 0, -1, 0}),
	} {
		g := line(t, x, op, build(t, "Flatten", 13))
		rewrite(t, g)
		if len(g.Nodes) != 2 {
			t.Errorf("%s: %d nodes are left, want 2", op, len(g.Nodes))
		}
	}
}
