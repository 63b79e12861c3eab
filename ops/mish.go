package ops

import "math"

// Mish is y = x * tanh(ln(e^x + 1)); see elementwise.
//
// Source: ONNX Mish-18, Mish-22.
func init() {
	mathFunction("Mish", 18, true, function{
		f64: func(x float64) float64 { return x * math.Tanh(softplus(x)) },
	})
}
