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

// function is a function of one real number that an operator applies to each
// element of a floating-point tensor.
type function struct {
	ns  float64                 // of an element with f32
	f32 func(dst, x []float32)  // dst may be x
	f64 func(x float64) float64 // for the other types, rounded to the type
}

func (f function) kernel(out graph.Fact) graph.Kernel {
	var k graph.Kernel
	switch out.DType {
	case tensor.Float32:
		k = perElement("vector", out, f.ns, func(in, out []*tensor.Tensor, lo, hi int) error {
			f.f32(floats(out[0])[lo:hi], floats(in[0])[lo:hi])
			return nil
		})
	case tensor.Float64:
		k = perElement("generic go", out, mathTime, func(in, out []*tensor.Tensor, lo, hi int) error {
			x, y := tensor.View[float64](in[0]), tensor.View[float64](out[0])
			for i := lo; i < hi; i++ {
				y[i] = f.f64(x[i])
			}
			return nil
		})
	default:
		h := halfOf(out.DType)
		k = perElement("generic go", out, mathTime, func(in, out []*tensor.Tensor, lo, hi int) error {
			x, y := tensor.View[uint16](in[0]), tensor.View[uint16](out[0])
			for i := lo; i < hi; i++ {
				y[i] = h.store(float32(f.f64(float64(h.load(x[i])))))
			}
			return nil
		})
	}
	k.InPlace = []int{0}
	return k
}

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
