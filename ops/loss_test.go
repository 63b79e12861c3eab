package ops

import (
	"math"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

func TestLossesByHand(t *testing.T) {
	x := tensor.Of([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 2, 3, 2) // [N C d]
	target, weight := tensor.Of([]int64{0, 2, 1, -1}, 2, 2), tensor.Of([]float32{0.5, 2, 4}, 3)
	for _, c := range []struct {
		reduction string
		weight    any
		want      *tensor.Tensor
	}{
		{"none", weight, tensor.Of([]float32{-0.5, -24, -18, 0}, 2, 2)},
		{"none", nil, tensor.Of([]float32{-1, -6, -9, 0}, 2, 2)},
		{"sum", weight, tensor.Scalar[float32](-42.5)},
		{"mean", weight, tensor.Scalar[float32](-42.5 / 6.5)},
		{"mean", nil, tensor.Scalar[float32](-16.0 / 3)},
	} {
		op := build(t, "NegativeLogLikelihoodLoss", 13, "reduction", c.reduction, "ignore_index", -1)
		if err := tensortest.Diff(apply(t, op, x, target, c.weight)[0], c.want, 1e-6, 0); err != nil {
			t.Errorf("%s, weight %v: %v", c.reduction, c.weight, err)
		}
	}
	op := build(t, "NegativeLogLikelihoodLoss", 13)
	if _, err := graph.Apply(op, 0, x, target); err == nil {
		t.Error("a target that is no class was accepted")
	}
	scores, class := tensor.Of([]float32{0, float32(math.Log(3))}, 1, 2), tensor.Of([]int32{1}, 1)
	out := apply(t, build(t, "SoftmaxCrossEntropyLoss", 13), scores, class)
	if err := tensortest.Diff(out[0], tensor.Scalar(float32(-math.Log(0.75))), 1e-6, 0); err != nil {
		t.Error(err)
	}
	if err := tensortest.Diff(out[1], tensor.Of([]float32{float32(math.Log(0.25)), float32(math.Log(0.75))}, 1, 2), 1e-6, 0); err != nil {
		t.Error(err)
	}
}

// One step of each optimizer for the gradient of 2, computed by hand.
func TestOptimizersByHand(t *testing.T) {
	rate, x, g := tensor.Scalar[float32](0.1), tensor.Of([]float32{1}, 1), tensor.Of([]float32{2}, 1)
	state := tensor.Of([]float32{5}, 1)
	zero := tensor.Of([]float32{0}, 1)
	for _, c := range []struct {
		name  string
		attrs []any
		count int64
		in    []any // behind x and the gradient
		want  []float32
	}{
		{"Adagrad", []any{"decay_factor", float32(0.5), "epsilon", float32(0)}, 2, []any{state}, []float32{1 - 0.05*2/3, 9}},
		{"Momentum", []any{"alpha", float32(0.5), "beta", float32(0.25), "norm_coefficient", float32(1), "mode", "standard"}, 1, []any{state}, []float32{1 - 0.1*3.25, 3.25}},
		{"Momentum", []any{"alpha", float32(0.5), "beta", float32(0.25), "norm_coefficient", float32(0), "mode", "nesterov"}, 0, []any{state}, []float32{1 - 0.1*(2+0.5*4.5), 4.5}},
		{"Adam", []any{"alpha", float32(0.5), "beta", float32(0.75), "epsilon", float32(0)}, 0, []any{zero, zero}, []float32{1 - 0.1, 1, 1}},
		{"Adam", []any{"alpha", float32(0.5), "beta", float32(0.75), "epsilon", float32(0), "norm_coefficient_post", float32(0.5)}, 1, []any{zero, zero}, []float32{0.5 * (1 - 0.1), 1, 1}},
	} {
		op, err := New("ai.onnx.preview.training", c.name, 1, attrList(c.attrs...))
		if err != nil {
			t.Fatal(err)
		}
		in := append([]any{rate, tensor.Scalar(c.count), x, g}, c.in...)
		for i, y := range apply(t, op, in...) {
			if err := tensortest.Diff(y, tensor.Of(c.want[i:i+1], 1), 1e-6, 0); err != nil {
				t.Errorf("%s, result %d: %v", c.name, i, err)
			}
		}
	}
}

// Mean and variance over batch and positions make each channel of y have mean
// beta and deviation gamma, and the running ones follow.
func TestBatchNormalizationInTraining(t *testing.T) {
	x := tensor.Of([]float32{1, 3, 10, 10, 5, 7, 10, 14}, 2, 2, 2) // channels {1 3 5 7}, {10 10 10 14}
	gamma, beta := tensor.Of([]float32{2, 1}, 2), tensor.Of([]float32{1, 0}, 2)
	mean, variance := tensor.Of([]float32{0, 1}, 2), tensor.Of([]float32{1, 1}, 2)
	out := apply(t, build(t, "BatchNormalization", 15, "training_mode", 1, "momentum", float32(0.5), "epsilon", float32(0)), x, gamma, beta, mean, variance)
	s := 2 / float32(math.Sqrt(5))
	r := 1 / float32(math.Sqrt(3))
	for i, want := range []*tensor.Tensor{
		tensor.Of([]float32{1 - 3*s, 1 - s, -r, -r, 1 + s, 1 + 3*s, -r, 3 * r}, 2, 2, 2), tensor.Of([]float32{2, 6}, 2), tensor.Of([]float32{3, 2}, 2),
	} {
		if err := tensortest.Diff(out[i], want, 1e-5, 0); err != nil {
			t.Errorf("result %d: %v", i, err)
		}
	}
}
