// Command plane generates the arm64 code of package plane of the transport; see the functions there for what it computes.
package main

import . "scission/ops/internal/asmgen/neon"

const (
	group = 8  // elements of a group
	wide  = 16 // elements of a round of quantise, dequantise, narrow and widen
	half  = 4  // float32s of a vector
)

func main() {
	Main(func(f *File) {
		mark(f)
		split4(f)
		split2(f)
		join4(f)
		join2(f)
		limits(f)
		quantise(f)
		dequantise(f)
		float16(f)
		bfloat16(f)
	})
}

// vector sets v to the bits of two words.
func vector(g *Func, low, high uint64, v Vec) {
	r := g.GP()
	g.P("MOVD $%#x, %v", low, r)
	g.P("VMOV %v, V%d.D[0]", r, v)
	g.P("MOVD $%#x, %v", high, r)
	g.P("VMOV %v, V%d.D[1]", r, v)
	g.Free(r)
}

// mark adds the weights of the elements that are not zero.
func mark(f *File) {
	const signature = "(bitmap, src *byte, groups int)"
	f.Func("mark4NEON", signature, "", func(g *Func) {
		bitmap, src, n, bits := g.Arg("bitmap"), g.Arg("src"), g.Arg("groups"), g.GP()
		v, weights := Vecs(0, 2), Vecs(2, 2)
		vector(g, 1|2<<32, 4|8<<32, weights[0])
		vector(g, 16|32<<32, 64|128<<32, weights[1])
		g.Label("loop")
		g.Load(src, 0, v...)
		for i := range v {
			g.P("VCMTST V%d.S4, V%d.S4, V%d.S4", v[i], v[i], v[i])
			g.And(v[i], v[i], weights[i])
		}
		g.AddInt(v[0], v[0], v[1])
		g.P("VADDV V%d.S4, V%d", v[0], v[0])
		g.P("VMOV V%d.S[0], %v", v[0], bits)
		g.P("MOVB %v, (%v)", bits, bitmap)
		g.Add(4*group, src)
		g.Add(1, bitmap)
		g.Down(n, "loop")
	})
	f.Func("mark2NEON", signature, "", func(g *Func) {
		bitmap, src, n, bits := g.Arg("bitmap"), g.Arg("src"), g.Arg("groups"), g.GP()
		v, weights := Vec(0), Vec(1)
		vector(g, 1|2<<16|4<<32|8<<48, 16|32<<16|64<<32|128<<48, weights)
		g.Label("loop")
		g.Load(src, 0, v)
		g.P("VCMTST V%d.H8, V%d.H8, V%d.H8", v, v, v)
		g.And(v, v, weights)
		g.P("VADDV V%d.H8, V%d", v, v)
		g.P("VMOV V%d.H[0], %v", v, bits)
		g.P("MOVB %v, (%v)", bits, bitmap)
		g.Add(2*group, src)
		g.Add(1, bitmap)
		g.Down(n, "loop")
	})
}

// lookUp sets d to the bytes of n at indices.
func lookUp(g *Func, d, n, indices Vec) {
	g.P("VTBL V%d.B16, [V%d.B16], V%d.B16", indices, n, d)
}

// nibbles has in its hexadecimal digits how many bits are set in the number of the digit.
const nibbles = 0x4332322132212110

// counted moves heads and rest behind the elements that nib, four bits, marks, using c.
func counted(g *Func, table, nib, c, heads, rest Reg) {
	g.P("LSL $2, %v, %v", nib, c)
	g.P("LSR %v, %v, %v", c, table, c)
	g.P("AND $7, %v", c)
	g.AddReg(c, heads)
	g.AddReg(c, rest)
	g.P("ADD %v<<1, %v", c, rest)
}

// nibble sets nib to half h of the bits in b.
func nibble(g *Func, h int, b, nib Reg) {
	if h == 0 {
		g.P("AND $15, %v, %v", b, nib)
	} else {
		g.P("LSR $4, %v, %v", b, nib)
	}
}

func split4(f *File) {
	f.Func("split4NEON", "(heads, rest, marks, src, packed *byte, groups int)", "", func(g *Func) {
		heads, rest, marks, src, packed, n := g.Arg("heads"), g.Arg("rest"), g.Arg("marks"), g.Arg("src"), g.Arg("packed"), g.Arg("groups")
		b, nib, c, p, counts, head := g.GP(), g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
		order, v, t := Vec(0), Vec(1), Vec(2)
		vector(g, 0x0908060504020100, 0x0f0b07030e0d0c0a, order)
		g.P("MOVD $%#x, %v", uint64(nibbles), counts)
		put := func() {
			g.ShiftLeft(1, t, v)
			g.P("VSRI $31, V%d.S4, V%d.S4", v, t)
			lookUp(g, t, t, order)
			g.Store(rest, 0, t)
			g.P("VMOV V%d.S[3], %v", t, head)
			g.P("MOVW %v, (%v)", head, heads)
		}
		g.IfZero(marks, "all")
		g.Label("marked")
		g.P("MOVBU (%v), %v", marks, b)
		for h := range 2 {
			nibble(g, h, b, nib)
			g.P("ADD %v<<4, %v, %v", nib, packed, p)
			g.Load(src, h*VectorBytes, v)
			g.Load(p, 0, t)
			lookUp(g, v, v, t)
			put()
			counted(g, counts, nib, c, heads, rest)
		}
		g.Add(1, marks)
		g.Add(4*group, src)
		g.Down(n, "marked")
		g.P("RET")
		g.Label("all")
		for h := range 2 {
			g.Load(src, h*VectorBytes, v)
			put()
			g.Add(half, heads)
			g.Add(3*half, rest)
		}
		g.Add(4*group, src)
		g.Down(n, "all")
	})
}

// words sets v to the indices of bytes that go with those of words in a table by b, one behind the other, using p.
func words(g *Func, table, b, p Reg, pair, v Vec) {
	g.P("ADD %v<<3, %v, %v", b, table, p)
	g.P("FMOVD (%v), F%d", p, v)
	g.P("VZIP1 V%d.B16, V%d.B16, V%d.B16", v, v, v)
	g.P("VADD V%d.B16, V%d.B16, V%d.B16", v, v, v)
	g.P("VADD V%d.B16, V%d.B16, V%d.B16", v, pair, v)
}

// pairs sets v to 0 and 1 in turns.
func pairs(g *Func, v Vec) { vector(g, 0x0100010001000100, 0x0100010001000100, v) }

// bytes counts the bits of b to c, using v.
func bytes(g *Func, b, c Reg, v Vec) {
	g.P("FMOVD %v, F%d", b, v)
	g.P("VCNT V%d.B8, V%d.B8", v, v)
	g.P("VMOV V%d.B[0], %v", v, c)
}

func split2(f *File) {
	f.Func("split2NEON", "(heads, rest, marks, src, packed *byte, groups int)", "", func(g *Func) {
		heads, rest, marks, src, packed, n := g.Arg("heads"), g.Arg("rest"), g.Arg("marks"), g.Arg("src"), g.Arg("packed"), g.Arg("groups")
		b, c, p, head := g.GP(), g.GP(), g.GP(), g.GP()
		order, pair, v, t := Vec(0), Vec(1), Vec(2), Vec(3)
		vector(g, 0x0e0c0a0806040200, 0x0f0d0b0907050301, order)
		pairs(g, pair)
		put := func() {
			g.P("VSHL $1, V%d.H8, V%d.H8", v, t)
			g.P("VSRI $15, V%d.H8, V%d.H8", v, t)
			lookUp(g, t, t, order)
			g.P("FMOVD F%d, (%v)", t, rest)
			g.P("VMOV V%d.D[1], %v", t, head)
			g.P("MOVD %v, (%v)", head, heads)
		}
		g.IfZero(marks, "all")
		g.Label("marked")
		g.P("MOVBU (%v), %v", marks, b)
		g.Load(src, 0, v)
		words(g, packed, b, p, pair, t)
		lookUp(g, v, v, t)
		put()
		bytes(g, b, c, t)
		g.AddReg(c, heads)
		g.AddReg(c, rest)
		g.Add(1, marks)
		g.Add(2*group, src)
		g.Down(n, "marked")
		g.P("RET")
		g.Label("all")
		g.Load(src, 0, v)
		put()
		g.Add(group, heads)
		g.Add(group, rest)
		g.Add(2*group, src)
		g.Down(n, "all")
	})
}

const joinSignature = "(dst, heads, rest, last, marks, spread *byte, groups int) int"

// joined emits the loops of join: group does one, with the bits b that mark its elements if there are any.
func joined(g *Func, dst, rest, last, marks, b Reg, bytes int, group func(marked bool)) {
	n, done := g.Arg("groups"), g.GP()
	g.Move(n, done)
	for _, marked := range []bool{true, false} {
		name := "all"
		if marked {
			name = "marked"
			g.IfZero(marks, "all")
		}
		g.Label(name)
		g.P("CMP %v, %v", last, rest)
		g.P("BHI end")
		if marked {
			g.P("MOVBU (%v), %v", marks, b)
			g.Add(1, marks)
		}
		group(marked)
		g.Add(bytes, dst)
		g.Down(n, name)
		if marked {
			g.P("B end")
		}
	}
	g.Label("end")
	g.P("SUB %v, %v", n, done)
	g.P("MOVD %v, %s", done, g.Addr("ret"))
}

func join4(f *File) {
	f.Func("join4NEON", joinSignature, "", func(g *Func) {
		dst, heads, rest, last, marks, spread := g.Arg("dst"), g.Arg("heads"), g.Arg("rest"), g.Arg("last"), g.Arg("marks"), g.Arg("spread")
		b, nib, c, p, counts := g.GP(), g.GP(), g.GP(), g.GP(), g.GP()
		apart, top, v, t := Vec(0), Vec(1), Vec(2), Vec(3)
		vector(g, 0xff050403ff020100, 0xff0b0a09ff080706, apart)
		vector(g, 0x01ffffff00ffffff, 0x03ffffff02ffffff, top)
		g.P("MOVD $%#x, %v", uint64(nibbles), counts)
		joined(g, dst, rest, last, marks, b, 4*group, func(marked bool) {
			for h := range 2 {
				g.Load(rest, 0, v)
				lookUp(g, v, v, apart)
				g.P("FMOVS (%v), F%d", heads, t)
				lookUp(g, t, t, top)
				g.Or(v, v, t)
				g.P("VUSHR $1, V%d.S4, V%d.S4", v, t)
				g.P("VSLI $31, V%d.S4, V%d.S4", v, t)
				if marked {
					nibble(g, h, b, nib)
					g.P("ADD %v<<4, %v, %v", nib, spread, p)
					g.Load(p, 0, v)
					lookUp(g, t, t, v)
					counted(g, counts, nib, c, heads, rest)
				} else {
					g.Add(half, heads)
					g.Add(3*half, rest)
				}
				g.Store(dst, h*VectorBytes, t)
			}
		})
	})
}

func join2(f *File) {
	f.Func("join2NEON", joinSignature, "", func(g *Func) {
		dst, heads, rest, last, marks, spread := g.Arg("dst"), g.Arg("heads"), g.Arg("rest"), g.Arg("last"), g.Arg("marks"), g.Arg("spread")
		b, c, p := g.GP(), g.GP(), g.GP()
		pair, v, t := Vec(0), Vec(1), Vec(2)
		pairs(g, pair)
		joined(g, dst, rest, last, marks, b, 2*group, func(marked bool) {
			g.P("FMOVD (%v), F%d", rest, v)
			g.P("FMOVD (%v), F%d", heads, t)
			g.P("VZIP1 V%d.B16, V%d.B16, V%d.B16", t, v, v)
			g.P("VUSHR $1, V%d.H8, V%d.H8", v, t)
			g.P("VSLI $15, V%d.H8, V%d.H8", v, t)
			if marked {
				words(g, spread, b, p, pair, v)
				lookUp(g, t, t, v)
			}
			g.Store(dst, 0, t)
			if marked {
				bytes(g, b, c, v)
				g.AddReg(c, heads)
				g.AddReg(c, rest)
			} else {
				g.Add(group, heads)
				g.Add(group, rest)
			}
		})
	})
}

func limits(f *File) {
	f.Func("limitsNEON", "(x *float32, src *byte, groups int)", "", func(g *Func) {
		x, src, n := g.Arg("x"), g.Arg("src"), g.Arg("groups")
		lo, hi, magnitude, v, abs := Vecs(0, 2), Vecs(2, 2), Vecs(4, 2), Vecs(6, 2), Vec(8)
		g.Constant(1<<31-1, abs)
		g.Load(src, 0, lo...)
		g.Load(src, 0, hi...)
		for _, m := range magnitude {
			g.Zero(m)
		}
		g.Label("loop")
		g.Load(src, 0, v...)
		for i := range v {
			g.FMIN(lo[i], lo[i], v[i])
			g.FMAX(hi[i], hi[i], v[i])
			g.And(v[i], v[i], abs)
			g.P("VUMAX V%d.S4, V%d.S4, V%d.S4", v[i], magnitude[i], magnitude[i])
		}
		g.Add(4*group, src)
		g.Down(n, "loop")
		g.Store(x, 0, lo...)
		g.Store(x, 4*group, hi...)
		g.Store(x, 8*group, magnitude...)
	})
}

func quantise(f *File) {
	f.Func("quantiseNEON", "(dst, src *byte, rounds int, lo, inverse float32)", "", func(g *Func) {
		dst, src, n := g.Arg("dst"), g.Arg("src"), g.Arg("rounds")
		v, lo, inverse := Vecs(0, 4), Vec(4), Vec(5)
		g.Spread(g.Addr("lo"), lo)
		g.Spread(g.Addr("inverse"), inverse)
		g.Label("loop")
		g.Load(src, 0, v...)
		for _, x := range v {
			g.FSUB(x, x, lo)
			g.FMUL(x, x, inverse)
			g.FCVTNS(x, x)
		}
		g.P("VUZP1 V%d.H8, V%d.H8, V%d.H8", v[1], v[0], v[0])
		g.P("VUZP1 V%d.H8, V%d.H8, V%d.H8", v[3], v[2], v[2])
		g.P("VUZP1 V%d.B16, V%d.B16, V%d.B16", v[2], v[0], v[0])
		g.Store(dst, 0, v[0])
		g.Add(4*wide, src)
		g.Add(wide, dst)
		g.Down(n, "loop")
	})
}

func dequantise(f *File) {
	f.Func("dequantiseNEON", "(dst, src *byte, rounds int, lo, scale float32)", "", func(g *Func) {
		dst, src, n := g.Arg("dst"), g.Arg("src"), g.Arg("rounds")
		q, words, v, lo, scale := Vec(0), Vecs(1, 2), Vecs(3, 4), Vec(7), Vec(8)
		g.Spread(g.Addr("lo"), lo)
		g.Spread(g.Addr("scale"), scale)
		g.Label("loop")
		g.Load(src, 0, q)
		g.P("VUXTL V%d.B8, V%d.H8", q, words[0])
		g.P("VUXTL2 V%d.B16, V%d.H8", q, words[1])
		for i, w := range words {
			g.P("VUXTL V%d.H4, V%d.S4", w, v[2*i])
			g.P("VUXTL2 V%d.H8, V%d.S4", w, v[2*i+1])
		}
		for _, x := range v {
			g.SCVTF(x, x)
			g.FMUL(x, x, scale)
			g.FADD(x, x, lo)
		}
		g.Store(dst, 0, v...)
		g.Add(wide, src)
		g.Add(4*wide, dst)
		g.Down(n, "loop")
	})
}

// convert emits a loop over rounds in which body turns the vectors of src into those of dst.
func convert(f *File, name string, from, to int, prepare func(g *Func), body func(g *Func, in, out []Vec)) {
	f.Func(name, "(dst, src *byte, rounds int)", "", func(g *Func) {
		dst, src, n := g.Arg("dst"), g.Arg("src"), g.Arg("rounds")
		in, out := Vecs(0, from*wide/VectorBytes), Vecs(4, to*wide/VectorBytes)
		if prepare != nil {
			prepare(g)
		}
		g.Label("loop")
		g.Load(src, 0, in...)
		body(g, in, out)
		g.Store(dst, 0, out...)
		g.Add(from*wide, src)
		g.Add(to*wide, dst)
		g.Down(n, "loop")
	})
}

func float16(f *File) {
	convert(f, "narrow16NEON", 4, 2, nil, func(g *Func, in, out []Vec) {
		for i, v := range in {
			g.FCVTN(out[i/2], v, i%2 == 1)
		}
	})
	convert(f, "widen16NEON", 2, 4, nil, func(g *Func, in, out []Vec) {
		for i, v := range out {
			g.FCVTL(v, in[i/2], i%2 == 1)
		}
	})
}

func bfloat16(f *File) {
	one, less, t := Vec(16), Vec(17), Vec(18)
	convert(f, "narrowBNEON", 4, 2, func(g *Func) {
		g.Constant(1, one)
		g.Constant(0x7fff, less)
	}, func(g *Func, in, out []Vec) {
		for _, v := range in {
			g.P("VUSHR $16, V%d.S4, V%d.S4", v, t)
			g.And(t, t, one)
			g.AddInt(v, v, less)
			g.AddInt(v, v, t)
		}
		for i, v := range out {
			g.P("VUZP2 V%d.H8, V%d.H8, V%d.H8", in[2*i+1], in[2*i], v)
		}
	})
	convert(f, "widenBNEON", 2, 4, nil, func(g *Func, in, out []Vec) {
		for i, v := range out {
			if i%2 == 0 {
				g.P("VUXTL V%d.H4, V%d.S4", in[i/2], v)
			} else {
				g.P("VUXTL2 V%d.H8, V%d.S4", in[i/2], v)
			}
			g.ShiftLeft(16, v, v)
		}
	})
}
