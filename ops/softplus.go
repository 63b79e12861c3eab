package ops

import "math"

// Softplus is y = ln(e^x + 1); see elementwise.
//
// Source: ONNX Softplus-1, Softplus-22.
func init() {
	mathFunction("Softplus", 1, false, function{f64: softplus})
}

// softplus is ln(e^x + 1), without an exponential that overflows.
func softplus(x float64) float64 {
	if x != x {
		return x
	}
	return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
}
