// Package gemm multiplies float32 matrices: C = clamp(A·B + bias + residual).
//
// It knows slices and integers, not tensors, operators or threads. A product is prepared once (New when B is constant
// and can be packed ahead, NewDynamic when B comes with each run) and then run as steps, one after the other; the
// chunks of one step may run at the same time on different threads.
//
// Every element of C is one chain of multiply-adds over k = 0 … K-1 that starts from its bias, so its bits depend on
// the instruction set (see package isa) but not on chunks, threads, the place in the matrix or the number of rows.
// With AVX2, AVX-512 and NEON each link of the chain is a fused multiply-add; the portable code rounds the product
// first.
package gemm

import (
	"fmt"
	"math"

	"scission/ops/internal/reorder"
)

// Epilogue is what happens to a product before it is stored.
type Epilogue struct {
	Bias     []float32 // N values from which the columns' sums start, nil for zeros; copied by New and NewDynamic
	Residual bool      // add res, an M×N matrix given to Run, to the finished sums

	// Lo and Hi bound the result: a value below Lo becomes Lo, one above Hi becomes Hi, NaN stays NaN and -0 is not
	// below 0. Use -Inf and +Inf for no bound.
	Lo, Hi float32
}

// NoClamp is the Epilogue that stores plain sums.
func NoClamp() Epilogue {
	inf := float32(math.Inf(1))
	return Epilogue{Lo: -inf, Hi: inf}
}

// Kernel is C = clamp(A·B + bias + residual) for a constant B: A [M][K] and C [M][N] row-major without gaps. It is
// immutable; concurrent Runs with different memory are allowed.
type Kernel struct {
	product
	b panels
}

// New packs B, which is [K][N] row-major or, if transB, [N][K], and returns the kernel for A with M rows. It keeps
// neither b nor e.Bias. Any of M, N and K may be 0. It panics if a size is negative or a slice is too short.
func New(M, N, K int, b []float32, transB bool, e Epilogue) *Kernel {
	return NewForgetting(M, N, K, b, transB, e, nil)
}

// NewForgetting is New that tells forget, unless it is nil, of each part b[lo:hi] that it will not read again, from the
// first to the last: so a large B need not be in memory together with the packed one.
func NewForgetting(M, N, K int, b []float32, transB bool, e Epilogue, forget func(lo, hi int)) *Kernel {
	return newKernel(best, M, N, K, b, transB, e, forget)
}

func newKernel(im *impl, m, n, k int, b []float32, transB bool, e Epilogue, forget func(lo, hi int)) *Kernel {
	p := newProduct(im, 1, m, n, k, false, e)
	need("b", len(b), n*k)
	packed := make([]float32, p.packedLen())
	p.pack(packed, b, transB, forget)
	return &Kernel{p, p.packed(packed)}
}

// Info describes the kernel for plan dumps: its micro-kernel and the sizes.
func (k *Kernel) Info() string {
	return fmt.Sprintf("gemm %s %dx%dx%d", k.im.name, k.m, k.n, k.k)
}

// Temp returns how many float32s of memory, shared by all chunks of a run, Run wants.
func (k *Kernel) Temp() int { return 0 }

// Scratch returns how many float32s of memory of its own each concurrently running chunk wants.
func (k *Kernel) Scratch() int { return k.scratch }

// Steps returns the number of steps of a run.
func (k *Kernel) Steps() int { return 1 }

// Chunks returns the number of chunks of a step. It does not depend on the number of threads.
func (k *Kernel) Chunks(step int) int { return k.rowChunks * k.colChunks }

// Run computes one chunk of one step. a is [M][K], c is [M][N]; res is [M][N] if the epilogue has a residual and is
// not looked at otherwise; none of them may overlap c. scratch has Scratch() values that no other running chunk uses.
// It allocates nothing and panics if a slice is too short.
func (k *Kernel) Run(step, chunk int, temp, scratch, a, res, c []float32) {
	need("a", len(a), k.m*k.k)
	k.check(scratch, res, c, 1)
	k.run(chunk, scratch, a, k.b, res, c)
}

// product is the plan of one M×N×K product for one implementation.
type product struct {
	im      *impl
	m, n, k int
	transA  bool // A is [K][M]
	bias    []float32
	lo, hi  float32
	res     bool

	kBlock  int  // values of k that one micro-kernel call runs through
	copyA   bool // bring blocks of A into scratch first
	ldCopy  int  // row stride of such a copy
	sums    int  // values at the start of scratch where sums are between blocks of k; 0 if they are in C
	scratch int

	rows, cols           int // of one chunk: rows, and panels of columns
	rowChunks, colChunks int
}

const (
	// blockRows rows of A, as long as a block of k, stay in the second level cache while a chunk's panels of B pass by;
	// a block of one panel, 16 KiB, stays in the first while the rows of A pass by.
	blockRows = 128

	// maxSums values, 256 KiB, between one block of k and the next stay in the second level cache, too. They are not in
	// C, whose rows may lie so that they evict each other.
	maxSums = 1 << 16

	// A B of more than largeB values comes from main memory each time that rows of A pass by it, so more of them do at
	// once.
	largeB    = 1 << 20
	largeRows = 208

	// streamK is the longest run of k when a panel of B is used once only: it bounds the time in assembly, which the
	// Go runtime cannot interrupt.
	streamK = 4096

	// streamAhead is how many rows ahead of their use B is fetched in that case. Otherwise the next panel is fetched
	// while the rows of A pass by this one.
	streamAhead = 32

	unroll = 4 // rows of B for which a tile fetches once

	// Addresses that differ by a multiple of aliasStride bytes share a set of the first level cache, which holds few
	// lines. If more than aliasRows rows of a strip are that far apart they evict each other, so blocks of A are copied
	// to rows copyPad values further apart than they are long.
	aliasStride = 4096
	aliasRows   = 8
	copyPad     = 16

	// copyPanels is the number of panels from which a copy of A pays for itself.
	copyPanels = 2

	wantChunks = 16      // enough to share evenly over a few threads
	minWork    = 1 << 18 // multiply-adds, or a quarter as many values of B read, that make a chunk worth its start
)

// newProduct plans a product that is done batch times in one run.
func newProduct(im *impl, batch, m, n, k int, transA bool, e Epilogue) product {
	if batch < 0 || m < 0 || n < 0 || k < 0 {
		panic(fmt.Sprintf("gemm: batch %d of sizes %dx%dx%d, want none negative", batch, m, n, k))
	}
	p := product{im: im, m: m, n: n, k: k, transA: transA, lo: e.Lo, hi: e.Hi, res: e.Residual}
	if e.Bias != nil {
		need("bias", len(e.Bias), n)
		p.bias = make([]float32, p.panelCount()*im.nr)
		copy(p.bias, e.Bias[:n])
	}
	p.split(batch)
	p.kBlock = im.kBlock
	if m <= im.rows() {
		p.kBlock = streamK
	}
	p.kBlock = min(p.kBlock, k)
	if transA || p.cols >= copyPanels && aliases(min(m, im.form(m, im.nr).mr), k*4) {
		p.useCopies()
	}
	return p
}

// useCopies makes the chunks copy blocks of A to scratch before they use them.
func (p *product) useCopies() {
	p.copyA = true
	p.ldCopy = p.kBlock + copyPad
	p.scratch = p.sums + p.rows*p.ldCopy
}

// aliases reports whether too many of the given rows, some bytes apart, share a set of the first level cache.
func aliases(rows, bytes int) bool {
	sets := 1 // among which the rows are spread
	for ; bytes*sets%aliasStride != 0; sets *= 2 {
	}
	return rows > aliasRows*sets
}

// split cuts C, one of batch, into chunks.
func (p *product) split(batch int) {
	p.rows, p.cols = p.m, p.panelCount()
	if p.m == 0 || p.n == 0 {
		return
	}
	mr, block := p.im.rows(), blockRows
	if float64(p.k)*float64(p.n) > largeB {
		block = largeRows
	}
	p.rowChunks = ceil(p.m, block/mr*mr)
	p.rows = min(p.m, ceil(ceil(p.m, p.rowChunks), mr)*mr)
	p.rowChunks = ceil(p.m, p.rows)

	const readCost = 4 // of a value of B, in multiply-adds
	work := float64(p.rows+readCost) * float64(p.k) * float64(p.n)
	p.colChunks = max(1, min(ceil(wantChunks, p.rowChunks*max(1, batch)), int(work/minWork)))
	p.cols = ceil(p.panelCount(), p.colChunks)
	if p.m == 1 {
		p.cols = ceil(p.cols, p.im.panels) * p.im.panels
	}
	if p.m > p.im.rows() && p.k > p.im.kBlock {
		p.cols = min(p.cols, max(1, maxSums/(p.rows*p.im.nr)))
		p.sums = p.rows * p.cols * p.im.nr
		p.scratch = p.sums
	}
	p.colChunks = ceil(p.panelCount(), p.cols)
}

func (p *product) panelCount() int { return ceil(p.n, p.im.nr) }

// check panics if a slice is too short for batch products.
func (p *product) check(scratch, res, c []float32, batch int) {
	need("scratch", len(scratch), p.scratch)
	need("c", len(c), batch*p.m*p.n)
	if p.res {
		need("residual", len(res), batch*p.m*p.n)
	}
}

// panels is a B in panels of nr columns: row p of panel j is data[j*panel+p*step:][:nr]. If tail is not nil it is the
// last panel, of fewer columns than nr, with rows of nr values.
type panels struct {
	data        []float32
	panel, step int
	tail        []float32
}

// packed returns the panels in data, which is B packed as [N/nr][K][nr] with zeros in the last panel's missing columns.
func (p *product) packed(data []float32) panels {
	return panels{data: data, panel: p.k * p.im.nr, step: p.im.nr}
}

func (p *product) packedLen() int { return p.panelCount() * p.k * p.im.nr }

const (
	forgetLen = 1 << 20 // values of B of which forget is told at once, but for the last
	packLen   = 1 << 16 // values of rows of B that are packed together: 256 KiB stay in the second level cache
)

// pack packs all of b to dst, which is zero. See NewForgetting for forget.
func (p *product) pack(dst, b []float32, transB bool, forget func(lo, hi int)) {
	told := 0
	packed := func(n int) {
		if forget != nil && n > told && (n-told >= forgetLen || n == p.n*p.k) {
			forget(told, n)
			told = n
		}
	}
	nr := p.im.nr
	if transB {
		for j := range p.panelCount() {
			p.packPanel(dst, b, true, j, j)
			packed(min((j+1)*nr, p.n) * p.k)
		}
		return
	}
	rows := max(1, packLen/max(1, p.n))
	for r := 0; r < p.k; r += rows {
		end := min(r+rows, p.k)
		for j := range p.panelCount() {
			p.packRows(dst[j*p.k*nr:], b, j, r, end)
		}
		packed(end * p.n)
	}
}

// packRows packs the rows from r to end of panel j of b, [K][N], to those of the panel dst.
func (p *product) packRows(dst, b []float32, j, r, end int) {
	nr := p.im.nr
	n := min(nr, p.n-j*nr)
	for ; r < end; r++ {
		copy(dst[r*nr:], b[r*p.n+j*nr:][:n])
	}
}

// packPanel packs panel j of b, [K][N] or, if transB, [N][K], as panel to of dst.
func (p *product) packPanel(dst, b []float32, transB bool, j, to int) {
	nr := p.im.nr
	n := min(nr, p.n-j*nr)
	dst = dst[to*p.k*nr:][:p.k*nr]
	if n < nr {
		clear(dst)
	}
	if transB {
		reorder.Transpose(dst, nr, b[j*nr*p.k:], p.k, n, p.k)
		return
	}
	p.packRows(dst, b, j, 0, p.k)
}

// at returns panel j from row row on, and the distance of its rows.
func (b *panels) at(j, row, last, nr int) ([]float32, int) {
	if b.tail != nil && j == last {
		return b.tail[row*nr:], nr
	}
	return b.data[j*b.panel+row*b.step:], b.step
}

// run computes one chunk of C.
func (p *product) run(chunk int, scratch, a []float32, b panels, res, c []float32) {
	i0, j0 := chunk/p.colChunks*p.rows, chunk%p.colChunks*p.cols
	m := min(p.rows, p.m-i0)
	j1 := min(j0+p.cols, p.panelCount())
	nr, last := p.im.nr, p.panelCount()-1
	c = c[i0*p.n:]
	if p.res {
		res = res[i0*p.n:]
	}
	for k0, done := 0, false; !done; k0 += p.kBlock {
		t := tile{k: min(p.kBlock, p.k-k0), lo: -inf, hi: inf, ahead: b.panel}
		t.fetch = ceil(unroll*4*b.step, ceil(m, p.im.form(m, nr).mr))
		if m <= p.im.rows() {
			t.ahead = streamAhead * b.step
		}
		if done = k0+t.k == p.k; done {
			t.lo, t.hi = p.lo, p.hi
		}
		if p.copyA {
			p.copyBlock(scratch[p.sums:], a, i0, m, k0, t.k)
			t.a, t.lda = scratch[p.sums:], p.ldCopy
		} else {
			t.a, t.lda = a[i0*p.k+k0:], p.k
		}
		for j := j0; j < j1; {
			t.n = min(nr, p.n-j*nr)
			t.c, t.ldc = c[j*nr:], p.n
			sums, ldSums := t.c, p.n
			if p.sums > 0 {
				sums, ldSums = scratch[(j-j0)*p.rows*nr:], nr
			}
			if !done {
				t.c, t.ldc = sums, ldSums
			}
			switch {
			case k0 > 0:
				t.init, t.ldi = sums, ldSums
			case p.bias != nil:
				t.init, t.ldi = p.bias[j*nr:], 0
			default:
				t.init, t.ldi = zeros[:], 0
			}
			if done && p.res {
				t.res = res[j*nr:]
			}
			t.b, t.ldb = b.at(j, k0, last, nr)
			if m == 1 && p.im.row != nil && p.n-j*nr >= p.im.panels*nr && j+p.im.panels <= j1 {
				p.im.row(t.k, t.a, t.b, t.ldb, b.panel, t.c, t.init, t.res, t.lo, t.hi)
				j += p.im.panels
				continue
			}
			p.columns(m, t)
			j++
		}
	}
}

// copyBlock copies rows i0 … i0+m-1 and columns k0 … k0+k-1 of A to dst.
func (p *product) copyBlock(dst, a []float32, i0, m, k0, k int) {
	if k == 0 {
		return
	}
	if p.transA {
		reorder.Transpose(dst, p.ldCopy, a[k0*p.m+i0:], p.m, k, m)
		return
	}
	for i := range m {
		copy(dst[i*p.ldCopy:], a[(i0+i)*p.k+k0:][:k])
	}
}

// columns computes one panel's m rows, in tiles as wide as can be.
func (p *product) columns(m int, t tile) {
	for n := t.n; n > 0; {
		f := p.im.form(m, n)
		t.n = min(n, f.nr)
		f.strips(m, t)
		n -= t.n
		t.b, t.c, t.init, t.res = after(t.b, t.n), after(t.c, t.n), after(t.init, t.n), after(t.res, t.n)
	}
}

// strips computes m rows, in strips of at most mr rows. Where the rest is small it shares the last full strip's rows
// evenly, since a strip of few rows does not fill the multipliers.
func (f *form) strips(m int, t tile) {
	full, rest := m/f.mr, m%f.mr
	if full > 0 && rest > 0 && rest <= f.mr/2 {
		full--
		rest += f.mr
	}
	if full > 0 {
		t.run(f.tiles[f.mr], full*f.mr)
	}
	for rest > f.mr {
		r := (rest + 1) / 2
		t.run(f.tiles[r], r)
		rest -= r
	}
	if rest > 0 {
		t.run(f.tiles[rest], rest)
	}
}

// tile holds the arguments of a micro-kernel's next call.
type tile struct {
	n, k      int
	a, b, c   []float32
	lda, ldb  int
	ahead     int
	fetch     int
	ldc, ldi  int
	init, res []float32
	lo, hi    float32
}

// run computes the next m rows and moves on behind them.
func (t *tile) run(f tileFunc, m int) {
	f(m, t.n, t.k, t.a, t.lda, t.b, t.ldb, t.ahead, t.fetch, t.c, t.ldc, t.init, t.ldi, t.res, t.lo, t.hi)
	t.a, t.c, t.init = after(t.a, m*t.lda), after(t.c, m*t.ldc), after(t.init, m*t.ldi)
	t.res = after(t.res, m*t.ldc)
}

// after returns x from n on, nothing if x ends before.
func after(x []float32, n int) []float32 { return x[min(n, len(x)):] }

var inf = float32(math.Inf(1))

// zeros is what sums start from where there is no bias: as many as the widest micro-kernel has columns.
var zeros [128]float32

func ceil(a, b int) int { return (a + b - 1) / b }

// need panics if a slice called name has fewer than want values.
func need(name string, got, want int) {
	if got < want {
		panic(fmt.Sprintf("gemm: %s has %d values, want %d", name, got, want))
	}
}
