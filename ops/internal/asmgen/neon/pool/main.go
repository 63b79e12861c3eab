// Command pool generates the arm64 code of package pool; see windowFunc there for what it computes.
package main

import (
	"math"

	. "scission/ops/internal/asmgen/neon"
)

// many is how many windows are reduced at a time: enough to hide an addition's latency.
const many = 4

// window emits a windowFunc.
func window(f *File, name string, maximum bool) {
	f.Func("f32Pool"+name+"NEON", "(out, in []float32, n, step, kh, rowStep, kw, colStep int, div float32)", "", func(g *Func) {
		start, div, t, x := Vec(many*Vectors), Vec(many*Vectors+1), Vec(many*Vectors+2), Vecs(many*Vectors+3, 2*Vectors)
		if maximum {
			g.Constant(math.Float32bits(float32(math.Inf(-1))), start)
		} else {
			g.Zero(start)
			g.Spread(g.Addr("div"), div)
		}
		out, in, n := g.Arg("out_base"), g.Arg("in_base"), g.Arg("n")
		step, rowStep, colStep, kh, kw := g.Bytes("step"), g.Bytes("rowStep"), g.Bytes("colStep"), g.Arg("kh"), g.Arg("kw")
		rows, row, cols, col, p := g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
		// reduce emits the reduction of count windows.
		reduce := func(label string, count int) {
			acc := Vecs(0, count*Vectors)
			for _, v := range acc {
				g.MoveVec(start, v)
			}
			g.Move(kh, rows)
			g.Move(in, row)
			g.Label(label + "Row")
			g.Move(kw, cols)
			g.Move(row, col)
			g.Label(label + "Col")
			g.Move(col, p)
			for i := range count {
				x := x[i%2*Vectors:][:Vectors]
				g.Load(p, 0, x...)
				if i+1 < count {
					g.AddReg(step, p)
				}
				for j, v := range acc[i*Vectors:][:Vectors] {
					if maximum {
						g.FCMGT(t, v, x[j])
						g.InsertFalse(v, x[j], t)
					} else {
						g.FADD(v, v, x[j])
					}
				}
			}
			g.AddReg(colStep, col)
			g.Down(cols, label+"Col")
			g.AddReg(rowStep, row)
			g.Down(rows, label+"Row")
			if !maximum {
				for _, v := range acc {
					g.FDIV(v, v, div)
				}
			}
			g.Store(out, 0, acc...)
			g.Add(count*Block*4, out)
		}
		g.P("SUBS $%d, %v", many, n)
		g.P("BLT rest")
		g.Label("many")
		reduce("many", many)
		g.P("ADD %v<<%d, %v", step, int(math.Log2(many)), in)
		g.P("SUBS $%d, %v", many, n)
		g.P("BGE many")
		g.Label("rest")
		g.P("ADDS $%d, %v", many, n)
		g.P("BEQ done")
		g.Label("one")
		reduce("one", 1)
		g.AddReg(step, in)
		g.Down(n, "one")
		g.Label("done")
	})
}

func main() {
	Main(func(f *File) {
		window(f, "Max", true)
		window(f, "Avg", false)
	})
}
