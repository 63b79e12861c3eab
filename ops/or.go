package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// Or is z = a or b, for bool; see pairing.
//
// Source: ONNX Or-7.
func init() {
	register("Or", 7, func(*Attrs) graph.Op { return bitwise("Or", []tensor.DType{tensor.Bool}, or) })
}
