package ops

// QEmbedLayerNormalization is ONNX Runtime's EmbedLayerNormalization with quantised
// tables. Inputs 0 and 1 are the words and segments, 2 to 6 the tables of words, places
// and segments, gamma and beta, of int8 or uint8, 7 the mask, 8 to 12 the scales of the
// five and 13 to 17 their zero points.
//
// Source: ONNX Runtime, docs/ContribOperators.md.
func init() {
	const tables, tableInputs, scales = 2, 5, 8
	registerFused("QEmbedLayerNormalization", 1, scales+2*tableInputs, func(a *Attrs) func(c *composer) []term {
		epsilon := a.Float("epsilon", 1e-12)
		return func(c *composer) []term {
			in := make([]term, embedInputs)
			in[embedWords], in[embedSegments], in[embedMask] = c.input(0), c.input(1), c.input(7)
			for i := range tableInputs {
				if x := c.input(tables + i); x != 0 {
					in[embedWordTable+i] = c.apply(dequantizeLinear{axis: 1}, x, c.input(scales+i), c.input(scales+tableInputs+i))
				}
			}
			y := embedded(c, in, epsilon)
			return y[:min(2, len(y))]
		}
	})
}
