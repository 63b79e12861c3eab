package ops

import "scission/engine/tensor"

// Operators of ONNX Runtime's own domain that are those of ONNX, which has taken them
// over since, ExpandDims, which is Unsqueeze of one axis, and some of diffusion models:
//
//	GroupNorm      GroupNormalization of x, [N ... C] unless channels_last is 0, and x*sigmoid(x)
//	               of it if activation is 1
//	SkipGroupNorm  that of x + skip + bias, skip being like x, [N 1 1 C] or [N C]; output 1 is
//	               the sum
//	BiasAdd        x + bias + skip
//	BiasSplitGelu  the first half of the last dimension of x + bias times the GELU of the other
//
// Source: ONNX Runtime, docs/ContribOperators.md.
func init() {
	for name, version := range map[string]int{"Trilu": 14, "GatherND": 13, "GridSample": 16, "Range": 11} {
		registerContrib(name, definitionOf(name, version))
	}
	registerFused("ExpandDims", 2, 2, func(*Attrs) func(c *composer) []term {
		return func(c *composer) []term {
			axis := c.as(tensor.Int64, c.input(1))
			return []term{c.op("Unsqueeze", nil, c.input(0), c.reshape(axis, c.shape(axis).Elems()))}
		}
	})
	registerFused("BiasAdd", 3, 3, func(*Attrs) func(c *composer) []term {
		return func(c *composer) []term {
			return []term{c.op("Add", nil, c.op("Add", nil, c.input(0), c.input(1)), c.input(2))}
		}
	})
	registerFused("BiasSplitGelu", 2, 2, func(*Attrs) func(c *composer) []term {
		return func(c *composer) []term {
			x := c.op("Add", nil, c.input(0), c.input(1))
			parts := c.ops("Split", []any{"axis", -1, "num_outputs", 2}, x)
			return []term{c.op("Mul", nil, parts[0], c.op("Gelu", nil, parts[1]))}
		}
	})
	registerFused("GroupNorm", 3, 3, func(a *Attrs) func(c *composer) []term {
		norm := groupNorm(a)
		return func(c *composer) []term { return []term{norm(c, c.input(0))} }
	})
	registerFused("SkipGroupNorm", 4, 5, func(a *Attrs) func(c *composer) []term {
		a.Only("channels_last", 1)
		norm := groupNorm(a)
		return func(c *composer) []term {
			x, skip := c.input(0), c.input(3)
			if s := c.shape(skip); len(s) == 2 {
				skip = c.reshape(skip, s[0], 1, 1, s[1])
			}
			sum := c.op("Add", nil, x, skip)
			if bias := c.input(4); bias != 0 {
				sum = c.op("Add", nil, sum, bias)
			}
			return []term{norm(c, sum), sum}
		}
	})
}

// groupNorm returns GroupNorm of x with inputs 1 and 2.
func groupNorm(a *Attrs) func(c *composer, x term) term {
	last, activation := a.Int("channels_last", 1) != 0, a.Int("activation", 0)
	attrs := []any{"num_groups", a.Int("groups", 0), "epsilon", a.Float("epsilon", 1e-5)}
	if activation != 0 && activation != 1 {
		a.Fail("activation is %d, want 0 or 1", activation)
	}
	return func(c *composer, x term) term {
		if last {
			x = c.channelsFirst(x)
		}
		to := c.fact(x).DType
		y := c.op("GroupNormalization", attrs, x, c.as(to, c.input(1)), c.as(to, c.input(2)))
		if activation == 1 {
			y = c.op("Swish", nil, y)
		}
		if last {
			y = c.channelsLast(y)
		}
		return y
	}
}
