package gemm

import (
	"scission/ops/internal/conv"
	"scission/ops/internal/isa"
)

// impl is a set of micro-kernels for one instruction set.
type impl struct {
	name   string
	level  isa.Level
	nr     int     // columns of a panel
	kBlock int     // values of k of a panel that stay in the first level cache
	forms  []form  // the first computes whole panels
	row    rowFunc // nil if there is none
	panels int     // that row computes
}

// form is the tiles of one width.
type form struct {
	mr, nr int        // largest number of rows, and number of columns, that are computed in registers
	parts  bool       // they compute fewer columns, too
	tiles  []tileFunc // tiles[r] works in strips of r rows, 1 <= r <= mr
}

// rows returns the largest number of rows of any form.
func (im *impl) rows() int {
	most := 0
	for i := range im.forms {
		most = max(most, im.forms[i].mr)
	}
	return most
}

// form returns how to compute m rows of the first of n columns, n <= nr. Of a form that a few rows fill, and another
// that would read B again and again for them, it takes the first.
func (im *impl) form(m, n int) *form {
	for i := range im.forms {
		if f := &im.forms[i]; (n >= f.nr || f.parts) && (m <= f.mr || m > im.rows()) {
			return f
		}
	}
	return &im.forms[len(im.forms)-1]
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
// ahead values behind b, fetch bytes further with every four rows of b that a strip reads, which need not be in the
// slice.
type tileFunc func(m, n, k int, a []float32, lda int, b []float32, ldb, ahead, fetch int, c []float32, ldc int,
	init []float32, ldi int, res []float32, lo, hi float32)

// A rowFunc computes some panels of a C with one row:
//
//	for q := range panels {
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

// impls lists the implementations, the fastest first.
var impls = append(asmImpls, impl{
	name: "1x8 go", level: isa.Go, nr: columnsGo, kBlock: 256, panels: 1,
	forms: []form{{mr: 1, nr: columnsGo, parts: true, tiles: []tileFunc{1: f32Tile1x8Go}}},
})

// best is the first implementation that this processor has.
var best = func() *impl {
	i := 0
	for !isa.Have(impls[i].level) {
		i++
	}
	return &impls[i]
}()

// columnsGo is the columns of the portable tile: with more sums the registers do not hold them.
const columnsGo = 8

// f32Tile1x8Go is the portable tileFunc, for any m. It never fuses a multiply-add, so that its bits are the same on
// every platform.
func f32Tile1x8Go(m, n, k int, a []float32, lda int, b []float32, ldb, _, _ int, c []float32, ldc int,
	init []float32, ldi int, res []float32, lo, hi float32) {
	const half, step = columnsGo / 2, 16
	for i := range m {
		var v [columnsGo]float32
		copy(v[:n], init[i*ldi:])
		s, t := conv.Quad{A: v[0], B: v[1], C: v[2], D: v[3]}, conv.Quad{A: v[4], B: v[5], C: v[6], D: v[7]}
		x, at := a[i*lda:][:k], 0
		for ldb == columnsGo && len(x) >= step {
			// They are written out: in a small loop the compiler does not keep the sums in registers.
			x16, b16 := (*[step]float32)(x), (*[step * columnsGo]float32)(b[at:])
			s, t = s.Add(x16[0], (*[half]float32)(b16[0*columnsGo:])), t.Add(x16[0], (*[half]float32)(b16[0*columnsGo+half:]))
			s, t = s.Add(x16[1], (*[half]float32)(b16[1*columnsGo:])), t.Add(x16[1], (*[half]float32)(b16[1*columnsGo+half:]))
			s, t = s.Add(x16[2], (*[half]float32)(b16[2*columnsGo:])), t.Add(x16[2], (*[half]float32)(b16[2*columnsGo+half:]))
			s, t = s.Add(x16[3], (*[half]float32)(b16[3*columnsGo:])), t.Add(x16[3], (*[half]float32)(b16[3*columnsGo+half:]))
			s, t = s.Add(x16[4], (*[half]float32)(b16[4*columnsGo:])), t.Add(x16[4], (*[half]float32)(b16[4*columnsGo+half:]))
			s, t = s.Add(x16[5], (*[half]float32)(b16[5*columnsGo:])), t.Add(x16[5], (*[half]float32)(b16[5*columnsGo+half:]))
			s, t = s.Add(x16[6], (*[half]float32)(b16[6*columnsGo:])), t.Add(x16[6], (*[half]float32)(b16[6*columnsGo+half:]))
			s, t = s.Add(x16[7], (*[half]float32)(b16[7*columnsGo:])), t.Add(x16[7], (*[half]float32)(b16[7*columnsGo+half:]))
			s, t = s.Add(x16[8], (*[half]float32)(b16[8*columnsGo:])), t.Add(x16[8], (*[half]float32)(b16[8*columnsGo+half:]))
			s, t = s.Add(x16[9], (*[half]float32)(b16[9*columnsGo:])), t.Add(x16[9], (*[half]float32)(b16[9*columnsGo+half:]))
			s, t = s.Add(x16[10], (*[half]float32)(b16[10*columnsGo:])), t.Add(x16[10], (*[half]float32)(b16[10*columnsGo+half:]))
			s, t = s.Add(x16[11], (*[half]float32)(b16[11*columnsGo:])), t.Add(x16[11], (*[half]float32)(b16[11*columnsGo+half:]))
			s, t = s.Add(x16[12], (*[half]float32)(b16[12*columnsGo:])), t.Add(x16[12], (*[half]float32)(b16[12*columnsGo+half:]))
			s, t = s.Add(x16[13], (*[half]float32)(b16[13*columnsGo:])), t.Add(x16[13], (*[half]float32)(b16[13*columnsGo+half:]))
			s, t = s.Add(x16[14], (*[half]float32)(b16[14*columnsGo:])), t.Add(x16[14], (*[half]float32)(b16[14*columnsGo+half:]))
			s, t = s.Add(x16[15], (*[half]float32)(b16[15*columnsGo:])), t.Add(x16[15], (*[half]float32)(b16[15*columnsGo+half:]))
			x = x[step:]
			at += step * columnsGo
		}
		for _, x := range x {
			s = s.Add(x, (*[half]float32)(b[at:]))
			t = t.Add(x, (*[half]float32)(b[at+half:]))
			at += ldb
		}
		v = [columnsGo]float32{s.A, s.B, s.C, s.D, t.A, t.B, t.C, t.D}
		f32StoreGo(c[i*ldc:][:n], &v, res, i*ldc, lo, hi)
	}
}

// f32StoreGo finishes the sums of one row of a tile, whose residuals begin at res[at] if there are any.
func f32StoreGo(c []float32, sums *[columnsGo]float32, res []float32, at int, lo, hi float32) {
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
