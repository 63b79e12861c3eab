package ops

import (
	"math"
	"slices"
	"strings"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// spatialPad is a Pad of zeros of the spatial dimensions of x.
func spatialPad(t *testing.T, g *graph.Graph, x *graph.Value, pads ...int64) *graph.Value {
	half := len(pads) / 2
	all := slices.Concat([]int64{0, 0}, pads[:half], []int64{0, 0}, pads[half:])
	return add(t, g, build(t, "Pad", 13), x, literal(tensor.Of(all, len(all))))
}

func names(g *graph.Graph) string {
	var s []string
	for _, n := range g.Nodes {
		s = append(s, n.Op.String())
	}
	return strings.Join(s, " ")
}

func TestPoolsTakeInPadsBitForBit(t *testing.T) {
	atEachLevel(t, "TestPoolsTakeInPadsBitForBit", func(t *testing.T) {
		for _, c := range []struct {
			x     []int
			pads  [][]int64 // of Pads in a row
			attrs []any
			left  string // of the Pads and the pool, without the pool's name
		}{
			{[]int{1, 20, 9, 8}, [][]int64{{1, 1, 1, 1}}, []any{"kernel_shape", []int{3, 3}, "strides", []int{2, 2}}, "[3x3,s2]+Pad"},
			{[]int{2, 5, 9, 8}, [][]int64{{0, 2, 3, 1}}, []any{"kernel_shape", []int{3, 2}, "dilations", []int{2, 1}}, "[3x2,d2x1]+Pad"},
			{[]int{1, 16, 6, 7}, [][]int64{{0, 0, 1, 1}, {-1, -1, 0, 0}}, []any{"kernel_shape", []int{1, 1}, "strides", []int{2, 2}}, "[1x1,s2]+Pad"},
			{[]int{1, 16, 6, 7}, [][]int64{{2, -2, 1, 3}, {-1, 0, -1, 1}}, []any{"kernel_shape", []int{2, 2}}, "[2x2]+Pad"},
			{[]int{1, 16, 9}, [][]int64{{5, 4}}, []any{"kernel_shape", []int{3}}, "[3]+Pad"},
			{[]int{1, 16, 6, 7}, [][]int64{{-1, 0, 0, 0}, {1, 0, 0, 0}}, []any{"kernel_shape", []int{2, 2}}, "Pad[constant] [2x2]+Pad"},
			{[]int{1, 16, 9, 8}, [][]int64{{1, 1, 1, 1}}, []any{"kernel_shape", []int{3, 3}, "pads", []int{0, 1, 0, 0}}, "Pad[constant] [3x3]"},
			{[]int{1, 16, 9, 8}, [][]int64{{1, 1, 1, 1}}, []any{"kernel_shape", []int{3, 3}, "strides", []int{2, 2}, "ceil_mode", 1}, "Pad[constant] [3x3,s2]"},
			{[]int{1, 16, 9, 8}, [][]int64{{1, 1, 1, 1}}, []any{"kernel_shape", []int{3, 3}, "auto_pad", "SAME_UPPER"}, "Pad[constant] [3x3]"},
			{[]int{1, 2, 5, 4, 6}, [][]int64{{1, 1, 1, 1, 1, 1}}, []any{"kernel_shape", []int{2, 2, 2}}, "Pad[constant] [2x2x2]"},
		} {
			for _, name := range []string{"MaxPool", "AveragePool"} {
				if name == "AveragePool" && slices.Contains(c.attrs, any("dilations")) {
					continue
				}
				g := &graph.Graph{}
				y := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: c.x})
				for _, p := range c.pads {
					y = spatialPad(t, g, y, p...)
				}
				g.Outputs = []*graph.Value{add(t, g, build(t, name, 12, c.attrs...), y)}
				x := reals(source(3), c.x...)
				for i, v := range []float32{float32(math.NaN()), inf, -inf, -1} {
					x.F32()[i*7%len(x.F32())] = v
				}
				got := rewritten(t, g)
				if left := strings.ReplaceAll(names(got), name, ""); left != c.left {
					t.Errorf("%s of %v, pads %v: left with %q, want %q", name, c.x, c.pads, left, c.left)
				}
				want := runGraph(t, g, []*tensor.Tensor{x})[0]
				if y := runGraph(t, got, []*tensor.Tensor{x})[0]; !y.Identical(want) {
					t.Errorf("%s of %v, pads %v: %v", name, c.x, c.pads, tensortest.Diff(y, want, 0, 0))
				}
			}
		}
	})
}

func TestPadWithAnotherValueStays(t *testing.T) {
	g := &graph.Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 16, 5, 5}})
	y := add(t, g, build(t, "Pad", 7, "pads", []int{0, 0, 1, 1, 0, 0, 1, 1}, "value", negativeZero), x)
	g.Outputs = []*graph.Value{add(t, g, build(t, "MaxPool", 12, "kernel_shape", []int{3, 3}), y)}
	if got := names(rewritten(t, g)); got != "Pad[constant] MaxPool[3x3]" {
		t.Errorf("got %q, want the Pad of -0 and the MaxPool", got)
	}
}

func TestAlikeNodesAreMerged(t *testing.T) {
	pool := []any{"kernel_shape", []int{2, 2}}
	g := &graph.Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 16, 5, 5}})
	relu := func() *graph.Value { return add(t, g, build(t, "Relu", 14), x) }
	average := func(x *graph.Value, attrs ...any) *graph.Value {
		return add(t, g, build(t, "AveragePool", 11, append(attrs, pool...)...), x)
	}
	a, b, output := relu(), relu(), relu()
	p, q, other := spatialPad(t, g, a, 0, 3, 3, 0), spatialPad(t, g, b, 0, 3, 3, 0), spatialPad(t, g, b, 1, 1, 1, 1)
	sum := add(t, g, build(t, "Add", 14), average(b), average(a))
	g.Outputs = []*graph.Value{output, p, add(t, g, build(t, "Sigmoid", 13), q), other, sum, average(a, "strides", []int{2, 2})}
	got := rewritten(t, g)
	if s, want := names(got), "Relu Relu Pad[constant] Pad[constant] AveragePool[2x2] Add Sigmoid AveragePool[2x2,s2]"; s != want {
		t.Errorf("got nodes %q, want %q", s, want)
	}
	in := []*tensor.Tensor{reals(source(1), 1, 16, 5, 5)}
	want := runGraph(t, g, in)
	for i, y := range runGraph(t, got, in) {
		if !y.Identical(want[i]) {
			t.Errorf("output %d differs", i)
		}
	}
}

func TestManyReadersOfAValueDoNotTakeLong(t *testing.T) {
	g := &graph.Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 1, 1}})
	for i := range int64(2000) {
		g.Outputs = append(g.Outputs, spatialPad(t, g, x, i, 0))
	}
	if got := rewritten(t, g); len(got.Nodes) != 2000 {
		t.Errorf("got %d nodes, want the 2000 different ones", len(got.Nodes))
	}
}
