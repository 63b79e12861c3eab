// Command pool generates the amd64 code of package pool; see windowFunc there for what it computes.
package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"scission/ops/internal/asmgen/avx"
	"scission/ops/internal/asmgen/edge"
)

func main() {
	avx.BuildTags()
	for _, isa := range []avx.ISA{avx.AVX2, avx.AVX512} {
		window("Max", isa, true)
		window("Avg", isa, false)
	}
	Generate()
}

const (
	lanes  = 16 // of a position
	chains = 8  // windows reduced at a time times vectors of a position: enough to hide an addition's latency
)

// bytes returns a register with an argument that counts values, in bytes.
func bytes(name string) reg.Register {
	r := Load(Param(name), GP64())
	SHLQ(Imm(2), r)
	return r
}

// window emits a windowFunc.
func window(name string, isa avx.ISA, maximum bool) {
	TEXT("f32Pool"+name+isa.Name, NOSPLIT,
		"func(out, in []float32, n, step, kh, rowStep, kw, colStep int, div float32)")
	Pragma("noescape")
	vectors := lanes / isa.Lanes()
	many := chains / vectors
	acc, start, div := isa.Regs[:chains], isa.Regs[chains], isa.Regs[chains+1]
	if maximum {
		bits := GP32()
		MOVL(U32(math.Float32bits(float32(math.Inf(-1)))), bits)
		VMOVD(bits, reg.X0)
		VBROADCASTSS(reg.X0, start)
	} else {
		isa.Zero(start)
		VBROADCASTSS(edge.Addr(Param("div")), div)
	}

	out, in, n := Load(Param("out").Base(), GP64()), Load(Param("in").Base(), GP64()), Load(Param("n"), GP64())
	rowStep, colStep := bytes("rowStep"), bytes("colStep")
	// Windows are step bytes apart. Odd multiples of that are in registers, addresses scale them to the even ones.
	step := map[int]reg.Register{1: bytes("step")}
	for _, m := range []struct{ to, base, times int }{{3, 1, 2}, {5, 1, 4}, {7, 3, 4}} {
		if m.to < many {
			step[m.to] = GP64()
			LEAQ(Mem{Base: step[m.base], Index: step[1], Scale: uint8(m.times)}, step[m.to])
		}
	}
	at := func(base reg.Register, p int) Mem {
		if p == 0 {
			return Mem{Base: base}
		}
		times := 1
		for ; p%2 == 0; p /= 2 {
			times *= 2
		}
		return Mem{Base: base, Index: step[p], Scale: uint8(times)}
	}
	// reduce emits the reduction of count windows.
	reduce := func(label string, count int) {
		acc := acc[:count*vectors]
		for _, v := range acc {
			VMOVAPS(start, v)
		}
		rows, row, cols, p := GP64(), GP64(), GP64(), GP64()
		Load(Param("kh"), rows)
		MOVQ(in, row)
		Label(label + "Row")
		Load(Param("kw"), cols)
		MOVQ(row, p)
		Label(label + "Col")
		for i, v := range acc {
			m := at(p, i/vectors).Offset(i % vectors * isa.Bytes)
			if maximum {
				VMAXPS(m, v, v)
			} else {
				VADDPS(m, v, v)
			}
		}
		ADDQ(colStep, p)
		DECQ(cols)
		JNZ(LabelRef(label + "Col"))
		ADDQ(rowStep, row)
		DECQ(rows)
		JNZ(LabelRef(label + "Row"))
		for i, v := range acc {
			if !maximum {
				VDIVPS(div, v, v)
			}
			VMOVUPS(v, Mem{Base: out, Disp: i * isa.Bytes})
		}
		ADDQ(I32(count*lanes*4), out)
	}
	SUBQ(Imm(uint64(many)), n)
	JL(LabelRef("rest"))
	Label("many")
	reduce("many", many)
	LEAQ(Mem{Base: in, Index: step[1], Scale: uint8(many)}, in)
	SUBQ(Imm(uint64(many)), n)
	JGE(LabelRef("many"))
	Label("rest")
	ADDQ(Imm(uint64(many)), n)
	JZ(LabelRef("done"))
	Label("one")
	reduce("one", 1)
	ADDQ(step[1], in)
	DECQ(n)
	JNZ(LabelRef("one"))
	Label("done")
	VZEROUPPER()
	RET()
}
