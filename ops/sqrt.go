package ops

import (
	"math"

	"scission/ops/internal/vec"
)

// Sqrt is y = sqrt(x), NaN below zero; see elementwise.
//
// Source: ONNX Sqrt-6, Sqrt-13.
func init() {
	mathFunction("Sqrt", 6, true, function{ns: vectorTime, f32: vec.Sqrt, f64: math.Sqrt})
}
