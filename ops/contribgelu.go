package ops

// The GELUs of ONNX Runtime:
//
//	Gelu      x * (1 + erf(x/sqrt 2)) / 2
//	BiasGelu  that of x + bias
//	FastGelu  that by tanh of x, or x + bias
//	QuickGelu x * sigmoid(alpha*x)
//
//	x: floating point; bias: [last dimension of x]
func init() {
	gelu := func(approximate string) func(a *Attrs) func(c *composer) []term {
		return func(*Attrs) func(c *composer) []term {
			return func(c *composer) []term {
				x := c.input(0)
				if bias := c.input(1); bias != 0 {
					x = c.op("Add", nil, x, bias)
				}
				return []term{c.op("Gelu", []any{"approximate", approximate}, x)}
			}
		}
	}
	registerFused("Gelu", 1, 1, gelu("none"))
	registerFused("BiasGelu", 2, 2, gelu("none"))
	registerFused("FastGelu", 1, 2, gelu("tanh"))
	registerFused("QuickGelu", 1, 1, func(a *Attrs) func(c *composer) []term {
		alpha := a.Float("alpha", 1.702)
		return func(c *composer) []term { return []term{c.op("Swish", []any{"alpha", alpha}, c.input(0))} }
	})
}
