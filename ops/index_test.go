package ops

import (
	"math"
	"slices"
	"testing"

	"scission/engine/tensor"
)

// counted is 0, 1, 2 and so on in a shape.
func counted(shape ...int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(i)
	}
	return t
}

func longList(v ...int64) *tensor.Tensor { return tensor.Of(v, len(v)) }

// The expected values are read off the definitions by hand.
func TestIndexOperatorsPickWhatTheIndicesSay(t *testing.T) {
	const back, end = -1, math.MaxInt64
	for name, c := range map[string]struct {
		got  []*tensor.Tensor
		want []float32
	}{
		"Slice":             {apply(t, build(t, "Slice", 13), counted(2, 5), fixed{1}, fixed{4}, fixed{1}, fixed{2}), []float32{1, 3, 6, 8}},
		"Slice backwards":   {apply(t, build(t, "Slice", 13), counted(5), known{longList(back)}, known{longList(-end)}, fixed{0}, known{longList(-2)}), []float32{4, 2, 0}},
		"Slice to the end":  {apply(t, build(t, "Slice", 13), counted(5), fixed{3}, known{longList(end)}), []float32{3, 4}},
		"Slice, huge step":  {apply(t, build(t, "Slice", 13), counted(5), fixed{4}, known{longList(math.MinInt64)}, fixed{0}, known{longList(math.MinInt64)}), []float32{4}},
		"Slice, old":        {apply(t, build(t, "Slice", 9, "starts", []int{-2}, "ends", []int{9}), counted(5)), []float32{3, 4}},
		"Gather":            {apply(t, build(t, "Gather", 13, "axis", 1), counted(2, 3), longList(2, -3)), []float32{2, 0, 5, 3}},
		"GatherElements":    {apply(t, build(t, "GatherElements", 13, "axis", 0), counted(2, 3), tensor.Of([]int64{1, 0, -1}, 1, 3)), []float32{3, 1, 5}},
		"GatherND":          {apply(t, build(t, "GatherND", 13), counted(2, 3), tensor.Of([]int64{1, 1, 0, -1}, 2, 2)), []float32{4, 2}},
		"GatherND, batch":   {apply(t, build(t, "GatherND", 13, "batch_dims", 1), counted(2, 3), tensor.Of([]int64{1, 2}, 2, 1)), []float32{1, 5}},
		"ScatterElements":   {apply(t, build(t, "ScatterElements", 18, "axis", 1, "reduction", "add"), counted(1, 3), tensor.Of([]int64{1, 1}, 1, 2), tensor.Of([]float32{10, 20}, 1, 2)), []float32{0, 31, 2}},
		"ScatterND":         {apply(t, build(t, "ScatterND", 18, "reduction", "max"), counted(3), tensor.Of([]int64{2, 0}, 2, 1), tensor.Of([]float32{1, 5}, 2)), []float32{5, 1, 2}},
		"Expand":            {apply(t, build(t, "Expand", 13), counted(2, 1), fixed{2, 2, 3}), []float32{0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1}},
		"Tile":              {apply(t, build(t, "Tile", 13), counted(2, 2), fixed{1, 2}), []float32{0, 1, 0, 1, 2, 3, 2, 3}},
		"Trilu, upper":      {apply(t, build(t, "Trilu", 14), counted(2, 3), longList(1)), []float32{0, 1, 2, 0, 0, 5}},
		"Trilu, lower":      {apply(t, build(t, "Trilu", 14, "upper", 0), counted(2, 3)), []float32{0, 0, 0, 3, 4, 0}},
		"Trilu, far":        {apply(t, build(t, "Trilu", 14), counted(1, 2), longList(math.MinInt64)), []float32{0, 1}},
		"SpaceToDepth":      {apply(t, build(t, "SpaceToDepth", 13, "blocksize", 2), counted(1, 1, 2, 4)), []float32{0, 2, 1, 3, 4, 6, 5, 7}},
		"DepthToSpace":      {apply(t, build(t, "DepthToSpace", 13, "blocksize", 2), counted(1, 4, 1, 2)), []float32{0, 2, 1, 3, 4, 6, 5, 7}},
		"ReverseSequence":   {apply(t, build(t, "ReverseSequence", 10), counted(3, 2), longList(3, 2)), []float32{4, 3, 2, 1, 0, 5}},
		"OneHot":            {apply(t, build(t, "OneHot", 11), longList(1, -1, 7), fixed{3}, tensor.Of([]float32{2, 9}, 2)), []float32{2, 9, 2, 2, 2, 9, 2, 2, 2}},
		"CenterCropPad":     {apply(t, build(t, "CenterCropPad", 18), counted(1, 4), fixed{2, 3}), []float32{0, 1, 2, 0, 0, 0}},
		"TensorScatter":     {apply(t, build(t, "TensorScatter", 24, "axis", 1, "mode", "circular"), counted(1, 3), tensor.Of([]float32{8, 9}, 1, 2), longList(2)), []float32{9, 1, 8}},
		"Compress":          {apply(t, build(t, "Compress", 11, "axis", 1), counted(2, 3), known{tensor.Of([]bool{true, false, true}, 3)}), []float32{0, 2, 3, 5}},
		"Range":             {apply(t, build(t, "Range", 11), known{tensor.Scalar[float32](1)}, known{tensor.Scalar[float32](0)}, known{tensor.Scalar[float32](-0.5)}), []float32{1, 0.5}},
		"EyeLike":           {apply(t, build(t, "EyeLike", 9, "k", -1), counted(2, 2)), []float32{0, 0, 1, 0}},
		"Split, last short": {apply(t, build(t, "Split", 18, "num_outputs", 2), counted(5))[1:], []float32{3, 4}},
	} {
		if !slices.Equal(c.got[0].F32(), c.want) {
			t.Errorf("%s: got %v, want %v", name, c.got[0].F32(), c.want)
		}
	}
}

func TestEveryTypeMovesAlike(t *testing.T) {
	for _, d := range allTypes {
		x := numbered(d, 3, 4)
		y := apply(t, build(t, "Slice", 13), x, fixed{3}, fixed{-9}, fixed{1}, fixed{-2})[0]
		for _, c := range coordinates(y.Shape) {
			if got, want := element(y, c), element(x, []int{c[0], 3 - 2*c[1]}); got != want {
				t.Errorf("%v at %v: got %x, want %x", d, c, got, want)
			}
		}
	}
}

func TestShapesOfIndexOperators(t *testing.T) {
	slice, many := build(t, "Slice", 13), known{longList(math.MaxInt64, math.MaxInt64)}
	checkShapes(t, []shapeCase{
		{"step 0", slice, []any{float(3), fixed{0}, fixed{3}, fixed{0}, fixed{0}}, nil},
		{"axis twice", slice, []any{float(3, 3), fixed{0, 0}, fixed{1, 1}, fixed{0, -2}}, nil},
		{"axis beyond", slice, []any{float(3), fixed{0}, fixed{1}, known{longList(math.MaxInt64)}}, nil},
		{"nothing", slice, []any{float(3), fixed{2}, fixed{1}}, tensor.Shape{0}},
		{"no length", slice, []any{float(0), fixed{-1}, fixed{9}, fixed{0}, fixed{-1}}, tensor.Shape{0}},
		{"expand", build(t, "Expand", 13), []any{float(3, 1), fixed{2, 1, 6}}, tensor.Shape{2, 3, 6}},
		{"expand, negative", build(t, "Expand", 13), []any{float(1), fixed{-1}}, nil},
		{"tile, overflow", build(t, "Tile", 13), []any{float(2, 2), many}, nil},
		{"shape beyond the machine", build(t, "ConstantOfShape", 9), []any{known{longList(math.MaxInt64, math.MaxInt64)}}, nil},
		{"range by 0", build(t, "Range", 11), []any{known{tensor.Scalar[int64](0)}, known{tensor.Scalar[int64](9)}, known{tensor.Scalar[int64](0)}}, nil},
		{"longest range", build(t, "Range", 11), []any{known{tensor.Scalar[int64](math.MinInt64)}, known{tensor.Scalar[int64](math.MaxInt64)}, known{tensor.Scalar[int64](1)}}, nil},
		{"range of NaN", build(t, "Range", 11), []any{known{tensor.Scalar(float32(math.NaN()))}, known{tensor.Scalar[float32](1)}, known{tensor.Scalar[float32](1)}}, nil},
		{"split", build(t, "Split", 13), []any{float(5), fixed{2, 3}}, tensor.Shape{2}},
		{"split, other sum", build(t, "Split", 13), []any{float(5), fixed{2, 2}}, nil},
		{"negative depth", build(t, "OneHot", 11), []any{longList(0), fixed{-1}, float(2)}, nil},
		{"block that does not divide", build(t, "DepthToSpace", 13, "blocksize", 2), []any{float(1, 6, 1, 1)}, nil},
		{"condition too long", build(t, "Compress", 11), []any{float(1), known{tensor.New(tensor.Bool, 2)}}, nil},
	})
}
