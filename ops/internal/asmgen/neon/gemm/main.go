// Command gemm generates the arm64 micro-kernels of package gemm; see tileFunc and rowFunc there for what they compute.
// A nil res is no residual.
package main

import (
	"fmt"

	. "scission/ops/internal/asmgen/neon"
)

// panels is the panels of a row kernel, and columns its vectors.
const (
	panels  = 4
	columns = panels * Vectors
)

// finish emits residual and clamp: each calls f with the memory of every sum from the pointer on, which it moves from
// row to row.
func finish(g *Func, sums, spare []Vec, res Reg, each func(p Reg, f func(p Reg, bytes int, v Vec))) {
	g.IfZero(res, "clamp")
	each(res, func(p Reg, bytes int, v Vec) {
		g.Load(p, bytes, spare[0])
		g.FADD(v, spare[0], v)
	})
	g.Label("clamp")
	g.Spread(g.Addr("lo"), spare[0])
	g.Spread(g.Addr("hi"), spare[1])
	for _, v := range sums {
		g.Clamp(spare[0], spare[1], v, spare[2])
	}
}

// tile emits a tileFunc for strips of rows whole rows.
func tile(f *File, rows int) {
	f.Func(fmt.Sprintf("f32Tile%dx%dNEON", rows, Block),
		"(m, k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, init *float32, ldi int, res *float32, lo, hi float32)",
		"", func(g *Func) {
			sums := NewTile(rows)
			m, lda, ldb, ldc, ldi := g.Arg("m"), g.Bytes("lda"), g.Bytes("ldb"), g.Bytes("ldc"), g.Bytes("ldi")
			a, c, init, res := g.Arg("a"), g.Arg("c"), g.Arg("init"), g.Arg("res")
			b, k, at := g.GP(), g.GP(), g.GP()
			apart := make([]Reg, rows) // bytes from the first row of A to each
			for i := 1; i < rows; i++ {
				apart[i] = g.GP()
				if i == 1 {
					g.Move(lda, apart[i])
				} else {
					g.P("ADD %v, %v, %v", lda, apart[i-1], apart[i])
				}
			}
			// each returns a function that emits f for all sums, and moves p behind the rows.
			each := func(step Reg) func(p Reg, f func(p Reg, bytes int, v Vec)) {
				return func(p Reg, f func(p Reg, bytes int, v Vec)) {
					for i, v := range sums.Acc {
						f(p, i%Vectors*VectorBytes, v)
						if i%Vectors == Vectors-1 {
							g.AddReg(step, p)
						}
					}
				}
			}

			g.Label("strip")
			each(ldi)(init, func(p Reg, bytes int, v Vec) { g.Load(p, bytes, v) })
			g.ArgTo("b", b)
			g.ArgTo("k", k)
			g.Move(a, at)
			multiply := func(count int, x func(i int, v Vec)) {
				sums.Multiply(g, count, x, func(u, j int, v Vec) {
					g.Load(b, j*VectorBytes, v)
					if j == Vectors-1 {
						g.AddReg(ldb, b)
					}
				})
				g.Add(4*count, at)
			}
			g.P("SUBS $%d, %v", Quad, k)
			g.P("BLT rest")
			g.Label("quad")
			multiply(Quad, func(i int, v Vec) {
				if i == 0 {
					g.Load(at, 0, v)
				} else {
					g.LoadAt(at, apart[i], v)
				}
			})
			g.P("SUBS $%d, %v", Quad, k)
			g.P("BGE quad")
			g.Label("rest")
			g.P("ADDS $%d, %v", Quad, k)
			g.P("BEQ finish")
			g.Label("single")
			multiply(1, func(i int, v Vec) {
				if i == 0 {
					g.LoadLane(at, 0, v)
				} else {
					g.LoadLaneAt(at, apart[i], v)
				}
			})
			g.Down(k, "single")

			g.Label("finish")
			finish(g, sums.Acc, sums.Spare(), res, each(ldc))
			each(ldc)(c, func(p Reg, bytes int, v Vec) { g.Store(p, bytes, v) })
			g.P("MOVD $%d, %v", rows, at)
			g.P("MADD %v, %v, %v, %v", at, a, lda, a)
			g.P("SUBS $%d, %v", rows, m)
			g.P("BGT strip")
		})
}

// row emits the rowFunc.
func row(f *File) {
	f.Func(fmt.Sprintf("f32Row1x%dNEON", panels*Block), "(k int, a, b *float32, ldb, ldp int, c, init, res *float32, lo, hi float32)", "",
		func(g *Func) {
			sums := Vecs(0, columns)
			x, w := Vec(columns), Vecs(columns+1, 32-columns-1)
			each := func(p Reg, f func(p Reg, bytes int, v Vec)) {
				for i, v := range sums {
					f(p, i*VectorBytes, v)
				}
			}
			each(g.Arg("init"), func(p Reg, bytes int, v Vec) { g.Load(p, bytes, v) })
			a, k, ldb, ldp := g.Arg("a"), g.Arg("k"), g.Bytes("ldb"), g.Bytes("ldp")
			b := []Reg{g.Arg("b")}
			for len(b) < panels {
				next := g.GP()
				g.P("ADD %v, %v, %v", ldp, b[len(b)-1], next)
				b = append(b, next)
			}
			multiply := func(count int) {
				for u := range count {
					for q, p := range b {
						v := w[q%(len(w)/Vectors)*Vectors:][:Vectors]
						g.Load(p, 0, v...)
						g.AddReg(ldb, p)
						for j := range Vectors {
							g.FMLALane(sums[q*Vectors+j], v[j], x, u)
						}
					}
				}
				g.Add(4*count, a)
			}
			g.P("SUBS $%d, %v", Quad, k)
			g.P("BLT rest")
			g.Label("quad")
			g.Load(a, 0, x)
			multiply(Quad)
			g.P("SUBS $%d, %v", Quad, k)
			g.P("BGE quad")
			g.Label("rest")
			g.P("ADDS $%d, %v", Quad, k)
			g.P("BEQ finish")
			g.Label("single")
			g.LoadLane(a, 0, x)
			multiply(1)
			g.Down(k, "single")

			g.Label("finish")
			finish(g, sums, w, g.Arg("res"), each)
			each(g.Arg("c"), func(p Reg, bytes int, v Vec) { g.Store(p, bytes, v) })
		})
}

func main() {
	Main(func(f *File) {
		for rows := 1; rows <= Rows; rows++ {
			tile(f, rows)
		}
		row(f)
	})
}
