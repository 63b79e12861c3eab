package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
)

// Elu is y = x where x >= 0, alpha*(e^x - 1) elsewhere; see elementwise.
//
// Source: ONNX Elu-6, Elu-22.
func init() {
	register("Elu", 6, func(a *Attrs) graph.Op {
		alpha := float64(a.Float("alpha", 1))
		return exponentialUnit(fmt.Sprintf("Elu[%g]", alpha), 1, alpha, 1)
	})
}

// exponentialUnit is y = above*x where x >= 0, below*(e^(x/scale) - 1) elsewhere.
func exponentialUnit(name string, above, below, scale float64) elementwise {
	return elementwise{name: name, types: realTypes, zero: above > 0, work: mathWork, function: function{
		f64: func(x float64) float64 {
			if x < 0 {
				return below * math.Expm1(x/scale)
			}
			return above * x
		},
	}}
}
