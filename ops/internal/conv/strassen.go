package conv

import (
	"fmt"

	"scission/ops/internal/isa"
	"scission/ops/internal/reorder"
	"scission/ops/internal/vec"
)

// Strassen is a 1x1 convolution, which is the product of a matrix of pixels by input channels and one of input by output
// channels, with Strassen's algorithm in the form of Winograd. With each of the three dimensions cut in halves,
//
//	| A11 A12 |   | B11 B12 |   | C11 C12 |
//	| A21 A22 | · | B21 B22 | = | C21 C22 |
//
// it takes seven products of the parts where summation takes eight:
//
//	S1 = A21 + A22   T1 = B12 - B11   P1 = A11·B11   P5 = S1·T1   U2 = P1 + P6   C11 = P1 + P2
//	S2 = S1 - A11    T2 = B22 - T1    P2 = A12·B21   P6 = S2·T2   U3 = U2 + P7   C12 = U4 + P3
//	S3 = A11 - A21   T3 = B22 - B12   P3 = S4·B22    P7 = S3·T3   U4 = U2 + P5   C21 = U3 + P4
//	S4 = A12 - S2    T4 = B21 - T2    P4 = A22·T4                                C22 = U4 + P7
//
// The tiles of direct summation compute the products. The error is relative to the largest of the pixels and channels that
// meet in a sum, not to each output's own: with random inputs and weights below 5e-6 of the largest output, for 1024 input
// channels and fewer. An infinity or a NaN in a pixel spoils the one in the same place of the other half of its part.
//
// Layout, Epilogue and contract are those of Kernel. An output's bits depend on the instruction set and the shape only.
//
// Source: V. Strassen, Gaussian Elimination is not Optimal, 1969; S. Winograd, On Multiplication of 2x2 Matrices, 1971.
type Strassen struct {
	shape    Shape
	residual bool
	impl     *implementation
	weights  []float32
	epi      []float32
	units    []unit
	channels int     // blocks of input channels
	blocks   int     // of those, in the first half
	lacks    int     // that the second half has less
	pixels   int     // of an image
	skipped  int     // of the first part, which are not in the image
	flat     offsets // of the pixels of a tile

	parts, partSize int // pixels are shared out in parts
	sets, setSize   int // and units in sets
	sumSets         int // and blocks of input channels whose sums are computed
	half            int // pixels of half a part

	image, imageOut, sums, sumsShift, sumsOut []slab // products of the image or of sums of it, and where they go
	finish                                    loops  // without products
	inLen, outLen                             int
}

// unit is output channels that are computed together: two halves, or one block that is left and has no other half.
type unit struct {
	tile    // of a half
	alone   bool
	out     int // where its output starts in an image
	weights int // where its weights start, of the factors in the order in which they are used
	epi     int // where its epilogues start: of the halves, then the one that turns the first half's bias into the second's
}

// factor is what a product takes of the weights of a unit, in the order in which they are used.
type factor int

const (
	b11 factor = iota
	b21
	t2
	t1
	t3
	t4
	b22
	factors
)

const (
	strassenPixels   = 196     // of an image, from which on it pays to read seven factors and not four quarters
	strassenChannels = 256     // from which on the sums are little beside the products
	strassenValues   = 1 << 16 // of input and output, from which on both hold
	strassenHalf     = 96      // pixels of half a part, about
	strassenFlop     = 1 << 19 // of a chunk at least: some 5 microseconds of one thread
	strassenLeast    = 2       // units of a set
	sumChunk         = 1 << 14 // float32s of each sum that are computed together, about
	sumLen           = 1 << 10 // float32s of each term that the first cache holds
	packTaps         = 32      // input channels that are packed at once: the second cache holds all factors of them
)

// StrassenPays reports whether NewStrassen takes the shape and is faster than New: whether the products that are saved
// are worth the reading of more weights and the sums. It depends on the shape, and on whether the instruction set in use is
// the best that there is, alone.
func StrassenPays(s Shape) bool { return best().level == isa.Best() && strassenPays(s) }

// strassenPays is StrassenPays where the instruction set is the best.
func strassenPays(s Shape) bool {
	pixels, channels := s.OH*s.OW, min(s.IC, s.OC)
	return strassenAccepts(s) && pixels >= strassenPixels && channels >= strassenChannels && pixels*channels >= strassenValues
}

// StrassenPart returns the largest number of pixels that are calculated together on any machine where StrassenPays holds
// for the shape; 1 if it holds on none.
func StrassenPart(s Shape) int {
	if !strassenPays(s) {
		return 1
	}
	size, _ := strassenParts(s.OH*s.OW, 2*maxPixels)
	return size + 2*maxPixels // whatever the tiles
}

// strassenParts returns the pixels of a part, a multiple of grain, and how many parts there are.
func strassenParts(pixels, grain int) (size, parts int) {
	parts = max(1, (pixels+strassenHalf)/(2*strassenHalf))
	size = ((pixels+parts-1)/parts + grain - 1) / grain * grain
	return size, (pixels + size - 1) / size
}

// strassenAccepts reports whether NewStrassen takes the shape.
func strassenAccepts(s Shape) bool {
	return Accepts(s, false) && s.KH == 1 && s.KW == 1 && s.StrideH == 1 && s.StrideW == 1 && s.Groups == 1 &&
		s.PadTop == 0 && s.PadLeft == 0 && s.OH == s.IH && s.OW == s.IW &&
		s.IC > Block && s.OH*s.OW > 1
}

// NewStrassen packs the weights [OC][IC] for the best implementation that this machine has. It keeps no slice that it is
// given. It panics unless StrassenPays, or if a slice is not as long as the shape says.
func NewStrassen(s Shape, weights []float32, e Epilogue) *Strassen {
	if !StrassenPays(s) {
		panic(fmt.Sprintf("conv: shape %+v is not one for Strassen's algorithm", s))
	}
	return newStrassen(best(), s, weights, e)
}

// NewStrassenPart is NewStrassen for some rows of whole, from row first on, of which the shape s has as many. It gives the
// bits of NewStrassen(whole, ...) but for the StrassenPart(whole)-1 pixels next to an end of the part that is none of the
// whole, which can be anything.
func NewStrassenPart(whole, s Shape, first int, weights []float32, e Epilogue) *Strassen {
	if !StrassenPays(whole) || !strassenAccepts(s) {
		panic(fmt.Sprintf("conv: part %+v of %+v is not one for Strassen's algorithm", s, whole))
	}
	return newStrassenPart(best(), whole, s, first, weights, e)
}

func newStrassen(impl *implementation, s Shape, weights []float32, e Epilogue) *Strassen {
	return newStrassenPart(impl, s, s, 0, weights, e)
}

func newStrassenPart(impl *implementation, whole, s Shape, first int, weights []float32, e Epilogue) *Strassen {
	if want := s.OC * s.IC; len(weights) != want {
		panic(fmt.Sprintf("conv: got %d weights, want %d", len(weights), want))
	}
	e.Check(s.OC)
	k := &Strassen{shape: s, residual: e.Residual, impl: impl, pixels: s.OH * s.OW, channels: (s.IC + Block - 1) / Block, flat: evenly(Block)}
	k.blocks, k.lacks = (k.channels+1)/2, k.channels%2
	k.inLen, k.outLen = s.N*k.channels*k.pixels*Block, s.N*((s.OC+Block-1)/Block)*k.pixels*Block
	k.pack(weights, e)
	k.share(whole.OH*whole.OW, first*whole.OW)
	k.slice(e)
	return k
}

// taps returns the input channels of a half.
func (k *Strassen) taps() int { return k.blocks * Block }

// pack lays out weights and epilogues in the order in which units read them.
func (k *Strassen) pack(weights []float32, e Epilogue) {
	s := &k.shape
	padded := (s.OC + Block - 1) / Block * Block
	size, epi := 0, 0
	for o := 0; o < padded; {
		u := unit{tile: k.impl.widest((padded - o) / 2), weights: size, epi: epi, out: o / Block * k.pixels * Block}
		u.alone = padded-o < 2*u.width
		n := factors
		if u.alone {
			n = 2
		}
		size += int(n) * k.taps() * u.width
		epi += (u.channels()/u.width + 1) * EpilogueLen * u.width
		k.units = append(k.units, u)
		o += u.channels()
	}
	k.weights, k.epi = Aligned(size), Aligned(epi)
	b12 := make([]float32, packTaps*k.units[0].width)
	for _, u := range k.units {
		first := u.out / k.pixels
		k.packEpilogue(u, first, e)
		for i := 0; i < k.taps(); i += packTaps {
			k.packTaps(u, weights, b12, first, i, min(packTaps, k.taps()-i))
		}
	}
}

// packTaps packs n input channels of each half, from i on, of a unit whose output channels start at first. b12 is memory
// for a quarter.
func (k *Strassen) packTaps(u unit, weights, b12 []float32, first, i, n int) {
	of := func(f factor) []float32 { return k.weights[u.weights+(int(f)*k.taps()+i)*u.width:][:n*u.width] }
	k.quarter(of(b11), weights, first, i, n, u.width)
	k.quarter(of(b21), weights, first, k.taps()+i, n, u.width)
	if u.alone {
		return
	}
	b12 = b12[:n*u.width]
	clear(b12)
	k.quarter(b12, weights, first+u.width, i, n, u.width)
	k.quarter(of(b22), weights, first+u.width, k.taps()+i, n, u.width)
	b11, b21, b22, t1, t2, t3, t4 := of(b11), of(b21), of(b22), of(t1), of(t2), of(t3), of(t4)
	for j, v := range b12 {
		t1[j], t3[j] = v-b11[j], b22[j]-v
		t := float64(v) - float64(b11[j])
		t2[j], t4[j] = float32(float64(b22[j])-t), float32(t+float64(b21[j])-float64(b22[j]))
	}
}

// quarter sets p, which is zero, to the weights of width output channels from o on for each of n input channels from i on.
func (k *Strassen) quarter(p, weights []float32, o, i, n, width int) {
	s := &k.shape
	if o < s.OC && i < s.IC {
		reorder.Transpose(p, width, weights[o*s.IC+i:], s.IC, min(width, s.OC-o), min(n, s.IC-i))
	}
}

// channels returns the output channels of a unit, pad channels among them.
func (u *unit) channels() int {
	if u.alone {
		return u.width
	}
	return 2 * u.width
}

// packEpilogue packs the epilogues of a unit whose output channels start at first.
func (k *Strassen) packEpilogue(u unit, first int, e Epilogue) {
	epi := k.epi[u.epi:]
	for h := 0; h < u.channels(); h += u.width {
		e.Pack(epi, first+h, max(0, min(u.width, k.shape.OC-first-h)), u.width)
		epi = epi[EpilogueLen*u.width:]
	}
	for j := range u.width {
		epi[u.width+j] = 1
		if e.Bias != nil && !u.alone {
			epi[2*u.width+j] = k.epi[u.epi+EpilogueLen*u.width+j] - k.epi[u.epi+j]
		}
	}
}

// share cuts the work into chunks: parts of the pixels by sets of the units. The parts are those of an image of so many
// pixels, in which this one begins at pixel first.
func (k *Strassen) share(whole, first int) {
	flop := 2 * float64(k.shape.IC) * float64(k.shape.OC) * float64(k.pixels)
	want := int(min(maxChunks, max(1, flop/strassenFlop)))
	k.partSize, _ = strassenParts(whole, 2*k.units[0].pixels)
	k.skipped = first % k.partSize
	k.parts = (k.skipped + k.pixels + k.partSize - 1) / k.partSize
	k.half = (min(k.partSize, whole) + 1) / 2
	k.setSize = len(k.units)
	if k.parts < want {
		sets := max(1, min(want/k.parts, len(k.units)/strassenLeast))
		k.setSize = (len(k.units) + sets - 1) / sets
	}
	k.sets = (len(k.units) + k.setSize - 1) / k.setSize
	k.sumSets = max(1, min(maxChunks/k.parts, k.blocks*k.half*Block/sumChunk))
}

// slice cuts the products into slabs, and says where they go.
func (k *Strassen) slice(e Epilogue) {
	wide := k.units[0].tile
	tiles := (k.half + wide.pixels - 1) / wide.pixels
	blocks := k.blocks
	if tiles >= slabTiles {
		slabs := max(1, (k.taps()*wide.width+slabLen/2)/slabLen)
		blocks = (k.blocks + slabs - 1) / slabs
	}
	kept := loops{outBlock: k.half * Block, sumBlock: k.half * Block, lo: Pass.Lo, hi: Pass.Hi, even: true}
	k.finish = kept
	k.finish.even, k.finish.runs = false, []int{0}
	if tiles > 1 {
		kept.ahead = (4*Block*wide.width + tiles - 1) / tiles
	}
	out := func(l loops) loops {
		l.limit(e.Lo, e.Hi)
		l.outBlock = k.pixels * Block
		if e.Scale != nil {
			l.scale = 1
		}
		if k.shape.OC%Block != 0 {
			l.mask = 1
		}
		return l
	}
	shift := func(l loops) loops {
		if e.Bias != nil {
			l.scale = 1
		}
		return l
	}
	k.finish = out(k.finish)
	slabs := func(all, plane int, last func(loops) loops) (slabs []slab) {
		for from := 0; from < all; from += blocks {
			sl := slab{loops: kept, taps: from * Block}
			for b := from; b < min(from+blocks, all); b++ {
				sl.loops.runs = append(sl.loops.runs, b*plane)
			}
			sl.loops.full = len(sl.loops.runs)
			slabs = append(slabs, sl)
		}
		slabs[len(slabs)-1].loops = last(slabs[len(slabs)-1].loops)
		return slabs
	}
	same := func(l loops) loops { return l }
	k.image, k.imageOut = slabs(k.blocks, k.pixels*Block, same), slabs(k.blocks-k.lacks, k.pixels*Block, out)
	k.sums, k.sumsShift, k.sumsOut = slabs(k.blocks, k.half*Block, same), slabs(k.blocks, k.half*Block, shift), slabs(k.blocks, k.half*Block, out)
}

// Info names the algorithm, the instruction set and the tile.
func (k *Strassen) Info() string { return "strassen " + k.impl.String() }

// Temp is described at Kernel.
func (k *Strassen) Temp() int { return k.shape.N * k.parts * k.partSums() }

// partSums returns the float32s of the sums of the input in a part.
func (k *Strassen) partSums() int { return 4 * k.half * k.taps() }

// Scratch is described at Kernel.
func (k *Strassen) Scratch() int { return 3 * k.half * k.units[0].width }

// Steps is described at Kernel: the sums of the input, then all else.
func (k *Strassen) Steps() int { return 2 }

// Chunks is described at Kernel.
func (k *Strassen) Chunks(step int) int {
	if step == 0 {
		return k.shape.N * k.parts * k.sumSets
	}
	return k.shape.N * k.parts * k.sets
}

// Run is described at Kernel.
func (k *Strassen) Run(step, chunk int, temp, scratch, in, res, out []float32) {
	sets := k.sets
	if step == 0 {
		sets = k.sumSets
	}
	set := chunk % sets
	chunk /= sets
	part, n := chunk%k.parts, chunk/k.parts
	from := part*k.partSize - k.skipped
	to := min(from+k.partSize, k.pixels)
	from = max(from, 0)
	c := piece{Strassen: k, first: (to - from + 1) / 2, second: (to - from) / 2}
	c.x1 = in[n*k.inLen/k.shape.N : (n+1)*k.inLen/k.shape.N][from*Block:]
	c.x2 = c.x1[c.first*Block:]
	sums := temp[chunk*k.partSums():][:k.partSums()]
	for _, s := range [...]*[]float32{&c.s1, &c.s2, &c.s3, &c.s4} {
		*s, sums = sums[:k.half*k.taps()], sums[k.half*k.taps():]
	}
	if step == 0 {
		c.sum(k.blocks*set/sets, k.blocks*(set+1)/sets)
		return
	}
	c.y1 = out[n*k.outLen/k.shape.N : (n+1)*k.outLen/k.shape.N][from*Block:]
	c.y2 = c.y1[c.first*Block:]
	if k.residual {
		c.r1 = res[n*k.outLen/k.shape.N : (n+1)*k.outLen/k.shape.N][from*Block:]
		c.r2 = c.r1[c.first*Block:]
	}
	for _, s := range [...]*[]float32{&c.u, &c.v, &c.p} {
		*s, scratch = scratch[:k.half*k.units[0].width], scratch[k.half*k.units[0].width:]
	}
	units := k.units[set*k.setSize : min((set+1)*k.setSize, len(k.units))]
	for i := range units {
		c.unit(&units[i])
	}
}

// piece is a part of the pixels of an image in a run.
type piece struct {
	*Strassen
	first, second  int       // pixels of the halves; the second may have one less
	x1, x2         []float32 // the halves of the input, from the first pixel of the first block on
	r1, r2, y1, y2 []float32 // and of residual and output
	s1, s2, s3, s4 []float32
	u, v, p        []float32 // sums of a half of a unit
}

// sum computes the blocks [from, to) of S1 to S4. A pixel and a block that a second half lacks count as zeros.
func (c *piece) sum(from, to int) {
	plane, half := c.pixels*Block, c.half*Block
	for b := from; b < to; b++ {
		a11, a21 := c.x1[b*plane:], c.x2[b*plane:]
		s1, s2, s3, s4 := c.s1[b*half:], c.s2[b*half:], c.s3[b*half:], c.s4[b*half:]
		lacks := b == c.channels-c.blocks
		var a12, a22 []float32
		if !lacks {
			a12, a22 = c.x1[(c.blocks+b)*plane:], c.x2[(c.blocks+b)*plane:]
		}
		for from := 0; from < c.second*Block; from += sumLen {
			to := min(from+sumLen, c.second*Block)
			if lacks {
				copy(s1[from:to], a21[from:])
			} else {
				vec.Add(s1[from:to], a21[from:], a22[from:])
			}
			vec.Sub(s2[from:to], s1[from:], a11[from:])
			vec.Sub(s3[from:to], a11[from:], a21[from:])
			if lacks {
				vec.ScalarSub(s4[from:to], 0, s2[from:])
			} else {
				vec.Sub(s4[from:to], a12[from:], s2[from:])
			}
		}
		for i := c.second * Block; i < c.first*Block; i++ {
			s1[i], s2[i], s3[i], s4[i] = 0, -a11[i], a11[i], a11[i]
			if !lacks {
				s4[i] += a12[i]
			}
		}
	}
}

// unit computes the output channels of u.
func (c *piece) unit(u *unit) {
	k := c.Strassen
	plane := k.pixels * Block
	a11, a12, a21, a22 := c.x1, c.x1[k.blocks*plane:], c.x2, c.x2[k.blocks*plane:]
	epi1 := k.epi[u.epi:]
	r1, y1, r2, y2 := from(c.r1, u.out), c.y1[u.out:], from(c.r2, u.out), c.y2[u.out:]
	if u.alone {
		c.product(k.image, u, a11, b11, epi1, nil, nil, c.u, c.u, c.first)
		c.product(k.imageOut, u, a12, b21, epi1, c.u, r1, c.u, y1, c.first)
		c.product(k.image, u, a21, b11, epi1, nil, nil, c.u, c.u, c.second)
		c.product(k.imageOut, u, a22, b21, epi1, c.u, r2, c.u, y2, c.second)
		return
	}
	epi2 := epi1[EpilogueLen*u.width:]
	shift := epi2[EpilogueLen*u.width:] // without a bias of its own
	next := u.width / Block * plane
	n := u.width * k.half
	c.product(k.image, u, a11, b11, epi1, nil, nil, c.u, c.u, c.first)                                               // P1
	c.product(k.imageOut, u, a12, b21, epi1, c.u, r1, c.p, y1, c.first)                                              // C11
	c.product(k.sums, u, c.s2, t2, epi1, c.u, nil, c.u, c.u, c.first)                                                // U2
	c.product(k.sumsShift, u, c.s1, t1, shift, c.u, nil, c.v, c.v, c.first)                                          // U4
	c.product(k.sums, u, c.s3, t3, shift, nil, nil, c.p, c.p, c.first)                                               // P7
	vec.Add(c.u[:n], c.u, c.p)                                                                                       // U3
	vec.Add(c.p[:n], c.p, c.v)                                                                                       // U4 + P7
	k.impl.along(&k.finish, &k.flat, Block, u.tile, c.p, epi2, epi2, epi2, c.p, from(r2, next), y2[next:], c.second) // C22
	c.product(k.imageOut, u, a22, t4, epi1, c.u, r2, c.u, y2, c.second)                                              // C21
	c.product(k.sumsOut, u, c.s4, b22, epi2, c.v, from(r1, next), c.v, y1[next:], c.first)                           // C12
}

// product adds the product of n pixels of x and the factor f to start, or to the bias if that is nil. The sums of all slabs
// but the last are kept in sum.
func (c *piece) product(slabs []slab, u *unit, x []float32, f factor, epi, start, res, sum, out []float32, n int) {
	for i := range slabs {
		sl := &slabs[i]
		w := c.weights[u.weights+(int(f)*c.taps()+sl.taps)*u.width:]
		next := w[min(sl.loops.full*Block*u.width, len(w)-1):]
		if i < len(slabs)-1 {
			c.impl.along(&sl.loops, &c.flat, Block, u.tile, x, w, next, epi, start, nil, sum, n)
		} else {
			c.impl.along(&sl.loops, &c.flat, Block, u.tile, x, w, next, epi, start, res, out, n)
		}
		start = sum
	}
}
