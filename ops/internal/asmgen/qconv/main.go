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
	loopsLo
	loopsHi      = loopsLo + 4
	loopsInverse = loopsHi + 4
	loopsRest    = loopsInverse + 4
	loopsFloor   = loopsRest + 4
)

const (
	block     = 16            // channels of a block of the layout
	pair      = 2 * block * 2 // bytes of the weights of a pair of values
	sums      = 2             // of loops.quantise: the sums are stored as they are
	wide      = 4 * block     // bytes of a pixel of float32
	half      = 2 * block     // bytes of a pixel of int16
	order     = 0b11_01_10_00 // of the quarters of a packed pixel, to put the channels in order
	low       = 0x20          // of VPERM2I128: the low halves
	unordered = 3             // of VCMPPS
	high      = 0x31          // and the high halves
)

// tile has what the code of one tile shares.
type tile struct {
	avx.ISA
	px, nv    int
	acc, free []reg.VecPhysical
	halves    bool
	l         Mem
}

// function begins a tile and writes its loops over tiles and taps: body adds the products of one tap or pair of taps
// for pixels that at addresses, from the list at taps and the weights at w, and advances both. halves says that the
// channels of sums in half vectors are in the order of unpacking: those of the first quarter, the third, the second and
// the fourth.
func function(s avx.ISA, kind string, px int, body func(t *tile, in, taps, w reg.GPVirtual, at func(base reg.Register, i int) Mem), halves bool) {
	t := &tile{ISA: s, px: px, nv: wide / s.Bytes, halves: halves && s.Bytes == 32}
	name := fmt.Sprintf("%s%sP%d", kind, s.Name, px)
	TEXT(name, NOSPLIT, "func(l, taps *int, in, w *int16, epi, res *float32, out *int16, count, lines int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes lines of count tiles of %d pixels.", name, px))
	t.acc, t.free = s.Regs[:px*t.nv], s.Regs[px*t.nv:]
	t.l = Mem{Base: Load(Param("l"), GP64())}
	at := avx.Multiples(px, func(one reg.GPVirtual) { MOVQ(t.l.Offset(loopsPixel), one) })
	in, res, out := GP64(), GP64(), GP64()
	Load(Param("in"), in)
	Load(Param("res"), res)
	Load(Param("out"), out)
	taps, w, n := GP64(), GP64(), GP64()
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
	epi := Mem{Base: Load(Param("epi"), n)}
	for i, v := range t.acc {
		if i < t.nv {
			VMOVDQU_(s, channels(t, epi, start, i), v)
		} else {
			VMOVAPS_(s, t.acc[i%t.nv], v)
		}
	}
	Load(Param("taps"), taps)
	Load(Param("w"), w)
	MOVQ(t.l.Offset(loopsTaps), n)
	Label("tap")
	body(t, in, taps, w, at)
	DECQ(n)
	JNZ(LabelRef("tap"))
	t.store(Mem{Base: Load(Param("epi"), n)}, res, out)
	ADDQ(t.l.Offset(loopsTile), in)
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

// dense adds the products of a run of input values with their weights.
func dense(run int) func(t *tile, in, taps, w reg.GPVirtual, at func(base reg.Register, i int) Mem) {
	return func(t *tile, in, taps, w reg.GPVirtual, at func(base reg.Register, i int) Mem) {
		p := GP64()
		MOVQ(Mem{Base: taps}, p)
		ADDQ(in, p)
		for u := range run / 2 {
			for j := range t.nv {
				VMOVDQU_(t.ISA, Mem{Base: w, Disp: u*pair + j*t.Bytes}, t.free[j])
			}
			for i := range t.px {
				x := at(p, i).Offset(4 * u)
				if t.Bytes == 64 {
					VPDPWSSD_BCST(x, t.free[0], t.acc[i])
					continue
				}
				a, b := t.free[2], t.free[3]
				VPBROADCASTD(x, a)
				VPMADDWD(a, t.free[0], b)
				VPMADDWD(a, t.free[1], a)
				VPADDD(b, t.acc[2*i], t.acc[2*i])
				VPADDD(a, t.acc[2*i+1], t.acc[2*i+1])
			}
		}
		ADDQ(I32(run/2*pair), w)
		ADDQ(Imm(8), taps)
	}
}

// depthwise adds the products of two taps of the same channels.
func depthwise(t *tile, in, taps, w reg.GPVirtual, at func(base reg.Register, i int) Mem) {
	p, q := GP64(), GP64()
	MOVQ(Mem{Base: taps}, p)
	ADDQ(in, p)
	MOVQ(Mem{Base: taps, Disp: 8}, q)
	ADDQ(in, q)
	for j := range t.nv {
		VMOVDQU_(t.ISA, Mem{Base: w, Disp: j * t.Bytes}, t.free[j])
	}
	for i := range t.px {
		if t.Bytes == 64 {
			a, b := t.free[1], t.free[2]
			VPMOVZXWD(at(p, i), a)
			VPMOVZXWD(at(q, i), b)
			VPSLLD(Imm(16), b, b)
			VPORD(a, b, b)
			VPDPWSSD(t.free[0], b, t.acc[i])
			continue
		}
		a, b := t.free[2], t.free[3]
		VMOVDQU(at(p, i), a)
		VPUNPCKHWD(at(q, i), a, b)
		VPUNPCKLWD(at(q, i), a, a)
		VPMADDWD(t.free[0], a, a)
		VPMADDWD(t.free[1], b, b)
		VPADDD(a, t.acc[2*i], t.acc[2*i])
		VPADDD(b, t.acc[2*i+1], t.acc[2*i+1])
	}
	ADDQ(Imm(pair), w)
	ADDQ(Imm(16), taps)
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
	each(func(i, j int, v reg.VecPhysical) { VADDPS(Mem{Base: res, Disp: i*wide + j*t.Bytes}, v, v) })
	ADDQ(I32(t.px*wide), res)
	Label("added")
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
	if t.halves {
		for i := range t.px {
			a, b, x := t.acc[2*i], t.acc[2*i+1], t.free[0]
			VPERM2F128(Imm(low), b, a, x)
			VPERM2F128(Imm(high), b, a, b)
			VMOVAPS(x, a)
		}
	}
	each(func(i, j int, v reg.VecPhysical) { VMOVUPS(v, Mem{Base: out, Disp: i*wide + j*t.Bytes}) })
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
	if t.Bytes == 64 {
		VPBROADCASTD(t.l.Offset(loopsFloor), z)
	} else {
		VPBROADCASTW(t.l.Offset(loopsFloor), z)
	}
	for i := range t.px {
		to := Mem{Base: out, Disp: i * half}
		if t.Bytes == 64 {
			VPMAXSD(z, t.acc[i], t.acc[i])
			VPMOVSDW(t.acc[i], to)
			continue
		}
		a, b := t.acc[2*i], t.acc[2*i+1]
		VPACKSSDW(b, a, a)
		VPMAXSW(z, a, a)
		if !t.halves {
			VPERMQ(Imm(order), a, a)
		}
		VMOVDQU(a, to)
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

// rows copies rows of n pixels.
func rows() {
	TEXT("copyRowsAVX2", NOSPLIT, "func(dst, src *int16, rows, n, dstStep, srcStep int)")
	Pragma("noescape")
	Doc("copyRowsAVX2 copies rows of n times 16 values; the distances of rows are in bytes.")
	dst, src, count := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("rows"), GP64())
	dstStep, srcStep := Load(Param("dstStep"), GP64()), Load(Param("srcStep"), GP64())
	to, from, n := GP64(), GP64(), GP64()
	Label("row")
	MOVQ(dst, to)
	MOVQ(src, from)
	Load(Param("n"), n)
	Label("pixel")
	v := YMM()
	VMOVDQU(Mem{Base: from}, v)
	VMOVDQU(v, Mem{Base: to})
	ADDQ(Imm(half), to)
	ADDQ(Imm(half), from)
	DECQ(n)
	JNZ(LabelRef("pixel"))
	ADDQ(dstStep, dst)
	ADDQ(srcStep, src)
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
	}{{avx.AVX2, 6, 4}, {avx.AVX512, 8, 8}} {
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
