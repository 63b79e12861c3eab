package ops

import (
	"math"

	"scission/engine/tensor"
)

// ReduceLogSum is the logarithm of the sum; see reduce. It is computed in
// float64, of which integers drop the fraction. That of none is -Inf.
//
// Source: ONNX ReduceLogSum-1, -11, -13, -18.
func init() {
	registerReduction("ReduceLogSum", false, allInFloat64(0, func(acc, v float64) float64 { return acc + v }, math.Log))
}

// allInFloat64 are the kernels of a reduction that is computed in float64 for
// every type.
func allInFloat64(start float64, take func(acc, v float64) float64, end func(acc float64) float64) reducers {
	return reducers{
		tensor.Float32: inFloat64[float32](start, take, end),
		tensor.Float64: inFloat64[float64](start, take, end),
		tensor.Int32:   inFloat64[int32](start, take, end),
		tensor.Int64:   inFloat64[int64](start, take, end),
		tensor.Uint32:  inFloat64[uint32](start, take, end),
		tensor.Uint64:  inFloat64[uint64](start, take, end),
	}
}
