package ops

import (
	"scission/engine/graph"
	"scission/ops/internal/vec"
)

// HardSwish is y = x * max(0, min(1, x/6 + 1/2)); see elementwise.
//
// Source: ONNX HardSwish-14, HardSwish-22.
func init() {
	register("HardSwish", 14, func(*Attrs) graph.Op {
		return elementwise{name: "HardSwish", types: realTypes, zero: true, work: hardWork + 1, function: function{
			ns:  vectorTime,
			f32: vec.HardSwish,
			f64: func(x float64) float64 { return x * hardSigmoid(x, 1.0/6, 0.5) },
		}}
	})
}
