// Command conv generates the tiles of the dense convolution for arm64: px pixels of one block of output channels.
package main

import (
	"fmt"

	. "scission/ops/internal/asmgen/neon"
)

// The fields of conv.loops, in bytes.
const (
	loopsA = 8 * iota
	loopsB
	loopsC
	loopsStepA
	loopsStepB
	loopsStepC
	loopsQuads
	loopsSingles
	loopsLastQuads
	loopsLastSingles
	loopsStepTile
	_ // loopsOutBlock
	loopsScale
	loopsMask
	loopsLo
	loopsHi = loopsLo + 4
)

const pixel = 4 * Block // bytes from a pixel to the next in a block

func tile(f *File, px int) {
	f.Func(fmt.Sprintf("tileNEONP%d", px), "(l, off *int, in, w, ahead, epi, res, out *float32, count int)",
		fmt.Sprintf("computes count tiles of %d pixels.", px), func(g *Func) {
			sums := NewTile(px)
			l, off := g.Arg("l"), g.Arg("off")
			field := func(at int, r Reg) { g.P("MOVD %d(%v), %v", at, l, r) }
			apart := make([]Reg, px) // bytes from the first pixel to each
			for i := 1; i < px; i++ {
				apart[i] = g.GP()
				g.P("MOVD %d(%v), %v", 8*i, off, apart[i])
				g.P("LSL $2, %v", apart[i])
			}
			g.Free(off)
			in, res, out, count := g.Arg("in"), g.Arg("res"), g.Arg("out"), g.Arg("count")
			epi, w := g.GP(), g.GP()
			inA, inB, inC, p := g.GP(), g.GP(), g.GP(), g.GP()
			nA, nB, nC, n := g.GP(), g.GP(), g.GP(), g.GP()
			quads, singles, t := g.GP(), g.GP(), g.GP()

			g.Label("tile")
			g.ArgTo("epi", epi)
			g.ArgTo("w", w)
			g.Load(epi, 0, sums.Acc[:Vectors]...)
			for i := Vectors; i < len(sums.Acc); i++ {
				g.MoveVec(sums.Acc[i%Vectors], sums.Acc[i])
			}
			g.Move(in, inA)
			field(loopsA, nA)

			g.Label("a")
			for _, c := range []struct {
				all, last int
				to        Reg
			}{{loopsQuads, loopsLastQuads, quads}, {loopsSingles, loopsLastSingles, singles}} {
				field(c.all, c.to)
				field(c.last, t)
				g.P("CMP $1, %v", nA)
				g.P("CSEL EQ, %v, %v, %v", t, c.to, c.to)
			}
			g.Move(inA, inB)
			field(loopsB, nB)

			g.Label("b")
			g.Move(inB, inC)
			field(loopsC, nC)

			g.Label("c")
			g.Move(inC, p)
			weights := func(u, j int, v Vec) { g.Load(w, u*pixel+j*VectorBytes, v) }
			g.IfZero(quads, "rest")
			g.Move(quads, n)
			g.Label("quad")
			sums.Multiply(g, Quad, func(i int, v Vec) {
				if i == 0 {
					g.Load(p, 0, v)
				} else {
					g.LoadAt(p, apart[i], v)
				}
			}, weights)
			g.Add(Quad*pixel, w)
			g.Add(Quad*4, p)
			g.Down(n, "quad")
			g.Label("rest")
			g.IfZero(singles, "next")
			g.Move(singles, n)
			g.Label("single")
			sums.Multiply(g, 1, func(i int, v Vec) {
				if i == 0 {
					g.LoadLane(p, 0, v)
				} else {
					g.LoadLaneAt(p, apart[i], v)
				}
			}, weights)
			g.Add(pixel, w)
			g.Add(4, p)
			g.Down(n, "single")

			g.Label("next")
			step := func(at int, r Reg) {
				field(at, t)
				g.P("ADD %v<<2, %v", t, r)
			}
			for _, c := range []struct {
				step  int
				p, n  Reg
				label string
			}{{loopsStepC, inC, nC, "c"}, {loopsStepB, inB, nB, "b"}, {loopsStepA, inA, nA, "a"}} {
				step(c.step, c.p)
				g.Down(c.n, c.label)
			}
			Epilogue{
				Acc: sums.Acc, Spare: sums.Spare(), Args: l,
				Scale: loopsScale, Mask: loopsMask, Lo: loopsLo, Hi: loopsHi,
				Channels: epi, Res: res, Out: out, NextPixel: func(r Reg) { g.Add(pixel, r) },
			}.Store(g)
			step(loopsStepTile, in)
			g.Down(count, "tile")
		})
}

func main() {
	Main(func(f *File) {
		for px := 1; px <= Rows; px++ {
			tile(f, px)
		}
	})
}
