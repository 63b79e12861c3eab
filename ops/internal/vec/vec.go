// Package vec computes elementwise functions, sums and softmax of float32 slices.
//
// It knows slices, not tensors, operators or threads. Slices may have any length, 0 included, and any alignment. dst
// may be one of the inputs; otherwise slices may not overlap. Inputs have at least the length of dst; a shorter one
// panics. Nothing is allocated, and every function may be called concurrently.
//
// A result depends only on the element's value (for reductions on the slice's length too), not on its place, so that
// slices may be cut anywhere between threads. The functions that multiply and add, and those with an exponential,
// give different bits with fused multiply-add (AVX2, AVX-512, NEON) than in portable code; all others give the same.
package vec

import "math"

// blockLen is the number of values that one call of an implementation handles: it bounds the time in assembly, which
// the Go runtime cannot interrupt.
const blockLen = 1 << 14

// Lanes is the number of channels in a block of NCHW16c.
const Lanes = 16

var inf = float32(math.Inf(1))

// Clamp sets dst to lo where x < lo, to hi where x > hi, and to x elsewhere: a NaN stays NaN, and -0 is not below 0.
// This is how the products and convolutions bound their results. lo may not exceed hi.
func Clamp(dst, x []float32, lo, hi float32) { best.clamp.run(dst, x, lo, hi) }

// Relu is Clamp between 0 and +Inf.
func Relu(dst, x []float32) { Clamp(dst, x, 0, inf) }

// Add sets dst to a + b.
func Add(dst, a, b []float32) { best.add.run(dst, a, b) }

// Sub sets dst to a - b.
func Sub(dst, a, b []float32) { best.sub.run(dst, a, b) }

// Mul sets dst to a · b.
func Mul(dst, a, b []float32) { best.mul.run(dst, a, b) }

// Div sets dst to a / b.
func Div(dst, a, b []float32) { best.div.run(dst, a, b) }

// AddScalar sets dst to x + s.
func AddScalar(dst, x []float32, s float32) { best.addScalar.run(dst, x, s, 0) }

// SubScalar sets dst to x - s.
func SubScalar(dst, x []float32, s float32) { AddScalar(dst, x, -s) }

// MulScalar sets dst to x · s.
func MulScalar(dst, x []float32, s float32) { best.mulScalar.run(dst, x, s, 0) }

// DivScalar sets dst to x / s.
func DivScalar(dst, x []float32, s float32) { best.divScalar.run(dst, x, s, 0) }

// ScalarSub sets dst to s - x.
func ScalarSub(dst []float32, s float32, x []float32) { best.scalarSub.run(dst, x, s, 0) }

// ScalarDiv sets dst to s / x.
func ScalarDiv(dst []float32, s float32, x []float32) { best.scalarDiv.run(dst, x, s, 0) }

// ScaleShift sets dst to x·scale + shift, fused or not as the implementation's multiply-add is.
func ScaleShift(dst, x []float32, scale, shift float32) { best.scaleShift.run(dst, x, scale, shift) }

// ScaleShift16 sets dst[i] to x[i]·scale[i%16] + shift[i%16], as ScaleShift does: what a scale and shift of channels is
// for one block of NCHW16c. It panics unless dst has a multiple of 16 values. With a shift of -0 it is a plain product.
func ScaleShift16(dst, x []float32, scale, shift []float32) {
	best.scaleShiftBlocks(dst, x, scale, shift)
}

// LeakyRelu sets dst to alpha·x where x has its sign bit set, to x elsewhere.
func LeakyRelu(dst, x []float32, alpha float32) { best.leakyRelu.run(dst, x, alpha, 0) }

// Exp sets dst to e^x, within 2 units in the last place. It is +Inf above 88.73, 0 below -104, subnormal where it
// should be, and NaN of NaN.
func Exp(dst, x []float32) { best.exp.run(dst, x, 0, 0) }

// Sigmoid sets dst to 1 / (1 + e^-x), within 3 units in the last place, and NaN of NaN.
func Sigmoid(dst, x []float32) { best.sigmoid.run(dst, x, 0, 0) }

// Sqrt sets dst to the square root of x, NaN below zero.
func Sqrt(dst, x []float32) { best.sqrt.run(dst, x, 0, 0) }

// Abs sets dst to |x|.
func Abs(dst, x []float32) { best.abs.run(dst, x, 0, 0) }

// HardSigmoid sets dst to alpha·x + beta bounded to 0 and 1, fused or not as the implementation's multiply-add is.
func HardSigmoid(dst, x []float32, alpha, beta float32) { best.hardSigmoid.run(dst, x, alpha, beta) }

// HardSwish sets dst to x times the HardSigmoid of x with 1/6 and 1/2.
func HardSwish(dst, x []float32) { best.hardSwish.run(dst, x, 1.0/6, 0.5) }

// Swish sets dst to x · Sigmoid(alpha·x), each rounded.
func Swish(dst, x []float32, alpha float32) { best.swish.run(dst, x, alpha, 0) }

// Tanh sets dst to tanh(x), within 3 units in the last place, and NaN of NaN.
func Tanh(dst, x []float32) { best.tanh.run(dst, x, 0, 0) }

// Erf sets dst to the Gauss error function of x, within 3 units in the last place, and NaN of NaN.
func Erf(dst, x []float32) { best.erf.run(dst, x, 0, 0) }

// Gelu sets dst to x · (1 + Erf(x/√2)) / 2, within 2⁻²² of the larger of |x| and 1.
func Gelu(dst, x []float32) { best.gelu.run(dst, x, 0, 0) }

// GeluTanh sets dst to x · Sigmoid(2·√(2/π)·(x + 0.044715·x³)).
func GeluTanh(dst, x []float32) { best.geluTanh.run(dst, x, 0, 0) }

// Sum returns the sum of x in an order that depends on the length only; every implementation gives the same bits.
func Sum(x []float32) float32 { return best.sumOf(x) }

// Max returns the largest value of x. NaNs are passed over; it is -Inf if nothing else is left. Which zero it returns
// where there are zeros of both signs is not defined.
func Max(x []float32) float32 { return best.maxOf(x) }

// Softmax sets dst to e^(x-m) / Σ e^(x-m) with m the largest value of x. All of dst is NaN if x has a NaN or +Inf, or
// nothing but -Inf.
func Softmax(dst, x []float32) { best.softmax(dst, x) }

// A unary sets dst from x and up to two parameters.
type unary func(dst, x []float32, p, q float32)

func (f unary) run(dst, x []float32, p, q float32) {
	x = x[:len(dst)]
	for len(dst) > blockLen {
		f(dst[:blockLen], x, p, q)
		dst, x = dst[blockLen:], x[blockLen:]
	}
	f(dst, x, p, q)
}

// A binary sets dst from a and b.
type binary func(dst, a, b []float32)

func (f binary) run(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for len(dst) > blockLen {
		f(dst[:blockLen], a, b)
		dst, a, b = dst[blockLen:], a[blockLen:], b[blockLen:]
	}
	f(dst, a, b)
}

func (im *impl) scaleShiftBlocks(dst, x, scale, shift []float32) {
	if len(dst)%Lanes != 0 {
		panic("vec: length is not a multiple of 16")
	}
	x, scale, shift = x[:len(dst)], scale[:Lanes], shift[:Lanes]
	for len(dst) > blockLen {
		im.scaleShift16(dst[:blockLen], x, scale, shift)
		dst, x = dst[blockLen:], x[blockLen:]
	}
	im.scaleShift16(dst, x, scale, shift)
}

func (im *impl) sumOf(x []float32) float32 {
	var sum float32
	for len(x) > 0 {
		n := wholeLanes(len(x))
		sum += im.sum(x[:n])
		if x = x[n:]; len(x) < partials {
			for _, v := range x {
				sum += v
			}
			break
		}
	}
	return sum
}

func (im *impl) maxOf(x []float32) float32 {
	m := -inf
	for len(x) >= partials {
		n := wholeLanes(len(x))
		m = greater(m, im.max(x[:n]))
		x = x[n:]
	}
	for _, v := range x {
		m = greater(m, v)
	}
	return m
}

// wholeLanes returns how many of the next n values one call of a reduction takes.
func wholeLanes(n int) int { return min(n-n%partials, blockLen) }

// greater returns v if it is greater than m, otherwise m.
func greater(m, v float32) float32 {
	if v > m {
		return v
	}
	return m
}

func (im *impl) softmax(dst, x []float32) {
	x = x[:len(dst)]
	im.exp.run(dst, x, im.maxOf(x), 0)
	im.divScalar.run(dst, dst, im.sumOf(dst), 0)
}
