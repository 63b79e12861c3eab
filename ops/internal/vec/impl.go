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
	sqrt, abs, hardSigmoid, hardSwish, swish, tanh, erf, gelu, geluTanh      unary
	scaleShift16                                                             func(dst, x, scale, shift []float32)

	wide bool // sums in float64 by sumWideFast and its like

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
	sqrt: sqrtGo, abs: absGo, hardSigmoid: hardSigmoidGo, hardSwish: hardSwishGo, swish: swishGo, tanh: tanhGo, erf: erfGo,
	gelu: geluGo, geluTanh: geluTanhGo,
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
		dst[i] = sigmoid(x[i])
	}
}

func swishGo(dst, x []float32, alpha, _ float32) {
	for i := range dst {
		dst[i] = x[i] * sigmoid(alpha*x[i])
	}
}

func geluTanhGo(dst, x []float32, _, _ float32) {
	for i := range dst {
		v := x[i]
		inner := float32(geluCubic*float32(v*v)) + geluLinear
		dst[i] = v * sigmoid(v*inner)
	}
}

// 2·√(2/π) and 2·√(2/π)·0.044715, the coefficients of GeluTanh's polynomial.
const (
	geluLinear = 1.5957691216057308
	geluCubic  = 0.07135481627159803
)

func sqrtGo(dst, x []float32, _, _ float32) {
	for i := range dst {
		dst[i] = float32(math.Sqrt(float64(x[i])))
	}
}

func absGo(dst, x []float32, _, _ float32) {
	for i := range dst {
		dst[i] = abs(x[i])
	}
}

func hardSigmoidGo(dst, x []float32, alpha, beta float32) {
	for i := range dst {
		dst[i] = hardSigmoid(x[i], alpha, beta)
	}
}

func hardSwishGo(dst, x []float32, alpha, beta float32) {
	for i := range dst {
		dst[i] = x[i] * hardSigmoid(x[i], alpha, beta)
	}
}

func hardSigmoid(x, alpha, beta float32) float32 {
	v := float32(alpha*x) + beta
	if v < 0 {
		v = 0
	}
	if v > 1 {
		v = 1
	}
	return v
}

func tanhGo(dst, x []float32, _, _ float32) {
	for i := range dst {
		dst[i] = tanh(x[i])
	}
}

func erfGo(dst, x []float32, _, _ float32) {
	for i := range dst {
		dst[i] = erf(x[i])
	}
}

func geluGo(dst, x []float32, _, _ float32) {
	for i := range dst {
		dst[i] = float32(x[i]*0.5) * (erf(x[i]*(1/math.Sqrt2)) + 1)
	}
}

const signBit = 1 << 31

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ signBit) }

// withSign returns x, which is not negative, with the sign of y.
func withSign(x, y float32) float32 {
	return math.Float32frombits(math.Float32bits(x) | math.Float32bits(y)&signBit)
}

func sigmoid(x float32) float32 {
	// With e^-|x| neither a large x overflows nor a small result loses its digits.
	e := exp(math.Float32frombits(math.Float32bits(x) | signBit))
	if math.Float32bits(x)&signBit != 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

// tanh returns the hyperbolic tangent: a polynomial near 0, and 1 - 2/(e^2|x| + 1) elsewhere.
//
// Source: S. Moshier, Cephes, tanhf.c, for the polynomial.
func tanh(x float32) float32 {
	const near = 0.625 // below, the polynomial is used
	a, s := abs(x), float32(x*x)
	if a < near {
		y := float32(-5.70498872745e-3*s) + 2.06390887954e-2
		y = float32(y*s) - 5.37397155531e-2
		y = float32(y*s) + 1.33314422036e-1
		y = float32(y*s) - 3.33332819422e-1
		return float32(float32(y*s)*x) + x
	}
	return withSign(1-2/(exp(a+a)+1), x)
}

// erf returns the error function: a polynomial near 0, and 1 - e^P(|x|) elsewhere.
//
// Source: N. Juffa, "erff", NVIDIA developer forums, 2013, for the polynomials.
func erf(x float32) float32 {
	const near = 0.927734375 // below, the first polynomial is used
	a, s := abs(x), float32(x*x)
	if a < near {
		y := float32(-5.96761703e-4*s) + 4.99119423e-3
		y = float32(y*s) - 2.67681349e-2
		y = float32(y*s) + 1.12819925e-1
		y = float32(y*s) - 3.76125336e-1
		y = float32(y*s) + 1.28379166e-1
		return float32(y*x) + x
	}
	y := float32(-1.72853470e-5*a) + 3.83197126e-4
	y = float32(y*a) - 3.88396438e-3
	y = float32(y*a) + 2.42546219e-2
	y = float32(y*a) - 1.06777877e-1
	y = float32(y*a) - 6.34846687e-1
	y = float32(y*a) - 1.28717512e-1
	y = float32(y*a) - a
	return withSign(1-exp(y), x)
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
