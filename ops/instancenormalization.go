package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("InstanceNormalization", 6, func(a *Attrs) graph.Op {
		return instanceNormalization{centering{epsilon: float64(a.Float("epsilon", 1e-5))}}
	})
}

// instanceNormalization is y = (x - mean) / sqrt(variance + epsilon) * scale +
// bias, for each channel of each image.
//
//	x, y:        [N C ...] floating point
//	scale, bias: [C], x's type
//
// Source: ONNX InstanceNormalization-6, -22.
type instanceNormalization struct{ centering }

func (instanceNormalization) String() string { return "InstanceNormalization" }

func (n instanceNormalization) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(n, d, in)
	}
	return inferChannels(in, func(x tensor.Shape) (int, error) { return x[1], nil })
}

func (instanceNormalization) FLOPs(in, out []graph.Fact) int64 {
	return flops(normalizationFLOPs, in[0].Shape.Elems())
}

func (n instanceNormalization) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(n, d, in, out)
	}
	images, c, hw := planes(in[0].Shape)
	return n.kernel(in[0].DType, images*c, hw, func(in, out []*tensor.Tensor, r int, _, _ float64) {
		scaleRow(out[0], r*hw, hw, in[1], in[2], r%c)
	}), nil
}
