package reorder

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"
)

// Kernel permutes the dimensions of a row-major tensor. It is immutable; concurrent Runs are allowed.
type Kernel struct {
	im           *impl
	shape, perm  []int
	size         int // bytes of an element
	total        int // elements
	outer        []dim
	rows, cols   int // of the matrix that each index of outer has: elements (r, c) is in[r*ss+c] and out[c*ds+r]
	ss, ds       int
	items, split int // in one chunk: indices of outer, and cols
	splits       int // chunks that share the cols of one item
}

// dim is a dimension of the output.
type dim struct{ n, in, out int } // size, and distances in elements

// chunkBytes is the amount of output that makes a chunk worth its start.
const chunkBytes = 1 << 15

// New returns the kernel that permutes a tensor of the given shape with elements of size bytes: dimension d of the
// output is dimension perm[d] of the input. It keeps neither shape nor perm and panics unless perm is a permutation of
// the dimensions, none of them negative, and size is positive.
func New(shape, perm []int, size int) *Kernel { return newKernel(best, shape, perm, size) }

func newKernel(im *impl, shape, perm []int, size int) *Kernel {
	k := &Kernel{im: im, shape: slices.Clone(shape), perm: slices.Clone(perm), size: size, total: 1}
	for d, n := range shape {
		if n < 0 || len(perm) != len(shape) || !slices.Contains(perm, d) {
			panic(fmt.Sprintf("reorder: permutation %v of shape %v, want each of its dimensions once", perm, shape))
		}
		k.total *= n
	}
	if size < 1 {
		panic(fmt.Sprintf("reorder: elements of %d bytes, want at least 1", size))
	}
	if k.total == 0 {
		return k
	}
	if size > 8 || size&(size-1) != 0 {
		// Elements that no register holds are one more dimension, of bytes.
		shape, perm = append(slices.Clone(shape), size), append(slices.Clone(perm), len(perm))
		k.size = 1
		k.total *= size
	}
	k.plan(collapse(shape, perm))
	return k
}

// collapse returns the dimensions of the output with those of size 1 left out and those merged that lie together in
// the input too.
func collapse(shape, perm []int) []dim {
	in := make([]int, len(shape))
	for d, step := len(shape)-1, 1; d >= 0; d-- {
		in[d] = step
		step *= shape[d]
	}
	var dims []dim
	for _, d := range perm {
		last := len(dims) - 1
		switch n := shape[d]; {
		case n == 1:
		case last >= 0 && dims[last].in == n*in[d]:
			dims[last].n *= n
			dims[last].in = in[d]
		default:
			dims = append(dims, dim{n: n, in: in[d]})
		}
	}
	for d, step := len(dims)-1, 1; d >= 0; d-- {
		dims[d].out = step
		step *= dims[d].n
	}
	return dims
}

// plan takes the matrix out of the dimensions, whose columns are the input's innermost dimension and whose rows the
// output's, or a single row where these are the same one, and cuts the work into chunks.
func (k *Kernel) plan(dims []dim) {
	k.rows, k.cols, k.ds = 1, 1, 1
	if last := len(dims) - 1; last >= 0 {
		inner := slices.IndexFunc(dims, func(d dim) bool { return d.in == 1 })
		k.cols, k.ds = dims[inner].n, dims[inner].out
		if inner != last {
			k.rows, k.ss = dims[last].n, dims[last].in
		}
		for i, d := range dims {
			if i != inner && i != last {
				k.outer = append(k.outer, d)
			}
		}
	}
	item := k.rows * k.cols * k.size
	k.items = max(1, chunkBytes/item)
	k.split = max(1, k.cols/max(1, item/chunkBytes)) + tile - 1
	k.split -= k.split % tile
	k.splits = ceil(k.cols, k.split)
}

// Info describes the kernel for plan dumps.
func (k *Kernel) Info() string {
	return fmt.Sprintf("reorder %s %v of %v as %d of %dx%d", k.im.name, k.perm, k.shape, k.outerCount(), k.rows, k.cols)
}

// Temp returns how many float32s of memory, shared by all chunks of a run, Run wants.
func (k *Kernel) Temp() int { return 0 }

// Scratch returns how many float32s of memory of its own each concurrently running chunk wants.
func (k *Kernel) Scratch() int { return 0 }

// Steps returns the number of steps of a run.
func (k *Kernel) Steps() int { return 1 }

// Chunks returns the number of chunks of a step. It does not depend on the number of threads.
func (k *Kernel) Chunks(step int) int {
	if k.total == 0 {
		return 0
	}
	return ceil(k.outerCount(), k.items) * k.splits
}

// outerCount returns how many matrices are transposed.
func (k *Kernel) outerCount() int {
	n := 1
	for _, d := range k.outer {
		n *= d.n
	}
	return n
}

// Run computes one chunk of one step: it copies elements from in to out, both of the tensor's size in bytes, not
// overlapping, and aligned for its elements unless the architecture does without. temp and scratch are not used. It allocates nothing and panics if a slice is
// too short or not aligned.
func (k *Kernel) Run(step, chunk int, temp, scratch []float32, in, out []byte) {
	need("input", len(in), k.total*k.size)
	need("output", len(out), k.total*k.size)
	switch k.size {
	case 1:
		run(k, chunk, in, out, transpose)
	case 2:
		run(k, chunk, view[uint16](in), view[uint16](out), transpose)
	case 4:
		run(k, chunk, view[float32](in), view[float32](out), k.im.run)
	case 8:
		run(k, chunk, view[uint64](in), view[uint64](out), transpose)
	}
}

// maxDims bounds the dimensions of at least two that a tensor in memory can have.
const maxDims = 64

// run transposes the matrices of one chunk.
func run[T any](k *Kernel, chunk int, in, out []T, transpose func(dst []T, ds int, src []T, ss, rows, cols int)) {
	first, c0 := chunk/k.splits*k.items, chunk%k.splits*k.split
	cols := min(k.split, k.cols-c0)
	var at [maxDims]int
	i, o := c0, c0*k.ds
	for d, rest := len(k.outer)-1, first; d >= 0; d-- {
		x := k.outer[d]
		at[d] = rest % x.n
		rest /= x.n
		i += at[d] * x.in
		o += at[d] * x.out
	}
	for n := min(k.items, k.outerCount()-first); n > 0; n-- {
		if k.rows == 1 {
			copy(out[o:o+cols], in[i:])
		} else {
			transpose(out[o:], k.ds, in[i:], k.ss, k.rows, cols)
		}
		for d := len(k.outer) - 1; d >= 0; d-- {
			x := k.outer[d]
			at[d]++
			i += x.in
			o += x.out
			if at[d] < x.n {
				break
			}
			at[d] = 0
			i -= x.n * x.in
			o -= x.n * x.out
		}
	}
}

// anyAlignment says that this architecture reads and writes numbers at any address.
const anyAlignment = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"

// view returns b as values of type T.
func view[T any](b []byte) []T {
	size := int(unsafe.Sizeof(*new(T)))
	p := unsafe.Pointer(unsafe.SliceData(b))
	if !anyAlignment && uintptr(p)%uintptr(size) != 0 {
		panic(fmt.Sprintf("reorder: memory is not aligned to %d bytes", size))
	}
	return unsafe.Slice((*T)(p), len(b)/size)
}

func ceil(a, b int) int { return (a + b - 1) / b }
