// Command reorder generates the arm64 code of package reorder.
package main

import . "scission/ops/internal/asmgen/neon"

// The source is read in pieces of high rows by wide columns.
const (
	high, wide = 8, 4
	size       = 4 // bytes of a value
)

// main emits a transpose of rows and cols that are multiples of high and wide. The pieces of the same columns of the
// source, which fill rows of the destination, follow each other.
func main() {
	Main(func(f *File) {
		f.Func("x32Transpose8x4NEON", "(dst []float32, ds int, src []float32, ss, rows, cols int)", "", func(g *Func) {
			dst, src, ds, ss, cols := g.Arg("dst_base"), g.Arg("src_base"), g.Bytes("ds"), g.Bytes("ss"), g.Arg("cols")
			rows, d, s, p := g.GP(), g.GP(), g.GP(), g.GP()
			in, pairs, out := Vecs(0, high), Vecs(high, high), Vecs(0, high)

			g.Label("column")
			g.ArgTo("rows", rows)
			g.Move(dst, d)
			g.Move(src, s)
			g.Label("piece")
			for _, v := range in {
				g.Load(s, 0, v)
				g.AddReg(ss, s)
			}
			// Lanes of two rows, then of four, come together; out[2c] and out[2c+1] are what was column c.
			for i := 0; i < high; i += 2 {
				g.P("VTRN1 V%d.S4, V%d.S4, V%d.S4", in[i+1], in[i], pairs[i])
				g.P("VTRN2 V%d.S4, V%d.S4, V%d.S4", in[i+1], in[i], pairs[i+1])
			}
			for half := range 2 {
				for odd := range 2 {
					even, next := pairs[half*4+odd], pairs[half*4+2+odd]
					g.P("VTRN1 V%d.D2, V%d.D2, V%d.D2", next, even, out[2*odd+half])
					g.P("VTRN2 V%d.D2, V%d.D2, V%d.D2", next, even, out[2*(odd+2)+half])
				}
			}
			g.Move(d, p)
			for c := range wide {
				g.Store(p, 0, out[2*c:][:2]...)
				if c+1 < wide {
					g.AddReg(ds, p)
				}
			}
			g.Add(high*size, d)
			g.P("SUBS $%d, %v", high, rows)
			g.P("BNE piece")
			g.P("ADD %v<<2, %v", ds, dst) // wide rows
			g.Add(wide*size, src)
			g.P("SUBS $%d, %v", wide, cols)
			g.P("BNE column")
		})
	})
}
