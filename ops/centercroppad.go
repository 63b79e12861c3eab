package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("CenterCropPad", 18, func(a *Attrs) graph.Op { return centerCropPad{a.Ints("axes")} })
}

// centerCropPad gives dimensions of x other lengths: it cuts off or adds zeros at
// both ends, at the back one more where their number is odd.
//
//	x, y: any type
//	shape: i64 list, the lengths of axes, by default of all dimensions
//
// Source: ONNX CenterCropPad-18.
type centerCropPad struct{ axes []int }

func (centerCropPad) String() string { return "CenterCropPad" }

func (c centerCropPad) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	to, err := integers(in[1], "shape")
	if err != nil {
		return nil, err
	}
	x, axes := in[0].Shape, c.axes
	if axes == nil {
		for d := range x {
			axes = append(axes, d)
		}
	}
	if _, err := axisSet(axes, len(x)); err != nil {
		return nil, err
	}
	if len(to) != len(axes) || slices.ContainsFunc(to, func(n int) bool { return n < 0 }) {
		return nil, fmt.Errorf("shape is %v, want %d lengths", to, len(axes))
	}
	shape := x.Clone()
	for i, a := range axes {
		d, err := axis(a, len(x))
		if err != nil {
			return nil, err
		}
		shape[d] = to[i]
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

func (c centerCropPad) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x, y, size := in[0].Shape, out[0].Shape, in[0].DType.Size()
	if x.Equal(y) {
		return view, nil
	}
	from, to := places{}, places{} // what both have, in x and in y
	sx, sy := strides(x), strides(y)
	for d := range x {
		n := min(x[d], y[d])
		from.add(n, sx[d])
		to.add(n, sy[d])
		from.base += (x[d] - n) / 2 * sx[d]
		to.base += (y[d] - n) / 2 * sy[d]
	}
	last := len(x) - 1
	rows, row := tensor.Shape(from.n[:last]).Elems(), from.n[last]*size
	outerX, outerY := nest{from.n[:last], from.stride[:last]}, nest{to.n[:last], to.stride[:last]}
	if row == 0 {
		rows = 0
	}
	return graph.Kernel{Info: "rows", Steps: []graph.Step{fillStep(out[0].Type, make([]byte, size), 0), {N: 1, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, _ int) error {
		for r := range rows {
			copy(out[0].Raw[(to.base+outerY.at(r))*size:][:row], in[0].Raw[(from.base+outerX.at(r))*size:])
		}
		return nil
	}}}}, nil
}
