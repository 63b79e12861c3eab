package ops

import "scission/engine/tensor"

// ReduceSumSquare is the sum of the squares; see reduce. Floating point is
// summed in float64; integers wrap around. The sum of none is 0.
//
// Source: ONNX ReduceSumSquare-1, -11, -13, -18.
func init() {
	registerReduction("ReduceSumSquare", true, reducers{
		tensor.Float32: inFloat64[float32](0, addSquare, same),
		tensor.Float64: inFloat64[float64](0, addSquare, same),
		tensor.Int32:   inInteger(0, func(acc, v int32) int32 { return acc + v*v }),
		tensor.Int64:   inInteger(0, func(acc, v int64) int64 { return acc + v*v }),
		tensor.Uint32:  inInteger(0, func(acc, v uint32) uint32 { return acc + v*v }),
		tensor.Uint64:  inInteger(0, func(acc, v uint64) uint64 { return acc + v*v }),
	})
}

func addSquare(acc, v float64) float64 { return acc + float64(v*v) }
