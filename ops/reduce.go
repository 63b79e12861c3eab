package ops

import (
	"fmt"
	"slices"
	"unsafe"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// reduce is y = x with the elements along axes made one by one of the kernels.
//
//	x: one of the types of the kernels, or float16 or bfloat16; any shape
//	axes: an attribute, or the constant input 1 in newer opsets; if omitted
//	      or empty, all dimensions, or none with noop_with_empty_axes
//	y: x's type; x's shape with length 1 along axes, or with keepdims = 0
//	   without those dimensions
//
// In which order elements are taken together depends on nothing but shape and
// axes, so the bits do not depend on the layout.
//
// Source: ONNX Reduce*-1, -11, -12, -13, -18, -20.
type reduce struct {
	name    string
	axes    axesParam
	keep    bool
	noop    bool
	zero    bool // zeros give zero
	spatial bool // all dimensions but the first two are reduced, whatever axes says
	kernels reducers
}

// reducers are the kernels of a reduction, by element type.
type reducers map[tensor.DType]func(p reduction) graph.Kernel

// registerReduction registers the reduction called name; zero says that it
// makes zero of zeros.
func registerReduction(name string, zero bool, kernels reducers) {
	input := 18 // the opset that made the axes an input
	if name == "ReduceSum" {
		input = 13
	}
	register(name, 1, func(a *Attrs) graph.Op {
		return reduce{name: name, axes: axesParam{attr: a.Ints("axes")}, keep: a.Int("keepdims", 1) != 0, zero: zero, kernels: kernels}
	})
	register(name, input, func(a *Attrs) graph.Op {
		keep, noop := a.Int("keepdims", 1) != 0, a.Int("noop_with_empty_axes", 0) != 0
		return reduce{name: name, axes: axesParam{input: true}, keep: keep, noop: noop, zero: zero, kernels: kernels}
	})
}

func (r reduce) String() string { return r.name }

// set marks the dimensions of x that are reduced.
func (r reduce) set(in []graph.Fact) ([]bool, error) {
	if r.spatial {
		set := make([]bool, len(in[0].Shape))
		for i := range set {
			set[i] = i >= 2
		}
		return set, checkRank(in[0])
	}
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
	if d := halfType(in); d.Valid() {
		return inferHalf(r, d, in)
	}
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
func (r reduce) FLOPs(in, out []graph.Fact) int64 { return flops(in[0].Shape...) }

// Layouts keeps NCHW16c where just the spatial dimensions are reduced, if the
// result lies in that layout too, or without them as the channels lie.
func (r reduce) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, len(in)), make([]graph.Layout, len(out))
	set, err := r.set(in)
	if err != nil || in[0].Layout != (nchw16c{}) || set[0] || set[1] || slices.Contains(set[2:], false) {
		return want, give
	}
	switch {
	case r.keep && (r.zero || fullBlocks(in[0].Shape)):
		want[0], give[0] = nchw16c{}, nchw16c{}
	case !r.keep && fullBlocks(in[0].Shape):
		want[0] = nchw16c{}
	}
	return want, give
}

func (r reduce) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(r, d, in, out)
	}
	set, err := r.set(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	p := planOf(in[0].Shape, set)
	if in[0].Layout != nil {
		p = spatial(stored(in[0]))
	}
	return r.kernels[in[0].DType](p), nil
}

// reduction says which elements of x make each element of y. Where the
// innermost dimension of x is reduced, or laid out so that it could be, an
// item is an element of y and a run is what is taken into it at once; else an
// item is a run of elements of y.
type reduction struct {
	kept   nest // over items
	gone   nest // over what is reduced, but for runs into one element
	run    int  // length
	step   int  // distance of the elements of a run in x
	single bool // a run is taken into one element
	count  int  // elements of x for each of y
	elems  int  // of y
}

// planOf joins the dimensions of x that are next to each other and either all
// reduced or all kept.
func planOf(x tensor.Shape, set []bool) reduction {
	var dims []int
	var gone []bool
	p := reduction{count: 1, elems: 1, step: 1}
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
	p.run, p.single = dims[last], gone[last]
	for i, d := range dims[:last] {
		stride := tensor.Shape(dims[i+1:]).Elems()
		if gone[i] {
			p.gone.add(d, stride)
		} else {
			p.kept.add(d, stride)
		}
	}
	return p
}

// spatial is the plan for the spatial dimensions of memory of the shape
// [N, blocks, ..., lanes]. It takes elements together as planOf's plan for
// row-major memory does.
func spatial(x tensor.Shape) reduction {
	planes, positions := x[0]*x[1], x[2:len(x)-1].Elems()
	p := reduction{run: positions, step: lanes, single: true, count: positions, elems: planes * lanes}
	p.kept.add(planes, positions*lanes)
	p.kept.add(lanes, 1)
	return p
}

// fold says how a reduction treats elements of type T, with intermediate
// results of type A, which hold no pointers.
type fold[T tensor.Elem, A any] struct {
	start A
	run   func(acc A, x []T, n, step int) A // takes n elements of x, step apart, into one result
	each  func(acc []A, x []T)              // takes element i of x into result i
	end   func(acc A, count int) T          // what count elements give in the end

	// lanes, if not nil, sets each result to what run makes of start and a lane of x, which is rows of that many lanes.
	lanes func(acc *[lanes]A, x []T)
}

// oneByOne is the fold that takes in one element after the other.
func oneByOne[T tensor.Elem, A any](start A, take func(acc A, v T) A, end func(acc A, count int) T) fold[T, A] {
	return fold[T, A]{start: start, end: end,
		run: func(acc A, x []T, n, step int) A {
			for i := range n {
				acc = take(acc, x[i*step])
			}
			return acc
		},
		each: func(acc []A, x []T) {
			for i, v := range x {
				acc[i] = take(acc[i], v)
			}
		}}
}

const (
	// foldBlock bounds the results that are made at once.
	foldBlock = 512
	// foldTime is about how many nanoseconds the taking in of one element takes.
	foldTime = 1
)

// foldKernel is the kernel of a reduction. Items are shared among workers,
// what makes one item is not.
func foldKernel[T tensor.Elem, A any](p reduction, f fold[T, A]) graph.Kernel {
	if p.elems == 0 {
		return graph.Kernel{Info: "empty"}
	}
	if p.single {
		if p.step == lanes && f.lanes != nil {
			return foldLanes(p, f)
		}
		return foldRuns(p, f)
	}
	return foldBlocks(p, f)
}

func foldRuns[T tensor.Elem, A any](p reduction, f fold[T, A]) graph.Kernel {
	count := chunks(p.elems, foldTime*float64(p.count))
	return graph.Kernel{Info: "runs", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := tensor.Cast[T](in[0].Raw), tensor.Cast[T](out[0].Raw)
		lo, hi := span(p.elems, count, i, 1)
		for k := lo; k < hi; k++ {
			acc := f.start
			at := p.kept.at(k)
			for j := range p.gone.size() {
				acc = f.run(acc, x[at+p.gone.at(j):], p.run, p.step)
			}
			y[k] = f.end(acc, p.count)
		}
		return nil
	}}}}
}

// foldLanes is foldRuns for the spatial dimensions of NCHW16c, a block at a time.
func foldLanes[T tensor.Elem, A any](p reduction, f fold[T, A]) graph.Kernel {
	blocks := p.elems / lanes
	count := chunks(blocks, foldTime/2*float64(p.count)*lanes)
	scratch := lanes * int(unsafe.Sizeof(f.start))
	return graph.Kernel{Info: "lanes", Scratch: scratch, Steps: []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := tensor.Cast[T](in[0].Raw), tensor.Cast[T](out[0].Raw)
		lo, hi := span(blocks, count, i, 1)
		for b := lo; b < hi; b++ {
			acc := (*[lanes]A)(unsafe.Pointer(&e.Scratch[0]))
			f.lanes(acc, x[b*p.run*lanes:][:p.run*lanes])
			for l, a := range acc {
				y[b*lanes+l] = f.end(a, p.count)
			}
		}
		return nil
	}}}}
}

func foldBlocks[T tensor.Elem, A any](p reduction, f fold[T, A]) graph.Kernel {
	blocks := ceil(p.run, foldBlock)
	items := p.kept.size() * blocks
	count := chunks(items, foldTime*float64(p.count)*float64(min(p.run, foldBlock)))
	var zero A
	scratch := foldBlock * int(unsafe.Sizeof(zero))
	return graph.Kernel{Info: "blocks", Scratch: scratch, Steps: []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := tensor.Cast[T](in[0].Raw), tensor.Cast[T](out[0].Raw)
		lo, hi := span(items, count, i, 1)
		for k := lo; k < hi; k++ {
			item, start := k/blocks, k%blocks*foldBlock
			n := min(foldBlock, p.run-start)
			acc := unsafe.Slice((*A)(unsafe.Pointer(&e.Scratch[0])), n)
			for c := range acc {
				acc[c] = f.start
			}
			at := p.kept.at(item) + start
			for j := range p.gone.size() {
				f.each(acc, x[at+p.gone.at(j):][:n])
			}
			for c, a := range acc {
				y[item*p.run+start+c] = f.end(a, p.count)
			}
		}
		return nil
	}}}}
}
