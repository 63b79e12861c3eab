package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// And is z = a and b, for bool; see pairing.
//
// Source: ONNX And-7.
func init() {
	register("And", 7, func(*Attrs) graph.Op { return bitwise("And", []tensor.DType{tensor.Bool}, and) })
}
