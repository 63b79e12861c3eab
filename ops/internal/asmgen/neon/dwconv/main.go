// Command dwconv generates the depthwise convolution for arm64: tiles of pixels side by side of one vector of channels.
package main

import (
	"fmt"

	. "scission/ops/internal/asmgen/neon"
)

// The fields of dwconv.steps, band and tile, in bytes.
const (
	stepsRow = 8 * iota
	stepsWeights
	stepsCol
	stepsPixel
	stepsLineIn
	stepsLineOut
	stepsBlockIn
	stepsBlockOut
	stepsBlockWeights
	stepsBias
	stepsScale
	stepsMask
	stepsLo
	stepsHi    = stepsLo + 4
	stepsFloor = stepsLo + 8
)

const (
	bandIn = 8 * iota
	bandOut
	bandWeights
	bandRows
	bandLines
	bandSize
)

const (
	tileIn = 8 * iota
	tileOut
	tilePixels
	tileLeft
	tileRight
	tileSize
)

const pixel = 4 * Block // bytes

// anyPixels and maxPixels are the largest tiles: for any taps, and for some number of them.
const (
	anyPixels = 8
	maxPixels = 11
)

// early is how many input values are loaded before the first of them is used.
const early = 3

// function writes the walk over all tiles of some blocks, for rows of so many taps that are side by side, of the
// stride; or for any, if taps is 0.
func function(f *File, taps, stride int) {
	name, most := "anyNEON", anyPixels
	doc := "computes tiles with any taps."
	if taps > 0 {
		name, most = fmt.Sprintf("taps%dS%dNEON", taps, stride), maxPixels
		doc = fmt.Sprintf("computes tiles with %d taps a row, of stride %d.", taps, stride)
	}
	f.Func(name, "(s, bands *int, bandCount int, tiles *int, tileCount, blocks int, in, w, epi, res, out *float32)", doc, func(g *Func) {
		s, band, bands, lines, lineIn, lineOut := g.Arg("s"), g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
		tile, tiles, vectors, x, y, w, epi := g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
		row, rowW, rows, t := g.GP(), g.GP(), g.GP(), g.GP()
		get := func(base Reg, at int, r Reg) { g.P("MOVD %d(%v), %v", at, base, r) }
		add := func(base Reg, at int, r Reg) {
			get(base, at, t)
			g.AddReg(t, r)
		}
		vecs := Vecs(0, 32)
		floor, vecs := vecs[0], vecs[1:]

		g.P("ADD $%d, %v, %v", stepsFloor, s, t)
		g.P("VLD1R (%v), [V%d.S4]", t, floor)

		g.Label("block")
		g.ArgTo("bands", band)
		g.ArgTo("bandCount", bands)

		g.Label("band")
		g.ArgTo("in", lineIn)
		add(band, bandIn, lineIn)
		g.ArgTo("out", lineOut)
		add(band, bandOut, lineOut)
		get(band, bandLines, lines)

		g.Label("line")
		g.ArgTo("tiles", tile)
		g.ArgTo("tileCount", tiles)

		g.Label("tile")
		g.Move(lineIn, x)
		add(tile, tileIn, x)
		g.Move(lineOut, y)
		add(tile, tileOut, y)
		g.ArgTo("w", w)
		add(band, bandWeights, w)
		g.ArgTo("epi", epi)
		g.P("MOVD $%d, %v", Vectors, vectors)

		g.Label("vector")
		g.Load(epi, 0, vecs[0])
		g.Move(x, row)
		g.Move(w, rowW)
		get(band, bandRows, rows)
		var left, right, col, tap, n, at Reg
		if taps > 0 {
			left, right = g.GP(), g.GP()
			get(tile, tileLeft, left)
			get(tile, tileRight, right)
		} else {
			col, tap, n, at = g.GP(), g.GP(), g.GP(), g.GP()
		}
		get(tile, tilePixels, t)
		g.Dispatch(t, 1, most, "pixels")

		for px := 1; px <= most; px++ {
			prefix := fmt.Sprintf("pixels%d", px)
			sums, spare := vecs[:px], vecs[px:]
			g.Label(prefix)
			for _, v := range sums[1:] {
				g.MoveVec(sums[0], v)
			}
			g.IfZero(rows, prefix+"Summed")
			g.Label(prefix + "Row")
			if taps > 0 {
				weights, values := spare[:taps], spare[taps:][:early+1]
				for c, v := range weights {
					g.Load(rowW, c*pixel, v)
				}
				inputs := (px-1)*stride + taps
				load := func(i int) {
					if i < inputs {
						v := values[i%len(values)]
						g.Load(row, i*pixel, v)
						g.FMAX(v, v, floor)
					}
				}
				side := taps / 2 // at most that many inputs are padding
				for skip := 1; skip <= side; skip++ {
					g.P("CMP $%d, %v", skip, left)
					g.P("BEQ %sFrom%d", prefix, skip)
				}
				for i := range inputs { // an output's taps come in their order
					// Between the sides inputs are loaded early; no input of a side is loaded before it is known to be there.
					middle := i >= side && i < inputs-side
					if skip := inputs - i; skip <= side {
						g.P("CMP $%d, %v", skip, right)
						g.P("BEQ %sRowDone", prefix)
					}
					if i > 0 && i <= side {
						g.Label(fmt.Sprintf("%sFrom%d", prefix, i))
					}
					switch {
					case !middle:
						load(i)
					case i == side:
						for j := range early + 1 {
							if i+j < inputs-side {
								load(i + j)
							}
						}
					case i+early < inputs-side:
						load(i + early)
					}
					for c, v := range weights {
						if p := (i - c) / stride; i >= c && (i-c)%stride == 0 && p < px {
							g.FMLA(sums[p], v, values[i%len(values)])
						}
					}
				}
			} else {
				weight, value := spare[0], spare[1]
				g.Move(row, col)
				g.Move(rowW, tap)
				add(tile, tileLeft, tap)
				get(tile, tileRight, n)
				g.IfZero(n, prefix+"RowDone")
				g.Label(prefix + "Tap")
				g.Load(tap, 0, weight)
				g.Move(col, at)
				get(s, stepsPixel, t)
				for i, sum := range sums {
					g.Load(at, 0, value)
					g.FMAX(value, value, floor)
					g.FMLA(sum, weight, value)
					if i+1 < px {
						g.AddReg(t, at)
					}
				}
				g.Add(pixel, tap)
				add(s, stepsCol, col)
				g.Down(n, prefix+"Tap")
			}
			g.Label(prefix + "RowDone")
			add(s, stepsRow, row)
			add(s, stepsWeights, rowW)
			g.Down(rows, prefix+"Row")
			g.Label(prefix + "Summed")
			res, out := row, rowW // which are used no more
			g.Move(y, out)
			g.ArgTo("res", res)
			g.IfZero(res, prefix+"Store")
			g.AddReg(y, res)
			g.ArgTo("out", t)
			g.P("SUB %v, %v", t, res)
			g.Label(prefix + "Store")
			Epilogue{
				Label: prefix, Wide: 1, Acc: sums, Spare: spare, Args: s,
				Scale: stepsScale, Mask: stepsMask, Lo: stepsLo, Hi: stepsHi,
				Channels: epi, Res: res, Out: out, NextPixel: func(r Reg) { g.Add(pixel, r) },
			}.Store(g)
			if px < most {
				g.P("B stored")
			}
		}

		g.Label("stored")
		for _, r := range []Reg{x, y, w, epi} {
			g.Add(VectorBytes, r)
		}
		g.Down(vectors, "vector")
		g.Add(tileSize, tile)
		g.Down(tiles, "tile")
		add(s, stepsLineIn, lineIn)
		add(s, stepsLineOut, lineOut)
		g.Down(lines, "line")
		g.Add(bandSize, band)
		g.Down(bands, "band")
		for _, a := range []struct {
			name string
			step int
		}{{"in", stepsBlockIn}, {"out", stepsBlockOut}, {"w", stepsBlockWeights}, {"epi", stepsBias}} {
			g.ArgTo(a.name, x)
			add(s, a.step, x)
			g.P("MOVD %v, %s", x, g.Addr(a.name))
		}
		g.ArgTo("res", x)
		g.IfZero(x, "noRes")
		add(s, stepsBlockOut, x)
		g.P("MOVD %v, %s", x, g.Addr("res"))
		g.Label("noRes")
		g.ArgTo("blocks", x)
		g.P("SUBS $1, %v", x)
		g.P("MOVD %v, %s", x, g.Addr("blocks"))
		g.P("BNE block")
	})
}

func main() {
	Main(func(f *File) {
		function(f, 0, 0)
		for _, taps := range []int{3, 5, 7} {
			function(f, taps, 1)
			function(f, taps, 2)
		}
	})
}
