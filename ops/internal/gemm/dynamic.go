package gemm

import "fmt"

// Dynamic is C = clamp(A·B + bias + residual) for a batch of products whose B is known only at run time. It is
// immutable; concurrent Runs with different memory are allowed.
type Dynamic struct {
	product
	batch            int
	transB           bool
	strideA, strideB int

	pack       bool // B goes through Temp, whole
	packTail   bool // only its last panel does, which is not a full one
	packChunks int  // for one B
	packCols   int  // panels of each
}

// packWork is the number of values to pack that make a chunk worth its start.
const packWork = 1 << 16

// NewDynamic returns the kernel of batch products of A, [M][K] row-major or, if transA, [K][M], with B, [K][N] or, if
// transB, [N][K]. Matrix i of A begins at element i·strideA, that of B at i·strideB; a stride of 0 uses one matrix for
// all. C is [batch][M][N] without gaps. Any size may be 0. It keeps nothing of e.Bias and panics if a size or stride
// is negative or the bias is too short.
func NewDynamic(batch, M, N, K int, transA, transB bool, strideA, strideB int, e Epilogue) *Dynamic {
	return newDynamic(best, batch, M, N, K, transA, transB, strideA, strideB, e)
}

func newDynamic(im *impl, batch, m, n, k int, transA, transB bool, strideA, strideB int, e Epilogue) *Dynamic {
	if strideA < 0 || strideB < 0 {
		panic(fmt.Sprintf("gemm: strides %d and %d, want none negative", strideA, strideB))
	}
	d := &Dynamic{
		product: newProduct(im, batch, m, n, k, transA && m > 1, e),
		batch:   batch, transB: transB && n > 1, strideA: strideA, strideB: strideB,
	}
	// A B whose every panel is used by one strip of rows only is read where it is.
	d.pack = d.transB || m > im.rows() || k == 0
	d.packTail = !d.pack && n%im.nr != 0
	if batch*m*n*k > 0 && (d.pack || d.packTail) {
		d.packCols = min(d.packPanels(), max(1, packWork/(k*im.nr)))
		d.packChunks = ceil(d.packPanels(), d.packCols)
	}
	return d
}

// packPanels returns how many panels of one B are packed.
func (d *Dynamic) packPanels() int {
	switch {
	case d.pack:
		return d.panelCount()
	case d.packTail:
		return 1
	}
	return 0
}

// bCount returns the number of different B.
func (d *Dynamic) bCount() int {
	if d.strideB == 0 {
		return min(1, d.batch)
	}
	return d.batch
}

// Info describes the kernel for plan dumps: its micro-kernel and the sizes.
func (d *Dynamic) Info() string {
	return fmt.Sprintf("gemm dynamic %s %dx%dx%dx%d", d.im.name, d.batch, d.m, d.n, d.k)
}

// Temp returns how many float32s of memory, shared by all chunks of a run, Run wants.
func (d *Dynamic) Temp() int { return d.bCount() * d.tempLen() }

// tempLen returns the length of the packed panels of one B.
func (d *Dynamic) tempLen() int { return d.packPanels() * d.k * d.im.nr }

// Scratch returns how many float32s of memory of its own each concurrently running chunk wants.
func (d *Dynamic) Scratch() int { return d.scratch }

// Steps returns the number of steps of a run: two if B is packed first.
func (d *Dynamic) Steps() int {
	if d.packChunks > 0 {
		return 2
	}
	return 1
}

// Chunks returns the number of chunks of a step. It does not depend on the number of threads.
func (d *Dynamic) Chunks(step int) int {
	if step < d.Steps()-1 {
		return d.bCount() * d.packChunks
	}
	return d.batch * d.rowChunks * d.colChunks
}

// Run computes one chunk of one step; every chunk of a step must be done before the next step begins. temp has Temp()
// values that keep what the steps leave in them. a, b and c are as NewDynamic says; res is [batch][M][N] if the
// epilogue has a residual and is not looked at otherwise; none of them may overlap c. scratch has Scratch() values
// that no other running chunk uses. It allocates nothing and panics if a slice is too short.
func (d *Dynamic) Run(step, chunk int, temp, scratch, a, b, res, c []float32) {
	last := d.batch - 1
	need("temp", len(temp), d.Temp())
	need("a", len(a), last*d.strideA+d.m*d.k)
	need("b", len(b), last*d.strideB+d.k*d.n)
	d.check(scratch, res, c, d.batch)
	if step < d.Steps()-1 {
		d.packChunk(chunk, temp, b)
		return
	}
	chunks := d.rowChunks * d.colChunks
	i := chunk / chunks
	if d.res {
		res = res[i*d.m*d.n:]
	}
	d.run(chunk%chunks, scratch, a[i*d.strideA:], d.panels(i, temp, b), res, c[i*d.m*d.n:])
}

// packChunk packs some panels of one B.
func (d *Dynamic) packChunk(chunk int, temp, b []float32) {
	i, j0 := chunk/d.packChunks, chunk%d.packChunks*d.packCols
	temp, b = temp[i*d.tempLen():], b[i*d.strideB:]
	if d.packTail {
		d.packPanel(temp, b, d.transB, d.panelCount()-1, 0)
		return
	}
	for j := j0; j < min(j0+d.packCols, d.panelCount()); j++ {
		d.packPanel(temp, b, d.transB, j, j)
	}
}

// panels returns the panels of product i.
func (d *Dynamic) panels(i int, temp, b []float32) panels {
	at := 0
	if d.strideB > 0 {
		at = i
	}
	temp = temp[at*d.tempLen():]
	if d.pack {
		return d.packed(temp)
	}
	p := panels{data: b[at*d.strideB:], panel: d.im.nr, step: d.n}
	if d.packTail {
		p.tail = temp
	}
	return p
}
