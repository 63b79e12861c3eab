package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("OneHot", 9, func(a *Attrs) graph.Op { return oneHot{axis: a.Int("axis", -1)} })
	register("OneHot", 11, func(a *Attrs) graph.Op { return oneHot{axis: a.Int("axis", -1), negative: true} })
}

// oneHot is off everywhere but on where the place along axis is the index there.
//
//	indices: numbers, any shape; fractions are dropped; since opset 11, negative
//	         ones count from the back; those beyond depth are nowhere
//	depth: a number, scalar or [1]
//	values: [2] any type, off and on
//	y: the type of values, the shape of indices with the dimension axis, of
//	   length depth, put in
//
// Source: ONNX OneHot-9, OneHot-11.
type oneHot struct {
	axis     int
	negative bool
}

func (o oneHot) String() string { return fmt.Sprintf("OneHot[axis %d]", o.axis) }

func (o oneHot) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if err := checkType("indices", in[0].DType, numericTypes...); err != nil {
		return nil, err
	}
	if err := checkType("depth", in[1].DType, numericTypes...); err != nil {
		return nil, err
	}
	if in[1].Shape.Elems() != 1 {
		return nil, fmt.Errorf("depth is %v, want one number", in[1].Type)
	}
	if err := checkShape("values", in[2], 2); err != nil {
		return nil, err
	}
	if in[1].Const == nil {
		return nil, late("depth")
	}
	depth := wholeNumbers(in[1].DType)(in[1].Const.Raw, 0)
	if depth < 0 || int64(int(depth)) != depth {
		return nil, fmt.Errorf("depth is %d, want a length", depth)
	}
	d, err := axis(o.axis, len(in[0].Shape)+1)
	if err != nil {
		return nil, err
	}
	shape := slices.Insert(in[0].Shape.Clone(), d, int(depth))
	return []graph.Fact{{Type: tensor.Type{DType: in[2].DType, Shape: shape}}}, nil
}

// wholeNumbers returns what reads element i of numbers of type d, without its
// fraction.
func wholeNumbers(d tensor.DType) func(raw []byte, i int) int64 {
	switch d {
	case tensor.Float32:
		return func(raw []byte, i int) int64 { return toInt64(float64(tensor.Cast[float32](raw)[i])) }
	case tensor.Float64:
		return func(raw []byte, i int) int64 { return toInt64(tensor.Cast[float64](raw)[i]) }
	case tensor.Float16, tensor.BFloat16:
		h := halfOf(d)
		return func(raw []byte, i int) int64 { return toInt64(float64(h.load(tensor.Cast[uint16](raw)[i]))) }
	case tensor.Int8:
		return wholeOf[int8]
	case tensor.Int16:
		return wholeOf[int16]
	case tensor.Int32:
		return wholeOf[int32]
	case tensor.Uint8:
		return wholeOf[uint8]
	case tensor.Uint16:
		return wholeOf[uint16]
	case tensor.Uint32:
		return wholeOf[uint32]
	case tensor.Uint64:
		return wholeOf[uint64]
	}
	return wholeOf[int64]
}

func wholeOf[T integer](raw []byte, i int) int64 { return int64(tensor.Cast[T](raw)[i]) }

func (o oneHot) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if out[0].Bytes() == 0 {
		return graph.Kernel{Info: "empty"}, nil
	}
	d, err := axis(o.axis, len(in[0].Shape)+1)
	if err != nil {
		return graph.Kernel{}, err
	}
	depth, size := out[0].Shape[d], out[0].DType.Size()
	inner := out[0].Shape[d+1:].Elems()
	block := depth * inner // elements of the result for inner indices
	blocks := out[0].Shape[:d].Elems()
	index := wholeNumbers(in[0].DType)
	count := chunks(blocks, moveTime*float64(block*size)+indexTime*float64(inner))
	return graph.Kernel{Info: "fill", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(blocks, count, i, tensor.Align)
		if lo == hi {
			return nil
		}
		off, on := in[2].Raw[:size], in[2].Raw[size:]
		fillBytes(out[0].Raw[lo*block*size:hi*block*size], off)
		for b := lo; b < hi; b++ {
			for j := range inner {
				v := index(in[0].Raw, b*inner+j)
				if v < 0 && o.negative {
					v += int64(depth)
				}
				if v >= 0 && v < int64(depth) {
					copy(out[0].Raw[(b*block+int(v)*inner+j)*size:], on)
				}
			}
		}
		return nil
	}}}}, nil
}
