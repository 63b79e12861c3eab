package ops

import "math"

// Acos is y = arccos(x), NaN outside of -1 to 1; see elementwise.
//
// Source: ONNX Acos-7, Acos-22.
func init() {
	mathFunction("Acos", 7, false, function{f64: math.Acos})
}
