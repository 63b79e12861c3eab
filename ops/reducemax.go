package ops

import (
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// ReduceMax is the largest element; see reduce. A NaN makes a NaN. The largest
// of none is -Inf, or the smallest number of the type.
//
// Source: ONNX ReduceMax-1, -11, -12, -13, -18, -20.
func init() { registerReduction("ReduceMax", true, reduceMax) }

var reduceMax = reducers{
	tensor.Float32: extreme(true, float32(math.Inf(-1))),
	tensor.Float64: extreme(true, math.Inf(-1)),
	tensor.Int8:    extreme[int8](true, math.MinInt8),
	tensor.Int16:   extreme[int16](true, math.MinInt16),
	tensor.Int32:   extreme[int32](true, math.MinInt32),
	tensor.Int64:   extreme[int64](true, math.MinInt64),
	tensor.Uint8:   extreme[uint8](true, 0),
	tensor.Uint16:  extreme[uint16](true, 0),
	tensor.Uint32:  extreme[uint32](true, 0),
	tensor.Uint64:  extreme[uint64](true, 0),
	tensor.Bool:    extreme[uint8](true, 0),
}

// extreme returns what makes the kernel of the largest element or the smallest,
// which for none is the given one.
func extreme[T number](largest bool, none T) func(p reduction) graph.Kernel {
	take := func(acc, v T) T {
		if acc < v || v != v {
			return v
		}
		return acc
	}
	if !largest {
		take = func(acc, v T) T {
			if acc > v || v != v {
				return v
			}
			return acc
		}
	}
	return func(p reduction) graph.Kernel {
		return foldKernel(p, oneByOne(none, take, func(acc T, _ int) T { return acc }))
	}
}
