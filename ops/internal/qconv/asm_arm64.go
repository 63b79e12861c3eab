//go:build arm64 && !purego

package qconv

import "scission/ops/internal/isa"

var assembly = []implementation{
	{level: isa.NEON, pixels: 6, depthwisePixels: 6, fewest: 4, dense: denseNEON, few: fewNEON, depthwise: depthNEON},
}

var (
	tilesDenseNEON = [...]tileAsm{denseNEONP1, denseNEONP2, denseNEONP3, denseNEONP4, denseNEONP5, denseNEONP6}
	tilesFewNEON   = [...]tileAsm{fewNEONP1, fewNEONP2, fewNEONP3, fewNEONP4, fewNEONP5, fewNEONP6}
	tilesDepthNEON = [...]tileAsm{depthNEONP1, depthNEONP2, depthNEONP3, depthNEONP4, depthNEONP5, depthNEONP6}
)

func denseNEON(l *loops, taps []int, in, w []int16, epi, res []float32, out Out, count, lines, pixels int) {
	call(tilesDenseNEON[pixels-1], l, taps, in, w, epi, res, out, count, lines)
}

func fewNEON(l *loops, taps []int, in, w []int16, epi, res []float32, out Out, count, lines, pixels int) {
	call(tilesFewNEON[pixels-1], l, taps, in, w, epi, res, out, count, lines)
}

func depthNEON(l *loops, taps []int, in, w []int16, epi, res []float32, out Out, count, lines, pixels int) {
	call(tilesDepthNEON[pixels-1], l, taps, in, w, epi, res, out, count, lines)
}
