package ops

import "scission/engine/graph"

// Min is the smallest of its inputs, element by element; see nary.
//
// Source: ONNX Min-6, Min-8, Min-12, Min-13.
func init() {
	register("Min", 6, func(*Attrs) graph.Op { return nary{name: "Min", op: opMin, types: numericTypes} })
}
