package ops

import "scission/engine/graph"

// Less is z = whether a < b; see pairing.
//
// Source: ONNX Less-7, Less-9, Less-13.
func init() {
	register("Less", 7, func(*Attrs) graph.Op { return comparison("Less", numericTypes...) })
}
