package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("RNN", 7, func(a *Attrs) graph.Op {
		return &rnn{recurrentOf(a, "RNN", 1, "Tanh")}
	})
}

// rnn is a layer with a single gate, h = f(x*W + h*R + b). Inputs and outputs
// are as recurrent says.
//
// Source: ONNX RNN-7, RNN-14, RNN-22.
type rnn struct{ recurrent }

func (r *rnn) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(r, d, in)
	}
	return r.infer(in, rnnH+1, 1)
}

func (r *rnn) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(r, d, in, out)
	}
	if in[rnnX].DType == tensor.Float64 {
		return rnnKernel(&r.recurrent, rnnCell[float64]{}, in), nil
	}
	return rnnKernel(&r.recurrent, rnnCell[float32]{}, in), nil
}

type rnnCell[T float32 | float64] struct{}

func (rnnCell[T]) products() []cellProduct { return []cellProduct{{1, true}} }

func (rnnCell[T]) advance(m *cellRun[T]) {
	m.multiply(0, m.h)
	for row := range m.rows {
		if !m.live(row) {
			continue
		}
		sum := m.row(m.sums[0], row)
		if m.bias != nil {
			addTo(sum, sum, m.bias)
		}
		m.bounded(sum)
		m.function(0, m.row(m.h, row), sum)
	}
}
