package ops

import "math"

// Sinh is y = sinh(x); see elementwise.
//
// Source: ONNX Sinh-9, Sinh-22.
func init() {
	mathFunction("Sinh", 9, true, function{f64: math.Sinh})
}
