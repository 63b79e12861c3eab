package ops

import (
	"testing"

	"scission/engine/tensor"
)

func codes(d tensor.DType, b ...byte) *tensor.Tensor {
	return &tensor.Tensor{Type: tensor.Type{DType: d, Shape: tensor.Shape{len(b)}}, Raw: b}
}

// Expected values: test_dequantizelinear_int4, _uint4, _int2, _e4m3fn, _e5m2 and
// _float4e2m1 of ONNX 1.23.
func TestDequantizeLinearOfStoredTypes(t *testing.T) {
	for _, c := range []struct {
		x    *tensor.Tensor
		zero *tensor.Tensor
		want []float32
	}{
		{codes(tensor.Int4, 0, 1, 7, 0xfc, 0xf8), codes(tensor.Int4, 1), []float32{-2, 0, 12, -10, -18}},
		{codes(tensor.Uint4, 0, 1, 7, 10, 15), codes(tensor.Uint4, 1), []float32{-2, 0, 12, 18, 28}},
		{codes(tensor.Int2, 0, 1, 0xff, 0xfe), codes(tensor.Int2, 1), []float32{-2, 0, -4, -6}},
		{codes(tensor.Float8E4M3FN, 0x00, 0x30, 0x38, 0x7e, 0xc2), nil, []float32{0, 1, 2, 896, -5}}, // 0, 1/2, 1, 448, -2.5
		{codes(tensor.Float8E4M3FN, 0x30, 0x38), codes(tensor.Float8E4M3FN, 0x30), []float32{0, 1}},
		{codes(tensor.Float8E5M2, 0x00, 0x38, 0x3c, 0x7b, 0xd6), nil, []float32{0, 1, 2, 114688, -192}}, // ..., -96
		{codes(tensor.Float4E2M1, 0, 1, 2, 7, 13), nil, []float32{0, 1, 2, 12, -6}},
	} {
		in := []any{c.x, tensor.Of([]float32{2}), c.zero}
		if c.zero == nil {
			in = in[:2]
		} else {
			c.zero.Shape = tensor.Shape{}
		}
		y := apply(t, build(t, "DequantizeLinear", 25), in...)[0]
		for i, want := range c.want {
			if got := y.F32()[i]; got != want {
				t.Errorf("%v: element %d is %v, want %v", c.x.DType, i, got, want)
			}
		}
	}
}

// Saturation by the ranges of ONNX QuantizeLinear-25, ties to even.
func TestQuantizeLinearToStoredTypes(t *testing.T) {
	x := []float32{-100, -5, -1, 0, 1, 3, 5, 7, 100}
	for _, c := range []struct {
		zero *tensor.Tensor
		want []byte
	}{
		{codes(tensor.Int4, 1), []byte{0xf8, 0xff, 1, 1, 1, 3, 3, 5, 7}},
		{codes(tensor.Uint4, 1), []byte{0, 0, 1, 1, 1, 3, 3, 5, 15}},
		{codes(tensor.Int2, 0), []byte{0xfe, 0xfe, 0, 0, 0, 1, 1, 1, 1}},
		{codes(tensor.Uint2, 0), []byte{0, 0, 0, 0, 0, 2, 2, 3, 3}},
		{codes(tensor.Float8E4M3FN, 0), []byte{0xe4, 0xc2, 0xb0, 0, 0x30, 0x3c, 0x42, 0x46, 0x64}}, // 50 is 48 or 52: to even, 48
		{codes(tensor.Float4E2M1, 0), []byte{15, 12, 9, 0, 1, 3, 4, 6, 7}},                         // 2.5 is 2 or 3, to even: 2; 3.5 to 4
	} {
		c.zero.Shape = tensor.Shape{}
		y := apply(t, build(t, "QuantizeLinear", 25), tensor.Of(x, len(x)), tensor.Of([]float32{2}), c.zero)[0]
		for i, want := range c.want {
			if y.Raw[i] != want {
				t.Errorf("%v: %v/2 is code %#x, want %#x", c.zero.DType, x[i], y.Raw[i], want)
			}
		}
	}
}

// Integers keep their low bits, floating point drops the fraction: ONNX Cast-25.
func TestCastToAndFromNarrowIntegers(t *testing.T) {
	for _, c := range []struct {
		x    *tensor.Tensor
		to   tensor.DType
		want []byte
	}{
		{tensor.Of([]int32{0, 7, 8, -8, -9, 200}, 6), tensor.Int4, []byte{0, 7, 0xf8, 0xf8, 7, 0xf8}},
		{tensor.Of([]float32{2.9, -2.9, 15.5}, 3), tensor.Uint4, []byte{2, 14, 15}},
		{tensor.Of([]int64{1, 2, 3, -1}, 4), tensor.Int2, []byte{1, 0xfe, 0xff, 0xff}},
		{codes(tensor.Int4, 0xf8, 3), tensor.Int8, []byte{0xf8, 3}},
		{codes(tensor.Int4, 0xf8, 3), tensor.Uint4, []byte{8, 3}},
		{codes(tensor.Uint4, 15, 3), tensor.Uint2, []byte{3, 3}},
		{codes(tensor.Float4E2M1, 7, 10), tensor.Int8, []byte{6, 0xff}},
	} {
		y := apply(t, build(t, "Cast", 25, "to", int(c.to)), c.x)[0]
		for i, want := range c.want {
			if y.Raw[i] != want {
				t.Errorf("%v to %v: element %d is %#x, want %#x", c.x.DType, c.to, i, y.Raw[i], want)
			}
		}
	}
}
