package ops

import (
	"testing"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

func scalesOf(v ...float32) known { return known{tensor.Of(v, len(v))} }

// Results worked out by hand from the formulas of the specification.
func TestResizeFollowsItsFormulas(t *testing.T) {
	line := tensor.Of([]float32{0, 4, 8}, 3)
	for _, c := range []struct {
		name    string
		version int
		attrs   []any
		in      []any
		want    []float32
	}{
		{"Upsample", 7, []any{"scales", []float32{2}}, []any{line}, []float32{0, 0, 4, 4, 8, 8}},
		{"Upsample", 9, []any{"mode", "linear"}, []any{line, scalesOf(2)}, []float32{0, 2, 4, 6, 8, 8}},
		{"Resize", 10, nil, []any{line, scalesOf(0.5)}, []float32{0}},
		{"Resize", 11, []any{"mode", "linear"}, []any{line, nil, scalesOf(2)}, []float32{0, 1, 3, 5, 7, 8}},
		{"Resize", 13, []any{"mode", "linear", "coordinate_transformation_mode", "align_corners"}, []any{line, nil, nil, fixed{5}}, []float32{0, 2, 4, 6, 8}},
		{"Resize", 13, []any{"nearest_mode", "ceil", "coordinate_transformation_mode", "asymmetric"}, []any{line, nil, scalesOf(2)}, []float32{0, 4, 4, 8, 8, 8}},
		{"Resize", 13, []any{"coordinate_transformation_mode", "align_corners"}, []any{line, nil, nil, fixed{5}}, []float32{0, 0, 4, 4, 8}},
		{"Resize", 13, []any{"coordinate_transformation_mode", "align_corners", "nearest_mode", "round_prefer_ceil"}, []any{line, nil, nil, fixed{5}}, []float32{0, 4, 4, 8, 8}},
		{"Resize", 13, []any{"mode", "linear", "coordinate_transformation_mode", "pytorch_half_pixel"}, []any{line, nil, nil, fixed{1}}, []float32{0}},
		{"Resize", 18, []any{"mode", "linear", "antialias", 1}, []any{tensor.Of([]float32{1, 3, 5, 7}, 4), nil, scalesOf(0.5)}, []float32{2.25, 5.75}},
		{"Resize", 19, []any{"mode", "linear", "coordinate_transformation_mode", "tf_crop_and_resize", "extrapolation_value", float32(9)},
			[]any{line, scalesOf(0.5, 1.5), nil, fixed{3}}, []float32{4, 8, 9}},
		{"Resize", 13, []any{"mode", "cubic"}, []any{tensor.Of([]float32{7, 7, 7}, 3), nil, scalesOf(3)}, []float32{7, 7, 7, 7, 7, 7, 7, 7, 7}},
		{"Resize", 13, []any{"mode", "cubic", "cubic_coeff_a", float32(-0.5), "coordinate_transformation_mode", "asymmetric"},
			[]any{line, nil, scalesOf(2)}, []float32{0, 1.75, 4, 6.25, 8, 8.25}},
	} {
		y := apply(t, build(t, c.name, c.version, c.attrs...), c.in...)[0]
		if err := tensortest.Diff(y, tensor.Of(c.want, len(c.want)), 1e-6, 1e-6); err != nil {
			t.Errorf("%s-%d %v: got %v, want %v", c.name, c.version, c.attrs, y.F32(), c.want)
		}
	}
}

func TestResizeOfTwoDimensionsIsResizeOfEach(t *testing.T) {
	for _, mode := range []string{"nearest", "linear", "cubic"} {
		for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
			x := nonZero(d, 3, 2, 3, 5, 7)
			both := apply(t, build(t, "Resize", 13, "mode", mode), x, nil, nil, fixed{2, 3, 9, 4})[0]
			one := apply(t, build(t, "Resize", 18, "mode", mode, "axes", []int{-2}), x, nil, nil, fixed{9})[0]
			two := apply(t, build(t, "Resize", 18, "mode", mode, "axes", []int{3}), one, nil, nil, fixed{4})[0]
			if err := tensortest.Diff(both, two, 1e-5, 1e-5); err != nil {
				t.Errorf("%s of %v: %v", mode, d, err)
			}
		}
	}
}

func TestResizeShapes(t *testing.T) {
	x := float(1, 1, 4, 6)
	policy := func(p string) []any { return []any{"keep_aspect_ratio_policy", p, "axes", []int{2, 3}} }
	checkShapes(t, []shapeCase{
		{"rounds down", build(t, "Resize", 13), []any{x, nil, scalesOf(1, 1, 0.6, 1.4)}, tensor.Shape{1, 1, 2, 8}},
		{"not larger", build(t, "Resize", 18, policy("not_larger")...), []any{x, nil, nil, fixed{8, 9}}, tensor.Shape{1, 1, 6, 9}},
		{"not smaller", build(t, "Resize", 18, policy("not_smaller")...), []any{x, nil, nil, fixed{8, 9}}, tensor.Shape{1, 1, 8, 12}},
		{"empty roi", build(t, "Resize", 11), []any{x, scalesOf(), scalesOf(1, 1, 2, 2)}, tensor.Shape{1, 1, 8, 12}},
		{"zero length", build(t, "Resize", 13), []any{float(1, 0), nil, scalesOf(2, 2)}, tensor.Shape{2, 0}},
		{"something of nothing", build(t, "Resize", 13), []any{float(0), nil, nil, fixed{3}}, nil},
		{"negative", build(t, "Resize", 13), []any{float(3), nil, scalesOf(-1)}, nil},
		{"huge", build(t, "Resize", 13), []any{float(3), nil, scalesOf(1e30)}, nil},
		{"scales and sizes", build(t, "Resize", 13), []any{float(3), nil, scalesOf(1), fixed{3}}, nil},
		{"neither", build(t, "Resize", 13), []any{float(3)}, nil},
		{"too few", build(t, "Resize", 13), []any{x, nil, scalesOf(2, 2)}, nil},
	})
}
