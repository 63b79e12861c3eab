package ops

import (
	"math"
	"slices"
	"testing"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// reductions are what reductions make of a list of numbers.
var reductions = map[string]func(x []float64) float64{
	"ReduceSum":       func(x []float64) float64 { return sumOf(x, func(v float64) float64 { return v }) },
	"ReduceMean":      func(x []float64) float64 { return sumOf(x, func(v float64) float64 { return v }) / float64(len(x)) },
	"ReduceL1":        func(x []float64) float64 { return sumOf(x, math.Abs) },
	"ReduceSumSquare": func(x []float64) float64 { return sumOf(x, func(v float64) float64 { return v * v }) },
	"ReduceL2":        func(x []float64) float64 { return math.Sqrt(sumOf(x, func(v float64) float64 { return v * v })) },
	"ReduceLogSum":    func(x []float64) float64 { return math.Log(sumOf(x, func(v float64) float64 { return v })) },
	"ReduceLogSumExp": func(x []float64) float64 { return math.Log(sumOf(x, math.Exp)) },
	"ReduceProd": func(x []float64) float64 {
		p := 1.0
		for _, v := range x {
			p *= v
		}
		return p
	},
	"ReduceMax": func(x []float64) float64 {
		if len(x) == 0 {
			return math.Inf(-1)
		}
		return slices.Max(x)
	},
	"ReduceMin": func(x []float64) float64 {
		if len(x) == 0 {
			return math.Inf(1)
		}
		return slices.Min(x)
	},
}

func sumOf(x []float64, f func(float64) float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += f(v)
	}
	return sum
}

// listsOf returns the elements of x whose coordinates differ only along the
// axes, for each of the others.
func listsOf(x *tensor.Tensor, axes []int) [][]float64 {
	kept := x.Shape.Clone()
	for _, a := range axes {
		kept[a] = 1
	}
	lists := make([][]float64, kept.Elems())
	for i, c := range coordinates(x.Shape) {
		for _, a := range axes {
			c[a] = 0
		}
		at := index(kept, c...)
		lists[at] = append(lists[at], tensortest.At(x, i))
	}
	return lists
}

func TestReductionsEqualTheirDefinitions(t *testing.T) {
	r := source(5)
	for name, f := range reductions {
		version := 18
		for _, d := range []tensor.DType{tensor.Float32, tensor.Float64, tensor.Float16, tensor.Int32, tensor.Int64, tensor.Uint32, tensor.Uint64} {
			for _, shape := range [][]int{{7}, {}, {3, 1, 5}, {2, 3, 4, 5}, {2, 700}, {0, 3}, {3, 0, 2}} {
				for bits := range 1 << len(shape) {
					var axes []int
					for a := range shape {
						if bits>>a&1 == 1 {
							axes = append(axes, a-len(shape)*(r.IntN(2)))
						}
					}
					x := nonZero(d, r.Uint64(), shape...)
					if name == "ReduceProd" {
						for i := range x.Shape.Elems() {
							set(x, i, 1+truth(i < 20 && tensortest.At(x, i) > 5)) // so that products fit
						}
					}
					keep := r.IntN(2)
					y := apply(t, build(t, name, version, "keepdims", keep), x, fixed(axes))[0]
					if len(axes) == 0 {
						axes = nil
						for a := range shape {
							axes = append(axes, a)
						}
					}
					for i, a := range axes {
						axes[i] = (a + len(shape)) % len(shape)
					}
					lists := listsOf(x, axes)
					if want := len(shape) - (1-keep)*len(axes); len(y.Shape) != want || y.Shape.Elems() != len(lists) {
						t.Fatalf("%s of %v over %v: got %v", name, x.Type, axes, y.Type)
					}
					if !d.IsFloat() && slices.Contains(shape, 0) {
						continue
					}
					for i, list := range lists {
						want := f(list)
						if !d.IsFloat() {
							want = math.Trunc(want + 1e-12)
						}
						if d == tensor.Float16 && want > 65504 {
							want = math.Inf(1)
						}
						got := tensortest.At(y, i)
						if got != want && !(math.Abs(got-want) <= precision(d)*math.Abs(want)*float64(1+len(list))) && !(got != got && want != want) {
							t.Fatalf("%s of %v over %v: element %d is %v, want %v", name, x.Type, axes, i, got, want)
						}
					}
				}
			}
		}
	}
}

func TestReductionsOfNoIntegers(t *testing.T) {
	for name, want := range map[string]int32{"ReduceSum": 0, "ReduceProd": 1, "ReduceL1": 0, "ReduceL2": 0, "ReduceSumSquare": 0,
		"ReduceMax": math.MinInt32, "ReduceMin": math.MaxInt32} {
		y := apply(t, build(t, name, 18), tensor.New(tensor.Int32, 2, 0), fixed{1})[0]
		if got := tensor.View[int32](y); !slices.Equal(got, []int32{want, want}) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestExtremesOfBoolAndNaN(t *testing.T) {
	x := tensor.Of([]bool{true, false, true, true}, 2, 2)
	if y := apply(t, build(t, "ReduceMax", 20), x, fixed{1})[0]; !y.Identical(tensor.Of([]bool{true, true}, 2, 1)) {
		t.Errorf("ReduceMax of bool: got %v", y.Raw)
	}
	if y := apply(t, build(t, "ReduceMin", 20), x, fixed{1})[0]; !y.Identical(tensor.Of([]bool{false, true}, 2, 1)) {
		t.Errorf("ReduceMin of bool: got %v", y.Raw)
	}
	for _, name := range []string{"ReduceMax", "ReduceMin", "ReduceLogSumExp"} {
		for at := range 3 {
			x := float(3)
			x.F32()[at] = float32(math.NaN())
			if y := apply(t, build(t, name, 18), x)[0].F32()[0]; y == y {
				t.Errorf("%s with NaN at %d: got %v, want NaN", name, at, y)
			}
		}
	}
}

func TestLogSumExpDoesNotOverflow(t *testing.T) {
	infinity := float32(math.Inf(1))
	for _, c := range []struct {
		x    []float32
		want float32
	}{
		{[]float32{1000, 1000}, 1000 + math.Ln2}, {[]float32{-1000, -3000}, -1000}, {[]float32{-infinity, -infinity}, -infinity},
		{[]float32{1, infinity, infinity}, infinity}, {[]float32{1e30, 3e38}, 3e38},
	} {
		if y := apply(t, build(t, "ReduceLogSumExp", 18), tensor.Of(c.x, len(c.x)))[0].F32()[0]; y != c.want {
			t.Errorf("%v: got %v, want %v", c.x, y, c.want)
		}
	}
}

func TestArgFindsTheExtreme(t *testing.T) {
	nan := float32(math.NaN())
	x := tensor.Of([]float32{2, 2, 1, 3, 1, 3, nan, 5, nan}, 3, 3)
	for _, c := range []struct {
		name  string
		attrs []any
		want  *tensor.Tensor
	}{
		{"ArgMax", []any{"axis", 1}, tensor.Of([]int64{0, 0, 0}, 3, 1)},
		{"ArgMax", []any{"axis", -1, "select_last_index", 1, "keepdims", 0}, tensor.Of([]int64{1, 2, 0}, 3)},
		{"ArgMin", []any{"axis", 1, "keepdims", 0}, tensor.Of([]int64{2, 1, 0}, 3)},
		{"ArgMin", []any{"keepdims", 0}, tensor.Of([]int64{2, 1, 2}, 3)},
	} {
		if y := apply(t, build(t, c.name, 13, c.attrs...), x)[0]; !y.Identical(c.want) {
			t.Errorf("%s %v: got %v, want %v", c.name, c.attrs, y.I64(), c.want.I64())
		}
	}
	for _, d := range numericTypes {
		if y := apply(t, build(t, "ArgMax", 13), nonZero(d, 3, 40))[0]; y.DType != tensor.Int64 {
			t.Errorf("%v: got %v, want int64", d, y.Type)
		}
	}
	checkShapes(t, []shapeCase{
		{"empty", build(t, "ArgMax", 13), []any{float(0, 3)}, nil},
		{"empty elsewhere", build(t, "ArgMax", 13), []any{float(2, 0)}, tensor.Shape{1, 0}},
		{"scalar", build(t, "ArgMax", 13), []any{float()}, nil},
		{"beyond", build(t, "ArgMax", 13, "axis", 2), []any{float(2, 2)}, nil},
	})
}

func TestCumulativesGoUpToEachElement(t *testing.T) {
	for _, c := range []struct {
		name               string
		exclusive, reverse int
		want               []int32
	}{
		{"CumSum", 0, 0, []int32{1, 3, 6, 4, 9, 15}}, {"CumSum", 1, 0, []int32{0, 1, 3, 0, 4, 9}},
		{"CumSum", 0, 1, []int32{6, 5, 3, 15, 11, 6}}, {"CumSum", 1, 1, []int32{5, 3, 0, 11, 6, 0}},
		{"CumProd", 0, 0, []int32{1, 2, 6, 4, 20, 120}}, {"CumProd", 1, 1, []int32{6, 3, 1, 30, 6, 1}},
	} {
		for _, d := range []tensor.DType{tensor.Float32, tensor.Float64, tensor.Float16, tensor.Int32, tensor.Int64, tensor.Uint32, tensor.Uint64} {
			x, want := tensor.New(d, 2, 3), tensor.New(d, 2, 3)
			for i, v := range c.want {
				set(x, i, float64(i+1))
				set(want, i, float64(v))
			}
			op := build(t, c.name, 26, "exclusive", c.exclusive, "reverse", c.reverse)
			if y := apply(t, op, x, known{tensor.Scalar(int32(-1))})[0]; !y.Identical(want) {
				t.Errorf("%s of %v, exclusive %d, reverse %d: got %x, want %x", c.name, d, c.exclusive, c.reverse, y.Raw, want.Raw)
			}
		}
	}
	y := apply(t, build(t, "CumSum", 14), tensor.Of([]float64{1, 2, 3, 4}, 2, 2), fixed{0})[0]
	if !y.Identical(tensor.Of([]float64{1, 2, 4, 6}, 2, 2)) {
		t.Errorf("along axis 0: got %v", tensor.View[float64](y))
	}
}

func TestTopKAgreesWithSorting(t *testing.T) {
	r := source(9)
	for _, d := range numericTypes {
		for _, largest := range []int{0, 1} {
			for _, k := range []int{0, 1, 3, 17, 40} {
				x := nonZero(d, r.Uint64(), 3, 40, 2) // many are equal
				ys := apply(t, build(t, "TopK", 24, "axis", 1, "largest", largest), x, fixed{k})
				if want := (tensor.Shape{3, k, 2}); !ys[0].Shape.Equal(want) || ys[0].DType != d || !ys[1].Type.Equal(tensor.Type{DType: tensor.Int64, Shape: want}) {
					t.Fatalf("got %v and %v, want %v", ys[0].Type, ys[1].Type, want)
				}
				for a := range 3 {
					for b := range 2 {
						order := make([]int, 40)
						for i := range order {
							order[i] = i
						}
						slices.SortStableFunc(order, func(i, j int) int {
							v := tensortest.At(x, index(x.Shape, a, i, b)) - tensortest.At(x, index(x.Shape, a, j, b))
							return int(v) * (1 - 2*largest)
						})
						for j, i := range order[:k] {
							at := index(ys[0].Shape, a, j, b)
							if got := ys[1].I64()[at]; got != int64(i) || tensortest.At(ys[0], at) != tensortest.At(x, index(x.Shape, a, i, b)) {
								t.Fatalf("%v, largest %d, k %d: place %d is index %d, want %d", d, largest, k, j, got, i)
							}
						}
					}
				}
			}
		}
	}
	if y := apply(t, build(t, "TopK", 9, "k", 2), tensor.Of([]float32{3, float32(math.NaN()), 4}, 3)); !slices.Equal(y[1].I64(), []int64{1, 2}) {
		t.Errorf("with a NaN: got %v, want [1 2]", y[1].I64())
	}
	for _, k := range []fixed{{41}, {-1}, {1, 2}} {
		if out, err := build(t, "TopK", 11, "axis", 1).Infer(factsOf([]any{float(3, 40), k})); err == nil {
			t.Errorf("k = %v: got %v, want an error", k, out)
		}
	}
}

func TestRowOperatorsEqualTheirDefinitions(t *testing.T) {
	atEachLevel(t, "TestRowOperatorsEqualTheirDefinitions", func(t *testing.T) {
		for _, d := range realTypes {
			for _, version := range []int{11, 13} {
				for _, at := range []int{0, 1, -1} {
					x := tensor.New(d, 3, 70, 5)
					for i := range x.Shape.Elems() {
						set(x, i, float64(i*7919%64)/4-3)
					}
					axes := []int{(at + 3) % 3}
					for a := axes[0] + 1; version < 13 && a < 3; a++ {
						axes = append(axes, a)
					}
					kept := x.Shape.Clone()
					for _, a := range axes {
						kept[a] = 1
					}
					lists := listsOf(x, axes)
					log := apply(t, build(t, "LogSoftmax", version, "axis", at), x)[0]
					hard := apply(t, build(t, "Hardmax", version, "axis", at), x)[0]
					found := make([]bool, len(lists))
					for i, c := range coordinates(x.Shape) {
						for _, a := range axes {
							c[a] = 0
						}
						group := index(kept, c...)
						v, list := tensortest.At(x, i), lists[group]
						want := v - math.Log(sumOf(list, math.Exp))
						if got := tensortest.At(log, i); !(math.Abs(got-want) <= precision(d)*8) {
							t.Fatalf("LogSoftmax-%d of %v along %d: element %d is %v, want %v", version, d, at, i, got, want)
						}
						want = truth(v == slices.Max(list) && !found[group])
						found[group] = found[group] || want == 1
						if got := tensortest.At(hard, i); got != want {
							t.Fatalf("Hardmax-%d of %v along %d: element %d is %v, want %v", version, d, at, i, got, want)
						}
					}
				}
			}
		}
	})
}
