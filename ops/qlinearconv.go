package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("QLinearConv", 10, func(a *Attrs) graph.Op { return &qLinearConv{integerConvOf(a)} })
}

// qLinearConv is y = saturate(round((conv(x - x_zero, w - w_zero) + bias) * s) +
// y_zero) with s = x_scale * w_scale / y_scale, ties rounded to even.
//
//	x:                [N C D1 D2 ...] int8 or uint8
//	x_scale, x_zero:  one element each
//	w:                [M C/groups K1 K2 ...] int8 or uint8
//	w_scale, w_zero:  one element each or [M]
//	y_scale, y_zero:  one element each
//	bias:             [M] int32, optional
//	y:                [N M O1 O2 ...] y_zero's type
//
// Scales are float32, zero points of the type of what they belong to.
//
// Source: ONNX QLinearConv-10.
type qLinearConv struct{ conv integerConv }

// Inputs of a qLinearConv.
const (
	qconvX = iota
	qconvXScale
	qconvXZero
	qconvW
	qconvWScale
	qconvWZero
	qconvYScale
	qconvYZero
	qconvBias
	qconvInputs
)

func (c *qLinearConv) String() string { return c.conv.describe("QLinearConv") }

func (c *qLinearConv) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, qconvBias, qconvInputs); err != nil {
		return nil, err
	}
	y, err := c.conv.infer(in[qconvX].Shape, in[qconvW].Shape)
	if err != nil {
		return nil, err
	}
	if err := checkQuantised("x", in[qconvX], in[qconvXScale], in[qconvXZero], 1); err != nil {
		return nil, err
	}
	if err := checkQuantised("w", in[qconvW], in[qconvWScale], in[qconvWZero], y[1]); err != nil {
		return nil, err
	}
	if err := checkQuantised("y", in[qconvYZero], in[qconvYScale], in[qconvYZero], 1); err != nil {
		return nil, err
	}
	if b := input(in, qconvBias); !b.Missing() {
		if b.DType != tensor.Int32 {
			return nil, fmt.Errorf("bias is %v, want int32", b.DType)
		}
		if err := checkShape("bias", b, y[1]); err != nil {
			return nil, err
		}
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[qconvYZero].DType, Shape: y}}}, nil
}

func (c *qLinearConv) FLOPs(in, out []graph.Fact) int64 {
	return flops(2, out[0].Shape.Elems(), in[qconvW].Shape[1:].Elems())
}

func (c *qLinearConv) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	lo, hi := quantisedRange(out[0].DType)
	return c.conv.kernelOf(in[qconvX].Shape, in[qconvW].Shape, convOperands{x: qconvX, w: qconvW, xZero: qconvXZero, wZero: qconvWZero},
		func(in, out []*tensor.Tensor, sums []int32, channel, at int) {
			scale := scaleOf(in[qconvXScale], 0) * scaleOf(in[qconvWScale], channel) / scaleOf(in[qconvYScale], 0)
			zero, bias := zeroOf(in[qconvYZero], 0), int32(0)
			if b := operand(in, qconvBias); b != nil {
				bias = tensor.View[int32](b)[channel]
			}
			y := out[0].Raw[at:]
			for i, s := range sums {
				y[i] = byte(quantum(float32(s+bias)*scale, zero, lo, hi))
			}
		})
}

// Rewrite makes a quantConv of the node, if all but x is constant and package
// qconv takes the shape: the scale is that of the sum, and the step is 1.
func (c *qLinearConv) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	in := graph.Facts(n.In)
	for _, f := range in[1:] {
		if !f.Missing() && f.Const == nil {
			return false, nil
		}
	}
	x, w, bias := in[qconvX], in[qconvW], input(in, qconvBias)
	m := w.Shape[0]
	y := n.Out[0]
	q := &quantConv{
		conv: convolution{window: c.conv.window, kernel: c.conv.kernel, groups: c.conv.groups}, xZero: zeroOf(in[qconvXZero].Const, 0),
		quantised: true, step: 1, zero: zeroOf(in[qconvYZero].Const, 0), to: y.DType,
	}
	if _, _, ok := q.shape(x.Shape, w.Shape); !ok {
		return false, nil
	}
	weights, mul := tensor.New(tensor.Int16, w.Shape...), make([]float32, m)
	each := w.Shape[1:].Elems()
	for i := range mul {
		shifted16(tensor.View[int16](weights)[i*each:][:each], w.Const, i*each, zeroOf(in[qconvWZero].Const, i))
		mul[i] = scaleOf(in[qconvXScale].Const, 0) * scaleOf(in[qconvWScale].Const, i) / scaleOf(in[qconvYScale].Const, 0)
	}
	inputs := make([]*graph.Value, quantConvInputs)
	inputs[convX], inputs[convW] = n.In[qconvX], graph.Constant(n.In[qconvW].Name, weights)
	inputs[quantConvMul] = graph.Constant(n.Name+".mul", tensor.Of(mul, m))
	inputs[quantConvAdd] = graph.Constant(n.Name+".add", tensor.New(tensor.Float32, m))
	if bias.Const != nil {
		inputs[quantConvStart] = n.In[qconvBias]
	}
	e.Set(n, q, inputs)
	return true, nil
}
