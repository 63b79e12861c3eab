package ops

import (
	"math/rand/v2"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// TestChannelsMoveBetweenTheEndAndBlocks puts the channels of NCHW16c to the end
// and back to it.
func TestChannelsMoveBetweenTheEndAndBlocks(t *testing.T) {
	for _, s := range []tensor.Shape{{1, 16, 5, 7}, {2, 40, 3, 4}, {1, 7, 2, 2}, {3, 33, 1, 9}, {1, 64, 1, 1}} {
		r := rand.New(rand.NewPCG(5, 6))
		x := reals(r, s...)
		g := &graph.Graph{}
		last := add(t, g, build(t, "Transpose", 13, "perm", []int{0, 2, 3, 1}), g.Input("x", x.Type))
		back := add(t, g, build(t, "Abs", 13), add(t, g, build(t, "Transpose", 13, "perm", []int{0, 3, 1, 2}), last))
		g.Outputs = []*graph.Value{last, back}
		// Two transposes in a row would cancel, so the second reads an input of its own.
		g.Inputs = append(g.Inputs, &graph.Value{Name: "y", Fact: last.Fact})
		g.Nodes[1].In[0] = g.Inputs[1]
		joined := rewritten(t, g)
		y := tensor.New(tensor.Float32, last.Shape...)
		for i, v := range x.F32() {
			w, h, c, n := i%s[3], i/s[3]%s[2], i/(s[2]*s[3])%s[1], i/(s[1]*s[2]*s[3])
			y.F32()[((n*s[2]+h)*s[3]+w)*s[1]+c] = v
		}
		for _, blocked := range []bool{false, true} {
			got := runGraphFrom(t, joined, []*tensor.Tensor{x, y}, blocked)
			if !got[0].Identical(y) {
				t.Errorf("%v, blocked %v: channels last is wrong", s, blocked)
			}
			if want := apply(t, build(t, "Abs", 13), x)[0]; !got[1].Identical(want) {
				t.Errorf("%v, blocked %v: channels first is wrong", s, blocked)
			}
		}
	}
}

func TestTransposeGivesBlocksToWhoTakesThem(t *testing.T) {
	for perm, want := range map[[4]int]bool{{0, 3, 1, 2}: true, {0, 2, 1, 3}: false} {
		g := line(t, tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 6, 6, 32}},
			build(t, "Transpose", 13, "perm", perm[:]), build(t, "Relu", 14))
		rewrite(t, g)
		op := g.Nodes[0].Op.(graph.Layouter)
		facts := graph.Facts(g.Nodes[0].In)
		out, err := g.Nodes[0].Op.Infer(facts)
		if err != nil {
			t.Fatal(err)
		}
		if _, give := op.Layouts(facts, out); (give[0] != nil) != want {
			t.Errorf("Transpose%v gives layout %v, want blocks: %v", perm, give[0], want)
		}
	}
}
