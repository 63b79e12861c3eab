package ops

import (
	"math"

	"scission/engine/graph"
)

// IsNaN is y = whether x is not a number; see predicate.
//
// Source: ONNX IsNaN-9, IsNaN-13, IsNaN-20.
func init() {
	register("IsNaN", 9, func(*Attrs) graph.Op { return predicate{"IsNaN", realTypes, floatPredicate(math.IsNaN)} })
}
