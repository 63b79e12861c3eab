package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("LSTM", 7, func(a *Attrs) graph.Op {
		return &lstm{recurrentOf(a, "LSTM", lstmGates, "Sigmoid", "Tanh", "Tanh"), a.Int("input_forget", 0) != 0}
	})
}

// lstm is a layer of long short-term memory. Its gates are i, o, f and c, in
// this order; with the functions f, g and h
//
//	i = f(x*Wi + h*Ri + Pi.c + bi)
//	f = f(x*Wf + h*Rf + Pf.c + bf), or 1 - i with input_forget
//	c = f.c + i.g(x*Wc + h*Rc + bc)
//	o = f(x*Wo + h*Ro + Po.c + bo)
//	h = o.h(c)
//
// where c in the line of o is the new one.
//
//	inputs 0 to 5, outputs 0 and 1: as recurrent says
//	initial_c, y_c:                 like initial_h and y_h, optional
//	peepholes:                      [D 3*H], Pi, Po and Pf, optional
//
// Source: ONNX LSTM-7, LSTM-14, LSTM-22.
type lstm struct {
	recurrent
	coupled bool
}

func (l *lstm) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(l, d, in)
	}
	return l.infer(in, rnnPeepholes+1, 2)
}

func (l *lstm) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(l, d, in, out)
	}
	if in[rnnX].DType == tensor.Float64 {
		return rnnKernel(&l.recurrent, lstmCell[float64]{l.coupled}, in), nil
	}
	return rnnKernel(&l.recurrent, lstmCell[float32]{l.coupled}, in), nil
}

type lstmCell[T float32 | float64] struct{ coupled bool }

// The gates of an LSTM, and its functions.
const (
	lstmI = iota
	lstmO
	lstmF
	lstmC
	lstmGates
)

func (lstmCell[T]) products() []cellProduct { return []cellProduct{{lstmGates, true}} }

func (l lstmCell[T]) advance(m *cellRun[T]) {
	m.multiply(0, m.h)
	for row := range m.rows {
		if !m.live(row) {
			continue
		}
		sums := m.sums[0][row*lstmGates*m.hidden:][:lstmGates*m.hidden]
		if m.bias != nil {
			addTo(sums, sums, m.bias)
		}
		h, c, spare := m.row(m.h, row), m.row(m.c, row), m.row(m.spare, row)
		i, o, f, g := m.gate(sums, 0, lstmGates, lstmI), m.gate(sums, 0, lstmGates, lstmO), m.gate(sums, 0, lstmGates, lstmF), m.gate(sums, 0, lstmGates, lstmC)
		peep := func(gate []T, peephole int) {
			if m.peepholes != nil {
				mulTo(spare, m.peepholes[peephole*m.hidden:][:m.hidden], c)
				addTo(gate, gate, spare)
			}
			m.bounded(gate)
			m.function(0, gate, gate)
		}
		peep(i, 0)
		if l.coupled {
			subFromOne(f, i)
		} else {
			peep(f, 2)
		}
		m.bounded(g)
		m.function(1, g, g)
		mulTo(c, c, f)
		mulTo(g, g, i)
		addTo(c, c, g)
		peep(o, 1)
		m.function(2, spare, c)
		mulTo(h, o, spare)
	}
}
