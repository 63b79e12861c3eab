// Package avx has what the amd64 generators share: one description of the two vector widths, so that a kernel is
// written once and generated for both.
package avx

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// ISA is an instruction set with its vector registers.
type ISA struct {
	Name  string // suffix of function names
	Bytes int    // of a vector
	Regs  []reg.VecPhysical
}

var (
	AVX2 = ISA{"AVX2", 32, []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}}
	AVX512 = ISA{"AVX512", 64, []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
		reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31}}
)

// Lanes returns the float32s of a vector.
func (s ISA) Lanes() int { return s.Bytes / 4 }

// Zero sets v to +0.
func (s ISA) Zero(v reg.VecPhysical) {
	if s.Bytes == 64 {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
}

// And sets v to v & m.
func (s ISA) And(m Op, v reg.VecPhysical) {
	if s.Bytes == 64 {
		VPANDD(m, v, v)
	} else {
		VANDPS(m, v, v)
	}
}

// Clamp sets v to lo where v < lo, then to hi where v > hi. A NaN in v stays, as does a zero's sign: where the
// comparison is false the instruction returns its last source, which is v.
func Clamp(lo, hi, v reg.VecPhysical) {
	VMAXPS(v, lo, v)
	VMINPS(v, hi, v)
}

// Multiples loads a distance in bytes and returns how to address base plus i times it, for i < n: i = odd·2^s is at
// 2^s times a register that holds an odd multiple.
func Multiples(n int, load func(one reg.GPVirtual)) func(base reg.Register, i int) Mem {
	odd := make([]reg.GPVirtual, n)
	for i := 1; i < n; i += 2 {
		odd[i] = GP64()
		if i == 1 {
			load(odd[i])
		} else {
			LEAQ(Mem{Base: odd[i-2], Index: odd[1], Scale: 2}, odd[i])
		}
	}
	return func(base reg.Register, i int) Mem {
		if i == 0 {
			return Mem{Base: base}
		}
		scale := i & -i
		return Mem{Base: base, Index: odd[i/scale], Scale: uint8(scale)}
	}
}

// BuildTags sets the build constraint of the file that is generated.
func BuildTags() { ConstraintExpr("amd64"); ConstraintExpr("!purego") }
