package ops

import (
	"fmt"

	"scission/engine/graph"
)

// Celu is y = x where x >= 0, alpha*(e^(x/alpha) - 1) elsewhere; see
// elementwise.
//
// Source: ONNX Celu-12.
func init() {
	register("Celu", 12, func(a *Attrs) graph.Op {
		alpha := float64(a.Float("alpha", 1))
		return exponentialUnit(fmt.Sprintf("Celu[%g]", alpha), 1, alpha, alpha)
	})
}
