package ops

import (
	"math"

	"scission/ops/internal/vec"
)

// Exp is y = e^x; see elementwise.
//
// Source: ONNX Exp-6, Exp-13.
func init() {
	mathFunction("Exp", 6, false, function{ns: scalarTime, f32: vec.Exp, f64: math.Exp})
}
