package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Reshape", 5, func(*Attrs) graph.Op { return reshape{} })
	register("Reshape", 14, func(a *Attrs) graph.Op { return reshape{zero: a.Int("allowzero", 0) != 0} })
}

// reshape is y = x with another shape of as many elements.
//
//	x, y: any type, any shape
//	shape: constant int64, one element for each dimension of y: -1, at most
//	       once, is what remains; 0 is the same dimension of x, or with
//	       allowzero (zero) a dimension of length 0
//
// Source: ONNX Reshape-5, -13, -14, -19, -21, -23, -24, -25.
type reshape struct{ zero bool }

func (reshape) String() string { return "Reshape" }

func (r reshape) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	x := in[0]
	want, err := integers(in[1], "shape")
	if err != nil {
		return nil, err
	}
	shape, free := tensor.Shape(want).Clone(), -1
	for i, d := range want {
		switch {
		case d == 0 && !r.zero:
			if i >= len(x.Shape) {
				return nil, fmt.Errorf("shape %v has a 0 at %d, which x%v has no dimension for", want, i, x.Shape)
			}
			shape[i] = x.Shape[i]
		case d == -1 && free < 0:
			free, shape[i] = i, 1
		case d < 0:
			return nil, fmt.Errorf("shape %v has %d at %d, want at least 0 and at most one -1", want, d, i)
		}
	}
	if _, err := tensor.CheckType(x.DType, shape, math.MaxInt); err != nil {
		return nil, err
	}
	have, n := x.Shape.Elems(), shape.Elems()
	if free >= 0 {
		if n == 0 {
			return nil, fmt.Errorf("shape %v leaves the -1 open, since it has a dimension of length 0", want)
		}
		shape[free] = have / n
		n *= have / n
	}
	if n != have {
		return nil, fmt.Errorf("shape %v has %d elements, want the %d of x%v", want, n, have, x.Shape)
	}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: shape}}}, nil
}

func (reshape) Compile(in, out []graph.Fact) (graph.Kernel, error) { return view, nil }
