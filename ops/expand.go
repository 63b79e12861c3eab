package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Expand", 8, func(*Attrs) graph.Op { return expand{} })
	register("Tile", 6, func(*Attrs) graph.Op { return tile{} })
}

// expand is x stretched to the shape that x's and the given one broadcast to.
//
//	x, y: any type
//	shape: i64 list
//
// Source: ONNX Expand-8, -13.
type expand struct{}

func (expand) String() string { return "Expand" }

func (expand) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	to, err := integers(in[1], "shape")
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(to, func(d int) bool { return d < 0 }) {
		return nil, fmt.Errorf("shape is %v, want no negative dimension", to)
	}
	shape, err := broadcastShapes(in[0].Shape, to)
	if err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

// Rewrite removes the node if x has the shape already.
func (expand) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	return n.In[0].Shape.Equal(n.Out[0].Shape) && bypass(e, n), nil
}

func (expand) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x, y := in[0].Shape, out[0].Shape
	if x.Elems() == y.Elems() {
		return view, nil
	}
	p := places{}
	for d, st := range strides(x) {
		if x[d] == 1 {
			st = 0
		}
		p.add(y[len(y)-len(x)+d], st)
	}
	for _, n := range y[:len(y)-len(x)] {
		p.n, p.stride = slices.Insert(p.n, 0, n), slices.Insert(p.stride, 0, 0)
	}
	return move(out[0].Type, p), nil
}

// tile is x repeated along each dimension.
//
//	x, y: any type
//	repeats: [rank of x] i64
//
// Source: ONNX Tile-6, -13.
type tile struct{}

func (tile) String() string { return "Tile" }

func (tile) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	repeats, err := integers(in[1], "repeats")
	if err != nil {
		return nil, err
	}
	shape := in[0].Shape.Clone()
	if len(repeats) != len(shape) || len(in[1].Shape) != 1 {
		return nil, fmt.Errorf("repeats is %v, want one number for each dimension of x%v", repeats, shape)
	}
	for d, n := range repeats {
		if n < 0 {
			return nil, fmt.Errorf("repeats is %v, want no negative number", repeats)
		}
		if shape[d], err = product(shape[d], n); err != nil {
			return nil, err
		}
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

func (tile) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x, y := in[0].Shape, out[0].Shape
	if x.Equal(y) {
		return view, nil
	}
	if y.Elems() == 0 {
		return graph.Kernel{Info: "empty"}, nil
	}
	p := places{}
	for d, st := range strides(x) {
		p.add(y[d]/x[d], 0)
		p.add(x[d], st)
	}
	return move(out[0].Type, p), nil
}
