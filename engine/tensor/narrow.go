package tensor

import "math"

// The types below take fewer bits in an ONNX file than the byte that an element of
// them has here. An integer lies as itself in its byte, signed ones sign-extended;
// what floating point there is lies as its bits. So they are moved, cut and sent as
// bytes are.

// Bits is the number of bits that an element takes in an ONNX file, where elements
// of less than 8 bits share a byte, the first in its low bits; 0 when d is not Valid.
func (d DType) Bits() int {
	switch d {
	case Int4, Uint4, Float4E2M1:
		return 4
	case Int2, Uint2:
		return 2
	}
	return 8 * d.Size()
}

// PackedBytes is how many bytes n elements of type d take in an ONNX file.
func (d DType) PackedBytes(n int) int {
	if bits := d.Bits(); bits < 8 {
		each := 8 / bits
		return n/each + (n%each+each-1)/each
	}
	return n * d.Size()
}

// Base is the type as which an element lies in memory: Int8 or Uint8 for integers
// of less than 8 bits, and d itself for the others.
func (d DType) Base() DType {
	switch d {
	case Int4, Int2:
		return Int8
	case Uint4, Uint2:
		return Uint8
	}
	return d
}

// Expand writes len(dst) elements of type d, whose Bits are less than 8, from src,
// where they lie as in an ONNX file. src must hold them.
func (d DType) Expand(dst, src []byte) {
	bits := d.Bits()
	each, mask := 8/bits, byte(1)<<bits-1
	signed := d.Base() == Int8
	for i := range dst {
		v := src[i/each] >> (i % each * bits) & mask
		if signed && v > mask>>1 {
			v |= ^mask
		}
		dst[i] = v
	}
}

// Condense is the inverse of Expand: it returns the bytes of an ONNX file. Of each
// element only the low Bits count.
func (d DType) Condense(src []byte) []byte {
	bits := d.Bits()
	each, mask := 8/bits, byte(1)<<bits-1
	dst := make([]byte, d.PackedBytes(len(src)))
	for i, v := range src {
		dst[i/each] |= v & mask << (i % each * bits)
	}
	return dst
}

// minifloat is a type of floating point of at most 8 bits: a sign, exponent and
// mantissa bits.
type minifloat struct {
	exponent, mantissa int
	bias               int
	top                float64 // the largest finite number
	inf                int     // the code of infinity, -1 if there is none
	nan                int     // that of a NaN of positive sign, -1 if there is none
	unsignedZero       bool    // the code of -0 is the only NaN
}

// Source: ONNX, "Float stored in 8 bits" and "Float stored in 4 bits".
var minifloats = map[DType]minifloat{
	Float8E4M3FN:   {4, 3, 7, 448, -1, 0x7f, false},
	Float8E4M3FNUZ: {4, 3, 8, 240, -1, 0x80, true},
	Float8E5M2:     {5, 2, 15, 57344, 0x7c, 0x7f, false},
	Float8E5M2FNUZ: {5, 2, 16, 57344, -1, 0x80, true},
	Float4E2M1:     {2, 1, 1, 6, -1, -1, false},
}

// IsMini reports whether d is floating point of at most 8 bits with a sign.
func (d DType) IsMini() bool {
	_, ok := minifloats[d]
	return ok
}

// e8m0Bias is that of Float8E8M0, whose codes are exponents alone.
const e8m0Bias = 127

// MiniValues returns the numbers that the codes of d mean: of floating point of at
// most 8 bits, Float8E8M0 included. Codes beyond the Bits of d mean what their low
// bits do.
func (d DType) MiniValues() *[256]float32 {
	var table [256]float32
	m, ok := minifloats[d]
	for code := range table {
		switch {
		case ok:
			table[code] = float32(m.value(code & (1<<d.Bits() - 1)))
		case code == 255:
			table[code] = float32(math.NaN())
		default:
			table[code] = float32(math.Ldexp(1, code-e8m0Bias))
		}
	}
	return &table
}

// value is the number that a code means.
func (m minifloat) value(code int) float64 {
	half := 1 << (m.exponent + m.mantissa)
	magnitude, sign := code&(half-1), 1.0
	if code >= half {
		sign = -1
	}
	switch {
	case m.unsignedZero && code == m.nan, !m.unsignedZero && m.nan >= 0 && (magnitude == m.nan || m.inf >= 0 && magnitude > m.inf):
		return math.NaN()
	case magnitude == m.inf:
		return math.Inf(int(sign))
	}
	e, f := magnitude>>m.mantissa, float64(magnitude&(1<<m.mantissa-1))
	if e == 0 {
		e = 1
	} else {
		f += float64(int(1) << m.mantissa)
	}
	return math.Copysign(math.Ldexp(f, e-m.bias-m.mantissa), sign)
}

// Mini returns the code of v in a type for which IsMini is true, rounded to nearest
// with ties to even. What is larger than the largest finite number, infinities
// included, becomes that number if saturate is true or the type has neither infinity
// nor NaN; else infinite, or a NaN where there is no infinity. A NaN stays one, and
// is -0 where there is none, as ONNX's test cases have it.
//
// Source: ONNX Cast-19, -23.
func (d DType) Mini(v float64, saturate bool) byte {
	m := minifloats[d]
	half := 1 << (m.exponent + m.mantissa)
	sign := 0
	if math.Signbit(v) {
		sign = half
	}
	if m.unsignedZero && (v != v || v == 0) {
		if v == 0 {
			return 0
		}
		return byte(m.nan)
	}
	switch {
	case v != v && m.nan < 0:
		return byte(half)
	case v != v:
		return byte(m.nan | sign)
	}
	a := math.Abs(v)
	_, e := math.Frexp(a) // a is below 2^e
	e = max(e-1, 1-m.bias)
	if !math.IsInf(a, 0) {
		a = math.Ldexp(math.RoundToEven(math.Ldexp(a, m.mantissa-e)), e-m.mantissa)
	}
	switch {
	case a > m.top && !saturate && m.inf >= 0:
		return byte(m.inf | sign)
	case a > m.top && !saturate && m.unsignedZero:
		return byte(m.nan)
	case a > m.top && !saturate && m.nan >= 0:
		return byte(m.nan | sign)
	case a > m.top:
		a = m.top
	}
	_, e = math.Frexp(a)
	e = max(e-1, 1-m.bias)
	code := int(math.Ldexp(a, m.mantissa-e)) // with the leading one
	if code >= 1<<m.mantissa {
		code += (e + m.bias - 1) << m.mantissa
	}
	if m.unsignedZero && code == 0 {
		return 0
	}
	return byte(code | sign)
}

// Rounding is how a number becomes a power of two.
type Rounding uint8

// The roundings of Float8E8M0.
const (
	RoundUp      Rounding = iota // away from zero
	RoundDown                    // towards zero
	RoundNearest                 // to nearest, ties up
)

// E8M0 returns the code of v in Float8E8M0. With saturate, what is beyond the
// largest or below the smallest number becomes that number; without, what is too
// large becomes a NaN. A NaN stays one. Of negative numbers the sign is dropped.
//
// Source: ONNX Cast-24.
func E8M0(v float32, r Rounding, saturate bool) byte {
	const largest, nan = 254, 255
	b := math.Float32bits(v)
	code, fraction := int(b>>23&255), b&(1<<23-1)
	if code == 255 {
		return nan
	}
	if r == RoundUp && fraction > 0 || r == RoundNearest && fraction >= 1<<22 && (code > 0 || fraction > 1<<22) {
		code++
	}
	if code > largest && saturate {
		code = largest
	}
	return byte(code)
}
