package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("GRU", 7, func(a *Attrs) graph.Op {
		return &gru{recurrentOf(a, "GRU", gruGates, "Sigmoid", "Tanh"), a.Int("linear_before_reset", 0) != 0}
	})
}

// gru is a layer of gated recurrent units. Its gates are z, r and h, in this
// order; with the functions f and g
//
//	z = f(x*Wz + h*Rz + bz)
//	r = f(x*Wr + h*Rr + br)
//	n = g(x*Wh + (r.h)*Rh + bh), or with linear_before_reset
//	n = g(x*Wh + r.(h*Rh + bRh) + bWh)
//	h = (1 - z).n + z.h
//
// Inputs and outputs are as recurrent says.
//
// Source: ONNX GRU-7, GRU-14, GRU-22.
type gru struct {
	recurrent
	linear bool
}

func (g *gru) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(g, d, in)
	}
	return g.infer(in, rnnH+1, 1)
}

func (g *gru) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(g, d, in, out)
	}
	if in[rnnX].DType == tensor.Float64 {
		return rnnKernel(&g.recurrent, gruCell[float64]{g.linear}, in), nil
	}
	return rnnKernel(&g.recurrent, gruCell[float32]{g.linear}, in), nil
}

type gruCell[T float32 | float64] struct{ linear bool }

// The gates of a GRU: z and r in one product, the other in one of its own.
const (
	gruUpdate = iota
	gruReset
	gruPair
	gruGates = gruPair + 1
)

func (g gruCell[T]) products() []cellProduct {
	return []cellProduct{{gruPair, true}, {gruGates - gruPair, !g.linear}}
}

func (g gruCell[T]) advance(m *cellRun[T]) {
	m.multiply(0, m.h)
	for row := range m.rows {
		pair := m.sums[0][row*gruPair*m.hidden:][:gruPair*m.hidden]
		if b := m.biasOf(0, gruPair); b != nil {
			addTo(pair, pair, b)
		}
		m.bounded(pair)
		m.function(0, pair, pair)
		if !g.linear {
			mulTo(m.row(m.spare, row), m.row(m.h, row), m.gate(pair, 0, gruPair, gruReset))
		}
	}
	if g.linear {
		m.multiply(1, m.h)
	} else {
		m.multiply(1, m.spare)
	}
	for row := range m.rows {
		if !m.live(row) {
			continue
		}
		h, n, spare := m.row(m.h, row), m.row(m.sums[1], row), m.row(m.spare, row)
		z, r := m.gate(m.sums[0], row, gruPair, gruUpdate), m.gate(m.sums[0], row, gruPair, gruReset)
		bias := m.biasOf(gruPair, gruGates)
		if g.linear {
			if m.biasR != nil {
				addTo(n, n, m.biasR[gruPair*m.hidden:][:m.hidden])
				bias = m.biasW[gruPair*m.hidden:][:m.hidden]
			}
			mulTo(n, n, r)
			addTo(n, n, m.row(m.fromX[1], row))
		}
		if bias != nil {
			addTo(n, n, bias)
		}
		m.bounded(n)
		m.function(1, n, n)
		mulTo(h, h, z)
		subFromOne(spare, z)
		mulTo(n, n, spare)
		addTo(h, h, n)
	}
}
