package ops

import "scission/engine/graph"

// Mean is the mean of its inputs, element by element; see nary.
//
// Source: ONNX Mean-6, Mean-8, Mean-13.
func init() {
	register("Mean", 6, func(*Attrs) graph.Op { return nary{name: "Mean", op: opAdd, types: realTypes, mean: true} })
}
