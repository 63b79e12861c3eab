package ops

import "scission/ops/internal/vec"

// Reciprocal is y = 1/x; see elementwise.
//
// Source: ONNX Reciprocal-6, Reciprocal-13.
func init() {
	mathFunction("Reciprocal", 6, false, function{
		ns:  vectorTime,
		f32: func(dst, x []float32) { vec.ScalarDiv(dst, 1, x) },
		f64: func(x float64) float64 { return 1 / x },
	})
}
