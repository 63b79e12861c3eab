package ops

import "math"

// Cosh is y = cosh(x); see elementwise.
//
// Source: ONNX Cosh-9, Cosh-22.
func init() {
	mathFunction("Cosh", 9, false, function{f64: math.Cosh})
}
