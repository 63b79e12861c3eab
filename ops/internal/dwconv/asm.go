//go:build (amd64 || arm64) && !purego

package dwconv

// walkAsm is the Go declaration of all walks in assembly; s, bands and tiles point to the first fields of steps, of
// the first band and of the first tile.
type walkAsm = func(s, bands *int, bandCount int, tiles *int, tileCount, blocks int, in, w, epi, res, out *float32)

// walking makes a walker of a function with tiles of so many pixels.
func walking(pixels int, f walkAsm) walker {
	return walker{pixels, func(k *Kernel, bands []band, n int, in, w, epi, res, out []float32) {
		var r *float32
		if res != nil {
			r = &res[0]
		}
		f(&k.steps.row, &bands[0].in, len(bands), &k.tiles[0].in, len(k.tiles), n, &in[0], &w[0], &epi[0], r, &out[0])
	}}
}
