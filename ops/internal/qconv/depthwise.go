package qconv

import "scission/ops/internal/conv"

// A depthwise convolution reads rows of a band: the input rows that some lines of outputs see, with their padding. Tiles
// that multiply pairs read the values of two rows side by side,
//
//	[rows/2][columns][16][2]
//
// where row r is one of pair r/d/2*d + r%d if taps of a column are d rows apart: so taps of a column are pairs, but for
// those at the ends, which may have nothing beside them.

// phase is lines whose taps lie alike in pairs of rows, in a plane of one row each if tiles multiply no pairs. Places are
// of the first of them, in elements.
type phase struct {
	in, weights int
}

// piece is count tiles of so many pixels, side by side, the first of them being pixel first of its row.
type piece struct {
	first, pixels, count int
}

// packDepthwise lists the taps and lays out their weights: [block][2][tap][16][2] where tiles multiply pairs, for lines
// whose first row is the first of a pair and for those whose is the second, else [block][tap][16].
func (k *Kernel) packDepthwise(weights []int16) {
	s := &k.shape
	count := s.KH * s.KW
	k.tall = s.KH
	if !k.paired() {
		k.phases = []phase{{}}
		for y := range s.KH {
			for x := range s.KW {
				k.taps = append(k.taps, 2*(y*s.DilationH*k.wide+x*s.DilationW)*Block)
			}
		}
		k.weights = make([]int16, k.blocks*count*Block)
		for i, w := range weights {
			c, t := i/count, i%count
			k.weights[(c/Block*count+t)*Block+c%Block] = w
		}
		return
	}
	k.tall = s.KH/2 + 1
	for y := range k.tall {
		for x := range s.KW {
			k.taps = append(k.taps, 2*(y*s.DilationH*k.wide+x*s.DilationW)*2*Block)
		}
	}
	size := len(k.taps) * 2 * Block
	for p := range min(k.period, s.OH) {
		r, d := p*s.StrideH, s.DilationH
		k.phases = append(k.phases, phase{in: (r/d/2*d + r%d) * k.wide * 2 * Block, weights: r / d % 2 * size})
	}
	full, rest, tiles := conv.Split(k.cols, k.pixels(), k.impl.fewest)
	k.pieces = []piece{{pixels: k.pixels(), count: full}}
	for first := full * k.pixels(); tiles > 0; tiles-- {
		last := &k.pieces[len(k.pieces)-1]
		n := (rest + tiles - 1) / tiles
		if last.pixels != n {
			k.pieces = append(k.pieces, piece{first: first, pixels: n})
			last = &k.pieces[len(k.pieces)-1]
		}
		last.count++
		first, rest = first+n, rest-n
	}
	if k.pieces[0].count == 0 {
		k.pieces = k.pieces[1:]
	}
	k.weights = make([]int16, k.blocks*2*size)
	for i, w := range weights {
		c, y, x := i/count, i%count/s.KW, i%s.KW
		for second := range 2 {
			y := y + second
			at := ((y/2*s.KW+x)*Block+k.lane(c))*2 + y%2
			k.weights[(c/Block*2+second)*size+at] = w
		}
	}
}

// bandRows is the rows, or pairs of them, that so many lines of outputs see.
func (k *Kernel) bandRows(lines int) int {
	s := &k.shape
	last := (lines - 1) * s.StrideH
	if k.paired() {
		return (last/s.DilationH/2 + k.tall) * s.DilationH
	}
	return last + (s.KH-1)*s.DilationH + 1
}

// depthwiseRows computes rows of a plane, whose output begins at the element at. In scratch the columns of padding are
// zero, as is what lies behind the band.
func (k *Kernel) depthwiseRows(b int, plane, scratch []int16, out Out, at, from, to int) {
	s := &k.shape
	size := len(k.weights) / k.blocks
	weights, epi := k.weights[b*size:][:size], k.epi[b*epilogueLen*Block:]
	for from < to {
		end := min(to, from+k.band)
		in := plane[min(from*k.stepRow, len(plane)):]
		switch first := from*s.StrideH - s.PadTop; {
		case k.paired():
			in = scratch
			k.pairBand(scratch, plane, first, k.bandRows(end-from))
		case k.halo:
			in = scratch
			k.padBand(scratch, plane, first, k.bandRows(end-from))
		}
		for i, p := range k.phases {
			lines := (end - from - i + k.period - 1) / k.period
			if lines <= 0 {
				break
			}
			w, o := weights[p.weights:], at+(from+i)*k.cols*Block
			if !k.paired() {
				k.tilesOf(w, epi, in, nil, out, o, k.cols, lines)
				continue
			}
			for _, piece := range k.pieces {
				k.pairTiles(piece, in[p.in:], w, epi, out, o, lines)
			}
		}
		from = end
	}
}

// pairTiles computes a piece of lines, whose outputs begin at the element at.
func (k *Kernel) pairTiles(p piece, in, w []int16, epi []float32, out Out, at, lines int) {
	tile := k.impl.depthwisePairs[p.pixels-1]
	most := max(1, callWork/(len(k.taps)*2*Block*p.pixels)) // tiles of a call
	for line := 0; line < lines; {
		some := min(lines-line, max(1, most/p.count))
		for done := 0; done < p.count; done += most {
			x := p.first + done*p.pixels
			y := out.from(at + (line*k.period*k.cols+x)*Block).first()
			tile(&k.loops.taps, &k.taps[0], &in[line*k.stepRow+x*k.stepX], &w[0], &epi[0], nil, y, min(most, p.count-done), some)
		}
		line += some
	}
}

// columns returns where the columns of a plane begin in a band, and how many they are.
func (k *Kernel) columns() (left, n int) {
	left = min(k.shape.PadLeft, k.wide)
	return left, min(k.shape.IW, k.wide-left)
}

// padBand writes so many rows of a padded plane, the first being row first of the plane, but not the columns of padding.
func (k *Kernel) padBand(to, plane []int16, first, rows int) {
	s := &k.shape
	wide := k.wide * Block
	above := min(rows, max(0, -first))
	inside := max(0, min(rows, s.IH-first)-above)
	clear(to[:above*wide])
	clear(to[(above+inside)*wide : rows*wide])
	left, n := k.columns()
	for r := above; r < above+inside && n > 0; r++ {
		copy(to[r*wide+left*Block:][:n*Block], plane[(first+r)*s.IW*Block:])
	}
}

// pairBand writes so many pairs of rows of a padded plane, the first being row first of the plane, but not the columns of
// padding.
func (k *Kernel) pairBand(to, plane []int16, first, pairs int) {
	s := &k.shape
	left, n := k.columns()
	if n <= 0 {
		return
	}
	d := s.DilationH
	row := func(y int) []int16 {
		if y < 0 || y >= s.IH {
			return to[len(to)-n*Block:] // zeros
		}
		return plane[y*s.IW*Block:]
	}
	for i := 0; i < pairs; {
		y, rows := first+i/d*2*d+i%d, 1
		if d == 1 && y >= 0 && y+1 < s.IH {
			rows = min(pairs-i, (s.IH-y)/2)
		}
		pairRows(to[(i*k.wide+left)*2*Block:], row(y), row(y+d), rows, n*Block, k.wide*2*Block, 2*s.IW*Block)
		i += rows
	}
}

// pairRows puts the values of rows of a and b, of n elements, side by side: those of the first halves of the quarters of
// pixels, then the others, as VPUNPCKLWD and VPUNPCKHWD do.
func pairRows(dst, a, b []int16, rows, n, dstStep, srcStep int) {
	_, _, _ = dst[(rows-1)*dstStep+2*n-1], a[(rows-1)*srcStep+n-1], b[(rows-1)*srcStep+n-1]
	pairRowsAsm(&dst[0], &a[0], &b[0], rows, n/Block, 2*dstStep, 2*srcStep)
}
