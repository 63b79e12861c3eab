package avx

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	reach  = 256 // bytes that a displacement of one byte addresses
	middle = reach / 2
	window = 4 * reach // bytes that are addressed from one base
)

// Walk addresses vectors that follow one another, in instructions as short as can be: displacements of one byte. More of
// them then come out of the processor's cache of decoded instructions at once, which matters while another thread uses
// the core, too.
type Walk struct {
	base       reg.GPVirtual
	one, three reg.GPVirtual // times reach; none with AVX-512, whose displacements count vectors
	passed     *int          // bytes between the base and the place where the walk's last End was
}

// NewWalk returns a walk that begins at base, which belongs to it from then on.
func NewWalk(s ISA, base reg.GPVirtual) Walk {
	w := Walk{base: base, passed: new(int)}
	if s.Bytes < 64 {
		w.one, w.three = GP64(), GP64()
		MOVQ(U32(reach), w.one)
		MOVQ(U32(3*reach), w.three)
		ADDQ(I32(middle), base)
	}
	return w
}

// At returns what is so many bytes from the last End on. It moves the base: a call may not ask for less than the one before.
func (w Walk) At(bytes int) Mem {
	if w.one == nil {
		return Mem{Base: w.base, Disp: bytes}
	}
	for bytes-*w.passed >= window {
		LEAQ(Mem{Base: w.base, Index: w.one, Scale: window / reach}, w.base)
		*w.passed += window
	}
	bytes -= *w.passed
	m := Mem{Base: w.base, Disp: bytes%reach - middle}
	switch bytes / reach {
	case 0:
	case 3:
		m.Index, m.Scale = w.three, 1
	default:
		m.Index, m.Scale = w.one, uint8(bytes/reach)
	}
	return m
}

// End goes on from so many bytes behind the last End, which is where code may jump back to the one before.
func (w Walk) End(bytes int) {
	if left := bytes - *w.passed; left > 0 {
		ADDQ(I32(left), w.base)
	}
	*w.passed = 0
}
