package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/ops/internal/vec"
)

// Swish is y = x / (1 + e^(-alpha*x)); see elementwise.
//
// Source: ONNX Swish-24.
func init() {
	register("Swish", 24, func(a *Attrs) graph.Op { return swish(a.Float("alpha", 1)) })
}

func swish(alpha float32) elementwise {
	name := "Swish"
	if alpha != 1 {
		name = fmt.Sprintf("Swish[%g]", alpha)
	}
	return elementwise{name: name, types: realTypes, zero: true, work: sigmoidFLOPs + 1, function: function{
		ns:  scalarTime,
		f32: func(dst, x []float32) { vec.Swish(dst, x, alpha) },
		f64: func(x float64) float64 { return x / (1 + math.Exp(-float64(alpha)*x)) },
	}}
}
