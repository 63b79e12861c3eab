// Command reorder generates the amd64 code of package reorder.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"scission/ops/internal/asmgen/avx"
	"scission/ops/internal/asmgen/edge"
)

func main() {
	avx.BuildTags()
	transpose()
	Generate()
}

// distances returns a register with an argument that counts values, in bytes, and one with three times as much.
func distances(name string) (one, three reg.GPVirtual) {
	one, three = GP64(), GP64()
	Load(Param(name), one)
	SHLQ(Imm(2), one)
	LEAQ(Mem{Base: one, Index: one, Scale: 2}, three)
	return one, three
}

// fourRows returns the memory of four rows from base on.
func fourRows(base, one, three reg.Register) [4]Mem {
	return [4]Mem{{Base: base}, {Base: base, Index: one, Scale: 1}, {Base: base, Index: one, Scale: 2}, {Base: base, Index: three, Scale: 1}}
}

// transpose emits a transpose in squares of 8×8. The squares of one column of the source, which fill rows of the
// destination, follow each other.
func transpose() {
	TEXT("x32Transpose8x8AVX2", NOSPLIT, "func(dst []float32, ds int, src []float32, ss, rows, cols int)")
	Pragma("noescape")
	const square, half, size = 8, 4, 4
	y := avx.AVX2.Regs

	dst, src := Load(Param("dst").Base(), GP64()), Load(Param("src").Base(), GP64())
	ds, ds3 := distances("ds")
	ss, ss3 := distances("ss")
	cols, rows := Load(Param("cols"), GP64()), GP64()
	Label("column")
	d, s, d4, s4 := GP64(), GP64(), GP64(), GP64()
	MOVQ(dst, d)
	MOVQ(src, s)
	MOVQ(edge.Addr(Param("rows")), rows)
	Label("square")
	LEAQ(Mem{Base: d, Index: ds, Scale: half}, d4)
	LEAQ(Mem{Base: s, Index: ss, Scale: half}, s4)
	// Vector i of half h has columns 4h … 4h+3 of row i in its low lane and of row i+4 in its high lane, so that a
	// transpose of 4×4 in each lane makes whole rows of the destination.
	for h := range 2 {
		v, u := y[h*8:][:4], y[h*8+4:][:4]
		low, high := fourRows(s, ss, ss3), fourRows(s4, ss, ss3)
		for i := range half {
			VMOVUPS(low[i].Offset(h*half*size), v[i].AsX())
			VINSERTF128(Imm(1), high[i].Offset(h*half*size), v[i], v[i])
		}
		VUNPCKLPS(v[1], v[0], u[0])
		VUNPCKHPS(v[1], v[0], u[1])
		VUNPCKLPS(v[3], v[2], u[2])
		VUNPCKHPS(v[3], v[2], u[3])
		VUNPCKLPD(u[2], u[0], v[0])
		VUNPCKHPD(u[2], u[0], v[1])
		VUNPCKLPD(u[3], u[1], v[2])
		VUNPCKHPD(u[3], u[1], v[3])
		for j, m := range fourRows([]reg.Register{d, d4}[h], ds, ds3) {
			VMOVUPS(v[j], m)
		}
	}
	ADDQ(Imm(square*size), d)
	LEAQ(Mem{Base: s4, Index: ss, Scale: half}, s)
	SUBQ(Imm(square), rows)
	JNZ(LabelRef("square"))
	LEAQ(Mem{Base: dst, Index: ds, Scale: square}, dst)
	ADDQ(Imm(square*size), src)
	SUBQ(Imm(square), cols)
	JNZ(LabelRef("column"))
	VZEROUPPER()
	RET()
}
