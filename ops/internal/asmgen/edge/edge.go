// Package edge has what the generators of gemm, vec and pool share: arguments in memory, and loads and stores of the
// vectors at a row's end, of which only some lanes exist.
package edge

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"scission/ops/internal/asmgen/avx"
)

// Addr returns the memory that holds an argument.
func Addr(c gotypes.Component) Mem {
	b, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// Edge loads and stores consecutive vectors of which only the first n lanes exist. Memory behind them is not touched.
type Edge struct {
	isa   avx.ISA
	masks []reg.Register // one for each vector
}

// Table is the data that masks are read from: ones lanes of ones, and as many of zeros, so that a mask of n <= ones
// lanes begins n lanes before the zeros.
type Table struct{ mem Mem }

const ones = 16

// Masks emits the data that edges with AVX2 need, once for a file.
func Masks() Table {
	t := Table{GLOBL("masks", attr.RODATA|attr.NOPTR)}
	for i := range 2 * ones {
		if i < ones {
			DATA(4*i, U32(0xffffffff))
		} else {
			DATA(4*i, U32(0))
		}
	}
	return t
}

// New emits code that prepares the masks of len(in) vectors with n lanes, 0 <= n <= 16 with AVX2 and 0 <= n <= 32
// with AVX-512. With AVX2 it writes the masks to in, with AVX-512 to K1 and K2, using CX.
func (t Table) New(isa avx.ISA, n reg.Register, in ...reg.VecPhysical) Edge {
	e := Edge{isa: isa}
	if isa.Bytes == 32 {
		at, back := GP64(), GP64()
		LEAQ(t.mem, at)
		MOVQ(n, back)
		NEGQ(back)
		for j, v := range in {
			VMOVUPS(Mem{Base: at, Index: back, Scale: 4, Disp: 4*ones + j*isa.Bytes}, v)
			e.masks = append(e.masks, v)
		}
		return e
	}
	bits := GP64()
	MOVQ(n, reg.RCX)
	MOVQ(U32(1), bits)
	SHLQ(reg.CL, bits)
	DECQ(bits)
	for j := range in {
		k := []reg.Register{reg.K1, reg.K2}[j]
		KMOVW(bits.As32(), k)
		e.masks = append(e.masks, k)
		SHRQ(Imm(16), bits)
	}
	return e
}

// Load emits a load of vector j of those at m into v, with zeros for the lanes that do not exist.
func (e Edge) Load(j int, m Mem, v reg.VecPhysical) {
	if m = m.Offset(j * e.isa.Bytes); e.isa.Bytes == 32 {
		VMASKMOVPS(m, e.masks[j], v)
	} else {
		VMOVUPS_Z(m, e.masks[j], v)
	}
}

// Store emits a store of v as vector j of those at m.
func (e Edge) Store(j int, v reg.VecPhysical, m Mem) {
	if m = m.Offset(j * e.isa.Bytes); e.isa.Bytes == 32 {
		VMASKMOVPS(v, e.masks[j], m)
	} else {
		VMOVUPS(v, e.masks[j], m)
	}
}
