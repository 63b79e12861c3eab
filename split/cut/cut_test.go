package cut

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/split"
)

// mix is a test operator: a sum of its inputs with different weights, so that
// an exchange of two values shows.
type mix struct{}

func (mix) String() string { return "mix" }

func (mix) Infer(in []graph.Fact) ([]graph.Fact, error) {
	return []graph.Fact{{Type: in[0].Type}}, nil
}

func (mix) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return graph.Kernel{Steps: []graph.Step{{N: out[0].Shape.Elems(), Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		s := float32(0)
		for k, t := range in {
			s = s*0.7 + float32(k+1)*t.F32()[i]
		}
		out[0].F32()[i] = s
		return nil
	}}}}, nil
}

var vector = tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{4}}

func add(g *graph.Graph, name string, in ...*graph.Value) *graph.Value {
	vs, err := g.Add(name, mix{}, nil, in, name)
	if err != nil {
		panic(err)
	}
	return vs[0]
}

func crossing(c Cut) (names []string) {
	for _, v := range c.Values {
		names = append(names, v.Name)
	}
	return names
}

// A residual block read by hand: x -> a, a -> b, (a, b) -> c, and a constant
// that never crosses.
func TestATensorReadTwiceCrossesOnce(t *testing.T) {
	g := &graph.Graph{}
	x := g.Input("x", vector)
	k := graph.Constant("k", tensortest.Random(1, 4))
	a := add(g, "a", x, k)
	b := add(g, "b", a)
	c := add(g, "c", a, b, a)
	d := add(g, "d", c, k)
	g.Outputs = []*graph.Value{d}
	want := [][]string{{"x"}, {"a"}, {"a", "b"}, {"c"}, {"d"}}
	cuts := Find(g, 0)
	if len(cuts) != len(want) {
		t.Fatalf("got %d cuts, want %d", len(cuts), len(want))
	}
	for i, c := range cuts {
		if c.Position != i || !slices.Equal(crossing(c), want[i]) || c.Bytes != 16*len(want[i]) {
			t.Errorf("cut %d: got position %d, %v, %d bytes; want %v", i, c.Position, crossing(c), c.Bytes, want[i])
		}
	}
	var narrow []int
	for _, c := range Find(g, 1) {
		narrow = append(narrow, c.Position)
	}
	if want := []int{0, 1, 3, 4}; !slices.Equal(narrow, want) {
		t.Errorf("cuts of width 1 at %v, want %v", narrow, want)
	}
}

func TestEarlyOutputsAndInputsPassBy(t *testing.T) {
	g := &graph.Graph{}
	x, y := g.Input("x", vector), g.Input("y", vector)
	a := add(g, "a", x)
	b := add(g, "b", a)
	c := add(g, "c", b, y)
	g.Outputs = []*graph.Value{c, a}
	for p, want := range [][]string{{"x", "y"}, {"y", "a"}, {"y", "a", "b"}, {"c", "a"}} {
		if got := crossing(Find(g, 0)[p]); !slices.Equal(got, want) {
			t.Errorf("position %d: got %v, want %v", p, got, want)
		}
	}
}

func TestExtractRefusesSegmentsBeyondTheGraph(t *testing.T) {
	g := &graph.Graph{}
	g.Outputs = []*graph.Value{add(g, "a", g.Input("x", vector))}
	for _, s := range []split.Segment{{From: -1, To: 1}, {From: 0, To: 2}, {From: 1, To: 1}, {From: 1, To: 0}} {
		if _, err := Extract(g, s); err == nil {
			t.Errorf("segment %v: no error", s)
		}
	}
}

func run(t *rapid.T, g *graph.Graph, in []*tensor.Tensor) []*tensor.Tensor {
	p, err := engine.Compile(g, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.NewSession().Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSplitEqualsWholeOnRandomGraphs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		g := &graph.Graph{}
		vs := []*graph.Value{g.Input("x", vector), g.Input("y", vector), graph.Constant("k", tensortest.Random(3, 4))}
		n := rapid.IntRange(1, 20).Draw(t, "layers")
		for i := range n {
			in := []*graph.Value{vs[r.IntN(2)+(len(vs)-2)*r.IntN(2)]}
			for r.IntN(2) == 0 {
				in = append(in, vs[r.IntN(len(vs))])
			}
			if v := add(g, fmt.Sprint("n", i), in...); v.Const == nil {
				vs = append(vs, v)
			}
		}
		for range 1 + r.IntN(3) {
			g.Outputs = append(g.Outputs, vs[r.IntN(len(vs))])
		}
		if len(g.Nodes) == 0 {
			return
		}
		in := []*tensor.Tensor{tensortest.Random(1, 4), tensortest.Random(2, 4)}
		want := run(t, g, in)

		data := in
		for from := 0; from < len(g.Nodes); {
			to := from + 1 + r.IntN(len(g.Nodes)-from)
			part, err := Extract(g, split.Segment{From: from, To: to})
			if err != nil {
				t.Fatal(err)
			}
			if err := part.Check(); err != nil {
				t.Fatal(err)
			}
			data = run(t, part, data)
			from = to
		}
		for i := range want {
			if !data[i].Identical(want[i]) {
				t.Fatalf("output %d: got %v, want %v", i, data[i].F32(), want[i].F32())
			}
		}
	})
}
