//go:build amd64 && !purego

package qconv

import (
	"golang.org/x/sys/cpu"

	"scission/ops/internal/isa"
)

var assembly = []implementation{
	{level: isa.AVX512, missing: !cpu.X86.HasAVX512VNNI, pixels: 8, depthwisePixels: 8, fewest: 4, pairs: true, dense: denseAVX512, few: fewAVX512, depthwisePairs: tilesDepthAVX512[:]},
	{level: isa.AVX2, pixels: 6, depthwisePixels: 6, fewest: 4, pairs: true, halves: true, dense: denseAVX2, few: fewAVX2, depthwisePairs: tilesDepthAVX2[:]},
}

var (
	tilesDenseAVX2   = [...]tileAsm{denseAVX2P1, denseAVX2P2, denseAVX2P3, denseAVX2P4, denseAVX2P5, denseAVX2P6}
	tilesFewAVX2     = [...]tileAsm{fewAVX2P1, fewAVX2P2, fewAVX2P3, fewAVX2P4, fewAVX2P5, fewAVX2P6}
	tilesDepthAVX2   = [...]tileAsm{depthAVX2P1, depthAVX2P2, depthAVX2P3, depthAVX2P4, depthAVX2P5, depthAVX2P6}
	tilesDenseAVX512 = [...]tileAsm{
		denseAVX512P1, denseAVX512P2, denseAVX512P3, denseAVX512P4, denseAVX512P5, denseAVX512P6, denseAVX512P7, denseAVX512P8,
	}
	tilesFewAVX512 = [...]tileAsm{
		fewAVX512P1, fewAVX512P2, fewAVX512P3, fewAVX512P4, fewAVX512P5, fewAVX512P6, fewAVX512P7, fewAVX512P8,
	}
	tilesDepthAVX512 = [...]tileAsm{
		depthAVX512P1, depthAVX512P2, depthAVX512P3, depthAVX512P4, depthAVX512P5, depthAVX512P6, depthAVX512P7, depthAVX512P8,
	}
)

func denseAVX2(l *loops, taps []int, in, w []int16, epi, res []float32, out Out, count, lines, pixels int) {
	call(tilesDenseAVX2[pixels-1], l, taps, in, w, epi, res, out, count, lines)
}

func fewAVX2(l *loops, taps []int, in, w []int16, epi, res []float32, out Out, count, lines, pixels int) {
	call(tilesFewAVX2[pixels-1], l, taps, in, w, epi, res, out, count, lines)
}

func denseAVX512(l *loops, taps []int, in, w []int16, epi, res []float32, out Out, count, lines, pixels int) {
	call(tilesDenseAVX512[pixels-1], l, taps, in, w, epi, res, out, count, lines)
}

func fewAVX512(l *loops, taps []int, in, w []int16, epi, res []float32, out Out, count, lines, pixels int) {
	call(tilesFewAVX512[pixels-1], l, taps, in, w, epi, res, out, count, lines)
}

// What follows is nil without assembly.
var (
	quantiseAsm   func(dst *int16, x *float32, n int, step, lo, hi, nan float32)
	scaleAsm      func(dst *int16, x *float32, n int, inverse, rest, hi float32, floor int16)
	dequantiseAsm func(dst *float32, x *int16, n int, scale float32)
	interleaveAsm func(dst, x *int16, plane, n int)
	pairRowsAsm   func(dst, a, b *int16, rows, n, dstStep, srcStep int)
	widenAsm      func(dst *int16, src *byte, n, dstStep, srcStep int, flip, zero int16)
	narrowAsm     func(dst *byte, src *int16, n, dstStep int, zero int16)
	combineAsm    [Mul + 1]func(dst, a, b *int16, n int, scaleA, scaleB, step, lo, hi float32)
)

func init() {
	if isa.Have(isa.AVX2) {
		quantiseAsm, scaleAsm, dequantiseAsm, interleaveAsm, pairRowsAsm = quantiseAVX2, scaleAVX2, dequantiseAVX2, interleaveAVX2, pairRowsAVX2
		widenAsm, narrowAsm = widenAVX2, narrowAVX2
		combineAsm[Add], combineAsm[Mul] = addAVX2, mulAVX2
	}
}

// extremesOf lowers the first half of ends to the first elements of x, raises the other, and returns how many these are.
func extremesOf(x []float32, ends *[2 * extremeLanes]float32) int {
	n := len(x) / Block
	if n == 0 || !isa.Have(isa.AVX2) {
		return 0
	}
	extremesAVX2(&x[0], n, ends)
	return n * Block
}
