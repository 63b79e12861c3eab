package ops

import "math"

// Atan is y = arctan(x); see elementwise.
//
// Source: ONNX Atan-7, Atan-22.
func init() {
	mathFunction("Atan", 7, true, function{f64: math.Atan})
}
