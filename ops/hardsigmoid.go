package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/ops/internal/vec"
)

// HardSigmoid is y = max(0, min(1, alpha*x + beta)); see elementwise.
//
// Source: ONNX HardSigmoid-6, HardSigmoid-22.
func init() {
	register("HardSigmoid", 6, func(a *Attrs) graph.Op {
		alpha, beta := a.Float("alpha", 0.2), a.Float("beta", 0.5)
		return elementwise{name: fmt.Sprintf("HardSigmoid[%g,%g]", alpha, beta), types: realTypes, zero: beta < 0, work: hardWork, function: function{
			ns:  vectorTime,
			f32: func(dst, x []float32) { vec.HardSigmoid(dst, x, alpha, beta) },
			f64: func(x float64) float64 { return hardSigmoid(x, float64(alpha), float64(beta)) },
		}}
	})
}

// hardWork is what a hard sigmoid counts for in FLOPs: a product, a sum and two
// bounds.
const hardWork = 4

func hardSigmoid(x, alpha, beta float64) float64 { return min2(max2(float64(alpha*x)+beta, 0), 1) }
