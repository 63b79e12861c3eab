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

// loops is what a tile needs to know of the sum: a trip over blocks of input channels, one over kernel rows, one over
// kernel columns, and in it a run of input values that follow one another. The weights are in the order of the trips.
// Steps count float32s. Assembly reads the fields by their place.
type loops struct {
	a, b, c                int // trips
	stepA, stepB, stepC    int // from one trip to the next
	quads, singles         int // a run is 4·quads + singles values
	lastQuads, lastSingles int // the same in the last trip of a
	stepTile               int // from the first pixel of a tile to that of the next
	outBlock               int // from a block of output channels to the next
	scale, mask            int // 1 if the epilogue has them
	lo, hi                 float32
	ahead                  int // bytes of the next weights that a tile fetches for every quad; all tiles of a part together fetch them
}

// maxPixels is at least the pixels of the widest tile.
const maxPixels = 14

// offsets is how far each pixel of a tile lies from the first in the input.
type offsets [maxPixels]int

// block is a run of output channels of one group that a tile computes at once.
type block struct {
	width   int // output channels with pad channels
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
	loops    loops

	haloH, haloW int // of the input that tiles see
	halo         bool
	lanes        int // float32s of an input pixel
	planes       int // input planes (or blocks of them) of an image

	rows, cols      int       // the output as tiles see it: one row if the input's pixels follow one another evenly
	stepRow, stepX  int       // in the input, from an output row, or pixel, to the next
	left            []offsets // of a tile whose first pixel has as many pixels left in its row
	burst           int       // tiles of one call
	parts, partSize int       // pixels are shared out in parts
	sets, setSize   int       // and blocks in sets
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

	ic := s.IC / s.Groups
	l := &k.loops
	*l = loops{
		a: (ic + k.lanes - 1) / k.lanes, b: s.KH, c: s.KW,
		stepA:    k.haloH * k.haloW * k.lanes,
		stepB:    s.DilationH * k.haloW * k.lanes,
		stepC:    s.DilationW * k.lanes,
		outBlock: s.OH * s.OW * Block,
	}
	run, last := k.lanes, ic-(l.a-1)*k.lanes
	if s.DilationW == 1 && last == run { // kernel columns follow one another
		run, last, l.c = run*s.KW, last*s.KW, 1
	}
	l.quads, l.singles = run/4, run%4
	l.lastQuads, l.lastSingles = last/4, last%4

	k.rows, k.cols = s.OH, s.OW
	k.stepRow, k.stepX = s.StrideH*k.haloW*k.lanes, s.StrideW*k.lanes
	if k.rows == 1 || k.stepRow == k.cols*k.stepX {
		k.rows, k.cols = 1, k.rows*k.cols
	}
	l.stepTile = k.impl.pixels * k.stepX
	k.left = make([]offsets, k.impl.pixels+1)
	for left := range k.left {
		for i := range k.left[left] {
			k.left[left][i] = i * k.stepX
			if first := k.cols - left; k.impl.straddles && left < k.impl.pixels && first >= 0 {
				k.left[left][i] = (first+i)/k.cols*k.stepRow + ((first+i)%k.cols-first)*k.stepX
			}
		}
	}
}

// pack lays out weights and epilogue in the order in which tiles read them.
func (k *Kernel) pack(weights []float32, e Epilogue) {
	s, l := &k.shape, &k.loops
	l.lo, l.hi = e.Lo, e.Hi
	if e.Scale != nil {
		l.scale = 1
	}
	if s.OC%Block != 0 {
		l.mask = 1
	}
	ic, oc := s.IC/s.Groups, s.OC/s.Groups
	sum := ic * s.KH * s.KW // products of an output element
	padded := (oc + Block - 1) / Block * Block
	k.weights = Aligned(s.Groups * padded * sum)
	k.epi = Aligned(s.Groups * padded * EpilogueLen)
	w, epi := 0, 0
	for g := range s.Groups {
		for o := 0; o < padded; {
			width := min(k.impl.width, padded-o)
			k.blocks = append(k.blocks, block{
				width:   width,
				in:      g * (ic / k.lanes) * l.stepA,
				out:     (g*oc + o) / Block * l.outBlock,
				weights: w,
				epi:     epi,
			})
			real := min(width, oc-o)
			first := g*oc + o
			e.Pack(k.epi[epi:], first, real, width)
			epi += EpilogueLen * width
			k.eachTap(func(i, y, x int) {
				for j := range real {
					k.weights[w+j] = weights[(((first+j)*ic+i)*s.KH+y)*s.KW+x]
				}
				w += width
			})
			o += width
		}
	}
}

// eachTap calls f with input channel, kernel row and kernel column of each product of a sum, in the sum's order.
func (k *Kernel) eachTap(f func(ic, y, x int)) {
	l := &k.loops
	for a := range l.a {
		run := 4*l.quads + l.singles
		if a == l.a-1 {
			run = 4*l.lastQuads + l.lastSingles
		}
		for b := range l.b {
			for c := range l.c {
				for r := range run {
					f(a*k.lanes+r%k.lanes, b, c+r/k.lanes)
				}
			}
		}
	}
}

const (
	maxChunks = 16      // of one image: enough to even out two to eight threads
	minFlop   = 1 << 21 // of a chunk: some 20 microseconds of one thread
	callFlop  = 1 << 22 // of one call of assembly, which the scheduler cannot interrupt
	copyLen   = 1 << 15 // float32s of a chunk of the copy
	cacheLen  = 1 << 17 // float32s of the cache that a core has for itself
)

// share cuts the work into chunks of about the same size: parts of the pixels by sets of the blocks. Each chunk reads
// the weights of its set and the input of its part, so it takes the cut with the least to read.
func (k *Kernel) share() {
	s := &k.shape
	pixels := s.OH * s.OW
	flop := 2 * float64(s.IC/s.Groups*s.KH*s.KW)
	want := int(min(maxChunks, max(1, flop*float64(s.OC)*float64(pixels)/minFlop)))
	grain := k.impl.pixels
	if !k.impl.straddles && k.rows > 1 {
		grain = k.cols
	}
	weights, input := float64(len(k.weights)), float64(k.planes*k.haloH*k.haloW*k.lanes)
	least := math.Inf(1)
	for sets := 1; sets <= min(want, len(k.blocks)); sets++ {
		parts := min((want+sets-1)/sets, (pixels+grain-1)/grain)
		setSize := (len(k.blocks) + sets - 1) / sets
		partSize := ((pixels+parts-1)/parts + grain - 1) / grain * grain
		parts = (pixels + partSize - 1) / partSize
		uneven := float64(setSize*sets) / float64(len(k.blocks)) * float64(partSize*parts) / float64(pixels)
		short := max(1, float64(want)/float64(sets*parts))
		if cost := (float64(parts)*weights + float64(sets)*input) * uneven * uneven * short; cost < least {
			least = cost
			k.sets, k.setSize = (len(k.blocks)+setSize-1)/setSize, setSize
			k.parts, k.partSize = parts, partSize
		}
	}
	block := s.IC / s.Groups * s.KH * s.KW * k.impl.width
	if tiles := (min(k.partSize, pixels) + k.impl.pixels - 1) / k.impl.pixels; tiles > 1 && 2*block <= cacheLen {
		k.loops.ahead = (4*4*k.impl.width + tiles - 1) / tiles
	}
	k.burst = int(max(1, callFlop/(flop*float64(k.impl.pixels*k.impl.width))))
	if k.halo {
		k.copies = min(maxChunks*s.N, max(1, k.Temp()/copyLen))
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
func (k *Kernel) Scratch() int { return 0 }

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
	set := chunk % k.sets
	chunk /= k.sets
	part, n := chunk%k.parts, chunk/k.parts
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
		next := k.weights[blocks[i].weights:]
		if k.loops.ahead > 0 && i+1 < len(blocks) {
			next = k.weights[blocks[i+1].weights:]
		}
		if k.impl.straddles {
			k.segment(&blocks[i], in, next, res, out, from, to)
			continue
		}
		for p := from; p < to; {
			end := min(to, p-p%k.cols+k.cols)
			k.segment(&blocks[i], in, next[k.fetched(p-from, len(next)):], res, out, p, end)
			p = end
		}
	}
}

// fetched returns how many of n float32s of the next weights are fetched when a tile has come to a pixel.
func (k *Kernel) fetched(pixel, n int) int {
	s := &k.shape
	quads := (s.IC/s.Groups*s.KH*s.KW + 3) / 4
	return min(pixel/k.impl.pixels*quads*k.loops.ahead/4, n-1)
}

// segment computes the pixels [from, to) of one block, and fetches what it can of the weights of the next.
func (k *Kernel) segment(b *block, in, next, res, out []float32, from, to int) {
	first := from
	most := k.impl.pixels
	y, x := from/k.cols, from%k.cols
	full, rest, tiles := Split(to-from, most, k.impl.fewest)
	for from < to {
		pixels, count := most, 1
		left := k.cols - x
		if full > 0 {
			count = min(full, max(left/most, 1), k.burst)
			full -= count
		} else {
			pixels = (rest + tiles - 1) / tiles
			rest -= pixels
			tiles--
		}
		o := b.out + from*Block
		var r []float32
		if res != nil {
			r = res[o:]
		}
		k.impl.run(&k.loops, &k.left[min(left, most)], in[b.in+y*k.stepRow+x*k.stepX:], k.weights[b.weights:],
			next[k.fetched(from-first, len(next)):], k.epi[b.epi:], r, out[o:], count, pixels, b.width)
		from += count * pixels
		for x += count * pixels; x >= k.cols; x -= k.cols {
			y++
		}
	}
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

// Aligned returns n zeros that start at a cache line.
func Aligned(n int) []float32 {
	b := make([]float32, n+cacheLine/4)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b)))%cacheLine) / 4
	return b[skip : skip+n : skip+n]
}
