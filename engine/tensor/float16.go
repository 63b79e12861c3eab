package tensor

import "math"

// Float16ToFloat32 converts an IEEE 754 binary16 number; every value,
// subnormals, infinities and NaNs included, is exact.
func Float16ToFloat32(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp, man := uint32(h>>10)&31, uint32(h)&1023
	switch {
	case exp == 31:
		return math.Float32frombits(sign | 0xff<<23 | man<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | man<<13)
	}
	f := float32(man) * (1.0 / (1 << 24))
	return math.Float32frombits(math.Float32bits(f) | sign)
}

// Float32ToFloat16 rounds to nearest, ties to even; what is too large becomes
// infinite and a NaN stays a NaN.
func Float32ToFloat16(f float32) uint16 {
	b := math.Float32bits(f)
	sign, b := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00
	case b >= 0x477ff000: // rounds to 2^16 or more
		return sign | 0x7c00
	case b < 0x38800000: // subnormal in binary16
		// Adding 0.5 leaves the rounded multiple of 2^-24 in the low bits.
		m := math.Float32bits(math.Float32frombits(b)+0.5) - math.Float32bits(0.5)
		return sign | uint16(m)
	}
	b += 0xfff + b>>13&1
	return sign | uint16((b-(112<<23))>>13)
}

// BFloat16ToFloat32 converts exactly.
func BFloat16ToFloat32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// Float32ToBFloat16 rounds to nearest, ties to even; a NaN stays a NaN.
func Float32ToBFloat16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
