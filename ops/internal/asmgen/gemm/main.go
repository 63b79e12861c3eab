// Command gemm generates the amd64 micro-kernels of package gemm; see tileFunc and rowFunc there for what they compute.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"scission/ops/internal/asmgen/avx"
	"scission/ops/internal/asmgen/edge"
)

func main() {
	avx.BuildTags()
	masks := edge.Masks()
	for _, g := range []struct {
		isa           avx.ISA
		rows, vectors int
		parts         bool
	}{{avx.AVX2, 6, 2, true}, {avx.AVX2, 3, 4, false}, {avx.AVX512, 14, 2, true}} {
		for rows := 1; rows <= g.rows; rows++ {
			if g.parts {
				tile(g.isa, rows, g.vectors, masks.New)
			} else {
				tile(g.isa, rows, g.vectors, nil)
			}
		}
	}
	row(avx.AVX2, 4)
	row(avx.AVX512, 2)
	Generate()
}

const (
	rowVectors = 8 // that a row kernel computes
	unroll     = 4 // values of k in one turn of a loop
)

type newEdge = func(isa avx.ISA, n reg.Register, in ...reg.VecPhysical) edge.Edge

// bytes returns a register with an argument that counts values, in bytes.
func bytes(name string) reg.Register {
	r := Load(Param(name), GP64())
	SHLQ(Imm(2), r)
	return r
}

// tile emits a tileFunc for strips of rows rows of so many vectors. Without masks all columns must exist.
func tile(isa avx.ISA, rows, vectors int, masks newEdge) {
	TEXT(fmt.Sprintf("f32Tile%dx%d%s", rows, vectors*isa.Lanes(), isa.Name), NOSPLIT,
		"func(m, n, k int, a []float32, lda int, b []float32, ldb, ahead, fetch int, c []float32, ldc int,"+
			" init []float32, ldi int, res []float32, lo, hi float32)")
	Pragma("noescape")
	acc, free := isa.Regs[:rows*vectors], isa.Regs[rows*vectors:]

	// The rows of A are l bytes apart. Odd multiples of l are in registers, addresses scale them to the even ones.
	l := map[int]reg.Register{1: bytes("lda")}
	for _, m := range []struct{ to, base, times int }{
		{3, 1, 2}, {5, 1, 4}, {7, 3, 4}, {9, 1, 8}, {11, 3, 8}, {13, 5, 8},
	} {
		if m.to < rows {
			l[m.to] = GP64()
			LEAQ(Mem{Base: l[m.base], Index: l[1], Scale: uint8(m.times)}, l[m.to])
		}
	}
	a, b, ahead, k, done := GP64(), GP64(), GP64(), GP64(), GP64()
	bStep, bStep3 := bytes("ldb"), GP64()
	LEAQ(Mem{Base: bStep, Index: bStep, Scale: 2}, bStep3)
	bAt := func(base reg.Register, u int) Mem {
		return []Mem{{Base: base}, {Base: base, Index: bStep, Scale: 1}, {Base: base, Index: bStep, Scale: 2},
			{Base: base, Index: bStep3, Scale: 1}}[u]
	}
	aAt := func(i, disp int) Mem {
		if i == 0 {
			return Mem{Base: a, Disp: disp}
		}
		times := 1
		for ; i%2 == 0; i /= 2 {
			times *= 2
		}
		return Mem{Base: a, Index: l[i], Scale: uint8(times), Disp: disp}
	}
	// Of vectors and rows, the fewer are loaded for all products of a value, the others one after the other.
	step := func(u int) {
		if vectors <= rows {
			bv, x := free[:vectors], free[vectors:][:2]
			for j, v := range bv {
				VMOVUPS(bAt(b, u).Offset(j*isa.Bytes), v)
			}
			for i := range rows {
				VBROADCASTSS(aAt(i, 4*u), x[i%2])
				for j, v := range bv {
					VFMADD231PS(x[i%2], v, acc[i*vectors+j])
				}
			}
			return
		}
		x, bv := free[:rows], free[rows:][:min(2, len(free)-rows)]
		for i, v := range x {
			VBROADCASTSS(aAt(i, 4*u), v)
		}
		for j := range vectors {
			v := bv[j%len(bv)]
			VMOVUPS(bAt(b, u).Offset(j*isa.Bytes), v)
			for i := range rows {
				VFMADD231PS(x[i], v, acc[i*vectors+j])
			}
		}
	}
	// each emits f for each accumulator and its memory in the strip's rows of a matrix.
	each := func(name, ld string, f func(j int, m Mem, v reg.VecPhysical)) {
		distance, at := bytes(ld), GP64()
		MOVQ(done, at)
		IMULQ(distance, at)
		ADDQ(edge.Addr(Param(name).Base()), at)
		for i := range rows {
			for j := range vectors {
				f(j, Mem{Base: at}, acc[i*vectors+j])
			}
			ADDQ(distance, at)
		}
	}
	// eachColumn is each with plain moves instead of f where all columns exist, which makes a difference with AVX2.
	eachColumn := func(label, name, ld string, f func(e edge.Edge, j int, m Mem, v reg.VecPhysical), move func(m Mem, v reg.VecPhysical)) {
		if masks == nil {
			each(name, ld, func(j int, m Mem, v reg.VecPhysical) { move(m.Offset(j*isa.Bytes), v) })
			return
		}
		n := Load(Param("n"), GP64())
		if isa.Bytes == 32 {
			CMPQ(n, Imm(uint64(vectors*isa.Lanes())))
			JE(LabelRef(label))
		}
		e := masks(isa, n, free[:vectors]...)
		each(name, ld, func(j int, m Mem, v reg.VecPhysical) { f(e, j, m, v) })
		if isa.Bytes == 32 {
			JMP(LabelRef(label + "Done"))
			Label(label)
			each(name, ld, func(j int, m Mem, v reg.VecPhysical) { move(m.Offset(j*isa.Bytes), v) })
			Label(label + "Done")
		}
	}

	Load(Param("b").Base(), b)
	Load(Param("ahead"), ahead)
	LEAQ(Mem{Base: b, Index: ahead, Scale: 4}, ahead)
	XORQ(done, done)
	Label("strip")
	eachColumn("init", "init", "ldi", edge.Edge.Load, func(m Mem, v reg.VecPhysical) { VMOVUPS(m, v) })

	MOVQ(done, a)
	IMULQ(l[1], a)
	ADDQ(edge.Addr(Param("a").Base()), a)
	Load(Param("b").Base(), b)
	Load(Param("k"), k)
	SUBQ(Imm(unroll), k)
	JL(LabelRef("rest"))
	Label("loop")
	PREFETCHT1(Mem{Base: ahead})
	ADDQ(edge.Addr(Param("fetch")), ahead)
	for u := range unroll {
		step(u)
	}
	ADDQ(Imm(unroll*4), a)
	LEAQ(Mem{Base: b, Index: bStep, Scale: unroll}, b)
	SUBQ(Imm(unroll), k)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(Imm(unroll), k)
	JZ(LabelRef("finish"))
	Label("one")
	step(0)
	ADDQ(Imm(4), a)
	ADDQ(bStep, b)
	DECQ(k)
	JNZ(LabelRef("one"))

	Label("finish")
	CMPQ(edge.Addr(Param("res").Len()), Imm(0))
	JE(LabelRef("clamp"))
	sum := free[len(free)-1]
	if masks == nil {
		each("res", "ldc", func(j int, m Mem, v reg.VecPhysical) { VADDPS(m.Offset(j*isa.Bytes), v, v) })
	} else {
		e := masks(isa, Load(Param("n"), GP64()), free[:vectors]...)
		each("res", "ldc", func(j int, m Mem, v reg.VecPhysical) {
			e.Load(j, m, sum)
			VADDPS(sum, v, v)
		})
	}
	Label("clamp")
	clamp(free, acc)
	eachColumn("store", "c", "ldc", func(e edge.Edge, j int, m Mem, v reg.VecPhysical) { e.Store(j, v, m) },
		func(m Mem, v reg.VecPhysical) { VMOVUPS(v, m) })
	ADDQ(Imm(uint64(rows)), done)
	CMPQ(done, edge.Addr(Param("m")))
	JL(LabelRef("strip"))
	VZEROUPPER()
	RET()
}

// clamp emits the clamp of acc between the arguments lo and hi.
func clamp(x, acc []reg.VecPhysical) {
	VBROADCASTSS(edge.Addr(Param("lo")), x[0])
	VBROADCASTSS(edge.Addr(Param("hi")), x[1])
	for _, v := range acc {
		avx.Clamp(x[0], x[1], v)
	}
}

// row emits the rowFunc for panels of so many vectors.
func row(isa avx.ISA, vectors int) {
	TEXT(fmt.Sprintf("f32Row1x%d%s", rowVectors*isa.Lanes(), isa.Name), NOSPLIT,
		"func(k int, a, b []float32, ldb, ldp int, c, init, res []float32, lo, hi float32)")
	Pragma("noescape")
	acc, x := isa.Regs[:rowVectors], isa.Regs[rowVectors:][:2]
	each := func(at reg.Register, f func(m Mem, v reg.VecPhysical)) {
		for i, v := range acc {
			f(Mem{Base: at, Disp: i * isa.Bytes}, v)
		}
	}
	each(Load(Param("init").Base(), GP64()), func(m Mem, v reg.VecPhysical) { VMOVUPS(m, v) })

	a, k, bStep, panel := Load(Param("a").Base(), GP64()), Load(Param("k"), GP64()), bytes("ldb"), bytes("ldp")
	b := []reg.Register{Load(Param("b").Base(), GP64())}
	for len(b) < rowVectors/vectors {
		next := GP64()
		LEAQ(Mem{Base: b[len(b)-1], Index: panel, Scale: 1}, next)
		b = append(b, next)
	}
	step := func(u int) {
		VBROADCASTSS(Mem{Base: a, Disp: 4 * u}, x[u%2])
		for q, at := range b {
			for j := range vectors {
				VFMADD231PS(Mem{Base: at, Disp: j * isa.Bytes}, x[u%2], acc[q*vectors+j])
			}
			ADDQ(bStep, at)
		}
	}
	SUBQ(Imm(unroll), k)
	JL(LabelRef("rest"))
	Label("loop")
	for u := range unroll {
		step(u)
	}
	ADDQ(Imm(unroll*4), a)
	SUBQ(Imm(unroll), k)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(Imm(unroll), k)
	JZ(LabelRef("finish"))
	Label("one")
	step(0)
	ADDQ(Imm(4), a)
	DECQ(k)
	JNZ(LabelRef("one"))

	Label("finish")
	CMPQ(edge.Addr(Param("res").Len()), Imm(0))
	JE(LabelRef("clamp"))
	each(Load(Param("res").Base(), GP64()), func(m Mem, v reg.VecPhysical) { VADDPS(m, v, v) })
	Label("clamp")
	clamp(x, acc)
	each(Load(Param("c").Base(), GP64()), func(m Mem, v reg.VecPhysical) { VMOVUPS(v, m) })
	VZEROUPPER()
	RET()
}
