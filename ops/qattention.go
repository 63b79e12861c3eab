package ops

// QAttention is ONNX Runtime's Attention of quantised x and weights:
//
//	x:           [B S I] int8 or uint8
//	weights:     [I 3*H*D] int8 or uint8
//	bias:        [3*H*D] float32
//	scales:      inputs 3 and 4, of x and of the weights, one or one for each column
//	mask:        input 5, as Attention says, optional
//	zero points: inputs 6 and 7, likewise, optional
//	past:        input 8, as Attention says, optional
//
// Source: ONNX Runtime, docs/ContribOperators.md.
func init() {
	registerFused("QAttention", 5, 9, func(a *Attrs) func(c *composer) []term {
		m := contribAttentionOf(a)
		return func(c *composer) []term {
			if !c.rank("x", c.input(0), 3) || !c.rank("weights", c.input(1), 2) {
				return nil
			}
			sums := c.op("MatMulInteger", nil, c.input(0), c.input(1), c.input(6), c.input(7))
			all := c.scaledSums(sums, c.op("Mul", nil, c.input(3), c.input(4)), c.input(2))
			return m.attendProjected(c, all, nil, c.input(5), c.input(8), 0)
		}
	})
}
