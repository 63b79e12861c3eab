package ops

import "math"

// Ceil is y = x rounded up; see elementwise.
//
// Source: ONNX Ceil-6, Ceil-13.
func init() {
	mathFunction("Ceil", 6, true, function{f64: math.Ceil})
}
