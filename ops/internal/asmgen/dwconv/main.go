// Command dwconv generates the depthwise convolution: tiles of pixels side by side of one vector of channels.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"scission/ops/internal/asmgen/avx"
)

// The fields of dwconv.steps, band and tile, in bytes.
const (
	stepsRow = 8 * iota
	stepsWeights
	stepsCol
	stepsPixel
	stepsLineIn
	stepsLineOut
	stepsBlockIn
	stepsBlockOut
	stepsBlockWeights
	stepsBias
	stepsScale
	stepsMask
	stepsLo
	stepsHi    = stepsLo + 4
	stepsFloor = stepsLo + 8
)

const (
	bandIn = 8 * iota
	bandOut
	bandWeights
	bandRows
	bandLines
	bandSize
)

const (
	tileIn = 8 * iota
	tileOut
	tilePixels
	tileLeft
	tileRight
	tileSize
)

const pixel = 64 // bytes of a pixel's block of channels

// aheadIn and aheadOut are how many bytes before their use inputs and places of outputs are fetched, by tiles with some
// number of taps. Each tile fetches as many inputs as it has new ones, from where the one before it stopped, through all
// of a block and into the next.
const (
	aheadIn  = 6 << 10
	aheadOut = 4 << 10
)

// anyPixels and maxPixels are the largest tiles: for any taps, and where registers let it have more.
const (
	anyPixels = 8
	maxPixels = 11
)

// function writes the walk over all tiles of some blocks, for rows of so many taps that are side by side, of the
// stride; or for any, if taps is 0.
func function(s avx.ISA, taps, stride int) {
	name := "any" + s.Name
	doc := name + " computes tiles with any taps."
	most := anyPixels
	if taps > 0 {
		name = fmt.Sprintf("taps%dS%d%s", taps, stride, s.Name)
		doc = fmt.Sprintf("%s computes tiles with %d taps a row, of stride %d.", name, taps, stride)
		most = min(maxPixels, len(s.Regs)-taps-2)
	}
	TEXT(name, NOSPLIT, "func(s, bands *int, bandCount int, tiles *int, tileCount, blocks int, in, w, epi, res, out *float32)")
	Pragma("noescape")
	Doc(doc)
	vectors := pixel / s.Bytes

	st := Mem{Base: Load(Param("s"), GP64())}
	const locals = 16
	frame := AllocLocal(8 * locals)
	next := 0
	local := func() Mem {
		next++
		return frame.Offset(8 * (next - 1))
	}
	t := GP64()
	keep := func(from, to Mem) {
		MOVQ(from, t)
		MOVQ(t, to)
	}
	param := func(name string, to Mem) {
		Load(Param(name), t)
		MOVQ(t, to)
	}
	add := func(step int, to Op) {
		MOVQ(st.Offset(step), t)
		ADDQ(t, to)
	}
	blocks, bands, lines, tiles, rows := local(), local(), local(), local(), local()
	in, w, epi, out := local(), local(), local(), local()
	lineIn, lineOut, bandW, bandN := local(), local(), local(), local()
	toRes, left, bandAt := local(), local(), local()
	param("blocks", blocks)
	param("in", in)
	param("w", w)
	param("epi", epi)
	param("out", out)
	Load(Param("res"), t)
	SUBQ(out, t)
	MOVQ(t, toRes)

	fetch := GP64()
	Label("block")
	param("bands", bandAt)
	param("bandCount", bands)
	if taps > 0 {
		MOVQ(in, fetch)
		ADDQ(I32(aheadIn), fetch)
	}

	Label("band")
	band := Mem{Base: GP64()}
	MOVQ(bandAt, band.Base)
	keep(band.Offset(bandLines), lines)
	keep(band.Offset(bandRows), bandN)
	MOVQ(band.Offset(bandIn), t)
	ADDQ(in, t)
	MOVQ(t, lineIn)
	MOVQ(band.Offset(bandOut), t)
	ADDQ(out, t)
	MOVQ(t, lineOut)
	MOVQ(band.Offset(bandWeights), t)
	ADDQ(w, t)
	MOVQ(t, bandW)

	Label("line")
	tile := Mem{Base: Load(Param("tiles"), GP64())}
	param("tileCount", tiles)

	Label("tile")
	x, y, weights, channels := GP64(), GP64(), GP64(), GP64()
	MOVQ(lineIn, x)
	ADDQ(tile.Offset(tileIn), x)
	MOVQ(lineOut, y)
	ADDQ(tile.Offset(tileOut), y)
	MOVQ(bandW, weights)
	MOVQ(epi, channels)
	if vectors > 1 {
		MOVQ(U32(vectors), t)
		MOVQ(t, left)
	}

	Label("vector")
	row, rowW := GP64(), GP64()
	var skipLeft, skipRight reg.GPVirtual
	if taps > 0 {
		skipLeft, skipRight = GP64(), GP64()
		MOVQ(tile.Offset(tileLeft), skipLeft)
		MOVQ(tile.Offset(tileRight), skipRight)
	}
	acc := s.Regs[:most]
	free := s.Regs[most:]
	floor, value, weight := free[0], free[1], free[2:]
	VMOVUPS(Mem{Base: channels}, acc[0])
	VBROADCASTSS(st.Offset(stepsFloor), floor)
	MOVQ(x, row)
	MOVQ(weights, rowW)
	keep(bandN, rows)
	// Jump to the code for the pixels, by halves.
	MOVQ(tile.Offset(tilePixels), t)
	var dispatch func(lo, hi int)
	dispatch = func(lo, hi int) {
		if lo == hi {
			JMP(LabelRef(fmt.Sprintf("pixels%d", lo)))
			return
		}
		mid := (lo + hi + 1) / 2
		CMPQ(t, Imm(uint64(mid)))
		JGE(LabelRef(fmt.Sprintf("from%d", mid)))
		dispatch(lo, mid-1)
		Label(fmt.Sprintf("from%d", mid))
		dispatch(mid, hi)
	}
	dispatch(1, most)

	for px := 1; px <= most; px++ {
		prefix := fmt.Sprintf("pixels%d", px)
		Label(prefix)
		for i := 1; i < px; i++ {
			VMOVAPS(acc[0], acc[i])
		}
		CMPQ(rows, Imm(0))
		JE(LabelRef(prefix + "Summed"))
		Label(prefix + "Row")
		if taps > 0 {
			for c := range taps {
				VMOVUPS(Mem{Base: rowW, Disp: c * pixel}, weight[c])
			}
			inputs := (px-1)*stride + taps
			side := taps / 2 // at most that many inputs are padding
			for skip := 1; skip <= side; skip++ {
				CMPQ(skipLeft, Imm(uint64(skip)))
				JE(LabelRef(fmt.Sprintf("%sFrom%d", prefix, skip)))
			}
			for at := range inputs { // an output's taps come in their order
				if skip := inputs - at; skip <= side {
					CMPQ(skipRight, Imm(uint64(skip)))
					JE(LabelRef(prefix + "RowDone"))
				}
				if at > 0 && at <= side {
					Label(fmt.Sprintf("%sFrom%d", prefix, at))
				}
				VMAXPS(Mem{Base: row, Disp: at * pixel}, floor, value)
				for c := range taps {
					if i := (at - c) / stride; at >= c && (at-c)%stride == 0 && i < px {
						VFMADD231PS(value, weight[c], acc[i])
					}
				}
			}
		} else {
			col, tap, n, place := GP64(), GP64(), GP64(), GP64()
			MOVQ(row, col)
			MOVQ(rowW, tap)
			ADDQ(tile.Offset(tileLeft), tap)
			MOVQ(tile.Offset(tileRight), n)
			TESTQ(n, n)
			JZ(LabelRef(prefix + "RowDone"))
			Label(prefix + "Tap")
			VMOVUPS(Mem{Base: tap}, weight[0])
			MOVQ(col, place)
			for i := range px {
				VMAXPS(Mem{Base: place}, floor, value)
				VFMADD231PS(value, weight[0], acc[i])
				if i+1 < px {
					ADDQ(st.Offset(stepsPixel), place)
				}
			}
			ADDQ(Imm(pixel), tap)
			ADDQ(st.Offset(stepsCol), col)
			DECQ(n)
			JNZ(LabelRef(prefix + "Tap"))
		}
		Label(prefix + "RowDone")
		ADDQ(st.Offset(stepsRow), row)
		ADDQ(st.Offset(stepsWeights), rowW)
		DECQ(rows)
		JNZ(LabelRef(prefix + "Row"))
		Label(prefix + "Summed")
		if taps > 0 {
			inputs := (px*stride*stride + vectors - 1) / vectors
			for i := range inputs {
				PREFETCHT0(Mem{Base: fetch, Disp: i * pixel})
			}
			ADDQ(I32(uint32(inputs*pixel)), fetch)
			for i := range px {
				PREFETCHT0(Mem{Base: y, Disp: aheadOut + i*pixel})
			}
		}
		res := GP64()
		MOVQ(toRes, t)
		ADDQ(y, t)
		Load(Param("res"), res)
		TESTQ(res, res)
		CMOVQNE(t, res)
		avx.Epilogue{
			ISA: s, Label: prefix, Pixels: px, Vectors: 1, Acc: acc[:px], Free: free,
			Scale: st.Offset(stepsScale), Mask: st.Offset(stepsMask), Lo: st.Offset(stepsLo), Hi: st.Offset(stepsHi),
			Channels: Mem{Base: channels}, Apart: pixel, Res: res, Out: y,
			At: func(base reg.Register, i, _ int) Mem { return Mem{Base: base, Disp: i * pixel} },
		}.Store()
		if px < most {
			JMP(LabelRef("stored"))
		}
	}

	Label("stored")
	if vectors > 1 {
		for _, p := range []reg.GPVirtual{x, y, weights, channels} {
			ADDQ(Imm(uint64(s.Bytes)), p)
		}
		DECQ(left)
		JNZ(LabelRef("vector"))
	}
	ADDQ(Imm(tileSize), tile.Base)
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	add(stepsLineIn, lineIn)
	add(stepsLineOut, lineOut)
	DECQ(lines)
	JNZ(LabelRef("line"))
	ADDQ(Imm(bandSize), bandAt)
	DECQ(bands)
	JNZ(LabelRef("band"))
	add(stepsBlockIn, in)
	add(stepsBlockOut, out)
	add(stepsBlockWeights, w)
	add(stepsBias, epi)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

func main() {
	avx.BuildTags()
	for _, s := range []avx.ISA{avx.AVX2, avx.AVX512} {
		function(s, 0, 0)
		for _, taps := range []int{3, 5, 7} {
			function(s, taps, 1)
			function(s, taps, 2)
		}
	}
	Generate()
}
