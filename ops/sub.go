package ops

import "scission/engine/graph"

// Sub is z = a - b; see binary.
//
// Source: ONNX Sub-7, Sub-13, Sub-14.
func init() {
	register("Sub", 7, func(*Attrs) graph.Op { return binary{op: opSub} })
}
