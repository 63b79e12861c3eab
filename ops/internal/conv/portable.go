package conv

// portable is the tileFunc in Go, for two pixels at most. Four channels of two pixels are what the registers hold.
// Products are rounded before they are added: a compiler that fused them would make bits depend on the platform.
func portable(l *loops, off *offsets, in, w, _, epi, res, out []float32, count, pixels, width int) {
	const lane = 4
	second := off[pixels-1]
	for t := range count {
		in := in[t*l.stepTile:]
		at := t * pixels * Block
		for j := 0; j < width; j += lane {
			b := (*[lane]float32)(epi[j:])
			s0, s1, s2, s3 := b[0], b[1], b[2], b[3]
			t0, t1, t2, t3 := b[0], b[1], b[2], b[3]
			w := w[j:]
			for a := range l.a {
				run := 4*l.quads + l.singles
				if a == l.a-1 {
					run = 4*l.lastQuads + l.lastSingles
				}
				for b := range l.b {
					for c := range l.c {
						p := a*l.stepA + b*l.stepB + c*l.stepC
						x, y := in[p:][:run], in[p+second:][:run]
						for r, x := range x {
							y := y[r]
							v := (*[lane]float32)(w[r*Block:])
							s0 += float32(x * v[0])
							s1 += float32(x * v[1])
							s2 += float32(x * v[2])
							s3 += float32(x * v[3])
							t0 += float32(y * v[0])
							t1 += float32(y * v[1])
							t2 += float32(y * v[2])
							t3 += float32(y * v[3])
						}
						w = w[min(run*Block, len(w)):]
					}
				}
			}
			sums := [2][lane]float32{{s0, s1, s2, s3}, {t0, t1, t2, t3}}
			for p, sum := range sums[:pixels] {
				for i, v := range sum {
					o := at + p*Block + j + i
					if l.scale != 0 {
						v = ScaleShift(v, epi[width+j+i], epi[2*width+j+i])
					}
					if res != nil {
						v += res[o]
					}
					if epi[3*width+j+i] == 0 { // no channel: the mask of one that exists is a NaN
						out[o] = 0
						continue
					}
					out[o] = Clamp(v, l.lo, l.hi)
				}
			}
		}
	}
}

// ScaleShift returns x·scale + shift as portable Go computes it: both operations round, on every platform.
func ScaleShift(x, scale, shift float32) float32 { return float32(x*scale) + shift }

// Clamp returns lo where x < lo, else hi where x > hi, else x, so a NaN stays.
func Clamp(x, lo, hi float32) float32 {
	if x < lo {
		x = lo
	}
	if x > hi {
		x = hi
	}
	return x
}
