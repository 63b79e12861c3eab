package qconv

import "scission/ops/internal/conv"

// Product is y = a*b of matrices of quantised values, for each of a batch: a is [m k] and b is [k n] of bytes, row-major
// without gaps, and y is [m n]. It is a convolution of m pixels with k channels, so the sums are exact, and the
// Epilogue, whose channels are columns, is what becomes of them.
//
// It is immutable; any number of threads may call it.
type Product struct {
	kernel  *Kernel
	batch   int
	m, n, k int
	fixed   bool // b is packed
	packs   int  // chunks of the packing of a matrix a,
	packsB  int  // and of b
}

// packLen is the elements of a chunk of packing.
const packLen = 1 << 14

// AcceptsProduct reports whether NewProduct takes the sizes.
func AcceptsProduct(batch, m, n, k int) bool {
	h, w, d := float64(m+Block), float64(n+Block), float64(k+Block)
	return batch >= 1 && m >= 1 && n >= 1 && k >= 1 && float64(batch)*(h*d+d*w+h*w) < maxProduct && Accepts(productShape(m, n, k), Block)
}

// maxProduct bounds the elements of what is packed.
const maxProduct = 1 << 29

func productShape(m, n, k int) conv.Shape {
	return conv.Shape{N: 1, IC: k, IH: 1, IW: m, OC: n, OH: 1, OW: m, KH: 1, KW: 1, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1}
}

// NewProduct makes the product for the best implementation that this machine has. b holds the integers of one matrix
// less their zero point, which is packed, or is nil if matrices come with the run. AcceptsProduct must hold, and the
// Epilogue has no Residual.
func NewProduct(batch, m, n, k int, b []int16, e Epilogue) *Product {
	return newProduct(best(), batch, m, n, k, b, e)
}

func newProduct(impl *implementation, batch, m, n, k int, b []int16, e Epilogue) *Product {
	turned := make([]int16, n*k)
	for i, v := range b {
		turned[i%n*k+i/n] = v
	}
	e.anyMul = true
	p := &Product{kernel: newKernel(impl, productShape(m, n, k), Block, turned, e), batch: batch, m: m, n: n, k: k, fixed: b != nil}
	p.packs = max(1, min(maxChunks, m*k/packLen))
	if !p.fixed {
		p.kernel.weights = p.kernel.weights[:0:0]
		p.packsB = max(1, min(maxChunks, n*k/packLen, p.kernel.blocks))
	}
	return p
}

// Info names the implementation as Kernel.Info does.
func (p *Product) Info() string { return "int8 gemm " + p.kernel.impl.String() }

// Values returns the int16s, and Results the elements of the result, of the memory that all steps of one run share.
func (p *Product) Values() int {
	n := p.lenA()
	if !p.fixed {
		n += p.lenB()
	}
	return p.batch * n
}

// Results: see Values.
func (p *Product) Results() int { return p.batch * p.lenY() }

func (p *Product) lenA() int { return p.kernel.planes * p.m * Block }
func (p *Product) lenB() int { return p.kernel.blocks * p.taps() * run * Block }
func (p *Product) lenY() int { return p.kernel.blocks * p.m * Block }
func (p *Product) taps() int { return len(p.kernel.taps) }

// Channels returns the elements of memory that SetChannels fills.
func (p *Product) Channels() int { return len(p.kernel.epi) }

// SetChannels puts factors of a run, one for each column or one for all, in the place of Epilogue.Mul. epi has Channels
// elements.
func (p *Product) SetChannels(epi, mul []float32) {
	copy(epi, p.kernel.epi)
	for c := range p.n {
		epi[p.kernel.channelAt(c, epilogueMul)] = mul[min(c, len(mul)-1)]
	}
}

// Steps returns the number of phases of a run. All chunks of one end before the next begins.
func (p *Product) Steps() int { return 2 }

// Chunks returns the number of pieces of a step, which may run in any order and at once.
func (p *Product) Chunks(step int) int {
	if step == 0 {
		return p.batch * (p.packs + p.packsB)
	}
	return p.batch * p.kernel.Chunks(0)
}

// Bytes are the elements of the matrices of an operand, int8 if Signed, else uint8, with a zero point. There may be fewer
// matrices than products, which then begin anew with the first.
type Bytes struct {
	Of     []byte
	Signed bool
	Zero   int
}

// ProductOut is where results go, in blocks of 16 columns in memory of the run and from there row-major: Wide, Sums, or,
// if the epilogue quantises, Bytes with Zero added to them.
type ProductOut struct {
	Blocks Out
	Wide   []float32
	Sums   []int32
	Bytes  []byte
	Zero   int
}

// Run does one chunk of one step. values is the run's memory of Values elements, out.Blocks that of Results. b is not read
// if it was packed. epi is what SetChannels has filled, or nil. It allocates nothing and keeps nothing.
func (p *Product) Run(step, chunk int, values []int16, epi []float32, a, b Bytes, out *ProductOut) {
	values = values[:p.Values()]
	if step == 0 {
		at, part := chunk/(p.packs+p.packsB), chunk%(p.packs+p.packsB)
		if part < p.packs {
			x := a.Of[at%(len(a.Of)/(p.m*p.k))*p.m*p.k:][:p.m*p.k]
			p.packA(values[at*p.lenA():][:p.lenA()], x, a, p.m*part/p.packs, p.m*(part+1)/p.packs)
			return
		}
		part -= p.packs
		x := b.Of[at%(len(b.Of)/(p.n*p.k))*p.n*p.k:][:p.n*p.k]
		blocks := p.kernel.blocks
		for i := blocks * part / p.packsB; i < blocks*(part+1)/p.packsB; i++ {
			size := p.lenB() / blocks
			p.packB(values[p.batch*p.lenA()+at*p.lenB()+i*size:][:size], x, b, i)
		}
		return
	}
	pieces := p.kernel.Chunks(0)
	at, part := chunk/pieces, chunk%pieces
	weights := p.kernel.weights
	if !p.fixed {
		weights = values[p.batch*p.lenA()+at*p.lenB():][:p.lenB()]
	}
	if epi == nil {
		epi = p.kernel.epi
	}
	y := out.Blocks.from(at * p.lenY())
	k := p.kernel
	set, rows := part%k.sets, part/k.sets
	from, to := rows*k.partSize, min((rows+1)*k.partSize, p.m)
	for block := set * k.setSize; block < min((set+1)*k.setSize, k.blocks); block++ {
		first := (block*p.m + from) * Block
		k.tilesOf(weights[block*(p.lenB()/k.blocks):], epi[block*epilogueLen*Block:], values[at*p.lenA()+from*Block:], nil, y, first, to-from, 1)
		p.finish(block, at*p.m+from, at*p.m+to, y.from(first), out)
	}
}

// packA widens rows from to to of a, to pixels of 16.
func (p *Product) packA(dst []int16, x []byte, a Bytes, from, to int) {
	flip, moved := flipOf(a.Signed, a.Zero)
	const rows = 16 // at a time: what they are written to lies together
	for ; from < to; from += rows {
		n := min(rows, to-from)
		for k := 0; k < p.k; k += Block {
			y := dst[(k/Block*p.m+from)*Block:][:n*Block]
			src := x[from*p.k+k:]
			if p.k-k >= Block && widenAsm != nil {
				_ = src[(n-1)*p.k+Block-1]
				widenAsm(&y[0], &src[0], n, 2*Block, p.k, flip<<8|flip, moved)
				continue
			}
			here := min(Block, p.k-k)
			for r := range n {
				pixel := y[r*Block:][:Block]
				for i, v := range src[r*p.k:][:here] {
					pixel[i] = int16(v^byte(flip)) - moved
				}
				clear(pixel[here:])
			}
		}
	}
}

// packB lays out the columns of a block of b as Kernel.packDense does.
func (p *Product) packB(dst []int16, x []byte, b Bytes, block int) {
	flip, moved := flipOf(b.Signed, b.Zero)
	first := block * Block
	columns := min(Block, p.n-first)
	clear(dst)
	var lanes [Block]int // of columns
	for c := range lanes {
		lanes[c] = c
		if p.kernel.impl.pairs {
			lanes[c] = 2 * p.kernel.lane(c)
		}
	}
	for k := range p.k {
		w := dst[k/run*run*Block:][:run*Block]
		i := k % run
		at := i * Block
		if p.kernel.impl.pairs {
			at = i/2*2*Block + i%2
		}
		for c, v := range x[k*p.n+first:][:columns] {
			w[at+lanes[c]] = int16(v^byte(flip)) - moved
		}
	}
}

// finish moves rows from to to of a block of columns to where they belong.
func (p *Product) finish(block, from, to int, y Out, out *ProductOut) {
	first := block * Block
	columns := min(Block, p.n-first)
	switch {
	case y.Narrow != nil:
		if columns == Block && narrowAsm != nil && to > from {
			x, z := out.Bytes[from*p.n+first:], y.Narrow[:(to-from)*Block]
			_ = x[(to-from-1)*p.n+Block-1]
			narrowAsm(&x[0], &z[0], to-from, p.n, int16(out.Zero))
			return
		}
		for r := from; r < to; r++ {
			Narrow(out.Bytes[r*p.n+first:][:columns], y.Narrow[(r-from)*Block:][:columns], out.Zero)
		}
	case y.Sums != nil:
		for r := from; r < to; r++ {
			copy(out.Sums[r*p.n+first:][:columns], y.Sums[(r-from)*Block:])
		}
	default:
		for r := from; r < to; r++ {
			copy(out.Wide[r*p.n+first:][:columns], y.Wide[(r-from)*Block:])
		}
	}
}
