// Command qconv generates the tiles of the convolution of quantised values for arm64: px pixels of one block of 16
// channels.
package main

import (
	"fmt"

	. "scission/ops/internal/asmgen/neon"
)

// The fields of qconv.loops, in bytes.
const (
	loopsTaps = 8 * iota
	loopsPixel
	loopsTile
	loopsLineIn
	loopsLineRes
	loopsLineOut
	loopsScale
	loopsMask
	loopsQuantise
	loopsClamp
	loopsStart
	loopsLo
	loopsHi      = loopsLo + 4
	loopsInverse = loopsHi + 4
	loopsRest    = loopsInverse + 4
	loopsFloor   = loopsRest + 4
)

const (
	wide = 4 * Block // bytes of a pixel of float32
	half = 2 * Block // bytes of a pixel of int16
	most = 6         // pixels of the largest tile
	free = 8         // vectors that are not sums
	sums = 2         // of loops.quantise: the sums are stored as they are
)

// What the epilogue has for each channel.
const (
	mul = iota
	add
	scale
	shift
	mask
	start
)

// tile writes a tile. body adds the products of the tap whose values are at p, the pixels being apart bytes away, with
// the weights at w, and advances w.
func tile(f *File, kind string, px int, body func(g *Func, acc []Vec, p, w Reg, apart []Reg)) {
	f.Func(fmt.Sprintf("%sNEONP%d", kind, px), "(l, taps *int, in, w *int16, epi, res *float32, out *int16, count, lines int)",
		fmt.Sprintf("computes lines of count tiles of %d pixels.", px), func(g *Func) {
			acc := Vecs(free, px*Vectors)
			l, in, res, out, lines := g.Arg("l"), g.Arg("in"), g.Arg("res"), g.Arg("out"), g.Arg("lines")
			field := func(at int, r Reg) { g.P("MOVD %d(%v), %v", at, l, r) }
			apart := make([]Reg, px)
			for i := 1; i < px; i++ {
				apart[i] = g.GP()
				if field(loopsPixel, apart[i]); i > 1 {
					g.AddReg(apart[i-1], apart[i])
				}
			}
			lineIn, lineRes, lineOut := g.GP(), g.GP(), g.GP()
			count, taps, w, n, p := g.GP(), g.GP(), g.GP(), g.GP(), g.GP()

			g.Label("line")
			g.Move(in, lineIn)
			g.Move(res, lineRes)
			g.Move(out, lineOut)
			g.ArgTo("count", count)

			g.Label("tile")
			g.ArgTo("epi", w)
			g.Load(w, start*wide, acc[:Vectors]...)
			for i, v := range acc[Vectors:] {
				g.MoveVec(acc[i%Vectors], v)
			}
			g.ArgTo("taps", taps)
			g.ArgTo("w", w)
			field(loopsTaps, n)
			g.Label("tap")
			g.P("MOVD (%v), %v", taps, p)
			g.Add(8, taps)
			g.AddReg(in, p)
			body(g, acc, p, w, apart)
			g.Down(n, "tap")
			g.ArgTo("epi", w)
			store(g, acc, l, w, n, res, out)
			field(loopsTile, n)
			g.AddReg(n, in)
			g.Down(count, "tile")
			for _, c := range []struct {
				step     int
				from, to Reg
			}{{loopsLineIn, lineIn, in}, {loopsLineOut, lineOut, out}} {
				field(c.step, c.to)
				g.AddReg(c.from, c.to)
			}
			g.IfZero(res, "moved")
			field(loopsLineRes, res)
			g.AddReg(lineRes, res)
			g.Label("moved")
			g.Down(lines, "line")
		})
}

// dense multiplies a run of input values of each pixel. Vectors are read whole, with values behind the run.
func dense(run int) func(g *Func, acc []Vec, p, w Reg, apart []Reg) {
	return func(g *Func, acc []Vec, p, w Reg, apart []Reg) {
		x, weight := Vecs(0, len(apart)), Vecs(free-2, 2)
		for i := range apart {
			if i == 0 {
				g.Load(p, 0, x[0])
			} else {
				g.LoadAt(p, apart[i], x[i])
			}
		}
		for u := range run {
			g.Load(w, u*half, weight...)
			for i := range apart {
				for j, v := range acc[i*Vectors:][:Vectors] {
					g.SMLALLane(v, weight[j/2], x[i], u, j%2 == 1)
				}
			}
		}
		g.Add(run*half, w)
	}
}

// depthwise multiplies the channels of each pixel.
func depthwise(g *Func, acc []Vec, p, w Reg, apart []Reg) {
	weight, at := Vecs(0, 2), g.GP()
	g.Load(w, 0, weight...)
	g.Add(half, w)
	for i := range apart {
		x := Vecs(2+i%2*2, 2)
		g.Move(p, at)
		if i > 0 {
			g.AddReg(apart[i], at)
		}
		g.Load(at, 0, x...)
		for j, v := range acc[i*Vectors:][:Vectors] {
			g.SMLAL(v, weight[j/2], x[j/2], j%2 == 1)
		}
	}
	g.Free(at)
}

// store writes the epilogue with the channels at epi, and moves res and out behind the tile. It changes t.
func store(g *Func, acc []Vec, l, epi, t, res, out Reg) {
	a, b, c, d := Vec(0), Vec(1), Vec(2), Vec(3)
	flag := func(at int, label string) {
		g.P("MOVD %d(%v), %v", at, l, t)
		g.IfZero(t, label)
	}
	spread := func(at int, v Vec) {
		g.P("ADD $%d, %v, %v", at, l, t)
		g.P("VLD1R (%v), [V%d.S4]", t, v)
	}
	channels := func(what, j int, v Vec) { g.Load(epi, what*wide+j*VectorBytes, v) }
	column := func(j int) (vs []Vec) {
		for i := j; i < len(acc); i += Vectors {
			vs = append(vs, acc[i])
		}
		return vs
	}
	multiplyAdd := func(m, s int) {
		for j := range Vectors {
			channels(m, j, a)
			channels(s, j, b)
			for _, v := range column(j) {
				g.MoveVec(b, c)
				g.FMLA(c, v, a)
				g.MoveVec(c, v)
			}
		}
	}
	pixels := func(f func(vs []Vec)) {
		for i := 0; i < len(acc); i += Vectors {
			f(acc[i:][:Vectors])
		}
	}
	g.P("MOVD %d(%v), %v", loopsQuantise, l, t)
	g.P("CMP $%d, %v", sums, t)
	g.P("BEQ wide")
	for _, v := range acc {
		g.SCVTF(v, v)
	}
	multiplyAdd(mul, add)
	flag(loopsScale, "scaled")
	multiplyAdd(scale, shift)
	g.Label("scaled")
	g.IfZero(res, "added")
	pixels(func(vs []Vec) {
		for j, v := range vs {
			g.Load(res, j*VectorBytes, a)
			g.FADD(v, a, v)
		}
		g.Add(wide, res)
	})
	g.Label("added")
	spread(loopsLo, a)
	spread(loopsHi, b)
	for _, v := range acc {
		g.Clamp(a, b, v, c)
	}
	flag(loopsMask, "masked")
	for j := range Vectors {
		channels(mask, j, a)
		for _, v := range column(j) {
			g.And(v, a, v)
		}
	}
	g.Label("masked")
	flag(loopsQuantise, "wide")
	spread(loopsInverse, a)
	spread(loopsRest, b)
	spread(loopsFloor, c)
	for _, v := range acc {
		g.FMUL(d, v, b)
		g.FMLA(d, v, a)
		g.FCVTNS(v, d)
		g.FCMEQ(d, d, d)
		g.InsertFalse(v, c, d) // a NaN
	}
	pixels(func(vs []Vec) {
		for j, v := range vs {
			g.SQXTN(a+Vec(j/2), v, j%2 == 1)
		}
		g.Store(out, 0, a, b)
		g.Add(half, out)
	})
	g.P("B stored")
	g.Label("wide")
	pixels(func(vs []Vec) {
		g.Store(out, 0, vs...)
		g.Add(wide, out)
	})
	g.Label("stored")
}

func main() {
	Main(func(f *File) {
		for px := 1; px <= most; px++ {
			tile(f, "dense", px, dense(8))
			tile(f, "few", px, dense(4))
			tile(f, "depth", px, depthwise)
		}
	})
}
