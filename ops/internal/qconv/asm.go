//go:build (amd64 || arm64) && !purego

package qconv

import "unsafe"

// tileAsm is the Go declaration of all tiles in assembly; l points to the first field of loops.
type tileAsm = func(l, taps *int, in, w *int16, epi, res *float32, out *int16, count, lines int)

func call(tile tileAsm, l *loops, taps []int, in, w []int16, epi, res []float32, out Out, count, lines int) {
	var r *float32
	if res != nil {
		r = &res[0]
	}
	y := (*int16)(unsafe.Pointer(unsafe.SliceData(out.Wide)))
	switch {
	case out.Narrow != nil:
		y = &out.Narrow[0]
	case out.Sums != nil:
		y = (*int16)(unsafe.Pointer(&out.Sums[0]))
	}
	tile(&l.taps, &taps[0], &in[0], &w[0], &epi[0], r, y, count, lines)
}
