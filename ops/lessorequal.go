package ops

import "scission/engine/graph"

// LessOrEqual is z = whether a <= b; see pairing.
//
// Source: ONNX LessOrEqual-12, LessOrEqual-16.
func init() {
	register("LessOrEqual", 12, func(*Attrs) graph.Op { return comparison("LessOrEqual", numericTypes...) })
}
