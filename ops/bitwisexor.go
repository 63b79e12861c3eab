package ops

import "scission/engine/graph"

// BitwiseXor is z = either a or b, bit by bit, for integers; see pairing.
//
// Source: ONNX BitwiseXor-18.
func init() {
	register("BitwiseXor", 18, func(*Attrs) graph.Op { return bitwise("BitwiseXor", integerTypes, xor) })
}
