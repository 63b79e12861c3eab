package dwconv

import (
	"math"

	"scission/ops/internal/conv"
)

// portable is the walk in Go, for tiles of one pixel and any taps. Products are rounded before they are added: a
// compiler that fused them would make bits depend on the platform.
func portable(k *Kernel, bands []band, n int, in, w, epi, res, out []float32) {
	const size = 4 // bytes of a float32
	st := &k.steps
	var raised [3][block]float32 // inputs that are not below the floor
	floored := !math.IsInf(float64(st.floor), -1)
	col := st.col / size
	for i := range n {
		w, epi := w[i*st.blockWeights/size:], epi[i*st.bias/size:]
		bias, scale := (*[block]float32)(epi), (*[block]float32)(epi[block:])
		shift, mask := (*[block]float32)(epi[2*block:]), (*[block]float32)(epi[3*block:])
		for _, b := range bands {
			for at := range b.lines * len(k.tiles) {
				line, t := at/len(k.tiles), &k.tiles[at%len(k.tiles)]
				from := (i*st.blockIn + b.in + line*st.lineIn + t.in) / size
				to := (i*st.blockOut + b.out + line*st.lineOut + t.out) / size
				sum := *bias
				for r := range b.rows {
					x, v := in[from+r*st.row/size:], w[(b.weights+t.left+r*st.weights)/size:]
					c := 0
					for ; c+3 <= t.right; c += 3 { // sums are in memory, so each is read for three taps
						x0, x1, x2 := (*[block]float32)(x[c*col:]), (*[block]float32)(x[(c+1)*col:]), (*[block]float32)(x[(c+2)*col:])
						v0, v1, v2 := (*[block]float32)(v[c*block:]), (*[block]float32)(v[(c+1)*block:]), (*[block]float32)(v[(c+2)*block:])
						if floored {
							for i, x := range [...]*[block]float32{x0, x1, x2} {
								raise(&raised[i], x, st.floor)
							}
							x0, x1, x2 = &raised[0], &raised[1], &raised[2]
						}
						for j := range sum {
							sum[j] = sum[j] + float32(x0[j]*v0[j]) + float32(x1[j]*v1[j]) + float32(x2[j]*v2[j])
						}
					}
					for ; c < t.right; c++ {
						x, v := (*[block]float32)(x[c*col:]), (*[block]float32)(v[c*block:])
						if floored {
							raise(&raised[0], x, st.floor)
							x = &raised[0]
						}
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
}

// raise sets y to x, or to floor where x is below it.
func raise(y, x *[block]float32, floor float32) {
	for j, v := range x {
		y[j] = max(v, floor)
	}
}
