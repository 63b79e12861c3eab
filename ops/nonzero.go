package ops

import (
	"bytes"
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("NonZero", 9, func(*Attrs) graph.Op { return nonZeros{} })
	register("Compress", 9, func(a *Attrs) graph.Op { return compress{axis: a.Int("axis", 0), flat: !a.Has("axis")} })
}

// nonZeros is the coordinates of the elements that are not zero, in row-major
// order.
//
//	x: any type, any shape
//	y: [rank of x, number of those elements] i64; late unless x is constant
//
// Source: ONNX NonZero-9, -13.
type nonZeros struct{}

func (nonZeros) String() string { return "NonZero" }

func (nonZeros) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if in[0].Const == nil {
		return nil, late("x")
	}
	n, is := 0, notZero(in[0].Const)
	for i := range in[0].Shape.Elems() {
		if is(i) {
			n++
		}
	}
	return []graph.Fact{{Type: tensor.Type{DType: tensor.Int64, Shape: tensor.Shape{len(in[0].Shape), n}}}}, nil
}

// notZero returns whether element i of t is not zero: -0 is, NaN is not.
func notZero(t *tensor.Tensor) func(i int) bool {
	size := t.DType.Size()
	sign := t.DType.IsFloat()
	return func(i int) bool {
		e := t.Raw[i*size : (i+1)*size]
		if sign {
			const rest = 0x7f
			return e[size-1]&rest != 0 || bytes.Count(e[:size-1], []byte{0}) < size-1
		}
		return bytes.Count(e, []byte{0}) < size
	}
}

func (nonZeros) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x := in[0].Shape
	st, n := strides(x), out[0].Shape[1]
	return graph.Kernel{Info: "coordinates", Steps: []graph.Step{{N: 1, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, _ int) error {
		y, k, is := out[0].I64(), 0, notZero(in[0])
		for i := range x.Elems() {
			if !is(i) {
				continue
			}
			for d := range x {
				y[d*n+k] = int64(i / st[d] % x[d])
			}
			k++
		}
		return nil
	}}}}, nil
}

// compress keeps the slices of x along axis for which the condition is true, or
// without axis the elements.
//
//	x: any type, rank at least 1
//	condition: [as many as there are slices, or fewer] bool
//	y: any type; late unless the condition is constant
//
// Source: ONNX Compress-9, -11.
type compress struct {
	axis int
	flat bool
}

func (c compress) String() string {
	if c.flat {
		return "Compress"
	}
	return fmt.Sprintf("Compress[axis %d]", c.axis)
}

// shape returns x's as the operator sees it, and the dimension of the slices.
func (c compress) shape(x tensor.Shape) (tensor.Shape, int, error) {
	if c.flat {
		return tensor.Shape{x.Elems()}, 0, nil
	}
	d, err := axis(c.axis, len(x))
	return x.Clone(), d, err
}

func (c compress) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	shape, d, err := c.shape(in[0].Shape)
	if err != nil {
		return nil, err
	}
	if in[1].DType != tensor.Bool || len(in[1].Shape) != 1 || in[1].Shape[0] > shape[d] {
		return nil, fmt.Errorf("condition is %v, want a list of at most %d bool", in[1].Type, shape[d])
	}
	if in[1].Const == nil {
		return nil, late("condition")
	}
	shape[d] = bytes.Count(in[1].Const.Raw, []byte{1})
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

func (c compress) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	shape, d, err := c.shape(in[0].Shape)
	if err != nil {
		return graph.Kernel{}, err
	}
	outer, n, row := shape[:d].Elems(), shape[d], shape[d+1:].Elems()*in[0].DType.Size()
	return graph.Kernel{Info: "rows", Steps: []graph.Step{{N: 1, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, _ int) error {
		y := out[0].Raw
		for o := range outer {
			for i, keep := range tensor.View[bool](in[1]) {
				if keep {
					y = y[copy(y, in[0].Raw[(o*n+i)*row:][:row]):]
				}
			}
		}
		return nil
	}}}}, nil
}
