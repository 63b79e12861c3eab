//go:build (amd64 || arm64) && !purego

package dwconv

// tileAsm is the Go declaration of all tiles in assembly; s and areas point to the first fields of steps and of the
// first area.
type tileAsm = func(s, areas *int, count int, in, w, epi, res, out *float32)

func call(tile tileAsm, b *batch, in, w, epi, res, out []float32) {
	var r *float32
	if res != nil {
		r = &res[0]
	}
	tile(&b.steps.row, &b.areas[0].in, len(b.areas), &in[0], &w[0], &epi[0], r, &out[0])
}
