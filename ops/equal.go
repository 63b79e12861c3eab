package ops

import (
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Equal is z = whether a = b; see pairing, and moved for strings.
//
// Source: ONNX Equal-7, Equal-11, Equal-13, Equal-19.
func init() {
	register("Equal", 7, func(*Attrs) graph.Op {
		return comparison("Equal", slices.Concat(numericTypes, []tensor.DType{tensor.Bool})...)
	})
}
