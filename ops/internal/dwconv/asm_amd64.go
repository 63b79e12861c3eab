//go:build amd64 && !purego

package dwconv

import "scission/ops/internal/isa"

var assembly = []implementation{
	{level: isa.AVX512, pixels: 14, fewest: 6, run: runAVX512},
	{level: isa.AVX2, pixels: 6, fewest: 4, run: runAVX2},
}

// tileAsm is the Go declaration of all tiles in assembly; s and areas point to the first fields of steps and of the
// first area.
type tileAsm = func(s, areas *int, count int, in, w, epi, res, out *float32)

var tilesAVX2 = [...]tileAsm{tileAVX2P1, tileAVX2P2, tileAVX2P3, tileAVX2P4, tileAVX2P5, tileAVX2P6}

var tilesAVX512 = [...]tileAsm{
	tileAVX512P1, tileAVX512P2, tileAVX512P3, tileAVX512P4, tileAVX512P5, tileAVX512P6, tileAVX512P7,
	tileAVX512P8, tileAVX512P9, tileAVX512P10, tileAVX512P11, tileAVX512P12, tileAVX512P13, tileAVX512P14,
}

func runAVX2(b *batch, in, w, epi, res, out []float32) {
	call(tilesAVX2[b.pixels-1], b, in, w, epi, res, out)
}

func runAVX512(b *batch, in, w, epi, res, out []float32) {
	call(tilesAVX512[b.pixels-1], b, in, w, epi, res, out)
}

func call(tile tileAsm, b *batch, in, w, epi, res, out []float32) {
	var r *float32
	if res != nil {
		r = &res[0]
	}
	tile(&b.steps.row, &b.areas[0].in, len(b.areas), &in[0], &w[0], &epi[0], r, &out[0])
}
