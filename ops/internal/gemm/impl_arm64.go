//go:build arm64 && !purego

package gemm

import (
	"unsafe"

	"scission/ops/internal/isa"
)

var asmImpls = []impl{{
	name: "6x16 NEON", level: isa.NEON, nr: columnsNEON, kBlock: 256, row: f32RowNEON, panels: 4,
	forms: []form{{mr: rowsNEON, nr: columnsNEON, parts: true, tiles: []tileFunc{1: f32TileNEON(1), 2: f32TileNEON(2),
		3: f32TileNEON(3), 4: f32TileNEON(4), 5: f32TileNEON(5), 6: f32TileNEON(6)}}},
}}

const rowsNEON, columnsNEON = 6, 16

// f32TileNEON returns the tileFunc for strips of so many rows. The assembly has whole rows only: others go through
// memory that has them.
func f32TileNEON(rows int) tileFunc {
	return func(m, n, k int, a []float32, lda int, b []float32, ldb, _, _ int, c []float32, ldc int,
		init []float32, ldi int, res []float32, lo, hi float32) {
		if n == columnsNEON {
			f32StripsNEON(rows, m, k, a, lda, b, ldb, &c[0], ldc, &init[0], ldi, first(res), lo, hi)
			return
		}
		var sums, added [rowsNEON * columnsNEON]float32
		for ; m > 0; m -= rows {
			var r *float32
			for i := range rows {
				copy(sums[i*columnsNEON:][:n], init[i*ldi:])
				if len(res) > 0 {
					copy(added[i*columnsNEON:][:n], res[i*ldc:])
					r = &added[0]
				}
			}
			f32StripsNEON(rows, rows, k, a, lda, b, ldb, &sums[0], columnsNEON, &sums[0], columnsNEON, r, lo, hi)
			for i := range rows {
				copy(c[i*ldc:][:n], sums[i*columnsNEON:])
			}
			a, c, init, res = after(a, rows*lda), after(c, rows*ldc), after(init, rows*ldi), after(res, rows*ldc)
		}
	}
}

// f32StripsNEON computes m whole rows in strips of so many rows.
func f32StripsNEON(rows, m, k int, a []float32, lda int, b []float32, ldb int, c *float32, ldc int,
	init *float32, ldi int, res *float32, lo, hi float32) {
	x, y := unsafe.SliceData(a), unsafe.SliceData(b)
	switch rows {
	case 1:
		f32Tile1x16NEON(m, k, x, lda, y, ldb, c, ldc, init, ldi, res, lo, hi)
	case 2:
		f32Tile2x16NEON(m, k, x, lda, y, ldb, c, ldc, init, ldi, res, lo, hi)
	case 3:
		f32Tile3x16NEON(m, k, x, lda, y, ldb, c, ldc, init, ldi, res, lo, hi)
	case 4:
		f32Tile4x16NEON(m, k, x, lda, y, ldb, c, ldc, init, ldi, res, lo, hi)
	case 5:
		f32Tile5x16NEON(m, k, x, lda, y, ldb, c, ldc, init, ldi, res, lo, hi)
	case 6:
		f32Tile6x16NEON(m, k, x, lda, y, ldb, c, ldc, init, ldi, res, lo, hi)
	}
}

// f32RowNEON is the rowFunc.
func f32RowNEON(k int, a, b []float32, ldb, ldp int, c, init, res []float32, lo, hi float32) {
	f32Row1x64NEON(k, unsafe.SliceData(a), unsafe.SliceData(b), ldb, ldp, &c[0], &init[0], first(res), lo, hi)
}

// first returns where x begins, nil if it is empty.
func first(x []float32) *float32 {
	if len(x) == 0 {
		return nil
	}
	return &x[0]
}
