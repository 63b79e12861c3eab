package ops

import "math"

// Asinh is y = arsinh(x); see elementwise.
//
// Source: ONNX Asinh-9, Asinh-22.
func init() {
	mathFunction("Asinh", 9, true, function{f64: math.Asinh})
}
