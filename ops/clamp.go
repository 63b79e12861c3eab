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

// limits is what an operator has absorbed of clamping activations behind it.
type limits struct {
	clamped bool
	lo, hi  float32 // if clamped; 0 lies between them
	clamp   string  // what String adds
}

// absorbClamp returns the activation that reads the float32 result of n, whose
// operator has the limits l, if it keeps zeros and l has none yet, and the
// limits with it.
func (l limits) absorbClamp(e *graph.Editor, n *graph.Node) (user *graph.Node, next limits, ok bool) {
	user = e.OnlyUser(n.Out[0])
	if user == nil || n.Out[0].DType != tensor.Float32 || l.clamped || user.In[0] != n.Out[0] {
		return nil, l, false
	}
	op, ok := user.Op.(clamper)
	if !ok {
		return nil, l, false
	}
	lo, hi, ok := op.bounds(graph.Facts(user.In))
	if !ok || lo > 0 || hi < 0 {
		return nil, l, false
	}
	return user, limits{true, lo, hi, "+" + op.String()}, true
}

// flops adds to the operations for each element.
func (l limits) flops(each int) int {
	if l.clamped {
		each++
	}
	return each
}

// limit limits the elements of x.
func (l limits) limit(x []float32) {
	if l.clamped {
		vec.Clamp(x, x, l.lo, l.hi)
	}
}

// pieceLen is how many elements are calculated before they are limited: so few
// that they are still in the nearest cache, and a multiple of lanes.
const pieceLen = 2048

// scaleShift16 sets dst to the elements of x, which lie in NCHW16c, times scale
// plus shift of their lanes, and limits them. x may be dst.
func (l limits) scaleShift16(dst, x, scale, shift []float32) {
	for len(dst) > 0 {
		piece := min(len(dst), pieceLen)
		vec.ScaleShift16(dst[:piece], x[:piece], scale, shift)
		l.limit(dst[:piece])
		dst, x = dst[piece:], x[piece:]
	}
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
