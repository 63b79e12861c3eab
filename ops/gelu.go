package ops

import (
	"math"

	"scission/engine/graph"
	"scission/ops/internal/vec"
)

// Gelu is y = x * (1 + erf(x/sqrt 2)) / 2, or with approximate = tanh
// y = x * (1 + tanh(sqrt(2/pi) * (x + 0.044715*x^3))) / 2; see elementwise.
//
// Source: ONNX Gelu-20.
func init() {
	register("Gelu", 20, func(a *Attrs) graph.Op {
		g := elementwise{name: "Gelu", types: realTypes, zero: true, work: mathWork}
		switch how := a.String("approximate", "none"); how {
		case "none":
			g.function = function{ns: scalarTime, f32: vec.Gelu, f64: func(x float64) float64 {
				return 0.5 * x * math.Erfc(-x/math.Sqrt2)
			}}
		case "tanh":
			g.name = "Gelu[tanh]"
			g.function = function{ns: scalarTime, f32: vec.GeluTanh, f64: func(x float64) float64 {
				// (1 + tanh(z))/2 is 1 / (1 + e^(-2z)), which keeps its digits for small results.
				z := math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x)
				return x / (1 + math.Exp(-2*z))
			}}
		default:
			a.Fail("%w %q in attribute %q", ErrUnsupported, how, "approximate")
		}
		return g
	})
}
