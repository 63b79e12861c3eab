package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("ConvInteger", 10, func(a *Attrs) graph.Op { return &convInteger{integerConvOf(a)} })
}

// convInteger is y = conv(x - x_zero, w - w_zero) in int32, with wrap-around.
//
//	x:      [N C D1 D2 ...] int8 or uint8
//	w:      [M C/groups K1 K2 ...] int8 or uint8
//	x_zero: x's type, one element; optional
//	w_zero: w's type, one element or [M]; optional
//	y:      [N M O1 O2 ...] int32
//
// Padding counts as x_zero.
//
// Source: ONNX ConvInteger-10.
type convInteger struct{ conv integerConv }

func (c *convInteger) String() string { return c.conv.describe("ConvInteger") }

func (c *convInteger) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 4); err != nil {
		return nil, err
	}
	one := graph.Fact{Type: tensor.Type{DType: tensor.Float32}}
	if err := checkQuantised("x", in[0], one, input(in, 2), 1); err != nil {
		return nil, err
	}
	y, err := c.conv.infer(in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	if err := checkQuantised("w", in[1], one, input(in, 3), y[1]); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: tensor.Int32, Shape: y}}}, nil
}

func (c *convInteger) FLOPs(in, out []graph.Fact) int64 {
	return flops(2, out[0].Shape.Elems(), in[1].Shape[1:].Elems())
}

func (c *convInteger) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return c.conv.kernelOf(in[0].Shape, in[1].Shape, convOperands{x: 0, w: 1, xZero: 2, wZero: 3},
		func(_, out []*tensor.Tensor, sums []int32, _, at int) {
			copy(tensor.View[int32](out[0])[at:], sums)
		})
}
