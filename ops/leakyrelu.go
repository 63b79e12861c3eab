package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/ops/internal/vec"
)

func init() {
	register("LeakyRelu", 6, func(a *Attrs) graph.Op { return leakyRelu{a.Float("alpha", 0.01)} })
}

// leakyRelu is y = x where x >= 0, alpha*x elsewhere.
//
//	x, y: floating point, any shape, any layout
//
// Source: ONNX LeakyRelu-6, LeakyRelu-16.
type leakyRelu struct{ alpha float32 }

func (l leakyRelu) String() string { return fmt.Sprintf("LeakyRelu[%g]", l.alpha) }

func (leakyRelu) Infer(in []graph.Fact) ([]graph.Fact, error) {
	return inferSame(in, realTypes...)
}

func (l leakyRelu) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return function{
		ns:  vectorTime,
		f32: func(dst, x []float32) { vec.LeakyRelu(dst, x, l.alpha) },
		f64: func(x float64) float64 {
			if x < 0 {
				return float64(l.alpha) * x
			}
			return x
		},
	}.kernel(out[0]), nil
}

func (leakyRelu) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	return sameLayouts(in, out, true)
}

func (leakyRelu) FLOPs(in, out []graph.Fact) int64 { return flops(out[0].Shape...) }
