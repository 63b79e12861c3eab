package ops

import (
	"math"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// The image counts its 4x6 elements. The expected values are counted by hand.
func TestMaxRoiPoolIsTheLargestOfEachBin(t *testing.T) {
	x := float(1, 1, 4, 6)
	for i := range x.F32() {
		x.F32()[i] = float32(i)
	}
	for _, c := range []struct {
		name   string
		region []float32
		scale  float32
		want   []float32
	}{
		// Rows 0-3 and columns 0-5 in 2x2 bins of 2x3.
		{"all", []float32{0, 0, 0, 5, 3}, 1, []float32{8, 11, 20, 23}},
		// Rows 1-3 make bins of 1.5 rows: 1-2 and 2-3. Columns 2-4 likewise.
		{"overlap", []float32{0, 2, 1, 4, 3}, 1, []float32{15, 16, 21, 22}},
		// 2.5 and 0.5 are rounded away from zero: rows 1-1, columns 3-3.
		{"rounded", []float32{0, 5, 1, 5, 1}, 0.5, []float32{9, 9, 9, 9}},
		// A region that ends before it begins has one element.
		{"backwards", []float32{0, 3, 2, 1, 0}, 1, []float32{15, 15, 15, 15}},
		// Columns 4-7, of which 6 and 7 are outside: the right bins are empty.
		{"outside", []float32{0, 4, 0, 7, 1}, 1, []float32{5, 0, 11, 0}},
	} {
		op := build(t, "MaxRoiPool", 22, "pooled_shape", []int{2, 2}, "spatial_scale", c.scale)
		if y := apply(t, op, x, tensor.Of(c.region, 1, 5))[0]; !y.Identical(tensor.Of(c.want, 1, 1, 2, 2)) {
			t.Errorf("%s: got %v, want %v", c.name, y.F32(), c.want)
		}
	}
}

func TestMaxRoiPoolRefusesImagesThatAreNotThere(t *testing.T) {
	op := build(t, "MaxRoiPool", 1, "pooled_shape", []int{1, 1})
	x, nan := float(2, 1, 3, 3), float32(math.NaN())
	for _, image := range []float32{-1, 2, nan} {
		if _, err := graph.Apply(op, 0, x, tensor.Of([]float32{image, 0, 0, 1, 1}, 1, 5)); err == nil {
			t.Errorf("image %v of 2 is no error", image)
		}
	}
	if _, err := graph.Apply(op, 0, x, tensor.Of([]float32{1, nan, nan, nan, nan}, 1, 5)); err != nil {
		t.Errorf("a region of nowhere: %v", err)
	}
	if _, err := New("", "MaxRoiPool", 22, nil); err == nil {
		t.Error("no pooled_shape is no error")
	}
}
