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
	join()
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

// join emits dst = a & maskA | b & maskB for positions of 16 lanes, where a and b begin da and db lanes earlier. Lanes
// that are masked are not read.
func join() {
	TEXT("x32JoinAVX2", NOSPLIT, "func(dst, a, b []float32, da, db int, maskA, maskB *int32)")
	Pragma("noescape")
	const position, vectors = 64, 2 // bytes of a position and vectors in it
	dst, n := Load(Param("dst").Base(), GP64()), Load(Param("dst").Len(), GP64())
	y := avx.AVX2.Regs
	var from [2]Mem
	for i, name := range []string{"a", "b"} {
		mask := Mem{Base: Load(Param([]string{"maskA", "maskB"}[i]), GP64())}
		at, shift := Load(Param(name).Base(), GP64()), Load(Param("d"+name), GP64())
		SHLQ(Imm(2), shift)
		SUBQ(shift, at)
		from[i] = Mem{Base: at}
		for j := range vectors {
			VMOVUPS(mask.Offset(j*position/vectors), y[i*vectors+j])
		}
	}
	SHLQ(Imm(2), n)
	ADDQ(dst, n)
	Label("loop")
	for j := range vectors {
		half := j * position / vectors
		v, w := y[4+2*j], y[5+2*j]
		VMASKMOVPS(from[0].Offset(half), y[j], v)
		VMASKMOVPS(from[1].Offset(half), y[vectors+j], w)
		VORPS(w, v, v)
		VMOVUPS(v, Mem{Base: dst, Disp: half})
	}
	for _, p := range []reg.Register{from[0].Base, from[1].Base, dst} {
		ADDQ(Imm(position), p)
	}
	CMPQ(dst, n)
	JB(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
