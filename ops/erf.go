package ops

import (
	"math"

	"scission/engine/graph"
	"scission/ops/internal/vec"
)

// Erf is y = erf(x), the Gauss error function; see elementwise. That of integers is
// rounded towards zero.
//
// Source: ONNX Erf-9, Erf-13.
func init() {
	register("Erf", 9, func(*Attrs) graph.Op {
		return elementwise{name: "Erf", types: numericTypes, zero: true, work: mathWork, function: function{
			ns: scalarTime, f32: vec.Erf, f64: math.Erf,
			signed:   func(x int64) int64 { return int64(float32(math.Erf(float64(x)))) },
			unsigned: func(x uint64) uint64 { return uint64(float32(math.Erf(float64(x)))) },
		}}
	})
}
