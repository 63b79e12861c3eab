// Command plane generates the amd64 code of package plane of the transport; see the functions there for what it computes.
package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"scission/ops/internal/asmgen/avx"
)

const (
	group = 8  // elements of a group
	wide  = 16 // elements of a round of quantise, dequantise, narrow and widen
	none  = 0x80
)

var y = avx.AVX2.Regs

func main() {
	avx.BuildTags()
	mark4()
	mark2()
	split4()
	split2()
	join4()
	join2()
	limits()
	quantise()
	dequantise()
	float16()
	bfloat16()
	Generate()
}

// begin starts a function that nothing of Go's escapes through, and returns pointers to its first arguments.
func begin(name, signature string, pointers ...string) []reg.GPVirtual {
	TEXT(name+"AVX2", NOSPLIT, "func("+signature)
	Pragma("noescape")
	var p []reg.GPVirtual
	for _, arg := range pointers {
		p = append(p, Load(Param(arg), GP64()).(reg.GPVirtual))
	}
	return p
}

func end() {
	VZEROUPPER()
	RET()
}

// rounds emits a loop over the rounds that an argument counts, in each of which dst and src move so many bytes.
func rounds(arg string, dst, src reg.GPVirtual, dstBytes, srcBytes int, body func()) {
	n := Load(Param(arg), GP64())
	Label("loop")
	body()
	ADDQ(Imm(uint64(dstBytes)), dst)
	ADDQ(Imm(uint64(srcBytes)), src)
	DECQ(n)
	JNZ(LabelRef("loop"))
	end()
}

// table emits a vector of bytes.
func table(name string, bytes ...int) Mem {
	m := GLOBL(name, attr.RODATA|attr.NOPTR)
	for i, b := range bytes {
		DATA(i, U8(b))
	}
	return m
}

// constant sets all lanes of v to the same bits.
func constant(bits uint32, v reg.VecPhysical) {
	r := GP32()
	MOVL(U32(bits), r)
	VMOVD(r, v.AsX())
	VPBROADCASTD(v.AsX(), v)
}

func mark4() {
	p := begin("mark4", "bitmap, src *byte, groups int)", "bitmap", "src")
	VPXOR(y[0], y[0], y[0])
	bits := GP32()
	rounds("groups", p[0], p[1], 1, 4*group, func() {
		VPCMPEQD(Mem{Base: p[1]}, y[0], y[1])
		VMOVMSKPS(y[1], bits)
		NOTL(bits)
		MOVB(bits.As8(), Mem{Base: p[0]})
	})
}

func mark2() {
	p := begin("mark2", "bitmap, src *byte, groups int)", "bitmap", "src")
	x := y[1].AsX()
	VPXOR(y[0], y[0], y[0])
	bits := GP32()
	rounds("groups", p[0], p[1], 1, 2*group, func() {
		VPCMPEQW(Mem{Base: p[1]}, y[0].AsX(), x)
		VPACKSSWB(x, x, x)
		VPMOVMSKB(x, bits)
		NOTL(bits)
		MOVB(bits.As8(), Mem{Base: p[0]})
	})
}

// each emits the loops of split: over groups with the marks, and over all elements if there are none. load loads a
// group, if b is not nil with the elements that it marks first, and put writes it.
func each(p []reg.GPVirtual, elem int, load func(b reg.Register), put func()) {
	heads, rest, marks, src := p[0], p[1], p[2], p[3]
	n := Load(Param("groups"), GP64())
	TESTQ(marks, marks)
	JZ(LabelRef("all"))
	b := GP64()
	Label("marked")
	MOVBQZX(Mem{Base: marks}, b)
	load(b)
	put()
	POPCNTQ(b, b)
	ADDQ(b, heads)
	for range elem - 1 {
		ADDQ(b, rest)
	}
	INCQ(marks)
	ADDQ(Imm(uint64(group*elem)), src)
	DECQ(n)
	JNZ(LabelRef("marked"))
	end()

	Label("all")
	load(nil)
	put()
	ADDQ(Imm(group), heads)
	ADDQ(Imm(uint64(group*(elem-1))), rest)
	ADDQ(Imm(uint64(group*elem)), src)
	DECQ(n)
	JNZ(LabelRef("all"))
	end()
}

const splitSignature = "heads, rest, marks, src, packed *byte, groups int)"

func split4() {
	order := table("order4", 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15)
	p := begin("split4", splitSignature, "heads", "rest", "marks", "src", "packed")
	heads, rest, src, packed := p[0], p[1], p[3], p[4]
	VMOVDQU(order, y[0])
	each(p, 4, func(b reg.Register) {
		if b == nil {
			VMOVDQU(Mem{Base: src}, y[1])
			return
		}
		VPMOVZXBD(Mem{Base: packed, Index: b, Scale: group}, y[2])
		VPERMD(Mem{Base: src}, y[2], y[1])
	}, func() {
		VPSLLD(Imm(1), y[1], y[2])
		VPSRLD(Imm(31), y[1], y[1])
		VPOR(y[1], y[2], y[1])
		VPSHUFB(y[0], y[1], y[1])
		VEXTRACTI128(Imm(1), y[1], y[2].AsX())
		for i, x := range []reg.Register{y[1].AsX(), y[2].AsX()} {
			VMOVDQU(x, Mem{Base: rest, Disp: i * 12})
			VPEXTRD(Imm(3), x, Mem{Base: heads, Disp: i * 4})
		}
	})
}

// words sets x to the indices of bytes that go with those of words in a table by b, one behind the other.
func words(table, b reg.Register, pair, x reg.Register) {
	VMOVQ(Mem{Base: table, Index: b, Scale: group}, x)
	VPUNPCKLBW(x, x, x)
	VPADDB(x, x, x)
	VPADDB(pair, x, x)
}

// pairs emits the vector of 0 and 1 in turns.
func pairs(name string) Mem { return table(name, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1) }

func split2() {
	order, pair := table("order2", 0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15), pairs("splitPairs")
	p := begin("split2", splitSignature, "heads", "rest", "marks", "src", "packed")
	heads, rest, src, packed := p[0], p[1], p[3], p[4]
	x := []reg.Register{y[0].AsX(), y[1].AsX(), y[2].AsX(), y[3].AsX()}
	VMOVDQU(order, x[0])
	VMOVDQU(pair, x[3])
	each(p, 2, func(b reg.Register) {
		VMOVDQU(Mem{Base: src}, x[1])
		if b != nil {
			words(packed, b, x[3], x[2])
			VPSHUFB(x[2], x[1], x[1])
		}
	}, func() {
		VPSLLW(Imm(1), x[1], x[2])
		VPSRLW(Imm(15), x[1], x[1])
		VPOR(x[1], x[2], x[1])
		VPSHUFB(x[0], x[1], x[1])
		VMOVQ(x[1], Mem{Base: rest})
		VPEXTRQ(Imm(1), x[1], Mem{Base: heads})
	})
}

// joined emits the loops of join: get puts the next elements together, and put writes them, those that b marks to their
// places if it is not nil.
func joined(p []reg.GPVirtual, elem int, get func(), put func(b reg.Register)) {
	dst, heads, rest, last, marks := p[0], p[1], p[2], p[3], p[4]
	n, done := Load(Param("groups"), GP64()), GP64()
	XORQ(done, done)
	TESTQ(marks, marks)
	JZ(LabelRef("all"))
	b := GP64()
	Label("marked")
	CMPQ(rest, last)
	JA(LabelRef("end"))
	get()
	MOVBQZX(Mem{Base: marks, Index: done, Scale: 1}, b)
	put(b)
	POPCNTQ(b, b)
	ADDQ(b, heads)
	for range elem - 1 {
		ADDQ(b, rest)
	}
	ADDQ(Imm(uint64(group*elem)), dst)
	INCQ(done)
	CMPQ(done, n)
	JB(LabelRef("marked"))
	JMP(LabelRef("end"))

	Label("all")
	CMPQ(rest, last)
	JA(LabelRef("end"))
	get()
	put(nil)
	ADDQ(Imm(group), heads)
	ADDQ(Imm(uint64(group*(elem-1))), rest)
	ADDQ(Imm(uint64(group*elem)), dst)
	INCQ(done)
	CMPQ(done, n)
	JB(LabelRef("all"))
	Label("end")
	Store(done, ReturnIndex(0))
	end()
}

const joinSignature = "dst, heads, rest, last, marks, spread *byte, groups int) int"

func join4() {
	lane := []int{0, 1, 2, none, 3, 4, 5, none, 6, 7, 8, none, 9, 10, 11, none}
	order := table("apart4", append(lane, lane...)...)
	p := begin("join4", joinSignature, "dst", "heads", "rest", "last", "marks", "spread")
	dst, heads, rest, spread := p[0], p[1], p[2], p[5]
	VMOVDQU(order, y[0])
	joined(p, 4, func() {
		VMOVDQU(Mem{Base: rest}, y[1].AsX())
		VINSERTI128(Imm(1), Mem{Base: rest, Disp: 12}, y[1], y[1])
		VPSHUFB(y[0], y[1], y[1])
		VPMOVZXBD(Mem{Base: heads}, y[2])
		VPSLLD(Imm(24), y[2], y[2])
		VPOR(y[2], y[1], y[1])
		VPSRLD(Imm(1), y[1], y[2])
		VPSLLD(Imm(31), y[1], y[1])
		VPOR(y[2], y[1], y[1])
	}, func(b reg.Register) {
		if b != nil {
			const mark = 25 // by how much an index is shifted for the mark of an absent one to be its sign
			VPMOVZXBD(Mem{Base: spread, Index: b, Scale: group}, y[2])
			VPERMD(y[1], y[2], y[1])
			VPSLLD(Imm(mark), y[2], y[2])
			VPSRAD(Imm(31), y[2], y[2])
			VPANDN(y[1], y[2], y[1])
		}
		VMOVDQU(y[1], Mem{Base: dst})
	})
}

func join2() {
	pair := pairs("joinPairs")
	p := begin("join2", joinSignature, "dst", "heads", "rest", "last", "marks", "spread")
	dst, heads, rest, spread := p[0], p[1], p[2], p[5]
	x := []reg.Register{y[0].AsX(), y[1].AsX(), y[2].AsX()}
	VMOVDQU(pair, x[0])
	joined(p, 2, func() {
		VMOVQ(Mem{Base: rest}, x[1])
		VMOVQ(Mem{Base: heads}, x[2])
		VPUNPCKLBW(x[2], x[1], x[1])
		VPSRLW(Imm(1), x[1], x[2])
		VPSLLW(Imm(15), x[1], x[1])
		VPOR(x[2], x[1], x[1])
	}, func(b reg.Register) {
		if b != nil {
			words(spread, b, x[0], x[2])
			VPSHUFB(x[2], x[1], x[1])
		}
		VMOVDQU(x[1], Mem{Base: dst})
	})
}

func limits() {
	p := begin("limits", "x *float32, src *byte, groups int)", "x", "src")
	lo, hi, magnitude, abs := y[0], y[1], y[2], y[3]
	constant(1<<31-1, abs)
	VMOVUPS(Mem{Base: p[1]}, lo)
	VMOVAPS(lo, hi)
	VPXOR(magnitude, magnitude, magnitude)
	n := Load(Param("groups"), GP64())
	Label("loop")
	VMOVUPS(Mem{Base: p[1]}, y[4])
	VMINPS(y[4], lo, lo)
	VMAXPS(y[4], hi, hi)
	VPAND(abs, y[4], y[4])
	VPMAXUD(y[4], magnitude, magnitude)
	ADDQ(Imm(4*group), p[1])
	DECQ(n)
	JNZ(LabelRef("loop"))
	for i, v := range []reg.VecPhysical{lo, hi, magnitude} {
		VMOVUPS(v, Mem{Base: p[0], Disp: i * 4 * group})
	}
	end()
}

func quantise() {
	p := begin("quantise", "dst, src *byte, rounds int, lo, inverse float32)", "dst", "src")
	spread("lo", y[0])
	spread("inverse", y[1])
	rounds("rounds", p[0], p[1], wide, 4*wide, func() {
		v := y[2:4]
		for i := range v {
			VMOVUPS(Mem{Base: p[1], Disp: i * 32}, v[i])
			VSUBPS(y[0], v[i], v[i])
			VMULPS(y[1], v[i], v[i])
			VCVTPS2DQ(v[i], v[i])
		}
		VPACKSSDW(v[1], v[0], v[0])
		VPACKUSWB(v[0], v[0], v[0])
		VEXTRACTI128(Imm(1), v[0], v[1].AsX())
		VPUNPCKLDQ(v[1].AsX(), v[0].AsX(), v[0].AsX())
		VMOVDQU(v[0].AsX(), Mem{Base: p[0]})
	})
}

// spread sets all lanes of v to an argument.
func spread(arg string, v reg.VecPhysical) {
	Load(Param(arg), v.AsX())
	VBROADCASTSS(v.AsX(), v)
}

func dequantise() {
	p := begin("dequantise", "dst, src *byte, rounds int, lo, scale float32)", "dst", "src")
	spread("lo", y[0])
	spread("scale", y[1])
	rounds("rounds", p[0], p[1], 4*wide, wide, func() {
		for i, v := range y[2:4] {
			VPMOVZXBD(Mem{Base: p[1], Disp: i * group}, v)
			VCVTDQ2PS(v, v)
			VMULPS(y[1], v, v)
			VADDPS(y[0], v, v)
			VMOVUPS(v, Mem{Base: p[0], Disp: i * 32})
		}
	})
}

const convertSignature = "dst, src *byte, rounds int)"

func float16() {
	p := begin("narrow16", convertSignature, "dst", "src")
	rounds("rounds", p[0], p[1], 2*wide, 4*wide, func() {
		const nearest = 0
		for i, v := range y[:2] {
			VMOVUPS(Mem{Base: p[1], Disp: i * 32}, v)
			VCVTPS2PH(Imm(nearest), v, Mem{Base: p[0], Disp: i * 16})
		}
	})
	q := begin("widen16", convertSignature, "dst", "src")
	rounds("rounds", q[0], q[1], 4*wide, 2*wide, func() {
		for i, v := range y[:2] {
			VCVTPH2PS(Mem{Base: q[1], Disp: i * 16}, v)
			VMOVUPS(v, Mem{Base: q[0], Disp: i * 32})
		}
	})
}

func bfloat16() {
	p := begin("narrowB", convertSignature, "dst", "src")
	constant(1, y[0])
	constant(0x7fff, y[1])
	rounds("rounds", p[0], p[1], 2*wide, 4*wide, func() {
		const quarters = 0b11_01_10_00 // to put the halves of two vectors in order
		v := y[2:4]
		for i := range v {
			VMOVDQU(Mem{Base: p[1], Disp: i * 32}, v[i])
			VPSRLD(Imm(16), v[i], y[4])
			VPAND(y[0], y[4], y[4])
			VPADDD(y[1], v[i], v[i])
			VPADDD(y[4], v[i], v[i])
			VPSRLD(Imm(16), v[i], v[i])
		}
		VPACKUSDW(v[1], v[0], v[0])
		VPERMQ(Imm(quarters), v[0], v[0])
		VMOVDQU(v[0], Mem{Base: p[0]})
	})
	q := begin("widenB", convertSignature, "dst", "src")
	rounds("rounds", q[0], q[1], 4*wide, 2*wide, func() {
		for i, v := range y[:2] {
			VPMOVZXWD(Mem{Base: q[1], Disp: i * 16}, v)
			VPSLLD(Imm(16), v, v)
			VMOVDQU(v, Mem{Base: q[0], Disp: i * 32})
		}
	})
}
