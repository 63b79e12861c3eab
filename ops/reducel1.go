package ops

import (
	"math"

	"scission/engine/tensor"
)

// ReduceL1 is the sum of the absolute values; see reduce. Floating point is
// summed in float64; integers wrap around. The sum of none is 0.
//
// Source: ONNX ReduceL1-1, -11, -13, -18.
func init() {
	add := func(acc, v float64) float64 { return acc + math.Abs(v) }
	registerReduction("ReduceL1", true, reducers{
		tensor.Float32: inFloat64[float32](0, add, same),
		tensor.Float64: inFloat64[float64](0, add, same),
		tensor.Int32:   inInteger(0, func(acc, v int32) int32 { return acc + max(v, -v) }),
		tensor.Int64:   inInteger(0, func(acc, v int64) int64 { return acc + max(v, -v) }),
		tensor.Uint32:  integerSum[uint32],
		tensor.Uint64:  integerSum[uint64],
	})
}
