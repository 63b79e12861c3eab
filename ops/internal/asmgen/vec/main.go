// Command vec generates the amd64 code of package vec; see the functions there for what they compute.
package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"scission/ops/internal/asmgen/avx"
	"scission/ops/internal/asmgen/edge"
)

func main() {
	avx.BuildTags()
	masks = edge.Masks()
	emitConstants()
	for _, isa := range []avx.ISA{avx.AVX2, avx.AVX512} {
		binary("Add", isa, func(b, v vec) { VADDPS(b, v, v) })
		binary("Sub", isa, func(b, v vec) { VSUBPS(b, v, v) })
		binary("Mul", isa, func(b, v vec) { VMULPS(b, v, v) })
		binary("Div", isa, func(b, v vec) { VDIVPS(b, v, v) })
		unary("Sqrt", isa, func(_, _ vec, v []vec) { VSQRTPS(v[0], v[0]) })
		unary("Abs", isa, func(_, _ vec, v []vec) { VANDPS(constant("abs"), v[0], v[0]) })
		unary("Clamp", isa, func(p, q vec, v []vec) { avx.Clamp(p, q, v[0]) })
		unary("AddScalar", isa, func(p, _ vec, v []vec) { VADDPS(p, v[0], v[0]) })
		unary("MulScalar", isa, func(p, _ vec, v []vec) { VMULPS(p, v[0], v[0]) })
		unary("DivScalar", isa, func(p, _ vec, v []vec) { VDIVPS(p, v[0], v[0]) })
		unary("ScalarSub", isa, func(p, _ vec, v []vec) { VSUBPS(v[0], p, v[0]) })
		unary("ScalarDiv", isa, func(p, _ vec, v []vec) { VDIVPS(v[0], p, v[0]) })
		unary("ScaleShift", isa, func(p, q vec, v []vec) { VFMADD213PS(q, p, v[0]) })
		unary("LeakyRelu", isa, func(p, _ vec, v []vec) {
			VMULPS(v[0], p, v[1])
			bySign(v[0], v[1], v[0], v[2])
		})
		unary("Exp", isa, func(p, _ vec, v []vec) {
			VSUBPS(p, v[0], v[0])
			exp(isa, v[0], v[1], v[2], v[3])
		})
		unary("Sigmoid", isa, func(_, _ vec, v []vec) { sigmoid(isa, v) })
		unary("HardSigmoid", isa, func(p, q vec, v []vec) { hardSigmoid(p, q, v) })
		unary("HardSwish", isa, func(p, q vec, v []vec) {
			VMOVAPS(v[0], v[3])
			hardSigmoid(p, q, v)
			VMULPS(v[3], v[0], v[0])
		})
		long("Swish", isa, func(p, _ vec, v []vec) {
			VMOVAPS(v[0], v[5])
			VMULPS(p, v[0], v[0])
			sigmoid(isa, v)
			VMULPS(v[5], v[0], v[0])
		})
		long("GeluTanh", isa, func(_, _ vec, v []vec) {
			VMOVAPS(v[0], v[5])
			VMULPS(v[0], v[0], v[0])
			VMOVUPS(constant("geluLinear"), v[1])
			VFMADD132PS(constant("geluCubic"), v[1], v[0])
			VMULPS(v[5], v[0], v[0])
			sigmoid(isa, v)
			VMULPS(v[5], v[0], v[0])
		})
		long("Tanh", isa, func(_, _ vec, v []vec) {
			absAndSquare(v)
			polynomial(v[3], v[2], "tanh0", "tanh1", "tanh2", "tanh3", "tanh4")
			VMULPS(v[2], v[3], v[3])
			VFMADD213PS(v[0], v[0], v[3])
			VADDPS(v[1], v[1], v[4])
			exp(isa, v[4], v[5], v[6], v[7])
			VADDPS(constant("one"), v[4], v[4])
			VMOVUPS(constant("two"), v[5])
			VDIVPS(v[4], v[5], v[4])
			farOrNear("tanhNear", v)
		})
		long("Erf", isa, func(_, _ vec, v []vec) { erf(isa, v) })
		long("Gelu", isa, func(_, _ vec, v []vec) {
			VMOVAPS(v[0], v[8])
			VMULPS(constant("rsqrt2"), v[0], v[0])
			erf(isa, v)
			VADDPS(constant("one"), v[0], v[0])
			VMULPS(constant("half"), v[8], v[8])
			VMULPS(v[8], v[0], v[0])
		})
		reduce("Sum", isa, constant("zero"), func(x, v reg.Register) { VADDPS(x, v, v) })
		reduce("Max", isa, constant("low"), func(x, v reg.Register) { VMAXPS(v, x, v) })
		scaleShift16(isa)
	}
	sumWide()
	sumWide16()
	addWide()
	Generate()
}

type vec = reg.VecPhysical

// masks are the masks of the last vector of a slice.
var masks edge.Table

// constants are the vectors that code takes from memory, as float32s or bits.
var constants = []struct {
	name string
	bits uint32
}{
	{"zero", 0},
	{"one", f32(1)},
	{"low", f32(math.Inf(-1))},
	{"sign", 1 << 31},
	{"min", f32(-104)},
	{"max", f32(89)},
	{"log2e", f32(math.Log2E)},
	{"magic", f32(0x1.8p23)},
	{"ln2hi", f32(0x1.62e4p-1)},
	{"ln2lo", f32(0x1.7f7d1cp-20)},
	{"p0", f32(1.9875691500e-4)},
	{"p1", f32(1.3981999507e-3)},
	{"p2", f32(8.3334519073e-3)},
	{"p3", f32(4.1665795894e-2)},
	{"p4", f32(1.6666665459e-1)},
	{"p5", f32(5.0000001201e-1)},
	{"bias", 127},
	{"abs", 1<<31 - 1},
	{"half", f32(0.5)},
	{"two", f32(2)},
	{"rsqrt2", f32(1 / math.Sqrt2)},
	{"geluLinear", f32(1.5957691216057308)},
	{"geluCubic", f32(0.07135481627159803)},
	{"tanhNear", f32(0.625)},
	{"tanh0", f32(-5.70498872745e-3)},
	{"tanh1", f32(2.06390887954e-2)},
	{"tanh2", f32(-5.37397155531e-2)},
	{"tanh3", f32(1.33314422036e-1)},
	{"tanh4", f32(-3.33332819422e-1)},
	{"erfNear", f32(0.927734375)},
	{"near0", f32(-5.96761703e-4)},
	{"near1", f32(4.99119423e-3)},
	{"near2", f32(-2.67681349e-2)},
	{"near3", f32(1.12819925e-1)},
	{"near4", f32(-3.76125336e-1)},
	{"near5", f32(1.28379166e-1)},
	{"far0", f32(-1.72853470e-5)},
	{"far1", f32(3.83197126e-4)},
	{"far2", f32(-3.88396438e-3)},
	{"far3", f32(2.42546219e-2)},
	{"far4", f32(-1.06777877e-1)},
	{"far5", f32(-6.34846687e-1)},
	{"far6", f32(-1.28717512e-1)},
}

func f32(x float64) uint32 { return math.Float32bits(float32(x)) }

// wide is the size of a constant in memory: of the widest vector.
const wide = 64

var table Mem

func emitConstants() {
	table = GLOBL("constants", attr.RODATA|attr.NOPTR)
	for i, c := range constants {
		for at := 0; at < wide; at += 4 {
			DATA(i*wide+at, U32(c.bits))
		}
	}
}

// constant returns the memory of a vector of a constant.
func constant(name string) Mem {
	for i, c := range constants {
		if c.name == name {
			return table.Offset(i * wide)
		}
	}
	panic(name)
}

// bySign emits v = neg where x has its sign bit set, pos elsewhere.
func bySign(x, neg, pos, t vec) {
	VPSRAD(Imm(31), x, t)
	VANDNPS(pos, t, pos)
	VANDPS(neg, t, t)
	VORPS(t, pos, pos)
}

// exp emits x = e^x. Registers lowExp and highExp hold the bounds behind which the result is 0 or +Inf. The method is
// that of expGo.
func exp(isa avx.ISA, x, n, p, s vec) {
	lo, hi := isa.Regs[lowExp], isa.Regs[highExp]
	avx.Clamp(lo, hi, x)
	VMOVUPS(constant("magic"), n)
	VFMADD231PS(constant("log2e"), x, n)
	VSUBPS(constant("magic"), n, p)
	VFNMADD231PS(constant("ln2hi"), p, x)
	VFNMADD231PS(constant("ln2lo"), p, x)
	VPSUBD(constant("magic"), n, n)
	polynomial(p, x, "p0", "p1", "p2", "p3", "p4", "p5")
	VMULPS(x, x, s)
	VFMADD213PS(x, s, p)
	VADDPS(constant("one"), p, p)
	VPSRAD(Imm(1), n, s)
	VPSUBD(s, n, n)
	for _, r := range []vec{s, n} {
		VPADDD(constant("bias"), r, r)
		VPSLLD(Imm(23), r, r)
	}
	VMULPS(s, p, p)
	VMULPS(n, p, x)
}

// polynomial emits p = P(x), where the coefficient of the highest power comes first.
func polynomial(p, x vec, coefficients ...string) {
	VMOVUPS(constant(coefficients[0]), p)
	for _, c := range coefficients[1:] {
		VFMADD213PS(constant(c), x, p)
	}
}

// sigmoid emits v[0] = 1 / (1 + e^-v[0]), using v[1] to v[4]. The method is that of sigmoidGo.
func sigmoid(isa avx.ISA, v []vec) {
	VMOVAPS(v[0], v[4])
	VORPS(constant("sign"), v[0], v[0])
	exp(isa, v[0], v[1], v[2], v[3])
	VMOVUPS(constant("one"), v[1])
	VADDPS(v[0], v[1], v[2])
	bySign(v[4], v[0], v[1], v[3])
	VDIVPS(v[2], v[1], v[0])
}

// hardSigmoid emits v[0] = p·v[0] + q bounded to 0 and 1, using v[1].
func hardSigmoid(p, q vec, v []vec) {
	VFMADD213PS(q, p, v[0])
	VMOVUPS(constant("zero"), v[1])
	VMOVUPS(constant("one"), v[2])
	avx.Clamp(v[1], v[2], v[0])
}

// absAndSquare emits v[1] = |v[0]| and v[2] = v[0]².
func absAndSquare(v []vec) {
	VANDPS(constant("abs"), v[0], v[1])
	VMULPS(v[0], v[0], v[2])
}

// farOrNear emits v[0] = v[3] where v[1], which is |v[0]|, is below a bound, and 1 - v[4] with the sign of v[0]
// elsewhere; it uses v[5] and v[6].
func farOrNear(bound string, v []vec) {
	VMOVUPS(constant("one"), v[5])
	VSUBPS(v[4], v[5], v[5])
	VANDPS(constant("sign"), v[0], v[6])
	VORPS(v[6], v[5], v[5])
	VSUBPS(constant(bound), v[1], v[1])
	bySign(v[1], v[3], v[5], v[6])
	VMOVAPS(v[5], v[0])
}

// erf emits v[0] = erf(v[0]), using v[1] to v[7]. The method is that of erfGo.
func erf(isa avx.ISA, v []vec) {
	absAndSquare(v)
	polynomial(v[3], v[2], "near0", "near1", "near2", "near3", "near4", "near5")
	VFMADD213PS(v[0], v[0], v[3])
	polynomial(v[4], v[1], "far0", "far1", "far2", "far3", "far4", "far5", "far6")
	VFMSUB213PS(v[1], v[1], v[4])
	exp(isa, v[4], v[5], v[6], v[7])
	farOrNear("erfNear", v)
}

// Registers with a purpose; loop bodies use those below.
const (
	mask = 15 - iota
	paramP
	paramQ
	lowExp
	highExp
)

// loop emits a pass over n values in which body handles count vectors at the pointers, with load and store emitting
// the access to vector i of them.
func loop(isa avx.ISA, n reg.GPVirtual, unroll int, pointers []reg.Register,
	body func(count int, load func(i int, base reg.Register, v vec), store func(i int, v vec, base reg.Register))) {
	load := func(i int, base reg.Register, v vec) { VMOVUPS(Mem{Base: base, Disp: i * isa.Bytes}, v) }
	store := func(i int, v vec, base reg.Register) { VMOVUPS(v, Mem{Base: base, Disp: i * isa.Bytes}) }
	next := func(bytes int) {
		for _, p := range pointers {
			ADDQ(I32(bytes), p)
		}
	}
	some := unroll * isa.Lanes()
	SUBQ(I32(some), n)
	JL(LabelRef("fewer"))
	Label("many")
	body(unroll, load, store)
	next(unroll * isa.Bytes)
	SUBQ(I32(some), n)
	JGE(LabelRef("many"))
	Label("fewer")
	ADDQ(I32(some-isa.Lanes()), n)
	JL(LabelRef("rest"))
	Label("one")
	body(1, load, store)
	next(isa.Bytes)
	SUBQ(I32(isa.Lanes()), n)
	JGE(LabelRef("one"))
	Label("rest")
	ADDQ(I32(isa.Lanes()), n)
	JZ(LabelRef("done"))
	e := masks.New(isa, n, isa.Regs[mask])
	body(1, func(_ int, base reg.Register, v vec) { e.Load(0, Mem{Base: base}, v) },
		func(_ int, v vec, base reg.Register) { e.Store(0, v, Mem{Base: base}) })
	Label("done")
}

// unary emits a function of a slice and two parameters; op finds a vector in v[0] of 5 registers and leaves the result
// there.
func unary(name string, isa avx.ISA, op func(p, q vec, v []vec)) { function(name, isa, 2, 5, op) }

// long is unary for an op that takes many instructions and up to 9 registers.
func long(name string, isa avx.ISA, op func(p, q vec, v []vec)) { function(name, isa, 1, 9, op) }

func function(name string, isa avx.ISA, unroll, regs int, op func(p, q vec, v []vec)) {
	TEXT("f32"+name+isa.Name, NOSPLIT, "func(dst, x []float32, p, q float32)")
	Pragma("noescape")
	p, q := isa.Regs[paramP], isa.Regs[paramQ]
	VBROADCASTSS(edge.Addr(Param("p")), p)
	VBROADCASTSS(edge.Addr(Param("q")), q)
	VMOVUPS(constant("min"), isa.Regs[lowExp])
	VMOVUPS(constant("max"), isa.Regs[highExp])
	dst, x := Load(Param("dst").Base(), GP64()), Load(Param("x").Base(), GP64())
	n := Load(Param("dst").Len(), GP64()).(reg.GPVirtual)
	loop(isa, n, unroll, []reg.Register{dst, x}, func(count int,
		load func(int, reg.Register, vec), store func(int, vec, reg.Register)) {
		for i := range count {
			v := isa.Regs[i*regs:][:regs]
			load(i, x, v[0])
			op(p, q, v)
			store(i, v[0], dst)
		}
	})
	VZEROUPPER()
	RET()
}

// binary emits a function of two slices; op combines b with v, to v.
func binary(name string, isa avx.ISA, op func(b, v vec)) {
	TEXT("f32"+name+isa.Name, NOSPLIT, "func(dst, a, b []float32)")
	Pragma("noescape")
	dst, a, b := Load(Param("dst").Base(), GP64()), Load(Param("a").Base(), GP64()), Load(Param("b").Base(), GP64())
	n := Load(Param("dst").Len(), GP64()).(reg.GPVirtual)
	loop(isa, n, 4, []reg.Register{dst, a, b}, func(count int,
		load func(int, reg.Register, vec), store func(int, vec, reg.Register)) {
		for i := range count {
			v, w := isa.Regs[2*i], isa.Regs[2*i+1]
			load(i, a, v)
			load(i, b, w)
			op(w, v)
			store(i, v, dst)
		}
	})
	VZEROUPPER()
	RET()
}

// lanes is the number of partial results of a reduction, whatever the vectors' size, so that each gives the same bits.
const lanes = 32

// reduce emits a reduction of a slice whose length is a multiple of lanes; op combines x with v, to v.
func reduce(name string, isa avx.ISA, start Mem, op func(x, v reg.Register)) {
	TEXT("f32"+name+isa.Name, NOSPLIT, "func(x []float32) float32")
	Pragma("noescape")
	count := lanes / isa.Lanes()
	acc, t := isa.Regs[:count], isa.Regs[count]
	for _, v := range acc {
		VMOVUPS(start, v)
	}
	x, n := Load(Param("x").Base(), GP64()), Load(Param("x").Len(), GP64())
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("loop")
	for i, v := range acc {
		VMOVUPS(Mem{Base: x, Disp: i * isa.Bytes}, t)
		op(t, v)
	}
	ADDQ(I32(4*lanes), x)
	SUBQ(Imm(lanes), n)
	JNZ(LabelRef("loop"))
	Label("done")
	// Lane l of the first half takes lane l of the second, until one is left.
	for half := count / 2; half > 0; half /= 2 {
		for i := range half {
			op(acc[half+i], acc[i])
		}
	}
	if isa.Bytes == 64 {
		VEXTRACTF64X4(Imm(1), reg.Z0, reg.Y1)
		op(reg.Y1, reg.Y0)
	}
	VEXTRACTF128(Imm(1), reg.Y0, reg.X1)
	op(reg.X1, reg.X0)
	VMOVHLPS(reg.X0, reg.X0, reg.X1)
	op(reg.X1, reg.X0)
	VMOVSHDUP(reg.X0, reg.X1)
	op(reg.X1, reg.X0)
	Store(reg.X0, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// scaleShift16 emits dst = x*scale + shift with factors that repeat after 16 values, for a multiple of 16 values.
func scaleShift16(isa avx.ISA) {
	TEXT("f32ScaleShift16"+isa.Name, NOSPLIT, "func(dst, x, scale, shift []float32)")
	Pragma("noescape")
	const block = 16
	vectors := block / isa.Lanes()
	scale, shift, v := isa.Regs[:vectors], isa.Regs[vectors:][:vectors], isa.Regs[2*vectors]
	p, q := Load(Param("scale").Base(), GP64()), Load(Param("shift").Base(), GP64())
	for j := range vectors {
		VMOVUPS(Mem{Base: p, Disp: j * isa.Bytes}, scale[j])
		VMOVUPS(Mem{Base: q, Disp: j * isa.Bytes}, shift[j])
	}
	dst, x, n := Load(Param("dst").Base(), GP64()), Load(Param("x").Base(), GP64()), Load(Param("dst").Len(), GP64())
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("loop")
	for j := range vectors {
		VMOVUPS(Mem{Base: x, Disp: j * isa.Bytes}, v)
		VFMADD213PS(shift[j], scale[j], v)
		VMOVUPS(v, Mem{Base: dst, Disp: j * isa.Bytes})
	}
	ADDQ(Imm(4*block), x)
	ADDQ(Imm(4*block), dst)
	SUBQ(Imm(block), n)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}
