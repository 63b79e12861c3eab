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
	loopsA = 8 * iota
	loopsB
	loopsC
	loopsStepA
	loopsStepB
	loopsStepC
	loopsQuads
	loopsSingles
	loopsLastQuads
	loopsLastSingles
	loopsStepTile
	loopsOutBlock
	loopsScale
	loopsMask
	loopsLo
	loopsHi    = loopsLo + 4
	loopsAhead = loopsHi + 4
)

const (
	block  = 16     // channels of a block of the layout
	pixel  = 4 * 16 // bytes from a pixel to the next in a block
	unroll = 4      // input values of a quad

	cacheLine = 64
	soon      = 4096 // bytes by which weights are fetched early: they may come from the last cache or from memory
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

func tile(s avx.ISA, px, nv int, address func(off reg.Register, px int) pixels) {
	name := fmt.Sprintf("tile%sP%dC%d", s.Name, px, nv*s.Lanes())
	TEXT(name, NOSPLIT, "func(l, off *int, in, w, ahead, epi, res, out *float32, count int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes count tiles of %d pixels by %d output channels.", name, px, nv*s.Lanes()))
	width := nv * s.Bytes
	acc := s.Regs[:px*nv]
	weight := s.Regs[px*nv:][:nv]
	spread := s.Regs[px*nv+nv:][:2]

	l := Mem{Base: Load(Param("l"), GP64())}
	at := address(Load(Param("off"), GP64()), px)
	locals := AllocLocal(72)
	local := func(i int) Mem { return locals.Offset(8 * i) }
	nA, nB, nC, quads, singles := local(0), local(1), local(2), local(3), local(4)
	tileIn, tileRes, tileOut, count := local(5), local(6), local(7), local(8)
	keep := func(from, to Mem) {
		t := GP64()
		MOVQ(from, t)
		MOVQ(t, to)
	}
	param := func(name string, to Mem) { MOVQ(Load(Param(name), GP64()), to) }
	param("in", tileIn)
	param("res", tileRes)
	param("out", tileOut)
	param("count", count)
	ahead := Load(Param("ahead"), GP64())

	Label("tile")
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
	w := GP64()
	Load(Param("w"), w)
	inA, inB, inC, p, n := GP64(), GP64(), GP64(), GP64(), GP64()
	MOVQ(tileIn, inA)
	keep(l.Offset(loopsA), nA)

	Label("a")
	last := GP64()
	for _, c := range []struct {
		all, last int
		to        Mem
	}{{loopsQuads, loopsLastQuads, quads}, {loopsSingles, loopsLastSingles, singles}} {
		MOVQ(l.Offset(c.all), n)
		MOVQ(l.Offset(c.last), last)
		CMPQ(nA, Imm(1))
		CMOVQEQ(last, n)
		MOVQ(n, c.to)
	}
	// The next trip's input is on another page, where no processor fetches ahead by itself.
	MOVQ(l.Offset(loopsStepA), n)
	LEAQ(Mem{Base: inA, Index: n, Scale: 4}, inB)
	for i := range px {
		PREFETCHT0(at(inB, i))
	}
	MOVQ(inA, inB)
	keep(l.Offset(loopsB), nB)

	Label("b")
	MOVQ(inB, inC)
	keep(l.Offset(loopsC), nC)

	Label("c")
	MOVQ(inC, p)
	multiply := func(k int) {
		for u := range k {
			for d := 0; d < width; d += cacheLine {
				PREFETCHT0(Mem{Base: w, Disp: soon + u*width + d})
			}
			for j := range nv {
				VMOVUPS(Mem{Base: w, Disp: u*width + j*s.Bytes}, weight[j])
			}
			for i := range px {
				x := spread[i%2]
				VBROADCASTSS(at(p, i).Offset(4*u), x)
				for j := range nv {
					VFMADD231PS(x, weight[j], acc[i*nv+j])
				}
			}
		}
		ADDQ(I32(k*width), w)
		ADDQ(Imm(uint64(4*k)), p)
		DECQ(n)
	}
	MOVQ(quads, n)
	TESTQ(n, n)
	JZ(LabelRef("rest"))
	Label("quad")
	for line := 0; line < unroll*width/2; line += cacheLine { // half of what it multiplies by: there are two tiles at least
		PREFETCHT1(Mem{Base: ahead, Disp: line})
	}
	ADDQ(l.Offset(loopsAhead), ahead)
	multiply(unroll)
	JNZ(LabelRef("quad"))
	Label("rest")
	MOVQ(singles, n)
	TESTQ(n, n)
	JZ(LabelRef("next"))
	Label("single")
	multiply(1)
	JNZ(LabelRef("single"))

	Label("next")
	step := GP64()
	for _, c := range []struct {
		step  int
		p     reg.GPVirtual
		n     Mem
		label string
	}{{loopsStepC, inC, nC, "c"}, {loopsStepB, inB, nB, "b"}, {loopsStepA, inA, nA, "a"}} {
		MOVQ(l.Offset(c.step), step)
		LEAQ(Mem{Base: c.p, Index: step, Scale: 4}, c.p)
		DECQ(c.n)
		JNZ(LabelRef(c.label))
	}

	// vectorAt is where vector j of pixel i lies: vectors of one block side by side, blocks apart.
	apart := GP64()
	MOVQ(l.Offset(loopsOutBlock), apart)
	vectorAt := func(base reg.Register, i, j int) Mem {
		lane := j * s.Lanes()
		m := Mem{Base: base, Disp: i*pixel + lane%block*4}
		if lane >= block {
			m.Index, m.Scale = apart, 4
		}
		return m
	}
	res, out := GP64(), GP64()
	MOVQ(tileRes, res)
	MOVQ(tileOut, out)
	Load(Param("epi"), epi.Base.(reg.GPVirtual))
	avx.Epilogue{
		ISA: s, Pixels: px, Vectors: nv, Acc: acc, Free: s.Regs[px*nv:],
		Scale: l.Offset(loopsScale), Mask: l.Offset(loopsMask), Lo: l.Offset(loopsLo), Hi: l.Offset(loopsHi),
		Channels: epi, Res: res, Out: out, At: vectorAt,
	}.Store()
	LEAQ(Mem{Base: res, Disp: px * pixel}, step)
	TESTQ(res, res)
	CMOVQNE(step, res)
	MOVQ(res, tileRes)
	ADDQ(I32(px*pixel), out)
	MOVQ(out, tileOut)
	MOVQ(l.Offset(loopsStepTile), step)
	SHLQ(Imm(2), step)
	ADDQ(step, tileIn)
	DECQ(count)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

func main() {
	avx.BuildTags()
	for px := 1; px <= 6; px++ {
		tile(avx.AVX2, px, 2, table)
	}
	for nv := 1; nv <= 2; nv++ {
		for px := 1; px <= 14; px++ {
			tile(avx.AVX512, px, nv, regular)
		}
	}
	Generate()
}
