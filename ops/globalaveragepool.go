package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/pool"
)

func init() {
	register("GlobalAveragePool", 1, func(*Attrs) graph.Op { return globalAveragePool{} })
}

// globalAveragePool is the mean of each channel.
//
//	x: [N C D1 D2 ...] floating point, none of D1, D2, ... zero
//	y: [N C 1 1 ...]
//
// Source: ONNX GlobalAveragePool-1, -22.
type globalAveragePool struct{}

func (globalAveragePool) String() string { return "GlobalAveragePool" }

func (p globalAveragePool) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(p, d, in)
	}
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	x := in[0]
	if err := checkType("x", x.DType, floatTypes...); err != nil {
		return nil, err
	}
	if len(x.Shape) < 2 {
		return nil, fmt.Errorf("x has shape %v, want at least 2 dimensions", x.Shape)
	}
	y := x.Shape.Clone()
	for i := 2; i < len(y); i++ {
		if y[i] == 0 {
			return nil, fmt.Errorf("x has shape %v, want channels of at least one element", x.Shape)
		}
		y[i] = 1
	}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: y}}}, nil
}

func (globalAveragePool) FLOPs(in, out []graph.Fact) int64 { return flops(in[0].Shape...) }

func (globalAveragePool) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	return poolLayouts(in, out, true)
}

func (p globalAveragePool) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(p, d, in, out)
	}
	n, c, size := planes(in[0].Shape)
	switch {
	case out[0].DType == tensor.Float64:
		return meanKernel[float64](n, c, size), nil
	case flops(lanes, size) >= math.MaxInt32:
		return meanKernel[float32](n, c, size), nil
	}
	return poolKernel(pool.NewGlobalAvg(n, c, size, out[0].Layout != nil)), nil
}

// meanKernel is the kernel in plain Go. It adds in float64.
func meanKernel[T float32 | float64](n, c, size int) graph.Kernel {
	count := chunks(n*c, scalarTime*float64(size))
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := tensor.View[T](in[0]), tensor.View[T](out[0])
		lo, hi := span(n*c, count, i, 1)
		for p := lo; p < hi; p++ {
			sum := 0.0
			for _, v := range x[p*size:][:size] {
				sum += float64(v)
			}
			y[p] = T(sum / float64(size))
		}
		return nil
	}}}}
}
