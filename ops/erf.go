package ops

import (
	"math"

	"scission/ops/internal/vec"
)

// Erf is y = erf(x), the Gauss error function; see elementwise. Integers are not supported.
//
// Source: ONNX Erf-9, Erf-13.
func init() {
	mathFunction("Erf", 9, true, function{ns: scalarTime, f32: vec.Erf, f64: math.Erf})
}
