package neon

import "fmt"

// VectorBytes is the size of a vector, and Lanes the float32s in it.
const (
	VectorBytes = 16
	Lanes       = 4
)

// word emits an instruction as its encoding.
func (g *Func) word(code uint32, format string, args ...any) {
	g.P("WORD $0x%08x // %s", code, fmt.Sprintf(format, args...))
}

// three emits an instruction of three vectors of float32s, from n and m to d.
func (g *Func) three(code uint32, name string, d, n, m Vec) {
	g.word(code|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.4s, v%d.4s", name, d, n, m)
}

// FADD sets d to n + m.
func (g *Func) FADD(d, n, m Vec) { g.three(0x4e20d400, "fadd", d, n, m) }

// FSUB sets d to n - m.
func (g *Func) FSUB(d, n, m Vec) { g.three(0x4ea0d400, "fsub", d, n, m) }

// FMUL sets d to n·m.
func (g *Func) FMUL(d, n, m Vec) { g.three(0x6e20dc00, "fmul", d, n, m) }

// FDIV sets d to n / m.
func (g *Func) FDIV(d, n, m Vec) { g.three(0x6e20fc00, "fdiv", d, n, m) }

// FMIN is FMAX for the smaller of n and m.
func (g *Func) FMIN(d, n, m Vec) { g.three(0x4ea0f400, "fmin", d, n, m) }

// FSQRT is d = √n.
func (g *Func) FSQRT(d, n Vec) {
	g.word(0x6ea1f800|uint32(n)<<5|uint32(d), "fsqrt v%d.4s, v%d.4s", d, n)
}

// FCMGT sets the lanes of d to ones where n > m, to zeros elsewhere.
func (g *Func) FCMGT(d, n, m Vec) { g.three(0x6ea0e400, "fcmgt", d, n, m) }

// FMLALane adds n·m[lane] to d, with one rounding.
func (g *Func) FMLALane(d, n, m Vec, lane int) {
	code := uint32(0x4f801000) | uint32(lane&1)<<21 | uint32(lane>>1)<<11
	g.word(code|uint32(m)<<16|uint32(n)<<5|uint32(d), "fmla v%d.4s, v%d.4s, v%d.s[%d]", d, n, m, lane)
}

// SignBits sets the lanes of d to ones where n has its sign bit set, to zeros elsewhere.
func (g *Func) SignBits(d, n Vec) {
	g.word(0x4ea0a800|uint32(n)<<5|uint32(d), "cmlt v%d.4s, v%d.4s, #0", d, n)
}

// Halve shifts the signed integers of n right by one bit, to d.
func (g *Func) Halve(d, n Vec) {
	g.word(0x4f3f0400|uint32(n)<<5|uint32(d), "sshr v%d.4s, v%d.4s, #1", d, n)
}

// FMLA adds n·m to d, with one rounding.
func (g *Func) FMLA(d, n, m Vec) { g.P("VFMLA V%d.S4, V%d.S4, V%d.S4", m, n, d) }

// FMLS subtracts n·m from d, with one rounding.
func (g *Func) FMLS(d, n, m Vec) { g.P("VFMLS V%d.S4, V%d.S4, V%d.S4", m, n, d) }

// AddInt sets d to the sums of the integers of n and m, and SubInt to the differences.
func (g *Func) AddInt(d, n, m Vec) { g.P("VADD V%d.S4, V%d.S4, V%d.S4", m, n, d) }

// SubInt is described at AddInt.
func (g *Func) SubInt(d, n, m Vec) { g.P("VSUB V%d.S4, V%d.S4, V%d.S4", m, n, d) }

// ShiftLeft shifts the lanes of n by some bits, to d.
func (g *Func) ShiftLeft(bits int, d, n Vec) { g.P("VSHL $%d, V%d.S4, V%d.S4", bits, n, d) }

// And sets d to n & m.
func (g *Func) And(d, n, m Vec) { g.P("VAND V%d.B16, V%d.B16, V%d.B16", m, n, d) }

// Or sets d to n | m.
func (g *Func) Or(d, n, m Vec) { g.P("VORR V%d.B16, V%d.B16, V%d.B16", m, n, d) }

// InsertTrue copies n to d where the bits of mask are ones, InsertFalse where they are zeros.
func (g *Func) InsertTrue(d, n, mask Vec) { g.P("VBIT V%d.B16, V%d.B16, V%d.B16", mask, n, d) }

// InsertFalse is described at InsertTrue.
func (g *Func) InsertFalse(d, n, mask Vec) { g.P("VBIF V%d.B16, V%d.B16, V%d.B16", mask, n, d) }

// Choose turns d, a mask, into n where its bits are ones, into m where they are zeros.
func (g *Func) Choose(d, n, m Vec) { g.P("VBSL V%d.B16, V%d.B16, V%d.B16", m, n, d) }

// Rotate sets d to n with its first lanes behind the others.
func (g *Func) Rotate(lanes int, d, n Vec) {
	g.P("VEXT $%d, V%d.B16, V%d.B16, V%d.B16", 4*lanes, n, n, d)
}

// Zero sets v to +0.
func (g *Func) Zero(v Vec) { g.P("VEOR V%d.B16, V%d.B16, V%d.B16", v, v, v) }

// MoveVec copies a vector.
func (g *Func) MoveVec(from, to Vec) { g.P("VMOV V%d.B16, V%d.B16", from, to) }

// Load loads vectors that lie one behind the other from base plus some bytes on.
func (g *Func) Load(base Reg, bytes int, vs ...Vec) {
	g.move("FLDPQ %[1]s, %[2]s", "FMOVQ %[1]s, %[2]s", base, bytes, vs)
}

// Store stores vectors one behind the other.
func (g *Func) Store(base Reg, bytes int, vs ...Vec) {
	g.move("FSTPQ %[2]s, %[1]s", "FMOVQ %[2]s, %[1]s", base, bytes, vs)
}

// move emits moves of vectors to or from memory, two at a time.
func (g *Func) move(pair, single string, base Reg, bytes int, vs []Vec) {
	for len(vs) > 0 {
		at := fmt.Sprintf("%d(%v)", bytes, base)
		if len(vs) == 1 {
			g.P(single, at, fmt.Sprintf("F%d", vs[0]))
			return
		}
		g.P(pair, at, fmt.Sprintf("(F%d, F%d)", vs[0], vs[1]))
		vs = vs[2:]
		bytes += 2 * VectorBytes
	}
}

// LoadAt loads a vector from base plus index.
func (g *Func) LoadAt(base, index Reg, v Vec) {
	g.word(0x3ce06800|uint32(index)<<16|uint32(base)<<5|uint32(v), "ldr q%d, [x%d, x%d]", v, int(base), int(index))
}

// LoadLane loads a float32, some bytes from base on, to lane 0 and zeros to the others.
func (g *Func) LoadLane(base Reg, bytes int, v Vec) { g.P("FMOVS %d(%v), F%d", bytes, base, v) }

// LoadLaneAt is LoadLane from base plus index.
func (g *Func) LoadLaneAt(base, index Reg, v Vec) { g.P("FMOVS (%v)(%v), F%d", base, index, v) }

// StoreLane stores lane 0.
func (g *Func) StoreLane(v Vec, base Reg) { g.P("FMOVS F%d, (%v)", v, base) }

// Clamp sets v to lo where v < lo, then to hi where v > hi, using t. A NaN in v stays, as does a zero's sign, which
// the instructions for the larger and the smaller of two numbers would change.
func (g *Func) Clamp(lo, hi, v, t Vec) {
	g.FCMGT(t, lo, v)
	g.InsertTrue(v, lo, t)
	g.FCMGT(t, v, hi)
	g.InsertTrue(v, hi, t)
}

// SMLAL adds to d, four int32s, the products of the int16s in the low half of n and of m, or in the high half.
func (g *Func) SMLAL(d, n, m Vec, high bool) {
	code, name, size := uint32(0x0e608000), "smlal", 4
	if high {
		code, name, size = code|1<<30, "smlal2", 8
	}
	g.word(code|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.%dh, v%d.%dh", name, d, n, size, m, size)
}

// SMLALLane is SMLAL with one int16 of m, which is one of the first 16 vectors.
func (g *Func) SMLALLane(d, n, m Vec, lane int, high bool) {
	if m > 15 {
		panic(fmt.Sprintf("neon: vector register %d, want at most 15", m))
	}
	code, name, size := uint32(0x0f402000), "smlal", 4
	if high {
		code, name, size = code|1<<30, "smlal2", 8
	}
	code |= uint32(lane&1)<<20 | uint32(lane>>1&1)<<21 | uint32(lane>>2)<<11
	g.word(code|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.%dh, v%d.h[%d]", name, d, n, size, m, lane)
}

// SCVTF converts int32s to float32s.
func (g *Func) SCVTF(d, n Vec) {
	g.word(0x4e21d800|uint32(n)<<5|uint32(d), "scvtf v%d.4s, v%d.4s", d, n)
}

// FCVTNS rounds float32s to int32s, ties to even; a NaN becomes 0.
func (g *Func) FCVTNS(d, n Vec) {
	g.word(0x4e21a800|uint32(n)<<5|uint32(d), "fcvtns v%d.4s, v%d.4s", d, n)
}

// FCMEQ sets the lanes of d to ones where n = m, to zeros elsewhere.
func (g *Func) FCMEQ(d, n, m Vec) { g.three(0x4e20e400, "fcmeq", d, n, m) }

// SQXTN narrows int32s to int16s, with saturation: to the low half of d, whose other half becomes zero, or to the
// high half.
func (g *Func) SQXTN(d, n Vec, high bool) {
	if high {
		g.word(0x4e614800|uint32(n)<<5|uint32(d), "sqxtn2 v%d.8h, v%d.4s", d, n)
	} else {
		g.word(0x0e614800|uint32(n)<<5|uint32(d), "sqxtn v%d.4h, v%d.4s", d, n)
	}
}

// FCVTN rounds float32s to float16s: to the low half of d, whose other half becomes zero, or to the high half.
func (g *Func) FCVTN(d, n Vec, high bool) {
	if high {
		g.word(0x4e216800|uint32(n)<<5|uint32(d), "fcvtn2 v%d.8h, v%d.4s", d, n)
	} else {
		g.word(0x0e216800|uint32(n)<<5|uint32(d), "fcvtn v%d.4h, v%d.4s", d, n)
	}
}

// FCVTL sets d to the float16s in the low half of n, or in the high half, as float32s.
func (g *Func) FCVTL(d, n Vec, high bool) {
	if high {
		g.word(0x4e217800|uint32(n)<<5|uint32(d), "fcvtl2 v%d.4s, v%d.8h", d, n)
	} else {
		g.word(0x0e217800|uint32(n)<<5|uint32(d), "fcvtl v%d.4s, v%d.4h", d, n)
	}
}
