// Command conv generates the tiles of the dense convolution: px pixels by nv vectors of output channels.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"scission/ops/internal/asmgen/avx"
)

// The fields of conv.loops, in bytes.
const (
	loopsFull = 8 * iota
	loopsShort
	loopsQuads
	loopsSingles
	loopsOutBlock
	loopsSumBlock
	loopsAhead
	loopsScale
	loopsMask
	loopsLo
	loopsHi    = loopsLo + 4
	loopsClamp = loopsLo + 8
)

const (
	block = 16     // channels of a block of the layout, and values of a full run
	pixel = 4 * 16 // bytes from a pixel to the next in a block
	quad  = 4      // values of a short run that are multiplied at once

	cacheLine = 64
)

// pixels is how a tile addresses pixel i: base plus an offset that is in a register or a multiple of one.
type pixels func(base reg.Register, i int) Mem

// table reads the offset of each pixel from off.
func table(off reg.Register, px int) pixels {
	at := make([]reg.Register, px)
	for i := 1; i < px; i++ {
		at[i] = GP64()
		MOVQ(Mem{Base: off, Disp: 8 * i}, at[i])
	}
	return func(base reg.Register, i int) Mem {
		if i == 0 {
			return Mem{Base: base}
		}
		return Mem{Base: base, Index: at[i], Scale: 4}
	}
}

// regular reads the distance of pixels from off.
func regular(off reg.Register, px int) pixels {
	return avx.Multiples(px, func(one reg.GPVirtual) {
		MOVQ(Mem{Base: off, Disp: 8}, one)
		SHLQ(Imm(2), one)
	})
}

// tile generates a tile that multiplies unroll values of a full run before it loops. Behind its channels there may be an
// empty vector, of the weights of which there is room and which is zero in the output.
func tile(s avx.ISA, px, nv, empty, unroll int, address func(off reg.Register, px int) pixels) {
	name := fmt.Sprintf("tile%sP%dC%d", s.Name, px, nv*s.Lanes())
	TEXT(name, NOSPLIT, "func(l, off, runs *int, in, w, ahead, epi, start, res, out *float32, count int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes count tiles of %d pixels by %d output channels.", name, px, nv*s.Lanes()))
	width := (nv + empty) * s.Bytes
	acc, free := s.Regs[:px*nv], s.Regs[px*nv:]

	l := Mem{Base: Load(Param("l"), GP64())}
	off := Load(Param("off"), GP64())
	at := address(off, px)
	locals := AllocLocal(48)
	local := func(i int) Mem { return locals.Offset(8 * i) }
	tileIn, tileStart, tileRes, tileOut, count, nextTile := local(0), local(1), local(2), local(3), local(4), local(5)
	param := func(name string, to Mem) {
		t := GP64()
		MOVQ(Load(Param(name), t), to)
	}
	param("in", tileIn)
	param("start", tileStart)
	param("res", tileRes)
	param("out", tileOut)
	param("count", count)
	step := GP64()
	IMUL3Q(I32(4*px), Mem{Base: off, Disp: 8}, step)
	MOVQ(step, nextTile)
	ahead := Load(Param("ahead"), GP64())

	// vectorAt is where vector j of pixel i lies: vectors of one block side by side, blocks apart.
	vectorAt := func(base, apart reg.Register, i, j int) Mem {
		lane := j * s.Lanes()
		m := Mem{Base: base, Disp: i*pixel + lane%block*4}
		if lane >= block {
			m.Index, m.Scale = apart, 4
		}
		return m
	}

	Label("tile")
	start, apart := GP64(), GP64()
	MOVQ(tileStart, start)
	TESTQ(start, start)
	JZ(LabelRef("bias"))
	MOVQ(l.Offset(loopsSumBlock), apart)
	for i := range px {
		for j := range nv {
			VMOVUPS(vectorAt(start, apart, i, j), acc[i*nv+j])
		}
	}
	ADDQ(I32(px*pixel), start)
	MOVQ(start, tileStart)
	JMP(LabelRef("sum"))
	Label("bias")
	epi := Mem{Base: Load(Param("epi"), GP64())}
	for i := range px {
		for j := range nv {
			if i == 0 {
				VMOVUPS(epi.Offset(j*s.Bytes), acc[j])
			} else {
				VMOVAPS(acc[j], acc[i*nv+j])
			}
		}
	}
	Label("sum")
	w, runs, p, n, rest := GP64(), GP64(), GP64(), GP64(), GP64()
	Load(Param("w"), w)
	Load(Param("runs"), runs)
	weights := avx.NewWalk(s, w)
	// begin sets p to the input of the next run.
	begin := func() {
		MOVQ(Mem{Base: runs}, p)
		SHLQ(Imm(2), p)
		ADDQ(tileIn, p)
		ADDQ(Imm(8), runs)
	}
	// Of vectors and pixels, the fewer are loaded for all products of a value, the others one after the other.
	multiply := func(k int) {
		for u := range k {
			weight := func(j int) Mem { return weights.At(u*width + j*s.Bytes) }
			if nv <= px {
				for j := range nv {
					VMOVUPS(weight(j), free[j])
				}
				for i := range px {
					x := free[nv+i%(min(len(free)-nv, 2))]
					VBROADCASTSS(at(p, i).Offset(4*u), x)
					for j := range nv {
						VFMADD231PS(x, free[j], acc[i*nv+j])
					}
				}
				continue
			}
			for i := range px {
				VBROADCASTSS(at(p, i).Offset(4*u), free[i])
			}
			for j := range nv {
				x := free[px+j%min(len(free)-px, 2)]
				VMOVUPS(weight(j), x)
				for i := range px {
					VFMADD231PS(free[i], x, acc[i*nv+j])
				}
			}
		}
		weights.End(k * width)
	}
	loop := func(label string, k int) {
		Label(label)
		multiply(k)
		ADDQ(Imm(uint64(4*k)), p)
		DECQ(n)
		JNZ(LabelRef(label))
	}

	MOVQ(l.Offset(loopsFull), rest)
	TESTQ(rest, rest)
	JZ(LabelRef("short"))
	Label("full")
	begin()
	for line := 0; line < width; line += cacheLine {
		PREFETCHT1(Mem{Base: ahead, Disp: line})
	}
	ADDQ(l.Offset(loopsAhead), ahead)
	if unroll == block {
		multiply(block)
	} else {
		MOVQ(I32(block/unroll), n)
		loop("part", unroll)
	}
	DECQ(rest)
	JNZ(LabelRef("full"))

	Label("short")
	MOVQ(l.Offset(loopsShort), rest)
	TESTQ(rest, rest)
	JZ(LabelRef("summed"))
	Label("run")
	begin()
	MOVQ(l.Offset(loopsQuads), n)
	TESTQ(n, n)
	JZ(LabelRef("singles"))
	loop("quad", quad)
	Label("singles")
	MOVQ(l.Offset(loopsSingles), n)
	TESTQ(n, n)
	JZ(LabelRef("next"))
	loop("single", 1)
	Label("next")
	DECQ(rest)
	JNZ(LabelRef("run"))

	Label("summed")
	MOVQ(l.Offset(loopsOutBlock), apart)
	res, out := GP64(), GP64()
	MOVQ(tileRes, res)
	MOVQ(tileOut, out)
	Load(Param("epi"), epi.Base.(reg.GPVirtual))
	avx.Epilogue{
		ISA: s, Pixels: px, Vectors: nv, Acc: acc, Free: free,
		Scale: l.Offset(loopsScale), Mask: l.Offset(loopsMask), Lo: l.Offset(loopsLo), Hi: l.Offset(loopsHi), Clamp: l.Offset(loopsClamp),
		Channels: epi, Apart: width, Res: res, Out: out,
		At: func(base reg.Register, i, j int) Mem { return vectorAt(base, apart, i, j) },
	}.Store()
	if empty > 0 {
		s.Zero(free[0])
		for i := range px {
			VMOVUPS(free[0], vectorAt(out, apart, i, nv))
		}
	}
	LEAQ(Mem{Base: res, Disp: px * pixel}, step)
	TESTQ(res, res)
	CMOVQNE(step, res)
	MOVQ(res, tileRes)
	ADDQ(I32(px*pixel), out)
	MOVQ(out, tileOut)
	MOVQ(nextTile, step)
	ADDQ(step, tileIn)
	DECQ(count)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

func main() {
	avx.BuildTags()
	for px := 1; px <= 6; px++ {
		tile(avx.AVX2, px, 2, 0, block, table)
	}
	for px := 1; px <= 3; px++ {
		tile(avx.AVX2, px, 4, 0, block, table)
	}
	tile(avx.AVX2, 4, 3, 1, block, table)
	for nv := 1; nv <= 2; nv++ {
		for px := 1; px <= 14; px++ {
			tile(avx.AVX512, px, nv, 0, quad, regular)
		}
	}
	Generate()
}
