package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// batchTraining is BatchNormalization with training_mode: each channel of x is
// normalised by mean and variance of its own, and the running ones follow them.
//
//	x, y:        [N C ...] floating point
//	gamma, beta: [C] of the same type
//	mean, variance: [C] floating point, before and as results: momentum times
//	             the old value, and the rest that of this channel of x
//
// Everything is computed in float64 and rounded once.
//
// Source: ONNX BatchNormalization-14, -15, training.
type batchTraining struct{ epsilon, momentum float64 }

func (batchTraining) String() string { return "BatchNormalization[training]" }

func (b batchTraining) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 5, 5); err != nil {
		return nil, err
	}
	if err := checkRank(in[0]); err != nil {
		return nil, err
	}
	for i, name := range []string{"x", "gamma", "beta", "mean", "variance"} {
		if err := checkType(name, in[i].DType, realTypes...); err != nil {
			return nil, err
		}
		if i > 0 && !in[i].Shape.Equal(tensor.Shape{in[0].Shape[1]}) {
			return nil, fmt.Errorf("%s has shape %v, want [%d]", name, in[i].Shape, in[0].Shape[1])
		}
	}
	return []graph.Fact{{Type: in[0].Type}, {Type: in[3].Type}, {Type: in[4].Type}}, nil
}

func (batchTraining) FLOPs(in, _ []graph.Fact) int64 { return flops(7, in[0].Shape.Elems()) }

func (b batchTraining) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	n, c, hw := planes(in[0].Shape)
	load, store := floatAt(in[0].DType), floatTo(in[0].DType)
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: c, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, count := in[0].Raw, float64(n*hw)
		each := func(f func(at int)) {
			for image := range n {
				for k := range hw {
					f((image*c+i)*hw + k)
				}
			}
		}
		mean, variance := 0.0, 0.0
		each(func(at int) { mean += load(x, at) })
		mean /= count
		each(func(at int) {
			d := load(x, at) - mean
			variance += float64(d * d)
		})
		variance /= count
		if y := out[0]; y != nil {
			scale := floatAt(in[1].DType)(in[1].Raw, i) / math.Sqrt(variance+b.epsilon)
			shift := floatAt(in[2].DType)(in[2].Raw, i)
			each(func(at int) { store(y.Raw, at, float64((load(x, at)-mean)*scale)+shift) })
		}
		for k, v := range []float64{mean, variance} {
			if y := operand(out, 1+k); y != nil {
				old := floatAt(y.DType)(in[3+k].Raw, i)
				floatTo(y.DType)(y.Raw, i, float64(old*b.momentum)+float64(v*(1-b.momentum)))
			}
		}
		return nil
	}}}}, nil
}
