// Package winograd is convolutions of stride 1 by Winograd's algorithm: of each block of 16 channels it transforms
// patches of inputs, multiplies them by transformed weights and transforms the products into tiles of outputs. There are
// three forms:
//
//	kernel      form            patch       tile      multiplications of a tile
//	3x3         F(4x4, 3x3)     6x6         4x4       36, where direct summation takes 144
//	1x3, 3x1    F(4, 3)         1x6, 6x1    1x4, 4x1  6, where it takes 12
//	1x7, 7x1    F(4, 7)         1x10, 10x1  1x4, 4x1  10, where it takes 28
//
// Small images are not worth the weights of F(4x4, 3x3), four times as many: there, 3x3 is the sum of three times 1x3.
//
// The points of interpolation are 0, infinity and ±3/4, ±3/2 for kernels of 3, ±3/8, ±3/4, ±5/4, ±5/2 for those of 7. All
// constants of the transforms of inputs and outputs are exact; the error is less than half of that of the usual 0, ±1,
// ±2 and ±1/2. With random inputs and weights it stays below 1e-5 of the largest output, for 512 input channels and
// fewer, or 256 with kernels of 7. At most it is that of a sum of IC + 18 products whose magnitudes add up to what the transforms add up in
// magnitude. An infinity or a NaN in the input makes NaNs of the whole tile, and so do weights or inputs beyond 1e35.
//
// Layout, Epilogue and contract are those of package conv. An output's bits depend on the instruction set only: which
// tile it belongs to follows from its place in the image, and each tile is computed in one order.
//
// Source: A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, 2015; B. Barabasz et al., Error
// Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks, 2018.
package winograd

import (
	"fmt"
	"math"

	"scission/ops/internal/conv"
	"scission/ops/internal/isa"
)

const (
	lanes  = conv.Block
	tile   = 4             // rows and columns of a tile
	kernel = 3             // and of the kernel
	patch  = tile + 2      // and of the input of a tile
	square = patch * patch // values of a tile of 3x3 kernels between the transforms
)

// tempLen is the float32s that a transform keeps between columns and rows.
const tempLen = square * lanes

// form is one way to compute a convolution.
type form struct {
	kernelH, kernelW int // of the transforms
	rows             int // of such kernels, whose products are summed
	tileH, tileW     int
	values           int   // of a tile between the transforms
	line             *line // nil for 3x3
}

// forms returns the ways there are for a shape.
func forms(s conv.Shape) (fs []form) {
	if s.KH == kernel && s.KW == kernel {
		fs = append(fs, form{kernelH: s.KH, kernelW: s.KW, rows: 1, tileH: tile, tileW: tile, values: square})
	}
	for _, l := range [...]*line{line3, line7} {
		if s.KW == l.kernel && (s.KH == 1 || s.KH == s.KW && s.IC%lanes == 0) {
			fs = append(fs, form{kernelH: 1, kernelW: s.KW, rows: s.KH, tileH: 1, tileW: tile, values: l.patch, line: l})
		}
		if s.KH == l.kernel && s.KW == 1 {
			fs = append(fs, form{kernelH: s.KH, kernelW: 1, rows: 1, tileH: tile, tileW: 1, values: l.patch, line: l})
		}
	}
	return fs
}

// cost is the time that the form takes for one input and one output channel, in multiplications.
func (f *form) cost(s conv.Shape) int {
	return f.values * f.rows * (s.N*ceil(s.OH, f.tileH)*ceil(s.OW, f.tileW) + reading)
}

// formOf returns the form that is best for a shape, and whether there is one.
func formOf(s conv.Shape) (best form, ok bool) {
	for _, f := range forms(s) {
		if !ok || f.cost(s) < best.cost(s) {
			best, ok = f, true
		}
	}
	return best, ok
}

// taps returns the weights of a kernel of the transforms.
func (f *form) taps() int { return f.kernelH * f.kernelW }

// upright reports whether tiles are columns.
func (f *form) upright() bool { return f.tileW == 1 }

// The points, and what the transforms make of them. All are exact.
const (
	a = 3. / 4
	b = 3. / 2

	aa, bb   = a * a, b * b
	aaa, bbb = a * a * a, b * b * b
	aabb     = aa * bb
	aaPlusBB = aa + bb
	normalA  = 2 * aa * (aa - bb)
	normalB  = 2 * bb * (bb - aa)
)

// Accepts reports whether New takes the shape.
func Accepts(s conv.Shape) bool {
	f, ok := formOf(s)
	return ok && s.StrideH == 1 && s.StrideW == 1 && s.DilationH == 1 && s.DilationW == 1 &&
		s.Groups == 1 && conv.Accepts(s, false) &&
		float64(f.values*f.rows)*float64(s.IC+lanes)*float64(s.OC+lanes) < math.MaxInt32/4
}

// reading is how many multiplications take as long as reading a weight from memory.
const reading = 18

// Pays reports whether the shape is accepted and faster so than by direct summation: whether the multiplications that
// are saved are worth the reading of more weights. It depends on the shape, and on whether the instruction set in use has
// transforms, alone.
func Pays(s conv.Shape) bool { return best().level == isa.Best() && pays(s) }

// pays is Pays where the instruction set has transforms.
func pays(s conv.Shape) bool {
	if !Accepts(s) || s.IC < lanes || s.OC < lanes {
		return false
	}
	f, _ := formOf(s)
	return f.cost(s) < s.KH*s.KW*(s.N*s.OH*s.OW+reading)
}

// TileRows returns how many rows of outputs, from a multiple of that number on, are calculated together on a machine
// where Pays holds for the shape; 1 if it holds on none.
func TileRows(s conv.Shape) int {
	if !pays(s) {
		return 1
	}
	f, _ := formOf(s)
	return f.tileH
}

// Kernel is a convolution with transformed weights for one implementation. It is immutable; any number of threads may
// call it.
type Kernel struct {
	form
	shape    conv.Shape
	impl     *implementation
	residual bool
	weights  []float32 // [sets][values][columns of the set][IC][width]
	epi      []float32 // [OC/16][4][16]
	slabs    []slab
	panels   [2][]panel // of a set, and of the last one
	finals   epilogueRun

	ics, ocs   int // blocks of channels
	high, wide int // tiles of an image
	tiles      int // of all images
	cut
	vPlane, mPlane int // from a value of a tile to the next, before and after the products
	inLen, outLen  int

	lineInput  lineInputFunc // the transforms of lines
	lineOutput lineOutputFunc
}

// slab is a part of the sum over input channels: the first cache holds its weights for the output channels of a product
// while tiles go over all pixels of a part.
type slab struct {
	first, count int // products of the sum
	product      productRun
}

// cut is how the work is shared: tiles in parts, and output channels in sets. A part is transformed by whoever computes
// it if there is one set, else in a step before.
type cut struct {
	parts, part int // tiles of a part
	sets, set   int // blocks of output channels of a set
	groups      int // into which the input channels of a part are cut in that step
	slab        int // products of a slab of the sum, a multiple of lanes
}

// New transforms the weights [OC][IC][KH][KW] for the best implementation that this machine has. It keeps no slice that
// it is given. It panics if Accepts does not hold or a slice is not as long as the shape says.
func New(s conv.Shape, weights []float32, e conv.Epilogue) *Kernel {
	if !Accepts(s) {
		panic(fmt.Sprintf("winograd: shape %+v is not accepted", s))
	}
	return newKernel(best(), s, weights, e, cut{})
}

// NewPart is New for some rows of whole, of which the shape s has rows of inputs and outputs of its own. It gives the bits
// of New(whole, ...) if its outputs begin at a multiple of TileRows(whole), and end at one or at the end.
func NewPart(whole, s conv.Shape, weights []float32, e conv.Epilogue) *Kernel {
	f, ok := formOf(whole)
	if !ok || !Accepts(s) {
		panic(fmt.Sprintf("winograd: part %+v of %+v is not accepted", s, whole))
	}
	return newForm(f, best(), s, weights, e, cut{})
}

// Share returns about how long NewPart's kernel takes, in proportion to that of the whole.
func Share(whole, s conv.Shape) float64 {
	f, _ := formOf(whole)
	return float64(f.cost(s)) / float64(f.cost(whole))
}

func newKernel(impl *implementation, s conv.Shape, weights []float32, e conv.Epilogue, c cut) *Kernel {
	f, _ := formOf(s)
	return newForm(f, impl, s, weights, e, c)
}

func newForm(f form, impl *implementation, s conv.Shape, weights []float32, e conv.Epilogue, c cut) *Kernel {
	if want := s.OC * s.IC * s.KH * s.KW; len(weights) != want {
		panic(fmt.Sprintf("winograd: got %d weights, want %d", len(weights), want))
	}
	e.Check(s.OC)
	k := &Kernel{
		form: f, shape: s, impl: impl, residual: e.Residual,
		ics: ceil(s.IC, lanes), ocs: ceil(s.OC, lanes),
		high: ceil(s.OH, f.tileH), wide: ceil(s.OW, f.tileW),
	}
	lines := impl.lines[f.line]
	k.lineInput, k.lineOutput = lines.input, lines.output
	k.tiles = s.N * k.high * k.wide
	k.inLen, k.outLen = s.N*k.ics*lanes*s.IH*s.IW, s.N*k.ocs*lanes*s.OH*s.OW
	if k.cut = c; c.parts == 0 {
		k.cut = k.share()
	}
	k.panels[0] = impl.panels(k.set, min(k.part, k.tiles))
	k.panels[1] = impl.panels(k.ocs-(k.sets-1)*k.set, min(k.part, k.tiles))
	if k.slab == 0 {
		k.slab = k.slabbed()
	}
	k.vPlane, k.mPlane = k.rows*k.ics*k.part*lanes+skew, k.set*k.part*lanes+skew
	k.slice()
	k.pack(weights)
	k.epi = conv.Aligned(k.ocs * lanes * conv.EpilogueLen)
	for b := range k.ocs {
		e.Pack(k.epi[b*lanes*conv.EpilogueLen:], b*lanes, min(lanes, s.OC-b*lanes), lanes)
	}
	k.finals = epilogueRun{lo: e.Lo, hi: e.Hi}
	if e.Scale != nil {
		k.finals.scale = 1
	}
	if s.OC%lanes != 0 {
		k.finals.mask = 1
	}
	return k
}

// skew keeps the values of a tile from falling on the same few lines of a cache.
const skew = lanes

func ceil(a, b int) int { return (a + b - 1) / b }

// sum returns how many products are summed.
func (k *Kernel) sum() int { return k.rows * k.shape.IC }

const (
	slabLen   = 1 << 12 // float32s of weights that the first cache holds beside the input and output of a tile
	slabTiles = 4       // of a product, from which on slabs pay
)

// products returns the width of most products of a part, and how many tiles those are.
func (k *Kernel) products() (width, tiles int) {
	t := k.panels[0][0]
	full, _, tiles := conv.Split(min(k.part, k.tiles), t.pixels, t.fewest)
	return t.width, full + tiles
}

// slabbed chooses the length of a slab.
func (k *Kernel) slabbed() int {
	sum, slabs := k.sum(), 1
	if width, tiles := k.products(); tiles >= slabTiles {
		slabs = max(1, (sum*width+slabLen/2)/slabLen)
	}
	return ceil(ceil(sum, lanes), slabs) * lanes
}

// panelsOf returns the panels of a set.
func (k *Kernel) panelsOf(set int) []panel {
	if set == k.sets-1 {
		return k.panels[1]
	}
	return k.panels[0]
}

// slice cuts the sum over input channels into slabs.
func (k *Kernel) slice() {
	width, tiles := k.products()
	fetch := ceil(4*width*4, tiles)
	for first := 0; first < k.sum(); first += k.slab {
		s := slab{first: first, count: min(k.slab, k.sum()-first)}
		s.product = productRun{
			blocks: s.count / lanes, singles: s.count % lanes, stepX: 4 * lanes * k.part, stepY: 4 * lanes * k.part,
			stepAhead: fetch, add: min(first, 1),
		}
		k.slabs = append(k.slabs, s)
	}
}

// packLen is how many products of the sum are transformed at once: the first cache holds what becomes of them.
const packLen = 8

// pack transforms the weights and lays them out in the order in which they are read.
func (k *Kernel) pack(weights []float32) {
	sum := k.sum()
	k.weights = conv.Aligned(k.ocs * lanes * k.values * sum)
	u := make([]float32, k.values*packLen*k.impl.tiles[len(k.impl.tiles)-1].width)
	for first := 0; first < k.ocs; first += k.set {
		size := min(k.set, k.ocs-first) * lanes
		for _, p := range k.panelsOf(first / k.set) {
			plane := packLen * p.width
			for _, s := range k.slabs {
				to := k.weights[first*lanes*k.values*sum+s.first*size+p.column*s.count:]
				for i := 0; i < s.count; i += packLen {
					n := min(packLen, s.count-i)
					k.transformWeights(weights, u, first*lanes+p.column, p.width, s.first+i, n)
					for v := range k.values {
						copy(to[v*size*sum+i*p.width:], u[v*plane:][:n*p.width])
					}
				}
			}
		}
	}
}

// transformWeights sets u, [values][packLen][width], to the transformed weights of width output channels, from o on, for n
// products of the sum, from first on; to zeros for output channels that do not exist.
func (k *Kernel) transformWeights(weights, u []float32, o, width, first, n int) {
	ic, taps, plane := k.shape.IC, k.taps(), packLen*width
	real := min(width, k.shape.OC-o)
	if real < width {
		clear(u)
	}
	for j := range real {
		for i := first; i < first+n; i++ {
			g, u := weights[(((o+j)*ic+i%ic)*k.rows+i/ic)*taps:][:taps], u[(i-first)*width+j:]
			if k.line != nil {
				k.line.weights(g, u, plane)
			} else {
				transformSquare((*[kernel * kernel]float32)(g), u, plane)
			}
		}
	}
}

// transformSquare sets every step-th element of u to an element of GgGᵀ.
func transformSquare(g *[kernel * kernel]float32, u []float32, step int) {
	var c [patch][kernel]float64 // Gg
	for x := range kernel {
		c[0][x], c[1][x], c[2][x], c[3][x], c[4][x], c[5][x] =
			transformKernel(float64(g[x]), float64(g[x+kernel]), float64(g[x+2*kernel]))
	}
	for y := range c {
		row := u[y*patch*step:][:5*step+1]
		v0, v1, v2, v3, v4, v5 := transformKernel(c[y][0], c[y][1], c[y][2])
		row[0], row[step], row[2*step] = float32(v0), float32(v1), float32(v2)
		row[3*step], row[4*step], row[5*step] = float32(v3), float32(v4), float32(v5)
	}
}

// transformKernel is Gg.
func transformKernel(g0, g1, g2 float64) (u0, u1, u2, u3, u4, u5 float64) {
	s, t := g0+float64(aa*g2), float64(a*g1)
	u, v := g0+float64(bb*g2), float64(b*g1)
	return g0 * (1 / aabb), (s + t) * (1 / normalA), (s - t) * (1 / normalA),
		(u + v) * (1 / normalB), (u - v) * (1 / normalB), g2
}

const (
	maxChunks = 16      // that a run needs: enough to even out two to eight threads
	minFlop   = 1 << 19 // of a chunk: some 5 microseconds of one thread
	cacheLen  = 1 << 17 // float32s of the cache that a core has for itself
)

// share chooses the cut with the least to read and write outside the cache: each part reads all weights, sets read the
// inputs that the step before wrote, and what one chunk keeps between the transforms may be more than the cache.
func (k *Kernel) share() cut {
	ic, oc := k.rows*k.ics*lanes, k.ocs*lanes
	flop := 2 * float64(k.values) * float64(k.tiles) * float64(ic) * float64(oc)
	want := int(min(maxChunks, max(1, flop/minFlop)))
	weights, input, output := float64(k.values*ic*oc), float64(k.values*ic)*float64(k.tiles), float64(k.values*oc)*float64(k.tiles)
	best, least := cut{}, math.Inf(1)
	pixels := k.impl.tiles[len(k.impl.tiles)-1].pixels
	for n := 1; n <= min(want, k.ocs); n++ {
		set := ceil(k.ocs, n)
		if n > 1 && set == ceil(k.ocs, n-1) {
			continue
		}
		sets := ceil(k.ocs, set)
		local, spilled, moved := set*lanes, output, float64(sets+1)*input
		if sets == 1 {
			local, spilled, moved = local+ic, spilled+input, 0
		}
		fits := max(1, cacheLen/(k.values*local))
		fits = max(fits/pixels*pixels, min(fits, pixels))
		for p := 0; p <= want; p++ {
			part := min(fits, k.tiles)
			if p > 0 {
				part = ceil(k.tiles, p)
			}
			if p > 1 && part == ceil(k.tiles, p-1) {
				continue
			}
			parts := ceil(k.tiles, part)
			cost := float64(parts)*weights + moved
			if part > fits {
				cost += 2 * spilled
			}
			_, most := k.impl.cheapest(set, part)
			_, last := k.impl.cheapest(k.ocs-(sets-1)*set, part)
			all, slowest := float64(parts*((sets-1)*most+last)), float64(parts*sets*most)
			short := max(1, float64(want)/float64(sets*parts))
			if cost *= all * slowest * math.Sqrt(short); cost < least {
				least, best = cost, cut{parts: parts, part: part, sets: sets, set: set, groups: ceil(want, parts)}
			}
		}
	}
	return best
}

// Info names the algorithm and the instruction set.
func (k *Kernel) Info() string { return "winograd " + k.impl.level.String() }

// shared reports whether there is a first step that transforms inputs for all sets.
func (k *Kernel) shared() bool { return k.sets > 1 }

// Temp returns the float32s of memory that all steps of one run share, 0 if none. What it holds before does not
// matter.
func (k *Kernel) Temp() int {
	if k.shared() {
		return k.parts * k.values * k.vPlane
	}
	return 0
}

// Scratch returns the float32s of memory that each thread needs for itself. What it holds before does not matter.
func (k *Kernel) Scratch() int {
	n := tempLen + k.values*k.mPlane
	if !k.shared() {
		n += k.values * k.vPlane
	}
	return n
}

// Steps returns the number of phases of a run. All chunks of one end before the next begins.
func (k *Kernel) Steps() int {
	if k.shared() {
		return 2
	}
	return 1
}

// Chunks returns the number of pieces of a step, which may run in any order and at once.
func (k *Kernel) Chunks(step int) int {
	if step < k.Steps()-1 {
		return k.parts * k.groups
	}
	return k.parts * k.sets
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
	scratch = scratch[:k.Scratch()]
	between, scratch := scratch[:tempLen], scratch[tempLen:]
	m, v := scratch[:k.values*k.mPlane], scratch[k.values*k.mPlane:]
	if k.shared() {
		temp = temp[:k.Temp()]
		each := k.sets
		if step == 0 {
			each = k.groups
		}
		part := chunk / each
		v = temp[part*k.values*k.vPlane:][:k.values*k.vPlane]
		if step == 0 {
			group := chunk % each
			k.transform(part, k.ics*group/each, k.ics*(group+1)/each, in, v, between)
			return
		}
	}
	part, set := chunk/k.sets, chunk%k.sets
	if !k.shared() {
		k.transform(part, 0, k.ics, in, v, between)
	}
	k.multiply(part, set, v, m)
	k.finish(part, set, m, res, out, between)
}

// eachRow calls f for the tiles of a part that lie side by side: their image, row and first column, their place in the
// part and their number.
func (k *Kernel) eachRow(part int, f func(image, y, x, at, count int)) {
	from := part * k.part
	to := min(from+k.part, k.tiles)
	for t := from; t < to; {
		x := t % k.wide
		count := min(k.wide-x, to-t)
		f(t/k.wide/k.high, t/k.wide%k.high, x, t-from, count)
		t += count
	}
}

// transform transforms the blocks [first, last) of input channels of a part.
func (k *Kernel) transform(part, first, last int, in, v, temp []float32) {
	if k.line != nil {
		k.transformLines(part, first, last, in, v)
		return
	}
	s := &k.shape
	k.eachRow(part, func(image, y, x, at, count int) {
		top := y*tile - s.PadTop
		run := inputRun{row: s.IW * lanes, top: clamp(-top), bottom: clamp(s.IH - top), plane: k.vPlane}
		for end := at + count; at < end; {
			left := x*tile - s.PadLeft
			run.left, run.right, run.count = clamp(-left), clamp(s.IW-left), 1
			if run.left == 0 && run.right == patch {
				run.count = min(end-at, (s.IW-patch-left)/tile+1)
			}
			for b := first; b < last; b++ {
				run.at = (((image*k.ics+b)*s.IH+top)*s.IW + left) * lanes
				k.impl.input(run, in, v[(b*k.part+at)*lanes:], temp)
			}
			at += run.count
			x += run.count
		}
	})
}

// clamp returns n limited to a row or column of a patch.
func clamp(n int) int { return max(0, min(n, patch)) }

// multiply multiplies the tiles of a part by the weights of a set.
func (k *Kernel) multiply(part, set int, v, m []float32) {
	sum, first := k.sum(), set*k.set
	size := min(k.set, k.ocs-first)
	w := k.weights[first*lanes*k.values*sum:][:size*lanes*k.values*sum]
	tiles := min(k.part, k.tiles-part*k.part)
	for i := range k.values {
		for j := range k.slabs {
			s := &k.slabs[j]
			v := v[i*k.vPlane+s.first*k.part:]
			for _, p := range k.panelsOf(set) {
				n := s.count * p.width
				next := w[n:]
				if len(next) == 0 {
					next = w
				}
				k.multiplyPanel(s, p, tiles, v, w, next, m[i*k.mPlane+p.column/lanes*k.part*lanes:])
				w = w[n:]
			}
		}
	}
}

// multiplyPanel multiplies the first pixels of v by the first weights of w. Those of next come after them.
func (k *Kernel) multiplyPanel(s *slab, p panel, pixels int, v, w, next, m []float32) {
	full, rest, tiles := conv.Split(pixels, p.pixels, p.fewest)
	each := ceil(s.count, 4) * s.product.stepAhead / 4 // float32s to fetch ahead in a tile
	for at := 0; at < pixels; {
		size, count := p.pixels, full
		if full > 0 {
			full = 0
		} else {
			size, count = (rest+tiles-1)/tiles, 1
			rest -= size
			tiles--
		}
		k.impl.product(&s.product, v[at*lanes:], w, next[min(at/p.pixels*each, len(next)-1):], m[at*lanes:], count, size, p.width, p.column%lanes)
		at += size * count
	}
}

// finish transforms the products of a part and a set into outputs.
func (k *Kernel) finish(part, set int, m, res, out, temp []float32) {
	if k.line != nil {
		k.finishLines(part, set, m, res, out, temp)
		return
	}
	s := &k.shape
	first := set * k.set
	k.eachRow(part, func(image, y, x, at, count int) {
		run := outputRun{plane: k.mPlane, row: s.OW * lanes, epilogueRun: k.finals}
		run.rows = min(tile, s.OH-y*tile)
		for end := at + count; at < end; {
			run.cols, run.count = min(tile, s.OW-x*tile), 1
			if run.cols == tile {
				run.count = min(end-at, s.OW/tile-x)
			}
			for b := first; b < min(first+k.set, k.ocs); b++ {
				o := (((image*k.ocs+b)*s.OH+y*tile)*s.OW + x*tile) * lanes
				var r []float32
				if res != nil {
					r = res[o:]
				}
				k.impl.output(run, m[((b-first)*k.part+at)*lanes:], k.epi[b*lanes*conv.EpilogueLen:], r, out[o:], temp)
			}
			at += run.count
			x += run.count
		}
	})
}
