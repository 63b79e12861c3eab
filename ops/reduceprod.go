package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// ReduceProd is the product; see reduce. Floating point is multiplied in
// float64; integers wrap around. The product of none is 1.
//
// Source: ONNX ReduceProd-1, -11, -13, -18.
func init() {
	times := func(acc, v float64) float64 { return acc * v }
	registerReduction("ReduceProd", true, reducers{
		tensor.Float32: inFloat64[float32](1, times, same),
		tensor.Float64: inFloat64[float64](1, times, same),
		tensor.Int32:   inInteger(1, func(acc, v int32) int32 { return acc * v }),
		tensor.Int64:   inInteger(1, func(acc, v int64) int64 { return acc * v }),
		tensor.Uint32:  inInteger(1, func(acc, v uint32) uint32 { return acc * v }),
		tensor.Uint64:  inInteger(1, func(acc, v uint64) uint64 { return acc * v }),
	})
}

func same(v float64) float64 { return v }

// inFloat64 returns what makes the kernel that takes elements into a float64;
// end gives the result, of which integers drop the fraction.
func inFloat64[T number](start float64, take func(acc, v float64) float64, end func(acc float64) float64) func(p reduction) graph.Kernel {
	convert := func(v float64) T { return T(v) }
	if one, two := T(1), T(2); one/two == 0 {
		convert = func(v float64) T { return T(toInt64(v)) }
	}
	return func(p reduction) graph.Kernel {
		return foldKernel(p, oneByOne(start,
			func(acc float64, v T) float64 { return take(acc, float64(v)) },
			func(acc float64, _ int) T { return convert(end(acc)) }))
	}
}

// inInteger returns what makes the kernel that takes elements into one of
// their type.
func inInteger[T integer](start T, take func(acc, v T) T) func(p reduction) graph.Kernel {
	return func(p reduction) graph.Kernel {
		return foldKernel(p, oneByOne(start, take, func(acc T, _ int) T { return acc }))
	}
}
