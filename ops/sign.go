package ops

import (
	"cmp"

	"scission/engine/graph"
)

// Sign is y = -1, 0 or 1 as x is below, equal to or above zero; a NaN stays.
// See elementwise.
//
// Source: ONNX Sign-9, Sign-13.
func init() {
	register("Sign", 9, func(*Attrs) graph.Op {
		return elementwise{name: "Sign", types: numericTypes, zero: true, function: function{
			f64: func(x float64) float64 {
				if x != x {
					return x
				}
				return float64(cmp.Compare(x, 0))
			},
			signed:   func(x int64) int64 { return int64(cmp.Compare(x, 0)) },
			unsigned: func(x uint64) uint64 { return min(x, 1) },
		}}
	})
}
