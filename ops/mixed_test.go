package ops

import (
	"testing"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// as16 returns x, whose values float16 has, as float16.
func as16(x *tensor.Tensor) *tensor.Tensor {
	y := tensor.New(tensor.Float16, x.Shape...)
	narrow(halfOf(tensor.Float16), tensor.View[uint16](y), x.F32())
	return y
}

// Where types differ, the result is that of float32 or float64, rounded to the type
// that the specification gives it. All numbers here are small and exact.
func TestFloatingPointTypesMayDiffer(t *testing.T) {
	x := tensor.Of([]float32{1, 2, 3, 4}, 1, 1, 2, 2)
	one, two, zero := tensor.Of([]float32{1}, 1), tensor.Of([]float32{2}, 1), tensor.Of([]float32{0}, 1)
	grid := tensor.Of([]float32{-0.5, -0.5, 0.5, 0.5}, 1, 1, 2, 2) // the centers of the first and the last element
	row := tensor.Of([]float32{3, -3}, 1, 2)
	for _, c := range []struct {
		name string
		got  *tensor.Tensor
		to   tensor.DType
		want []float64
	}{
		{"BatchNormalization", apply(t, build(t, "BatchNormalization", 15, "epsilon", float32(0)), x, one, as16(two), wide(one), wide(one))[0], tensor.Float32, []float64{2, 3, 4, 5}},
		{"BatchNormalization of float64", apply(t, build(t, "BatchNormalization", 15, "epsilon", float32(0)), wide(x), one, two, zero, one)[0], tensor.Float64, []float64{3, 4, 5, 6}},
		{"GridSample", apply(t, build(t, "GridSample", 22), as16(x), grid)[0], tensor.Float16, []float64{1, 4}},
		{"GridSample by float64", apply(t, build(t, "GridSample", 22), x, wide(grid))[0], tensor.Float32, []float64{1, 4}},
		{"RMSNormalization", apply(t, build(t, "RMSNormalization", 23, "epsilon", float32(0)), as16(row), tensor.Of([]float32{1, 2}, 2))[0], tensor.Float32, []float64{1, -2}},
		{"RMSNormalization to float16", apply(t, build(t, "RMSNormalization", 23, "epsilon", float32(0)), wide(row), as16(tensor.Of([]float32{1, 2}, 2)))[0], tensor.Float16, []float64{1, -2}},
	} {
		if c.got.DType != c.to {
			t.Errorf("%s: the result is %v, want %v", c.name, c.got.DType, c.to)
		}
		for i, want := range c.want {
			if got := tensortest.At(c.got, i); got != want {
				t.Errorf("%s: element %d is %v, want %v", c.name, i, got, want)
			}
		}
	}
}

// One row of q sees one row of k and v, so that y is v, in the types of the
// specification: y has q's, present_value v's.
func TestAttentionTakesValuesAndMasksOfOtherTypes(t *testing.T) {
	q, v, mask := float(1, 1, 1, 2), tensor.Of([]float32{3, 5}, 1, 1, 1, 2), float(1, 1)
	out := apply(t, build(t, "Attention", 24), q, q, as16(v), wide(mask))
	if !out[0].Identical(v) {
		t.Errorf("y is %v %v, want %v", out[0].Type, out[0].Raw, v.F32())
	}
	if !out[2].Identical(as16(v)) {
		t.Errorf("present_value is %v %v, want v", out[2].Type, out[2].Raw)
	}
}
