//go:build arm64 && !purego

package dwconv

import "scission/ops/internal/isa"

var assembly = []implementation{{level: isa.NEON, pixels: 6, fewest: 4, run: runNEON}}

// tilesNEON has the tiles of one pixel and more: for any taps, and for three taps a row of stride 1 and 2.
var tilesNEON = [...][6]tileAsm{
	{tileNEONP1, tileNEONP2, tileNEONP3, tileNEONP4, tileNEONP5, tileNEONP6},
	{tileNEONP1S1, tileNEONP2S1, tileNEONP3S1, tileNEONP4S1, tileNEONP5S1, tileNEONP6S1},
	{tileNEONP1S2, tileNEONP2S2, tileNEONP3S2, tileNEONP4S2, tileNEONP5S2, tileNEONP6S2},
}

func runNEON(b *batch, in, w, epi, res, out []float32) {
	call(tilesNEON[b.three][b.pixels-1], b, in, w, epi, res, out)
}
