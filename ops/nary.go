package ops

import (
	"errors"
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// nary is y = x0 op x1 op ..., element by element with broadcasting, from the
// left: Max, Min, Sum and Mean, which is the sum divided by the number of
// inputs.
//
//	x: one or more; numbers of one type for Max and Min, floating point for
//	   Sum and Mean; shapes that broadcast
//	y: the same type, the shape to which they broadcast
//
// A NaN in any input is a NaN in the result.
type nary struct {
	name  string
	op    operation
	types []tensor.DType
	mean  bool
}

func (n nary) String() string { return n.name }

func (n nary) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if len(in) == 0 {
		return nil, errors.New("got no inputs, want at least one")
	}
	if err := checkInputs(in, len(in), len(in)); err != nil {
		return nil, err
	}
	if err := checkType("the inputs", in[0].DType, n.types...); err != nil {
		return nil, err
	}
	shape := in[0].Shape
	for i, f := range in {
		if f.DType != in[0].DType {
			return nil, fmt.Errorf("inputs 0 and %d have element types %v and %v, want one type", i, in[0].DType, f.DType)
		}
		var err error
		if shape, err = broadcastShapes(shape, f.Shape); err != nil {
			return nil, err
		}
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

func (n nary) FLOPs(in, out []graph.Fact) int64 { return flops(len(in), out[0].Shape.Elems()) }

// Rewrite makes a sum of two an Add, which fuses, and removes what takes in
// one value.
func (n nary) Rewrite(e *graph.Editor, node *graph.Node) (bool, error) {
	switch {
	case len(node.In) == 1:
		return bypass(e, node), nil
	case len(node.In) == 2 && n.op == opAdd && !n.mean:
		e.Set(node, binary{op: opAdd}, node.In)
		return true, nil
	}
	return false, nil
}

// Tile computes rows from the same rows of the inputs.
func (n nary) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	return tileRows(n, in, out, rows)
}

func (n nary) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if len(in) == 1 {
		return view, nil
	}
	b, shape := binary{op: n.op}, out[0].Shape
	k := b.generic(out[0], newBroadcast(in[0].Shape, in[1].Shape, shape), 0, 1)
	for i := 2; i < len(in); i++ {
		k.Steps = append(k.Steps, b.generic(out[0], newBroadcast(shape, in[i].Shape, shape), result, i).Steps...)
	}
	if n.mean {
		k.Steps = append(k.Steps, divideBy(out[0], float64(len(in))).Steps...)
	}
	for i, f := range in[:2] {
		if f.Const == nil && f.Type.Equal(out[0].Type) {
			k.InPlace = append(k.InPlace, i)
		}
	}
	return k, nil
}

// divideBy divides the result by n.
func divideBy(out graph.Fact, n float64) graph.Kernel {
	switch out.DType {
	case tensor.Float32:
		return changeKernel(out, func(y float32) float32 { return y / float32(n) })
	case tensor.Float64:
		return changeKernel(out, func(y float64) float64 { return y / n })
	}
	h := halfOf(out.DType)
	return changeKernel(out, func(y uint16) uint16 { return h.store(h.load(y) / float32(n)) })
}

// changeKernel applies f to each element of the result.
func changeKernel[T tensor.Elem](out graph.Fact, f func(T) T) graph.Kernel {
	return perElement("generic go", out, scalarTime, func(_, out []*tensor.Tensor, lo, hi int) error {
		y := tensor.Cast[T](out[0].Raw)
		for i := lo; i < hi; i++ {
			y[i] = f(y[i])
		}
		return nil
	})
}
