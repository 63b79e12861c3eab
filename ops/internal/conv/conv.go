// Package conv is dense two-dimensional convolution of float32 by direct summation.
//
// Its layout is NCHW16c: [N][⌈C/16⌉][H][W][16], where the channels of the last block that do not exist (pad channels)
// are zero on input and zero on output. It knows slices and integers only: no tensor, no graph, no thread pool. Who
// calls it runs the chunks of each step on as many threads as there are.
//
// The sum of an output element always runs in one order, whatever thread, chunk or tile it falls to, and nothing of
// the epilogue changes how the sum is rounded. So its bits depend on the instruction set only.
package conv

import (
	"fmt"
	"math"
	"unsafe"

	"scission/ops/internal/reorder"
)

// Block is the number of channels of a block of the layout.
const Block = 16

// Shape is the geometry of one convolution. The padding at the bottom and on the right follows from OH and OW.
// Groups divides the channels; with more than one, IC/Groups and OC/Groups are multiples of Block.
type Shape struct {
	N, IC, IH, IW        int // input
	OC, OH, OW           int // output
	KH, KW               int // kernel
	StrideH, StrideW     int
	DilationH, DilationW int
	PadTop, PadLeft      int
	Groups               int
}

// Epilogue is what happens to the sum acc of an output element, in this order:
//
//	y = acc                        acc starts at Bias[oc], or 0
//	y = y*Scale[oc] + Shift[oc]    if Scale is not nil; one rounding (FMA) in assembly, two in portable Go
//	y = y + res                    if Residual
//	y = Lo where y < Lo, Hi where y > Hi; a NaN stays
//
// Bias, and Scale with Shift, have a value for each output channel or are nil. -Inf and +Inf are no limits.
type Epilogue struct {
	Bias, Scale, Shift []float32
	Residual           bool
	Lo, Hi             float32
}

// Pass is an Epilogue that changes nothing.
var Pass = Epilogue{Lo: float32(math.Inf(-1)), Hi: float32(math.Inf(1))}

// EpilogueLen is the values of a channel that Pack writes.
const EpilogueLen = 4

// Pack writes what kernels read of the epilogue of channels [first, first+channels) to p: width values each of bias,
// scale, shift and mask, zero where there is none. The mask of a channel that exists has all bits set.
func (e *Epilogue) Pack(p []float32, first, channels, width int) {
	for i, v := range [...][]float32{e.Bias, e.Scale, e.Shift} {
		if v != nil {
			copy(p[i*width:][:channels], v[first:])
		}
	}
	for i := range channels {
		p[3*width+i] = math.Float32frombits(math.MaxUint32)
	}
}

// Check panics unless the epilogue is one for that number of channels.
func (e *Epilogue) Check(channels int) {
	for _, v := range [...][]float32{e.Bias, e.Scale, e.Shift} {
		if v != nil && len(v) != channels {
			panic(fmt.Sprintf("conv: epilogue has %d values, want %d", len(v), channels))
		}
	}
	if (e.Scale == nil) != (e.Shift == nil) {
		panic("conv: epilogue has one of scale and shift, want both or none")
	}
}

// haloLimit is how many times the input and output a padded copy of the input may take, and haloFloor what it may
// always take: attributes of a hostile model must not decide how much memory there is.
const (
	haloLimit = 16
	haloFloor = 1 << 20
)

// Accepts reports whether New takes the shape. With rowMajorIn the input is plain NCHW, without groups.
func Accepts(s Shape, rowMajorIn bool) bool {
	for _, v := range [...]int{s.N, s.IC, s.IH, s.IW, s.OC, s.OH, s.OW, s.KH, s.KW,
		s.StrideH, s.StrideW, s.DilationH, s.DilationW, s.Groups} {
		if v < 1 || v > math.MaxInt32 {
			return false
		}
	}
	if s.PadTop < 0 || s.PadLeft < 0 || s.IC%s.Groups != 0 || s.OC%s.Groups != 0 {
		return false
	}
	if s.Groups > 1 && (rowMajorIn || s.IC/s.Groups%Block != 0 || s.OC/s.Groups%Block != 0) {
		return false
	}
	size := func(vs ...int) float64 {
		p := 1.0
		for _, v := range vs {
			p *= float64(v)
		}
		return p
	}
	high := float64(s.OH-1)*float64(s.StrideH) + float64(s.KH-1)*float64(s.DilationH) + 1
	wide := float64(s.OW-1)*float64(s.StrideW) + float64(s.KW-1)*float64(s.DilationW) + 1
	halo := size(s.N, s.IC+Block) * high * wide
	plain := size(s.N, s.IC, s.IH, s.IW) + size(s.N, s.OC, s.OH, s.OW)
	return halo <= max(haloFloor, haloLimit*plain) && halo < math.MaxInt32/4 &&
		size(s.N, s.IC+Block, s.IH, s.IW) < math.MaxInt32/4 && size(s.N, s.OC+Block, s.OH, s.OW) < math.MaxInt32/4 &&
		size(s.OC+Block, s.IC+Block, s.KH, s.KW) < math.MaxInt32/4
}

// loops is what a tile needs to know of a slab of the sum: where its runs of input values are, first the full ones of
// Block values and then the short ones. The weights are in the order of the runs. Assembly reads the fields by their
// place. Steps count float32s.
type loops struct {
	full, short        int // runs
	quads, singles     int // a short run is quadLen·quads + singles values
	outBlock, sumBlock int // from a block of output channels to the next, in the output and where sums start from
	ahead              int // bytes of the next weights that a tile fetches for every full run; all tiles of a part together fetch them
	scale, mask        int // 1 if the epilogue has them
	lo, hi             float32
	clamp              int   // 1 if lo or hi is a limit
	runs               []int // from the first input value of a pixel to that of each run
	even               bool  // there are full runs only, one as far from the next as the other
}

// limit sets the limits of outputs.
func (l *loops) limit(lo, hi float32) {
	if l.lo, l.hi, l.clamp = lo, hi, 1; lo == Pass.Lo && hi == Pass.Hi {
		l.clamp = 0
	}
}

// quadLen is how many values of a short run are multiplied at once.
const quadLen = 4

// slab is a part of the sum, whose weights the first cache holds while tiles go over all pixels of a part of the image:
// one after the other, each slab starts from the sums of the one before.
type slab struct {
	loops loops
	taps  int // products of an output element in the slabs before
	burst int // tiles of one call
}

// maxPixels is at least the pixels of the widest tile.
const maxPixels = 14

// offsets is how far each pixel of a tile lies from the first in the input.
type offsets [maxPixels]int

// evenly returns the offsets of pixels that are as far apart as that.
func evenly(step int) (o offsets) {
	for i := range o {
		o[i] = i * step
	}
	return o
}

// block is a run of output channels of one group that a tile computes at once.
type block struct {
	tile        // width is the output channels with pad channels
	in      int // where the group's input starts
	out     int // where its output starts
	weights int // where its weights start
	epi     int // where its epilogue starts: width values each of bias, scale, shift and mask
}

// Kernel is a convolution with packed weights for one implementation. It is immutable; any number of threads may
// call it.
type Kernel struct {
	shape    Shape
	rowMajor bool
	residual bool
	impl     *implementation
	weights  []float32
	epi      []float32
	blocks   []block
	taps     int   // products of an output element
	runs     []int // from the first input value of a pixel to that of each run of input values, in the order of the sum
	full     int   // runs of Block values; those behind them have short
	short    int
	slabs    []slab

	haloH, haloW int // of the input that tiles see
	halo         bool
	lanes        int // float32s of an input pixel
	planes       int // input planes (or blocks of them) of an image

	pixels          int       // of the largest tile
	rows, cols      int       // the output as tiles see it: one row if the input's pixels follow one another evenly
	stepRow, stepX  int       // in the input, from an output row, or pixel, to the next
	left            []offsets // of a tile whose first pixel has as many pixels left in its row
	parts, partSize int       // pixels are shared out in parts
	sets, setSize   int       // and blocks in sets
	setsFirst       bool      // chunks of one set follow one another
	copies          int       // chunks of the copy
	inLen, outLen   int
}

// New packs the weights [OC][IC/Groups][KH][KW] for the best implementation that this machine has. It keeps no slice
// that it is given. It panics if Accepts does not hold or a slice is not as long as the shape says.
func New(s Shape, weights []float32, rowMajorIn bool, e Epilogue) *Kernel {
	if !Accepts(s, rowMajorIn) {
		panic(fmt.Sprintf("conv: shape %+v is not accepted", s))
	}
	return newKernel(best(), s, weights, rowMajorIn, e)
}

func newKernel(impl *implementation, s Shape, weights []float32, rowMajor bool, e Epilogue) *Kernel {
	if want := s.OC * (s.IC / s.Groups) * s.KH * s.KW; len(weights) != want {
		panic(fmt.Sprintf("conv: got %d weights, want %d", len(weights), want))
	}
	e.Check(s.OC)
	k := &Kernel{shape: s, rowMajor: rowMajor, residual: e.Residual, impl: impl}
	k.layOut()
	k.pack(weights, e)
	k.share()
	k.slice(e)
	return k
}

// layOut decides how tiles walk the input.
func (k *Kernel) layOut() {
	s := &k.shape
	k.haloH = (s.OH-1)*s.StrideH + (s.KH-1)*s.DilationH + 1
	k.haloW = (s.OW-1)*s.StrideW + (s.KW-1)*s.DilationW + 1
	k.halo = s.PadTop > 0 || s.PadLeft > 0 || k.haloH > s.IH || k.haloW > s.IW
	if !k.halo {
		k.haloH, k.haloW = s.IH, s.IW
	}
	k.lanes, k.planes = Block, (s.IC+Block-1)/Block
	if k.rowMajor {
		k.lanes, k.planes = 1, s.IC
	}
	k.inLen = s.N * k.planes * s.IH * s.IW * k.lanes
	k.outLen = s.N * ((s.OC + Block - 1) / Block) * s.OH * s.OW * Block

	k.rows, k.cols = s.OH, s.OW
	k.stepRow, k.stepX = s.StrideH*k.haloW*k.lanes, s.StrideW*k.lanes
	if k.rows == 1 || k.stepRow == k.cols*k.stepX {
		k.rows, k.cols = 1, k.rows*k.cols
	}
	for _, t := range k.impl.tiles {
		k.pixels = max(k.pixels, t.pixels)
	}
	k.left = make([]offsets, k.pixels+1)
	for left := range k.left {
		for i := range k.left[left] {
			k.left[left][i] = i * k.stepX
			if first := k.cols - left; k.impl.straddles && left < k.pixels && first >= 0 {
				k.left[left][i] = (first+i)/k.cols*k.stepRow + ((first+i)%k.cols-first)*k.stepX
			}
		}
	}
}

// eachRun calls f with each run of input values that follow one another, in the order of the sum: blocks of input
// channels, then kernel rows, then kernel columns. A run is of the channels of a block that begins at ic, or in row-major
// input of the kernel's columns from x on that lie side by side.
func (k *Kernel) eachRun(f func(ic, y, x, values int)) {
	s := &k.shape
	channels, columns := s.IC/s.Groups, 1
	if k.rowMajor && s.DilationW == 1 {
		columns = s.KW
	}
	for ic := 0; ic < channels; ic += k.lanes {
		for y := range s.KH {
			for x := 0; x < s.KW; x += columns {
				f(ic, y, x, max(min(k.lanes, channels-ic), columns))
			}
		}
	}
}

// pack lays out weights and epilogue in the order in which tiles read them.
func (k *Kernel) pack(weights []float32, e Epilogue) {
	s := &k.shape
	plane := k.haloH * k.haloW * k.lanes
	k.eachRun(func(ic, y, x, values int) {
		k.runs = append(k.runs, ic/k.lanes*plane+(y*s.DilationH*k.haloW+x*s.DilationW)*k.lanes)
		if values == Block && !k.rowMajor {
			k.full++
		} else {
			k.short = values
		}
	})
	ic, oc := s.IC/s.Groups, s.OC/s.Groups
	k.taps = ic * s.KH * s.KW
	padded := (oc + Block - 1) / Block * Block
	k.weights = Aligned(s.Groups * padded * k.taps)
	k.epi = Aligned(s.Groups * padded * EpilogueLen)
	turned := make([]float32, Block*s.KH*s.KW*k.impl.widest(padded).width)
	w, epi := 0, 0
	for g := range s.Groups {
		for o := 0; o < padded; {
			t := k.impl.widest(padded - o)
			real := min(t.width, oc-o)
			k.blocks = append(k.blocks, block{
				tile:    k.impl.fit(t, real),
				in:      g * (ic / k.lanes) * plane,
				out:     (g*oc + o) / Block * k.outPlane(),
				weights: w,
				epi:     epi,
			})
			first := g*oc + o
			e.Pack(k.epi[epi:], first, real, t.width)
			epi += EpilogueLen * t.width
			w += k.packBlock(k.weights[w:], weights[first*k.taps:], turned, real, t.width)
			o += t.width
		}
	}
}

// packBlock writes the weights [real][IC/Groups][KH][KW] of a block to p in the order of the sum, width values for each
// product of it, and returns how many values that is. turned is memory for those of a block of input channels.
func (k *Kernel) packBlock(p, weights, turned []float32, real, width int) int {
	field := k.shape.KH * k.shape.KW
	if k.rowMajor || field == 1 { // then the order of the sum is that of the weights
		reorder.Transpose(p, width, weights, k.taps, real, k.taps)
		return k.taps * width
	}
	for c := 0; c < k.taps; c += Block * field {
		n := min(Block*field, k.taps-c)
		reorder.Transpose(turned, width, weights[c:], k.taps, real, n)
		for at := range field {
			for r := at; r < n; r += field {
				copy(p[:real], turned[r*width:])
				p = p[width:]
			}
		}
	}
	return k.taps * width
}

// outPlane returns the float32s of a block of output channels.
func (k *Kernel) outPlane() int { return k.shape.OH * k.shape.OW * Block }

const (
	maxChunks     = 16      // of one image: enough to even out two to eight threads
	maxTeam       = 8       // threads of the largest team that counts
	teamWeight    = 2       // of a team's time beside a lone thread's, which is longer
	lateShare     = .25     // of a chunk that a team waits for its last
	firstPixels   = 3       // that take as long as to begin with other weights
	readWidth     = 2       // output channels that take as long as to read an input value anew
	chunkProducts = 1 << 15 // that take as long as to begin a chunk
	callFlop      = 1 << 22 // of one call of assembly, which the scheduler cannot interrupt
	copyLen       = 1 << 15 // float32s of a chunk of the copy
	slabLen       = 1 << 12 // float32s of weights that the first cache holds beside the input and output of a tile
	slabTiles     = 4       // of the widest, from which on slabs pay
)

// share cuts the work into chunks of about the same size: parts of the pixels by sets of the blocks. Each chunk reads
// the weights of its set and the input of its part, so those of which there are more are read by chunks that follow one
// another.
func (k *Kernel) share() {
	pixels, blocks := k.shape.OH*k.shape.OW, len(k.blocks)
	grain := k.blocks[0].pixels
	if !k.impl.straddles && k.rows > 1 {
		grain = k.cols
	}
	least := math.Inf(1)
	for sets := 1; sets <= min(maxChunks, blocks); sets++ {
		setSize := (blocks + sets - 1) / sets
		if (blocks+setSize-1)/setSize < sets {
			continue
		}
		for parts := 1; parts*sets <= maxChunks; parts++ {
			partSize := ((pixels+parts-1)/parts + grain - 1) / grain * grain
			if (pixels+partSize-1)/partSize < parts {
				continue
			}
			if cost := k.cost(sets*parts, setSize, float64(partSize), float64(pixels)/float64(parts)); cost < least {
				least = cost
				k.sets, k.setSize, k.parts, k.partSize = sets, setSize, parts, partSize
			}
		}
	}
	k.setsFirst = len(k.weights) > k.planes*k.haloH*k.haloW*k.lanes
	if k.halo {
		k.copies = min(maxChunks*k.shape.N, max(1, k.Temp()/copyLen))
	}
}

// cost is the time that an image takes teams of several sizes, counted in products, if it is cut into chunks of setSize
// blocks by that many pixels at most and on average.
func (k *Kernel) cost(chunks, setSize int, most, average float64) float64 {
	s := &k.shape
	width := float64(setSize * k.blocks[0].width)
	field := float64(s.KH * s.KW)
	input := float64(k.planes*k.lanes) / float64(s.Groups) // values of a pixel
	chunk := func(pixels float64) float64 {
		return input*field*width*(pixels+firstPixels) + input*readWidth*pixels + chunkProducts
	}
	all, longest := float64(chunks)*chunk(average), chunk(most)
	cost := all
	for team := 2; team <= maxTeam; team *= 2 {
		turns := float64((chunks + team - 1) / team)
		cost += teamWeight * (max(all/float64(team), turns*longest) + lateShare*longest)
	}
	return cost
}

// slice cuts the sum into slabs.
func (k *Kernel) slice(e Epilogue) {
	wide := k.blocks[0].tile
	tiles := (min(k.partSize, k.shape.OH*k.shape.OW) + wide.pixels - 1) / wide.pixels
	taps := k.taps
	if tiles >= slabTiles {
		taps = k.taps / max(1, (k.taps*wide.width+slabLen/2)/slabLen)
	}
	all := loops{
		quads: k.short / quadLen, singles: k.short % quadLen,
		outBlock: k.partSize * Block, sumBlock: k.partSize * Block,
		lo: Pass.Lo, hi: Pass.Hi,
	}
	if tiles > 1 {
		all.ahead = (4*Block*wide.width + tiles - 1) / tiles
	}
	before := 0
	for from := 0; from < len(k.runs); {
		sl := slab{loops: all, taps: before}
		l := &sl.loops
		to, sum := from, 0
		for ; to < len(k.runs) && sum < taps; to++ {
			if to < k.full {
				l.full++
				sum += Block
			} else {
				l.short++
				sum += k.short
			}
		}
		l.runs = k.runs[from:to]
		l.even = l.short == 0
		for i := 2; i < l.full; i++ {
			l.even = l.even && l.runs[i]-l.runs[i-1] == l.runs[1]-l.runs[0]
		}
		sl.burst = int(max(1, callFlop/(2*sum*wide.pixels*wide.width)))
		k.slabs = append(k.slabs, sl)
		from = to
		before += sum
	}
	last := &k.slabs[len(k.slabs)-1].loops
	last.limit(e.Lo, e.Hi)
	last.outBlock = k.outPlane()
	if e.Scale != nil {
		last.scale = 1
	}
	if k.shape.OC%Block != 0 {
		last.mask = 1
	}
}

// Info names the algorithm, the instruction set and the tile: "direct avx2 6x16" is 6 pixels by 16 output channels.
func (k *Kernel) Info() string { return "direct " + k.impl.String() }

// Temp returns the float32s of memory that all steps of one run share, 0 if none. What it holds before does not
// matter.
func (k *Kernel) Temp() int {
	if !k.halo {
		return 0
	}
	return k.shape.N * k.planes * k.haloH * k.haloW * k.lanes
}

// Scratch returns the float32s of memory that each thread needs for itself.
func (k *Kernel) Scratch() int {
	if len(k.slabs) == 1 {
		return 0
	}
	return k.partSize * k.blocks[0].width
}

// Steps returns the number of phases of a run. All chunks of one end before the next begins.
func (k *Kernel) Steps() int {
	if k.halo {
		return 2
	}
	return 1
}

// Chunks returns the number of pieces of a step, which may run in any order and at once.
func (k *Kernel) Chunks(step int) int {
	if step < k.Steps()-1 {
		return k.copies
	}
	return k.shape.N * k.parts * k.sets
}

// Run does one chunk of one step. in, res and out are the whole input, residual (nil without one) and output; res may
// be out. temp is the run's memory of Temp float32s, scratch the thread's. It allocates nothing and keeps nothing, and
// panics if a slice is too short.
func (k *Kernel) Run(step, chunk int, temp, scratch, in, res, out []float32) {
	in, out = in[:k.inLen], out[:k.outLen]
	if k.residual {
		res = res[:k.outLen]
	} else {
		res = nil
	}
	if k.halo {
		temp = temp[:k.Temp()]
		if step == 0 {
			k.pad(chunk, in, temp)
			return
		}
		in = temp
	}
	n := chunk / (k.sets * k.parts)
	set, part := chunk%k.sets, chunk/k.sets%k.parts
	if k.setsFirst {
		set, part = chunk/k.parts%k.sets, chunk%k.parts
	}
	image := len(in) / k.shape.N
	in = in[n*image:][:image]
	image = len(out) / k.shape.N
	out = out[n*image:][:image]
	if res != nil {
		res = res[n*image:][:image]
	}
	blocks := k.blocks[set*k.setSize : min((set+1)*k.setSize, len(k.blocks))]
	from := part * k.partSize
	to := min(from+k.partSize, k.rows*k.cols)
	for i := range blocks {
		for j := range k.slabs {
			k.slab(&blocks[i], j, scratch, in, res, out, from, to)
		}
	}
}

// slab adds slab j to the sums of the pixels [from, to) of one block. All but the last leave them in scratch.
func (k *Kernel) slab(b *block, j int, scratch, in, res, out []float32, from, to int) {
	v := view{slab: &k.slabs[j], block: b, first: from, in: in[b.in:], epi: k.epi[b.epi:]}
	v.weights = k.weights[b.weights+v.taps*b.width:]
	v.next = v.weights[min(b.width*(v.loops.full*Block+v.loops.short*k.short), len(v.weights)-1):]
	if j > 0 {
		v.start = scratch
	}
	if j < len(k.slabs)-1 {
		v.out = scratch
	} else {
		v.out = out[b.out+from*Block:]
		if res != nil {
			v.res = res[b.out+from*Block:]
		}
	}
	if k.impl.straddles {
		k.segment(&v, from, to)
		return
	}
	for p := from; p < to; {
		end := min(to, p-p%k.cols+k.cols)
		k.segment(&v, p, end)
		p = end
	}
}

// view is what the tiles of a part of the pixels read and write for one slab of one block. Sums, residual and output
// begin at the part's first pixel.
type view struct {
	*slab
	*block
	first                                   int // pixel
	in, weights, next, epi, start, res, out []float32
}

// segment computes the pixels [from, to), and fetches what it can of the weights that come next.
func (k *Kernel) segment(v *view, from, to int) {
	y, x := from/k.cols, from%k.cols
	full, rest, tiles := Split(to-from, v.pixels, v.fewest)
	for from < to {
		pixels, count := v.pixels, 1
		left := k.cols - x
		if full > 0 {
			count = min(full, max(left/v.pixels, 1), v.burst)
			full -= count
		} else {
			pixels = (rest + tiles - 1) / tiles
			rest -= pixels
			tiles--
		}
		at := (from - v.first) * Block
		var start, res []float32
		if v.start != nil {
			start = v.start[at:]
		}
		if v.res != nil {
			res = v.res[at:]
		}
		fetched := min((from-v.first)/v.pixels*v.loops.full*v.loops.ahead/4, len(v.next)-1)
		k.impl.run(&v.loops, &k.left[min(left, k.pixels)], v.in[y*k.stepRow+x*k.stepX:], v.weights, v.next[fetched:],
			v.epi, start, res, v.out[at:], count, pixels, v.width)
		from += count * pixels
		for x += count * pixels; x >= k.cols; x -= k.cols {
			y++
		}
	}
}

// along computes n pixels that follow one another in out, and in x with so many float32s from one to the next. It may
// fetch weights from next on.
func (i *implementation) along(l *loops, off *offsets, step int, t tile, x, w, next, epi, start, res, out []float32, n int) {
	full, rest, tiles := Split(n, t.pixels, t.fewest)
	for p := 0; p < n; {
		pixels, count := t.pixels, full
		if full == 0 {
			pixels, count = (rest+tiles-1)/tiles, 1
			rest -= pixels
			tiles--
		}
		full = 0
		fetched := min(p/t.pixels*l.full*l.ahead/4, len(next)-1)
		i.run(l, off, x[p*step:], w, next[fetched:], epi, from(start, p*Block), from(res, p*Block), out[p*Block:], count, pixels, t.width)
		p += count * pixels
	}
}

// from returns s[i:], or nil of nil.
func from(s []float32, i int) []float32 {
	if s == nil {
		return nil
	}
	return s[i:]
}

// Split cuts n pixels into full tiles of most pixels, then tiles that share out the rest evenly. Those have at least
// fewest pixels, below which a tile keeps the processor waiting, where n can be cut so.
func Split(n, most, fewest int) (full, rest, tiles int) {
	full, rest = n/most, n%most
	if rest == 0 {
		return full, 0, 0
	}
	for tiles = 1; full > 0 && rest/tiles < fewest; tiles++ {
		full--
		rest += most
	}
	return full, rest, tiles
}

// pad copies the rows of one chunk, counted over all planes, into the middle of zeros.
func (k *Kernel) pad(chunk int, in, temp []float32) {
	s := &k.shape
	width, wide := s.IW*k.lanes, k.haloW*k.lanes
	left := min(s.PadLeft*k.lanes, wide)
	middle := min(width, wide-left)
	rows := s.N * k.planes * k.haloH
	for r := rows * chunk / k.copies; r < rows*(chunk+1)/k.copies; r++ {
		to := temp[r*wide:][:wide]
		plane, y := r/k.haloH, r%k.haloH-s.PadTop
		if y < 0 || y >= s.IH {
			clear(to)
			continue
		}
		clear(to[:left])
		copy(to[left:], in[(plane*s.IH+y)*width:][:middle])
		clear(to[left+middle:])
	}
}

// cacheLine is the alignment of packed memory in bytes: no vector lies in two lines.
const cacheLine = 64

// Aligned returns n zeros that start at a cache line, in huge pages where there are some to be had: what is packed is
// walked through once a run, from memory.
func Aligned(n int) []float32 {
	b := make([]float32, n+cacheLine/4)
	preferHuge(b)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b)))%cacheLine) / 4
	return b[skip : skip+n : skip+n]
}
