package ops

import (
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

// Neg is y = -x for floating point and signed integers; see elementwise.
//
// Source: ONNX Neg-6, Neg-13.
func init() {
	register("Neg", 6, func(*Attrs) graph.Op {
		return elementwise{name: "Neg", types: signedTypes, function: function{
			ns:     vectorTime,
			f32:    func(dst, x []float32) { vec.MulScalar(dst, x, -1) },
			f64:    func(x float64) float64 { return -x },
			signed: func(x int64) int64 { return -x },
		}}
	})
}

// signedTypes are the element types with numbers below zero.
var signedTypes = slices.Concat(realTypes, []tensor.DType{tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64})
