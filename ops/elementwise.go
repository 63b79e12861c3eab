package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// perElement returns the kernel that calls do on ranges of the elements of
// out, in the order of their memory and pad lanes included. An element takes
// about ns nanoseconds.
func perElement(info string, out graph.Fact, ns float64, do func(in, out []*tensor.Tensor, lo, hi int) error) graph.Kernel {
	n := out.Bytes() / out.DType.Size()
	count := chunks(n, ns)
	align := tensor.Align / out.DType.Size()
	return graph.Kernel{Info: info, Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(n, count, i, align)
		return do(in, out, lo, hi)
	}}}}
}

// About how many nanoseconds an element takes.
const (
	vectorTime = 0.3 // with vector instructions, from memory near the core
	scalarTime = 1.5 // in a loop in Go
	mathTime   = 15  // with a function of package math
)

// function is a function of one number that an operator applies to each element
// of a tensor.
type function struct {
	ns       float64                 // of an element with f32
	f32      func(dst, x []float32)  // dst may be x; nil stands for f64, rounded
	f64      func(x float64) float64 // for the other floating-point types, rounded to the type
	signed   func(x int64) int64     // for signed integers, of which the low bits are kept
	unsigned func(x uint64) uint64   // for unsigned ones
}

func (f function) kernel(out graph.Fact) graph.Kernel {
	k := f.choose(out)
	k.InPlace = []int{0}
	return k
}

func (f function) choose(out graph.Fact) graph.Kernel {
	switch out.DType {
	case tensor.Float32:
		if f.f32 == nil {
			return mapKernel(out, mathTime, func(x float32) float32 { return float32(f.f64(float64(x))) })
		}
		return perElement("vector", out, f.ns, func(in, out []*tensor.Tensor, lo, hi int) error {
			f.f32(floats(out[0])[lo:hi], floats(in[0])[lo:hi])
			return nil
		})
	case tensor.Float64:
		return mapKernel(out, mathTime, f.f64)
	case tensor.Int8:
		return mapKernel(out, scalarTime, func(x int8) int8 { return int8(f.signed(int64(x))) })
	case tensor.Int16:
		return mapKernel(out, scalarTime, func(x int16) int16 { return int16(f.signed(int64(x))) })
	case tensor.Int32:
		return mapKernel(out, scalarTime, func(x int32) int32 { return int32(f.signed(int64(x))) })
	case tensor.Int64:
		return mapKernel(out, scalarTime, f.signed)
	case tensor.Uint8:
		return mapKernel(out, scalarTime, func(x uint8) uint8 { return uint8(f.unsigned(uint64(x))) })
	case tensor.Uint16:
		return mapKernel(out, scalarTime, func(x uint16) uint16 { return uint16(f.unsigned(uint64(x))) })
	case tensor.Uint32:
		return mapKernel(out, scalarTime, func(x uint32) uint32 { return uint32(f.unsigned(uint64(x))) })
	case tensor.Uint64:
		return mapKernel(out, scalarTime, f.unsigned)
	}
	h := halfOf(out.DType)
	return mapKernel(out, mathTime, func(x uint16) uint16 { return h.store(toOdd(f.f64(float64(h.load(x))))) })
}

// mapKernel is the kernel that applies f to each element of the first input,
// in any layout.
func mapKernel[X, Y tensor.Elem](out graph.Fact, ns float64, f func(x X) Y) graph.Kernel {
	return perElement("generic go", out, ns, func(in, out []*tensor.Tensor, lo, hi int) error {
		x, y := tensor.Cast[X](in[0].Raw), tensor.Cast[Y](out[0].Raw)
		for i := lo; i < hi; i++ {
			y[i] = f(x[i])
		}
		return nil
	})
}

// elementwise is y = f(x), element by element.
//
//	x: one of types, any shape, any layout
//	y: x's type and shape
type elementwise struct {
	function
	name  string // with the attributes
	types []tensor.DType
	zero  bool // f(0) is 0
	work  int  // floating-point operations of an element; 0 counts as 1
}

func (e elementwise) String() string { return e.name }

func (e elementwise) Infer(in []graph.Fact) ([]graph.Fact, error) { return inferSame(in, e.types...) }

func (e elementwise) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return e.kernel(out[0]), nil
}

func (e elementwise) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	return sameLayouts(in, out, e.zero)
}

// Tile computes rows from the same rows of the inputs.
func (e elementwise) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	return tileRows(e, in, out, rows)
}

// Fuse makes a chain with an operator in front.
func (elementwise) Fuse(e *graph.Editor, n *graph.Node) (bool, error) { return fuse(e, n) }

func (e elementwise) FLOPs(in, out []graph.Fact) int64 {
	return flops(max(e.work, 1), out[0].Shape.Elems())
}

// mathFunction registers y = f(x) for floating point, since the given opset.
func mathFunction(name string, since int, zero bool, f function) {
	register(name, since, func(*Attrs) graph.Op {
		return elementwise{function: f, name: name, types: realTypes, zero: zero, work: mathWork}
	})
}

// mathWork is what a function of package math counts for in FLOPs.
const mathWork = 10

// half converts one of the 16-bit floating-point types.
type half struct {
	load  func(uint16) float32
	store func(float32) uint16
	max   uint16 // the largest finite number
}

func halfOf(d tensor.DType) half {
	if d == tensor.Float16 {
		return half{tensor.Float16ToFloat32, tensor.Float32ToFloat16, 0x7bff}
	}
	return half{tensor.BFloat16ToFloat32, tensor.Float32ToBFloat16, 0x7f7f}
}

// inferSame checks an operator with one input of one of the element types and
// an output of the same type.
func inferSame(in []graph.Fact, types ...tensor.DType) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if err := checkType("the input", in[0].DType, types...); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: in[0].Type}}, nil
}
