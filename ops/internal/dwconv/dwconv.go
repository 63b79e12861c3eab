// Package dwconv is depthwise two-dimensional convolution of float32: each channel with a kernel of its own.
//
// Layout, epilogue and the way to run are those of package conv. The input is not copied: a tap that lies in the
// padding is left out of the sum. The taps of an output element are summed row by row, whatever thread, chunk or tile
// it falls to, so its bits depend on the instruction set only.
package dwconv

import (
	"fmt"
	"math"

	"scission/ops/internal/conv"
)

const block = conv.Block

// Accepts reports whether New takes the shape: as many groups as input and as output channels.
func Accepts(s conv.Shape) bool {
	for _, v := range [...]int{s.N, s.IC, s.IH, s.IW, s.OH, s.OW, s.KH, s.KW, s.StrideH, s.StrideW, s.DilationH, s.DilationW} {
		if v < 1 || v > math.MaxInt32 {
			return false
		}
	}
	const limit = math.MaxInt32 / 8 // so that places in bytes are ints everywhere
	channels := float64(s.N) * float64(s.IC+block)
	high := float64(s.OH)*float64(s.StrideH) + float64(s.KH)*float64(s.DilationH)
	wide := float64(s.OW)*float64(s.StrideW) + float64(s.KW)*float64(s.DilationW)
	return s.Groups == s.IC && s.OC == s.IC && s.PadTop >= 0 && s.PadLeft >= 0 && s.PadTop < limit && s.PadLeft < limit &&
		channels*float64(s.IH)*float64(s.IW) < limit && channels*float64(s.OH)*float64(s.OW) < limit &&
		float64(s.IC+block)*float64(s.KH)*float64(s.KW) < limit && high < limit && wide < limit
}

// steps is what tiles of one batch have in common. Distances are in bytes; assembly reads the fields by their place.
type steps struct {
	row, col, weights int // from a tap to the one below or beside it in the input, and below it in the weights
	pixelIn, pixelOut int // from a pixel of a tile to the next
	tileIn, tileOut   int // from a tile to the next
	lineIn, lineOut   int // from a line of tiles to the next
	scale, mask       int // 1 if the epilogue has them
	lo, hi            float32
}

// area is a rectangle of outputs that have the same taps outside of the padding. Places are in bytes from the start of
// a channel block; assembly reads the fields by their place.
type area struct {
	in, out, weights int
	rows, cols       int // of taps; both 0 if all are padding
	lines, tiles     int
}

// batch is the areas that tiles of one size walk with the same steps.
type batch struct {
	pixels int
	three  int // the stride, if all outputs have three taps a row and pixels are side by side; 1, 2, or 0 for neither
	steps  steps
	areas  []area
}

// Kernel is a convolution with packed weights for one implementation. It is immutable; any number of threads may
// call it.
type Kernel struct {
	shape         conv.Shape
	residual      bool
	impl          *implementation
	weights, epi  []float32
	blocks        int       // of channels, of all images
	parts         [][]batch // of a block's rows
	chunks        int       // of blocks
	inLen, outLen int
}

// New packs the weights [C][1][KH][KW] for the best implementation that this machine has. It keeps no slice that it is
// given. It panics if Accepts does not hold or a slice is not as long as the shape says.
func New(s conv.Shape, weights []float32, e conv.Epilogue) *Kernel {
	if !Accepts(s) {
		panic(fmt.Sprintf("dwconv: shape %+v is not accepted", s))
	}
	return newKernel(best(), s, weights, e)
}

func newKernel(impl *implementation, s conv.Shape, weights []float32, e conv.Epilogue) *Kernel {
	taps := s.KH * s.KW
	if len(weights) != s.IC*taps {
		panic(fmt.Sprintf("dwconv: got %d weights, want %d", len(weights), s.IC*taps))
	}
	e.Check(s.IC)
	blocks := (s.IC + block - 1) / block
	k := &Kernel{
		shape: s, residual: e.Residual, impl: impl, blocks: s.N * blocks,
		weights: conv.Aligned(blocks * taps * block),
		epi:     conv.Aligned(blocks * conv.EpilogueLen * block),
		inLen:   s.N * blocks * s.IH * s.IW * block,
		outLen:  s.N * blocks * s.OH * s.OW * block,
	}
	for b := range blocks {
		e.Pack(k.epi[b*conv.EpilogueLen*block:], b*block, min(block, s.IC-b*block), block)
	}
	for i, v := range weights {
		c, t := i/taps, i%taps
		k.weights[(c/block*taps+t)*block+c%block] = v
	}
	k.share(e)
	return k
}

const (
	maxChunks = 16      // of all: enough to even out two to eight threads
	minFlop   = 1 << 20 // of a chunk: some 20 microseconds of one thread
	callFlop  = 1 << 22 // of a part, which one call of assembly may compute whole
)

// share cuts the work into chunks of about the same size: of whole blocks, or of parts of one if there are few.
func (k *Kernel) share(e conv.Epilogue) {
	s := &k.shape
	flop := 2 * block * float64(s.KH*s.KW) * float64(s.OH*s.OW)
	want := min(maxChunks, max(1, flop*float64(k.blocks)/minFlop))
	k.chunks = min(k.blocks, int(want))
	parts := int(min(float64(s.OH), max(want/float64(k.blocks), math.Ceil(flop/callFlop), 1)))
	for p := range parts {
		k.parts = append(k.parts, k.plan(e, s.OH*p/parts, s.OH*(p+1)/parts))
	}
}

// span is outputs along one axis that have the same taps [lo, hi) outside of the padding.
type span struct{ from, to, lo, hi int }

// spans cuts the outputs [from, to) along an axis of so many inputs.
func spans(from, to, in, kernel, stride, dilation, pad int) (all []span) {
	for o := from; o < to; o++ {
		first := o*stride - pad // place of tap 0
		lo := min(kernel, max(0, (dilation-1-first)/dilation))
		hi := max(lo, min(kernel, (in-first+dilation-1)/dilation))
		if lo == hi {
			lo, hi = 0, 0
		}
		if n := len(all); n > 0 && all[n-1].lo == lo && all[n-1].hi == hi {
			all[n-1].to++
			continue
		}
		all = append(all, span{o, o + 1, lo, hi})
	}
	return all
}

// plan returns the batches for the output rows [from, to): rectangles in which all outputs have the same taps, walked
// along their rows, or along their columns where rows are shorter than a tile should be.
func (k *Kernel) plan(e conv.Epilogue, from, to int) []batch {
	s := &k.shape
	const pixel = 4 * block
	type walk struct {
		pixels, three int
		down          bool
	}
	place := map[walk]int{}
	var batches []batch
	put := func(w walk, a area) {
		i, ok := place[w]
		if !ok {
			st := steps{
				row: s.DilationH * s.IW * pixel, col: s.DilationW * pixel, weights: s.KW * pixel,
				pixelIn: s.StrideW * pixel, pixelOut: pixel,
				lineIn: s.StrideH * s.IW * pixel, lineOut: s.OW * pixel,
				lo: e.Lo, hi: e.Hi,
			}
			if w.down {
				st.pixelIn, st.lineIn = st.lineIn, st.pixelIn
				st.pixelOut, st.lineOut = st.lineOut, st.pixelOut
			}
			st.tileIn, st.tileOut = w.pixels*st.pixelIn, w.pixels*st.pixelOut
			if e.Scale != nil {
				st.scale = 1
			}
			if s.IC%block != 0 {
				st.mask = 1
			}
			i = len(batches)
			place[w] = i
			batches = append(batches, batch{pixels: w.pixels, three: w.three, steps: st})
		}
		batches[i].areas = append(batches[i].areas, a)
	}
	for _, y := range spans(from, to, s.IH, s.KH, s.StrideH, s.DilationH, s.PadTop) {
		for _, x := range spans(0, s.OW, s.IW, s.KW, s.StrideW, s.DilationW, s.PadLeft) {
			wide, high := x.to-x.from, y.to-y.from
			rows, cols := y.hi-y.lo, x.hi-x.lo
			if rows == 0 || cols == 0 {
				rows, cols = 0, 0
			}
			down := wide < k.impl.fewest && wide < high
			three := 0
			if cols == 3 && s.DilationW == 1 && s.StrideW <= 2 && !down {
				three = s.StrideW
			}
			along, lines := wide, high
			if down {
				along, lines = high, wide
			}
			full, rest, tiles := conv.Split(along, k.impl.pixels, k.impl.fewest)
			for at := 0; at < along; {
				pixels, count := k.impl.pixels, full
				if full == 0 {
					pixels, count = (rest+tiles-1)/tiles, 1
					rest -= pixels
					tiles--
				}
				full = 0
				oy, ox := y.from, x.from+at
				if down {
					oy, ox = y.from+at, x.from
				}
				a := area{
					out:     (oy*s.OW + ox) * pixel,
					weights: (y.lo*s.KW + x.lo) * pixel,
					rows:    rows, cols: cols, lines: lines, tiles: count,
				}
				if rows > 0 {
					iy, ix := oy*s.StrideH+y.lo*s.DilationH-s.PadTop, ox*s.StrideW+x.lo*s.DilationW-s.PadLeft
					a.in = (iy*s.IW + ix) * pixel
				}
				put(walk{pixels, three, down}, a)
				at += pixels * count
			}
		}
	}
	return batches
}

// Info names the algorithm, the instruction set and the tile: "depthwise avx2 6x16" is 6 pixels by 16 channels.
func (k *Kernel) Info() string { return "depthwise " + k.impl.String() }

// Temp returns the float32s of memory that all steps of one run share: none.
func (k *Kernel) Temp() int { return 0 }

// Scratch returns the float32s of memory that each thread needs for itself: none.
func (k *Kernel) Scratch() int { return 0 }

// Steps returns the number of phases of a run.
func (k *Kernel) Steps() int { return 1 }

// Chunks returns the number of pieces of a step, which may run in any order and at once.
func (k *Kernel) Chunks(step int) int { return k.chunks * len(k.parts) }

// Run does one chunk. in, res and out are the whole input, residual (nil without one) and output; res may be out. It
// allocates nothing and keeps nothing, and panics if a slice is too short.
func (k *Kernel) Run(step, chunk int, temp, scratch, in, res, out []float32) {
	s := &k.shape
	in, out = in[:k.inLen], out[:k.outLen]
	if k.residual {
		res = res[:k.outLen]
	} else {
		res = nil
	}
	batches := k.parts[chunk%len(k.parts)]
	chunk /= len(k.parts)
	plane, outPlane, taps := s.IH*s.IW*block, s.OH*s.OW*block, s.KH*s.KW*block
	for b := k.blocks * chunk / k.chunks; b < k.blocks*(chunk+1)/k.chunks; b++ {
		c := b % (k.blocks / s.N)
		w, epi := k.weights[c*taps:][:taps], k.epi[c*conv.EpilogueLen*block:][:conv.EpilogueLen*block]
		var r []float32
		if res != nil {
			r = res[b*outPlane:][:outPlane]
		}
		for i := range batches {
			k.impl.run(&batches[i], in[b*plane:][:plane], w, epi, r, out[b*outPlane:][:outPlane])
		}
	}
}
