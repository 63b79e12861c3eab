package ops

import (
	"fmt"

	"scission/engine/graph"
)

// Selu is y = gamma*x where x >= 0, gamma*alpha*(e^x - 1) elsewhere; see
// elementwise.
//
// Source: ONNX Selu-6, Selu-22.
func init() {
	register("Selu", 6, func(a *Attrs) graph.Op {
		alpha, gamma := float64(a.Float("alpha", 1.67326319217681884765625)), float64(a.Float("gamma", 1.05070102214813232421875))
		return exponentialUnit(fmt.Sprintf("Selu[%g,%g]", alpha, gamma), gamma, gamma*alpha, 1)
	})
}
