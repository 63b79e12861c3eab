package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// CausalConvWithState is a depthwise convolution over what was and what is, each
// result of which sees nothing behind it, and an activation:
//
//	x:       [B C L] floating point
//	w:       [C 1 K]
//	bias:    [C], optional
//	past:    [B C K-1], in front of x; zeros if omitted
//	y:       [B C L]
//	present: [B C K-1], the end of past and x
//
// The activation is none, or silu (swish). ONNX Runtime's operator of that name is
// the same with the values that its other attributes have by default.
//
// Source: ONNX CausalConvWithState-27; ONNX Runtime, docs/ContribOperators.md.
func init() {
	create := func(a *Attrs) graph.Op {
		activation := a.String("activation", "none")
		switch activation {
		case "none", "silu", "swish":
		default:
			a.Fail("attribute %q is %q, want none, silu or swish", "activation", activation)
		}
		return &composition{"CausalConvWithState", 2, 4, func(c *composer) []term { return causalConv(c, activation != "none") }}
	}
	register("CausalConvWithState", 27, create)
	registerContrib("CausalConvWithState", func(a *Attrs) graph.Op {
		for name, usual := range map[string]int{
			"ndim": 1, "dilation": 1, "channels_last": 0, "input_channels": 0, "input_channel_offset": 0,
			"state_channels_last": -1, "state_length": 0, "state_window": 0, "state_update_capacity": 0,
		} {
			a.Only(name, usual)
		}
		return create(a)
	})
}

func causalConv(c *composer, silu bool) []term {
	x, w, past := c.input(0), c.input(1), c.input(3)
	if !c.rank("x", x, 3) || !c.rank("w", w, 3) {
		return nil
	}
	s, k := c.shape(x), c.shape(w)[2]
	if want := (tensor.Shape{s[1], 1, k}); !c.shape(w).Equal(want) || k < 1 {
		c.fail("w has shape %v, want %v with at least one tap", c.shape(w), want)
		return nil
	}
	state := tensor.Shape{s[0], s[1], k - 1}
	if past == 0 {
		shape := wideInts(state)
		past = c.op("Expand", nil, c.scalar(x, 0), c.constant(tensor.Of(shape, len(shape))))
	}
	if c.err == nil && !c.shape(past).Equal(state) {
		c.fail("the past has shape %v, want %v", c.shape(past), state)
		return nil
	}
	all := c.op("Concat", []any{"axis", 2}, past, x)
	y := c.op("Conv", []any{"group", s[1]}, all, w, c.input(2))
	if silu {
		y = c.op("Swish", nil, y)
	}
	return []term{y, c.slice(all, s[2], s[2]+k-1)}
}
