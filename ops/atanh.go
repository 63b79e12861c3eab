package ops

import "math"

// Atanh is y = artanh(x), NaN outside of -1 to 1; see elementwise.
//
// Source: ONNX Atanh-9, Atanh-22.
func init() {
	mathFunction("Atanh", 9, true, function{f64: math.Atanh})
}
