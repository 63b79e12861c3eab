package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Flatten", 1, func(a *Attrs) graph.Op { return flatten{a.Int("axis", 1)} })
}

// flatten is y = x as a matrix: the dimensions before axis become the rows,
// the others the columns.
//
//	x: any type, rank r; axis: -r to r
//	y: [product of x's dimensions before axis, product of the others]
//
// Source: ONNX Flatten-1, -9, -11, -13, -21, -23, -24, -25.
type flatten struct{ axis int }

func (f flatten) String() string { return fmt.Sprintf("Flatten[axis %d]", f.axis) }

func (f flatten) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	x := in[0]
	at, rank := f.axis, len(x.Shape)
	if at < -rank || at > rank {
		return nil, fmt.Errorf("axis is %d, want one within %d to %d for x%v", at, -rank, rank, x.Shape)
	}
	if at < 0 {
		at += rank
	}
	shape := tensor.Shape{x.Shape[:at].Elems(), x.Shape[at:].Elems()}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: shape}}}, nil
}

func (flatten) Compile(in, out []graph.Fact) (graph.Kernel, error) { return view, nil }
