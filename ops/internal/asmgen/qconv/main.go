// Command qconv generates the tiles of the convolution of quantised values: px pixels of one block of 16 channels.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"scission/ops/internal/asmgen/avx"
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
	loopsCeiling = loopsFloor + 4
)

const (
	block     = 16            // channels of a block of the layout
	pair      = 2 * block * 2 // bytes of a pair of values, or weights, of each channel
	sums      = 2             // of loops.quantise: the sums are stored as they are
	wide      = 4 * block     // bytes of a pixel of float32
	quarter   = wide / 4
	half      = 2 * block     // bytes of a pixel of int16
	order     = 0b11_01_10_00 // of the quarters of a packed pixel, to put the channels in order
	low       = 0x20          // of VPERM2I128: the low halves
	unordered = 3             // of VCMPPS
	high      = 0x31          // and the high halves
)

// tile has what the code of one tile shares.
type tile struct {
	avx.ISA
	px, nv         int
	halves         bool
	acc, free      []reg.VecPhysical
	l              Mem
	in, taps, w, n reg.GPVirtual                      // the input of the tile, the lists, and the taps that are left
	at             func(base reg.Register, i int) Mem // pixel i
}

// function writes a tile: body sums the products. If halves, and always in half vectors, the channels of sums are in the
// order of unpacking: those of the first quarter, the third, the second and the fourth.
func function(s avx.ISA, kind string, px int, body func(t *tile), halves bool) {
	t := &tile{ISA: s, px: px, halves: halves, nv: wide / s.Bytes, in: GP64(), taps: GP64(), w: GP64(), n: GP64()}
	name := fmt.Sprintf("%s%sP%d", kind, s.Name, px)
	TEXT(name, NOSPLIT, "func(l, taps *int, in, w *int16, epi, res *float32, out *int16, count, lines int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes lines of count tiles of %d pixels.", name, px))
	t.acc, t.free = s.Regs[:px*t.nv], s.Regs[px*t.nv:]
	t.l = Mem{Base: Load(Param("l"), GP64())}
	t.at = avx.Multiples(px+1, func(one reg.GPVirtual) { MOVQ(t.l.Offset(loopsPixel), one) })
	in, n := t.in, t.n
	res, out := GP64(), GP64()
	Load(Param("in"), in)
	Load(Param("res"), res)
	Load(Param("out"), out)
	locals := AllocLocal(40)
	local := func(i int) Mem { return locals.Offset(8 * i) }
	lineIn, lineRes, lineOut, count, lines := local(0), local(1), local(2), local(3), local(4)
	MOVQ(Load(Param("lines"), n), lines)

	Label("line")
	MOVQ(in, lineIn)
	MOVQ(res, lineRes)
	MOVQ(out, lineOut)
	MOVQ(Load(Param("count"), n), count)

	Label("tile")
	if s.Bytes == 64 {
		VMOVDQU32(channels(t, Mem{Base: Load(Param("epi"), n)}, start, 0), t.acc[0])
		for _, v := range t.acc[1:] {
			VMOVDQA32(t.acc[0], v)
		}
	}
	Load(Param("taps"), t.taps)
	Load(Param("w"), t.w)
	MOVQ(t.l.Offset(loopsTaps), n)
	body(t)
	t.store(Mem{Base: Load(Param("epi"), n)}, res, out)
	LEAQ(t.at(in, px), in)
	DECQ(count)
	JNZ(LabelRef("tile"))
	MOVQ(lineIn, in)
	ADDQ(t.l.Offset(loopsLineIn), in)
	MOVQ(lineOut, out)
	ADDQ(t.l.Offset(loopsLineOut), out)
	TESTQ(res, res)
	JZ(LabelRef("moved"))
	MOVQ(lineRes, res)
	ADDQ(t.l.Offset(loopsLineRes), res)
	Label("moved")
	DECQ(lines)
	JNZ(LabelRef("line"))
	VZEROUPPER()
	RET()
}

// add adds the products of the vectors x(j) and the weights to the sums of pixel i. If it is the first of a tile in
// half vectors, the products become the sums. A free register that x(j) returns may be the third.
func (t *tile) add(x func(j int) Op, i int, first bool) {
	for j := range t.nv {
		acc, w := t.acc[i*t.nv+j], t.free[j]
		switch {
		case t.Bytes == 64:
			VPDPWSSD(x(j), w, acc)
		case first:
			VPMADDWD(x(j), w, acc)
		default:
			y := t.free[3-j]
			VPMADDWD(x(j), w, y)
			VPADDD(y, acc, acc)
		}
	}
}

// weights loads those of a pair.
func (t *tile) weights(u int) {
	for j := range t.nv {
		VMOVDQU_(t.ISA, Mem{Base: t.w, Disp: u*pair + j*t.Bytes}, t.free[j])
	}
}

// tap moves to the next tap, and p to its values for the first pixel.
func (t *tile) tap(p reg.GPVirtual) {
	MOVQ(Mem{Base: t.taps}, p)
	ADDQ(t.in, p)
	ADDQ(Imm(8), t.taps)
}

// dense multiplies runs of input values with their weights.
func dense(run int) func(t *tile) {
	return func(t *tile) {
		p := GP64()
		pairs := func(from, to int, first bool) {
			for u := from; u < to; u++ {
				t.weights(u)
				for i := range t.px {
					x := t.at(p, i).Offset(4 * u)
					if t.Bytes == 64 {
						VPDPWSSD_BCST(x, t.free[0], t.acc[i])
						continue
					}
					VPBROADCASTD(x, t.free[2])
					t.add(func(int) Op { return t.free[2] }, i, first)
				}
			}
		}
		t.tap(p)
		pairs(0, 1, true)
		JMP(LabelRef("rest"))
		Label("tap")
		t.tap(p)
		pairs(0, 1, false)
		Label("rest")
		pairs(1, run/2, false)
		ADDQ(I32(run/2*pair), t.w)
		DECQ(t.n)
		JNZ(LabelRef("tap"))
	}
}

// depthwise multiplies pairs of taps, which lie in one vector, of the same channels.
func depthwise(t *tile) {
	p := GP64()
	tap := func(first bool) {
		t.tap(p)
		t.weights(0)
		for i := range t.px {
			t.add(func(j int) Op { return t.at(p, i).Offset(j * t.Bytes) }, i, first)
		}
		ADDQ(Imm(pair), t.w)
		DECQ(t.n)
	}
	tap(true)
	JZ(LabelRef("summed"))
	Label("tap")
	tap(false)
	JNZ(LabelRef("tap"))
	Label("summed")
}

// VMOVDQU_ loads a vector.
func VMOVDQU_(s avx.ISA, m Mem, v reg.VecPhysical) {
	if s.Bytes == 64 {
		VMOVDQU32(m, v)
	} else {
		VMOVDQU(m, v)
	}
}

// VMOVAPS_ copies a vector.
func VMOVAPS_(s avx.ISA, from, to reg.VecPhysical) {
	if s.Bytes == 64 {
		VMOVDQA32(from, to)
	} else {
		VMOVDQA(from, to)
	}
}

// What the epilogue has for each channel.
const (
	mul = iota
	add
	scale
	shift
	mask
	start
)

// channels is where vector j of these lies.
func channels(t *tile, epi Mem, what, j int) Mem { return epi.Offset(what*wide + j*t.Bytes) }

// store writes the epilogue, and moves res and out to the next tile.
func (t *tile) store(epi Mem, res, out reg.GPVirtual) {
	channels := func(what, j int) Mem { return channels(t, epi, what, j) }
	each := func(f func(i, j int, v reg.VecPhysical)) {
		for i := range t.px {
			for j := range t.nv {
				f(i, j, t.acc[i*t.nv+j])
			}
		}
	}
	multiplyAdd := func(m, a int) {
		for j := range t.nv {
			VMOVUPS(channels(m, j), t.free[0])
			VMOVUPS(channels(a, j), t.free[1])
			for i := range t.px {
				VFMADD213PS(t.free[1], t.free[0], t.acc[i*t.nv+j])
			}
		}
	}
	if t.Bytes == 32 {
		CMPQ(t.l.Offset(loopsStart), Imm(0))
		JE(LabelRef("started"))
		for j := range t.nv {
			VMOVDQU(channels(start, j), t.free[0])
			for i := range t.px {
				VPADDD(t.free[0], t.acc[i*t.nv+j], t.acc[i*t.nv+j])
			}
		}
		Label("started")
	}
	CMPQ(t.l.Offset(loopsQuantise), Imm(sums))
	JE(LabelRef("wide"))
	each(func(_, _ int, v reg.VecPhysical) { VCVTDQ2PS(v, v) })
	multiplyAdd(mul, add)
	CMPQ(t.l.Offset(loopsScale), Imm(0))
	JE(LabelRef("scaled"))
	multiplyAdd(scale, shift)
	Label("scaled")
	TESTQ(res, res)
	JZ(LabelRef("added"))
	each(func(i, j int, v reg.VecPhysical) {
		if t.Bytes == 64 {
			VADDPS(Mem{Base: res, Disp: i * wide}, v, v)
			return
		}
		low, x := Mem{Base: res, Disp: i*wide + j*quarter}, t.free[0]
		VMOVUPS(low, x.AsX())
		VINSERTF128(Imm(1), low.Offset(2*quarter), x, x)
		VADDPS(x, v, v)
	})
	ADDQ(I32(t.px*wide), res)
	Label("added")
	CMPQ(t.l.Offset(loopsClamp), Imm(0))
	JE(LabelRef("masked"))
	VBROADCASTSS(t.l.Offset(loopsLo), t.free[0])
	VBROADCASTSS(t.l.Offset(loopsHi), t.free[1])
	each(func(_, _ int, v reg.VecPhysical) { avx.Clamp(t.free[0], t.free[1], v) })
	CMPQ(t.l.Offset(loopsMask), Imm(0))
	JE(LabelRef("masked"))
	for j := range t.nv {
		VMOVUPS(channels(mask, j), t.free[0])
		for i := range t.px {
			t.And(t.free[0], t.acc[i*t.nv+j])
		}
	}
	Label("masked")
	CMPQ(t.l.Offset(loopsQuantise), Imm(0))
	JNE(LabelRef("quantise"))
	Label("wide")
	each(func(i, j int, v reg.VecPhysical) {
		if t.Bytes == 64 {
			if t.halves {
				VSHUFF64X2(Imm(order), v, v, v)
			}
			VMOVUPS(v, Mem{Base: out, Disp: i * wide})
			return
		}
		low := Mem{Base: out, Disp: i*wide + j*quarter}
		VMOVUPS(v.AsX(), low)
		VEXTRACTF128(Imm(1), v, low.Offset(2*quarter))
	})
	ADDQ(I32(t.px*wide), out)
	JMP(LabelRef("stored"))

	Label("quantise")
	first, second, z := t.free[0], t.free[1], t.free[2]
	VBROADCASTSS(t.l.Offset(loopsInverse), first)
	VBROADCASTSS(t.l.Offset(loopsRest), second)
	each(func(_, _ int, v reg.VecPhysical) {
		VMULPS(second, v, z)
		VFMADD231PS(first, v, z)
		VCVTPS2DQ(z, v)
	})
	floor, ceiling := first, second
	to := func(i int) Mem { return Mem{Base: out, Disp: i * half} }
	if t.Bytes == 64 {
		VPBROADCASTD(t.l.Offset(loopsFloor), floor)
		VPBROADCASTD(t.l.Offset(loopsCeiling), ceiling)
		each(func(i, _ int, v reg.VecPhysical) {
			VPMAXSD(floor, v, v)
			VPMINSD(ceiling, v, v)
			if !t.halves {
				VPMOVSDW(v, to(i))
				return
			}
			VPMOVSDW(v, v.AsY())
			VPERMQ(Imm(order), v.AsY(), v.AsY())
			VMOVDQU(v.AsY(), to(i))
		})
	} else {
		VPBROADCASTW(t.l.Offset(loopsCeiling), ceiling)
		CMPL(t.l.Offset(loopsFloor), Imm(0))
		JNE(LabelRef("signed"))
		for i := range t.px {
			a, b := t.acc[2*i], t.acc[2*i+1]
			VPACKUSDW(b, a, a)
			VPMINUW(ceiling, a, a)
			VMOVDQU(a, to(i))
		}
		ADDQ(I32(t.px*half), out)
		JMP(LabelRef("stored"))
		Label("signed")
		VPBROADCASTW(t.l.Offset(loopsFloor), floor)
		for i := range t.px {
			a, b := t.acc[2*i], t.acc[2*i+1]
			VPACKSSDW(b, a, a)
			VPMAXSW(floor, a, a)
			VPMINSW(ceiling, a, a)
			VMOVDQU(a, to(i))
		}
	}
	ADDQ(I32(t.px*half), out)
	Label("stored")
}

// spread loads a float32 parameter to all lanes.
func spread(name string, v reg.VecVirtual) {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(p.Addr, v)
}

// quantise divides by step, rounds and narrows n times 16 values.
func quantise() {
	TEXT("quantiseAVX2", NOSPLIT, "func(dst *int16, x *float32, n int, step, lo, hi, nan float32)")
	Pragma("noescape")
	Doc("quantiseAVX2 is Quantise for n times 16 values; lo and hi are times step, and nan is lo.")
	dst, x, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	step, lo, hi, nan := YMM(), YMM(), YMM(), YMM()
	spread("step", step)
	spread("lo", lo)
	spread("hi", hi)
	spread("nan", nan)
	Label("next")
	var packed [2]reg.VecVirtual
	for j := range packed {
		y, mask := YMM(), YMM()
		VMOVUPS(Mem{Base: x, Disp: 32 * j}, y)
		VMAXPS(y, lo, y) // a NaN stays
		VMINPS(y, hi, y)
		VDIVPS(step, y, y)
		VCMPPS(Imm(unordered), y, y, mask)
		VBLENDVPS(mask, nan, y, y)
		VCVTPS2DQ(y, y)
		packed[j] = y
	}
	VPACKSSDW(packed[1], packed[0], packed[0])
	VPERMQ(Imm(order), packed[0], packed[0])
	VMOVDQU(packed[0], Mem{Base: dst})
	ADDQ(Imm(half), dst)
	ADDQ(Imm(wide), x)
	DECQ(n)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// quantiseFast multiplies by the inverse of a step, rounds and narrows n times 16 values.
func quantiseFast() {
	TEXT("scaleAVX2", NOSPLIT, "func(dst *int16, x *float32, n int, inverse, rest, hi float32, floor int16)")
	Pragma("noescape")
	Doc("scaleAVX2 is Quantise for n times 16 values and a step that has an inverse in two parts; hi is times the step.")
	dst, x, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	inverse, rest, hi, floor := YMM(), YMM(), YMM(), YMM()
	spread("inverse", inverse)
	spread("rest", rest)
	spread("hi", hi)
	spread16("floor", floor)
	Label("next")
	var packed [2]reg.VecVirtual
	for j := range packed {
		y, z := YMM(), YMM()
		VMOVUPS(Mem{Base: x, Disp: 32 * j}, y)
		VMINPS(y, hi, y) // a NaN stays, and is converted to the smallest integer
		VMULPS(rest, y, z)
		VFMADD231PS(inverse, y, z)
		VCVTPS2DQ(z, z)
		packed[j] = z
	}
	VPACKSSDW(packed[1], packed[0], packed[0])
	VPERMQ(Imm(order), packed[0], packed[0])
	VPMAXSW(floor, packed[0], packed[0])
	VMOVDQU(packed[0], Mem{Base: dst})
	ADDQ(Imm(half), dst)
	ADDQ(Imm(wide), x)
	DECQ(n)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// interleave puts n times 16 values of four planes side by side.
func interleave() {
	TEXT("interleaveAVX2", NOSPLIT, "func(dst, x *int16, plane, n int)")
	Pragma("noescape")
	Doc("interleaveAVX2 is Interleave for n times 16 pixels; the distance of planes is in bytes.")
	dst, x, plane, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("plane"), GP64()), Load(Param("n"), GP64())
	third := GP64()
	LEAQ(Mem{Base: plane, Index: plane, Scale: 2}, third)
	Label("next")
	a, b, c, d := YMM(), YMM(), YMM(), YMM()
	VMOVDQU(Mem{Base: x}, a)
	VMOVDQU(Mem{Base: x, Index: plane, Scale: 1}, b)
	VMOVDQU(Mem{Base: x, Index: plane, Scale: 2}, c)
	VMOVDQU(Mem{Base: x, Index: third, Scale: 1}, d)
	abLow, abHigh, cdLow, cdHigh := YMM(), YMM(), YMM(), YMM()
	VPUNPCKLWD(b, a, abLow)
	VPUNPCKHWD(b, a, abHigh)
	VPUNPCKLWD(d, c, cdLow)
	VPUNPCKHWD(d, c, cdHigh)
	VPUNPCKLDQ(cdLow, abLow, a)   // pixels 0, 1 and 8, 9
	VPUNPCKHDQ(cdLow, abLow, b)   // 2, 3 and 10, 11
	VPUNPCKLDQ(cdHigh, abHigh, c) // 4, 5 and 12, 13
	VPUNPCKHDQ(cdHigh, abHigh, d) // 6, 7 and 14, 15
	for i, v := range [...]struct {
		halves uint64
		x, y   reg.VecVirtual
	}{{low, a, b}, {low, c, d}, {high, a, b}, {high, c, d}} {
		VPERM2I128(Imm(v.halves), v.y, v.x, abLow)
		VMOVDQU(abLow, Mem{Base: dst, Disp: 32 * i})
	}
	ADDQ(Imm(4*half), dst)
	ADDQ(Imm(half), x)
	DECQ(n)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// rows pairs the values of pixels.
func rows() {
	TEXT("pairRowsAVX2", NOSPLIT, "func(dst, a, b *int16, rows, n, dstStep, srcStep int)")
	Pragma("noescape")
	Doc("pairRowsAVX2 is pairRows for rows of n times 16 values; the distances of rows are in bytes.")
	dst, a, b, count := Load(Param("dst"), GP64()), Load(Param("a"), GP64()), Load(Param("b"), GP64()), Load(Param("rows"), GP64())
	dstStep, srcStep := Load(Param("dstStep"), GP64()), Load(Param("srcStep"), GP64())
	at, to, n := GP64(), GP64(), GP64()
	pixels := func(count int) {
		for i := range count {
			x, y, z := YMM(), YMM(), YMM()
			VMOVDQU(Mem{Base: a, Index: at, Scale: 1, Disp: i * half}, x)
			VMOVDQU(Mem{Base: b, Index: at, Scale: 1, Disp: i * half}, y)
			VPUNPCKLWD(y, x, z)
			VPUNPCKHWD(y, x, x)
			VMOVDQU(z, Mem{Base: to, Disp: i * pair})
			VMOVDQU(x, Mem{Base: to, Disp: i*pair + half})
		}
		ADDQ(Imm(uint64(count*half)), at)
		ADDQ(I32(count*pair), to)
		SUBQ(Imm(uint64(count)), n)
	}
	const most = 4
	Label("row")
	XORQ(at, at)
	MOVQ(dst, to)
	Load(Param("n"), n)
	SUBQ(Imm(most), n)
	JL(LabelRef("few"))
	Label("many")
	pixels(most)
	JGE(LabelRef("many"))
	Label("few")
	ADDQ(Imm(most), n)
	JZ(LabelRef("done"))
	Label("one")
	pixels(1)
	JNZ(LabelRef("one"))
	Label("done")
	ADDQ(dstStep, dst)
	ADDQ(srcStep, a)
	ADDQ(srcStep, b)
	DECQ(count)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// dequantise widens n times 16 values and multiplies them by scale.
func dequantise() {
	TEXT("dequantiseAVX2", NOSPLIT, "func(dst *float32, x *int16, n int, scale float32)")
	Pragma("noescape")
	Doc("dequantiseAVX2 is Dequantise for n times 16 values.")
	dst, x, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	scale := YMM()
	spread("scale", scale)
	Label("next")
	for j := range 2 {
		y := YMM()
		VPMOVSXWD(Mem{Base: x, Disp: 16 * j}, y)
		VCVTDQ2PS(y, y)
		VMULPS(scale, y, y)
		VMOVUPS(y, Mem{Base: dst, Disp: 32 * j})
	}
	ADDQ(Imm(wide), dst)
	ADDQ(Imm(half), x)
	DECQ(n)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// widen copies n times 16 bytes to int16.
func widen() {
	TEXT("widenAVX2", NOSPLIT, "func(dst *int16, src *byte, n, dstStep, srcStep int, flip, zero int16)")
	Pragma("noescape")
	Doc("widenAVX2 is widen for n times 16 bytes; the distances of these are in bytes, and the bits of flip are in both bytes.")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
	dstStep, srcStep := Load(Param("dstStep"), GP64()), Load(Param("srcStep"), GP64())
	flip, zero := XMM(), YMM()
	spread16("flip", flip)
	spread16("zero", zero)
	Label("next")
	bytes, y := XMM(), YMM()
	VPXOR(Mem{Base: src}, flip, bytes)
	VPMOVZXBW(bytes, y)
	VPSUBW(zero, y, y)
	VMOVDQU(y, Mem{Base: dst})
	ADDQ(dstStep, dst)
	ADDQ(srcStep, src)
	DECQ(n)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// narrow copies n times 16 int16 to bytes.
func narrow() {
	TEXT("narrowAVX2", NOSPLIT, "func(dst *byte, src *int16, n, dstStep int, zero int16)")
	Pragma("noescape")
	Doc("narrowAVX2 is narrow for n times 16 values; the distance of those of dst is in bytes.")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
	dstStep := Load(Param("dstStep"), GP64())
	zero, low := YMM(), YMM()
	spread16("zero", zero)
	VPCMPEQW(low, low, low)
	VPSRLW(Imm(8), low, low)
	Label("next")
	y, rest := YMM(), XMM()
	VPADDW(Mem{Base: src}, zero, y)
	VPAND(low, y, y)
	VEXTRACTI128(Imm(1), y, rest)
	VPACKUSWB(rest, y.AsX(), rest)
	VMOVDQU(rest, Mem{Base: dst})
	ADDQ(dstStep, dst)
	ADDQ(Imm(half), src)
	DECQ(n)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// spread16 loads an int16 parameter to all lanes.
func spread16(name string, v Op) {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	VPBROADCASTW(p.Addr, v)
}

// combine calculates with n times 16 pairs of values as numbers, and quantises the results.
func combine(name string, op func(b, a, y Op)) {
	name += "AVX2"
	TEXT(name, NOSPLIT, "func(dst, a, b *int16, n int, scaleA, scaleB, step, lo, hi float32)")
	Pragma("noescape")
	Doc(name + " is Combine for n times 16 pairs; lo and hi limit the numbers.")
	dst, a, b, n := Load(Param("dst"), GP64()), Load(Param("a"), GP64()), Load(Param("b"), GP64()), Load(Param("n"), GP64())
	scaleA, scaleB, step, lo, hi := YMM(), YMM(), YMM(), YMM(), YMM()
	for _, p := range []struct {
		name string
		v    reg.VecVirtual
	}{{"scaleA", scaleA}, {"scaleB", scaleB}, {"step", step}, {"lo", lo}, {"hi", hi}} {
		spread(p.name, p.v)
	}
	Label("next")
	var packed [2]reg.VecVirtual
	for j := range packed {
		x, y := YMM(), YMM()
		for _, p := range []struct {
			from     reg.Register
			scale, v reg.VecVirtual
		}{{a, scaleA, x}, {b, scaleB, y}} {
			VPMOVSXWD(Mem{Base: p.from, Disp: 16 * j}, p.v)
			VCVTDQ2PS(p.v, p.v)
			VMULPS(p.scale, p.v, p.v)
		}
		op(y, x, y)
		VMAXPS(lo, y, y)
		VMINPS(hi, y, y)
		VDIVPS(step, y, y)
		VCVTPS2DQ(y, y)
		packed[j] = y
	}
	VPACKSSDW(packed[1], packed[0], packed[0])
	VPERMQ(Imm(order), packed[0], packed[0])
	VMOVDQU(packed[0], Mem{Base: dst})
	for _, p := range []reg.Register{dst, a, b} {
		ADDQ(Imm(half), p)
	}
	DECQ(n)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// extremes finds the smallest and the largest of n times 16 numbers.
func extremes() {
	TEXT("extremesAVX2", NOSPLIT, "func(x *float32, n int, ends *[16]float32)")
	Pragma("noescape")
	Doc("extremesAVX2 lowers the first 8 of ends to n times 16 numbers, and raises the others. A NaN changes nothing.")
	x, n, ends := Load(Param("x"), GP64()), Load(Param("n"), GP64()), Load(Param("ends"), GP64())
	var lo, hi [2]reg.VecVirtual
	for j := range lo {
		lo[j], hi[j] = YMM(), YMM()
		VMOVUPS(Mem{Base: ends}, lo[j])
		VMOVUPS(Mem{Base: ends, Disp: 32}, hi[j])
	}
	Label("next")
	for j := range lo {
		v := YMM()
		VMOVUPS(Mem{Base: x, Disp: 32 * j}, v)
		VMINPS(lo[j], v, lo[j])
		VMAXPS(hi[j], v, hi[j])
	}
	ADDQ(Imm(wide), x)
	DECQ(n)
	JNZ(LabelRef("next"))
	VMINPS(lo[1], lo[0], lo[0])
	VMAXPS(hi[1], hi[0], hi[0])
	VMOVUPS(lo[0], Mem{Base: ends})
	VMOVUPS(hi[0], Mem{Base: ends, Disp: 32})
	VZEROUPPER()
	RET()
}

func main() {
	avx.BuildTags()
	quantise()
	quantiseFast()
	dequantise()
	widen()
	narrow()
	combine("add", func(b, a, y Op) { VADDPS(b, a, y) })
	combine("mul", func(b, a, y Op) { VMULPS(b, a, y) })
	extremes()
	interleave()
	rows()
	for _, s := range []struct {
		isa          avx.ISA
		dense, depth int
	}{{avx.AVX2, 6, 6}, {avx.AVX512, 8, 8}} {
		for px := 1; px <= s.dense; px++ {
			function(s.isa, "dense", px, dense(8), false)
			function(s.isa, "few", px, dense(4), false)
		}
		for px := 1; px <= s.depth; px++ {
			function(s.isa, "depth", px, depthwise, true)
		}
	}
	Generate()
}
