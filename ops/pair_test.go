package ops

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// pairCases are operators of two operands as float64 has them.
var pairCases = []struct {
	name    string
	version int
	attrs   []any
	types   []tensor.DType
	f       func(a, b float64) float64
	bool    bool
}{
	{"Equal", 13, nil, numericTypes, func(a, b float64) float64 { return truth(a == b) }, true},
	{"Less", 9, nil, numericTypes, func(a, b float64) float64 { return truth(a < b) }, true},
	{"LessOrEqual", 12, nil, numericTypes, func(a, b float64) float64 { return truth(a <= b) }, true},
	{"Greater", 7, nil, numericTypes, func(a, b float64) float64 { return truth(a > b) }, true},
	{"GreaterOrEqual", 16, nil, numericTypes, func(a, b float64) float64 { return truth(a >= b) }, true},
	{"BitwiseAnd", 18, nil, integerTypes, func(a, b float64) float64 { return float64(int(a) & int(b)) }, false},
	{"BitwiseOr", 18, nil, integerTypes, func(a, b float64) float64 { return float64(int(a) | int(b)) }, false},
	{"BitwiseXor", 18, nil, integerTypes, func(a, b float64) float64 { return float64(int(a) ^ int(b)) }, false},
	{"BitShift", 11, []any{"direction", "RIGHT"}, []tensor.DType{tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64},
		func(a, b float64) float64 { return math.Floor(a / math.Exp2(b)) }, false},
	{"BitShift", 11, []any{"direction", "LEFT"}, []tensor.DType{tensor.Uint32, tensor.Uint64},
		func(a, b float64) float64 { return a * math.Exp2(b) }, false},
	{"Mod", 10, []any{"fmod", 1}, numericTypes, math.Mod, false},
	{"Mod", 28, nil, numericTypes, math.Mod, false},
	{"Max", 13, nil, numericTypes, math.Max, false},
	{"Min", 8, nil, numericTypes, math.Min, false},
	{"Sum", 13, nil, realTypes, func(a, b float64) float64 { return a + b }, false},
	{"Mean", 8, nil, realTypes, func(a, b float64) float64 { return (a + b) / 2 }, false},
	{"Pow", 15, nil, realTypes, func(a, b float64) float64 { return math.Exp2(b * math.Log2(a)) }, false},
}

func TestPairsBroadcastAsNumPyDoes(t *testing.T) {
	for _, c := range pairCases {
		op := build(t, c.name, c.version, c.attrs...)
		for _, d := range c.types {
			for i, s := range broadcastCases {
				a, b := nonZero(d, uint64(i), s.a...), nonZero(d, uint64(i)+50, s.b...)
				y := apply(t, op, a, b)[0]
				want := d
				if c.bool {
					want = tensor.Bool
				}
				if !y.Shape.Equal(s.out) || y.DType != want {
					t.Fatalf("%s of %v and %v: got %v, want %v%v", op, a.Type, b.Type, y.Type, want, s.out)
				}
				for j, at := range coordinates(s.out) {
					want := c.f(broadcastAt(a, at), broadcastAt(b, at))
					if d == tensor.Float16 && want > 65504 {
						want = math.Inf(1)
					}
					got := 0.0
					if c.bool {
						got = float64(y.Raw[j])
					} else {
						got = tensortest.At(y, j)
					}
					if got != want && !(math.Abs(got-want) <= (precision(d)+1e-12)*math.Abs(want)) {
						t.Fatalf("%s of %v and %v: element %v is %v, want %v", op, a.Type, b.Type, at, got, want)
					}
				}
			}
		}
	}
}

func TestLogicFollowsItsTruthTable(t *testing.T) {
	a, b := tensor.Of([]bool{false, true}, 2, 1), tensor.Of([]bool{false, true}, 2)
	for name, want := range map[string][]bool{
		"And": {false, false, false, true}, "Or": {false, true, true, true}, "Xor": {false, true, true, false}, "Equal": {true, false, false, true},
	} {
		if y := apply(t, build(t, name, 13), a, b)[0]; !y.Identical(tensor.Of(want, 2, 2)) {
			t.Errorf("%s: got %v, want %v", name, y.Raw, want)
		}
	}
}

func TestRemainderHasTheSignOfTheDivisorOrWithFmodOfTheDividend(t *testing.T) {
	a, b := []float64{-7, 7, -7, 6}, []float64{3, -3, -3, -3}
	for _, c := range []struct {
		fmod int
		want []float64
	}{{0, []float64{2, -2, -1, 0}}, {1, []float64{-1, 1, -1, 0}}} {
		for _, d := range signedTypes {
			x, y := tensor.New(d, 4), tensor.New(d, 4)
			for i := range a {
				set(x, i, a[i])
				set(y, i, b[i])
			}
			z := apply(t, build(t, "Mod", 13, "fmod", c.fmod), x, y)[0]
			for i, w := range c.want {
				if got := tensortest.At(z, i); got != w {
					t.Errorf("fmod %d of %v and %v as %v: got %v, want %v", c.fmod, a[i], b[i], d, got, w)
				}
			}
		}
	}
	for _, d := range integerTypes {
		g := &graph.Graph{}
		in := []*graph.Value{graph.Constant("a", nonZero(d, 1, 3)), graph.Constant("b", tensor.New(d, 1))}
		if _, err := g.Add("mod", build(t, "Mod", 13), nil, in, "y"); !errors.Is(err, errDivide) {
			t.Errorf("%v: got %v, want %v", d, err, errDivide)
		}
	}
}

func TestPowMixesTypes(t *testing.T) {
	op := build(t, "Pow", 15)
	for _, c := range []struct{ a, b, want *tensor.Tensor }{
		{tensor.Of([]int32{-2, 3, 10}, 3), tensor.Of([]int64{3, 0, 9}, 3), tensor.Of([]int32{-8, 1, 1000000000}, 3)},
		{tensor.Of([]int64{2, -1, 4}, 3), tensor.Of([]float32{-1, -3, 0.5}, 3), tensor.Of([]int64{0, -1, 2}, 3)},
		{tensor.Of([]int64{3}, 1), tensor.Of([]uint8{40}, 1), tensor.Of([]int64{-6289078614652622815}, 1)}, // modulo 2^64
		{tensor.Of([]float32{-1.5, 4, 0}, 3), tensor.Of([]int32{2}, 1), tensor.Of([]float32{2.25, 16, 0}, 3)},
		{tensor.Of([]float32{-1.5, 4, 0}, 3), tensor.Of([]float32{2}, 1), tensor.Of([]float32{2.25, 16, 0}, 3)},
		{tensor.Of([]float32{-1.5, 4}, 2), tensor.Scalar(float32(1)), tensor.Of([]float32{-1.5, 4}, 2)},
		{tensor.Of([]float64{9, 2}, 2), tensor.Of([]float32{0.5, -1}, 2), tensor.Of([]float64{3, 0.5}, 2)},
	} {
		if y := apply(t, op, c.a, c.b)[0]; !y.Identical(c.want) {
			t.Errorf("%v of %x to %x: got %x, want %x", c.a.Type, c.a.Raw, c.b.Raw, y.Raw, c.want.Raw)
		}
	}
}

// The powers with vector instructions have the bits of those without.
func TestPowOfAScalarHasTheBitsOfAList(t *testing.T) {
	x := reals(source(3), 1000)
	x.F32()[0], x.F32()[1], x.F32()[2] = inf, -inf, float32(math.NaN())
	for _, e := range []float32{0, 0.5, 1, 2, 3, -1} {
		one := apply(t, build(t, "Pow", 13), x, tensor.Scalar(e))[0]
		if list := apply(t, build(t, "Pow", 13), x, tensor.Of(splat(e, 1000), 1000))[0]; !sameBits(one, list) {
			t.Errorf("to the power of %v: the bits differ", e)
		}
	}
}

func TestManyInputsAreCombinedFromTheLeft(t *testing.T) {
	nan := float32(math.NaN())
	a, b, c := tensor.Of([]float32{1, 5, nan}, 3), tensor.Of([]float32{4, 2}, 2, 1), tensor.Scalar(float32(3))
	for name, want := range map[string][]float32{
		"Max": {4, 5, nan, 3, 5, nan}, "Min": {1, 3, nan, 1, 2, nan}, "Sum": {8, 12, nan, 6, 10, nan}, "Mean": {8. / 3, 4, nan, 2, 10. / 3, nan},
	} {
		if y := apply(t, build(t, name, 13), a, b, c)[0]; !sameBits(y, tensor.Of(want, 2, 3)) {
			t.Errorf("%s: got %v, want %v", name, y.F32(), want)
		}
		if y := apply(t, build(t, name, 13), a)[0]; !sameBits(y, a) {
			t.Errorf("%s of one: got %v, want %v", name, y.F32(), a.F32())
		}
		for _, in := range [][]any{{}, {a, nil}, {a, tensor.New(tensor.Float64)}, {a, float(2)}, {tensor.New(tensor.Bool)}} {
			if out, err := build(t, name, 13).Infer(factsOf(in)); err == nil {
				t.Errorf("%s of %v: got %v, want an error", name, in, out)
			}
		}
	}
	// The first operand's memory may be the result's where it has its shape.
	full := float(2, 3)
	for i := range full.F32() {
		full.F32()[i] = float32(i)
	}
	op := build(t, "Sum", 13)
	facts, ins := inputs([]any{full.Clone(), b, c})
	k, err := op.Compile(facts, []graph.Fact{{Type: full.Type}})
	if err != nil || !slices.Equal(k.InPlace, []int{0}) {
		t.Fatalf("InPlace is %v, %v, want [0]", k.InPlace, err)
	}
	want := apply(t, op, full, b, c)[0]
	if got := execute(t, "Sum", k, ins, []graph.Fact{{Type: full.Type}})[0]; !got.Identical(want) {
		t.Errorf("got %v, want %v", got.F32(), want.F32())
	}
}

func TestSumOfTwoBecomesAnAdd(t *testing.T) {
	g := &graph.Graph{}
	a, b := g.Input("a", float(2, 3).Type), g.Input("b", float(3).Type)
	g.Outputs = []*graph.Value{add(t, g, build(t, "Sum", 8), add(t, g, build(t, "Max", 8), a), b)}
	r := rewritten(t, g)
	if len(r.Nodes) != 1 || r.Nodes[0].Op != graph.Op(binary{op: opAdd}) {
		t.Errorf("got %v, want one Add", r.Nodes)
	}
}

func TestPReluTakesItsSlopeFromEachChannel(t *testing.T) {
	atEachLevel(t, "TestPReluTakesItsSlopeFromEachChannel", func(t *testing.T) {
		op := build(t, "PRelu", 16)
		for _, d := range []tensor.DType{tensor.Float32, tensor.Float64, tensor.Float16, tensor.Int32, tensor.Uint32} {
			for _, s := range [][]int{{}, {20, 1, 1}, {2, 20, 3, 5}, {5}} {
				x, slope := tensor.New(d, 2, 20, 3, 5), nonZero(d, 2, s...)
				for i := range x.Shape.Elems() {
					if v := float64(i%17 - 8); d != tensor.Uint32 {
						set(x, i, v)
					} else {
						set(x, i, math.Abs(v))
					}
				}
				y := apply(t, op, x, slope)[0]
				for i, at := range coordinates(x.Shape) {
					want := tensortest.At(x, i)
					if want < 0 {
						want *= broadcastAt(slope, at)
					}
					if got := tensortest.At(y, i); got != want {
						t.Fatalf("%v with slopes %v: element %v is %v, want %v", d, s, at, got, want)
					}
				}
				if d == tensor.Float32 {
					z, blocked := applyBlocked(t, op, x, known{slope})
					if !sameBits(z, y) || blocked != (len(s) == 0 || len(s) == 3) {
						t.Errorf("slopes %v: blocked is %v, or the bits depend on the layout", s, blocked)
					}
				}
			}
		}
		if _, err := op.Infer(factsOf([]any{float(3), float(2, 3)})); err == nil || !strings.Contains(err.Error(), "does not broadcast to x[3]") {
			t.Errorf("a slope larger than x: got %v", err)
		}
	})
}

func TestWhereChoosesFromBothWithBroadcasting(t *testing.T) {
	op := build(t, "Where", 16)
	for _, d := range allTypes {
		for _, s := range [][3][]int{
			{{}, {}, {}}, {{2, 3}, {2, 3}, {2, 3}}, {{3}, {2, 1}, {}}, {{2, 1, 1}, {3, 1}, {4}}, {{1}, {2, 0}, {1, 1}}, {{4, 1, 2}, {1, 3, 1}, {4, 3, 2}},
		} {
			c, x, y := tensor.New(tensor.Bool, s[0]...), numbered(d, s[1]...), numbered(d, s[2]...)
			for i := range c.Raw {
				c.Raw[i] = byte(i*7%3) & 1
			}
			if d == tensor.Bool {
				x, y = tensor.New(d, s[1]...), tensor.New(d, s[2]...)
				for i := range x.Raw {
					x.Raw[i] = 1
				}
			}
			z := apply(t, op, c, x, y)[0]
			for i, at := range coordinates(z.Shape) {
				from := y
				if broadcastIndex(c.Shape, at) < len(c.Raw) && c.Raw[broadcastIndex(c.Shape, at)] == 1 {
					from = x
				}
				if got, want := bitsOf(z, i), bitsOf(from, broadcastIndex(from.Shape, at)); got != want {
					t.Fatalf("%v %v: element %v is %#x, want %#x", d, s, at, got, want)
				}
			}
		}
	}
	for _, in := range [][]any{{float(2), float(2), float(2)}, {tensor.New(tensor.Bool, 2), float(2), tensor.New(tensor.Int32, 2)},
		{tensor.New(tensor.Bool, 3), float(2), float(2)}, {tensor.New(tensor.Bool, 3), float(3)}} {
		if out, err := op.Infer(factsOf(in)); err == nil {
			t.Errorf("%v: got %v, want an error", fmt.Sprint(factsOf(in)), out)
		}
	}
}

// broadcastIndex is the place of element c of a result in an operand of shape s.
func broadcastIndex(s tensor.Shape, c []int) int {
	c = slices.Clone(c[len(c)-len(s):])
	for d, n := range s {
		if n == 1 {
			c[d] = 0
		}
	}
	return index(s, c...)
}

// The expected values are those of the specification's text: a right shift keeps the
// sign, a left shift drops what goes beyond it, and distances below 0 or beyond the
// width leave the sign alone.
func TestBitShiftOfSignedIntegers(t *testing.T) {
	a := tensor.Of([]int8{-128, -1, 5, -5, 127, -7, 7, -7, 7}, 9)
	b := tensor.Of([]int8{7, 1, 1, 1, 1, 8, 8, -1, -1}, 9)
	if y := apply(t, build(t, "BitShift", 28, "direction", "RIGHT"), a, b)[0]; !y.Identical(tensor.Of([]int8{-1, -1, 2, -3, 63, -1, 0, -1, 0}, 9)) {
		t.Errorf("right: got %v", tensor.View[int8](y))
	}
	if y := apply(t, build(t, "BitShift", 28, "direction", "LEFT"), a, b)[0]; !y.Identical(tensor.Of([]int8{0, -2, 10, -10, -2, 0, 0, 0, 0}, 9)) {
		t.Errorf("left: got %v", tensor.View[int8](y))
	}
	long, by := tensor.Of([]int64{math.MinInt64, -9, 9}, 3), tensor.Of([]int64{62, 1 << 40, -1}, 3)
	if y := apply(t, build(t, "BitShift", 28, "direction", "RIGHT"), long, by)[0]; !y.Identical(tensor.Of([]int64{-2, -1, 0}, 3)) {
		t.Errorf("64 bits: got %v", y.I64())
	}
}
