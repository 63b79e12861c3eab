//go:build amd64 && !purego

package dwconv

import "scission/ops/internal/isa"

var assembly = []implementation{
	{level: isa.AVX512, pixels: 14, fewest: 6, run: runAVX512},
	{level: isa.AVX2, pixels: 6, fewest: 4, run: runAVX2},
}

// tilesAVX2 and tilesAVX512 have the tiles of one pixel and more: for any taps, and for three taps a row of stride 1
// and 2.
var tilesAVX2 = [...][6]tileAsm{
	{tileAVX2P1, tileAVX2P2, tileAVX2P3, tileAVX2P4, tileAVX2P5, tileAVX2P6},
	{tileAVX2P1S1, tileAVX2P2S1, tileAVX2P3S1, tileAVX2P4S1, tileAVX2P5S1, tileAVX2P6S1},
	{tileAVX2P1S2, tileAVX2P2S2, tileAVX2P3S2, tileAVX2P4S2, tileAVX2P5S2, tileAVX2P6S2},
}

var tilesAVX512 = [...][14]tileAsm{
	{tileAVX512P1, tileAVX512P2, tileAVX512P3, tileAVX512P4, tileAVX512P5, tileAVX512P6, tileAVX512P7, tileAVX512P8, tileAVX512P9, tileAVX512P10, tileAVX512P11, tileAVX512P12, tileAVX512P13, tileAVX512P14},
	{tileAVX512P1S1, tileAVX512P2S1, tileAVX512P3S1, tileAVX512P4S1, tileAVX512P5S1, tileAVX512P6S1, tileAVX512P7S1, tileAVX512P8S1, tileAVX512P9S1, tileAVX512P10S1, tileAVX512P11S1, tileAVX512P12S1, tileAVX512P13S1, tileAVX512P14S1},
	{tileAVX512P1S2, tileAVX512P2S2, tileAVX512P3S2, tileAVX512P4S2, tileAVX512P5S2, tileAVX512P6S2, tileAVX512P7S2, tileAVX512P8S2, tileAVX512P9S2, tileAVX512P10S2, tileAVX512P11S2, tileAVX512P12S2, tileAVX512P13S2, tileAVX512P14S2},
}

func runAVX2(b *batch, in, w, epi, res, out []float32) {
	call(tilesAVX2[b.three][b.pixels-1], b, in, w, epi, res, out)
}

func runAVX512(b *batch, in, w, epi, res, out []float32) {
	call(tilesAVX512[b.three][b.pixels-1], b, in, w, epi, res, out)
}
