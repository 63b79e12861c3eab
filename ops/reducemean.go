package ops

import (
	"fmt"
	"slices"
	"unsafe"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	mean := func(a *Attrs, axes axesParam, noop bool) graph.Op {
		return reduce{"ReduceMean", axes, a.Int("keepdims", 1) != 0, noop, means}
	}
	register("ReduceMean", 1, func(a *Attrs) graph.Op {
		return mean(a, axesParam{attr: a.Ints("axes")}, false)
	})
	register("ReduceMean", 18, func(a *Attrs) graph.Op {
		return mean(a, axesParam{input: true}, a.Int("noop_with_empty_axes", 0) != 0)
	})
}

// means are the kernels of ReduceMean. Floating point is summed in float64,
// integers modulo 2^64; the mean of integers drops the fraction, and that of
// none is NaN, or 0 for integers.
var means = map[tensor.DType]func(p reduction) graph.Kernel{
	tensor.Float32: floatMean[float32],
	tensor.Float64: floatMean[float64],
	tensor.Int32:   integerMean[int32, int64],
	tensor.Int64:   integerMean[int64, int64],
	tensor.Uint32:  integerMean[uint32, uint64],
	tensor.Uint64:  integerMean[uint64, uint64],
}

func floatMean[T float32 | float64](p reduction) graph.Kernel {
	return foldKernel(p, fold[T, float64]{sumRun[T, float64], sumEach[T, float64], func(sum float64, n int) T {
		return T(sum / float64(n))
	}})
}

func integerMean[T, A integer](p reduction) graph.Kernel {
	return foldKernel(p, fold[T, A]{sumRun[T, A], sumEach[T, A], func(sum A, n int) T {
		if n == 0 {
			return 0
		}
		return T(sum / A(n))
	}})
}

// sumRun adds the elements of x to acc. Element i is part of sum i%8; the
// eight sums are added in pairs, so that they need not wait for each other.
func sumRun[T, A number](acc A, x []T) A {
	var s [8]A
	for ; len(x) >= len(s); x = x[len(s):] {
		s[0] += A(x[0])
		s[1] += A(x[1])
		s[2] += A(x[2])
		s[3] += A(x[3])
		s[4] += A(x[4])
		s[5] += A(x[5])
		s[6] += A(x[6])
		s[7] += A(x[7])
	}
	for i, v := range x {
		s[i] += A(v)
	}
	return acc + (((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7])))
}

// sumEach adds the elements of x to those of acc.
func sumEach[T, A number](acc []A, x []T) {
	for i, v := range x {
		acc[i] += A(v)
	}
}

// reduce is y = x with the elements along axes made one.
//
//	x: int32, int64, uint32, uint64, f32 or f64, any shape
//	axes: an attribute, or the constant input 1 in newer opsets; if omitted
//	      or empty, all dimensions, or none with noop_with_empty_axes
//	y: x's type; x's shape with length 1 along axes, or with keepdims = 0
//	   without those dimensions
//
// The order of the additions depends on nothing but shape and axes.
//
// Source: ONNX ReduceMean-1, -11, -13, -18.
type reduce struct {
	name    string
	axes    axesParam
	keep    bool
	noop    bool
	kernels map[tensor.DType]func(p reduction) graph.Kernel
}

func (r reduce) String() string { return r.name }

// set marks the dimensions of x that are reduced.
func (r reduce) set(in []graph.Fact) ([]bool, error) {
	list, err := r.axes.list(in)
	if err != nil {
		return nil, err
	}
	if len(list) > 0 {
		return axisSet(list, len(in[0].Shape))
	}
	set := make([]bool, len(in[0].Shape))
	for i := range set {
		set[i] = !r.noop
	}
	return set, nil
}

func (r reduce) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, r.axes.inputs()); err != nil {
		return nil, err
	}
	x := in[0]
	if r.kernels[x.DType] == nil {
		return nil, fmt.Errorf("%w element type %v", ErrUnsupported, x.DType)
	}
	set, err := r.set(in)
	if err != nil {
		return nil, err
	}
	shape := tensor.Shape{}
	for i, d := range x.Shape {
		switch {
		case !set[i]:
			shape = append(shape, d)
		case r.keep:
			shape = append(shape, 1)
		}
	}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: shape}}}, nil
}

// FLOPs counts an operation for each element of x.
func (r reduce) FLOPs(in, out []graph.Fact) int { return in[0].Shape.Elems() }

func (r reduce) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	set, err := r.set(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	if !slices.Contains(set, true) {
		return view, nil
	}
	return r.kernels[in[0].DType](plan(in[0].Shape, set)), nil
}

// reduction says which elements of x make each element of y. An item is an
// element of y, or, where the innermost dimension of x is kept, a block of it.
type reduction struct {
	kept  nest // the items' dimensions with their strides in x
	gone  nest // the dimensions that are reduced with their strides in x
	run   int  // length of the innermost dimension
	flat  bool // the innermost dimension is reduced; it is not in gone
	count int  // elements of x for each of y
	elems int  // of y
}

// foldBlock is the number of elements of y that are made at once where the
// innermost dimension is kept.
const foldBlock = 512

// plan joins the dimensions of x that are next to each other and either all
// reduced or all kept.
func plan(x tensor.Shape, set []bool) reduction {
	var dims []int
	var gone []bool
	p := reduction{count: 1, elems: 1}
	for i, d := range x {
		if set[i] {
			p.count *= d
		} else {
			p.elems *= d
		}
		if last := len(dims) - 1; last >= 0 && gone[last] == set[i] {
			dims[last] *= d
		} else if d != 1 {
			dims, gone = append(dims, d), append(gone, set[i])
		}
	}
	if len(dims) == 0 {
		dims, gone = []int{1}, []bool{true}
	}
	last := len(dims) - 1
	p.run, p.flat = dims[last], gone[last]
	for i, d := range dims[:last] {
		stride := tensor.Shape(dims[i+1:]).Elems()
		if gone[i] {
			p.gone.add(d, stride, 0)
		} else {
			p.kept.add(d, stride, 0)
		}
	}
	return p
}

// fold says how a reduction treats elements of type T, with intermediate
// results of type A that begin as zero.
type fold[T, A number] struct {
	run  func(acc A, x []T) A     // takes elements of x into one result
	each func(acc []A, x []T)     // takes element i of x into result i
	end  func(acc A, count int) T // what count elements give in the end
}

// foldKernel is the kernel of a reduction. Items are shared among workers,
// what makes one item is not.
func foldKernel[T, A number](p reduction, f fold[T, A]) graph.Kernel {
	if p.elems == 0 {
		return graph.Kernel{Info: "empty"}
	}
	const foldTime = 0.5 // nanoseconds an element, about
	if p.flat {
		count := chunks(p.elems, foldTime*float64(p.count))
		return graph.Kernel{Info: "runs", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
			x, y := tensor.Cast[T](in[0].Raw), tensor.Cast[T](out[0].Raw)
			lo, hi := span(p.elems, count, i, 1)
			for k := lo; k < hi; k++ {
				at, _ := p.kept.at(k)
				var acc A
				for j := range p.gone.size() {
					off, _ := p.gone.at(j)
					acc = f.run(acc, x[at+off:at+off+p.run])
				}
				y[k] = f.end(acc, p.count)
			}
			return nil
		}}}}
	}
	blocks := ceil(p.run, foldBlock)
	items := p.kept.size() * blocks
	count := chunks(items, foldTime*float64(p.count)*float64(min(p.run, foldBlock)))
	var zero A
	size := foldBlock * int(unsafe.Sizeof(zero))
	return graph.Kernel{Info: "blocks", Scratch: size, Steps: []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := tensor.Cast[T](in[0].Raw), tensor.Cast[T](out[0].Raw)
		lo, hi := span(items, count, i, 1)
		for k := lo; k < hi; k++ {
			at, _ := p.kept.at(k / blocks)
			start := k % blocks * foldBlock
			n := min(foldBlock, p.run-start)
			acc := tensor.Cast[A](e.Scratch)[:n]
			clear(acc)
			for j := range p.gone.size() {
				off, _ := p.gone.at(j)
				off += at + start
				f.each(acc, x[off:off+n])
			}
			for c, a := range acc {
				y[k/blocks*p.run+start+c] = f.end(a, p.count)
			}
		}
		return nil
	}}}}
}
