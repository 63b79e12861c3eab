// Command winograd generates the transforms and products of the Winograd convolutions F(4x4, 3x3) with the points 0, ±a,
// ±b and infinity, and F(4, 3) and F(4, 7) along lines.
package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"scission/ops/internal/asmgen/avx"
	"scission/ops/internal/asmgen/line"
)

// The fields of winograd.inputRun, in bytes.
const (
	inputAt = 8 * iota
	inputRow
	inputTop
	inputBottom
	inputLeft
	inputRight
	inputPlane
	inputCount
)

// The fields of winograd.outputRun, in bytes.
const (
	outputPlane = 8 * iota
	outputRow
	outputRows
	_ // the columns choose the function
	outputCount
	outputScale
	outputMask
	outputLo
	outputHi = outputLo + 4
)

// The fields of winograd.productRun, in bytes.
const (
	productBlocks = 8 * iota
	productSingles
	productStepX
	productStepY
	productStepAhead
	productAdd
)

const (
	patch = 6  // rows and columns of a tile's input
	out   = 4  // and of its output
	block = 64 // bytes of a pixel

	values = 16 // of a pixel in a block
	quad   = 4  // of them, after which weights are fetched ahead

	cacheLine = 64
	fetched   = 2 * cacheLine // at once

	// How many tiles ahead transforms fetch their inputs, and the places of what they write.
	aheadInput = 2
	aheadV     = 4
	aheadOut   = 2

	a, b = 3. / 4, 3. / 2
)

// constants writes values to read-only memory, each as a vector of AVX-512, and returns them.
func constants(name string, values ...float64) []Mem {
	m := GLOBL(name, RODATA|NOPTR)
	at := make([]Mem, len(values))
	for i, v := range values {
		at[i] = m.Offset(i * block)
		for j := range block / 4 {
			DATA(i*block+4*j, U32(math.Float32bits(float32(v))))
		}
	}
	return at
}

// steps loads a field that counts float32s and returns how to address base plus i times it.
func steps(n int, field Mem) func(base reg.Register, i int) Mem {
	return avx.Multiples(n, func(one reg.GPVirtual) {
		MOVQ(field, one)
		SHLQ(Imm(2), one)
	})
}

// transformInput writes the code for Bᵀd of vectors in memory. It uses free[:8], and the constants in the rest of free.
func transformInput(d []Mem, to func(i int, v reg.VecPhysical), free, c []reg.VecPhysical) {
	aa, bb, aabb, sum, a, b := c[0], c[1], c[2], c[3], c[4], c[5]
	d1, d2, d3, d4, s, t, r := free[0], free[1], free[2], free[3], free[4], free[5], free[6]
	for i, v := range []reg.VecPhysical{d1, d2, d3, d4} {
		VMOVUPS(d[1+i], v)
	}
	VMOVAPS(d4, s)
	VFNMADD231PS(d2, sum, s)
	VFMADD231PS(d[0], aabb, s)
	to(0, s)
	VMOVAPS(d3, t)
	VFNMADD213PS(d[5], sum, t)
	VFMADD231PS(d1, aabb, t)
	to(5, t)
	for i, points := range [][3]reg.VecPhysical{{bb, a}, {aa, b}} {
		s, t := s, t
		if i == 0 {
			VMOVAPS(d4, s)
			VFNMADD231PS(d2, points[0], s)
			VMOVAPS(d3, t)
			VFNMADD231PS(d1, points[0], t)
		} else { // d1 and d2 are used for the last time
			s, t = d2, d1
			VFNMADD213PS(d4, points[0], s)
			VFNMADD213PS(d3, points[0], t)
		}
		VMOVAPS(s, r)
		VFMADD231PS(t, points[1], r)
		to(1+2*i, r)
		VFNMADD231PS(t, points[1], s)
		to(2+2*i, s)
	}
}

func input(s avx.ISA, points []Mem) {
	name := "input" + s.Name
	TEXT(name, NOSPLIT, "func(r *int, in, zeros, v, temp *float32)")
	Pragma("noescape")
	Doc(name + " is an inputFunc.")
	const constants = 6
	c, free := s.Regs[:constants], s.Regs[constants:]
	for i := range c {
		VMOVUPS(points[i], c[i])
	}
	r := Mem{Base: Load(Param("r"), GP64())}
	locals := AllocLocal(24)
	count, in, v := locals, locals.Offset(8), locals.Offset(16)
	t := GP64()
	MOVQ(r.Offset(inputCount), t)
	MOVQ(t, count)
	MOVQ(r.Offset(inputAt), t)
	SHLQ(Imm(2), t)
	ADDQ(Load(Param("in"), GP64()), t)
	MOVQ(t, in)
	MOVQ(Load(Param("v"), t), v)
	temp := GP64()
	Load(Param("temp"), temp)
	at := func(x, y, half int) Mem { return Mem{Base: temp, Disp: (y*patch+x)*block + half*s.Bytes} }
	halves := block / s.Bytes

	Label("tile")
	zeros := Load(Param("zeros"), GP64())
	p, step := GP64(), GP64()
	MOVQ(in, p)
	MOVQ(r.Offset(inputRow), step)
	rows := make([]reg.Register, patch)
	for y := range rows {
		row := GP64()
		LEAQ(Mem{Base: p}, row)
		for _, missing := range []struct {
			field int
			move  func(mr, r Op)
		}{{inputTop, CMOVQGT}, {inputBottom, CMOVQLE}} {
			CMPQ(r.Offset(missing.field), Imm(uint64(y)))
			missing.move(zeros, row)
		}
		if y < patch-1 {
			LEAQ(Mem{Base: p, Index: step, Scale: 4}, p)
		}
		rows[y] = row
	}
	for x := range patch {
		missing, next := fmt.Sprintf("missing%d", x), fmt.Sprintf("column%d", x)
		CMPQ(r.Offset(inputLeft), Imm(uint64(x)))
		JG(LabelRef(missing))
		CMPQ(r.Offset(inputRight), Imm(uint64(x)))
		JLE(LabelRef(missing))
		if x < out {
			for _, row := range rows {
				PREFETCHT0(Mem{Base: row, Disp: (x + patch - out + aheadInput*out) * block})
			}
		}
		for h := range halves {
			d := make([]Mem, patch)
			for y, row := range rows {
				d[y] = Mem{Base: row, Disp: x*block + h*s.Bytes}
			}
			transformInput(d, func(y int, v reg.VecPhysical) { VMOVUPS(v, at(x, y, h)) }, free, c)
		}
		JMP(LabelRef(next))
		Label(missing)
		s.Zero(free[0])
		for y := range patch {
			for h := range halves {
				VMOVUPS(free[0], at(x, y, h))
			}
		}
		Label(next)
	}

	plane, row := GP64(), GP64()
	MOVQ(r.Offset(inputPlane), plane)
	address := steps(patch, r.Offset(inputPlane))
	MOVQ(v, row)
	for y := range patch {
		for h := range halves {
			d := make([]Mem, patch)
			for x := range d {
				d[x] = at(x, y, h)
			}
			transformInput(d, func(x int, v reg.VecPhysical) {
				if h == 0 {
					PREFETCHT0(address(row, x).Offset(aheadV * block))
				}
				VMOVUPS(v, address(row, x).Offset(h*s.Bytes))
			}, free, c)
		}
		if y < patch-1 {
			LEAQ(address(row, patch-2), row)
			LEAQ(address(row, 2), row)
		}
	}
	ADDQ(Imm(block), v)
	ADDQ(I32(out*block), in)
	DECQ(count)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// transformOutput writes the code for the first values of Aᵀm, of vectors in memory, into y. It uses free[:4].
func transformOutput(m []Mem, y, free []reg.VecPhysical, points []Mem) {
	a, b, aa, bb, aaa, bbb := points[0], points[1], points[2], points[3], points[4], points[5]
	s, d, u, v := free[0], free[1], free[2], free[3]
	VMOVUPS(m[1], d)
	VADDPS(m[2], d, s)
	VSUBPS(m[2], d, d)
	VMOVUPS(m[3], v)
	VADDPS(m[4], v, u)
	VSUBPS(m[4], v, v)
	for i, y := range y {
		switch i {
		case 0:
			VADDPS(m[0], s, y)
			VADDPS(u, y, y)
		case 1:
			VMULPS(a, d, y)
			VFMADD231PS(b, v, y)
		case 2:
			VMULPS(aa, s, y)
			VFMADD231PS(bb, u, y)
		case 3:
			VMOVUPS(m[5], y)
			VFMADD231PS(aaa, d, y)
			VFMADD231PS(bbb, v, y)
		}
	}
}

func output(s avx.ISA, cols int, points []Mem) {
	name := fmt.Sprintf("output%sP%d", s.Name, cols)
	TEXT(name, NOSPLIT, "func(r *int, m, epi, res, out, temp *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is an outputFunc for %d columns.", name, cols))
	halves := block / s.Bytes
	r := Mem{Base: Load(Param("r"), GP64())}
	locals := AllocLocal(40)
	local := func(i int) Mem { return locals.Offset(8 * i) }
	count, rows, tileM, tileRes, tileOut := local(0), local(1), local(2), local(3), local(4)
	t := GP64()
	MOVQ(r.Offset(outputCount), t)
	MOVQ(t, count)
	MOVQ(Load(Param("m"), t), tileM)
	MOVQ(Load(Param("res"), t), tileRes)
	MOVQ(Load(Param("out"), t), tileOut)
	epi := Mem{Base: Load(Param("epi"), GP64())}
	temp := GP64()
	Load(Param("temp"), temp)
	at := func(base reg.Register, x, y, half int) Mem {
		return Mem{Base: base, Disp: (y*patch+x)*block + half*s.Bytes}
	}

	Label("tile")
	m, plane := GP64(), GP64()
	address := avx.Multiples(patch, func(one reg.GPVirtual) {
		MOVQ(r.Offset(outputPlane), plane)
		SHLQ(Imm(2), plane)
		LEAQ(Mem{Base: plane, Index: plane, Scale: 2}, one)
		ADDQ(one, one)
	})
	MOVQ(tileM, m)
	for x := range patch {
		for h := range halves {
			d := make([]Mem, patch)
			for y := range d {
				d[y] = address(m, y).Offset(h * s.Bytes)
			}
			y := s.Regs[4:][:out]
			transformOutput(d, y, s.Regs, points)
			for i, v := range y {
				VMOVUPS(v, at(temp, x, i, h))
			}
		}
		if x < patch-1 {
			ADDQ(plane, m)
		}
	}

	res, to, from := GP64(), GP64(), GP64()
	MOVQ(r.Offset(outputRows), t)
	MOVQ(t, rows)
	MOVQ(tileRes, res)
	MOVQ(tileOut, to)
	MOVQ(temp, from)
	Label("row")
	for i := range cols {
		PREFETCHT0(Mem{Base: to, Disp: (i + aheadOut*out) * block})
	}
	acc, free := s.Regs[:cols*halves], s.Regs[cols*halves:]
	for h := range halves {
		d, y := make([]Mem, patch), make([]reg.VecPhysical, cols)
		for x := range d {
			d[x] = at(from, x, 0, h)
		}
		for i := range y {
			y[i] = acc[i*halves+h]
		}
		transformOutput(d, y, free, points)
		for _, v := range y {
			VADDPS(epi.Offset(h*s.Bytes), v, v)
		}
	}
	avx.Epilogue{
		ISA: s, Pixels: cols, Vectors: halves, Acc: acc, Free: free,
		Scale: r.Offset(outputScale), Mask: r.Offset(outputMask), Lo: r.Offset(outputLo), Hi: r.Offset(outputHi),
		Channels: epi, Res: res, Out: to,
		At: func(base reg.Register, pixel, vector int) Mem {
			return Mem{Base: base, Disp: pixel*block + vector*s.Bytes}
		},
	}.Store()
	ADDQ(I32(patch*block), from)
	step, next := GP64(), GP64()
	MOVQ(r.Offset(outputRow), step)
	LEAQ(Mem{Base: to, Index: step, Scale: 4}, to)
	LEAQ(Mem{Base: res, Index: step, Scale: 4}, next)
	TESTQ(res, res)
	CMOVQNE(next, res)
	DECQ(rows)
	JNZ(LabelRef("row"))

	ADDQ(Imm(block), tileM)
	ADDQ(I32(out*block), tileOut)
	CMPQ(tileRes, Imm(0))
	JE(LabelRef("next"))
	ADDQ(I32(out*block), tileRes)
	Label("next")
	DECQ(count)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// product writes the tile of px pixels by nv vectors of output channels, the first of which is vector first of a block.
// It multiplies unroll values of a block before it loops.
func product(s avx.ISA, px, nv, first, unroll int) {
	width := nv * s.Bytes
	name := fmt.Sprintf("product%sP%dC%d", s.Name, px, width/4)
	if first > 0 {
		name += fmt.Sprintf("From%d", first*s.Lanes())
	}
	TEXT(name, NOSPLIT, "func(r *int, x, w, ahead, y *float32, count int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is a productFunc for tiles of %d pixels by %d output channels.", name, px, width/4))
	acc, free := s.Regs[:px*nv], s.Regs[px*nv:]
	r := Mem{Base: Load(Param("r"), GP64())}
	tileX, ahead, y := Load(Param("x"), GP64()), Load(Param("ahead"), GP64()), Load(Param("y"), GP64())
	count, step, apart := GP64(), GP64(), GP64()
	Load(Param("count"), count)
	MOVQ(r.Offset(productStepAhead), step)
	MOVQ(r.Offset(productStepY), apart)
	sums := func(f func(v reg.VecPhysical, m Mem)) {
		for i := range px {
			for j := range nv {
				lane := (first + j) * s.Bytes
				m := Mem{Base: y, Disp: i*block + lane%block}
				if lane >= block {
					m.Index, m.Scale = apart, 1
				}
				f(acc[i*nv+j], m)
			}
		}
	}

	Label("tile")
	CMPQ(r.Offset(productAdd), Imm(0))
	JE(LabelRef("zero"))
	sums(func(v reg.VecPhysical, m Mem) { VMOVUPS(m, v) })
	JMP(LabelRef("sum"))
	Label("zero")
	for _, v := range acc {
		s.Zero(v)
	}
	Label("sum")
	x, p, blocks, n := GP64(), GP64(), GP64(), GP64()
	MOVQ(tileX, x)
	w := Load(Param("w"), GP64())
	// Of vectors and pixels, the fewer are loaded for all products of a value, the others one after the other.
	multiply := func(k int, each func(u int)) {
		for u := range k {
			each(u)
			weight := func(j int) Mem { return Mem{Base: w, Disp: u*width + j*s.Bytes} }
			value := func(i int) Mem { return Mem{Base: p, Disp: i*block + 4*u} }
			if nv <= px {
				for j := range nv {
					VMOVUPS(weight(j), free[j])
				}
				for i := range px {
					v := free[nv+i%min(len(free)-nv, 2)]
					VBROADCASTSS(value(i), v)
					for j := range nv {
						VFMADD231PS(v, free[j], acc[i*nv+j])
					}
				}
				continue
			}
			for i := range px {
				VBROADCASTSS(value(i), free[i])
			}
			for j := range nv {
				v := free[px+j%min(len(free)-px, 2)]
				VMOVUPS(weight(j), v)
				for i := range px {
					VFMADD231PS(free[i], v, acc[i*nv+j])
				}
			}
		}
		ADDQ(I32(k*width), w)
		ADDQ(Imm(uint64(4*k)), p)
	}
	fetch := func(u int) {
		if u%quad > 0 {
			return
		}
		for line := 0; line < fetched; line += cacheLine {
			PREFETCHT1(Mem{Base: ahead, Disp: line})
		}
		ADDQ(step, ahead)
	}
	MOVQ(r.Offset(productBlocks), blocks)
	TESTQ(blocks, blocks)
	JZ(LabelRef("rest"))
	Label("block")
	MOVQ(x, p)
	ADDQ(r.Offset(productStepX), x)
	if unroll < values {
		MOVQ(U32(values/unroll), n)
		Label("part")
	}
	multiply(unroll, fetch)
	if unroll < values {
		DECQ(n)
		JNZ(LabelRef("part"))
	}
	DECQ(blocks)
	JNZ(LabelRef("block"))
	Label("rest")
	MOVQ(x, p)
	MOVQ(r.Offset(productSingles), n)
	TESTQ(n, n)
	JZ(LabelRef("store"))
	Label("single")
	multiply(1, func(int) {})
	DECQ(n)
	JNZ(LabelRef("single"))

	Label("store")
	sums(func(v reg.VecPhysical, m Mem) { VMOVUPS(v, m) })
	ADDQ(I32(px*block), y)
	ADDQ(I32(px*block), tileX)
	DECQ(count)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// The fields of winograd.lineInputRun, in bytes.
const (
	lineInputAt = 8 * iota
	lineInputStep
	lineInputNext
	lineInputFrom
	lineInputTo
	lineInputPlane
	lineInputCount
)

// The fields of winograd.lineOutputRun, in bytes.
const (
	lineOutputPlane = 8 * iota
	lineOutputStep
	lineOutputNext
	lineOutputWanted
	lineOutputCount
	lineOutputScale
	lineOutputMask
	lineOutputLo
	lineOutputHi = lineOutputLo + 4
)

// constantsOf writes the constants of a line to read-only memory: for its polynomials, the powers of each point, and the
// point that each polynomial but the first leaves out.
func constantsOf(l line.Line) (polynomials, powers [][]Mem) {
	for i, c := range l.Polynomials {
		polynomials = append(polynomials, constants(fmt.Sprintf("line%dPolynomial%d", l.Kernel, i), c...))
	}
	for i, c := range l.Powers {
		powers = append(powers, constants(fmt.Sprintf("line%dPowers%d", l.Kernel, i), c...))
	}
	return polynomials, powers
}

func lineInput(s avx.ISA, l line.Line, polynomials, powers [][]Mem) {
	name := fmt.Sprintf("lineInput%sK%d", s.Name, l.Kernel)
	TEXT(name, NOSPLIT, "func(r *int, in, zeros, v *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is a lineInputFunc for kernels of %d.", name, l.Kernel))
	patch := l.Patch
	d, even, odd, sum := s.Regs[:patch], s.Regs[patch], s.Regs[patch+1], s.Regs[patch+2]
	r := Mem{Base: Load(Param("r"), GP64())}
	locals := AllocLocal(8 * (patch + 1))
	count := locals.Offset(8 * patch)
	p, step, row, zeros := GP64(), GP64(), GP64(), Load(Param("zeros"), GP64())
	MOVQ(r.Offset(lineInputCount), row)
	MOVQ(row, count)
	MOVQ(r.Offset(lineInputAt), p)
	SHLQ(Imm(2), p)
	ADDQ(Load(Param("in"), GP64()), p)
	MOVQ(r.Offset(lineInputStep), step)
	for i := range patch {
		MOVQ(p, row)
		CMPQ(r.Offset(lineInputFrom), Imm(uint64(i)))
		CMOVQGT(zeros, row)
		CMPQ(r.Offset(lineInputTo), Imm(uint64(i)))
		CMOVQLE(zeros, row)
		MOVQ(row, locals.Offset(8*i))
		if i < patch-1 {
			LEAQ(Mem{Base: p, Index: step, Scale: 4}, p)
		}
	}
	v, at, next := Load(Param("v"), GP64()), GP64(), GP64()
	XORQ(at, at)
	MOVQ(r.Offset(lineInputNext), next)
	SHLQ(Imm(2), next)
	address := steps(patch, r.Offset(lineInputPlane))

	Label("tile")
	for h := range block / s.Bytes {
		store := func(i int, y reg.VecPhysical) { VMOVUPS(y, address(v, i).Offset(h*s.Bytes)) }
		for i, y := range d {
			MOVQ(locals.Offset(8*i), row)
			VMOVUPS(Mem{Base: row, Index: at, Scale: 1, Disp: h * s.Bytes}, y)
		}
		// every sums products of a polynomial and every other value down from one.
		every := func(c []Mem, last int, y reg.VecPhysical) {
			VMOVAPS(d[last], y)
			for j, m := range c {
				VFMADD231PS(m, d[last-2-2*j], y)
			}
		}
		every(polynomials[0], patch-2, even)
		store(0, even)
		every(polynomials[0], patch-1, odd)
		store(patch-1, odd)
		for i, power := range powers {
			every(polynomials[1+i], patch-2, even)
			every(polynomials[1+i], patch-3, odd)
			VMOVAPS(even, sum)
			VFMADD231PS(power[0], odd, sum)
			store(1+2*i, sum)
			VFNMADD231PS(power[0], odd, even)
			store(2+2*i, even)
		}
	}
	ADDQ(next, at)
	ADDQ(Imm(block), v)
	DECQ(count)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

func lineOutput(s avx.ISA, l line.Line, powers [][]Mem) {
	name := fmt.Sprintf("lineOutput%sK%d", s.Name, l.Kernel)
	TEXT(name, NOSPLIT, "func(r *int, m, epi, res, out, temp *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is a lineOutputFunc for kernels of %d.", name, l.Kernel))
	patch, halves := l.Patch, block/s.Bytes
	r := Mem{Base: Load(Param("r"), GP64())}
	locals := AllocLocal(32)
	count, wanted, tileRes, tileOut := locals, locals.Offset(8), locals.Offset(16), locals.Offset(24)
	t := GP64()
	MOVQ(r.Offset(lineOutputCount), t)
	MOVQ(t, count)
	MOVQ(Load(Param("res"), t), tileRes)
	MOVQ(Load(Param("out"), t), tileOut)
	m, epi, temp := Load(Param("m"), GP64()), Mem{Base: Load(Param("epi"), GP64())}, GP64()
	Load(Param("temp"), temp)
	address := steps(patch, r.Offset(lineOutputPlane))
	step, next := GP64(), GP64()
	for _, field := range []struct {
		at int
		r  reg.GPVirtual
	}{{lineOutputStep, step}, {lineOutputNext, next}} {
		MOVQ(r.Offset(field.at), field.r)
		SHLQ(Imm(2), field.r)
	}

	Label("tile")
	for h := range halves {
		at := func(i int) Mem { return address(m, i).Offset(h * s.Bytes) }
		plus, minus, y := s.Regs[:len(powers)], s.Regs[len(powers):][:len(powers)], s.Regs[2*len(powers)]
		for i := range powers {
			VMOVUPS(at(1+2*i), minus[i])
			VADDPS(at(2+2*i), minus[i], plus[i])
			VSUBPS(at(2+2*i), minus[i], minus[i])
		}
		for o := range out {
			of := plus
			if o%2 == 1 {
				of = minus
			}
			switch o {
			case 0:
				VMOVUPS(at(0), y)
			case out - 1:
				VMOVUPS(at(patch-1), y)
			}
			for i, power := range powers {
				switch {
				case o == 0:
					VADDPS(of[i], y, y)
				case i == 0 && o < out-1:
					VMULPS(power[o-1], of[i], y)
				default:
					VFMADD231PS(power[o-1], of[i], y)
				}
			}
			VMOVUPS(y, Mem{Base: temp, Disp: o*block + h*s.Bytes})
		}
	}
	res, to, from := GP64(), GP64(), GP64()
	MOVQ(r.Offset(lineOutputWanted), t)
	MOVQ(t, wanted)
	MOVQ(tileRes, res)
	MOVQ(tileOut, to)
	MOVQ(temp, from)
	Label("pixel")
	acc, free := s.Regs[:halves], s.Regs[halves:]
	for h, y := range acc {
		VMOVUPS(Mem{Base: from, Disp: h * s.Bytes}, y)
		VADDPS(epi.Offset(h*s.Bytes), y, y)
	}
	avx.Epilogue{
		ISA: s, Pixels: 1, Vectors: halves, Acc: acc, Free: free,
		Scale: r.Offset(lineOutputScale), Mask: r.Offset(lineOutputMask), Lo: r.Offset(lineOutputLo), Hi: r.Offset(lineOutputHi),
		Channels: epi, Res: res, Out: to,
		At: func(base reg.Register, _, vector int) Mem { return Mem{Base: base, Disp: vector * s.Bytes} },
	}.Store()
	ADDQ(Imm(block), from)
	ADDQ(step, to)
	TESTQ(res, res)
	JZ(LabelRef("below"))
	ADDQ(step, res)
	Label("below")
	DECQ(wanted)
	JNZ(LabelRef("pixel"))

	ADDQ(Imm(block), m)
	ADDQ(next, tileOut)
	CMPQ(tileRes, Imm(0))
	JE(LabelRef("next"))
	ADDQ(next, tileRes)
	Label("next")
	DECQ(count)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

func main() {
	avx.BuildTags()
	in := constants("inputPoints", a*a, b*b, a*a*b*b, a*a+b*b, a, b)
	of := constants("outputPoints", a, b, a*a, b*b, a*a*a, b*b*b)
	for _, s := range []avx.ISA{avx.AVX2, avx.AVX512} {
		input(s, in)
		for cols := 1; cols <= out; cols++ {
			output(s, cols, of)
		}
	}
	for _, l := range line.All {
		polynomials, powers := constantsOf(l)
		for _, s := range []avx.ISA{avx.AVX2, avx.AVX512} {
			lineInput(s, l, polynomials, powers)
			lineOutput(s, l, powers)
		}
	}
	for px := 1; px <= 6; px++ {
		product(avx.AVX2, px, 2, 0, values)
	}
	for px := 1; px <= 3; px++ {
		product(avx.AVX2, px, 4, 0, values)
	}
	for px := 1; px <= 4; px++ {
		product(avx.AVX2, px, 3, 0, values)
		product(avx.AVX2, px, 3, 1, values)
	}
	for nv := 1; nv <= 2; nv++ {
		for px := 1; px <= 14; px++ {
			product(avx.AVX512, px, nv, 0, quad)
		}
	}
	Generate()
}
