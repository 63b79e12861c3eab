package ops

import "math"

// Tan is y = tan(x); see elementwise.
//
// Source: ONNX Tan-7, Tan-22.
func init() {
	mathFunction("Tan", 7, true, function{f64: math.Tan})
}
