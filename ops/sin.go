package ops

import "math"

// Sin is y = sin(x); see elementwise.
//
// Source: ONNX Sin-7, Sin-22.
func init() {
	mathFunction("Sin", 7, true, function{f64: math.Sin})
}
