package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("DepthToSpace", 1, func(a *Attrs) graph.Op { return depthToSpace{size: spaceBlock(a)} })
	register("DepthToSpace", 11, func(a *Attrs) graph.Op { return depthToSpace{spaceBlock(a), columnsFirst(a)} })
	register("SpaceToDepth", 1, func(a *Attrs) graph.Op { return spaceToDepth{size: spaceBlock(a)} })
	register("SpaceToDepth", 28, func(a *Attrs) graph.Op { return spaceToDepth{spaceBlock(a), columnsFirst(a)} })
}

func columnsFirst(a *Attrs) bool {
	mode := a.String("mode", "DCR")
	if mode != "DCR" && mode != "CRD" {
		a.Fail("attribute %q is %q, want DCR or CRD", "mode", mode)
	}
	return mode == "CRD"
}

func spaceBlock(a *Attrs) int {
	n := a.Int("blocksize", 0)
	if n < 1 {
		a.Fail("attribute %q is %d, want at least 1", "blocksize", n)
		return 1
	}
	return n
}

// depthToSpace spreads channels over blocks of size x size positions.
//
//	x: [N, C, H, W] any type
//	y: [N, C/size², H*size, W*size]; the channel of x is made of the row in the
//	   block, the column in it, and the channel of y, outermost first, or with
//	   columns of the channel of y, the row, and the column (mode CRD)
//
// Source: ONNX DepthToSpace-1, -11, -13, -28.
type depthToSpace struct {
	size    int
	columns bool
}

func (d depthToSpace) String() string { return fmt.Sprintf("DepthToSpace[%d]", d.size) }

func (d depthToSpace) Infer(in []graph.Fact) ([]graph.Fact, error) {
	x, err := inferImage(in)
	if err != nil {
		return nil, err
	}
	if area := d.size * d.size; d.size > x[1] && x[1] > 0 || area < 1 || x[1]%area != 0 {
		return nil, fmt.Errorf("x%v has %d channels, want a multiple of %d x %d", x, x[1], d.size, d.size)
	}
	shape := tensor.Shape{x[0], x[1] / (d.size * d.size), 0, 0}
	for i := 2; i < 4; i++ {
		if shape[i], err = product(x[i], d.size); err != nil {
			return nil, err
		}
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

// inferImage checks the one input of an operator on images and returns its shape.
func inferImage(in []graph.Fact) (tensor.Shape, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if len(in[0].Shape) != 4 {
		return nil, fmt.Errorf("x has shape %v, want [N, C, H, W]", in[0].Shape)
	}
	return in[0].Shape, nil
}

func (d depthToSpace) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x, y := in[0].Shape, out[0].Shape
	st := strides(x)
	row, col, channel := d.size*y[1]*st[1], y[1]*st[1], st[1]
	if d.columns {
		row, col, channel = d.size*st[1], st[1], d.size*d.size*st[1]
	}
	return move(out[0].Type, places{nest: nest{
		[]int{x[0], y[1], x[2], d.size, x[3], d.size},
		[]int{st[0], channel, st[2], row, st[3], col},
	}}), nil
}

// spaceToDepth gathers blocks of size x size positions as channels.
//
//	x: [N, C, H, W] any type
//	y: [N, C*size², H/size, W/size]; the channel of y is made of the row in the
//	   block, the column in it, and the channel of x, outermost first, or with
//	   columns of the channel of x, the row, and the column (mode CRD)
//
// Source: ONNX SpaceToDepth-1, -13, -28.
type spaceToDepth struct {
	size    int
	columns bool
}

func (s spaceToDepth) String() string { return fmt.Sprintf("SpaceToDepth[%d]", s.size) }

func (s spaceToDepth) Infer(in []graph.Fact) ([]graph.Fact, error) {
	x, err := inferImage(in)
	if err != nil {
		return nil, err
	}
	if x[2]%s.size != 0 || x[3]%s.size != 0 {
		return nil, fmt.Errorf("x%v has %d x %d positions, want multiples of %d", x, x[2], x[3], s.size)
	}
	shape := tensor.Shape{x[0], x[1], x[2] / s.size, x[3] / s.size}
	for range 2 {
		if shape[1], err = product(shape[1], s.size); err != nil {
			return nil, err
		}
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

func (s spaceToDepth) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x, y, st := in[0].Shape, out[0].Shape, strides(in[0].Shape)
	if s.columns {
		return move(out[0].Type, places{nest: nest{
			[]int{x[0], x[1], s.size, s.size, y[2], y[3]},
			[]int{st[0], st[1], st[2], 1, s.size * st[2], s.size},
		}}), nil
	}
	return move(out[0].Type, places{nest: nest{
		[]int{x[0], s.size, s.size, x[1], y[2], y[3]},
		[]int{st[0], st[2], 1, st[1], s.size * st[2], s.size},
	}}), nil
}
