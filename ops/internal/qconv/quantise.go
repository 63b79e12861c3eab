package qconv

import (
	"math"

	"scission/ops/internal/isa"
)

// Info names the instruction set of Quantise and Dequantise.
func Info() string { return "int8 " + isa.Best().String() }

// Quantise sets dst[i] to round(x[i] / step), ties to even, within lo and hi; a NaN becomes lo. dst and x have the
// same length. IsStep(step) holds.
func Quantise(dst []int16, x []float32, step float32, lo, hi int) {
	x = x[:len(dst)]
	n := 0
	if quantiseAsm != nil && len(dst) >= Block {
		n = len(dst) / Block * Block
		quantiseAsm(&dst[0], &x[0], n/Block, step, float32(lo)*step, float32(hi)*step, float32(lo))
	}
	for i, v := range x[n:] {
		r := math.RoundToEven(float64(v / step))
		switch {
		case !(r > float64(lo)):
			dst[n+i] = int16(lo)
		case r > float64(hi):
			dst[n+i] = int16(hi)
		default:
			dst[n+i] = int16(r)
		}
	}
}

// Dequantise sets dst[i] to x[i] * scale. dst and x have the same length.
func Dequantise(dst []float32, x []int16, scale float32) {
	x = x[:len(dst)]
	n := 0
	if dequantiseAsm != nil && len(dst) >= Block {
		n = len(dst) / Block * Block
		dequantiseAsm(&dst[0], &x[0], n/Block, scale)
	}
	for i, v := range x[n:] {
		dst[n+i] = float32(v) * scale
	}
}

// Interleave puts the pixels of four planes of x, which begin plane elements apart, side by side. dst has Few elements
// for each.
func Interleave(dst, x []int16, plane int) {
	n := len(dst) / Few
	a, b, c, d := x[:n], x[plane:][:n], x[2*plane:][:n], x[3*plane:][:n]
	done := 0
	if interleaveAsm != nil && n >= Block {
		done = n / Block * Block
		interleaveAsm(&dst[0], &x[0], 2*plane, n/Block)
	}
	for i := done; i < n; i++ {
		*(*[Few]int16)(dst[i*Few:]) = [Few]int16{a[i], b[i], c[i], d[i]}
	}
}
