package ops

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// activationCases are operators with one operand and what they are in float64.
var activationCases = []struct {
	name    string
	version int
	attrs   []any
	more    []float64 // further inputs, scalars of x's type; NaN is an omitted one
	types   []tensor.DType
	f       func(x float64) float64
	blocked bool // in NCHW16c with pad lanes too
}{
	{"Relu", 14, nil, nil, []tensor.DType{tensor.Float32, tensor.Float64, tensor.Float16, tensor.BFloat16, tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64},
		func(x float64) float64 { return math.Max(x, 0) }, true},
	{"Clip", 7, []any{"min", float32(-2), "max", float32(3)}, nil, realTypes,
		func(x float64) float64 { return math.Min(math.Max(x, -2), 3) }, true},
	{"Clip", 7, []any{"min", float32(1)}, nil, realTypes, func(x float64) float64 { return math.Max(x, 1) }, false},
	{"Clip", 13, nil, nil, numericTypes, func(x float64) float64 { return x }, true},
	{"Clip", 13, nil, []float64{2}, numericTypes, func(x float64) float64 { return math.Max(x, 2) }, false},
	{"Clip", 13, nil, []float64{math.NaN(), 4}, numericTypes, func(x float64) float64 { return math.Min(x, 4) }, true},
	{"Clip", 13, nil, []float64{3, 1}, numericTypes, func(x float64) float64 { return 1 }, false},
	{"LeakyRelu", 16, []any{"alpha", float32(0.25)}, nil, realTypes, func(x float64) float64 {
		if x < 0 {
			return x / 4
		}
		return x
	}, true},
	{"LeakyRelu", 7, nil, nil, floatTypes, func(x float64) float64 {
		if x < 0 {
			return x * float64(float32(0.01))
		}
		return x
	}, true},
	{"Sigmoid", 13, nil, nil, realTypes, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, false},
	{"Sin", 7, nil, nil, realTypes, math.Sin, true},
	{"Cos", 22, nil, nil, realTypes, math.Cos, false},
	{"Tan", 7, nil, nil, realTypes, math.Tan, true},
	{"Asin", 7, nil, nil, realTypes, math.Asin, true},
	{"Acos", 7, nil, nil, realTypes, math.Acos, false},
	{"Atan", 7, nil, nil, realTypes, math.Atan, true},
	{"Sinh", 9, nil, nil, realTypes, func(x float64) float64 { return (math.Exp(x) - math.Exp(-x)) / 2 }, true},
	{"Cosh", 9, nil, nil, realTypes, func(x float64) float64 { return (math.Exp(x) + math.Exp(-x)) / 2 }, false},
	{"Asinh", 9, nil, nil, realTypes, math.Asinh, true},
	{"Acosh", 9, nil, nil, realTypes, math.Acosh, false},
	{"Atanh", 9, nil, nil, realTypes, math.Atanh, true},
	{"Sqrt", 13, nil, nil, realTypes, math.Sqrt, true},
	{"Exp", 13, nil, nil, realTypes, math.Exp, false},
	{"Log", 13, nil, nil, realTypes, math.Log, false},
	{"Tanh", 13, nil, nil, realTypes, math.Tanh, true},
	{"Erf", 13, nil, nil, realTypes, math.Erf, true},
	{"Reciprocal", 13, nil, nil, realTypes, func(x float64) float64 { return 1 / x }, false},
	{"Floor", 13, nil, nil, realTypes, math.Floor, true},
	{"Ceil", 13, nil, nil, realTypes, math.Ceil, true},
	{"Round", 11, nil, nil, realTypes, func(x float64) float64 { return x - math.Remainder(x, 1) }, true},
	{"Neg", 13, nil, nil, signedTypes, func(x float64) float64 { return -x }, false},
	{"Abs", 13, nil, nil, numericTypes, math.Abs, true},
	{"Sign", 13, nil, nil, numericTypes, func(x float64) float64 {
		if x == 0 {
			return 0
		}
		return math.Copysign(1, x)
	}, true},
	{"Softsign", 7, nil, nil, realTypes, func(x float64) float64 { return x / (1 + math.Abs(x)) }, true},
	{"Softplus", 7, nil, nil, realTypes, func(x float64) float64 { return math.Log1p(math.Exp(x)) }, false},
	{"Mish", 18, nil, nil, realTypes, func(x float64) float64 { return x * math.Tanh(math.Log1p(math.Exp(x))) }, true},
	{"HardSigmoid", 7, []any{"alpha", float32(0.25)}, nil, realTypes, func(x float64) float64 { return math.Max(0, math.Min(1, x/4+0.5)) }, false},
	{"HardSigmoid", 7, []any{"alpha", float32(0.5), "beta", float32(-1)}, nil, realTypes, func(x float64) float64 { return math.Max(0, math.Min(1, x/2-1)) }, true},
	{"HardSwish", 14, nil, nil, realTypes, func(x float64) float64 { return x * math.Max(0, math.Min(1, float64(x*(1.0/6))+0.5)) }, true},
	{"Elu", 7, []any{"alpha", float32(2)}, nil, realTypes, func(x float64) float64 { return math.Max(x, 0) + 2*math.Expm1(math.Min(x, 0)) }, true},
	{"Selu", 7, []any{"alpha", float32(2), "gamma", float32(3)}, nil, realTypes, func(x float64) float64 { return 3 * (math.Max(x, 0) + 2*math.Expm1(math.Min(x, 0))) }, true},
	{"Celu", 12, []any{"alpha", float32(2)}, nil, realTypes, func(x float64) float64 { return math.Max(x, 0) + 2*math.Expm1(math.Min(x, 0)/2) }, true},
	{"ThresholdedRelu", 10, []any{"alpha", float32(2)}, nil, realTypes, func(x float64) float64 {
		if x <= 2 {
			return 0
		}
		return x
	}, true},
	{"Shrink", 9, []any{"lambd", float32(1.5), "bias", float32(1)}, nil, numericTypes, func(x float64) float64 {
		if math.Abs(x) <= 1.5 {
			return 0
		}
		return x - math.Copysign(1, x)
	}, true},
	{"Swish", 24, nil, nil, realTypes, func(x float64) float64 { return x / (1 + math.Exp(-x)) }, true},
	{"Swish", 24, []any{"alpha", float32(0.5)}, nil, realTypes, func(x float64) float64 { return x / (1 + math.Exp(-x/2)) }, true},
	{"BitwiseNot", 18, nil, nil, []tensor.DType{tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64}, func(x float64) float64 { return -x - 1 }, false},
	{"BitwiseNot", 18, nil, nil, []tensor.DType{tensor.Uint16}, func(x float64) float64 { return 65535 - x }, false},
}

// Far below zero Gelu is a small difference of large numbers, so its error is
// bounded by |x|.
func TestGeluIsItsDefinition(t *testing.T) {
	atEachLevel(t, "TestGeluIsItsDefinition", func(t *testing.T) {
		for how, f := range map[string]func(x float64) float64{
			"none": func(x float64) float64 { return x * (1 + math.Erf(x/math.Sqrt2)) / 2 },
			"tanh": func(x float64) float64 {
				return x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) / 2
			},
		} {
			op := build(t, "Gelu", 20, "approximate", how)
			for _, d := range realTypes {
				x := tensor.New(d, 1, 5, 3, 7)
				for i := range x.Shape.Elems() {
					set(x, i, float64(i%41)/4-5)
				}
				y := apply(t, op, x)[0]
				for i := range x.Shape.Elems() {
					v := tensortest.At(x, i)
					if got, want := tensortest.At(y, i), f(v); math.Abs(got-want) > precision(d)*max(1, math.Abs(v)) {
						t.Fatalf("%s of %v %v: got %v, want %v", op, d, v, got, want)
					}
				}
				if d == tensor.Float32 {
					if z, blocked := applyBlocked(t, op, x); !blocked || !z.Identical(y) {
						t.Errorf("%s: blocked is %v, want the same bits in NCHW16c", op, blocked)
					}
				}
			}
		}
	})
	if _, err := New("", "Gelu", 20, attrList("approximate", "erf")); !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v, want ErrUnsupported", err)
	}
}

func TestPredicatesGiveTruthValues(t *testing.T) {
	nan := math.NaN()
	values := []float64{0, 1, nan, math.Inf(1), math.Inf(-1)}
	for _, c := range []struct {
		op   graph.Op
		want []bool
	}{
		{build(t, "IsNaN", 20), []bool{false, false, true, false, false}},
		{build(t, "IsInf", 10), []bool{false, false, false, true, true}},
		{build(t, "IsInf", 10, "detect_negative", 0), []bool{false, false, false, true, false}},
		{build(t, "IsInf", 20, "detect_positive", 0), []bool{false, false, false, false, true}},
	} {
		for _, d := range realTypes {
			x := tensor.New(d, len(values))
			for i, v := range values {
				set(x, i, v)
			}
			if y := apply(t, c.op, x)[0]; !y.Identical(tensor.Of(c.want, len(values))) {
				t.Errorf("%s of %v: got %v, want %v", c.op, d, y.Raw, c.want)
			}
		}
	}
	if y := apply(t, build(t, "Not", 7), tensor.Of([]bool{true, false}, 2))[0]; !y.Identical(tensor.Of([]bool{false, true}, 2)) {
		t.Errorf("Not: got %v", y.Raw)
	}
}

// precision is how far a result may be from the exact one, relative to it.
func precision(d tensor.DType) float64 {
	switch d {
	case tensor.Float64:
		return 0x1p-51
	case tensor.Float16:
		return 0x1p-10
	case tensor.BFloat16:
		return 0x1p-7
	}
	return 0x1p-21
}

func TestActivationsAreTheirDefinition(t *testing.T) {
	atEachLevel(t, "TestActivationsAreTheirDefinition", func(t *testing.T) {
		for _, c := range activationCases {
			op := build(t, c.name, c.version, c.attrs...)
			for _, d := range c.types {
				x := tensor.New(d, 1, 5, 3, 7)
				for i := range x.Shape.Elems() {
					v := float64(i%23) - 11
					switch {
					case strings.HasPrefix(d.String(), "uint"):
						v = math.Abs(v)
					case d.IsFloat():
						v += 0.5 * float64(i%2)
					}
					set(x, i, v)
				}
				for _, live := range []bool{false, true} {
					in := []any{x}
					for _, m := range c.more {
						s := tensor.New(d)
						if math.IsNaN(m) {
							in = append(in, nil)
							continue
						}
						set(s, 0, m)
						if live {
							in = append(in, s)
						} else {
							in = append(in, known{s})
						}
					}
					y := apply(t, op, in...)[0]
					if !y.Type.Equal(x.Type) {
						t.Fatalf("%s: got %v, want %v", op, y.Type, x.Type)
					}
					for i := range x.Shape.Elems() {
						want := c.f(tensortest.At(x, i))
						switch {
						case !d.IsFloat():
							want = math.Trunc(want)
						case d == tensor.Float16 && math.Abs(want) > 65504:
							want = math.Copysign(math.Inf(1), want)
						}
						if got := tensortest.At(y, i); math.IsNaN(got) != math.IsNaN(want) || math.Abs(got-want) > precision(d)*math.Abs(want) {
							t.Fatalf("%s of %v %v: got %v, want %v", op, d, tensortest.At(x, i), got, want)
						}
					}
					if d != tensor.Float32 {
						continue
					}
					z, blocked := applyBlocked(t, op, in...)
					if !z.Identical(y) {
						t.Errorf("%s, live %v: the bits depend on the layout", op, live)
					}
					if want := c.blocked && (!live || len(c.more) == 0); blocked != want {
						t.Errorf("%s, live %v: blocked is %v, want %v", op, live, blocked, want)
					}
				}
			}
		}
	})
}

// Without pad lanes every activation stays in NCHW16c.
func TestActivationsKeepTheLayoutOfFullBlocks(t *testing.T) {
	for _, c := range activationCases {
		if !slices.Contains(c.types, tensor.Float32) {
			continue
		}
		op := build(t, c.name, c.version, c.attrs...)
		x := reals(source(1), 1, 32, 4, 5)
		y, blocked := applyBlocked(t, op, x)
		if !blocked || !y.Identical(apply(t, op, x)[0]) {
			t.Errorf("%s: blocked is %v, want the same bits in NCHW16c", op, blocked)
		}
	}
}

// What a clamp makes of a NaN, of zeros and of infinities is what the fused
// clamps of convolutions make of them.
func TestClampsKeepNaNAndSignedZeros(t *testing.T) {
	atEachLevel(t, "TestClampsKeepNaNAndSignedZeros", func(t *testing.T) {
		nan := float32(math.NaN())
		x := tensor.Of([]float32{nan, negativeZero, 0, inf, -inf, -1, 9}, 7)
		for _, c := range []struct {
			op   graph.Op
			want []float32
		}{
			{build(t, "Relu", 14), []float32{nan, negativeZero, 0, inf, 0, 0, 9}},
			{build(t, "Clip", 7, "min", float32(0), "max", float32(6)), []float32{nan, negativeZero, 0, 6, 0, 0, 6}},
			{build(t, "Clip", 13), []float32{nan, negativeZero, 0, math.MaxFloat32, -math.MaxFloat32, -1, 9}},
		} {
			if y := apply(t, c.op, x)[0]; !sameBits(y, tensor.Of(c.want, 7)) {
				t.Errorf("%s: got %v, want %v", c.op, y.F32(), c.want)
			}
		}
	})
}

func TestActivationsRefuseOtherTypes(t *testing.T) {
	for name, d := range map[string]tensor.DType{"Relu": tensor.Uint8, "LeakyRelu": tensor.Int32, "Sigmoid": tensor.Int64, "Clip": tensor.Bool, "Softmax": tensor.Int8} {
		_, err := build(t, name, 13).Infer(factsOf([]any{tensor.New(d, 2)}))
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), d.String()) {
			t.Errorf("%s of %v: got %v, want ErrUnsupported with the type", name, d, err)
		}
	}
	for _, in := range [][]any{{float(2), float(2)}, {float(2), tensor.New(tensor.Int32)}, {float(2), nil, nil, nil}, {}} {
		if out, err := build(t, "Clip", 13).Infer(factsOf(in)); err == nil {
			t.Errorf("Clip of %d inputs: got %v, want an error", len(in), out)
		}
	}
}
