package ops

import (
	"fmt"

	"scission/engine/graph"
)

// Shrink is y = x + bias where x < -lambd, x - bias where x > lambd, 0
// elsewhere; with integers it is computed in floating point, and the fraction
// dropped. See elementwise.
//
// Source: ONNX Shrink-9.
func init() {
	register("Shrink", 9, func(a *Attrs) graph.Op {
		bias, lambd := float64(a.Float("bias", 0)), float64(a.Float("lambd", 0.5))
		shrink := func(x float64) float64 {
			switch {
			case x < -lambd:
				return x + bias
			case x > lambd:
				return x - bias
			}
			return 0
		}
		return elementwise{name: fmt.Sprintf("Shrink[%g,%g]", bias, lambd), types: numericTypes, zero: lambd >= 0, function: function{
			f64:      shrink,
			signed:   func(x int64) int64 { return toInt64(shrink(float64(x))) },
			unsigned: func(x uint64) uint64 { return toUint64(shrink(float64(x))) },
		}}
	})
}
