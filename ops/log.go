package ops

import "math"

// Log is y = ln(x), NaN below zero; see elementwise.
//
// Source: ONNX Log-6, Log-13.
func init() {
	mathFunction("Log", 6, false, function{f64: math.Log})
}
