package ops

import "math"

// Softsign is y = x / (1 + |x|); see elementwise.
//
// Source: ONNX Softsign-1, Softsign-22.
func init() {
	mathFunction("Softsign", 1, true, function{f64: func(x float64) float64 { return x / (1 + math.Abs(x)) }})
}
