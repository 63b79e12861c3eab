package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("MeanVarianceNormalization", 9, func(a *Attrs) graph.Op {
		axes := a.Ints("axes")
		if axes == nil {
			axes = []int{0, 2, 3}
		}
		return meanVariance{axes}
	})
}

// meanVariance is y = (x - mean) / (standard deviation + 1e-9) along axes, by
// default 0, 2 and 3.
//
//	x, y: floating point
//
// Source: ONNX MeanVarianceNormalization-9, -13.
type meanVariance struct{ axes []int }

// deviationBias keeps a constant from a division by zero.
const deviationBias = 1e-9

func (m meanVariance) String() string { return fmt.Sprintf("MeanVarianceNormalization%v", m.axes) }

func (m meanVariance) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(m, d, in)
	}
	out, err := inferSame(in, floatTypes...)
	if err != nil {
		return nil, err
	}
	_, err = axisSet(m.axes, len(in[0].Shape))
	return out, err
}

func (meanVariance) FLOPs(in, out []graph.Fact) int64 {
	return flops(normalizationFLOPs, in[0].Shape.Elems())
}

func (m meanVariance) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(m, d, in, out)
	}
	set, err := axisSet(m.axes, len(in[0].Shape))
	if err != nil {
		return graph.Kernel{}, err
	}
	p := planOf(in[0].Shape, set)
	if in[0].DType == tensor.Float64 {
		return meanVarianceKernel[float64](p), nil
	}
	return meanVarianceKernel[float32](p), nil
}

func meanVarianceKernel[T float32 | float64](p reduction) graph.Kernel {
	if p.elems*p.count == 0 {
		return graph.Kernel{Info: "empty"}
	}
	wide, run := p.run, 1 // elements of the result beside each other, elements of a sum beside each other
	if p.single {
		wide, run = 1, p.run
	}
	count := chunks(p.elems, normalizeTime*float64(p.count))
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := tensor.View[T](in[0]), tensor.View[T](out[0])
		lo, hi := span(p.elems, count, i, 1)
		for k := lo; k < hi; k++ {
			at := p.kept.at(k/wide) + k%wide
			sum, squares := 0.0, 0.0
			for j := range p.gone.size() {
				for _, v := range x[at+p.gone.at(j):][:run] {
					sum += float64(v)
				}
			}
			mean := sum / float64(p.count)
			for j := range p.gone.size() {
				for _, v := range x[at+p.gone.at(j):][:run] {
					squares += (float64(v) - mean) * (float64(v) - mean)
				}
			}
			deviation := math.Sqrt(squares/float64(p.count)) + deviationBias
			for j := range p.gone.size() {
				from := at + p.gone.at(j)
				for c, v := range x[from:][:run] {
					y[from+c] = T((float64(v) - mean) / deviation)
				}
			}
		}
		return nil
	}}}}
}
