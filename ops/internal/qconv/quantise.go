package qconv

import (
	"math"

	"scission/ops/internal/isa"
)

// Info names the instruction set of Quantisers and Dequantise.
func Info() string { return "int8 " + isa.Best().String() }

// A Quantiser divides by Step and rounds to integers from Lo to Hi. IsStep(Step) holds.
type Quantiser struct {
	Step          float32
	Lo, Hi        int
	inverse, rest float32 // 0 if Quantise divides
}

// NewQuantiser returns a Quantiser that is faster, at some ten microseconds once, if AcceptsStep(step, lo, hi).
func NewQuantiser(step float32, lo, hi int) Quantiser {
	q := Quantiser{Step: step, Lo: lo, Hi: hi}
	if AcceptsStep(step, lo, hi) {
		q.inverse, q.rest = inverse(step)
	}
	return q
}

// Quantise sets dst[i] to round(x[i] / Step), ties to even, within Lo and Hi; a NaN becomes Lo. dst and x have the
// same length.
func (q *Quantiser) Quantise(dst []int16, x []float32) {
	x = x[:len(dst)]
	n := 0
	lo, hi := float32(q.Lo), float32(q.Hi)
	if quantiseAsm != nil && len(dst) >= Block {
		n = len(dst) / Block * Block
		if q.inverse != 0 {
			scaleAsm(&dst[0], &x[0], n/Block, q.inverse, q.rest, hi*q.Step, int16(q.Lo))
		} else {
			quantiseAsm(&dst[0], &x[0], n/Block, q.Step, lo*q.Step, hi*q.Step, lo)
		}
	}
	for i, v := range x[n:] {
		r := math.RoundToEven(float64(v / q.Step))
		switch {
		case !(r > float64(q.Lo)):
			dst[n+i] = int16(q.Lo)
		case r > float64(q.Hi):
			dst[n+i] = int16(q.Hi)
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
