package ops

import (
	"errors"
	"math"
	"testing"

	"scission/engine/tensor"
)

var allTypes = []tensor.DType{
	tensor.Float32, tensor.Uint8, tensor.Int8, tensor.Uint16, tensor.Int16, tensor.Int32, tensor.Int64,
	tensor.Bool, tensor.Float16, tensor.Float64, tensor.Uint32, tensor.Uint64, tensor.BFloat16,
}

func castTo(t *testing.T, d tensor.DType, x *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	return apply(t, build(t, "Cast", 13, "to", int(d)), x)[0]
}

// Small whole numbers are the same number in every type.
func TestCastKeepsSmallNumbersInAllPairs(t *testing.T) {
	for _, from := range allTypes {
		n := 100
		if from == tensor.Bool {
			n = 2
		}
		numbers := make([]uint8, 3000)
		for i := range numbers {
			numbers[i] = uint8(i % n)
		}
		x := castTo(t, from, tensor.Of(numbers, 3, 1000))
		for _, to := range allTypes {
			y := castTo(t, to, x)
			if y.DType != to || !y.Shape.Equal(x.Shape) {
				t.Fatalf("%v to %v: got %v", from, to, y.Type)
			}
			for i, v := range numbers {
				if to == tensor.Bool {
					v = min(v, 1)
				}
				if got := number64(y, i); got != float64(v) {
					t.Fatalf("%v to %v: got %v, want %v", from, to, got, v)
				}
			}
		}
	}
}

// number64 reads an element by the bits of its type, apart from the code under test.
func number64(t *tensor.Tensor, i int) float64 {
	u, size := bitsOf(t, i), t.DType.Size()
	ieee := func(exponent, mantissa int) float64 {
		sign, e, m := 1.0, int(u>>mantissa)&(1<<exponent-1), float64(u&(1<<mantissa-1))
		if u>>(exponent+mantissa) == 1 {
			sign = -1
		}
		bias := 1<<(exponent-1) - 1
		switch {
		case e == 1<<exponent-1 && m == 0:
			return sign * math.Inf(1)
		case e == 1<<exponent-1:
			return math.NaN()
		case e == 0:
			return sign * math.Ldexp(m, 1-bias-mantissa)
		}
		return sign * math.Ldexp(m+math.Ldexp(1, mantissa), e-bias-mantissa)
	}
	switch t.DType {
	case tensor.Float16:
		return ieee(5, 10)
	case tensor.BFloat16:
		return ieee(8, 7)
	case tensor.Float32:
		return ieee(8, 23)
	case tensor.Float64:
		return ieee(11, 52)
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		return float64(int64(u<<(64-8*size)) >> (64 - 8*size))
	}
	return float64(u)
}

// What C, NumPy and ONNX Runtime give on amd64, where ONNX leaves it open.
func TestCastOutOfRangeIsDefined(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	x := []float64{2.9, -2.9, 300, -300, 3e9, -3e9, 1e19, -1e19, 2e19, inf, -inf, nan, 2147483647.5, -2147483648.5}
	for to, want := range map[tensor.DType][]float64{
		tensor.Int8:   {2, -2, 44, -44, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0},
		tensor.Uint8:  {2, 254, 44, 212, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0},
		tensor.Int16:  {2, -2, 300, -300, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0},
		tensor.Uint16: {2, 65534, 300, 65236, 0, 0, 0, 0, 0, 0, 0, 0, 65535, 0},
		tensor.Int32: {2, -2, 300, -300, -1 << 31, -1 << 31, -1 << 31, -1 << 31, -1 << 31, -1 << 31, -1 << 31, -1 << 31,
			1<<31 - 1, -1 << 31},
		tensor.Uint32: {2, 1<<32 - 2, 300, 1<<32 - 300, 3e9, 1<<32 - 3e9, 0, 0, 0, 0, 0, 0, 1<<31 - 1, 1 << 31},
		tensor.Int64: {2, -2, 300, -300, 3e9, -3e9, -1 << 63, -1 << 63, -1 << 63, -1 << 63, -1 << 63, -1 << 63,
			1<<31 - 1, -1 << 31},
		tensor.Uint64: {2, 0x1p64 - 2, 300, 0x1p64 - 300, 3e9, 0x1p64 - 3e9, 1e19, 0x1p63, 0, 0, 0x1p63, 0x1p63, 1<<31 - 1, 0x1p64 - 0x1p31},
	} {
		y := castTo(t, to, tensor.Of(x, len(x)))
		for i, w := range want {
			if got := number64(y, i); got != w {
				t.Errorf("%v to %v: got %v, want %v", x[i], to, got, w)
			}
		}
	}
}

func TestCastToBoolIsTrueButForZero(t *testing.T) {
	x := []float32{0, float32(math.Copysign(0, -1)), 0.1, -3, float32(math.NaN()), math.SmallestNonzeroFloat32}
	y := castTo(t, tensor.Bool, tensor.Of(x, len(x)))
	for i, want := range []bool{false, false, true, true, true, true} {
		if got := tensor.View[bool](y)[i]; got != want {
			t.Errorf("%v: got %v, want %v", x[i], got, want)
		}
	}
}

func TestCastOfIntegersKeepsTheLowBits(t *testing.T) {
	x := tensor.Of([]int64{-1, 1<<40 + 200, math.MinInt64, math.MaxInt64}, 4)
	for to, want := range map[tensor.DType][]float64{
		tensor.Int8: {-1, -56, 0, -1}, tensor.Uint8: {255, 200, 0, 255}, tensor.Uint32: {1<<32 - 1, 200, 0, 1<<32 - 1},
		tensor.Uint64: {0x1p64, 1<<40 + 200, 0x1p63, 0x1p63}, tensor.Float32: {-1, 1 << 40, -0x1p63, 0x1p63},
	} {
		y := castTo(t, to, x)
		for i, w := range want {
			if got := number64(y, i); got != w {
				t.Errorf("%d to %v: got %v, want %v", x.I64()[i], to, got, w)
			}
		}
	}
}

// A cast to 16 bits by way of float32 would round the first of each pair to
// even and then up or down again.
func TestCastRoundsOnce(t *testing.T) {
	above := 1 + 0x1p-11 + 0x1p-50
	brain := 1 + 0x1p-8 + 0x1p-40
	for _, c := range []struct {
		to      tensor.DType
		x, want float64
	}{
		{tensor.Float16, above, 1 + 0x1p-10},
		{tensor.Float16, -above, -1 - 0x1p-10},
		{tensor.Float16, 1 + 0x1p-11, 1},
		{tensor.Float16, 1 + 0x3p-11 - 0x1p-50, 1 + 0x1p-10},
		{tensor.Float16, 1e300, math.Inf(1)},
		{tensor.Float16, -1e-300, 0},
		{tensor.Float16, 0x1p-25 + 0x1p-70, 0x1p-24},
		{tensor.Float16, 65519.9999999999, 65504},
		{tensor.BFloat16, brain, 1 + 0x1p-7},
		{tensor.BFloat16, -brain, -1 - 0x1p-7},
		{tensor.BFloat16, math.MaxFloat64, math.Inf(1)},
		{tensor.BFloat16, math.Inf(-1), math.Inf(-1)},
		{tensor.BFloat16, 0x1p-134 + 0x1p-180, 0x1p-133},
	} {
		y := castTo(t, c.to, tensor.Of([]float64{c.x}, 1))
		if got := number64(y, 0); got != c.want {
			t.Errorf("%v to %v: got %v, want %v", c.x, c.to, got, c.want)
		}
	}
	if got := number64(castTo(t, tensor.Float16, tensor.Of([]float64{math.NaN()}, 1)), 0); got == got {
		t.Errorf("NaN to float16: got %v", got)
	}
}

func TestCastSharesLargeAndTakesEmptyTensors(t *testing.T) {
	x := tensor.New(tensor.Float16, 100, 1003)
	for i := range x.Raw {
		x.Raw[i] = byte(i*7) & 0x3f // finite
	}
	y := castTo(t, tensor.Float64, x)
	for i := range x.Shape.Elems() {
		if number64(y, i) != number64(x, i) {
			t.Fatalf("element %d: got %v, want %v", i, number64(y, i), number64(x, i))
		}
	}
	castTo(t, tensor.Int8, tensor.New(tensor.BFloat16, 3, 0))
}

func TestCastRefusesOtherTypes(t *testing.T) {
	for _, to := range []int{0, 14, 27, 256 + 1, -1} {
		if _, err := New("", "Cast", 19, attrList("to", to, "saturate", 0)); !errors.Is(err, ErrUnsupported) {
			t.Errorf("to %d: got %v, want ErrUnsupported", to, err)
		}
	}
	if _, err := New("", "Cast", 13, nil); err == nil {
		t.Error("Cast without a type was accepted")
	}
}
