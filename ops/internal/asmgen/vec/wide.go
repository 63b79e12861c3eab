package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"scission/ops/internal/asmgen/avx"
)

const (
	wideLanes = 4 // float64s of a vector
	wideParts = 4 // partial sums of a reduction in float64
	wideBytes = 8
)

// sumWide emits the adding of every fourth value, in float64, to one of four sums, for a multiple of four values.
func sumWide() {
	TEXT("f32SumWideAVX2", NOSPLIT, "func(acc *[4]float64, x []float32)")
	Pragma("noescape")
	acc, x, n := Load(Param("acc"), GP64()), Load(Param("x").Base(), GP64()), Load(Param("x").Len(), GP64())
	sum, v := reg.Y0, reg.Y1
	VMOVUPD(Mem{Base: acc}, sum)
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("loop")
	VCVTPS2PD(Mem{Base: x}, v)
	VADDPD(v, sum, sum)
	ADDQ(Imm(4*wideLanes), x)
	SUBQ(Imm(wideLanes), n)
	JNZ(LabelRef("loop"))
	Label("done")
	VMOVUPD(sum, Mem{Base: acc})
	VZEROUPPER()
	RET()
}

// sumWide16 emits sumWide for each of 16 lanes, for a multiple of four rows of 16 values; acc has the first sums of all
// lanes before the second ones. Half of the lanes go first, since all sums do not fit the registers.
func sumWide16() {
	TEXT("f32SumWide16AVX2", NOSPLIT, "func(acc *[64]float64, x []float32)")
	Pragma("noescape")
	const block, perHalf = 16, 2 // values of a row, and vectors of its half
	acc, x, n := Load(Param("acc"), GP64()), Load(Param("x").Base(), GP64()), Load(Param("x").Len(), GP64())
	sums, v := avx.AVX2.Regs[:wideParts*perHalf], avx.AVX2.Regs[wideParts*perHalf]
	TESTQ(n, n)
	JZ(LabelRef("done"))
	for half, name := range []string{"low", "high"} {
		place := func(i int) Mem {
			return Mem{Base: acc, Disp: wideBytes * (i/perHalf*block + (half*perHalf+i%perHalf)*wideLanes)}
		}
		for i, s := range sums {
			VMOVUPD(place(i), s)
		}
		at, left := GP64(), GP64()
		MOVQ(x, at)
		MOVQ(n, left)
		Label(name)
		for i, s := range sums {
			VCVTPS2PD(Mem{Base: at, Disp: 4 * (i/perHalf*block + (half*perHalf+i%perHalf)*wideLanes)}, v)
			VADDPD(v, s, s)
		}
		ADDQ(I32(4*wideParts*block), at)
		SUBQ(I32(wideParts*block), left)
		JNZ(LabelRef(name))
		for i, s := range sums {
			VMOVUPD(s, place(i))
		}
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// addWide emits acc += x in float64, for a multiple of four values.
func addWide() {
	TEXT("f32AddWideAVX2", NOSPLIT, "func(acc []float64, x []float32)")
	Pragma("noescape")
	acc, x, n := Load(Param("acc").Base(), GP64()), Load(Param("x").Base(), GP64()), Load(Param("x").Len(), GP64())
	v := reg.Y0
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("loop")
	VCVTPS2PD(Mem{Base: x}, v)
	VADDPD(Mem{Base: acc}, v, v)
	VMOVUPD(v, Mem{Base: acc})
	ADDQ(Imm(4*wideLanes), x)
	ADDQ(Imm(wideBytes*wideLanes), acc)
	SUBQ(Imm(wideLanes), n)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}
