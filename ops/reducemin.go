package ops

import (
	"math"

	"scission/engine/tensor"
)

// ReduceMin is the smallest element; see reduce. A NaN makes a NaN. The
// smallest of none is +Inf, or the largest number of the type.
//
// Source: ONNX ReduceMin-1, -11, -12, -13, -18, -20.
func init() {
	registerReduction("ReduceMin", true, reducers{
		tensor.Float32: extreme(false, inf),
		tensor.Float64: extreme(false, math.Inf(1)),
		tensor.Int8:    extreme[int8](false, math.MaxInt8),
		tensor.Int16:   extreme[int16](false, math.MaxInt16),
		tensor.Int32:   extreme[int32](false, math.MaxInt32),
		tensor.Int64:   extreme[int64](false, math.MaxInt64),
		tensor.Uint8:   extreme[uint8](false, math.MaxUint8),
		tensor.Uint16:  extreme[uint16](false, math.MaxUint16),
		tensor.Uint32:  extreme[uint32](false, math.MaxUint32),
		tensor.Uint64:  extreme[uint64](false, math.MaxUint64),
		tensor.Bool:    extreme[uint8](false, 1),
	})
}
