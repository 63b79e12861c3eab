package ops

import (
	"math"

	"scission/engine/graph"
)

// IsInf is y = whether x is infinite, of a sign that detect_positive and
// detect_negative allow; see predicate.
//
// Source: ONNX IsInf-10, IsInf-20.
func init() {
	register("IsInf", 10, func(a *Attrs) graph.Op {
		positive, negative := a.Int("detect_positive", 1) != 0, a.Int("detect_negative", 1) != 0
		return predicate{"IsInf", realTypes, floatPredicate(func(x float64) bool {
			return positive && math.IsInf(x, 1) || negative && math.IsInf(x, -1)
		})}
	})
}
