package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// ReduceSum is the sum; see reduce. Floating point is summed in float64;
// integers wrap around. The sum of none is 0.
//
// Source: ONNX ReduceSum-1, -11, -13.
func init() {
	registerReduction("ReduceSum", true, reducers{
		tensor.Float32: func(p reduction) graph.Kernel { return foldKernel(p, wideSum(sumAlone[float32])) },
		tensor.Float64: func(p reduction) graph.Kernel { return foldKernel(p, float64Sum(sumAlone[float64])) },
		tensor.Int32:   integerSum[int32],
		tensor.Int64:   integerSum[int64],
		tensor.Uint32:  integerSum[uint32],
		tensor.Uint64:  integerSum[uint64],
	})
}

func sumAlone[T float32 | float64](sum float64, _ int) T { return T(sum) }

func integerSum[T integer](p reduction) graph.Kernel {
	return foldKernel(p, fold[T, T]{run: sumRun[T, T], each: sumEach[T, T], end: func(sum T, _ int) T { return sum }})
}
