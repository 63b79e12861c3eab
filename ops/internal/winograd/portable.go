package winograd

import "scission/ops/internal/conv"

// The transforms in Go. Products are rounded before they are added: a compiler that fused them would make bits depend
// on the platform.

func mul(x, y float32) float32 { return float32(x * y) }

// transformInput is Bᵀd.
func transformInput(d *[patch]float32) [patch]float32 {
	s, t := d[4]-mul(bb, d[2]), d[3]-mul(bb, d[1])
	u, v := d[4]-mul(aa, d[2]), d[3]-mul(aa, d[1])
	return [patch]float32{
		d[4] - mul(aaPlusBB, d[2]) + mul(aabb, d[0]),
		s + mul(a, t), s - mul(a, t),
		u + mul(b, v), u - mul(b, v),
		d[5] - mul(aaPlusBB, d[3]) + mul(aabb, d[1]),
	}
}

// transformOutput is Aᵀm.
func transformOutput(m *[patch]float32) [tile]float32 {
	s, d, u, v := m[1]+m[2], m[1]-m[2], m[3]+m[4], m[3]-m[4]
	return [tile]float32{
		m[0] + s + u,
		mul(a, d) + mul(b, v),
		mul(aa, s) + mul(bb, u),
		m[5] + mul(aaa, d) + mul(bbb, v),
	}
}

// portableInput is the inputFunc in Go.
func portableInput(r inputRun, in, v, _ []float32) {
	for t := range r.count {
		for l := range lanes {
			var d [patch][patch]float32 // d[x][y]: columns are transformed first
			for y := r.top; y < r.bottom; y++ {
				for x := r.left; x < r.right; x++ {
					d[x][y] = in[r.at+t*tile*lanes+y*r.row+x*lanes+l]
				}
			}
			for x := range d {
				d[x] = transformInput(&d[x])
			}
			for y := range patch {
				row := transformInput(&[patch]float32{d[0][y], d[1][y], d[2][y], d[3][y], d[4][y], d[5][y]})
				for x, value := range row {
					v[(y*patch+x)*r.plane+t*lanes+l] = value
				}
			}
		}
	}
}

// portableProduct is the productFunc in Go, for tiles of one pixel.
func portableProduct(r *productRun, x, w, _, y []float32, count, _, _, _ int) {
	const half = lanes / 2 // as many sums as the registers hold
	step := r.stepX / 4
	for i := range count {
		x, y := x[i*lanes:], y[i*lanes:]
		for j := 0; j < lanes; j += half {
			s, t := conv.Quad{}, conv.Quad{}
			if r.add != 0 {
				s, t = conv.Quad{A: y[j], B: y[j+1], C: y[j+2], D: y[j+3]}, conv.Quad{A: y[j+4], B: y[j+5], C: y[j+6], D: y[j+7]}
			}
			s, t = conv.AddBlocks(s, t, x, w[j:], r.blocks, step)
			at := r.blocks*lanes*lanes + j
			for k := range r.singles {
				v := (*[half]float32)(w[at+k*lanes:])
				one := x[r.blocks*step+k]
				s, t = s.Add(one, (*[half / 2]float32)(v[:])), t.Add(one, (*[half / 2]float32)(v[half/2:]))
			}
			copy(y[j:], []float32{s.A, s.B, s.C, s.D, t.A, t.B, t.C, t.D})
		}
	}
}

// portableOutput is the outputFunc in Go.
func portableOutput(r outputRun, m, epi, res, out, _ []float32) {
	for t := range r.count {
		for l := range lanes {
			var d [patch][tile]float32
			for x := range d {
				var col [patch]float32
				for y := range col {
					col[y] = m[(y*patch+x)*r.plane+t*lanes+l]
				}
				d[x] = transformOutput(&col)
			}
			for y := range r.rows {
				row := transformOutput(&[patch]float32{d[0][y], d[1][y], d[2][y], d[3][y], d[4][y], d[5][y]})
				for x, value := range row[:r.cols] {
					r.finish(value, y*r.row+(t*tile+x)*lanes, l, epi, res, out)
				}
			}
		}
	}
}

// finish sets an output of one lane to a sum with the epilogue.
func (r *epilogueRun) finish(sum float32, at, lane int, epi, res, out []float32) {
	at += lane
	if epi[3*lanes+lane] == 0 { // no channel: the mask of one that exists is a NaN
		out[at] = 0
		return
	}
	sum += epi[lane]
	if r.scale != 0 {
		sum = conv.ScaleShift(sum, epi[lanes+lane], epi[2*lanes+lane])
	}
	if res != nil {
		sum += res[at]
	}
	out[at] = conv.Clamp(sum, r.lo, r.hi)
}
