package ops

import (
	"math"

	"scission/ops/internal/vec"
)

// Tanh is y = tanh(x); see elementwise.
//
// Source: ONNX Tanh-6, Tanh-13.
func init() {
	mathFunction("Tanh", 6, true, function{ns: scalarTime, f32: vec.Tanh, f64: math.Tanh})
}
