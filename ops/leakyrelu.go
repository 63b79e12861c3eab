package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/ops/internal/vec"
)

// LeakyRelu is y = x where x >= 0, alpha*x elsewhere; see elementwise.
//
// Source: ONNX LeakyRelu-6, LeakyRelu-16.
func init() {
	register("LeakyRelu", 6, func(a *Attrs) graph.Op {
		alpha := a.Float("alpha", 0.01)
		return elementwise{name: fmt.Sprintf("LeakyRelu[%g]", alpha), types: realTypes, zero: true, function: function{
			ns:  vectorTime,
			f32: func(dst, x []float32) { vec.LeakyRelu(dst, x, alpha) },
			f64: func(x float64) float64 {
				if x < 0 {
					return float64(alpha) * x
				}
				return x
			},
		}}
	})
}
