package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// GlobalMaxPool is the largest element of each channel; see reduce.
//
// Source: ONNX GlobalMaxPool-1, -22.
func init() {
	register("GlobalMaxPool", 1, func(*Attrs) graph.Op { return globalReduction("GlobalMaxPool", reduceMax) })
}

// globalReduction is the reduction of all dimensions of x but the first two,
// whose lengths become 1.
func globalReduction(name string, kernels reducers) graph.Op {
	return reduce{name: name, spatial: true, keep: true, zero: true, kernels: reducers{tensor.Float32: kernels[tensor.Float32], tensor.Float64: kernels[tensor.Float64]}}
}
