//go:build arm64 && !purego

package conv

import "scission/ops/internal/isa"

var assembly = []implementation{{level: isa.NEON, tiles: []tile{{width: Block, pixels: 6, fewest: 4}}, straddles: true, run: runNEON}}

var tilesNEON = [...]tileAsm{tileNEONP1, tileNEONP2, tileNEONP3, tileNEONP4, tileNEONP5, tileNEONP6}

func runNEON(l *loops, off *offsets, in, w, ahead, epi, start, res, out []float32, count, pixels, _ int) {
	call(tilesNEON[pixels-1], l, off, in, w, ahead, epi, start, res, out, count)
}
