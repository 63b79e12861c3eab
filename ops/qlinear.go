package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Operators of quantised values of ONNX Runtime. Each is what DequantizeLinear of
// its quantised inputs, the operator of numbers and QuantizeLinear make up; a
// quantised value x is three inputs: x, its scale and, optionally, its zero point.
//
//	QLinearAdd, QLinearMul                        a, b; scale and zero point of y
//	QLinearSigmoid, QLinearLeakyRelu, QLinearSoftmax,
//	QLinearAveragePool, QLinearGlobalAveragePool,
//	QLinearReduceMean                             x; scale and zero point of y
//	QLinearConcat                                 scale and zero point of y; all x
//	QLinearWhere                                  condition, x, y; scale and zero point of z
//	QGemm                                         a, b, c of int32 in steps of the product of
//	                                              both scales; optionally scale and zero point
//	                                              of y, which else is float32
//	MatMulIntegerToFloat                          a, b, scales and then zero points of both, bias
//	DynamicQuantizeMatMul                         a of float32, b, its scale and zero point, bias
//
// A pool has the channels behind the spatial dimensions with channels_last.
func init() {
	for name, plain := range map[string]string{"QLinearAdd": "Add", "QLinearMul": "Mul"} {
		registerQuantised(name, 7, 8, func(*Attrs) func(c *composer) []term {
			return func(c *composer) []term {
				return []term{c.quantise(c.op(plain, nil, c.dequantise(0), c.dequantise(3)), 0, 6)}
			}
		})
	}
	unary := func(name, plain string, attrs func(a *Attrs) []any) {
		registerQuantised(name, 4, 5, func(a *Attrs) func(c *composer) []term {
			list := attrs(a)
			return func(c *composer) []term { return []term{c.quantise(c.op(plain, list, c.dequantise(0)), 0, 3)} }
		})
	}
	unary("QLinearSigmoid", "Sigmoid", func(*Attrs) []any { return nil })
	unary("QLinearLeakyRelu", "LeakyRelu", func(a *Attrs) []any { return []any{"alpha", a.Float("alpha", 0.01)} })
	registerQuantised("QLinearSoftmax", 4, 5, func(a *Attrs) func(c *composer) []term {
		attrs, opset := []graph.Attr{{Name: "axis", Value: int64(a.Int("axis", -1))}}, a.Int("opset", MaxOpset)
		return func(c *composer) []term {
			softmax, err := New("", "Softmax", opset, attrs)
			if err != nil {
				c.fail("%w", err)
				return nil
			}
			return []term{c.quantise(c.apply(softmax, c.dequantise(0)), 0, 3)}
		}
	})
	pool := func(name, plain string, attrs func(a *Attrs) []any) {
		registerQuantised(name, 4, 5, func(a *Attrs) func(c *composer) []term {
			last, list := a.Int("channels_last", 0) != 0, attrs(a)
			return func(c *composer) []term {
				x := c.dequantise(0)
				if last {
					x = c.channelsFirst(x)
				}
				y := c.op(plain, list, x)
				if last {
					y = c.channelsLast(y)
				}
				return []term{c.quantise(y, 0, 3)}
			}
		})
	}
	pool("QLinearGlobalAveragePool", "GlobalAveragePool", func(*Attrs) []any { return nil })
	pool("QLinearAveragePool", "AveragePool", func(a *Attrs) []any {
		list := []any{"auto_pad", a.String("auto_pad", "NOTSET"), "ceil_mode", a.Int("ceil_mode", 0), "count_include_pad", a.Int("count_include_pad", 0)}
		for _, name := range []string{"kernel_shape", "pads", "strides"} {
			if v := a.Ints(name); v != nil {
				list = append(list, name, wideInts(v))
			}
		}
		return list
	})
	registerQuantised("QLinearReduceMean", 4, 5, func(a *Attrs) func(c *composer) []term {
		axes, keep := a.Ints("axes"), a.Int("keepdims", 1)
		return func(c *composer) []term {
			over := term(0)
			if axes != nil {
				over = c.constant(tensor.Of(wideInts(axes), len(axes)))
			}
			return []term{c.quantise(c.op("ReduceMean", []any{"keepdims", keep}, c.dequantise(0), over), 0, 3)}
		}
	})
	registerQuantised("QLinearConcat", 5, maxConcat, func(a *Attrs) func(c *composer) []term {
		axis := a.Int("axis", 0)
		return func(c *composer) []term {
			var parts []term
			for i := 2; i < len(c.in); i += 3 {
				parts = append(parts, c.dequantise(i))
			}
			return []term{c.quantise(c.op("Concat", []any{"axis", axis}, parts...), 2, 0)}
		}
	})
	registerQuantised("QLinearWhere", 8, 9, func(*Attrs) func(c *composer) []term {
		return func(c *composer) []term {
			return []term{c.quantise(c.op("Where", nil, c.input(0), c.dequantise(1), c.dequantise(4)), 1, 7)}
		}
	})
	registerQuantised("QGemm", 6, 9, func(a *Attrs) func(c *composer) []term {
		alpha, transA, transB := a.Float("alpha", 1), a.Int("transA", 0), a.Int("transB", 0)
		return func(c *composer) []term { return []term{composeQGemm(c, alpha, transA, transB)} }
	})
	registerQuantised("MatMulIntegerToFloat", 4, 7, func(*Attrs) func(c *composer) []term {
		return func(c *composer) []term {
			sums := c.op("MatMulInteger", nil, c.input(0), c.input(1), c.input(4), c.input(5))
			return []term{c.scaledSums(sums, c.op("Mul", nil, c.input(2), c.input(3)), c.input(6))}
		}
	})
	registerQuantised("DynamicQuantizeMatMul", 3, 5, func(*Attrs) func(c *composer) []term {
		return func(c *composer) []term {
			x := c.ops("DynamicQuantizeLinear", nil, c.input(0))
			sums := c.op("MatMulInteger", nil, x[0], c.input(1), x[2], c.input(3))
			return []term{c.scaledSums(sums, c.op("Mul", nil, x[1], c.input(2)), c.input(4))}
		}
	})
	registerContrib("QuantizeLinear", func(a *Attrs) graph.Op { return quantizeLinear{axis: a.Int("axis", 1)} })
	registerContrib("DequantizeLinear", func(a *Attrs) graph.Op { return dequantizeLinear{axis: a.Int("axis", 1)} })
}

// maxConcat is the largest number of inputs of a QLinearConcat.
const maxConcat = 2 + 3*1024

// channelsFirst brings the last dimension of x in front of all but the first one.
func (c *composer) channelsFirst(x term) term {
	order := []int{0, len(c.shape(x)) - 1}
	for d := 1; d < len(c.shape(x))-1; d++ {
		order = append(order, d)
	}
	if len(c.shape(x)) < 2 {
		return c.fail("x has shape %v, want a batch and channels", c.shape(x))
	}
	return c.transpose(x, order...)
}

// channelsLast is the way back.
func (c *composer) channelsLast(x term) term {
	order := []int{0}
	for d := 2; d < len(c.shape(x)); d++ {
		order = append(order, d)
	}
	return c.transpose(x, append(order, 1)...)
}

// wideInts returns the numbers as int64.
func wideInts(v []int) []int64 {
	w := make([]int64, len(v))
	for i, x := range v {
		w[i] = int64(x)
	}
	return w
}

// composeQGemm is QGemm.
func composeQGemm(c *composer, alpha float32, transA, transB int) term {
	axis := 1
	if transB != 0 {
		axis = 0
	}
	b := c.apply(dequantizeLinear{axis: axis}, c.input(3), c.input(4), c.input(5))
	in := []term{c.dequantise(0), b}
	if bias := c.input(6); bias != 0 {
		scale := c.op("Mul", nil, c.input(1), c.input(4))
		if alpha != 1 {
			scale = c.op("Mul", nil, scale, c.scalar(scale, float64(alpha)))
		}
		in = append(in, c.apply(dequantizeLinear{axis: max(0, len(c.shape(bias))-1)}, bias, scale))
	}
	y := c.op("Gemm", []any{"alpha", alpha, "transA", transA, "transB", transB}, in...)
	if c.input(7) == 0 {
		return y
	}
	return c.quantise(y, 0, 7)
}

// scaledSums returns the sums as numbers times the scale, plus a bias if there is one.
func (c *composer) scaledSums(sums, scale, bias term) term {
	y := c.op("Mul", nil, c.apply(cast{to: tensor.Float32}, sums), scale)
	if bias != 0 {
		y = c.op("Add", nil, y, bias)
	}
	return y
}

// dequantise returns the numbers for which inputs i to i+2 stand.
func (c *composer) dequantise(i int) term {
	return c.apply(dequantizeLinear{axis: 1}, c.input(i), c.input(i+1), c.input(i+2))
}

// quantise quantises y to the type of input like with the scale and zero point
// that are inputs i and i+1.
func (c *composer) quantise(y term, like, i int) term {
	return c.apply(quantizeLinear{axis: 1, to: c.fact(c.input(like)).DType}, y, c.input(i), c.input(i+1))
}

// registerQuantised adds an operator of ONNX Runtime's own domain that others
// make up, which take its place in a graph.
func registerQuantised(name string, need, most int, make func(a *Attrs) func(c *composer) []term) {
	registerContrib(name, func(a *Attrs) graph.Op { return &quantisedComposition{composition{name, need, most, make(a)}} })
}

// quantisedComposition is a composition with one output, whose operators take
// its place in a graph, so that they work with their neighbours.
type quantisedComposition struct{ composition }

// Rewrite puts the operators in the place of n, unless one has several results.
func (o *quantisedComposition) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	c, _, err := o.built(graph.Facts(n.In))
	if err != nil || slices.ContainsFunc(c.stages, func(s stage) bool { return len(s.out) > 1 }) {
		return false, err
	}
	values := make([]*graph.Value, len(c.values)+1)
	for i, v := range c.values {
		switch {
		case v.input > 0:
			values[i+1] = n.In[v.input-1]
		case v.Const != nil:
			values[i+1] = graph.Constant(fmt.Sprintf("%s.%d", n.Name, i), v.Const)
		}
	}
	for i, s := range c.stages {
		in := make([]*graph.Value, len(s.in))
		for j, p := range s.in {
			in[j] = values[p]
		}
		if i == len(c.stages)-1 {
			e.Set(n, s.op, in)
			break
		}
		if values[s.out[0]], err = inserted(e, n, fmt.Sprintf("%s.%s", n.Name, s.op), s.op, in, c.facts(s.out)); err != nil {
			return false, err
		}
	}
	return true, nil
}

// inserted returns the result of op, computed in front of n or, if all inputs
// are constants, at once.
func inserted(e *graph.Editor, n *graph.Node, name string, op graph.Op, in []*graph.Value, out []graph.Fact) (*graph.Value, error) {
	facts := graph.Facts(in)
	if slices.ContainsFunc(facts, func(f graph.Fact) bool { return !f.Missing() && f.Const == nil }) {
		return e.Insert(n, name, op, n.Layers, in, out[0].Type), nil
	}
	y, err := graph.Eval(op, facts, out)
	if err != nil {
		return nil, err
	}
	v := graph.Constant(name, y[0])
	v.Made = &graph.Node{Name: name, Op: op, In: in, Out: []*graph.Value{v}}
	return v, nil
}
