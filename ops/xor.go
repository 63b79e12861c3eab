package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// Xor is z = either a or b, for bool; see pairing.
//
// Source: ONNX Xor-7.
func init() {
	register("Xor", 7, func(*Attrs) graph.Op { return bitwise("Xor", []tensor.DType{tensor.Bool}, xor) })
}
