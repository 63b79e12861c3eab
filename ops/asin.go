package ops

import "math"

// Asin is y = arcsin(x), NaN outside of -1 to 1; see elementwise.
//
// Source: ONNX Asin-7, Asin-22.
func init() {
	mathFunction("Asin", 7, true, function{f64: math.Asin})
}
