package tile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"scission/bench/zoo"
	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/ops"
	"scission/split"
	"scission/split/cut"
)

// network builds graphs of operators for tests.
type network struct {
	*graph.Graph
	r    *rand.Rand
	last *graph.Value
}

func newNetwork(seed uint64, shape ...int) *network {
	n := &network{Graph: &graph.Graph{Name: "net"}, r: rand.New(rand.NewPCG(seed, 1))}
	n.last = n.Input("x", tensor.Type{DType: tensor.Float32, Shape: shape})
	return n
}

func (n *network) constant(shape ...int) *graph.Value {
	return graph.Constant("c", tensortest.Random(n.r.Uint64(), shape...))
}

// add appends a node of an operator whose attributes are pairs of name and value.
func (n *network) add(name string, attrs []any, in ...*graph.Value) *graph.Value {
	v, err := n.try(name, attrs, in...)
	if err != nil {
		panic(err)
	}
	return v
}

func (n *network) try(name string, attrs []any, in ...*graph.Value) (*graph.Value, error) {
	var list []graph.Attr
	for i := 0; i < len(attrs); i += 2 {
		v := attrs[i+1]
		switch x := v.(type) {
		case int:
			v = int64(x)
		case []int:
			var l []int64
			for _, e := range x {
				l = append(l, int64(e))
			}
			v = l
		}
		list = append(list, graph.Attr{Name: attrs[i].(string), Value: v})
	}
	op, err := ops.New("", name, 13, list)
	if err != nil {
		return nil, err
	}
	out, err := n.Add(fmt.Sprint(name, len(n.Nodes)), op, nil, in, fmt.Sprint("v", len(n.Nodes)))
	if err != nil {
		return nil, err
	}
	n.last = out[0]
	return out[0], nil
}

func (n *network) done(out ...*graph.Value) *graph.Graph {
	if out == nil {
		out = []*graph.Value{n.last}
	}
	n.Outputs = out
	return n.Graph
}

func (n *network) conv(x *graph.Value, channels, kernel int, attrs ...any) *graph.Value {
	group := 1
	for i := 0; i < len(attrs); i += 2 {
		if attrs[i] == "group" {
			group = attrs[i+1].(int)
		}
	}
	return n.add("Conv", attrs, x, n.constant(channels, x.Shape[1]/group, kernel, kernel), n.constant(channels))
}

func compiled(t testing.TB, g *graph.Graph, in []*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	p, err := engine.Compile(g, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.NewSession().Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tiled runs a segment by workers and returns what they give together.
func tiled(t testing.TB, p *Plan, in []*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	if err := p.Check(in); err != nil {
		t.Fatal(err)
	}
	var out []*tensor.Tensor
	for _, v := range p.Outputs {
		out = append(out, tensor.New(v.DType, v.Shape...))
	}
	p.Pass(in, out)
	for w := range p.Tiles {
		g, layers, err := p.Graph(w)
		if err != nil {
			t.Fatal(err)
		}
		if len(layers) != len(g.Nodes) {
			t.Fatalf("worker %d: %d nodes, layers of %d", w, len(g.Nodes), len(layers))
		}
		types, _ := p.Types(w)
		var part []*tensor.Tensor
		for _, ty := range types {
			part = append(part, tensor.New(ty.DType, ty.Shape...))
		}
		p.Take(w, in, part)
		p.Give(w, compiled(t, g, part), out)
	}
	return out
}

// same checks that workers give what the whole segment gives.
func same(t testing.TB, g *graph.Graph, s split.Segment, shares []int) {
	t.Helper()
	p, err := New(g, s, shares)
	if err != nil {
		t.Fatal(err)
	}
	var in []*tensor.Tensor
	for i, v := range p.Inputs {
		in = append(in, tensortest.Random(uint64(i+7), v.Shape...))
	}
	part, err := cut.Extract(g, s)
	if err != nil {
		t.Fatal(err)
	}
	want := compiled(t, part, in)
	for i, got := range tiled(t, p, in) {
		if !got.Identical(want[i]) {
			t.Fatalf("layers %v, shares %v, output %d %v: %v", s, shares, i, want[i].Type, tensortest.Diff(got, want[i], 0, 0))
		}
	}
}

// Two convolutions of 3x3 over 16 rows: by hand, the upper half of the results
// needs 9 rows of what lies between and 10 of the input. Reading a weight takes as
// long as 8 products of it.
func TestAWorkerTakesTheHaloAndNoMore(t *testing.T) {
	n := newNetwork(1, 1, 3, 16, 8)
	n.conv(n.conv(n.last, 4, 3, "pads", []int{1, 1, 1, 1}), 4, 3, "pads", []int{1, 1, 1, 1})
	g := n.done()
	p, err := New(g, split.Segment{From: 0, To: 2}, []int{1, 1})
	if err != nil {
		t.Fatal(err)
	}
	for w, want := range []struct {
		in, out graph.Rows
		work    []float64
	}{{graph.Rows{From: 0, To: 10}, graph.Rows{From: 0, To: 8}, []float64{(9*8 + 8) / (16*8 + 8.), (8*8 + 8) / (16*8 + 8.)}}, {graph.Rows{From: 6, To: 16}, graph.Rows{From: 8, To: 16}, []float64{(9*8 + 8) / (16*8 + 8.), (8*8 + 8) / (16*8 + 8.)}}} {
		got := p.Tiles[w]
		if got.In[0] != want.in || got.Out[0] != want.out || got.Work[0] != want.work[0] || got.Work[1] != want.work[1] {
			t.Errorf("worker %d takes %v, gives %v and computes %v, want %+v", w, got.In, got.Out, got.Work, want)
		}
	}
}

// A strided pool by hand: windows of 3 at steps of 2 without padding, ceil_mode,
// over 12 rows give 6 rows; the last reaches beyond the input.
func TestAPoolTakesTheRowsOfItsWindows(t *testing.T) {
	n := newNetwork(1, 1, 3, 12, 12)
	n.add("MaxPool", []any{"kernel_shape", []int{3, 3}, "strides", []int{2, 2}, "ceil_mode", 1}, n.last)
	p, err := New(n.done(), split.Segment{From: 0, To: 1}, []int{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	want := [][2]graph.Rows{{{From: 0, To: 5}, {From: 0, To: 2}}, {{From: 4, To: 12}, {From: 2, To: 6}}}
	for w, tile := range p.Tiles {
		if tile.In[0] != want[w][0] || tile.Out[0] != want[w][1] {
			t.Errorf("worker %d takes %v and gives %v, want %v", w, tile.In, tile.Out, want[w])
		}
	}
}

// random appends layers that keep to images.
func (n *network) random(t *rapid.T, layers int) {
	values := []*graph.Value{n.last}
	draw := func(label string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, label) }
	for range layers {
		x := values[draw("input", max(0, len(values)-3), len(values)-1)]
		c := x.Shape[1]
		pads := []int{draw("top", 0, 2), draw("left", 0, 2), draw("bottom", 0, 2), draw("right", 0, 2)}
		var y *graph.Value
		var err error
		switch kind := draw("layer", 0, 11); kind {
		case 0, 1, 2, 3: // convolutions of all algorithms
			kernel := []int{1, 3, 5, 7}[draw("kernel", 0, 3)]
			channels := []int{8, 16, 32, 48}[draw("channels", 0, 3)]
			attrs := []any{"pads", pads}
			stride, dilation, group := draw("stride", 1, 2), []int{1, 2, 7}[draw("dilation", 0, 2)], 1
			switch kind {
			case 1: // what Winograd's algorithm takes
				stride, dilation = 1, 1
			case 2:
				channels, group = c, c
			case 3:
				if c%2 == 0 {
					group = 2
				}
			}
			attrs = append(attrs, "strides", []int{stride, stride}, "dilations", []int{dilation, dilation}, "group", group)
			if draw("auto pad", 0, 5) == 0 {
				attrs = append(attrs[2:], "auto_pad", []string{"SAME_UPPER", "SAME_LOWER", "VALID"}[draw("auto", 0, 2)])
			}
			wide := kernel
			if draw("line", 0, 4) == 0 {
				wide = 1
			}
			y, err = n.try("Conv", attrs, x, n.constant(channels, c/group, kernel, wide), n.constant(channels))
		case 4, 5:
			k := draw("window", 1, 4)
			for i := range pads {
				pads[i] = min(pads[i], k-1)
			}
			attrs := []any{"kernel_shape", []int{k, k}, "pads", pads, "strides", []int{draw("stride", 1, 3), 1}, "ceil_mode", draw("ceil", 0, 1)}
			name := "MaxPool"
			if kind == 5 {
				name = "AveragePool"
				attrs = append(attrs, "count_include_pad", draw("count pads", 0, 1))
			}
			y, err = n.try(name, attrs, x)
		case 6:
			variance := tensortest.Random(n.r.Uint64(), c)
			for i, v := range variance.F32() {
				variance.F32()[i] = v*v + 0.1
			}
			y, err = n.try("BatchNormalization", nil, x, n.constant(c), n.constant(c), n.constant(c), graph.Constant("variance", variance))
		case 7:
			y, err = n.try([]string{"Relu", "Sigmoid", "Tanh", "LeakyRelu", "Abs"}[draw("activation", 0, 4)], nil, x)
		case 8: // a branch that joins
			for _, other := range values {
				if other != x && other.Type.Equal(x.Type) {
					y, err = n.try([]string{"Add", "Mul"}[draw("op", 0, 1)], nil, x, other)
				}
			}
		case 9:
			for _, other := range values {
				if other != x && other.Shape[2] == x.Shape[2] && other.Shape[3] == x.Shape[3] {
					y, err = n.try("Concat", []any{"axis", 1}, x, other)
				}
			}
		case 10:
			p := tensor.New(tensor.Int64, 8)
			copy(p.I64(), []int64{0, 0, int64(pads[0]), int64(pads[1]), 0, 0, int64(pads[2]), int64(pads[3])})
			y, err = n.try("Pad", nil, x, graph.Constant("pads", p))
		case 11:
			shape := [][]int{{1, c, 1, 1}, {1, 1, x.Shape[2], x.Shape[3]}, {c, 1, 1}, {1}}[draw("constant", 0, 3)]
			y, err = n.try("Add", nil, x, n.constant(shape...))
		}
		if err != nil || y == nil || y.Shape.Elems() > 1<<18 {
			continue
		}
		values = append(values, y)
	}
	n.last = values[len(values)-1]
}

// Any segment of any network, by any workers, gives the bits of the whole.
func TestRowsOfWorkersAreRowsOfTheWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := newNetwork(rapid.Uint64().Draw(rt, "weights"), rapid.IntRange(1, 2).Draw(rt, "images"),
			[]int{1, 3, 8, 16, 32}[rapid.IntRange(0, 4).Draw(rt, "channels")], rapid.IntRange(9, 40).Draw(rt, "rows"), rapid.IntRange(5, 24).Draw(rt, "columns"))
		n.random(rt, rapid.IntRange(1, 8).Draw(rt, "layers"))
		if len(n.Nodes) == 0 {
			return
		}
		g := n.done()
		from := rapid.IntRange(0, len(g.Nodes)-1).Draw(rt, "from")
		s := split.Segment{From: from, To: rapid.IntRange(from+1, len(g.Nodes)).Draw(rt, "to")}
		shares := rapid.SliceOfN(rapid.IntRange(1, 3), 2, 4).Draw(rt, "shares")
		p, err := New(g, s, shares)
		if err != nil {
			if !strings.Contains(err.Error(), "gets no row") {
				rt.Fatal(err)
			}
			return
		}
		var in []*tensor.Tensor
		for i, v := range p.Inputs {
			in = append(in, tensortest.Random(uint64(i+7), v.Shape...))
		}
		part, err := cut.Extract(g, s)
		if err != nil {
			rt.Fatal(err)
		}
		want := compiled(t, part, in)
		for i, got := range tiled(t, p, in) {
			if !got.Identical(want[i]) {
				rt.Fatalf("layers %v, shares %v, output %d %v: %v", s, shares, i, want[i].Type, tensortest.Diff(got, want[i], 0, 0))
			}
		}
	})
}

// What the whole sums tap by tap, for much of what its kernel meets is padding, a part does as well that meets less.
func TestDilatedConvolutionsTile(t *testing.T) {
	for _, size := range [][2]int{{9, 8}, {20, 9}, {33, 12}} {
		for _, dilation := range []int{2, 4, 7} {
			n := newNetwork(5, 1, 48, size[0], size[1])
			pads := []int{dilation, dilation, dilation, dilation}
			n.conv(n.last, 32, 3, "pads", pads, "dilations", []int{dilation, dilation})
			g := n.done()
			for _, shares := range [][]int{{1, 1}, {3, 1}, {2, 3, 1}} {
				same(t, g, split.Segment{From: 0, To: len(g.Nodes)}, shares)
			}
		}
	}
}

// Strassen's algorithm calculates pixels together that lie far apart: the tile has
// rows enough around those that it gives.
func TestPointwiseConvolutionsOfManyChannelsTile(t *testing.T) {
	for _, size := range [][2]int{{19, 19}, {40, 16}, {64, 5}, {33, 28}} {
		n := newNetwork(3, 1, 16, size[0], size[1])
		x := n.conv(n.last, 256, 1)
		y := n.add("Relu", nil, n.conv(x, 272, 1))
		n.conv(n.add("Relu", nil, n.conv(y, 256, 1)), 32, 3, "pads", []int{1, 1, 1, 1})
		g := n.done()
		for _, shares := range [][]int{{1, 1}, {3, 1}, {2, 3, 1}} {
			same(t, g, split.Segment{From: 0, To: len(g.Nodes)}, shares)
		}
	}
}

// A layer that needs all rows, as of squeeze and excitation, is right too.
func TestLayersThatNeedAllRowsAreComputedByEachWorker(t *testing.T) {
	n := newNetwork(3, 1, 16, 20, 8)
	x := n.conv(n.last, 32, 3, "pads", []int{1, 1, 1, 1})
	s := n.add("Sigmoid", nil, n.conv(n.add("GlobalAveragePool", nil, x), 32, 1))
	n.conv(n.add("Mul", nil, x, s), 16, 3)
	g := n.done()
	same(t, g, split.Segment{From: 0, To: len(g.Nodes)}, []int{1, 2})
	p, err := New(g, split.Segment{From: 0, To: len(g.Nodes)}, []int{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Tiles[0].Work[0]; got != 1 {
		t.Errorf("a worker computes %v of the layer before, want all of it", got)
	}
}

func TestWhatPassesTheStageByIsNotSent(t *testing.T) {
	n := newNetwork(3, 1, 8, 12, 8)
	x := n.add("Relu", nil, n.last)
	y := n.conv(x, 8, 3, "pads", []int{1, 1, 1, 1})
	n.add("Add", nil, n.add("Relu", nil, y), x)
	g := n.done()
	s := split.Segment{From: 2, To: 3} // x is read behind it
	p, err := New(g, s, []int{1, 1})
	if err != nil {
		t.Fatal(err)
	}
	for w, tile := range p.Tiles {
		if !tile.In[0].Empty() || tile.In[1].Empty() || !tile.Out[0].Empty() {
			t.Errorf("worker %d takes %v of %v and gives %v", w, tile.In, p.Inputs, tile.Out)
		}
	}
	same(t, g, s, []int{1, 1})
}

func TestStagesThatCannotBeTiledAreErrors(t *testing.T) {
	n := newNetwork(3, 1, 3, 12, 8)
	scale, zero := tensor.Of([]float32{0.1}), tensor.New(tensor.Uint8)
	scale.Shape = tensor.Shape{}
	q := n.add("QuantizeLinear", nil, n.last, graph.Constant("scale", scale), graph.Constant("zero", zero))
	n.conv(n.add("DequantizeLinear", nil, q, graph.Constant("scale", scale), graph.Constant("zero", zero)), 8, 3)
	quantised := n.done()
	n = newNetwork(3, 1, 3, 12, 8)
	n.conv(n.last, 8, 3)
	plain := n.done()
	for _, c := range []struct {
		name   string
		g      *graph.Graph
		s      split.Segment
		shares []int
		want   string
	}{
		{"quantised", quantised, split.Segment{From: 0, To: 3}, []int{1, 1}, "computed together"},
		{"one worker", plain, split.Segment{From: 0, To: 1}, []int{1}, "1 workers"},
		{"no share", plain, split.Segment{From: 0, To: 1}, []int{1, 0}, "share 0"},
		{"many workers", plain, split.Segment{From: 0, To: 1}, []int{1, 1000}, "no row"},
		{"no layers", plain, split.Segment{From: 0, To: 2}, []int{1, 1}, "segment"},
	} {
		if _, err := New(c.g, c.s, c.shares); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// The heads of real architectures, up to where their images are small.
func TestHeadsOfNetworksTile(t *testing.T) {
	for _, c := range []struct {
		name string
		to   float64 // of the layers
	}{{"vgg16", 0.3}, {"resnet50", 0.5}, {"mobilenetv2", 0.5}, {"inception_v3", 0.2}, {"densenet121", 0.15}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			share := c.to
			g, err := zoo.Build(c.name)
			if err != nil {
				t.Fatal(err)
			}
			to := 0
			for _, c := range cut.Find(g, 1) {
				if float64(c.Position) <= float64(len(g.Nodes))*share {
					to = c.Position
				}
			}
			same(t, g, split.Segment{From: 0, To: to}, []int{3, 2})
		})
	}
}
