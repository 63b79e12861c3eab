package run

import (
	"context"
	"slices"
	"testing"
	"time"

	"scission/bench/zoo"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/split"
	"scission/split/cut"
)

func network(t *testing.T, name string) (*graph.Graph, []*tensor.Tensor) {
	t.Helper()
	g, err := zoo.Build(name)
	if err != nil {
		t.Fatal(err)
	}
	return g, []*tensor.Tensor{tensortest.Random(1, g.Inputs[0].Shape...)}
}

func wholeSeams(t *testing.T, name string) *seams {
	t.Helper()
	g, in := network(t, name)
	n := &Node{Name: "device", Threads: 1}
	plan, err := n.compile(g, split.Segment{From: 0, To: len(g.Nodes)}, n.memory())
	if err != nil {
		t.Fatal(err)
	}
	return newSeams(n, g, planNodes(plan, 0), cut.Find(g, 1), in)
}

// What the small pieces around a cut tell is what really is compiled: the nodes
// of the whole plan, less those that the cut spares and with those that it adds,
// are the nodes of both real stages.
func TestSeamTellsTheNodesOfRealStages(t *testing.T) {
	for name, step := range map[string]int{"mobilenetv2": 6, "densenet121": 15} {
		w := wholeSeams(t, name)
		layers := len(w.graph.Nodes)
		for i := 1; i < len(w.narrow)-1; i += step {
			p := w.narrow[i]
			s, err := w.seam(p)
			if err != nil {
				t.Fatal(err)
			}
			if from, to := s.joined.segment.From, s.joined.segment.To; to-from > layers/2 {
				t.Errorf("%s, cut %d: pieces from %d to %d of %d layers, want small ones", name, p, from, to, layers)
			}
			if !w.compare(s, p) { // once more, since seam leaves out what is noise
				t.Errorf("%s, cut %d: the joined piece is not as in the whole", name, p)
			}
			count := map[string]int{}
			for _, n := range w.plan {
				count[n.key]++
			}
			for _, c := range []struct {
				change
				side *piece
			}{{s.leave, s.before}, {s.enter, s.behind}} {
				for _, k := range c.added {
					count[c.side.nodes[k].key]++
				}
				for _, k := range c.spared {
					count[s.joined.nodes[k].key]--
				}
			}
			for _, segment := range []split.Segment{{From: 0, To: p}, {From: p, To: layers}} {
				plan, err := w.node.compile(w.graph, segment, w.node.memory())
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range planNodes(plan, segment.From) {
					count[n.key]--
				}
			}
			for key, k := range count {
				if k != 0 {
					t.Errorf("%s, cut %d: %+d of %s", name, p, k, key)
				}
			}
		}
	}
}

// What crosses a cut is the same however the pieces before it lie.
func TestSeamsGiveWhatCrossesACut(t *testing.T) {
	w := wholeSeams(t, "mobilenetv2")
	ctx := context.Background()
	for _, p := range []int{w.narrow[3], w.narrow[40], w.narrow[30]} {
		direct, err := w.node.newPiece(w.graph, split.Segment{From: 0, To: p})
		if err != nil {
			t.Fatal(err)
		}
		want, err := direct.session.Run(ctx, w.tensors[0])
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.at(ctx, p)
		if err != nil || len(got) != len(want) || !got[0].Identical(want[0]) {
			t.Errorf("position %d: got other tensors than the part before it gives, error %v", p, err)
		}
	}
	for p := range 2 * maxRecent {
		w.keep(1000+p, nil)
	}
	if len(w.tensors) != maxRecent+1 || w.tensors[0] == nil {
		t.Errorf("%d positions are kept, want %d and the inputs", len(w.tensors), maxRecent)
	}
}

func TestWhatOnlyLosesAJoinedLayerCostsNothing(t *testing.T) {
	node := func(layers []int, kernel, layout string) planNode {
		var n planNode
		n.Layers, n.Kernel, n.Layout = layers, kernel, layout
		return n
	}
	side := &piece{nodes: []planNode{node([]int{4}, "direct", "a > a"), node([]int{5}, "direct", "- > a"), node(nil, "unpack", "a > -")},
		took: []time.Duration{100, 100, 7}}
	joined := &piece{nodes: []planNode{node([]int{4, 6}, "direct", "a > a"), node([]int{5}, "direct", "a > a")}, took: []time.Duration{90, 60}}
	c := change{added: []int{0, 1, 2}, spared: []int{0, 1}}
	c.drop(side, joined)
	if !slices.Equal(c.added, []int{1, 2}) || !slices.Equal(c.spared, []int{1}) {
		t.Errorf("got %+v, want the first node of each dropped", c)
	}
	if got := c.took(side, joined); got != 47 {
		t.Errorf("took %d longer, want 47", got)
	}
	side.took[1] = 1
	if got := c.took(side, joined); got != 0 {
		t.Errorf("took %d longer, want 0 for less than none", got)
	}
}
