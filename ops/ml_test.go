package ops

import (
	"math"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

func buildML(tb testing.TB, name string, version int, attrs ...any) graph.Op {
	tb.Helper()
	op, err := New("ai.onnx.ml", name, version, attrList(attrs...))
	if err != nil {
		tb.Fatal(err)
	}
	return op
}

func TestMachineLearningOperators(t *testing.T) {
	one := func(t *tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{t} }
	nan := float32(math.NaN())
	checkValues(t, []valueCase{
		{"binarizer", buildML(t, "Binarizer", 1, "threshold", float32(1)), one(tensor.Of([]float32{0, 1, 1.5, nan}, 2, 2)), one(tensor.Of([]float32{0, 0, 1, 0}, 2, 2))},
		{"features", buildML(t, "ArrayFeatureExtractor", 1), []*tensor.Tensor{tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 2, 3), tensor.Of([]int64{2, 0}, 1, 2)}, one(tensor.Of([]float32{3, 1, 6, 4}, 2, 2))},
		{"words to numbers", buildML(t, "LabelEncoder", 2, "keys_strings", []string{"Amy", "Sally"}, "values_int64s", []int{5, 6}),
			one(words(t, []string{"Dori", "Amy", "Sally"}, 3)), one(listed64(-1, 5, 6))},
		{"numbers to words", buildML(t, "LabelEncoder", 2, "keys_int64s", []int{1, 2}, "values_strings", []string{"one", "two"}, "default_string", "many"),
			one(tensor.Of([]int64{2, 7}, 1, 2)), one(words(t, []string{"two", "many"}, 1, 2))},
		{"the last of equal keys", buildML(t, "LabelEncoder", 4, "keys_floats", []float32{nan, 1, 1}, "values_floats", []float32{7, 8, 9}, "default_float", float32(2)),
			one(tensor.Of([]float32{1, nan, 3}, 3)), one(tensor.Of([]float32{9, 7, 2}, 3))},
		{"tensors", buildML(t, "LabelEncoder", 4, "keys_tensor", tensor.Of([]int16{3}, 1), "values_tensor", tensor.Of([]float64{0.5}, 1), "default_tensor", tensor.Of([]float64{1}, 1)),
			one(tensor.Of([]int16{3, 4}, 2)), one(tensor.Of([]float64{0.5, 1}, 2))},
	})
	if _, err := New("ai.onnx.ml", "LabelEncoder", 2, attrList("keys_int64s", []int{1, 2}, "values_int64s", []int{1})); err == nil {
		t.Error("two keys for one value were accepted")
	}
}

// Two trees over features a and b: a <= 1 ? 10 : (b in {2, 3} ? 20 : 30) for
// target 0, and b > 0 ? 1 : 2 for target 1, whose missing b counts as true.
func TestTreeEnsembleFollowsItsBranches(t *testing.T) {
	attrs := func(more ...any) []any {
		return append([]any{"n_targets", 2, "tree_roots", []int{0, 2}, "nodes_featureids", []int{0, 1, 1},
			"nodes_modes", tensor.Of([]uint8{0, 6, 3}, 3), "nodes_splits", tensor.Of([]float32{1, 0, 0}, 3), "membership_values", tensor.Of([]float32{2, 3, float32(math.NaN())}, 3),
			"nodes_missing_value_tracks_true", []int{0, 0, 1}, "nodes_truenodeids", []int{0, 1, 3}, "nodes_trueleafs", []int{1, 1, 1},
			"nodes_falsenodeids", []int{1, 2, 4}, "nodes_falseleafs", []int{0, 1, 1}, "leaf_targetids", []int{0, 0, 0, 1, 1}, "leaf_weights", tensor.Of([]float32{10, 20, 30, 1, 2}, 5)}, more...)
	}
	x := tensor.Of([]float32{1, -1, 2, 3, 2, 4, 0, float32(math.NaN())}, 4, 2)
	sums := tensor.Of([]float32{10, 2, 20, 1, 30, 1, 10, 1}, 4, 2)
	half := tensor.Of([]float32{5, 1, 10, 0.5, 15, 0.5, 5, 0.5}, 4, 2)
	for _, c := range []struct {
		how  int
		want *tensor.Tensor
	}{{1, sums}, {0, half}, {2, sums}, {3, sums}} {
		y := apply(t, buildML(t, "TreeEnsemble", 5, attrs("aggregate_function", c.how)...), x)[0]
		if err := tensortest.Diff(y, c.want, 0, 0); err != nil {
			t.Errorf("aggregate_function %d: %v", c.how, err)
		}
	}
	bad := attrs()
	for i := 0; i < len(bad); i += 2 {
		if bad[i] == "nodes_falsenodeids" {
			bad[i+1] = []int{0, 2, 4} // node 0 leads to itself
		}
	}
	if _, err := graph.Apply(buildML(t, "TreeEnsemble", 5, bad...), 0, x); err == nil {
		t.Error("a tree with a cycle was accepted")
	}
}

// Without offsets it is a convolution; an offset of one element reads the
// neighbour, and one of half an element the mean of two.
func TestDeformConvReadsWhereOffsetsSay(t *testing.T) {
	x, w := tensortest.Random(1, 2, 4, 6, 5), tensortest.Random(2, 6, 2, 3, 2)
	bias := tensortest.Random(3, 6)
	attrs := []any{"strides", []int{2, 1}, "pads", []int{1, 0, 1, 1}, "dilations", []int{1, 2}, "group", 2}
	plain := apply(t, build(t, "Conv", 11, attrs...), x, w, bias)[0]
	op := build(t, "DeformConv", 19, append(attrs, "offset_group", 2)...)
	offset, mask := tensor.New(tensor.Float32, 2, 2*12, plain.Shape[2], plain.Shape[3]), tensor.New(tensor.Float32, 2, 12, plain.Shape[2], plain.Shape[3])
	for i := range mask.F32() {
		mask.F32()[i] = 1
	}
	for _, in := range [][]any{{x, w, offset, bias}, {x, w, offset, bias, mask}} {
		if err := tensortest.Diff(apply(t, op, in...)[0], plain, 1e-4, 1e-5); err != nil {
			t.Errorf("no offsets: %v", err)
		}
	}
	line, tap := tensor.Of([]float32{1, 2, 4, 8}, 1, 1, 1, 4), tensor.Of([]float32{1}, 1, 1, 1, 1)
	moves := tensor.Of([]float32{0, 0, 0, 0, 1, 0.5, -3, 0.5}, 1, 2, 1, 4)
	want := tensor.Of([]float32{2, 3, 0, 4}, 1, 1, 1, 4) // the last is half of 8, beside zero
	if err := tensortest.Diff(apply(t, build(t, "DeformConv", 22), line, tap, moves)[0], want, 1e-6, 0); err != nil {
		t.Error(err)
	}
	weights := tensor.Of([]float32{1, 2, 0.5, 0}, 1, 1, 1, 4)
	want = tensor.Of([]float32{2, 6, 0, 0}, 1, 1, 1, 4)
	if err := tensortest.Diff(apply(t, build(t, "DeformConv", 22), line, tap, moves, nil, weights)[0], want, 1e-6, 0); err != nil {
		t.Error(err)
	}
}
