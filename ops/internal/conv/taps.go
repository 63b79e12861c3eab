package conv

import "fmt"

// Taps is a convolution that sums tap by tap, each over all input channels, and leaves out the products of padding. That
// is for kernels dilated so far that much of what they meet is padding, such as those of atrous spatial pyramids.
//
// Layout, Epilogue and contract are those of Kernel. The order of a sum is kernel rows, kernel columns, input channels.
type Taps struct {
	shape    Shape
	residual bool
	impl     *implementation
	weights  []float32
	epi      []float32
	blocks   []block
	taps     []reach
	slabs    []slab  // of the sum over the channels
	finish   loops   // without products
	strided  offsets // of the pixels of a tile in the input
	flat     offsets // in the sums
	channels int     // of the input, pad channels among them

	parts, sets   int // the output rows and the blocks are shared out in
	inLen, outLen int // of an image
}

// reach is the outputs for which a tap is not in the padding, and where it is from an output's first tap on.
type reach struct {
	y, x span
	at   int // float32s
	n    int // of the taps, in the order of the sum
}

type span struct{ from, to int }

// tapsShare is the share of products with padding from which on it pays to sum tap by tap.
const tapsShare = 0.2

// TapsAccept reports whether NewTaps takes the shape.
func TapsAccept(s Shape) bool { return Accepts(s, false) && s.Groups == 1 }

// TapsPay reports whether NewTaps takes the shape and leaves out enough products.
func TapsPay(s Shape) bool {
	if !TapsAccept(s) {
		return false
	}
	met := float64(meets(s.KH, s.StrideH, s.DilationH, s.PadTop, s.IH, s.OH)) * float64(meets(s.KW, s.StrideW, s.DilationW, s.PadLeft, s.IW, s.OW))
	all := float64(s.KH*s.OH) * float64(s.KW*s.OW)
	return max(s.DilationH, s.DilationW) > 1 && met < (1-tapsShare)*all
}

// meets returns how many products along a dimension are not with padding.
func meets(kernel, stride, dilation, pad, in, out int) (sum int) {
	for k := range kernel {
		s := reached(k, stride, dilation, pad, in, out)
		sum += s.to - s.from
	}
	return sum
}

// reached returns the outputs along a dimension whose tap k is not in the padding.
func reached(k, stride, dilation, pad, in, out int) span {
	first := k*dilation - pad // of output 0
	s := span{from: max(0, (stride-1-first)/stride), to: min(out, (in-first+stride-1)/stride)}
	s.to = max(s.to, s.from)
	return s
}

// NewTaps packs the weights [OC][IC][KH][KW] for the best implementation that this machine has. It keeps no slice that
// it is given. It panics unless TapsAccept, or if a slice is not as long as the shape says.
func NewTaps(s Shape, weights []float32, e Epilogue) *Taps {
	if !TapsAccept(s) {
		panic(fmt.Sprintf("conv: shape %+v cannot be summed tap by tap", s))
	}
	return newTaps(best(), s, weights, e)
}

func newTaps(impl *implementation, s Shape, weights []float32, e Epilogue) *Taps {
	taps := s.KH * s.KW
	if want := s.OC * s.IC * taps; len(weights) != want {
		panic(fmt.Sprintf("conv: got %d weights, want %d", len(weights), want))
	}
	e.Check(s.OC)
	channels, padded := (s.IC+Block-1)/Block, (s.OC+Block-1)/Block*Block
	k := &Taps{
		shape: s, residual: e.Residual, impl: impl,
		weights:  Aligned(padded * channels * Block * taps),
		epi:      Aligned(padded * EpilogueLen),
		channels: channels * Block,
		strided:  evenly(s.StrideW * Block),
		flat:     evenly(Block),
		inLen:    channels * s.IH * s.IW * Block,
		outLen:   padded * s.OH * s.OW,
	}
	w := 0
	for o := 0; o < padded; {
		t := impl.widest(padded - o)
		b := block{tile: t, out: o * s.OH * s.OW, weights: w, epi: o * EpilogueLen}
		real := min(t.width, s.OC-o)
		e.Pack(k.epi[b.epi:], o, real, t.width)
		for tap := range taps {
			for c := range channels * Block {
				for j := range real {
					if c < s.IC {
						k.weights[w+j] = weights[((o+j)*s.IC+c)*taps+tap]
					}
				}
				w += t.width
			}
		}
		k.blocks = append(k.blocks, b)
		o += t.width
	}
	for y := range s.KH {
		for x := range s.KW {
			r := reach{
				y:  reached(y, s.StrideH, s.DilationH, s.PadTop, s.IH, s.OH),
				x:  reached(x, s.StrideW, s.DilationW, s.PadLeft, s.IW, s.OW),
				at: ((y*s.DilationH-s.PadTop)*s.IW + x*s.DilationW - s.PadLeft) * Block,
				n:  y*s.KW + x,
			}
			if r.y.from < r.y.to && r.x.from < r.x.to {
				k.taps = append(k.taps, r)
			}
		}
	}
	k.sets = len(k.blocks)
	k.parts = max(1, min(maxChunks/k.sets, s.OH))
	k.slice(e)
	return k
}

// slice cuts the sum over the channels into slabs.
func (k *Taps) slice(e Epilogue) {
	s := &k.shape
	sums := (s.OH + k.parts - 1) / k.parts * s.OW * Block
	kept := loops{outBlock: sums, sumBlock: sums, lo: Pass.Lo, hi: Pass.Hi, even: true}
	each := max(1, slabLen/(k.blocks[0].width*Block))
	blocks := k.channels / Block
	for from := 0; from < blocks; from += each {
		sl := slab{loops: kept, taps: from * Block}
		for c := from; c < min(from+each, blocks); c++ {
			sl.loops.runs = append(sl.loops.runs, c*s.IH*s.IW*Block)
		}
		sl.loops.full = len(sl.loops.runs)
		k.slabs = append(k.slabs, sl)
	}
	k.finish = kept
	k.finish.even, k.finish.runs = false, []int{0}
	k.finish.limit(e.Lo, e.Hi)
	k.finish.outBlock = s.OH * s.OW * Block
	if e.Scale != nil {
		k.finish.scale = 1
	}
	if s.OC%Block != 0 {
		k.finish.mask = 1
	}
}

// Info names the algorithm, the instruction set and the tile.
func (k *Taps) Info() string { return "taps " + k.impl.String() }

// Temp is described at Kernel.
func (k *Taps) Temp() int { return 0 }

// Scratch is described at Kernel.
func (k *Taps) Scratch() int { return k.finish.sumBlock / Block * k.blocks[0].width }

// Steps is described at Kernel.
func (k *Taps) Steps() int { return 1 }

// Chunks is described at Kernel.
func (k *Taps) Chunks(int) int { return k.shape.N * k.parts * k.sets }

// Run is described at Kernel.
func (k *Taps) Run(_, chunk int, _, scratch, in, res, out []float32) {
	s := &k.shape
	b := &k.blocks[chunk%k.sets]
	chunk /= k.sets
	part, n := chunk%k.parts, chunk/k.parts
	rows := span{s.OH * part / k.parts, s.OH * (part + 1) / k.parts}
	in, out = in[n*k.inLen:][:k.inLen], out[n*k.outLen:][:k.outLen]
	if k.residual {
		res = res[n*k.outLen:][:k.outLen]
	} else {
		res = nil
	}
	sums := scratch[:k.Scratch()]
	pixels := (rows.to - rows.from) * s.OW
	epi := k.epi[b.epi:]
	for at := 0; at < b.width; at += Block {
		of := sums[at/Block*k.finish.sumBlock:][:pixels*Block]
		for p := 0; p < len(of); p += Block {
			copy(of[p:p+Block], epi[at:])
		}
	}
	for i := range k.taps {
		t := &k.taps[i]
		y := span{max(rows.from, t.y.from), min(rows.to, t.y.to)}
		for j := range k.slabs {
			sl := &k.slabs[j]
			w := k.weights[b.weights+(t.n*k.channels+sl.taps)*b.width:]
			for row := y.from; row < y.to; row++ {
				x := in[t.at+(row*s.StrideH*s.IW+t.x.from*s.StrideW)*Block:]
				sum := sums[((row-rows.from)*s.OW+t.x.from)*Block:]
				k.impl.along(&sl.loops, &k.strided, s.StrideW*Block, b.tile, x, w, w, epi, sum, nil, sum, t.x.to-t.x.from)
			}
		}
	}
	to := b.out + rows.from*s.OW*Block
	k.impl.along(&k.finish, &k.flat, Block, b.tile, sums, epi, epi, epi, sums, from(res, to), out[to:], pixels)
}
