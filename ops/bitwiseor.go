package ops

import "scission/engine/graph"

// BitwiseOr is z = a or b, bit by bit, for integers; see pairing.
//
// Source: ONNX BitwiseOr-18.
func init() {
	register("BitwiseOr", 18, func(*Attrs) graph.Op { return bitwise("BitwiseOr", integerTypes, or) })
}
