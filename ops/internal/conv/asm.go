//go:build (amd64 || arm64) && !purego

package conv

// tileAsm is the Go declaration of all tiles in assembly; l and off point to the first fields of loops and offsets.
type tileAsm = func(l, off *int, in, w, ahead, epi, res, out *float32, count int)

func call(tile tileAsm, l *loops, off *offsets, in, w, ahead, epi, res, out []float32, count int) {
	var r *float32
	if res != nil {
		r = &res[0]
	}
	tile(&l.a, &off[0], &in[0], &w[0], &ahead[0], &epi[0], r, &out[0], count)
}
