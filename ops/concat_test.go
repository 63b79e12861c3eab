package ops

import (
	"maps"
	"slices"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

func TestConcatKeepsEveryElementInItsPlace(t *testing.T) {
	types := []tensor.DType{tensor.Bool, tensor.Float16, tensor.Float32, tensor.Uint64}
	for _, d := range types {
		for _, c := range []struct {
			axis    int
			shape   []int // but for axis
			lengths []int
		}{
			{0, []int{0}, []int{3}},
			{0, []int{0}, []int{1, 0, 4}},
			{-1, []int{2, 3, 0}, []int{1, 2, 1}},
			{1, []int{2, 0, 3}, []int{4, 1}},
			{-3, []int{0, 2, 3}, []int{2, 2}},
			{1, []int{0, 0, 3}, []int{2, 2}},
			{1, []int{3, 0, 31, 13}, []int{64, 5, 100}},
		} {
			var in []any
			at := c.axis
			if at < 0 {
				at += len(c.shape)
			}
			var parts []*tensor.Tensor
			for i, n := range c.lengths {
				shape := slices.Clone(c.shape)
				shape[at] = n
				x := numbered(d, shape...)
				for j := range x.Raw {
					x.Raw[j] += byte(i)
				}
				parts, in = append(parts, x), append(in, x)
			}
			y := apply(t, build(t, "Concat", 13, "axis", c.axis), in...)[0]
			seen := 0
			for start, i := 0, 0; i < len(parts); i++ {
				for _, from := range coordinates(parts[i].Shape) {
					to := slices.Clone(from)
					to[at] += start
					if element(y, to) != element(parts[i], from) {
						t.Fatalf("%v axis %d of %v: the element at %v is not that at %v of input %d", d, c.axis, c.lengths, to, from, i)
					}
					seen++
				}
				start += parts[i].Shape[at]
			}
			if y.Shape.Elems() != seen {
				t.Errorf("got %v, want %d elements", y.Shape, seen)
			}
		}
	}
}

func TestConcatRefusesWhatDoesNotFit(t *testing.T) {
	at := func(axis int) graph.Op { return build(t, "Concat", 13, "axis", axis) }
	checkShapes(t, []shapeCase{
		{"one", at(0), []any{float(2, 3)}, tensor.Shape{2, 3}},
		{"two", at(-1), []any{float(2, 3), float(2, 4)}, tensor.Shape{2, 7}},
		{"none", at(0), nil, nil},
		{"omitted", at(0), []any{float(2), nil}, nil},
		{"scalars", at(0), []any{float(), float()}, nil},
		{"other length", at(0), []any{float(2, 3), float(2, 4)}, nil},
		{"other rank", at(0), []any{float(2, 3), float(2)}, nil},
		{"other type", at(0), []any{float(2), tensor.New(tensor.Int32, 2)}, nil},
		{"axis beyond", at(2), []any{float(2, 3)}, nil},
		{"axis before", at(-3), []any{float(2, 3)}, nil},
		{"overflow", at(0), []any{
			&tensor.Tensor{Type: tensor.Type{DType: tensor.Uint8, Shape: tensor.Shape{int(^uint(0) >> 1)}}},
			&tensor.Tensor{Type: tensor.Type{DType: tensor.Uint8, Shape: tensor.Shape{1}}},
		}, nil},
	})
	if _, err := New("", "Concat", 13, nil); err == nil {
		t.Error("Concat without axis was accepted")
	}
}

func TestConcatInBlocksEqualsRowMajor(t *testing.T) {
	for _, c := range []struct {
		axis    int
		shapes  [][]int
		blocked bool
	}{
		{1, [][]int{{2, 16, 3, 5}, {2, 32, 3, 5}, {2, 48, 3, 5}}, true},
		{1, [][]int{{2, 16, 3, 5}, {2, 5, 3, 5}}, true},
		{1, [][]int{{2, 5, 3, 5}, {2, 16, 3, 5}}, true},
		{1, [][]int{{2, 11, 3, 5}, {2, 11, 3, 5}, {2, 11, 3, 5}, {2, 11, 3, 5}}, true},
		{1, [][]int{{2, 44, 3, 5}, {2, 44, 3, 5}, {2, 28, 3, 5}, {2, 168, 3, 5}}, true},
		{1, [][]int{{1, 17, 60, 61}, {1, 33, 60, 61}}, true},
		{1, [][]int{{2, 5, 3, 5}, {2, 5, 3, 5}, {2, 16, 3, 5}}, false},
		{-3, [][]int{{1, 64, 30, 31}, {1, 64, 30, 31}}, true},
		{0, [][]int{{2, 5, 3, 5}, {1, 5, 3, 5}}, true},
		{2, [][]int{{2, 5, 3, 5}, {2, 5, 4, 5}}, true},
		{-1, [][]int{{2, 20, 3, 5}, {2, 20, 3, 1}}, true},
		{1, [][]int{{2, 16, 7}, {2, 17, 7}}, true},
	} {
		var in []any
		for i, s := range c.shapes {
			in = append(in, tensortest.Random(uint64(i), s...))
		}
		op := build(t, "Concat", 13, "axis", c.axis)
		want := apply(t, op, in...)[0]
		got, blocked := applyBlocked(t, op, in...)
		if blocked != c.blocked || !got.Identical(want) {
			t.Errorf("axis %d of %v: identical %v, blocked %v, want true, %v", c.axis, c.shapes, got.Identical(want), blocked, c.blocked)
		}
	}
}

func TestConcatOfRowMajorOrConstantsIsRowMajor(t *testing.T) {
	op := build(t, "Concat", 13, "axis", 1)
	x := graph.Fact{Type: tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 16, 2, 2}}}
	y := x
	y.Shape = tensor.Shape{1, 32, 2, 2}
	blocked, constant := x, graph.Constant("", float(1, 16, 2, 2)).Fact
	blocked.Layout = nchw16c{}
	for _, in := range [][]graph.Fact{{x, x}, {blocked, constant}} {
		if want, give := op.(graph.Layouter).Layouts(in, []graph.Fact{y}); want[0] != nil || want[1] != nil || give[0] != nil {
			t.Errorf("%v: got %v and %v, want row-major", in, want, give)
		}
	}
}

func TestConcatSaysWhereItsPartsLie(t *testing.T) {
	fact := func(l graph.Layout, shape ...int) graph.Fact {
		return graph.Fact{Type: tensor.Type{DType: tensor.Float32, Shape: shape}, Layout: l}
	}
	for _, c := range []struct {
		axis    int
		in      []graph.Fact
		out     graph.Fact
		offsets []int // nil if parts lie in several places
	}{
		{0, []graph.Fact{fact(nil, 2, 3), fact(nil, 1, 3)}, fact(nil, 3, 3), []int{0, 24}},
		{1, []graph.Fact{fact(nil, 1, 2, 5), fact(nil, 1, 1, 5)}, fact(nil, 1, 3, 5), []int{0, 40}},
		{1, []graph.Fact{fact(nil, 2, 2, 5), fact(nil, 2, 1, 5)}, fact(nil, 2, 3, 5), nil},
		{1, []graph.Fact{fact(nchw16c{}, 1, 16, 2, 3), fact(nchw16c{}, 1, 5, 2, 3)}, fact(nchw16c{}, 1, 21, 2, 3), []int{0, 16 * 6 * 4}},
		{1, []graph.Fact{fact(nchw16c{}, 2, 16, 2, 3), fact(nchw16c{}, 2, 5, 2, 3)}, fact(nchw16c{}, 2, 21, 2, 3), nil},
		{2, []graph.Fact{fact(nchw16c{}, 1, 16, 2, 3), fact(nchw16c{}, 1, 16, 1, 3)}, fact(nchw16c{}, 1, 16, 3, 3), []int{0, 2 * 3 * 16 * 4}},
		{2, []graph.Fact{fact(nchw16c{}, 1, 17, 2, 3), fact(nchw16c{}, 1, 17, 1, 3)}, fact(nchw16c{}, 1, 17, 3, 3), nil},
	} {
		k, err := build(t, "Concat", 13, "axis", c.axis).Compile(c.in, []graph.Fact{c.out})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(k.Parts, c.offsets) {
			t.Errorf("axis %d of %v: got parts at %v, want %v", c.axis, c.in, k.Parts, c.offsets)
		}
	}
}

// A rectified concatenation becomes one of rectified parts, which convolutions
// give as such; parts that are read elsewhere stay what they are there.
func TestConcatenatedConvolutionsRectifyTheirResults(t *testing.T) {
	for _, readTwice := range []bool{false, true} {
		g := &graph.Graph{}
		x := reals(source(1), 1, 16, 6, 5)
		p := g.Input("x", x.Type)
		a := add(t, g, build(t, "Conv", 11), p, literal(reals(source(2), 20, 16, 1, 1)))
		b := norm(t, source(3), g, add(t, g, build(t, "Conv", 11, "pads", []int{1, 1, 1, 1}), p, literal(reals(source(4), 12, 16, 3, 3))))
		y := add(t, g, build(t, "Relu", 14), add(t, g, build(t, "Concat", 13, "axis", 1), a, p, b))
		other := p
		if readTwice {
			other = b
		}
		sigmoid := build(t, "Sigmoid", 13)
		g.Outputs = []*graph.Value{y, add(t, g, sigmoid, add(t, g, build(t, "Relu", 14), p)), add(t, g, sigmoid, other)}
		fused := rewritten(t, g)
		counts := map[string]int{}
		for _, n := range fused.Nodes {
			counts[n.Op.String()]++
		}
		want := map[string]int{"Conv+Relu": 1, "Conv+BN+Relu": 1, "Concat[axis 1]": 1, "Relu": 1, "Sigmoid": 2}
		if readTwice {
			delete(want, "Conv+BN+Relu")
			want["Conv+BN"], want["Relu"] = 1, 2
		}
		if !maps.Equal(counts, want) {
			t.Errorf("read twice %v: got %v, want %v", readTwice, counts, want)
		}
		run := []*tensor.Tensor{x}
		for i, got := range runGraph(t, fused, run) {
			if !got.Identical(runGraph(t, g, run)[i]) {
				t.Errorf("read twice %v: the bits of output %d differ", readTwice, i)
			}
		}
	}
}

// Without a convolution that would do it, nothing is gained.
func TestOtherConcatenationsAreRectifiedWhole(t *testing.T) {
	g := &graph.Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 16, 2, 2}})
	g.Outputs = []*graph.Value{add(t, g, build(t, "Relu", 14), add(t, g, build(t, "Concat", 13, "axis", 1), x, x))}
	if n := len(rewritten(t, g).Nodes); n != 2 {
		t.Errorf("got %d nodes, want 2", n)
	}
}
