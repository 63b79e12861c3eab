package ops

import (
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

// clamper is an operator whose result is its first input, element by element
// limited to bounds. A value below lo becomes lo, then one above hi becomes
// hi; a NaN stays a NaN, and -0 is not below 0.
type clamper interface {
	graph.Op
	// bounds returns the bounds for float32, and ok if they are known before
	// any run and are numbers.
	bounds(in []graph.Fact) (lo, hi float32, ok bool)
}

var inf = float32(math.Inf(1))

// clampKernel returns the kernel that limits the first input to what bounds
// says for the inputs of the run.
func clampKernel[T number](out graph.Fact, bounds func(in []*tensor.Tensor) (lo, hi T)) graph.Kernel {
	k := perElement("generic go", out, scalarTime, func(in, out []*tensor.Tensor, from, to int) error {
		lo, hi := bounds(in)
		x, y := tensor.View[T](in[0]), tensor.View[T](out[0])
		for i := from; i < to; i++ {
			y[i] = min2(max2(x[i], lo), hi)
		}
		return nil
	})
	k.InPlace = []int{0}
	return k
}

// clampKernelF32 is clampKernel for float32, with vector instructions and in any layout.
func clampKernelF32(out graph.Fact, bounds func(in []*tensor.Tensor) (lo, hi float32)) graph.Kernel {
	k := perElement("vector", out, vectorTime, func(in, out []*tensor.Tensor, from, to int) error {
		lo, hi := bounds(in)
		vec.Clamp(floats(out[0])[from:to], floats(in[0])[from:to], min2(lo, hi), hi)
		return nil
	})
	k.InPlace = []int{0}
	return k
}

// clampKernelHalf is clampKernel for the 16-bit floating-point types.
func clampKernelHalf(out graph.Fact, bounds func(in []*tensor.Tensor) (lo, hi float32)) graph.Kernel {
	h := halfOf(out.DType)
	k := perElement("generic go", out, scalarTime, func(in, out []*tensor.Tensor, from, to int) error {
		lo, hi := bounds(in)
		x, y := tensor.View[uint16](in[0]), tensor.View[uint16](out[0])
		for i := from; i < to; i++ {
			y[i] = h.store(min2(max2(h.load(x[i]), lo), hi))
		}
		return nil
	})
	k.InPlace = []int{0}
	return k
}

// max2 is x unless it is below lo. Unlike the built-in max it keeps a NaN only if x is it.
func max2[T number](x, lo T) T {
	if x < lo {
		return lo
	}
	return x
}

// min2 is x unless it is above hi.
func min2[T number](x, hi T) T {
	if x > hi {
		return hi
	}
	return x
}
