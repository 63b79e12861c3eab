// Package qconv is two-dimensional convolution of quantised values: dense, or depthwise (each channel with a kernel of
// its own).
//
// Values are int16, less their zero point, so that padding is zero. They lie in NCHW16c, as package conv describes it,
// or, if there are at most four channels, in [N][H][W][4]. Sums are int32 and exact, so they are the same on every
// machine; the epilogue then computes in float32, and what it gives is float32 in NCHW16c, or quantised again.
//
// It knows slices and integers only: no tensor, no graph, no thread pool. Who calls it runs the chunks of each step on
// as many threads as there are.
package qconv

import (
	"fmt"
	"math"
	"unsafe"

	"scission/ops/internal/conv"
	"scission/ops/internal/dwconv"
)

// Block is the number of channels of a block of the layout, and Few that of a pixel of few channels.
const (
	Block = conv.Block
	Few   = 4
)

// run is the input values of a tap of a dense convolution, and fewRun those of one with few channels: they follow one
// another.
const (
	run    = 8
	fewRun = 4
)

// Epilogue is what happens to the sum acc of an output element, in this order:
//
//	acc = acc + Start[oc]               if Start is not nil
//	y = acc                             if Sums, and that is all
//	y = float32(acc)*Mul[oc] + Add[oc]
//	y = y*Scale[oc] + Shift[oc]         if Scale is not nil
//	y = y + res                         if Residual, which a depthwise convolution has not
//	y = Lo where y < Lo, Hi where y > Hi; a NaN stays
//	y = int16(round(y / Step))          if Step is not 0, within Min and Max; ties to even, a NaN becomes Min
//
// A multiplication and an addition round once in assembly, twice in portable Go. acc must be an int32 with Start too.
type Epilogue struct {
	Start                  []int32
	Sums                   bool
	Mul, Add, Scale, Shift []float32
	Residual               bool
	Lo, Hi                 float32
	Step                   float32
	Min, Max               int

	anyMul bool // runs have factors of their own in the place of Mul
}

// minStep and maxStep are the steps whose inverse and products with it are far from the ends of float32.
const (
	minStep = 1.0 / (1 << 60)
	maxStep = 1 << 60
)

// IsStep reports whether step may be divided by.
func IsStep(step float32) bool { return step >= minStep && step <= maxStep }

// inverse returns 1/step as the sum of two numbers.
func inverse(step float32) (first, rest float32) {
	exact := 1 / float64(step)
	first = float32(exact)
	return first, float32(exact - float64(first))
}

// AcceptsStep reports whether an Epilogue may have the Step and round to lo to hi. Assembly multiplies by the step's
// inverse in two parts, which is within 2^-22 of the quotient. So it can only round otherwise than the quotient next
// to a tie, and for nearly every step it does not: all numbers there are tried.
func AcceptsStep(step float32, lo, hi int) bool {
	if !IsStep(step) {
		return false
	}
	first, rest := inverse(step)
	const near = 4 // float32s at each side
	for n := lo; n < hi; n++ {
		tie := math.Float32bits((float32(n) + 0.5) * step)
		for b := tie - near; b != tie+near+1; b++ {
			y := math.Float32frombits(b)
			z := float32(math.FMA(float64(y), float64(first), float64(float32(y*rest))))
			if math.RoundToEven(float64(z)) != math.RoundToEven(float64(y/step)) {
				return false
			}
		}
	}
	return true
}

// convertible reports whether all results in steps are numbers that an int32 holds.
func (e *Epilogue) convertible() bool {
	if e.Residual || e.anyMul {
		return false
	}
	const most = 1 << 30
	for c, mul := range e.Mul {
		y := math.Abs(float64(mul))*(1<<31) + math.Abs(float64(e.Add[c]))
		if e.Scale != nil {
			y = y*math.Abs(float64(e.Scale[c])) + math.Abs(float64(e.Shift[c]))
		}
		if !(y/float64(e.Step) < most) {
			return false
		}
	}
	return true
}

// MaxValue is the largest magnitude of inputs and of weights.
const MaxValue = 255

// maxBand bounds the elements of padded rows that a thread has for itself.
const maxBand = 1 << 18

// Accepts reports whether New takes the shape; lanes is the channels of an input pixel, Block or Few.
func Accepts(s conv.Shape, lanes int) bool {
	products := float64(s.KH) * float64(s.KW)
	switch {
	case isDepthwise(s):
		high, wide := float64(s.KH-1)*float64(s.DilationH)+1, float64(haloW(s))
		return lanes == Block && dwconv.Accepts(s) && high*wide*Block <= maxBand && products*MaxValue*MaxValue <= math.MaxInt32
	case s.Groups != 1 || !conv.Accepts(s, false):
		return false
	}
	return (lanes == Block || s.IC <= Few && s.DilationW == 1) && float64(s.IC)*products*MaxValue*MaxValue <= math.MaxInt32
}

// isDepthwise reports whether the convolution is depthwise.
func isDepthwise(s conv.Shape) bool { return s.Groups > 1 && s.Groups == s.IC && s.OC == s.IC }

// paired reports whether tiles read pairs of rows.
func (k *Kernel) paired() bool { return k.depthwise && k.impl.pairs }

// cycle returns how many times step is a multiple of n.
func cycle(step, n int) int {
	a, b := n, step
	for b > 0 {
		a, b = b, a%b
	}
	return n / a
}

// haloH and haloW are the rows and columns of the input that outputs see.
func haloH(s conv.Shape) int { return (s.OH-1)*s.StrideH + (s.KH-1)*s.DilationH + 1 }
func haloW(s conv.Shape) int { return (s.OW-1)*s.StrideW + (s.KW-1)*s.DilationW + 1 }

// loops is what a tile needs to know. Distances are in bytes; assembly reads the fields by their place.
type loops struct {
	taps     int // or pairs of them
	pixel    int // from a pixel of a tile to the next in the input
	tile     int // from a tile to the next
	lineIn   int // from a line of tiles to the next: in the input,
	lineRes  int // the residual
	lineOut  int // and the output
	scale    int // 1 if the epilogue has these:
	mask     int
	quantise int
	clamp    int // 1 if numbers are clamped before they are quantised
	start    int // 1 if the epilogue has it
	lo, hi   float32
	inverse  float32 // of the step
	rest     float32 // of the inverse that is not in it
	floor    int32   // of what is quantised; a NaN becomes it
	ceiling  int32
	step     float32
}

// What the epilogue has for each channel. The mask has all bits, those of start are an int32's.
const (
	epilogueMul = iota
	epilogueAdd
	epilogueScale
	epilogueShift
	epilogueMask
	epilogueStart
	epilogueLen
)

// The values of loops.quantise.
const (
	keepNumbers = iota
	quantiseNumbers
	keepSums
)

// Kernel is a convolution with packed weights for one implementation. It is immutable; any number of threads may
// call it.
type Kernel struct {
	shape     conv.Shape
	lanes     int
	impl      *implementation
	depthwise bool
	residual  bool
	loops     loops
	taps      []int // in bytes, from where a pixel's input begins
	weights   []int16
	epi       []float32
	blocks    int // of output channels

	halo            bool
	high, wide      int // of the input that tiles see
	planes          int // input planes (or blocks of them) of an image
	rows, cols      int // the output as tiles see it: one row if the input's pixels follow one another evenly
	stepRow, stepX  int // in the input, from an output row to the one period rows below, and from a pixel to the next
	parts, partSize int // rows, or pixels of the one row, are shared out in parts
	sets, setSize   int // and blocks in sets
	period          int // output rows from one to the next that is computed alike
	phases          []phase
	pieces          []piece // of a row, if pixels are paired
	tall            int     // taps of a column, or pairs of them, if depthwise
	band            int     // output rows whose input a thread pads at a time, if depthwise
	copies          int     // chunks of the copy
}

// New packs the weights [OC][IC/Groups][KH][KW] for the best implementation that this machine has. It keeps no slice
// that it is given. It panics if Accepts does not hold or a slice is not as long as the shape says. AcceptsStep must hold.
func New(s conv.Shape, lanes int, weights []int16, e Epilogue) *Kernel {
	if !Accepts(s, lanes) || e.Step != 0 && !IsStep(e.Step) {
		panic(fmt.Sprintf("qconv: shape %+v of %d lanes with step %g is not accepted", s, lanes, e.Step))
	}
	return newKernel(best(), s, lanes, weights, e)
}

func newKernel(impl *implementation, s conv.Shape, lanes int, weights []int16, e Epilogue) *Kernel {
	if want := s.OC * (s.IC / s.Groups) * s.KH * s.KW; len(weights) != want {
		panic(fmt.Sprintf("qconv: got %d weights, want %d", len(weights), want))
	}
	if isDepthwise(s) && e.Residual {
		panic("qconv: a depthwise convolution has no residual")
	}
	if s.KH == 1 {
		s.DilationH = 1
	}
	k := &Kernel{shape: s, lanes: lanes, impl: impl, depthwise: isDepthwise(s), residual: e.Residual, blocks: (s.OC + Block - 1) / Block}
	k.high, k.wide = haloH(s), haloW(s)
	k.halo = s.PadTop > 0 || s.PadLeft > 0 || k.high > s.IH || k.wide > s.IW || lanes == Few || k.paired()
	if !k.halo {
		k.high, k.wide = s.IH, s.IW
	}
	k.planes = (s.IC + lanes - 1) / lanes
	k.stepRow, k.stepX, k.period = s.StrideH*k.wide*lanes, s.StrideW*lanes, 1
	if k.paired() {
		k.period = cycle(s.StrideH, 2*s.DilationH)
		k.stepRow, k.stepX = k.stepRow*k.period, 2*k.stepX
	}
	k.rows, k.cols = s.OH, s.OW
	if !k.depthwise && (k.rows == 1 || k.stepRow == k.cols*k.stepX) {
		k.rows, k.cols = 1, k.rows*k.cols
	}
	if k.depthwise {
		k.packDepthwise(weights)
	} else {
		k.packDense(weights)
	}
	k.loops.taps = len(k.taps)
	k.packEpilogue(e)
	k.share()
	return k
}

// run is the input values of a dense tap.
func (k *Kernel) run() int {
	if k.lanes == Few {
		return fewRun
	}
	return run
}

// packDense lists the taps and lays out their weights: [block][tap][run/2][16][2] where tiles multiply pairs, else
// [block][tap][run][16].
func (k *Kernel) packDense(weights []int16) {
	s := &k.shape
	type place struct{ ic, y, x int }
	run := k.run()
	var places [][]place // what each value of each tap is; nothing if y is KH
	none := place{y: s.KH}
	add := func(offset int, at func(i int) place) {
		k.taps = append(k.taps, 2*offset)
		p := make([]place, run)
		for i := range p {
			if p[i] = at(i); p[i].ic >= s.IC || p[i].x >= s.KW {
				p[i] = none
			}
		}
		places = append(places, p)
	}
	for a := 0; a < s.IC; a += k.lanes {
		for y := range s.KH {
			row := (a/k.lanes*k.high + y*s.DilationH) * k.wide
			if k.lanes == Few { // kernel columns follow one another
				for i := 0; i < s.KW*Few; i += run {
					add(row*Few+i, func(j int) place { return place{(i + j) % Few, y, (i + j) / Few} })
				}
				continue
			}
			for x := range s.KW {
				for i := 0; i < Block && a+i < s.IC; i += run {
					add((row+x*s.DilationW)*Block+i, func(j int) place { return place{a + i + j, y, x} })
				}
			}
		}
	}
	k.weights = make([]int16, k.blocks*len(places)*run*Block)
	for o := range s.OC {
		for t, p := range places {
			w := k.weights[(o/Block*len(places)+t)*run*Block:]
			for i, p := range p {
				if p == none {
					continue
				}
				at := i*Block + o%Block
				if k.impl.pairs {
					at = (i/2*Block+k.lane(o))*2 + i%2
				}
				w[at] = weights[((o*s.IC+p.ic)*s.KH+p.y)*s.KW+p.x]
			}
		}
	}
}

// packEpilogue lays out the epilogue.
func (k *Kernel) packEpilogue(e Epilogue) {
	s, l := &k.shape, &k.loops
	l.lo, l.hi = e.Lo, e.Hi
	switch {
	case e.Sums:
		l.quantise = keepSums
	case e.Step != 0:
		l.quantise, l.step, l.floor, l.ceiling = quantiseNumbers, e.Step, int32(e.Min), int32(e.Max)
		l.inverse, l.rest = inverse(e.Step)
		l.lo = max(l.lo, float32(e.Min)*e.Step)
		l.hi = max(min(l.hi, float32(e.Max)*e.Step), l.lo)
	}
	if e.Scale != nil {
		l.scale = 1
	}
	if e.Start != nil {
		l.start = 1
	}
	if s.OC%Block != 0 && !(l.lo <= 0 && l.hi >= 0) { // else the channels that do not exist are 0 without it
		l.mask = 1
	}
	l.clamp = 1
	switch {
	case e.Step != 0 && l.mask == 0 && e.convertible(): // what is quantised is within the same limits as integers
		l.clamp = 0
		l.floor, l.ceiling = int32(math.RoundToEven(float64(l.lo/l.step))), int32(math.RoundToEven(float64(l.hi/l.step)))
	case e.Step == 0 && math.IsInf(float64(l.lo), -1) && math.IsInf(float64(l.hi), 1):
		l.clamp = 0
	}
	l.pixel = 2 * k.stepX
	l.lineIn, l.lineRes = 2*k.stepRow, 4*k.period*s.OW*Block
	l.lineOut = l.lineRes
	if l.quantise == quantiseNumbers {
		l.lineOut /= 2
	}
	l.tile = k.pixels() * l.pixel
	k.epi = conv.Aligned(k.blocks * epilogueLen * Block)
	for i, v := range [...][]float32{e.Mul, e.Add, e.Scale, e.Shift} {
		for c, x := range v {
			k.epi[k.channelAt(c, i)] = x
		}
	}
	for c, v := range e.Start {
		k.epi[k.channelAt(c, epilogueStart)] = math.Float32frombits(uint32(v))
	}
	for c := range s.OC {
		k.epi[k.channelAt(c, epilogueMask)] = math.Float32frombits(math.MaxUint32)
	}
}

// lane returns where channel c lies in a block of weights and of the epilogue.
func (k *Kernel) lane(c int) int {
	c %= Block
	if !k.impl.halves && !k.paired() {
		return c
	}
	const quarter = Block / 4 // the low quarters of both halves come first
	return c%quarter + [4]int{0, 2, 1, 3}[c/quarter]*quarter
}

// channelAt is where the epilogue has something for channel c: it lies as [block][epilogueLen][16], in the order that
// the weights have.
func (k *Kernel) channelAt(c, what int) int {
	return (c/Block*epilogueLen+what)*Block + k.lane(c)
}

const (
	maxChunks = 16      // of one image: enough to even out two to eight threads
	minWork   = 1 << 18 // products of a chunk: some 5 microseconds of one thread,
	minTaps   = 1 << 17 // and of a depthwise one: some 3
	callWork  = 1 << 22 // of one call of assembly, which the scheduler cannot interrupt
	copyLen   = 1 << 15 // elements of a chunk of the copy
	bandLen   = 1 << 13 // elements of padded rows, which should stay in the nearest cache
)

// share cuts the work into chunks of about the same size.
func (k *Kernel) share() {
	s := &k.shape
	work := float64(s.IC/s.Groups*s.KH*s.KW) * float64(s.OH*s.OW) * float64(k.blocks*Block)
	least := float64(minWork)
	if k.depthwise {
		least = minTaps
	}
	want := int(min(maxChunks, max(1, work/least)))
	units, grain := k.units(), 1
	if k.flat() {
		grain = k.pixels()
	}
	k.sets = min(want, k.blocks)
	if !k.depthwise { // all sets read all the input
		k.sets = min(k.blocks, (want+units/grain)/(units/grain+1))
	}
	k.setSize = (k.blocks + k.sets - 1) / k.sets
	k.sets = (k.blocks + k.setSize - 1) / k.setSize
	k.partSize = int((int64(units)*int64(k.sets)/int64(want) + int64(grain)) / int64(grain) * int64(grain))
	k.parts = (units + k.partSize - 1) / k.partSize
	if k.halo {
		k.copies = min(maxChunks*s.N, max(1, k.planes*s.N*k.high*k.wide*k.lanes/copyLen))
	}
	if k.depthwise {
		tall := (s.KH-1)*s.DilationH + 1
		k.band = max(1, (bandLen/(k.wide*Block)-tall)/s.StrideH+1)
		k.band = max(k.band/k.period*k.period, min(k.band, k.period))
	}
}

// pixels is those of the largest tile.
func (k *Kernel) pixels() int {
	if k.depthwise {
		return k.impl.depthwisePixels
	}
	return k.impl.pixels
}

// flat reports whether parts are of the pixels of one row.
func (k *Kernel) flat() bool { return k.rows == 1 && !k.depthwise }

// units is how many rows, or pixels of one row, are shared out.
func (k *Kernel) units() int {
	if k.flat() {
		return k.cols
	}
	return k.rows
}

// Info names the algorithm, the instruction set and the tile: "int8 direct avx2 6x16" is 6 pixels by 16 output
// channels.
func (k *Kernel) Info() string {
	if k.depthwise {
		return "int8 depthwise " + k.impl.String()
	}
	return "int8 direct " + k.impl.String()
}

// Temp returns the elements of memory that all steps of one run share, 0 if none. What it holds before does not
// matter.
func (k *Kernel) Temp() int {
	if !k.halo || k.depthwise {
		return 0
	}
	return k.shape.N*k.planes*k.high*k.wide*k.lanes + run // a tap of few channels may read beyond the last row
}

// Scratch returns the elements of memory that each thread needs for itself.
func (k *Kernel) Scratch() int {
	rows := k.bandRows(min(k.band, k.shape.OH))
	switch {
	case !k.halo || !k.depthwise:
		return 0
	case k.paired():
		return (2*rows*k.wide + k.shape.IW) * Block
	}
	return rows * k.wide * Block
}

// Steps returns the number of phases of a run. All chunks of one end before the next begins.
func (k *Kernel) Steps() int {
	if k.Temp() > 0 {
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

// Out is where results go: Wide, Narrow if the epilogue quantises, or Sums.
type Out struct {
	Wide   []float32
	Narrow []int16
	Sums   []int32
}

func (o Out) from(i int) Out {
	switch {
	case o.Narrow != nil:
		return Out{Narrow: o.Narrow[i:]}
	case o.Sums != nil:
		return Out{Sums: o.Sums[i:]}
	}
	return Out{Wide: o.Wide[i:]}
}

// first returns the first element of what there is.
func (o Out) first() *int16 {
	switch {
	case o.Narrow != nil:
		return &o.Narrow[0]
	case o.Sums != nil:
		return (*int16)(unsafe.Pointer(&o.Sums[0]))
	}
	return (*int16)(unsafe.Pointer(&o.Wide[0]))
}

// Run does one chunk of one step. in, res and out are the whole input, residual (nil without one) and output; res may
// be out. temp is the run's memory of Temp elements, scratch the thread's. It allocates nothing and keeps nothing, and
// panics if a slice is too short.
func (k *Kernel) Run(step, chunk int, temp, scratch, in []int16, res []float32, out Out) {
	s := &k.shape
	in = in[:s.N*k.planes*s.IH*s.IW*k.lanes]
	outLen := s.N * k.blocks * s.OH * s.OW * Block
	switch k.loops.quantise {
	case quantiseNumbers:
		out = Out{Narrow: out.Narrow[:outLen]}
	case keepSums:
		out = Out{Sums: out.Sums[:outLen]}
	default:
		out = Out{Wide: out.Wide[:outLen]}
	}
	if k.residual {
		res = res[:outLen]
	} else {
		res = nil
	}
	if k.Temp() > 0 {
		temp = temp[:k.Temp()]
		if step == 0 {
			rows := s.N * k.planes * k.high
			for r := rows * chunk / k.copies; r < rows*(chunk+1)/k.copies; r++ {
				k.pad(temp[r*k.wide*k.lanes:][:k.wide*k.lanes], in[r/k.high*s.IH*s.IW*k.lanes:], r%k.high)
			}
			return
		}
		in = temp
	}
	set, part := chunk%k.sets, chunk/k.sets%k.parts
	n := chunk / k.sets / k.parts
	from, to := part*k.partSize, min((part+1)*k.partSize, k.units())
	if k.depthwise && k.halo {
		scratch = scratch[:k.Scratch()]
		clear(scratch)
	}
	for b := set * k.setSize; b < min((set+1)*k.setSize, k.blocks); b++ {
		at := (n*k.blocks + b) * s.OH * s.OW * Block
		switch {
		case k.depthwise:
			plane := in[(n*k.planes+b)*s.IH*s.IW*Block:][:s.IH*s.IW*Block]
			k.depthwiseRows(b, plane, scratch, out, at, from, to)
		default:
			image := in[n*k.planes*k.high*k.wide*k.lanes:]
			if k.flat() {
				k.tiles(b, image[from*k.stepX:], res, out, at+from*Block, to-from, 1)
				continue
			}
			k.tiles(b, image[from*k.stepRow:], res, out, at+from*k.cols*Block, k.cols, to-from)
		}
	}
}

// pad writes row y of a padded plane.
func (k *Kernel) pad(to, plane []int16, y int) {
	s := &k.shape
	if y -= s.PadTop; y < 0 || y >= s.IH {
		clear(to)
		return
	}
	left := min(s.PadLeft*k.lanes, len(to))
	middle := min(s.IW*k.lanes, len(to)-left)
	clear(to[:left])
	copy(to[left:], plane[y*s.IW*k.lanes:][:middle])
	clear(to[left+middle:])
}

// tiles computes lines of n outputs of block b that follow one another, from the element at of the output on.
func (k *Kernel) tiles(b int, in []int16, res []float32, out Out, at, n, lines int) {
	size := len(k.weights) / k.blocks
	k.tilesOf(k.weights[b*size:], k.epi[b*epilogueLen*Block:], in, res, out, at, n, lines)
}

// tilesOf computes lines of n outputs with the given weights and epilogue, each line period rows below the other.
func (k *Kernel) tilesOf(w []int16, epi []float32, in []int16, res []float32, out Out, at, n, lines int) {
	tile := k.impl.dense
	switch {
	case k.depthwise:
		tile = k.impl.depthwise
	case k.lanes == Few:
		tile = k.impl.few
	}
	most := k.pixels()
	work := float64(len(k.taps)*run*Block) * float64(most)
	burst := int(max(1, callWork/work))
	full, rest, tiles := conv.Split(n, most, k.impl.fewest)
	for done := 0; done < n; {
		pixels, count := most, min(full, burst)
		if full == 0 {
			pixels, count = (rest+tiles-1)/tiles, 1
			rest -= pixels
			tiles--
		} else {
			full -= count
		}
		for line := 0; line < lines; {
			some := min(lines-line, max(1, burst/count))
			o := at + (line*k.period*n+done)*Block
			var r []float32
			if res != nil {
				r = res[o:]
			}
			tile(&k.loops, k.taps, in[line*k.stepRow+done*k.stepX:], w, epi, r, out.from(o), count, some, pixels)
			line += some
		}
		done += count * pixels
	}
}
