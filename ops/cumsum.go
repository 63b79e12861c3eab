package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("CumSum", 11, func(a *Attrs) graph.Op { return makeCumulative(a, "CumSum", false) })
	register("CumProd", 26, func(a *Attrs) graph.Op { return makeCumulative(a, "CumProd", true) })
}

func makeCumulative(a *Attrs, name string, product bool) graph.Op {
	return cumulative{name, product, a.Int("exclusive", 0) != 0, a.Int("reverse", 0) != 0}
}

// cumulative is y = the sums, or the products, of the elements of x up to each
// one along an axis: CumSum and CumProd. With exclusive the element itself is
// left out, with reverse it goes from the last one.
//
//	x, y: floating point, or integers of 32 or 64 bits; rank 1 or more
//	axis: a constant scalar or list of one
//
// Source: ONNX CumSum-11, CumSum-14, CumProd-26.
type cumulative struct {
	name               string
	product            bool
	exclusive, reverse bool
}

func (c cumulative) String() string { return c.name }

func (c cumulative) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(c, d, in)
	}
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if _, err := c.axis(in); err != nil {
		return nil, err
	}
	return inferSame(in[:1], tensor.Float32, tensor.Float64, tensor.Int32, tensor.Int64, tensor.Uint32, tensor.Uint64)
}

func (cumulative) axis(in []graph.Fact) (int, error) {
	list, err := integers(in[1], "axis")
	if err != nil {
		return 0, err
	}
	if len(list) != 1 {
		return 0, fmt.Errorf("axis has %d elements, want 1", len(list))
	}
	return axis(list[0], len(in[0].Shape))
}

func (cumulative) FLOPs(in, out []graph.Fact) int64 { return flops(in[0].Shape...) }

func (c cumulative) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(c, d, in, out)
	}
	a, err := c.axis(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	switch in[0].DType {
	case tensor.Float32:
		return cumulativeKernel[float32](c, in[0].Shape, a), nil
	case tensor.Float64:
		return cumulativeKernel[float64](c, in[0].Shape, a), nil
	case tensor.Int32:
		return cumulativeKernel[int32](c, in[0].Shape, a), nil
	case tensor.Int64:
		return cumulativeKernel[int64](c, in[0].Shape, a), nil
	case tensor.Uint32:
		return cumulativeKernel[uint32](c, in[0].Shape, a), nil
	}
	return cumulativeKernel[uint64](c, in[0].Shape, a), nil
}

func cumulativeKernel[T number](c cumulative, x tensor.Shape, a int) graph.Kernel {
	before, along, behind := alongAxis(x, a)
	rows := before * behind
	count := chunks(rows, scalarTime*float64(along))
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := tensor.View[T](in[0]), tensor.View[T](out[0])
		lo, hi := span(rows, count, i, 1)
		for r := lo; r < hi; r++ {
			at, step := r/behind*along*behind+r%behind, behind
			if c.reverse {
				at, step = at+(along-1)*behind, -behind
			}
			var acc T
			if c.product {
				acc = 1
			}
			for range along {
				v := acc
				if c.product {
					acc *= x[at]
				} else {
					acc += x[at]
				}
				if !c.exclusive {
					v = acc
				}
				y[at] = v
				at += step
			}
		}
		return nil
	}}}}
}
