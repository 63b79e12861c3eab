package dwconv

import "scission/ops/internal/conv"

// portable is the batchFunc in Go, for tiles of one pixel. Products are rounded before they are added: a compiler that
// fused them would make bits depend on the platform.
func portable(b *batch, in, w, epi, res, out []float32) {
	const size = 4 // bytes of a float32
	st := &b.steps
	bias, scale := (*[block]float32)(epi), (*[block]float32)(epi[block:])
	shift, mask := (*[block]float32)(epi[2*block:]), (*[block]float32)(epi[3*block:])
	for _, a := range b.areas {
		for i := range a.lines * a.tiles {
			line, tile := i/a.tiles, i%a.tiles
			from := (a.in + line*st.lineIn + tile*st.tileIn) / size
			to := (a.out + line*st.lineOut + tile*st.tileOut) / size
			sum := *bias
			for r := range a.rows {
				for c := range a.cols {
					x := (*[block]float32)(in[from+(r*st.row+c*st.col)/size:])
					v := (*[block]float32)(w[(a.weights+r*st.weights)/size+c*block:])
					for j := range sum {
						sum[j] += float32(x[j] * v[j])
					}
				}
			}
			y := (*[block]float32)(out[to:])
			for j, v := range sum {
				if st.scale != 0 {
					v = conv.ScaleShift(v, scale[j], shift[j])
				}
				if res != nil {
					v += res[to+j]
				}
				if mask[j] == 0 { // no channel: the mask of one that exists is a NaN
					y[j] = 0
					continue
				}
				y[j] = conv.Clamp(v, st.lo, st.hi)
			}
		}
	}
}
