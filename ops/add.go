package ops

import "scission/engine/graph"

// Add is z = a + b; see binary.
//
// Source: ONNX Add-7, Add-13, Add-14.
func init() {
	register("Add", 7, func(*Attrs) graph.Op { return binary{op: opAdd} })
}
