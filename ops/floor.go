package ops

import "math"

// Floor is y = x rounded down; see elementwise.
//
// Source: ONNX Floor-6, Floor-13.
func init() {
	mathFunction("Floor", 6, true, function{f64: math.Floor})
}
