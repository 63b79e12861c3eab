package ops

import (
	"fmt"

	"scission/engine/graph"
)

// ThresholdedRelu is y = x where x > alpha, 0 elsewhere; see elementwise.
//
// Source: ONNX ThresholdedRelu-10, ThresholdedRelu-22.
func init() {
	register("ThresholdedRelu", 10, func(a *Attrs) graph.Op {
		alpha := float64(a.Float("alpha", 1))
		return elementwise{name: fmt.Sprintf("ThresholdedRelu[%g]", alpha), types: realTypes, zero: true, function: function{
			f64: func(x float64) float64 {
				if x > alpha {
					return x
				}
				return 0
			},
		}}
	})
}
