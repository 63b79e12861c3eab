package conv

// portable is the tileFunc in Go, for tiles of one pixel.
func portable(l *loops, off *offsets, in, w, _, epi, start, res, out []float32, count, _, width int) {
	for i := range count {
		from := epi
		if start != nil {
			from = start[i*Block:]
		}
		for j := 0; j < width; j += 2 * lane {
			s, t := l.sum(in[i*off[1]:], w[j:], (*[2 * lane]float32)(from[j:]))
			y, e := (*[2 * lane]float32)(out[j:]), epi[j:]
			for i, v := range [...]float32{s.A, s.B, s.C, s.D, t.A, t.B, t.C, t.D} {
				if l.scale != 0 {
					v = ScaleShift(v, e[width+i], e[2*width+i])
				}
				if res != nil {
					v += res[j+i]
				}
				if l.mask != 0 && e[3*width+i] == 0 { // no channel: the mask of one that exists is a NaN
					v = 0
				} else {
					v = Clamp(v, l.lo, l.hi)
				}
				y[i] = v
			}
		}
		out = out[Block:]
		if res != nil {
			res = res[Block:]
		}
	}
}

// sum returns the sums of eight channels of the pixel at in, which start from what start holds.
func (l *loops) sum(in, w []float32, start *[2 * lane]float32) (s, t Quad) {
	s, t = Quad{start[0], start[1], start[2], start[3]}, Quad{start[4], start[5], start[6], start[7]}
	if l.even {
		return AddBlocks(s, t, in[l.runs[0]:], w, l.full, l.runs[min(1, l.full-1)]-l.runs[0])
	}
	at := 0 // in w
	for _, r := range l.runs[:l.full] {
		s, t = AddBlocks(s, t, in[r:], w[at:], 1, Block)
		at += Block * Block
	}
	for _, r := range l.runs[l.full:] {
		for _, v := range in[r:][:quadLen*l.quads+l.singles] {
			s, t = s.Add(v, (*[lane]float32)(w[at:])), t.Add(v, (*[lane]float32)(w[at+lane:]))
			at += Block
		}
	}
	return s, t
}

// Quad is sums of four output channels.
type Quad struct{ A, B, C, D float32 }

// lane is the channels of a Quad.
const lane = 4

// Add returns s + x·w. Products are rounded before they are added: a compiler that fused them would make bits depend
// on the platform.
func (s Quad) Add(x float32, w *[lane]float32) Quad {
	return Quad{s.A + float32(x*w[0]), s.B + float32(x*w[1]), s.C + float32(x*w[2]), s.D + float32(x*w[3])}
}

// AddBlocks adds to s and t, the sums of eight channels that follow one another, the products of input values, one after
// the other, with those channels of as many rows of 16 weights in w. The values are blocks of 16, step apart.
func AddBlocks(s, t Quad, x, w []float32, blocks, step int) (Quad, Quad) {
	const rows = (Block-1)*Block + 2*lane // without the channels behind those of the last row
	p, at := 0, 0
	for range blocks {
		// They are written out: in a small loop the compiler does not keep the sums in registers.
		x16, w16 := (*[Block]float32)(x[p:]), (*[rows]float32)(w[at:])
		s, t = s.Add(x16[0], (*[lane]float32)(w16[0*Block:])), t.Add(x16[0], (*[lane]float32)(w16[0*Block+lane:]))
		s, t = s.Add(x16[1], (*[lane]float32)(w16[1*Block:])), t.Add(x16[1], (*[lane]float32)(w16[1*Block+lane:]))
		s, t = s.Add(x16[2], (*[lane]float32)(w16[2*Block:])), t.Add(x16[2], (*[lane]float32)(w16[2*Block+lane:]))
		s, t = s.Add(x16[3], (*[lane]float32)(w16[3*Block:])), t.Add(x16[3], (*[lane]float32)(w16[3*Block+lane:]))
		s, t = s.Add(x16[4], (*[lane]float32)(w16[4*Block:])), t.Add(x16[4], (*[lane]float32)(w16[4*Block+lane:]))
		s, t = s.Add(x16[5], (*[lane]float32)(w16[5*Block:])), t.Add(x16[5], (*[lane]float32)(w16[5*Block+lane:]))
		s, t = s.Add(x16[6], (*[lane]float32)(w16[6*Block:])), t.Add(x16[6], (*[lane]float32)(w16[6*Block+lane:]))
		s, t = s.Add(x16[7], (*[lane]float32)(w16[7*Block:])), t.Add(x16[7], (*[lane]float32)(w16[7*Block+lane:]))
		s, t = s.Add(x16[8], (*[lane]float32)(w16[8*Block:])), t.Add(x16[8], (*[lane]float32)(w16[8*Block+lane:]))
		s, t = s.Add(x16[9], (*[lane]float32)(w16[9*Block:])), t.Add(x16[9], (*[lane]float32)(w16[9*Block+lane:]))
		s, t = s.Add(x16[10], (*[lane]float32)(w16[10*Block:])), t.Add(x16[10], (*[lane]float32)(w16[10*Block+lane:]))
		s, t = s.Add(x16[11], (*[lane]float32)(w16[11*Block:])), t.Add(x16[11], (*[lane]float32)(w16[11*Block+lane:]))
		s, t = s.Add(x16[12], (*[lane]float32)(w16[12*Block:])), t.Add(x16[12], (*[lane]float32)(w16[12*Block+lane:]))
		s, t = s.Add(x16[13], (*[lane]float32)(w16[13*Block:])), t.Add(x16[13], (*[lane]float32)(w16[13*Block+lane:]))
		s, t = s.Add(x16[14], (*[lane]float32)(w16[14*Block:])), t.Add(x16[14], (*[lane]float32)(w16[14*Block+lane:]))
		s, t = s.Add(x16[15], (*[lane]float32)(w16[15*Block:])), t.Add(x16[15], (*[lane]float32)(w16[15*Block+lane:]))
		p += step
		at += Block * Block
	}
	return s, t
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
