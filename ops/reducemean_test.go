package ops

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// meansOf returns the means of the elements of x whose coordinates differ only
// along the axes, summed one by one.
func meansOf(x *tensor.Tensor, axes []int) []float64 {
	kept := x.Shape.Clone()
	for _, a := range axes {
		kept[a] = 1
	}
	sums, count := make([]float64, kept.Elems()), 1
	for _, a := range axes {
		count *= x.Shape[a]
	}
	for i, c := range coordinates(x.Shape) {
		at := 0
		for d, n := range kept {
			at = at*n + c[d]%n
		}
		sums[at] += tensortest.At(x, i)
	}
	for i := range sums {
		sums[i] /= float64(count)
	}
	return sums
}

func random(r *rand.Rand, d tensor.DType, shape ...int) *tensor.Tensor {
	t := tensor.New(d, shape...)
	for i := range t.Shape.Elems() {
		switch v := r.Float64()*2000 - 1000; d {
		case tensor.Float32:
			t.F32()[i] = float32(v)
		case tensor.Float64:
			tensor.View[float64](t)[i] = v
		case tensor.Int32:
			tensor.View[int32](t)[i] = int32(v)
		case tensor.Int64:
			t.I64()[i] = int64(v)
		case tensor.Uint32:
			tensor.View[uint32](t)[i] = uint32(v + 1000)
		case tensor.Uint64:
			tensor.View[uint64](t)[i] = uint64(v + 1000)
		}
	}
	return t
}

func TestReduceMeanEqualsItsDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	types := []tensor.DType{tensor.Float32, tensor.Float64, tensor.Int32, tensor.Int64, tensor.Uint32, tensor.Uint64}
	for _, shape := range [][]int{{7}, {1, 1}, {3, 1, 5}, {5, 4, 3}, {2, 3, 4, 5}, {3, 2, 2, 3, 2}, {3, 700}, {1500, 5}, {2, 40, 49, 8}} {
		for bits := 1; bits < 1<<len(shape); bits++ {
			var axes []int
			for d := range shape {
				if bits>>d&1 == 1 {
					axes = append(axes, d)
				}
			}
			d := types[r.IntN(len(types))]
			x := random(r, d, shape...)
			want := meansOf(x, axes)
			y := apply(t, build(t, "ReduceMean", 18, "keepdims", 0), x, fixed(axes))[0]
			if len(y.Shape) != len(shape)-len(axes) || y.Shape.Elems() != len(want) {
				t.Fatalf("%v over %v: got %v", x.Type, axes, y.Type)
			}
			for i, w := range want {
				bound := math.Abs(w)*1e-6 + 1e-9
				if !d.IsFloat() {
					w, bound = math.Trunc(w), 0
				}
				if got := tensortest.At(y, i); !(math.Abs(got-w) <= bound) {
					t.Fatalf("%v over %v: element %d is %v, want %v", x.Type, axes, i, got, w)
				}
			}
		}
	}
}

func TestReduceMeanShapes(t *testing.T) {
	old := func(attrs ...any) graph.Op { return build(t, "ReduceMean", 13, attrs...) }
	op, flat := build(t, "ReduceMean", 18), build(t, "ReduceMean", 18, "keepdims", 0)
	noop := build(t, "ReduceMean", 18, "noop_with_empty_axes", 1)
	x := float(2, 3, 4)
	checkShapes(t, []shapeCase{
		{"all, old", old(), []any{x}, tensor.Shape{1, 1, 1}},
		{"some, old", old("axes", []int{-1, 0}), []any{x}, tensor.Shape{1, 3, 1}},
		{"some, old, flat", old("axes", []int{1}, "keepdims", 0), []any{x}, tensor.Shape{2, 4}},
		{"all", flat, []any{x}, tensor.Shape{}},
		{"empty list", flat, []any{x, fixed{}}, tensor.Shape{}},
		{"some", op, []any{x, fixed{2}}, tensor.Shape{2, 3, 1}},
		{"none", noop, []any{x}, tensor.Shape{2, 3, 4}},
		{"noop with axes", noop, []any{x, fixed{0}}, tensor.Shape{1, 3, 4}},
		{"scalar", op, []any{float()}, tensor.Shape{}},
		{"zero length kept", op, []any{float(0, 3), fixed{1}}, tensor.Shape{0, 1}},
		{"twice", op, []any{x, fixed{0, -3}}, nil},
		{"beyond", op, []any{x, fixed{3}}, nil},
		{"bool", op, []any{tensor.New(tensor.Bool, 2)}, nil},
		{"float16", op, []any{tensor.New(tensor.Float16, 2)}, tensor.Shape{1}},
		{"axes input to the old one", old(), []any{x, fixed{1}}, nil},
	})
}

func TestReduceMeanOfNothing(t *testing.T) {
	op := build(t, "ReduceMean", 18)
	for _, c := range []struct{ shape, axes []int }{{[]int{2, 0}, []int{1}}, {[]int{0, 2}, []int{0}}, {[]int{0, 2, 3}, []int{0, 2}}} {
		for _, v := range apply(t, op, float(c.shape...), fixed(c.axes))[0].F32() {
			if v == v {
				t.Errorf("%v over %v: got %v, want NaN", c.shape, c.axes, v)
			}
		}
		for _, v := range apply(t, op, tensor.New(tensor.Int64, c.shape...), fixed(c.axes))[0].I64() {
			if v != 0 {
				t.Errorf("%v over %v: got %v, want 0", c.shape, c.axes, v)
			}
		}
	}
	if y := apply(t, op, float(0, 3), fixed{1})[0]; !y.Shape.Equal(tensor.Shape{0, 1}) {
		t.Errorf("got %v, want [0 1]", y.Shape)
	}
}

// A million equal numbers that have no exact sum in float32.
func TestReduceMeanDoesNotLoseWhatIsSmall(t *testing.T) {
	x := float(1 << 20)
	for i := range x.F32() {
		x.F32()[i] = 0.1
	}
	if y := apply(t, build(t, "ReduceMean", 13), x)[0]; y.F32()[0] != 0.1 {
		t.Errorf("got %v, want 0.1", y.F32()[0])
	}
}

func TestReduceMeanInBlocksHasTheSameBits(t *testing.T) {
	for _, c := range []struct {
		shape, axes []int
		keep        int
		want, give  bool
	}{
		{[]int{1, 1280, 7, 7}, []int{2, 3}, 1, true, true},
		{[]int{3, 20, 13, 11}, []int{2, 3}, 1, true, true},
		{[]int{2, 32, 9, 5}, []int{-1, -2}, 0, true, false},
		{[]int{2, 20, 9, 5}, []int{2, 3}, 0, false, false},
		{[]int{1, 1, 9, 5}, []int{2, 3}, 1, true, true},
		{[]int{2, 16, 1, 1}, []int{2, 3}, 1, true, true},
		{[]int{2, 20, 9}, []int{2}, 1, true, true},
		{[]int{2, 16, 9, 5}, []int{1, 2, 3}, 1, false, false},
		{[]int{2, 16, 9, 5}, []int{3}, 1, false, false},
	} {
		op := build(t, "ReduceMean", 18, "keepdims", c.keep)
		x := tensortest.Random(7, c.shape...)
		want := apply(t, op, x, fixed(c.axes))[0]
		got, give := applyBlocked(t, op, x, fixed(c.axes))
		if give != c.give || !slices.Equal(got.Raw, want.Raw) {
			t.Errorf("%v over %v: identical %v, gives blocks %v, want true, %v", c.shape, c.axes, slices.Equal(got.Raw, want.Raw), give, c.give)
		}
		facts := factsOf([]any{x, fixed(c.axes)})
		facts[0].Layout = nchw16c{}
		if w, _ := op.(graph.Layouter).Layouts(facts, make([]graph.Fact, 1)); (w[0] != nil) != c.want {
			t.Errorf("%v over %v: wants %v, want blocks %v", c.shape, c.axes, w[0], c.want)
		}
	}
}
