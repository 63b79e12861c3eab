package ops

import "math"

// Cos is y = cos(x); see elementwise.
//
// Source: ONNX Cos-7, Cos-22.
func init() {
	mathFunction("Cos", 7, false, function{f64: math.Cos})
}
