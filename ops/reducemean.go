package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

func init() { registerReduction("ReduceMean", true, means) }

// means are the kernels of ReduceMean. Floating point is summed in float64,
// integers modulo 2^64; the mean of integers drops the fraction, and that of
// none is NaN, or 0 for integers.
var means = reducers{
	tensor.Float32: func(p reduction) graph.Kernel { return foldKernel(p, wideSum(meanOf[float32])) },
	tensor.Float64: func(p reduction) graph.Kernel { return foldKernel(p, float64Sum(meanOf[float64])) },
	tensor.Int32:   integerMean[int32, int64],
	tensor.Int64:   integerMean[int64, int64],
	tensor.Uint32:  integerMean[uint32, uint64],
	tensor.Uint64:  integerMean[uint64, uint64],
}

func meanOf[T float32 | float64](sum float64, n int) T { return T(sum / float64(n)) }

// wideSum is the fold that adds float32s in float64.
func wideSum(end func(sum float64, n int) float32) fold[float32, float64] {
	return fold[float32, float64]{
		run: func(acc float64, x []float32, n, step int) float64 {
			if step == 1 {
				return acc + vec.SumWide(x[:n])
			}
			return sumRun(acc, x, n, step)
		},
		each:  vec.AddWide,
		end:   end,
		lanes: vec.SumWide16,
	}
}

// float64Sum is the fold that adds float64s.
func float64Sum(end func(sum float64, n int) float64) fold[float64, float64] {
	return fold[float64, float64]{run: sumRun[float64, float64], each: sumEach[float64, float64], end: end}
}

func integerMean[T, A integer](p reduction) graph.Kernel {
	return foldKernel(p, fold[T, A]{run: sumRun[T, A], each: sumEach[T, A], end: func(sum A, n int) T {
		if n == 0 {
			return 0
		}
		return T(sum / A(n))
	}})
}

// sumRun adds n elements of x, which are step apart, to acc. Every fourth is
// part of one of four sums, so that they need not wait for each other.
func sumRun[T, A number](acc A, x []T, n, step int) A {
	var a, b, c, d A
	at := 0
	for ; n >= 4; n -= 4 {
		a += A(x[at])
		b += A(x[at+step])
		c += A(x[at+2*step])
		d += A(x[at+3*step])
		at += 4 * step
	}
	s := [...]A{a, b, c, d}
	for i := range n {
		s[i] += A(x[at+i*step])
	}
	return acc + ((s[0] + s[1]) + (s[2] + s[3]))
}

// sumEach adds the elements of x to those of acc.
func sumEach[T, A number](acc []A, x []T) {
	for i, v := range x {
		acc[i] += A(v)
	}
}
