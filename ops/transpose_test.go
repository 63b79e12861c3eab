package ops

import (
	"slices"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// permutations returns all orders of 0 to n-1.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{{}}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(p), i, n-1))
		}
	}
	return all
}

func checkTransposed(t *testing.T, x, y *tensor.Tensor, perm []int) {
	t.Helper()
	for _, c := range coordinates(y.Shape) {
		from := make([]int, len(c))
		for i, d := range perm {
			from[d] = c[i]
		}
		if element(y, c) != element(x, from) {
			t.Errorf("%v by %v: the element at %v is not x's at %v", x.Type, perm, c, from)
			return
		}
	}
}

func TestTransposeMovesEveryElement(t *testing.T) {
	types := []tensor.DType{tensor.Bool, tensor.BFloat16, tensor.Float32, tensor.Int64}
	for _, d := range types {
		for _, shape := range []tensor.Shape{{}, {5}, {3, 4}, {0, 3}, {2, 1, 3}, {2, 3, 4}, {2, 3, 1, 5}, {3, 2, 5, 4}} {
			x := numbered(d, shape...)
			for _, perm := range permutations(len(shape)) {
				y := apply(t, build(t, "Transpose", 13, "perm", perm), x)[0]
				for i, p := range perm {
					if y.Shape[i] != shape[p] {
						t.Fatalf("%v by %v: got %v", x.Type, perm, y.Shape)
					}
				}
				checkTransposed(t, x, y, perm)
			}
		}
	}
}

func TestTransposeThatMovesNothingIsAView(t *testing.T) {
	for _, c := range []struct {
		shape, perm []int
		view        bool
	}{
		{[]int{2, 1, 3}, []int{1, 0, 2}, true},
		{[]int{1, 64, 1, 1}, []int{0, 2, 3, 1}, true},
		{[]int{2, 0, 3}, []int{2, 1, 0}, true},
		{[]int{2, 3}, []int{0, 1}, true},
		{[]int{2, 1, 3}, []int{2, 1, 0}, false},
	} {
		op, in := build(t, "Transpose", 13, "perm", c.perm), factsOf([]any{float(c.shape...)})
		out, err := op.Infer(in)
		if err != nil {
			t.Fatal(err)
		}
		if k, err := op.Compile(in, out); err != nil || k.View != c.view {
			t.Errorf("%v by %v: view %v, error %v, want view %v", c.shape, c.perm, k.View, err, c.view)
		}
	}
}

func TestTransposeSharesLargeTensors(t *testing.T) {
	for _, d := range []tensor.DType{tensor.Uint8, tensor.Float16, tensor.Float32, tensor.Float64} {
		for _, c := range []struct{ shape, perm []int }{
			{[]int{257, 301}, []int{1, 0}},
			{[]int{2, 67, 33, 31}, []int{0, 2, 3, 1}},
			{[]int{2, 33, 31, 67}, []int{0, 3, 1, 2}},
			{[]int{3, 8, 16, 211}, []int{0, 2, 1, 3}},
			{[]int{130, 3, 140}, []int{2, 1, 0}},
		} {
			x := numbered(d, c.shape...)
			checkTransposed(t, x, apply(t, build(t, "Transpose", 13, "perm", c.perm), x)[0], c.perm)
		}
	}
}

func TestTransposeReversesByDefault(t *testing.T) {
	x := numbered(tensor.Int32, 2, 3, 4)
	y := apply(t, build(t, "Transpose", 7), x)[0]
	if !y.Shape.Equal(tensor.Shape{4, 3, 2}) {
		t.Fatalf("got %v, want [4 3 2]", y.Shape)
	}
	checkTransposed(t, x, y, []int{2, 1, 0})
}

func TestTransposeRefusesWhatIsNoPermutation(t *testing.T) {
	for _, perm := range [][]int{{0}, {0, 0}, {0, 2}, {-1, 0}, {0, 1, 2}, {-1 << 31, 1<<31 - 1}} {
		op := build(t, "Transpose", 13, "perm", perm)
		checkShapes(t, []shapeCase{{op.String(), op, []any{float(2, 3)}, nil}})
	}
}

func TestTransposesInARowBecomeOne(t *testing.T) {
	x := tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{2, 3, 4, 5}}
	nhwc, nchw := build(t, "Transpose", 13, "perm", []int{0, 2, 3, 1}), build(t, "Transpose", 13, "perm", []int{0, 3, 1, 2})
	end := build(t, "Flatten", 13)

	g := line(t, x, nhwc, build(t, "Transpose", 13), end)
	rewrite(t, g)
	if len(g.Nodes) != 2 {
		t.Fatalf("%d nodes are left, want 2", len(g.Nodes))
	}
	// (n, c, h, w) becomes (n, h, w, c), and reversed (c, w, h, n).
	if op := g.Nodes[0].Op.(transpose); !slices.Equal(op.perm, []int{1, 3, 2, 0}) {
		t.Errorf("got %v, want [1 3 2 0]", op.perm)
	}

	g = line(t, x, nhwc, nchw, end)
	rewrite(t, g)
	if len(g.Nodes) != 1 {
		t.Errorf("%d nodes are left of a transpose and its inverse, want Flatten alone", len(g.Nodes))
	}
}

func TestTransposeThatIsReadTwiceIsMergedForOneReader(t *testing.T) {
	g := &graph.Graph{}
	v := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{2, 3}})
	for _, name := range []string{"a", "b"} {
		vs, err := g.Add(name, build(t, "Transpose", 13), nil, []*graph.Value{v}, name)
		if err != nil {
			t.Fatal(err)
		}
		v = vs[0]
		g.Outputs = append(g.Outputs, v)
	}
	rewrite(t, g)
	b := g.Nodes[1]
	if len(g.Nodes) != 2 || b.In[0] != g.Inputs[0] || !slices.Equal(b.Op.(transpose).perm, []int{0, 1}) {
		t.Errorf("b is %v of %q, want the identity of x", b.Op, b.In[0].Name)
	}
}
