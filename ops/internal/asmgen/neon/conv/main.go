// Command conv generates the tiles of the dense convolution for arm64: px pixels of one block of output channels.
package main

import (
	"fmt"

	. "scission/ops/internal/asmgen/neon"
)

// The fields of conv.loops, in bytes.
const (
	loopsFull = 8 * iota
	loopsShort
	loopsQuads
	loopsSingles
	_ // loopsOutBlock
	_ // loopsSumBlock
	_ // loopsAhead
	loopsScale
	loopsMask
	loopsLo
	loopsHi = loopsLo + 4
)

const pixel = 4 * Block // bytes from a pixel to the next in a block

func tile(f *File, px int) {
	f.Func(fmt.Sprintf("tileNEONP%d", px), "(l, off, runs *int, in, w, ahead, epi, start, res, out *float32, count int)",
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
			in, res, out, count := g.Arg("in"), g.Arg("res"), g.Arg("out"), g.Arg("count")
			epi, w, runs, p, n, rest, t := g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP()

			g.Label("tile")
			g.ArgTo("epi", epi)
			g.ArgTo("start", t)
			g.IfZero(t, "bias")
			g.Load(t, 0, sums.Acc...)
			g.Add(px*pixel, t)
			g.P("MOVD %v, %s", t, g.Addr("start"))
			g.P("B sum")

			g.Label("bias")
			g.Load(epi, 0, sums.Acc[:Vectors]...)
			for i := Vectors; i < len(sums.Acc); i++ {
				g.MoveVec(sums.Acc[i%Vectors], sums.Acc[i])
			}

			g.Label("sum")
			g.ArgTo("w", w)
			g.ArgTo("runs", runs)
			begin := func() {
				g.P("MOVD (%v), %v", runs, t)
				g.P("ADD %v<<2, %v, %v", t, in, p)
				g.Add(8, runs)
			}
			weights := func(u, j int, v Vec) { g.Load(w, u*pixel+j*VectorBytes, v) }
			quad := func(label string) {
				g.Label(label)
				sums.Multiply(g, Quad, func(i int, v Vec) {
					if i == 0 {
						g.Load(p, 0, v)
					} else {
						g.LoadAt(p, apart[i], v)
					}
				}, weights)
				g.Add(Quad*pixel, w)
				g.Add(Quad*4, p)
				g.Down(n, label)
			}

			field(loopsFull, rest)
			g.IfZero(rest, "short")
			g.Label("full")
			begin()
			g.P("MOVD $%d, %v", Block/Quad, n)
			quad("part")
			g.Down(rest, "full")

			g.Label("short")
			field(loopsShort, rest)
			g.IfZero(rest, "summed")
			g.Label("run")
			begin()
			field(loopsQuads, n)
			g.IfZero(n, "singles")
			quad("quad")
			g.Label("singles")
			field(loopsSingles, n)
			g.IfZero(n, "next")
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
			g.Down(rest, "run")

			g.Label("summed")
			Epilogue{
				Acc: sums.Acc, Spare: sums.Spare(), Args: l,
				Scale: loopsScale, Mask: loopsMask, Lo: loopsLo, Hi: loopsHi,
				Channels: epi, Res: res, Out: out, NextPixel: func(r Reg) { g.Add(pixel, r) },
			}.Store(g)
			g.P("MOVD 8(%v), %v", off, t)
			g.P("MOVD $%d, %v", 4*px, n)
			g.P("MADD %v, %v, %v, %v", n, in, t, in)
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
