// Command dwconv generates the tiles of the depthwise convolution for arm64: px pixels of one block of 16 channels.
package main

import (
	"fmt"

	. "scission/ops/internal/asmgen/neon"
)

// The fields of dwconv.steps and of dwconv.area, in bytes.
const (
	stepsRow = 8 * iota
	stepsCol
	stepsWeights
	stepsPixelIn
	stepsPixelOut
	stepsTileIn
	stepsTileOut
	stepsLineIn
	stepsLineOut
	stepsScale
	stepsMask
	stepsLo
	stepsHi = stepsLo + 4
)

const (
	areaIn = 8 * iota
	areaOut
	areaWeights
	areaRows
	areaCols
	areaLines
	areaTiles
	areaSize
)

const pixel = 4 * Block // bytes

// fixed is the taps of a row that a tile reads each input value once for, if their number and the stride are these.
const fixed = 3

// early is how many input values are loaded before the first of them is used.
const early = 3

// tile writes the tile for any taps, or with a stride that for rows of fixed taps and pixels side by side.
func tile(f *File, px, stride int) {
	name := fmt.Sprintf("tileNEONP%d", px)
	doc := fmt.Sprintf("computes count areas with tiles of %d pixels", px)
	if stride > 0 {
		name += fmt.Sprintf("S%d", stride)
		doc += fmt.Sprintf(" side by side, of stride %d and %d taps a row", stride, fixed)
	}
	f.Func(name, "(s, areas *int, count int, in, w, epi, res, out *float32)", doc+".", func(g *Func) {
		sums := Vecs(0, px*Vectors)
		spare := Vecs(len(sums), 32-len(sums))
		s, area, areas := g.Arg("s"), g.Arg("areas"), g.Arg("count")
		epi, res, out := g.Arg("epi"), g.GP(), g.GP()
		lineIn, lineOut, tileIn, tileOut, row, col, w, tap := g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
		lines, tiles, rows, n, at, apart, t := g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
		get := func(base Reg, at int, r Reg) { g.P("MOVD %d(%v), %v", at, base, r) }
		add := func(base Reg, at int, r Reg) {
			get(base, at, t)
			g.AddReg(t, r)
		}

		g.Label("area")
		g.ArgTo("in", lineIn)
		add(area, areaIn, lineIn)
		get(area, areaOut, lineOut)
		get(area, areaLines, lines)

		g.Label("line")
		g.Move(lineIn, tileIn)
		g.Move(lineOut, tileOut)
		get(area, areaTiles, tiles)

		g.Label("tile")
		g.Load(epi, 0, sums[:Vectors]...)
		for i := Vectors; i < len(sums); i++ {
			g.MoveVec(sums[i%Vectors], sums[i])
		}
		get(area, areaRows, rows)
		g.IfZero(rows, "summed")
		g.ArgTo("w", w)
		add(area, areaWeights, w)
		g.Move(tileIn, row)
		if stride == 0 {
			get(s, stepsPixelIn, apart)
		}

		g.Label("row")
		if stride > 0 {
			weights, x := spare[:fixed], spare[fixed:][:early+1]
			inputs := (px-1)*stride + fixed
			for j := range Vectors {
				for c, v := range weights {
					g.Load(w, c*pixel+j*VectorBytes, v)
				}
				load := func(i int) {
					if i < inputs {
						g.Load(row, i*pixel+j*VectorBytes, x[i%len(x)])
					}
				}
				for i := range early {
					load(i)
				}
				for i := range inputs { // an output's taps come in their order
					load(i + early)
					for c, v := range weights {
						if p := (i - c) / stride; i >= c && (i-c)%stride == 0 && p < px {
							g.FMLA(sums[p*Vectors+j], v, x[i%len(x)])
						}
					}
				}
			}
		} else {
			weights, x := spare[:Vectors], spare[Vectors:][:Vectors]
			g.Move(row, col)
			g.Move(w, tap)
			get(area, areaCols, n)
			g.Label("tap")
			g.Load(tap, 0, weights...)
			g.Move(col, at)
			for i := range px {
				g.Load(at, 0, x...)
				if i+1 < px {
					g.AddReg(apart, at)
				}
				for j, v := range weights {
					g.FMLA(sums[i*Vectors+j], v, x[j])
				}
			}
			g.Add(pixel, tap)
			add(s, stepsCol, col)
			g.Down(n, "tap")
		}
		add(s, stepsRow, row)
		add(s, stepsWeights, w)
		g.Down(rows, "row")

		g.Label("summed")
		g.ArgTo("out", out)
		g.AddReg(tileOut, out)
		g.ArgTo("res", res)
		g.P("CMP $0, %v", res)
		g.P("ADD %v, %v, %v", tileOut, res, t)
		g.P("CSEL NE, %v, %v, %v", t, res, res)
		get(s, stepsPixelOut, apart)
		Epilogue{
			Acc: sums, Spare: spare, Args: s,
			Scale: stepsScale, Mask: stepsMask, Lo: stepsLo, Hi: stepsHi,
			Channels: epi, Res: res, Out: out, NextPixel: func(r Reg) { g.AddReg(apart, r) },
		}.Store(g)

		add(s, stepsTileIn, tileIn)
		add(s, stepsTileOut, tileOut)
		g.Down(tiles, "tile")
		add(s, stepsLineIn, lineIn)
		add(s, stepsLineOut, lineOut)
		g.Down(lines, "line")
		g.Add(areaSize, area)
		g.Down(areas, "area")
	})
}

func main() {
	Main(func(f *File) {
		for stride := range 3 {
			for px := 1; px <= Rows; px++ {
				tile(f, px, stride)
			}
		}
	})
}
