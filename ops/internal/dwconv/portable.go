package dwconv

import "scission/ops/internal/conv"

// portable is the batchFunc in Go, for tiles of one pixel. Products are rounded before they are added: a compiler that
// fused them would make bits depend on the platform.
func portable(b *batch, in, w, epi, res, out []float32) {
	const size = 4 // bytes of a float32
	st := &b.steps
	col := st.col / size
	bias, scale := (*[block]float32)(epi), (*[block]float32)(epi[block:])
	shift, mask := (*[block]float32)(epi[2*block:]), (*[block]float32)(epi[3*block:])
	for _, a := range b.areas {
		for i := range a.lines * a.tiles {
			line, tile := i/a.tiles, i%a.tiles
			from := (a.in + line*st.lineIn + tile*st.tileIn) / size
			to := (a.out + line*st.lineOut + tile*st.tileOut) / size
			sum := *bias
			for r := range a.rows {
				x, v := in[from+r*st.row/size:], w[(a.weights+r*st.weights)/size:]
				c := 0
				for ; c+3 <= a.cols; c += 3 { // sums are in memory, so each is read for three taps
					x0, x1, x2 := (*[block]float32)(x[c*col:]), (*[block]float32)(x[(c+1)*col:]), (*[block]float32)(x[(c+2)*col:])
					v0, v1, v2 := (*[block]float32)(v[c*block:]), (*[block]float32)(v[(c+1)*block:]), (*[block]float32)(v[(c+2)*block:])
					for j := range sum {
						sum[j] = sum[j] + float32(x0[j]*v0[j]) + float32(x1[j]*v1[j]) + float32(x2[j]*v2[j])
					}
				}
				for ; c < a.cols; c++ {
					x, v := (*[block]float32)(x[c*col:]), (*[block]float32)(v[c*block:])
					for j := range sum {
						sum[j] += float32(x[j] * v[j])
					}
				}
			}
			y := (*[block]float32)(out[to:])
			if st.scale != 0 {
				for j, v := range sum {
					sum[j] = conv.ScaleShift(v, scale[j], shift[j])
				}
			}
			if res != nil {
				r := (*[block]float32)(res[to:])
				for j := range sum {
					sum[j] += r[j]
				}
			}
			for j := range sum {
				y[j] = conv.Clamp(sum[j], st.lo, st.hi)
			}
			if st.mask != 0 {
				for j, m := range mask {
					if m == 0 { // no channel: the mask of one that exists is a NaN
						y[j] = 0
					}
				}
			}
		}
	}
}
