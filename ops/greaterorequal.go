package ops

import "scission/engine/graph"

// GreaterOrEqual is z = whether a >= b; see pairing.
//
// Source: ONNX GreaterOrEqual-12, GreaterOrEqual-16.
func init() {
	register("GreaterOrEqual", 12, func(*Attrs) graph.Op { return comparison("GreaterOrEqual", numericTypes...) })
}
