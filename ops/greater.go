package ops

import "scission/engine/graph"

// Greater is z = whether a > b; see pairing.
//
// Source: ONNX Greater-7, Greater-9, Greater-13.
func init() {
	register("Greater", 7, func(*Attrs) graph.Op { return comparison("Greater", numericTypes...) })
}
