package ops

import "math"

// Round is y = x rounded to the nearest integer, ties to even; see elementwise.
//
// Source: ONNX Round-11, Round-22.
func init() {
	mathFunction("Round", 11, true, function{f64: math.RoundToEven})
}
