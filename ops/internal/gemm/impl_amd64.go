//go:build amd64 && !purego

package gemm

import "scission/ops/internal/isa"

//go:generate sh ../asmgen/generate.sh gemm

var asmImpls = []impl{{
	name: "14x32 AVX-512", level: isa.AVX512, nr: 32, kBlock: 256, row: f32Row1x128AVX512, panels: 4,
	forms: []form{{mr: 14, nr: 32, parts: true, tiles: []tileFunc{1: f32Tile1x32AVX512, f32Tile2x32AVX512,
		f32Tile3x32AVX512, f32Tile4x32AVX512, f32Tile5x32AVX512, f32Tile6x32AVX512, f32Tile7x32AVX512,
		f32Tile8x32AVX512, f32Tile9x32AVX512, f32Tile10x32AVX512, f32Tile11x32AVX512, f32Tile12x32AVX512,
		f32Tile13x32AVX512, f32Tile14x32AVX512}}},
}, {
	// Beside 16 registers the loads limit a tile: 3x32 has the fewest.
	name: "3x32 AVX2", level: isa.AVX2, nr: 32, kBlock: 128, row: f32Row1x64AVX2, panels: 2,
	forms: []form{
		{mr: 3, nr: 32, tiles: []tileFunc{1: f32Tile1x32AVX2, f32Tile2x32AVX2, f32Tile3x32AVX2}},
		{mr: 6, nr: 16, parts: true, tiles: []tileFunc{1: f32Tile1x16AVX2, f32Tile2x16AVX2, f32Tile3x16AVX2,
			f32Tile4x16AVX2, f32Tile5x16AVX2, f32Tile6x16AVX2}},
	},
}}
