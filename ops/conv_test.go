package ops

import (
	"errors"
	"math"
	"strings"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// slowConv is the definition of a convolution in float64, with the sum of the
// magnitudes of what it adds.
func slowConv(x, w, bias *tensor.Tensor, groups int, s slow, out tensor.Shape) (y, magnitude []float64) {
	inC, outC := w.Shape[1], w.Shape[0]
	for _, o := range coordinates(out) {
		sum, abs := 0.0, 0.0
		if bias != nil {
			sum = tensortest.At(bias, o[1])
			abs = math.Abs(sum)
		}
		for c := range inC {
			from := o[1]/(outC/groups)*inC + c
			s.each(x.Shape[2:], o[2:], func(k, at []int, inside, _ bool) {
				if inside {
					p := tensortest.At(x, index(x.Shape, join([]int{o[0], from}, at)...)) *
						tensortest.At(w, index(w.Shape, join([]int{o[1], c}, k)...))
					sum += p
					abs += math.Abs(p)
				}
			})
		}
		y, magnitude = append(y, sum), append(magnitude, abs)
	}
	return y, magnitude
}

func TestConvIsItsDefinition(t *testing.T) {
	atEachLevel(t, "TestConvIsItsDefinition", func(t *testing.T) {
		for i, c := range []struct {
			name   string
			x, w   []int
			groups int
			attrs  []any
			s      slow
			out    []int // spatial
			kernel string
		}{
			{"stem", []int{1, 3, 9, 8}, []int{20, 3, 3, 3}, 1, []any{"strides", []int{2, 2}, "pads", []int{1, 0, 1, 1}},
				slow{[]int{3, 3}, []int{2, 2}, []int{1, 1}, []int{1, 0}, []int{1, 1}}, []int{5, 4}, "direct"},
			{"1x1", []int{2, 17, 4, 5}, []int{33, 17, 1, 1}, 1, []any{"kernel_shape", []int{1, 1}},
				slow{[]int{1, 1}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0}}, []int{4, 5}, "direct"},
			{"dilated", []int{1, 16, 9, 9}, []int{16, 16, 3, 2}, 1, []any{"dilations", []int{2, 3}, "auto_pad", "VALID"},
				slow{[]int{3, 2}, []int{1, 1}, []int{2, 3}, []int{0, 0}, []int{0, 0}}, []int{5, 6}, "direct"},
			// SAME: ceil(8/3) = 3 outputs reach over 2*3+4 = 10, so 2 are padded; ceil(7/2) = 4 over 3*2+3 = 9, 2.
			{"same upper", []int{1, 16, 8, 7}, []int{8, 16, 4, 3}, 1, []any{"auto_pad", "SAME_UPPER", "strides", []int{3, 2}},
				slow{[]int{4, 3}, []int{3, 2}, []int{1, 1}, []int{1, 1}, []int{1, 1}}, []int{3, 4}, "direct"},
			// An odd padding of 1 goes behind for SAME_UPPER, before for SAME_LOWER.
			{"same upper, odd", []int{1, 16, 5, 5}, []int{8, 16, 2, 2}, 1, []any{"auto_pad", "SAME_UPPER"},
				slow{[]int{2, 2}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{1, 1}}, []int{5, 5}, "direct"},
			{"same lower, odd", []int{1, 16, 5, 5}, []int{8, 16, 2, 2}, 1, []any{"auto_pad", "SAME_LOWER"},
				slow{[]int{2, 2}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{0, 0}}, []int{5, 5}, "direct"},
			{"depthwise", []int{1, 20, 6, 5}, []int{20, 1, 3, 3}, 20, []any{"group", 20, "pads", []int{1, 1, 1, 1}},
				slow{[]int{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{1, 1}}, []int{6, 5}, "depthwise"},
			{"fast", []int{1, 17, 12, 13}, []int{16, 17, 3, 3}, 1, []any{"pads", []int{1, 0, 2, 1}},
				slow{[]int{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 0}, []int{2, 1}}, []int{13, 12}, "winograd"},
			{"groups of 8", []int{2, 32, 4, 4}, []int{64, 8, 3, 3}, 4, []any{"group", 4},
				slow{[]int{3, 3}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0}}, []int{2, 2}, "direct"},
			{"groups of 8, an odd number", []int{1, 40, 4, 4}, []int{40, 8, 3, 3}, 5, []any{"group", 5},
				slow{[]int{3, 3}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0}}, []int{2, 2}, "direct"},
			{"dilation beyond x", []int{1, 16, 6, 5}, []int{16, 16, 3, 3}, 1, []any{"pads", []int{6, 4, 6, 4}, "dilations", []int{6, 4}},
				slow{[]int{3, 3}, []int{1, 1}, []int{6, 4}, []int{6, 4}, []int{6, 4}}, []int{6, 5}, "direct"},
			{"groups of 24", []int{1, 96, 4, 3}, []int{48, 24, 1, 1}, 4, []any{"group", 4},
				slow{[]int{1, 1}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0}}, []int{4, 3}, "direct"},
			{"groups of 16", []int{1, 32, 4, 4}, []int{32, 16, 3, 3}, 2, []any{"group", 2},
				slow{[]int{3, 3}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0}}, []int{2, 2}, "direct"},
			{"channel multiplier", []int{1, 4, 5, 5}, []int{12, 1, 3, 3}, 4, []any{"group", 4, "strides", []int{2, 1}},
				slow{[]int{3, 3}, []int{2, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0}}, []int{2, 3}, "direct"},
			{"padding wider than x", []int{1, 6, 2, 1}, []int{9, 2, 2, 2}, 3, []any{"group", 3, "pads", []int{3, 4, 2, 3}, "dilations", []int{2, 3}, "strides", []int{2, 3}},
				slow{[]int{2, 2}, []int{2, 3}, []int{2, 3}, []int{3, 4}, []int{2, 3}}, []int{3, 2}, "direct"},
			{"1-D", []int{2, 5, 11}, []int{7, 5, 3}, 1, []any{"strides", []int{2}, "pads", []int{2, 0}},
				slow{[]int{3}, []int{2}, []int{1}, []int{2}, []int{0}}, []int{6}, "direct"},
			{"3-D", []int{1, 2, 4, 3, 5}, []int{3, 2, 2, 2, 3}, 1, []any{"pads", []int{1, 0, 0, 0, 1, 1}, "strides", []int{2, 1, 2}},
				slow{[]int{2, 2, 3}, []int{2, 1, 2}, []int{1, 1, 1}, []int{1, 0, 0}, []int{0, 1, 1}}, []int{2, 3, 2}, "generic"},
		} {
			r := source(uint64(i))
			x, w, bias := reals(r, c.x...), reals(r, c.w...), reals(r, c.w[0])
			out := join([]int{c.x[0], c.w[0]}, c.out)
			want, magnitude := slowConv(x, w, bias, c.groups, c.s, out)
			products := tensor.Shape(c.w[1:]).Elems() + 1
			op := build(t, "Conv", 11, c.attrs...)
			packed, blocked := applyBlocked(t, op, x, known{w}, known{bias})
			if !packed.Shape.Equal(out) {
				t.Fatalf("%s: got %v, want %v", c.name, packed.Shape, out)
			}
			if blocked != (c.kernel != "generic") {
				t.Errorf("%s: blocked is %v, want kernel %s", c.name, blocked, c.kernel)
			}
			checkClose(t, c.name, packed, want, magnitude, products)
			checkClose(t, c.name+", live weights", apply(t, op, x, w, bias)[0], want, magnitude, products)
			checkClose(t, c.name+", float64", apply(t, op, wide(x), wide(w), wide(bias))[0], want, magnitude, products)
			want, magnitude = slowConv(x, w, nil, c.groups, c.s, out)
			plain, _ := applyBlocked(t, op, x, known{w})
			checkClose(t, c.name+", no bias", plain, want, magnitude, products)
		}
	})
}

// A convolution that Winograd's or Strassen's algorithm would compute is a sum
// of products if it has to be exact.
func TestExactConvIsDirect(t *testing.T) {
	for algorithm, w := range map[string][]int{"winograd": {48, 256, 3, 3}, "strassen": {256, 256, 1, 1}} {
		op := build(t, "Conv", 11, "auto_pad", "SAME_UPPER")
		in := factsOf([]any{float(1, 256, 20, 20), known{float(w...)}})
		out, err := op.Infer(in)
		if err != nil {
			t.Fatal(err)
		}
		_, give := op.(graph.Layouter).Layouts(in, out)
		in[0].Layout, out[0].Layout = give[0], give[0]
		for kernel, op := range map[string]graph.Op{algorithm: op, "direct": op.(graph.Exacter).Exact()} {
			k, err := op.Compile(in, out)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(k.Info, kernel) {
				t.Errorf("got kernel %q, want %s", k.Info, kernel)
			}
		}
	}
}

// Which layout the input has depends on the types, not on where it comes from.
func TestConvWantsOneLayout(t *testing.T) {
	for _, c := range []struct {
		x, w    []int
		groups  int
		in, out graph.Layout
	}{
		{[]int{1, 3, 8, 8}, []int{8, 3, 3, 3}, 1, nil, nchw16c{}},
		{[]int{1, 8, 8, 8}, []int{8, 8, 3, 3}, 1, nchw16c{}, nchw16c{}},
		{[]int{1, 8, 8, 8}, []int{8, 1, 3, 3}, 8, nchw16c{}, nchw16c{}},
		{[]int{1, 3, 8, 8}, []int{3, 1, 3, 3}, 3, nchw16c{}, nchw16c{}},
		{[]int{1, 6, 8, 8}, []int{8, 3, 3, 3}, 2, nchw16c{}, nchw16c{}},
		{[]int{1, 51, 8, 8}, []int{51, 3, 3, 3}, 17, nil, nil},
		{[]int{1, 16, 8, 8, 8}, []int{8, 16, 3, 3, 3}, 1, nil, nil},
		{[]int{0, 16, 8, 8}, []int{8, 16, 3, 3}, 1, nil, nil},
	} {
		op := build(t, "Conv", 11, "group", c.groups)
		for _, have := range []graph.Layout{nil, nchw16c{}} {
			in := factsOf([]any{float(c.x...), known{float(c.w...)}})
			out, err := op.Infer(in)
			if err != nil {
				t.Fatal(err)
			}
			in[0].Layout = have
			want, give := op.(graph.Layouter).Layouts(in, out)
			if want[0] != c.in || give[0] != c.out {
				t.Errorf("x%v w%v lying in %v: wants %v and gives %v, want %v and %v", c.x, c.w, have, want[0], give[0], c.in, c.out)
			}
		}
	}
}

func TestConvRefusesWhatDoesNotFit(t *testing.T) {
	x := float(1, 4, 8, 8)
	conv := func(attrs ...any) graph.Op { return build(t, "Conv", 11, attrs...) }
	for _, c := range []struct {
		name string
		op   graph.Op
		in   []any
		text string
	}{
		{"channels", conv(), []any{x, float(8, 3, 1, 1)}, "3 input channels, want 4/1"},
		{"groups", conv("group", 3), []any{x, float(8, 1, 1, 1)}, "want 4/3"},
		{"output groups", conv("group", 4), []any{x, float(6, 1, 1, 1)}, "6 output channels, want a multiple of 4"},
		{"rank", conv(), []any{x, float(8, 4, 1)}, "want 4 dimensions"},
		{"no space", conv(), []any{float(1, 4), float(8, 4)}, "at least 3 dimensions"},
		{"kernel_shape", conv("kernel_shape", []int{3, 3}), []any{x, float(8, 4, 1, 1)}, "want kernel_shape [3 3]"},
		{"kernel beyond", conv(), []any{x, float(8, 4, 9, 1)}, "kernel spans 9, padded input has 8"},
		{"dilated beyond", conv("dilations", []int{4, 1}), []any{x, float(8, 4, 3, 1)}, "kernel spans 9"},
		{"empty kernel", conv(), []any{x, float(8, 4, 0, 1)}, "kernel_shape has 0"},
		{"bias", conv(), []any{x, float(8, 4, 1, 1), float(7)}, "bias has shape [7], want [8]"},
		{"types", conv(), []any{x, tensor.New(tensor.Float64, 8, 4, 1, 1)}, "float32 and float64"},
		{"no weight", conv(), []any{x}, "input 1 is missing"},
		{"too many", conv(), []any{x, float(8, 4, 1, 1), nil, nil}, "at most 3"},
		{"stride 0", conv("strides", []int{0, 1}), []any{x, float(8, 4, 1, 1)}, "strides has 0"},
		{"strides", conv("strides", []int{1}), []any{x, float(8, 4, 1, 1)}, "strides has 1 values, want 2"},
		{"pads", conv("pads", []int{1, 1}), []any{x, float(8, 4, 1, 1)}, "pads has 2 values, want 4"},
		{"negative pads", conv("pads", []int{-1, 0, 0, 0}), []any{x, float(8, 4, 1, 1)}, "pads has -1"},
		{"huge pads", conv("pads", []int{math.MaxInt32, 0, math.MaxInt32, 0}), []any{x, float(8, 4, 1, 1)}, "want at most 2147483647"},
		{"huge dilation", conv("dilations", []int{math.MaxInt32, 1}, "auto_pad", "SAME_UPPER"), []any{x, float(8, 4, 3, 1)}, "want at most 2147483647"},
	} {
		_, err := c.op.Infer(factsOf(c.in))
		if err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want ...%s...", c.name, err, c.text)
		}
	}
	for _, d := range []tensor.DType{tensor.Uint16, tensor.Int32} {
		_, err := conv().Infer(factsOf([]any{tensor.New(d, 1, 1, 1, 1), tensor.New(d, 1, 1, 1, 1)}))
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), d.String()) {
			t.Errorf("%v: got %v, want ErrUnsupported with the type", d, err)
		}
	}
	for _, a := range []graph.Attr{{Name: "group", Value: int64(0)}, {Name: "auto_pad", Value: "MAYBE"}, {Name: "stride", Value: int64(1)}} {
		if _, err := New("", "Conv", 11, []graph.Attr{a}); err == nil {
			t.Errorf("attribute %v was accepted", a)
		}
	}
}

// A batch, channels or positions of length zero give an empty or a bias-only result.
func TestConvOfNothing(t *testing.T) {
	op := build(t, "Conv", 11)
	if y := apply(t, op, float(0, 2, 3, 3), float(4, 2, 2, 2))[0]; !y.Shape.Equal(tensor.Shape{0, 4, 2, 2}) {
		t.Errorf("got %v, want [0 4 2 2]", y.Shape)
	}
	y := apply(t, op, float(1, 0, 3, 3), float(2, 0, 3, 3), tensor.Of([]float32{5, 6}, 2))[0]
	if f := y.F32(); len(f) != 2 || f[0] != 5 || f[1] != 6 {
		t.Errorf("no input channels: got %v, want the bias [5 6]", f)
	}
}
