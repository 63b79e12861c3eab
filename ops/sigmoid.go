package ops

import (
	"math"

	"scission/engine/graph"
	"scission/ops/internal/vec"
)

// Sigmoid is y = 1 / (1 + e^-x); see elementwise.
//
// Source: ONNX Sigmoid-6, Sigmoid-13.
func init() {
	register("Sigmoid", 6, func(*Attrs) graph.Op { return sigmoid })
}

// sigmoidFLOPs is what one sigmoid counts for: negation, exponential, addition
// and division.
const sigmoidFLOPs = 4

var sigmoid = elementwise{name: "Sigmoid", types: realTypes, work: sigmoidFLOPs, function: function{
	ns:  scalarTime,
	f32: vec.Sigmoid,
	f64: func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
}}
