package vec

import (
	"math"

	"scission/ops/internal/isa"
)

// impl is one instruction set's code. Its functions get slices of the right lengths; the exported ones say what they
// compute, exp being e^(x-p).
type impl struct {
	name  string
	level isa.Level

	add, sub, mul, div                                                       binary
	clamp, addScalar, mulScalar, divScalar, scalarSub, scalarDiv, scaleShift unary
	leakyRelu, exp, sigmoid                                                  unary
	scaleShift16                                                             func(dst, x, scale, shift []float32)

	// sum and max reduce a multiple of partials values: partial i takes values i, i+partials, …; then the first half
	// of the partials takes the second, each its own, until one is left.
	sum, max func(x []float32) float32
}

const partials = 32

// impls lists the implementations, the fastest first.
var impls = append(asmImpls, impl{
	name: "go", level: isa.Go,
	add: addGo, sub: subGo, mul: mulGo, div: divGo,
	clamp: clampGo, addScalar: addScalarGo, mulScalar: mulScalarGo, divScalar: divScalarGo, scalarSub: scalarSubGo,
	scalarDiv: scalarDivGo, scaleShift: scaleShiftGo, leakyRelu: leakyReluGo, exp: expGo, sigmoid: sigmoidGo,
	scaleShift16: scaleShift16Go, sum: sumGo, max: maxGo,
})

// best is the first implementation that this processor has.
var best = func() *impl {
	i := 0
	for !isa.Have(impls[i].level) {
		i++
	}
	return &impls[i]
}()

func addGo(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func subGo(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] - b[i]
	}
}

func mulGo(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

func divGo(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] / b[i]
	}
}

func clampGo(dst, x []float32, lo, hi float32) {
	for i := range dst {
		v := x[i]
		if v < lo {
			v = lo
		}
		if v > hi {
			v = hi
		}
		dst[i] = v
	}
}

func addScalarGo(dst, x []float32, s, _ float32) {
	for i := range dst {
		dst[i] = x[i] + s
	}
}

func mulScalarGo(dst, x []float32, s, _ float32) {
	for i := range dst {
		dst[i] = x[i] * s
	}
}

func divScalarGo(dst, x []float32, s, _ float32) {
	for i := range dst {
		dst[i] = x[i] / s
	}
}

func scalarSubGo(dst, x []float32, s, _ float32) {
	for i := range dst {
		dst[i] = s - x[i]
	}
}

func scalarDivGo(dst, x []float32, s, _ float32) {
	for i := range dst {
		dst[i] = s / x[i]
	}
}

func scaleShiftGo(dst, x []float32, scale, shift float32) {
	for i := range dst {
		dst[i] = float32(x[i]*scale) + shift
	}
}

func scaleShift16Go(dst, x, scale, shift []float32) {
	for i := range dst {
		dst[i] = float32(x[i]*scale[i%Lanes]) + shift[i%Lanes]
	}
}

func leakyReluGo(dst, x []float32, alpha, _ float32) {
	for i := range dst {
		v := x[i]
		if math.Float32bits(v)>>31 != 0 {
			v *= alpha
		}
		dst[i] = v
	}
}

func expGo(dst, x []float32, p, _ float32) {
	for i := range dst {
		dst[i] = exp(x[i] - p)
	}
}

func sigmoidGo(dst, x []float32, _, _ float32) {
	for i := range dst {
		// With e^-|x| neither a large x overflows nor a small result loses its digits.
		v := x[i]
		e := exp(math.Float32frombits(math.Float32bits(v) | 1<<31))
		if math.Float32bits(v)>>31 != 0 {
			dst[i] = e / (1 + e)
		} else {
			dst[i] = 1 / (1 + e)
		}
	}
}

// exp returns e^x: with n the integer next to x/ln 2, and r = x - n·ln 2, it is 2^n·e^r.
//
// ln2Hi has few enough bits for n·ln2Hi to be exact. 2^n comes as two factors so that subnormal results, and those
// next to the largest number, do not need an exponent that float32 lacks. Nothing is fused, so that the bits are the
// same on every platform.
//
// Source: S. Moshier, Cephes, expf.c, for the polynomial.
func exp(x float32) float32 {
	const (
		lowest, highest = -104, 89 // below and above, the result is 0 and +Inf
		magic           = 0x1.8p23 // x + magic has x, rounded to an integer, in its low bits
		magicBits       = 0x4b400000
		ln2Hi, ln2Lo    = 0x1.62e4p-1, 0x1.7f7d1cp-20
		bias, mantissa  = 127, 23
	)
	if x != x {
		return x
	}
	x = min(max(x, lowest), highest)
	shifted := float32(x*math.Log2E) + magic
	n := float32(shifted - magic)
	r := x - float32(n*ln2Hi)
	r -= float32(n * ln2Lo)
	y := float32(1.9875691500e-4*r) + 1.3981999507e-3
	y = float32(y*r) + 8.3334519073e-3
	y = float32(y*r) + 4.1665795894e-2
	y = float32(y*r) + 1.6666665459e-1
	y = float32(y*r) + 5.0000001201e-1
	y = float32(y*float32(r*r)) + r + 1
	k := int32(math.Float32bits(shifted)) - magicBits
	half := k >> 1
	y *= math.Float32frombits(uint32(half+bias) << mantissa)
	return y * math.Float32frombits(uint32(k-half+bias)<<mantissa)
}

func sumGo(x []float32) float32 {
	var s [partials]float32
	for ; len(x) >= partials; x = x[partials:] {
		for i := range s {
			s[i] += x[i]
		}
	}
	for half := partials / 2; half > 0; half /= 2 {
		for i := range half {
			s[i] += s[half+i]
		}
	}
	return s[0]
}

func maxGo(x []float32) float32 {
	m := -inf
	for _, v := range x {
		m = greater(m, v)
	}
	return m
}
