// Command winograd generates the transforms and products of the Winograd convolutions for arm64: F(4x4, 3x3) with the
// points 0, ±a, ±b and infinity, and F(4, 3) and F(4, 7) along lines.
package main

import (
	"fmt"
	"math"
	"slices"

	"scission/ops/internal/asmgen/line"
	. "scission/ops/internal/asmgen/neon"
)

// The fields of winograd.inputRun, in bytes.
const (
	inputAt = 8 * iota
	inputRow
	inputTop
	inputBottom
	inputLeft
	inputRight
	inputPlane
	inputCount
)

// The fields of winograd.outputRun, in bytes.
const (
	outputPlane = 8 * iota
	outputRow
	outputRows
	_ // the columns choose the function
	outputCount
	outputScale
	outputMask
	outputLo
	outputHi = outputLo + 4
)

// The fields of winograd.productRun, in bytes.
const (
	productBlocks = 8 * iota
	productSingles
	productStepX
	_ // productStepY
	_ // productStepAhead
	productAdd
)

const (
	patch = 6         // rows and columns of a tile's input
	out   = 4         // and of its output
	pixel = 4 * Block // bytes

	a, b = 3. / 4, 3. / 2
)

// constants emits code that sets registers to values.
func constants(g *Func, registers []Vec, values ...float64) {
	for i, v := range registers {
		g.Constant(math.Float32bits(float32(values[i])), v)
	}
}

// bytes loads a field that counts float32s and turns it into bytes.
func bytes(g *Func, at int, base, r Reg) {
	g.P("MOVD %d(%v), %v", at, base, r)
	g.P("LSL $2, %v", r)
}

// transformInput emits to = Bᵀd, with the constants c, using t.
func transformInput(g *Func, d, to, c []Vec, t Vec) {
	aa, bb, aabb, sum, a, b := c[0], c[1], c[2], c[3], c[4], c[5]
	for i := range 2 {
		y := to[i*(patch-1)]
		g.MoveVec(d[4+i], y)
		g.FMLS(y, d[2+i], sum)
		g.FMLA(y, d[i], aabb)
	}
	for i, points := range [][2]Vec{{bb, a}, {aa, b}} {
		plus, minus := to[1+2*i], to[2+2*i]
		g.MoveVec(d[3], t)
		g.FMLS(t, d[1], points[0])
		g.MoveVec(d[4], minus)
		g.FMLS(minus, d[2], points[0])
		g.MoveVec(minus, plus)
		g.FMLA(plus, t, points[1])
		g.FMLS(minus, t, points[1])
	}
}

func input(f *File) {
	f.Func("inputNEON", "(r *int, in, zeros, v, temp *float32)", "is an inputFunc.", func(g *Func) {
		c, d, to, t := Vecs(0, 6), Vecs(6, patch), Vecs(12, patch), Vec(18)
		constants(g, c, a*a, b*b, a*a*b*b, a*a+b*b, a, b)
		r, in, v, temp := g.Arg("r"), g.Arg("in"), g.Arg("v"), g.Arg("temp")
		zeros, step, plane, count, quarters, p := g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
		missing, dst := g.GP(), g.GP()
		rows := make([]Reg, patch)
		for y := range rows {
			rows[y] = g.GP()
		}
		bytes(g, inputAt, r, p)
		g.AddReg(p, in)
		bytes(g, inputRow, r, step)
		bytes(g, inputPlane, r, plane)
		g.P("MOVD %d(%v), %v", inputCount, r, count)
		at := func(x, y int) int { return (y*patch + x) * VectorBytes }

		g.Label("tile")
		g.ArgTo("zeros", zeros)
		g.Move(in, p)
		for y, row := range rows {
			g.Move(p, row)
			for _, m := range []struct {
				field     int
				condition string
			}{{inputTop, "GT"}, {inputBottom, "LE"}} {
				g.P("MOVD %d(%v), %v", m.field, r, missing)
				g.P("CMP $%d, %v", y, missing)
				g.P("CSEL %s, %v, %v, %v", m.condition, zeros, row, row)
			}
			g.AddReg(step, p)
		}
		g.P("MOVD $%d, %v", Vectors, quarters)

		g.Label("quarter")
		for x := range patch {
			zero, next := fmt.Sprintf("zero%d", x), fmt.Sprintf("column%d", x)
			for _, m := range []struct {
				field     int
				condition string
			}{{inputLeft, "GT"}, {inputRight, "LE"}} {
				g.P("MOVD %d(%v), %v", m.field, r, missing)
				g.P("CMP $%d, %v", x, missing)
				g.P("B%s %s", m.condition, zero)
			}
			for y, row := range rows {
				g.Load(row, x*pixel, d[y])
			}
			transformInput(g, d, to, c, t)
			for y, v := range to {
				g.Store(temp, at(x, y), v)
			}
			g.P("B %s", next)
			g.Label(zero)
			g.Zero(t)
			for y := range patch {
				g.Store(temp, at(x, y), t)
			}
			g.Label(next)
		}
		g.Move(v, dst)
		for y := range patch {
			g.Load(temp, at(0, y), d...)
			transformInput(g, d, to, c, t)
			for _, v := range to {
				g.Store(dst, 0, v)
				g.AddReg(plane, dst)
			}
		}
		for _, row := range rows {
			g.Add(VectorBytes, row)
		}
		g.Add(VectorBytes, v)
		g.Down(quarters, "quarter")
		g.Add(out*pixel, in) // v is behind the tile
		g.Down(count, "tile")
	})
}

// transformOutput emits the first values of Aᵀm, to y, with the constants c, using four other registers.
func transformOutput(g *Func, m, y, c, free []Vec) {
	a, b, aa, bb, aaa, bbb := c[0], c[1], c[2], c[3], c[4], c[5]
	s, d, u, v := free[0], free[1], free[2], free[3]
	g.FADD(s, m[1], m[2])
	g.FSUB(d, m[1], m[2])
	g.FADD(u, m[3], m[4])
	g.FSUB(v, m[3], m[4])
	for i, y := range y {
		switch i {
		case 0:
			g.FADD(y, m[0], s)
			g.FADD(y, y, u)
		case 1:
			g.FMUL(y, a, d)
			g.FMLA(y, b, v)
		case 2:
			g.FMUL(y, aa, s)
			g.FMLA(y, bb, u)
		case 3:
			g.MoveVec(m[5], y)
			g.FMLA(y, aaa, d)
			g.FMLA(y, bbb, v)
		}
	}
}

func output(f *File, cols int) {
	f.Func(fmt.Sprintf("outputNEONP%d", cols), "(r *int, m, epi, res, out, temp *float32)",
		fmt.Sprintf("is an outputFunc for %d columns.", cols), func(g *Func) {
			sums, m, free, c := Vecs(0, cols*Vectors), Vecs(16, patch), Vecs(22, 4), Vecs(26, 6)
			constants(g, c, a, b, a*a, b*b, a*a*a, b*b*b)
			r, tileM, epi, tileRes, tileOut, temp := g.Arg("r"), g.Arg("m"), g.Arg("epi"), g.Arg("res"), g.Arg("out"), g.Arg("temp")
			plane, planes, step, count, quarters := g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
			column, p, to, res, rows, half := g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
			bytes(g, outputPlane, r, plane)
			g.P("MOVD $%d, %v", patch, planes)
			g.P("MUL %v, %v", plane, planes)
			bytes(g, outputRow, r, step)
			g.P("SUB $%d, %v", cols*pixel, step) // from behind the pixels of a row
			g.P("MOVD %d(%v), %v", outputCount, r, count)
			at := func(x, y int) int { return (y*patch + x) * pixel }

			g.Label("tile")
			g.Move(temp, half)
			g.P("MOVD $%d, %v", Vectors, quarters)
			g.Label("quarter")
			g.Move(tileM, column)
			for x := range patch {
				g.Move(column, p)
				for _, v := range m {
					g.Load(p, 0, v)
					g.AddReg(planes, p)
				}
				g.AddReg(plane, column)
				y := Vecs(0, out)
				transformOutput(g, m, y, c, free)
				for i, v := range y {
					g.Store(half, at(x, i), v)
				}
			}
			g.Add(VectorBytes, tileM) // in the end, behind the tile
			g.Add(VectorBytes, half)
			g.Down(quarters, "quarter")

			g.P("MOVD %d(%v), %v", outputRows, r, rows)
			g.Move(temp, half)
			g.Move(tileOut, to)
			g.Move(tileRes, res)
			g.Label("row")
			for j := range Vectors {
				for x, v := range m {
					g.Load(half, at(x, 0)+j*VectorBytes, v)
				}
				y := make([]Vec, cols)
				for i := range y {
					y[i] = sums[i*Vectors+j]
				}
				transformOutput(g, m, y, c, free)
				g.Load(epi, j*VectorBytes, m[0])
				for _, v := range y {
					g.FADD(v, v, m[0])
				}
			}
			Epilogue{
				Acc: sums, Spare: m, Args: r,
				Scale: outputScale, Mask: outputMask, Lo: outputLo, Hi: outputHi,
				Channels: epi, Res: res, Out: to, NextPixel: func(r Reg) { g.Add(pixel, r) },
			}.Store(g)
			g.Add(at(0, 1), half)
			g.AddReg(step, to)
			g.IfZero(res, "below")
			g.AddReg(step, res)
			g.Label("below")
			g.Down(rows, "row")
			g.Add(out*pixel, tileOut)
			g.IfZero(tileRes, "next")
			g.Add(out*pixel, tileRes)
			g.Label("next")
			g.Down(count, "tile")
		})
}

// The fields of winograd.lineInputRun, in bytes.
const (
	lineInputAt = 8 * iota
	lineInputStep
	lineInputNext
	lineInputFrom
	lineInputTo
	lineInputPlane
	lineInputCount
)

// The fields of winograd.lineOutputRun, in bytes.
const (
	lineOutputPlane = 8 * iota
	lineOutputStep
	lineOutputNext
	lineOutputWanted
	lineOutputCount
	lineOutputScale
	lineOutputMask
	lineOutputLo
	lineOutputHi = lineOutputLo + 4
)

// table emits code that sets the last registers to rows of values, and returns them.
func table(g *Func, values [][]float64) (rows [][]Vec) {
	next := 32
	for _, row := range values {
		next -= len(row)
		v := Vecs(next, len(row))
		constants(g, v, row...)
		rows = append(rows, v)
	}
	return rows
}

func lineInput(f *File, l line.Line) {
	f.Func(fmt.Sprintf("lineInputNEONK%d", l.Kernel), "(r *int, in, zeros, v *float32)",
		fmt.Sprintf("is a lineInputFunc for kernels of %d.", l.Kernel), func(g *Func) {
			d, even, odd := Vecs(0, l.Patch), Vec(l.Patch), Vec(l.Patch+1)
			sum := d[0] // which only the first of the sums reads
			polynomials := slices.Clone(l.Polynomials)
			for i, p := range l.Powers { // each with its point behind it
				polynomials[1+i] = append(slices.Clone(polynomials[1+i]), p[0])
			}
			c := table(g, polynomials)
			r, p, zeros, v, to := g.Arg("r"), g.Arg("in"), g.Arg("zeros"), g.Arg("v"), g.GP()
			step, plane, count, quarters, missing := g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
			values := make([]Reg, l.Patch)
			bytes(g, lineInputAt, r, step)
			g.AddReg(step, p)
			bytes(g, lineInputStep, r, step)
			for i := range values {
				value := g.GP()
				g.Move(p, value)
				for _, m := range []struct {
					field     int
					condition string
				}{{lineInputFrom, "GT"}, {lineInputTo, "LE"}} {
					g.P("MOVD %d(%v), %v", m.field, r, missing)
					g.P("CMP $%d, %v", i, missing)
					g.P("CSEL %s, %v, %v, %v", m.condition, zeros, value, value)
				}
				g.AddReg(step, p)
				values[i] = value
			}
			bytes(g, lineInputPlane, r, plane)
			bytes(g, lineInputNext, r, step)
			g.P("SUB $%d, %v", pixel, step) // from behind a patch
			g.P("MOVD %d(%v), %v", lineInputCount, r, count)

			// every sums products of a polynomial and every other value down from one.
			every := func(c []Vec, last int, y Vec) {
				g.MoveVec(d[last], y)
				for j := range c {
					g.FMLA(y, d[last-2-2*j], c[j])
				}
			}
			store := func(y Vec) {
				g.Store(to, 0, y)
				g.AddReg(plane, to)
			}
			g.Label("tile")
			g.P("MOVD $%d, %v", Vectors, quarters)
			g.Label("quarter")
			g.Move(v, to)
			for i, value := range values {
				g.Load(value, 0, d[i])
				g.Add(VectorBytes, value)
			}
			every(c[0], l.Patch-2, even)
			store(even)
			for _, c := range c[1:] {
				point := len(c) - 1
				every(c[:point], l.Patch-2, even)
				every(c[:point], l.Patch-3, odd)
				g.MoveVec(even, sum)
				g.FMLA(sum, odd, c[point])
				store(sum)
				g.FMLS(even, odd, c[point])
				store(even)
			}
			every(c[0], l.Patch-1, odd)
			store(odd)
			g.Add(VectorBytes, v)
			g.Down(quarters, "quarter")
			for _, value := range values {
				g.AddReg(step, value)
			}
			g.Down(count, "tile")
		})
}

func lineOutput(f *File, l line.Line) {
	f.Func(fmt.Sprintf("lineOutputNEONK%d", l.Kernel), "(r *int, m, epi, res, out, temp *float32)",
		fmt.Sprintf("is a lineOutputFunc for kernels of %d.", l.Kernel), func(g *Func) {
			points := len(l.Powers)
			m, plus, y := Vecs(0, l.Patch), Vecs(l.Patch, points), Vec(l.Patch+points)
			powers := table(g, l.Powers)
			r, tileM, epi, tileRes, tileOut, temp := g.Arg("r"), g.Arg("m"), g.Arg("epi"), g.Arg("res"), g.Arg("out"), g.Arg("temp")
			plane, step, next, count, quarters := g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
			p, to, res, wanted, half := g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
			bytes(g, lineOutputPlane, r, plane)
			bytes(g, lineOutputStep, r, step)
			bytes(g, lineOutputNext, r, next)
			g.P("MOVD %d(%v), %v", lineOutputCount, r, count)

			g.Label("tile")
			g.Move(temp, half)
			g.P("MOVD $%d, %v", Vectors, quarters)
			g.Label("quarter")
			g.Move(tileM, p)
			for _, v := range m {
				g.Load(p, 0, v)
				g.AddReg(plane, p)
			}
			for i, v := range plus { // the differences take the place of the first of two
				g.FADD(v, m[1+2*i], m[2+2*i])
				g.FSUB(m[1+2*i], m[1+2*i], m[2+2*i])
			}
			for o := range out {
				switch o {
				case 0:
					g.MoveVec(m[0], y)
				case out - 1:
					g.MoveVec(m[l.Patch-1], y)
				}
				for i, power := range powers {
					of := plus[i]
					if o%2 == 1 {
						of = m[1+2*i]
					}
					switch {
					case o == 0:
						g.FADD(y, y, of)
					case i == 0 && o < out-1:
						g.FMUL(y, power[o-1], of)
					default:
						g.FMLA(y, power[o-1], of)
					}
				}
				g.Store(half, o*pixel, y)
			}
			g.Add(VectorBytes, tileM) // in the end, behind the tile
			g.Add(VectorBytes, half)
			g.Down(quarters, "quarter")

			g.P("MOVD %d(%v), %v", lineOutputWanted, r, wanted)
			g.Move(temp, half)
			g.Move(tileOut, to)
			g.Move(tileRes, res)
			g.Label("pixel")
			acc, spare := Vecs(0, Vectors), Vecs(Vectors, 3)
			for j, v := range acc {
				g.Load(half, j*VectorBytes, v)
				g.Load(epi, j*VectorBytes, spare[0])
				g.FADD(v, v, spare[0])
			}
			Epilogue{
				Acc: acc, Spare: spare, Args: r,
				Scale: lineOutputScale, Mask: lineOutputMask, Lo: lineOutputLo, Hi: lineOutputHi,
				Channels: epi, Res: res, Out: to, NextPixel: func(r Reg) { g.AddReg(step, r) },
			}.Store(g)
			g.Add(pixel, half)
			g.Down(wanted, "pixel")
			g.AddReg(next, tileOut)
			g.IfZero(tileRes, "next")
			g.AddReg(next, tileRes)
			g.Label("next")
			g.Down(count, "tile")
		})
}

// product writes the tile of px pixels.
func product(f *File, px int) {
	f.Func(fmt.Sprintf("productNEONP%d", px), "(r *int, x, w, y *float32, count int)",
		fmt.Sprintf("is a productFunc for tiles of %d pixels by %d output channels.", px, Block), func(g *Func) {
			sums := NewTile(px)
			r, tileX, y, count := g.Arg("r"), g.Arg("x"), g.Arg("y"), g.Arg("count")
			w, x, p, blocks, n, step, add := g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
			g.P("MOVD %d(%v), %v", productStepX, r, step)
			g.P("MOVD %d(%v), %v", productAdd, r, add)
			g.Label("tile")
			g.IfZero(add, "zero")
			for i := range px {
				g.Load(y, i*pixel, sums.Acc[i*Vectors:][:Vectors]...)
			}
			g.P("B sum")
			g.Label("zero")
			for _, v := range sums.Acc {
				g.Zero(v)
			}
			g.Label("sum")
			g.ArgTo("w", w)
			g.Move(tileX, x)
			weights := func(u, j int, v Vec) { g.Load(w, u*pixel+j*VectorBytes, v) }
			g.P("MOVD %d(%v), %v", productBlocks, r, blocks)
			g.IfZero(blocks, "rest")
			g.Label("block")
			g.Move(x, p)
			g.P("MOVD $%d, %v", Block/Quad, n)
			g.Label("quad")
			sums.Multiply(g, Quad, func(i int, v Vec) { g.Load(p, i*pixel, v) }, weights)
			g.Add(Quad*pixel, w)
			g.Add(Quad*4, p)
			g.Down(n, "quad")
			g.AddReg(step, x)
			g.Down(blocks, "block")
			g.Label("rest")
			g.P("MOVD %d(%v), %v", productSingles, r, n)
			g.IfZero(n, "store")
			g.Label("single")
			sums.Multiply(g, 1, func(i int, v Vec) { g.LoadLane(x, i*pixel, v) }, weights)
			g.Add(pixel, w)
			g.Add(4, x)
			g.Down(n, "single")
			g.Label("store")
			for i := range px {
				g.Store(y, i*pixel, sums.Acc[i*Vectors:][:Vectors]...)
			}
			g.Add(px*pixel, y)
			g.Add(px*pixel, tileX)
			g.Down(count, "tile")
		})
}

func main() {
	Main(func(f *File) {
		input(f)
		for cols := 1; cols <= out; cols++ {
			output(f, cols)
		}
		for _, l := range line.All {
			lineInput(f, l)
			lineOutput(f, l)
		}
		for px := 1; px <= Rows; px++ {
			product(f, px)
		}
	})
}
