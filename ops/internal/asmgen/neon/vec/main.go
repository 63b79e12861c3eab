// Command vec generates the arm64 code of package vec; see the functions there for what they compute.
package main

import (
	"math"
	"slices"

	. "scission/ops/internal/asmgen/neon"
)

func main() {
	Main(func(f *File) {
		binary(f, "Add", (*Func).FADD)
		binary(f, "Sub", (*Func).FSUB)
		binary(f, "Mul", (*Func).FMUL)
		binary(f, "Div", (*Func).FDIV)
		unary(f, "Sqrt", nil, func(b *body, v []Vec) { b.FSQRT(v[0], v[0]) })
		unary(f, "Abs", []uint32{magnitude}, func(b *body, v []Vec) { b.And(v[0], v[0], b.constant(magnitude)) })
		unary(f, "Clamp", nil, func(b *body, v []Vec) { b.Clamp(b.p, b.q, v[0], v[1]) })
		unary(f, "AddScalar", nil, func(b *body, v []Vec) { b.FADD(v[0], b.p, v[0]) })
		unary(f, "MulScalar", nil, func(b *body, v []Vec) { b.FMUL(v[0], b.p, v[0]) })
		unary(f, "DivScalar", nil, func(b *body, v []Vec) { b.FDIV(v[0], v[0], b.p) })
		unary(f, "ScalarSub", nil, func(b *body, v []Vec) { b.FSUB(v[0], b.p, v[0]) })
		unary(f, "ScalarDiv", nil, func(b *body, v []Vec) { b.FDIV(v[0], b.p, v[0]) })
		unary(f, "ScaleShift", nil, func(b *body, v []Vec) { b.multiplyAdd(v[0], b.p, b.q, v[1]) })
		unary(f, "LeakyRelu", nil, func(b *body, v []Vec) {
			b.FMUL(v[1], v[0], b.p)
			b.SignBits(v[2], v[0])
			b.InsertTrue(v[0], v[1], v[2])
		})
		unary(f, "Exp", ofExp, func(b *body, v []Vec) {
			b.FSUB(v[0], v[0], b.p)
			b.exp(v[0], v[1:])
		})
		unary(f, "Sigmoid", ofSigmoid, (*body).sigmoid)
		unary(f, "HardSigmoid", bits(0, 1), (*body).hardSigmoid)
		unary(f, "HardSwish", bits(0, 1), func(b *body, v []Vec) {
			b.MoveVec(v[0], v[3])
			b.hardSigmoid(v)
			b.FMUL(v[0], v[0], v[3])
		})
		long(f, "Swish", ofSigmoid, func(b *body, v []Vec) {
			b.MoveVec(v[0], v[6])
			b.FMUL(v[0], v[0], b.p)
			b.sigmoid(v)
			b.FMUL(v[0], v[0], v[6])
		})
		long(f, "GeluTanh", append(ofSigmoid, bits(geluLinear, geluCubic)...), func(b *body, v []Vec) {
			b.MoveVec(v[0], v[6])
			b.FMUL(v[0], v[0], v[0])
			b.multiplyAdd(v[0], b.float(geluCubic), b.float(geluLinear), v[1])
			b.FMUL(v[0], v[0], v[6])
			b.sigmoid(v)
			b.FMUL(v[0], v[0], v[6])
		})
		long(f, "Tanh", append(ofSigmoid, bits(tanhNear, 2)...), func(b *body, v []Vec) {
			b.absAndSquare(v)
			b.FMUL(v[3], b.polynomial(v[2], v[3], v[5], ofTanh...), v[2])
			b.multiplyAdd(v[3], v[0], v[0], v[5])
			b.FADD(v[4], v[1], v[1])
			b.exp(v[4], v[5:])
			b.FADD(v[4], v[4], b.float(1))
			b.FDIV(v[4], b.float(2), v[4])
			b.farOrNear(tanhNear, v)
		})
		long(f, "Erf", append(ofSigmoid, bits(erfNear)...), (*body).erf)
		long(f, "Gelu", append(ofSigmoid, bits(erfNear, 1/math.Sqrt2, 0.5)...), func(b *body, v []Vec) {
			b.MoveVec(v[0], v[9])
			b.FMUL(v[0], v[0], b.float(1/math.Sqrt2))
			b.erf(v)
			b.FADD(v[0], v[0], b.float(1))
			b.FMUL(v[9], v[9], b.float(0.5))
			b.FMUL(v[0], v[0], v[9])
		})
		reduce(f, "Sum", 0, func(g *Func, v, x, _ Vec) { g.FADD(v, v, x) })
		reduce(f, "Max", math.Inf(-1), func(g *Func, v, x, t Vec) {
			g.FCMGT(t, x, v)
			g.InsertTrue(v, x, t)
		})
		scaleShift16(f)
	})
}

// bits returns the bits of float32s.
func bits(xs ...float64) []uint32 {
	b := make([]uint32, len(xs))
	for i, x := range xs {
		b[i] = math.Float32bits(float32(x))
	}
	return b
}

const (
	lowest, highest = -104, 89 // exponents below and above which the result is 0 and +Inf
	magic           = 0x1.8p23 // x + magic has x, rounded to an integer, in its low bits
	ln2Hi, ln2Lo    = 0x1.62e4p-1, 0x1.7f7d1cp-20
	bias, mantissa  = 127, 23
	sign            = 1 << 31
	magnitude       = sign - 1
	tanhNear        = 0.625       // below, a polynomial gives the hyperbolic tangent
	erfNear         = 0.927734375 // and below this the error function
	geluLinear      = 1.5957691216057308
	geluCubic       = 0.07135481627159803
)

// ofExpNear is the polynomial of e^x - x - 1, divided by x², for small x; the coefficient of the highest power comes
// first.
var ofExpNear = []float64{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1}

// The polynomials of these functions near and far from 0, likewise; the portable code says how they are used.
var (
	ofTanh    = []float64{-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1}
	ofErfNear = []float64{-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1}
	ofErfFar  = []float64{-1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1, -1.28717512e-1}
)

// ofExp and ofSigmoid are the constants of these functions.
var (
	ofExp     = append(bits(append(slices.Clip(ofExpNear), lowest, highest, magic, math.Log2E, ln2Hi, ln2Lo, 1)...), bias)
	ofSigmoid = slices.Clip(append(ofExp, sign))
)

// body writes the code for a vector of a unary function.
type body struct {
	*Func
	p, q      Vec      // the function's parameters
	constants []uint32 // of which each is in all lanes of a register, from the last one down
}

// constant returns the register of a constant.
func (b *body) constant(bits uint32) Vec { return Vec(31 - slices.Index(b.constants, bits)) }

func (b *body) float(x float64) Vec { return b.constant(bits(x)[0]) }

// multiplyAdd emits x = x·y + z, using t.
func (b *body) multiplyAdd(x, y, z, t Vec) {
	b.MoveVec(z, t)
	b.FMLA(t, x, y)
	b.MoveVec(t, x)
}

// exp emits x = e^x, using four other registers. The method is that of the portable code.
func (b *body) exp(x Vec, v []Vec) {
	n, p, s, t := v[0], v[1], v[2], v[3]
	b.Clamp(b.float(lowest), b.float(highest), x, t)
	b.MoveVec(b.float(magic), n)
	b.FMLA(n, b.float(math.Log2E), x)
	b.FSUB(p, n, b.float(magic))
	b.FMLS(x, b.float(ln2Hi), p)
	b.FMLS(x, b.float(ln2Lo), p)
	b.SubInt(n, n, b.float(magic))
	p = b.polynomial(x, p, t, ofExpNear...)
	b.FMUL(s, x, x)
	b.FMLA(x, p, s)
	b.FADD(p, x, b.float(1))
	b.Halve(s, n)
	b.SubInt(n, n, s)
	for _, r := range []Vec{s, n} {
		b.AddInt(r, r, b.constant(bias))
		b.ShiftLeft(mantissa, r, r)
	}
	b.FMUL(p, p, s)
	b.FMUL(x, p, n)
}

// polynomial emits P(x), where the coefficient of the highest power comes first, and returns which of p and t has it.
func (b *body) polynomial(x, p, t Vec, coefficients ...float64) Vec {
	b.load(coefficients[0], p)
	for _, c := range coefficients[1:] {
		b.load(c, t)
		b.FMLA(t, p, x)
		p, t = t, p
	}
	return p
}

// load sets v to a number, whether it is a constant of the function or not.
func (b *body) load(x float64, v Vec) {
	if slices.Contains(b.constants, bits(x)[0]) {
		b.MoveVec(b.float(x), v)
	} else {
		b.Constant(bits(x)[0], v)
	}
}

// sigmoid emits v[0] = 1 / (1 + e^-v[0]), using v[1] to v[5].
func (b *body) sigmoid(v []Vec) {
	b.SignBits(v[5], v[0])
	b.Or(v[0], v[0], b.constant(sign))
	b.exp(v[0], v[1:])
	b.FADD(v[1], v[0], b.float(1))
	b.Choose(v[5], v[0], b.float(1))
	b.FDIV(v[0], v[5], v[1])
}

// hardSigmoid emits v[0] = p·v[0] + q bounded to 0 and 1, using v[1].
func (b *body) hardSigmoid(v []Vec) {
	b.multiplyAdd(v[0], b.p, b.q, v[1])
	b.Clamp(b.float(0), b.float(1), v[0], v[1])
}

// absAndSquare emits v[1] = |v[0]| and v[2] = v[0]².
func (b *body) absAndSquare(v []Vec) {
	b.Zero(v[1])
	b.InsertFalse(v[1], v[0], b.constant(sign))
	b.FMUL(v[2], v[0], v[0])
}

// farOrNear emits v[0] = v[3] where v[1], which is |v[0]|, is below a bound, and 1 - v[4] with the sign of v[0]
// elsewhere; it uses v[5].
func (b *body) farOrNear(bound float64, v []Vec) {
	b.FSUB(v[4], b.float(1), v[4])
	b.InsertTrue(v[4], v[0], b.constant(sign))
	b.FCMGT(v[5], b.float(bound), v[1])
	b.InsertTrue(v[4], v[3], v[5])
	b.MoveVec(v[4], v[0])
}

// erf emits v[0] = erf(v[0]), using v[1] to v[8].
func (b *body) erf(v []Vec) {
	b.absAndSquare(v)
	near := b.polynomial(v[2], v[4], v[5], ofErfNear...)
	b.MoveVec(v[0], v[3])
	b.FMLA(v[3], near, v[0])
	far := b.polynomial(v[1], v[5], v[6], ofErfFar...)
	b.Or(v[4], v[1], b.constant(sign))
	b.FMLA(v[4], far, v[1])
	b.exp(v[4], v[5:])
	b.farOrNear(erfNear, v)
}

// loop emits a pass over n values in which body handles count vectors at the pointers, with load and store emitting
// the access to vector i of them. The values behind the last whole vector are handled one by one, in lane 0.
func loop(g *Func, n Reg, unroll int, pointers []Reg,
	body func(count int, load func(i int, base Reg, v Vec), store func(i int, v Vec, base Reg))) {
	load := func(i int, base Reg, v Vec) { g.Load(base, i*VectorBytes, v) }
	store := func(i int, v Vec, base Reg) { g.Store(base, i*VectorBytes, v) }
	next := func(bytes int) {
		for _, p := range pointers {
			g.Add(bytes, p)
		}
	}
	some := unroll * Lanes
	g.P("SUBS $%d, %v", some, n)
	g.P("BLT fewer")
	g.Label("many")
	body(unroll, load, store)
	next(unroll * VectorBytes)
	g.P("SUBS $%d, %v", some, n)
	g.P("BGE many")
	g.Label("fewer")
	g.P("ADDS $%d, %v", some-Lanes, n)
	g.P("BLT rest")
	g.Label("one")
	body(1, load, store)
	next(VectorBytes)
	g.P("SUBS $%d, %v", Lanes, n)
	g.P("BGE one")
	g.Label("rest")
	g.P("ADDS $%d, %v", Lanes, n)
	g.P("BEQ done")
	g.Label("lane")
	body(1, func(_ int, base Reg, v Vec) { g.LoadLane(base, 0, v) }, func(_ int, v Vec, base Reg) { g.StoreLane(v, base) })
	next(VectorBytes / Lanes)
	g.Down(n, "lane")
	g.Label("done")
}

// unary emits a function of a slice and two parameters; op finds a vector in v[0] of 6 registers and leaves the result
// there.
func unary(f *File, name string, constants []uint32, op func(b *body, v []Vec)) {
	function(f, name, constants, 2, 6, op)
}

// long is unary for an op that takes many instructions and up to 10 registers.
func long(f *File, name string, constants []uint32, op func(b *body, v []Vec)) {
	function(f, name, constants, 1, 10, op)
}

func function(f *File, name string, constants []uint32, unroll, regs int, op func(b *body, v []Vec)) {
	f.Func("f32"+name+"NEON", "(dst, x []float32, p, q float32)", "", func(g *Func) {
		b := &body{Func: g, p: Vec(unroll * regs), q: Vec(unroll*regs + 1), constants: constants}
		g.Spread(g.Addr("p"), b.p)
		g.Spread(g.Addr("q"), b.q)
		for _, c := range constants {
			g.Constant(c, b.constant(c))
		}
		dst, x := g.Arg("dst_base"), g.Arg("x_base")
		loop(g, g.Arg("dst_len"), unroll, []Reg{dst, x}, func(count int, load func(int, Reg, Vec), store func(int, Vec, Reg)) {
			for i := range count {
				v := Vecs(i*regs, regs)
				load(i, x, v[0])
				op(b, v)
				store(i, v[0], dst)
			}
		})
	})
}

// binary emits a function of two slices.
func binary(f *File, name string, op func(g *Func, d, n, m Vec)) {
	f.Func("f32"+name+"NEON", "(dst, a, b []float32)", "", func(g *Func) {
		dst, a, b := g.Arg("dst_base"), g.Arg("a_base"), g.Arg("b_base")
		loop(g, g.Arg("dst_len"), 4, []Reg{dst, a, b}, func(count int, load func(int, Reg, Vec), store func(int, Vec, Reg)) {
			for i := range count {
				v, w := Vec(2*i), Vec(2*i+1)
				load(i, a, v)
				load(i, b, w)
				op(g, v, v, w)
				store(i, v, dst)
			}
		})
	})
}

// partials is the number of partial results of a reduction.
const partials = 32

// reduce emits a reduction of a slice whose length is a multiple of partials; op combines x with v, to v, using t.
func reduce(f *File, name string, start float64, op func(g *Func, v, x, t Vec)) {
	f.Func("f32"+name+"NEON", "(x []float32) float32", "", func(g *Func) {
		const count = partials / Lanes
		acc, loaded, t := Vecs(0, count), Vecs(count, count), Vec(2*count)
		for _, v := range acc {
			g.Constant(math.Float32bits(float32(start)), v)
		}
		x, n := g.Arg("x_base"), g.Arg("x_len")
		g.IfZero(n, "done")
		g.Label("loop")
		g.Load(x, 0, loaded...)
		for i, v := range acc {
			op(g, v, loaded[i], t)
		}
		g.Add(4*partials, x)
		g.P("SUBS $%d, %v", partials, n)
		g.P("BNE loop")
		g.Label("done")
		// Lane l of the first half takes lane l of the second, until one is left.
		for half := count / 2; half > 0; half /= 2 {
			for i := range half {
				op(g, acc[i], acc[half+i], t)
			}
		}
		for half := Lanes / 2; half > 0; half /= 2 {
			g.Rotate(half, loaded[0], acc[0])
			op(g, acc[0], loaded[0], t)
		}
		g.P("FMOVS F%d, %s", acc[0], g.Addr("ret"))
	})
}

// scaleShift16 emits dst = x*scale + shift with factors that repeat after 16 values, for a multiple of 16 values.
func scaleShift16(f *File) {
	f.Func("f32ScaleShift16NEON", "(dst, x, scale, shift []float32)", "", func(g *Func) {
		scale, shift, in, out := Vecs(0, Vectors), Vecs(Vectors, Vectors), Vecs(2*Vectors, Vectors), Vecs(3*Vectors, Vectors)
		g.Load(g.Arg("scale_base"), 0, scale...)
		g.Load(g.Arg("shift_base"), 0, shift...)
		dst, x, n := g.Arg("dst_base"), g.Arg("x_base"), g.Arg("dst_len")
		g.IfZero(n, "done")
		g.Label("loop")
		g.Load(x, 0, in...)
		for j, v := range out {
			g.MoveVec(shift[j], v)
			g.FMLA(v, in[j], scale[j])
		}
		g.Store(dst, 0, out...)
		g.Add(4*Block, x)
		g.Add(4*Block, dst)
		g.P("SUBS $%d, %v", Block, n)
		g.P("BNE loop")
		g.Label("done")
	})
}
