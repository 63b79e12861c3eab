// Command dwconv generates the tiles of the depthwise convolution: px pixels of one block of 16 channels.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"scission/ops/internal/asmgen/avx"
)

// The fields of dwconv.steps and of dwconv.area, in bytes.
const (
	stepsRow = 8 * iota
	stepsCol
	stepsWeights
	stepsPixelIn
	stepsPixelOut
	stepsTileIn
	stepsTileOut
	stepsLineIn
	stepsLineOut
	stepsScale
	stepsMask
	stepsLo
	stepsHi = stepsLo + 4
)

const (
	areaIn = 8 * iota
	areaOut
	areaWeights
	areaRows
	areaCols
	areaLines
	areaTiles
	areaSize
)

const block = 64 // bytes of a pixel

// fixed is the taps of a row that a tile reads each input value once for, if their number and the stride are these.
const fixed = 3

// tile writes the tile for any taps, or with a stride that for rows of fixed taps and pixels side by side.
func tile(s avx.ISA, px, stride int) {
	name := fmt.Sprintf("tile%sP%d", s.Name, px)
	if stride > 0 {
		name += fmt.Sprintf("S%d", stride)
	}
	TEXT(name, NOSPLIT, "func(s, areas *int, count int, in, w, epi, res, out *float32)")
	Pragma("noescape")
	doc := fmt.Sprintf("%s computes count areas with tiles of %d pixels", name, px)
	if stride > 0 {
		doc += fmt.Sprintf(" side by side, of stride %d and %d taps a row", stride, fixed)
	}
	Doc(doc + ".")
	nv := block / s.Bytes
	acc, free := s.Regs[:px*nv], s.Regs[px*nv:]

	st := Mem{Base: Load(Param("s"), GP64())}
	area := Mem{Base: Load(Param("areas"), GP64())}
	locals := AllocLocal(56)
	local := func(i int) Mem { return locals.Offset(8 * i) }
	areas, lines, tiles, rows, lineIn, lineOut, tileOut := local(0), local(1), local(2), local(3), local(4), local(5), local(6)
	t := GP64()
	keep := func(from, to Mem) {
		MOVQ(from, t)
		MOVQ(t, to)
	}
	add := func(step int, to Op) {
		MOVQ(st.Offset(step), t)
		ADDQ(t, to)
	}
	MOVQ(Load(Param("count"), t), areas)

	Label("area")
	tileIn, w, row, col, tap, n := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	Load(Param("in"), tileIn)
	ADDQ(area.Offset(areaIn), tileIn)
	MOVQ(tileIn, lineIn)
	keep(area.Offset(areaOut), lineOut)
	keep(area.Offset(areaLines), lines)

	Label("line")
	MOVQ(lineIn, tileIn)
	keep(lineOut, tileOut)
	keep(area.Offset(areaTiles), tiles)

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
	Load(Param("w"), w)
	ADDQ(area.Offset(areaWeights), w)
	MOVQ(tileIn, row)
	MOVQ(area.Offset(areaRows), t)
	MOVQ(t, rows)
	TESTQ(t, t)
	JZ(LabelRef("summed"))
	var multiple func(base reg.Register, i int) Mem
	if stride == 0 {
		multiple = avx.Multiples(px, func(one reg.GPVirtual) { MOVQ(st.Offset(stepsPixelIn), one) })
	}
	Label("row")
	if stride > 0 {
		for j := range nv {
			weight, x := free[:fixed], free[fixed]
			for c := range fixed {
				VMOVUPS(Mem{Base: w, Disp: c*block + j*s.Bytes}, weight[c])
			}
			for at := range (px-1)*stride + fixed { // an output's taps come in their order
				VMOVUPS(Mem{Base: row, Disp: at*block + j*s.Bytes}, x)
				for c := range fixed {
					if i := (at - c) / stride; at >= c && (at-c)%stride == 0 && i < px {
						VFMADD231PS(x, weight[c], acc[i*nv+j])
					}
				}
			}
		}
	} else {
		MOVQ(row, col)
		MOVQ(w, tap)
		MOVQ(area.Offset(areaCols), n)
		Label("tap")
		for j := range nv {
			VMOVUPS(Mem{Base: tap, Disp: j * s.Bytes}, free[j])
		}
		for i := range px {
			for j := range nv {
				VFMADD231PS(multiple(col, i).Offset(j*s.Bytes), free[j], acc[i*nv+j])
			}
		}
		ADDQ(Imm(block), tap)
		ADDQ(st.Offset(stepsCol), col)
		DECQ(n)
		JNZ(LabelRef("tap"))
	}
	ADDQ(st.Offset(stepsRow), row)
	ADDQ(st.Offset(stepsWeights), w)
	DECQ(rows)
	JNZ(LabelRef("row"))

	Label("summed")
	res, out := GP64(), GP64()
	Load(Param("out"), out)
	ADDQ(tileOut, out)
	Load(Param("res"), res)
	MOVQ(res, t)
	ADDQ(tileOut, t)
	TESTQ(res, res)
	CMOVQNE(t, res)
	Load(Param("epi"), epi.Base.(reg.GPVirtual))
	place := avx.Multiples(px, func(one reg.GPVirtual) { MOVQ(st.Offset(stepsPixelOut), one) })
	avx.Epilogue{
		ISA: s, Pixels: px, Vectors: nv, Acc: acc, Free: free,
		Scale: st.Offset(stepsScale), Mask: st.Offset(stepsMask), Lo: st.Offset(stepsLo), Hi: st.Offset(stepsHi),
		Channels: epi, Res: res, Out: out,
		At: func(base reg.Register, i, j int) Mem { return place(base, i).Offset(j * s.Bytes) },
	}.Store()

	add(stepsTileIn, tileIn)
	add(stepsTileOut, tileOut)
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	add(stepsLineIn, lineIn)
	add(stepsLineOut, lineOut)
	DECQ(lines)
	JNZ(LabelRef("line"))
	ADDQ(Imm(areaSize), area.Base)
	DECQ(areas)
	JNZ(LabelRef("area"))
	VZEROUPPER()
	RET()
}

func main() {
	avx.BuildTags()
	for stride := range 3 {
		for px := 1; px <= 6; px++ {
			tile(avx.AVX2, px, stride)
		}
		for px := 1; px <= 14; px++ {
			tile(avx.AVX512, px, stride)
		}
	}
	Generate()
}
