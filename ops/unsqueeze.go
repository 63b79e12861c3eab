package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Unsqueeze", 1, func(a *Attrs) graph.Op {
		if !a.Has("axes") {
			a.Fail("attribute %q is missing", "axes")
		}
		return unsqueeze{axesParam{attr: a.Ints("axes")}}
	})
	register("Unsqueeze", 13, func(*Attrs) graph.Op { return unsqueeze{axesParam{input: true}} })
}

// unsqueeze is y = x with more dimensions, of length 1, at the places axes of
// y's shape. The order of axes does not matter.
//
//	x, y: any type
//	axes: an attribute until opset 12; then a constant input
//
// Source: ONNX Unsqueeze-1, -11, -13, -21, -23, -24, -25.
type unsqueeze struct{ axes axesParam }

func (unsqueeze) String() string { return "Unsqueeze" }

func (u unsqueeze) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, u.axes.inputs(), u.axes.inputs()); err != nil {
		return nil, err
	}
	x := in[0]
	list, err := u.axes.list(in)
	if err != nil {
		return nil, err
	}
	rank := len(x.Shape) + len(list)
	if rank > tensor.MaxRank {
		return nil, fmt.Errorf("%d axes for x%v make rank %d, want at most %d", len(list), x.Shape, rank, tensor.MaxRank)
	}
	set, err := axisSet(list, rank)
	if err != nil {
		return nil, err
	}
	shape, rest := make(tensor.Shape, rank), x.Shape
	for i := range shape {
		if shape[i] = 1; !set[i] {
			shape[i], rest = rest[0], rest[1:]
		}
	}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: shape}}}, nil
}

func (unsqueeze) Compile(in, out []graph.Fact) (graph.Kernel, error) { return view, nil }
