package ops

import "math"

// Acosh is y = arcosh(x), NaN below 1; see elementwise.
//
// Source: ONNX Acosh-9, Acosh-22.
func init() {
	mathFunction("Acosh", 9, false, function{f64: math.Acosh})
}
