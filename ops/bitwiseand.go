package ops

import "scission/engine/graph"

// BitwiseAnd is z = a and b, bit by bit, for integers; see pairing.
//
// Source: ONNX BitwiseAnd-18.
func init() {
	register("BitwiseAnd", 18, func(*Attrs) graph.Op { return bitwise("BitwiseAnd", integerTypes, and) })
}
