package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

func init() {
	register("LRN", 1, func(a *Attrs) graph.Op {
		l := lrn{a.Float("alpha", 0.0001), a.Float("beta", 0.75), a.Float("bias", 1), a.Int("size", 0)}
		if l.size <= 0 {
			a.Fail("attribute %q is %d, want a positive number", "size", l.size)
		}
		return l
	})
}

// lrn is y = x / (bias + alpha/size * sum)^beta, where sum is that of the
// squares of size channels around x's: local response normalization.
//
//	x, y: [N C ...] floating point
//
// Source: ONNX LRN-1, LRN-13.
type lrn struct {
	alpha, beta, bias float32
	size              int
}

func (l lrn) String() string { return fmt.Sprintf("LRN[%d]", l.size) }

func (l lrn) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(l, d, in)
	}
	out, err := inferSame(in, floatTypes...)
	if err != nil {
		return nil, err
	}
	return out, checkRank(in[0])
}

// Tile computes rows from the same rows of the inputs.
func (l lrn) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	return tileRows(l, in, out, rows)
}

func (l lrn) FLOPs(in, out []graph.Fact) int64 {
	return flops(min(l.size, in[0].Shape[1])+mathWork, in[0].Shape.Elems())
}

// channels returns the range of channels whose squares are summed for channel c
// of n.
func (l lrn) channels(c, n int) (from, to int) {
	before := (l.size - 1) / 2
	from = max(0, c-before)
	if behind := l.size - before; behind < n-c {
		return from, c + behind
	}
	return from, n
}

// lrnBlock is the number of positions whose sums are made at once.
const lrnBlock = 1024

func (l lrn) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(l, d, in, out)
	}
	n, c, hw := planes(in[0].Shape)
	if n*c*hw == 0 {
		return graph.Kernel{Info: "empty"}, nil
	}
	count := chunks(n*c, scalarTime*float64(min(l.size, c))*float64(hw))
	kernel := graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: count}}}
	if in[0].DType == tensor.Float64 {
		kernel.Steps[0].Do = func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
			x, y := tensor.View[float64](in[0]), tensor.View[float64](out[0])
			lo, hi := span(n*c, count, i, 1)
			for at := lo * hw; at < hi*hw; at++ {
				from, to := l.channels(at/hw%c, c)
				sum, first := 0.0, at-at/hw%c*hw
				for j := from; j < to; j++ {
					v := x[first+j*hw]
					sum += float64(v * v)
				}
				y[at] = x[at] / math.Pow(float64(l.bias)+float64(l.alpha)/float64(l.size)*sum, float64(l.beta))
			}
			return nil
		}
		return kernel, nil
	}
	kernel.Info, kernel.Scratch = "vector", 2*4*lrnBlock
	kernel.Steps[0].Do = func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := floats(in[0]), floats(out[0])
		lo, hi := span(n*c, count, i, 1)
		for p := lo; p < hi; p++ {
			from, to := l.channels(p%c, c)
			for at := 0; at < hw; at += lrnBlock {
				size := min(lrnBlock, hw-at)
				sum, square := tensor.Cast[float32](e.Scratch)[:size], tensor.Cast[float32](e.Scratch)[lrnBlock:][:size]
				clear(sum)
				for j := from; j < to; j++ {
					v := x[(p-p%c+j)*hw+at:][:size]
					vec.Mul(square, v, v)
					vec.Add(sum, sum, square)
				}
				vec.ScaleShift(sum, sum, l.alpha/float32(l.size), l.bias)
				l.power(sum, square)
				vec.Div(y[p*hw+at:][:size], x[p*hw+at:][:size], sum)
			}
		}
		return nil
	}
	return kernel, nil
}

// power takes x to the power of beta, using as much other memory.
func (l lrn) power(x, other []float32) {
	if l.beta == 0.75 {
		vec.Sqrt(other, x)
		vec.Sqrt(x, other)
		vec.Mul(x, x, other)
		return
	}
	for i, v := range x {
		x[i] = float32(math.Pow(float64(v), float64(l.beta)))
	}
}
