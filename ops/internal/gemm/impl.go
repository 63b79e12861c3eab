package gemm

import "scission/ops/internal/isa"

// impl is a set of micro-kernels for one instruction set.
type impl struct {
	name   string
	level  isa.Level
	mr, nr int        // largest number of rows, and number of columns, that are computed in registers
	tiles  []tileFunc // tiles[r] works in strips of r rows, 1 <= r <= mr
	row    rowFunc    // nil if there is none
}

// A tileFunc computes an m×n piece of C, n <= nr, whose number of rows is a multiple of the strip's:
//
//	for i := range m {
//		for j := range n {
//			s := init[i*ldi+j]
//			for p := range k {
//				s = a[i*lda+p]*b[p*ldb+j] + s
//			}
//			if len(res) > 0 {
//				s += res[i*ldc+j]
//			}
//			c[i*ldc+j] = clamp(s, lo, hi)
//		}
//	}
//
// It may read nr values of each row of b. init may be c. While it reads b it may ask the processor to fetch what lies
// ahead values behind, which need not be in the slice.
type tileFunc func(m, n, k int, a []float32, lda int, b []float32, ldb, ahead int, c []float32, ldc int,
	init []float32, ldi int, res []float32, lo, hi float32)

// A rowFunc computes rowPanels panels of a C with one row:
//
//	for q := range rowPanels {
//		for j := range nr {
//			at := q*nr + j
//			s := init[at]
//			for p := range k {
//				s = a[p]*b[q*ldp+p*ldb+j] + s
//			}
//			if len(res) > 0 {
//				s += res[at]
//			}
//			c[at] = clamp(s, lo, hi)
//		}
//	}
//
// One row of a panel makes too few independent sums to keep up with the memory. init may be c.
type rowFunc func(k int, a, b []float32, ldb, ldp int, c, init, res []float32, lo, hi float32)

// rowPanels is the number of panels a rowFunc computes.
const rowPanels = 4

// impls lists the implementations, the fastest first.
var impls = append(asmImpls, impl{
	name: "2x4 go", level: isa.Go, mr: 2, nr: 4, tiles: []tileFunc{1: f32Tile2x4Go, 2: f32Tile2x4Go},
})

// best is the first implementation that this processor has.
var best = func() *impl {
	i := 0
	for !isa.Have(impls[i].level) {
		i++
	}
	return &impls[i]
}()

// f32Tile2x4Go is the portable tileFunc, for any m. It never fuses a multiply-add, so that its bits are the same on
// every platform.
func f32Tile2x4Go(m, n, k int, a []float32, lda int, b []float32, ldb, _ int, c []float32, ldc int,
	init []float32, ldi int, res []float32, lo, hi float32) {
	const nr = 4
	for i := 0; i < m; i += 2 {
		var s, t [nr]float32
		copy(s[:n], init[i*ldi:])
		a0 := a[i*lda:][:k]
		if i+1 == m {
			for p, x := range a0 {
				r := b[p*ldb:][:nr]
				for j := range r {
					s[j] = float32(x*r[j]) + s[j]
				}
			}
			f32StoreGo(c[i*ldc:][:n], &s, res, i*ldc, lo, hi)
			return
		}
		copy(t[:n], init[(i+1)*ldi:])
		a1 := a[(i+1)*lda:][:len(a0)]
		s0, s1, s2, s3, t0, t1, t2, t3 := s[0], s[1], s[2], s[3], t[0], t[1], t[2], t[3]
		at := 0
		for p, x := range a0 {
			y, r := a1[p], (*[nr]float32)(b[at:])
			at += ldb
			s0 = float32(x*r[0]) + s0
			s1 = float32(x*r[1]) + s1
			s2 = float32(x*r[2]) + s2
			s3 = float32(x*r[3]) + s3
			t0 = float32(y*r[0]) + t0
			t1 = float32(y*r[1]) + t1
			t2 = float32(y*r[2]) + t2
			t3 = float32(y*r[3]) + t3
		}
		s, t = [nr]float32{s0, s1, s2, s3}, [nr]float32{t0, t1, t2, t3}
		f32StoreGo(c[i*ldc:][:n], &s, res, i*ldc, lo, hi)
		f32StoreGo(c[(i+1)*ldc:][:n], &t, res, (i+1)*ldc, lo, hi)
	}
}

// f32StoreGo finishes the sums of one row of a tile, whose residuals begin at res[at] if there are any.
func f32StoreGo(c []float32, sums *[4]float32, res []float32, at int, lo, hi float32) {
	for j := range c {
		s := sums[j]
		if len(res) > 0 {
			s += res[at+j]
		}
		if s < lo {
			s = lo
		}
		if s > hi {
			s = hi
		}
		c[j] = s
	}
}
