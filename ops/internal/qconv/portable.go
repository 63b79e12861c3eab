package qconv

import (
	"math"

	"scission/ops/internal/conv"
)

// portable returns the dense tileFunc in Go, for tiles of one pixel and taps of run values.
func portable(run int) tileFunc {
	return func(l *loops, taps []int, in, w []int16, epi, res []float32, out Out, count, lines, _ int) {
		for p := range lines * count {
			sums := starts(epi)
			line := p / count
			at := in[(line*l.lineIn+p%count*l.tile)/2:]
			for t, offset := range taps {
				w := w[t*run*Block:][:run*Block]
				for i, v := range at[offset/2:][:run] {
					if v == 0 {
						continue
					}
					row := (*[Block]int16)(w[i*Block:])
					for c := range sums {
						sums[c] += int32(v) * int32(row[c])
					}
				}
			}
			l.finish(&sums, epi, res, out, line*l.lineRes/4+p%count*Block)
		}
	}
}

// portableDepthwise is the depthwise tileFunc in Go, for tiles of one pixel.
func portableDepthwise(l *loops, taps []int, in, w []int16, epi, res []float32, out Out, count, lines, _ int) {
	for p := range lines * count {
		sums := starts(epi)
		line := p / count
		at := in[(line*l.lineIn+p%count*l.tile)/2:]
		for t, offset := range taps {
			x, w := (*[Block]int16)(at[offset/2:]), (*[Block]int16)(w[t*Block:])
			for c := range sums {
				sums[c] += int32(x[c]) * int32(w[c])
			}
		}
		l.finish(&sums, epi, res, out, line*l.lineRes/4+p%count*Block)
	}
}

// starts returns with what the sums of a block begin.
func starts(epi []float32) (sums [Block]int32) {
	for c, v := range epi[epilogueStart*Block:][:Block] {
		sums[c] = int32(math.Float32bits(v))
	}
	return sums
}

// finish is the Epilogue for the pixel at the element at of the output.
func (l *loops) finish(sums *[Block]int32, epi, res []float32, out Out, at int) {
	if l.quantise == keepSums {
		copy(out.Sums[at:][:Block], sums[:])
		return
	}
	for c, s := range sums {
		y := conv.ScaleShift(float32(s), epi[epilogueMul*Block+c], epi[epilogueAdd*Block+c])
		if l.scale != 0 {
			y = conv.ScaleShift(y, epi[epilogueScale*Block+c], epi[epilogueShift*Block+c])
		}
		if res != nil {
			y += res[at+c]
		}
		if y = conv.Clamp(y, l.lo, l.hi); l.mask != 0 && epi[epilogueMask*Block+c] == 0 { // the mask of a channel is a NaN
			y = 0
		}
		switch {
		case l.quantise == keepNumbers:
			out.Wide[at+c] = y
		case y != y:
			out.Narrow[at+c] = int16(l.floor)
		default:
			out.Narrow[at+c] = int16(math.RoundToEven(float64(y / l.step)))
		}
	}
}
