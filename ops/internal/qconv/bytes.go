package qconv

import (
	"math"
	"slices"
)

// signFlip is what makes an int8 of two's complement the uint8 that is 128 more.
const signFlip = 0x80

// flipOf returns what is to be done with the bits of bytes to make them uint8, and their zero point then.
func flipOf(signed bool, zero int) (flip, moved int16) {
	if signed {
		return signFlip, int16(zero + signFlip)
	}
	return 0, int16(zero)
}

// Widen sets dst[i] to x[i], an int8 if signed, else a uint8, less zero. dst and x have the same length.
func Widen(dst []int16, x []byte, signed bool, zero int) {
	x = x[:len(dst)]
	n := 0
	flip, moved := flipOf(signed, zero)
	if widenAsm != nil && len(dst) >= Block {
		n = len(dst) / Block * Block
		widenAsm(&dst[0], &x[0], n/Block, 2*Block, Block, flip<<8|flip, moved)
	}
	for i, v := range x[n:] {
		dst[n+i] = int16(v^byte(flip)) - moved
	}
}

// Narrow sets dst[i] to the low byte of x[i] + zero. dst and x have the same length.
func Narrow(dst []byte, x []int16, zero int) {
	x = x[:len(dst)]
	n := 0
	if narrowAsm != nil && len(dst) >= Block {
		n = len(dst) / Block * Block
		narrowAsm(&dst[0], &x[0], n/Block, Block, int16(zero))
	}
	for i, v := range x[n:] {
		dst[n+i] = byte(v + int16(zero))
	}
}

// Operation is what Combine does with two numbers.
type Operation uint8

// The operations.
const (
	Add Operation = iota
	Mul
)

// Combine sets dst[i] to round(y / step), ties to even, where y is a[i]*scaleA + b[i]*scaleB, or the product of these two
// products, no less than lo and then no more than hi. Each product, the sum and the quotient are rounded to float32.
// All slices have the same length. IsStep of all three scales holds, and the quotients of lo and hi are within int16.
func Combine(op Operation, dst, a, b []int16, scaleA, scaleB, step, lo, hi float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	n := 0
	if asm := combineAsm[op]; asm != nil && len(dst) >= Block {
		n = len(dst) / Block * Block
		asm(&dst[0], &a[0], &b[0], n/Block, scaleA, scaleB, step, lo, hi)
	}
	for i := n; i < len(dst); i++ {
		x, y := float32(float32(a[i])*scaleA), float32(float32(b[i])*scaleB)
		if op == Add {
			y = x + y
		} else {
			y = x * y
		}
		if y < lo {
			y = lo
		}
		if y > hi {
			y = hi
		}
		dst[i] = int16(math.RoundToEven(float64(y / step)))
	}
}

// Extremes returns the smallest of lo and the elements of x, and the largest of hi and these. A NaN in x is left out.
func Extremes(x []float32, lo, hi float32) (float32, float32) {
	var ends [2 * extremeLanes]float32
	for i := range extremeLanes {
		ends[i], ends[extremeLanes+i] = lo, hi
	}
	n := extremesOf(x, &ends)
	lo, hi = slices.Min(ends[:extremeLanes]), slices.Max(ends[extremeLanes:])
	for _, v := range x[n:] {
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	return lo, hi
}

// extremeLanes is how many numbers assembly keeps of each end.
const extremeLanes = 8
