package ops

import (
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Operators that calculate in float32 give for 16-bit floating point what they
// give for the same values in 32 bits, rounded.
func TestHalvesAreRoundedResultsOfFloat32(t *testing.T) {
	r := source(1)
	x4, w4 := reals(r, 2, 5, 9, 11), reals(r, 32, 5, 3, 3)
	deep := reals(r, 1, 32, 6, 7)
	channels := reals(r, 32)
	for _, c := range []struct {
		op graph.Op
		in []*tensor.Tensor
		// From here on inputs are constants.
		from int
	}{
		{build(t, "Conv", 11, "pads", []int{1, 1, 1, 1}), []*tensor.Tensor{x4, w4, channels}, 1},
		{build(t, "Conv", 11), []*tensor.Tensor{x4, w4}, 2},
		{build(t, "Conv", 11), []*tensor.Tensor{deep, reals(r, 16, 32, 1, 1)}, 1},
		{build(t, "Conv", 11, "group", 32), []*tensor.Tensor{deep, reals(r, 32, 1, 3, 3)}, 1},
		{build(t, "ConvTranspose", 11), []*tensor.Tensor{x4, reals(r, 5, 4, 2, 2)}, 1},
		{build(t, "MaxPool", 12, "kernel_shape", []int{2, 2}), []*tensor.Tensor{deep}, 1},
		{build(t, "AveragePool", 11, "kernel_shape", []int{2, 2}), []*tensor.Tensor{deep}, 1},
		{build(t, "GlobalAveragePool", 7), []*tensor.Tensor{deep}, 1},
		{build(t, "Softmax", 13), []*tensor.Tensor{x4}, 1},
		{build(t, "BatchNormalization", 9), []*tensor.Tensor{deep, channels, channels, channels, absolute(reals(r, 32))}, 1},
		{build(t, "BatchNormalization", 9), []*tensor.Tensor{deep, channels, channels, channels, absolute(reals(r, 32))}, 5},
		{build(t, "Gemm", 13), []*tensor.Tensor{reals(r, 5, 7), reals(r, 7, 33), reals(r, 33)}, 1},
		{build(t, "MatMul", 13), []*tensor.Tensor{reals(r, 3, 5, 7), reals(r, 3, 7, 33)}, 2},
		{build(t, "LSTM", 14), []*tensor.Tensor{reals(r, 3, 2, 4), reals(r, 1, 20, 4), reals(r, 1, 20, 5)}, 1},
		{build(t, "GRU", 14), []*tensor.Tensor{reals(r, 3, 2, 4), reals(r, 1, 15, 4), reals(r, 1, 15, 5)}, 3},
	} {
		for _, d := range halfTypes {
			h := halfOf(d)
			halved := func(x *tensor.Tensor) *tensor.Tensor {
				y := tensor.New(d, x.Shape...)
				for i, v := range x.F32() {
					tensor.View[uint16](y)[i] = h.store(v)
				}
				return y
			}
			widened := func(x *tensor.Tensor) *tensor.Tensor {
				y := tensor.New(tensor.Float32, x.Shape...)
				for i, v := range tensor.View[uint16](x) {
					y.F32()[i] = h.load(v)
				}
				return y
			}
			var in, wideIn []any
			for i, x := range c.in {
				if n := halved(x); i < c.from {
					in, wideIn = append(in, n), append(wideIn, widened(n))
				} else {
					in, wideIn = append(in, known{n}), append(wideIn, known{widened(n)})
				}
			}
			got := apply(t, c.op, in...)
			for i, want := range applyInLayouts(t, c.op, wideIn...) {
				if want.DType == tensor.Float32 {
					want = halved(want)
				}
				if !got[i].Identical(want) {
					t.Errorf("%s of %v: output %d is not the rounded one of float32", c.op, d, i)
				}
			}
		}
	}
}

// absolute makes the elements of x positive, as variances are.
func absolute(x *tensor.Tensor) *tensor.Tensor {
	for i, v := range x.F32() {
		x.F32()[i] = max(v, -v)
	}
	return x
}

// applyInLayouts is apply with the layouts that op asks for.
func applyInLayouts(t *testing.T, op graph.Op, in ...any) []*tensor.Tensor {
	t.Helper()
	g := &graph.Graph{}
	var values []*graph.Value
	var tensors []*tensor.Tensor
	for _, v := range in {
		switch v := v.(type) {
		case *tensor.Tensor:
			values, tensors = append(values, g.Input("", v.Type)), append(tensors, v)
		case known:
			values = append(values, graph.Constant("", v.Tensor))
		}
	}
	out, err := op.Infer(graph.Facts(values))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"y", "y1", "y2"}[:len(out)]
	if g.Outputs, err = g.Add("n", op, nil, values, names...); err != nil {
		t.Fatal(err)
	}
	return runGraph(t, g, tensors)
}
