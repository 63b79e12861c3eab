package ops

import (
	"math"

	"scission/engine/graph"
	"scission/ops/internal/vec"
)

// Abs is y = |x|; that of the smallest integer is itself. See elementwise.
//
// Source: ONNX Abs-6, Abs-13.
func init() {
	register("Abs", 6, func(*Attrs) graph.Op {
		return elementwise{name: "Abs", types: numericTypes, zero: true, function: function{
			ns:       vectorTime,
			f32:      vec.Abs,
			f64:      math.Abs,
			signed:   func(x int64) int64 { return max(x, -x) },
			unsigned: func(x uint64) uint64 { return x },
		}}
	})
}
