package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// DynamicQuantizeLSTM is LSTM with weights of 8 bits:
//
//	w, r:                   [D I 4*H] and [D H 4*H], int8 or uint8, LSTM's turned around
//	inputs 0 and 3 to 7:    as lstm says
//	scales and zero points: inputs 8 and 9 of w, 10 and 11 of r, [D] or [D 4*H]
//
// ONNX Runtime rounds x and the states to 8 bits as well, in parts that depend on its
// threads; here they are not rounded.
//
// Source: ONNX Runtime, docs/ContribOperators.md.
func init() {
	const weightScales, lstmInputs = 8, 8
	registerContrib("DynamicQuantizeLSTM", func(a *Attrs) graph.Op {
		op := definitionOf("LSTM", MaxOpset)(a)
		return &composition{"DynamicQuantizeLSTM", 3, weightScales + 4, func(c *composer) []term {
			in := make([]term, lstmInputs)
			for i := range in {
				in[i] = c.input(i)
			}
			for i, x := range []int{rnnW, rnnR} {
				if !c.rank(rnnNames[x], in[x], 3) {
					return nil
				}
				in[x] = c.directionsDequantised(in[x], c.input(weightScales+2*i), c.input(weightScales+2*i+1))
			}
			return c.applyAll(op, in...)
		}}
	})
}

// directionsDequantised returns weights of an LSTM as numbers, in its order.
func (c *composer) directionsDequantised(w, scale, zero term) term {
	dirs := max(1, c.shape(w)[0])
	columns := func(x term) term { return c.reshape(x, dirs, 1, c.shape(x).Elems()/dirs) }
	y := c.as(tensor.Float32, w)
	if zero != 0 {
		y = c.op("Sub", nil, y, columns(c.as(tensor.Float32, zero)))
	}
	return c.transpose(c.op("Mul", nil, y, columns(scale)), 0, 2, 1)
}
