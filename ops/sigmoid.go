package ops

import (
	"math"

	"scission/engine/graph"
	"scission/ops/internal/vec"
)

func init() {
	register("Sigmoid", 6, func(*Attrs) graph.Op { return sigmoid{} })
}

// sigmoid is y = 1 / (1 + exp(-x)).
//
//	x, y: floating point, any shape, any layout
//
// Source: ONNX Sigmoid-6, Sigmoid-13.
type sigmoid struct{}

// sigmoidFLOPs is what one sigmoid counts for: negation, exponential, addition
// and division.
const sigmoidFLOPs = 4

func (sigmoid) String() string { return "Sigmoid" }

func (sigmoid) Infer(in []graph.Fact) ([]graph.Fact, error) {
	return inferSame(in, realTypes...)
}

func (sigmoid) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return function{
		ns:  scalarTime,
		f32: vec.Sigmoid,
		f64: func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
	}.kernel(out[0]), nil
}

func (sigmoid) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	return sameLayouts(in, out, false)
}

func (sigmoid) FLOPs(in, out []graph.Fact) int64 { return flops(sigmoidFLOPs, out[0].Shape.Elems()) }
