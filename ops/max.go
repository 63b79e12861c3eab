package ops

import "scission/engine/graph"

// Max is the largest of its inputs, element by element; see nary.
//
// Source: ONNX Max-6, Max-8, Max-12, Max-13.
func init() {
	register("Max", 6, func(*Attrs) graph.Op { return nary{name: "Max", op: opMax, types: numericTypes} })
}
