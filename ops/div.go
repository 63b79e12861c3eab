package ops

import "scission/engine/graph"

// Div is z = a / b; see binary.
//
// Source: ONNX Div-7, Div-13, Div-14.
func init() {
	register("Div", 7, func(*Attrs) graph.Op { return binary{op: opDiv} })
}
