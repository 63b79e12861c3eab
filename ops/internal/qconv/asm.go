//go:build (amd64 || arm64) && !purego

package qconv

func call(tile tileAsm, l *loops, taps []int, in, w []int16, epi, res []float32, out Out, count, lines int) {
	var r *float32
	if res != nil {
		r = &res[0]
	}
	tile(&l.taps, &taps[0], &in[0], &w[0], &epi[0], r, out.first(), count, lines)
}
