package ops

import "scission/engine/graph"

// registerContrib adds an operator of ONNX Runtime's own domain, which has one
// version.
//
// Source: ONNX Runtime, docs/ContribOperators.md.
func registerContrib(name string, make func(a *Attrs) graph.Op) {
	registry[key{"com.microsoft", name}] = []definition{{1, make}}
}

// registerFused adds an operator of ONNX Runtime that others make up.
func registerFused(name string, need, most int, make func(a *Attrs) func(c *composer) []term) {
	registerContrib(name, func(a *Attrs) graph.Op { return &composition{name, need, most, make(a)} })
}
