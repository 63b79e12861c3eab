//go:build (amd64 || arm64) && !purego

package conv

// tileAsm is the Go declaration of all tiles in assembly; l, off and runs point to the first fields or elements.
type tileAsm = func(l, off, runs *int, in, w, ahead, epi, start, res, out *float32, count int)

func call(tile tileAsm, l *loops, off *offsets, in, w, ahead, epi, start, res, out []float32, count int) {
	var s, r *float32
	if start != nil {
		s = &start[0]
	}
	if res != nil {
		r = &res[0]
	}
	tile(&l.full, &off[0], &l.runs[0], &in[0], &w[0], &ahead[0], &epi[0], s, r, &out[0], count)
}
