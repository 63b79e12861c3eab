package ops

import "scission/engine/graph"

// Mul is z = a * b; see binary.
//
// Source: ONNX Mul-7, Mul-13, Mul-14.
func init() {
	register("Mul", 7, func(*Attrs) graph.Op { return binary{op: opMul} })
}
