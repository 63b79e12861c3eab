package ops

import "scission/engine/graph"

// Sum is the sum of its inputs, element by element; see nary.
//
// Source: ONNX Sum-6, Sum-8, Sum-13.
func init() {
	register("Sum", 6, func(*Attrs) graph.Op { return nary{name: "Sum", op: opAdd, types: realTypes} })
}
