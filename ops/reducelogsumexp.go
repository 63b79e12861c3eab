package ops

import (
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// ReduceLogSumExp is the logarithm of the sum of the exponentials; see reduce.
// It is computed in float64, of which integers drop the fraction, and does not
// overflow. That of none is -Inf.
//
// Source: ONNX ReduceLogSumExp-1, -11, -13, -18.
func init() {
	registerReduction("ReduceLogSumExp", false, reducers{
		tensor.Float32: logSumExp[float32],
		tensor.Float64: logSumExp[float64],
		tensor.Int32:   logSumExp[int32],
		tensor.Int64:   logSumExp[int64],
		tensor.Uint32:  logSumExp[uint32],
		tensor.Uint64:  logSumExp[uint64],
	})
}

// exponentials is sum*e^top, where top is the largest exponent so far.
type exponentials struct{ top, sum float64 }

func (e exponentials) add(v float64) exponentials {
	switch {
	case v == e.top:
		e.sum++
	case v < e.top:
		e.sum += math.Exp(v - e.top)
	default:
		e.top, e.sum = v, float64(e.sum*math.Exp(e.top-v))+1
	}
	return e
}

func logSumExp[T number](p reduction) graph.Kernel {
	one, two := T(1), T(2)
	integers := one/two == 0
	return foldKernel(p, oneByOne(exponentials{top: math.Inf(-1)},
		func(acc exponentials, v T) exponentials { return acc.add(float64(v)) },
		func(acc exponentials, _ int) T {
			if v := acc.top + math.Log(acc.sum); integers {
				return T(toInt64(v))
			} else {
				return T(v)
			}
		}))
}
