package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Where", 9, func(*Attrs) graph.Op { return where{} })
}

// where is z = x where condition holds, y elsewhere, with broadcasting.
//
//	condition: bool
//	x, y, z:   any type, the same in all; z has the shape to which all broadcast
//
// Source: ONNX Where-9, Where-16.
type where struct{}

func (where) String() string { return "Where" }

func (where) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if err := checkType("condition", in[0].DType, tensor.Bool); err != nil {
		return nil, err
	}
	if in[1].DType != in[2].DType {
		return nil, fmt.Errorf("x and y have element types %v and %v, want one type", in[1].DType, in[2].DType)
	}
	s, err := broadcastShapes(in[1].Shape, in[2].Shape)
	if err == nil {
		s, err = broadcastShapes(in[0].Shape, s)
	}
	if err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[1].DType, Shape: s}}}, nil
}

// Tile computes rows from the same rows of the inputs.
func (w where) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	return tileRows(w, in, out, rows)
}

func (where) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	w := broadcastOf(out[0].Shape, in[0].Shape, in[1].Shape, in[2].Shape)
	switch out[0].DType.Size() {
	case 1:
		return whereKernel[uint8](out[0], w), nil
	case 2:
		return whereKernel[uint16](out[0], w), nil
	case 4:
		return whereKernel[uint32](out[0], w), nil
	}
	return whereKernel[uint64](out[0], w), nil
}

func whereKernel[T tensor.Elem](out graph.Fact, w broadcast) graph.Kernel {
	stepC, stepX, stepY := w.stride(0), w.stride(1), w.stride(2)
	return perElement("generic go", out, 2*scalarTime+rowTime/float64(w.inner), func(in, out []*tensor.Tensor, lo, hi int) error {
		condition, x, y, z := tensor.View[bool](in[0]), tensor.Cast[T](in[1].Raw), tensor.Cast[T](in[2].Raw), tensor.Cast[T](out[0].Raw)
		for lo < hi {
			n := min(hi-lo, w.inner-lo%w.inner)
			c, a, b := w.place(0, lo), w.place(1, lo), w.place(2, lo)
			for i := range n {
				if condition[c] {
					z[lo+i] = x[a]
				} else {
					z[lo+i] = y[b]
				}
				c, a, b = c+stepC, a+stepX, b+stepY
			}
			lo += n
		}
		return nil
	})
}
