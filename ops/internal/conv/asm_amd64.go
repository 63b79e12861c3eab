//go:build amd64 && !purego

package conv

import "scission/ops/internal/isa"

var assembly = []implementation{
	{level: isa.AVX512, tiles: []tile{{width: 16, pixels: 14, fewest: 6}, {width: 32, pixels: 14, fewest: 6}}, run: runAVX512},
	// Beside 16 registers the loads limit a tile: 3x32 has the fewest.
	{level: isa.AVX2, tiles: []tile{{width: 16, pixels: 6, fewest: 4}, {width: 32, pixels: 3, fewest: 2}}, straddles: true, run: runAVX2,
		lacking: tile{width: 32, pixels: 4, fewest: 3}, reals: 24},
}

var tilesAVX2 = [...][6]tileAsm{
	{tileAVX2P1C16, tileAVX2P2C16, tileAVX2P3C16, tileAVX2P4C16, tileAVX2P5C16, tileAVX2P6C16},
	{tileAVX2P1C32, tileAVX2P2C32, tileAVX2P3C32, tileAVX2P4C24},
}

var tilesAVX512 = [...][14]tileAsm{
	{
		tileAVX512P1C16, tileAVX512P2C16, tileAVX512P3C16, tileAVX512P4C16, tileAVX512P5C16, tileAVX512P6C16, tileAVX512P7C16,
		tileAVX512P8C16, tileAVX512P9C16, tileAVX512P10C16, tileAVX512P11C16, tileAVX512P12C16, tileAVX512P13C16, tileAVX512P14C16,
	}, {
		tileAVX512P1C32, tileAVX512P2C32, tileAVX512P3C32, tileAVX512P4C32, tileAVX512P5C32, tileAVX512P6C32, tileAVX512P7C32,
		tileAVX512P8C32, tileAVX512P9C32, tileAVX512P10C32, tileAVX512P11C32, tileAVX512P12C32, tileAVX512P13C32, tileAVX512P14C32,
	},
}

func runAVX2(l *loops, off *offsets, in, w, ahead, epi, start, res, out []float32, count, pixels, width int) {
	call(tilesAVX2[width/Block-1][pixels-1], l, off, in, w, ahead, epi, start, res, out, count)
}

func runAVX512(l *loops, off *offsets, in, w, ahead, epi, start, res, out []float32, count, pixels, width int) {
	call(tilesAVX512[width/Block-1][pixels-1], l, off, in, w, ahead, epi, start, res, out, count)
}
