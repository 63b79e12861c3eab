package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Squeeze", 1, func(a *Attrs) graph.Op { return squeeze{axesParam{attr: a.Ints("axes")}} })
	register("Squeeze", 13, func(*Attrs) graph.Op { return squeeze{axesParam{input: true}} })
}

// squeeze is y = x without the dimensions axes, which have length 1; without
// axes, without all dimensions of length 1.
//
//	x, y: any type
//	axes: an attribute until opset 12; then a constant input
//
// Source: ONNX Squeeze-1, -11, -13, -21, -23, -24, -25.
type squeeze struct{ axes axesParam }

func (squeeze) String() string { return "Squeeze" }

func (s squeeze) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, s.axes.inputs()); err != nil {
		return nil, err
	}
	x := in[0]
	list, err := s.axes.list(in)
	if err != nil {
		return nil, err
	}
	set, err := axisSet(list, len(x.Shape))
	if err != nil {
		return nil, err
	}
	shape := tensor.Shape{}
	for i, d := range x.Shape {
		switch {
		case set[i] && d != 1:
			return nil, fmt.Errorf("dimension %d of x%v is %d, want 1", i, x.Shape, d)
		case len(list) > 0 && !set[i] || d != 1:
			shape = append(shape, d)
		}
	}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: shape}}}, nil
}

func (squeeze) Compile(in, out []graph.Fact) (graph.Kernel, error) { return view, nil }
