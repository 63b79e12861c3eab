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

const (
	block = conv.Block
	pixel = 4 * block // bytes
)

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

// steps is how all walks over a block go. Distances are in bytes; assembly reads the fields by their place.
type steps struct {
	row, weights       int // from a tap to the one below it, in the input and in the weights
	col, pixel         int // from a tap, and from an output, to the one beside it, in the input
	lineIn, lineOut    int // from a row of outputs to the next
	blockIn, blockOut  int // from a block of channels to the next
	blockWeights, bias int // likewise in the weights and in what conv.Epilogue.Pack wrote
	scale, mask        int // 1 if the epilogue has them
	lo, hi             float32
	floor              float32
}

// band is rows of outputs that have the same rows of taps outside of the padding. Places are in bytes from the start
// of a block; assembly reads the fields by their place.
type band struct {
	in, out, weights int
	rows, lines      int // of taps, none if all are padding; and of outputs
}

// tile is outputs side by side. Places are in bytes from the start of a line; assembly reads the fields by their
// place. A function for some number of taps is told how many inputs at either side, from that of the first output's
// first tap to that of the last output's last tap, are padding. The one for any taps is told where the weights of the
// first tap are that is outside of the padding, and how many are, for all outputs of a tile.
type tile struct {
	in, out, pixels int
	left, right     int
}

// Kernel is a convolution with packed weights for one implementation. It is immutable; any number of threads may
// call it.
type Kernel struct {
	shape         conv.Shape
	residual      bool
	impl          *implementation
	run           walk
	steps         steps
	tiles         []tile   // of a row
	parts         [][]band // of a block's rows
	weights, epi  []float32
	blocks        int // of channels, of all images
	chunks        int // of blocks
	most          int // blocks that one call computes
	inLen, outLen int
}

// New packs the weights [C][1][KH][KW] for the best implementation that this machine has. Inputs below floor count as
// floor, and NaNs as they are; -Inf is no floor. It keeps no slice that it is given. It panics if Accepts does not hold
// or a slice is not as long as the shape says.
func New(s conv.Shape, weights []float32, floor float32, e conv.Epilogue) *Kernel {
	if !Accepts(s) {
		panic(fmt.Sprintf("dwconv: shape %+v is not accepted", s))
	}
	return newKernel(best(), s, weights, floor, e)
}

func newKernel(impl *implementation, s conv.Shape, weights []float32, floor float32, e conv.Epilogue) *Kernel {
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
		steps: steps{
			row: s.DilationH * s.IW * pixel, weights: s.KW * pixel,
			col: s.DilationW * pixel, pixel: s.StrideW * pixel,
			lineIn: s.StrideH * s.IW * pixel, lineOut: s.OW * pixel,
			blockIn: s.IH * s.IW * pixel, blockOut: s.OH * s.OW * pixel,
			blockWeights: taps * pixel, bias: conv.EpilogueLen * pixel,
			lo: e.Lo, hi: e.Hi, floor: floor,
		},
	}
	if e.Scale != nil {
		k.steps.scale = 1
	}
	if s.IC%block != 0 {
		k.steps.mask = 1
	}
	for b := range blocks {
		e.Pack(k.epi[b*conv.EpilogueLen*block:], b*block, min(block, s.IC-b*block), block)
	}
	for i, v := range weights {
		c, t := i/taps, i%taps
		k.weights[(c/block*taps+t)*block+c%block] = v
	}
	k.share()
	k.plan()
	return k
}

const (
	maxChunks = 16      // of all: enough to even out two to eight threads
	minFlop   = 1 << 18 // of a chunk: some 5 microseconds of one thread
	callFlop  = 1 << 22 // of what one call of assembly computes
)

// share cuts the work into chunks of about the same size: of whole blocks, or of parts of one if there are few.
func (k *Kernel) share() {
	s := &k.shape
	flop := 2 * block * float64(s.KH*s.KW) * float64(s.OH*s.OW)
	want := min(maxChunks, max(1, flop*float64(k.blocks)/minFlop))
	k.chunks = min(k.blocks, int(want))
	parts := int(min(float64(s.OH), max(want/float64(k.blocks), math.Ceil(flop/callFlop), 1)))
	for p := range parts {
		k.parts = append(k.parts, k.bands(s.OH*p/parts, s.OH*(p+1)/parts))
	}
	k.most = max(1, int(callFlop*float64(parts)/flop))
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

// bands returns those of the output rows [from, to).
func (k *Kernel) bands(from, to int) (all []band) {
	s := &k.shape
	for _, y := range spans(from, to, s.IH, s.KH, s.StrideH, s.DilationH, s.PadTop) {
		b := band{out: y.from * s.OW * pixel, weights: y.lo * s.KW * pixel, rows: y.hi - y.lo, lines: y.to - y.from}
		if b.rows > 0 {
			b.in = (y.from*s.StrideH + y.lo*s.DilationH - s.PadTop) * s.IW * pixel
		}
		all = append(all, b)
	}
	return all
}

// plan chooses the walk and cuts a row of outputs into tiles: for the taps there are, if there is a walk for these and
// no more than half of a window is padding to either side, or for any taps, into tiles whose outputs have the same.
func (k *Kernel) plan() {
	s := &k.shape
	if w, ok := k.impl.walks[[2]int{s.KW, s.StrideW}]; ok && s.DilationW == 1 {
		k.run, k.tiles = w.run, nil
		fits := true
		for _, c := range cuts(0, s.OW, w.pixels) {
			first, last := c[0]*s.StrideW-s.PadLeft, (c[1]-1)*s.StrideW-s.PadLeft+s.KW
			t := tile{in: first * pixel, out: c[0] * pixel, pixels: c[1] - c[0], left: max(0, -first), right: max(0, last-s.IW)}
			fits = fits && max(t.left, t.right) <= s.KW/2
			k.tiles = append(k.tiles, t)
		}
		if fits {
			return
		}
	}
	k.run, k.tiles = k.impl.any.run, nil
	for _, x := range spans(0, s.OW, s.IW, s.KW, s.StrideW, s.DilationW, s.PadLeft) {
		for _, c := range cuts(x.from, x.to, k.impl.any.pixels) {
			t := tile{out: c[0] * pixel, pixels: c[1] - c[0], left: x.lo * pixel, right: x.hi - x.lo}
			if t.right > 0 {
				t.in = (c[0]*s.StrideW + x.lo*s.DilationW - s.PadLeft) * pixel
			}
			k.tiles = append(k.tiles, t)
		}
	}
}

// cuts cuts [from, to) into as few pieces of at most so many as there can be, of about the same size.
func cuts(from, to, most int) (all [][2]int) {
	n := (to - from + most - 1) / most
	for i := range n {
		all = append(all, [2]int{from + (to-from)*i/n, from + (to-from)*(i+1)/n})
	}
	return all
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
	bands := k.parts[chunk%len(k.parts)]
	chunk /= len(k.parts)
	inBlock, outBlock, perImage := s.IH*s.IW*block, s.OH*s.OW*block, k.blocks/s.N
	for b, end := k.blocks*chunk/k.chunks, k.blocks*(chunk+1)/k.chunks; b < end; {
		c := b % perImage
		n := min(k.most, end-b, perImage-c)
		var r []float32
		if res != nil {
			r = res[b*outBlock:]
		}
		k.run(k, bands, n, in[b*inBlock:], k.weights[c*s.KH*s.KW*block:], k.epi[c*conv.EpilogueLen*block:], r, out[b*outBlock:])
		b += n
	}
}
