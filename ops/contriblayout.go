package ops

import "scission/engine/graph"

// Operators of ONNX Runtime whose images have the channels behind the spatial
// dimensions, and else are the operators that they are named after:
//
//	NhwcMaxPool    MaxPool, of int8 or uint8
//	NhwcConv       Conv
//	NhwcFusedConv  FusedConv, of which the residual has the channels last, too
//	QLinearConv    ONNX's, with the channels last if channels_last is 1
//
// Weights lie as ever.
//
// Source: ONNX Runtime, docs/ContribOperators.md.
func init() {
	last := func(name string, plain func(a *Attrs) graph.Op, most int, images ...int) func(a *Attrs) graph.Op {
		return func(a *Attrs) graph.Op {
			op := plain(a)
			return &composition{name, 1, most, func(c *composer) []term {
				in := make([]term, len(c.in))
				for i := range in {
					in[i] = c.input(i)
				}
				for _, i := range images {
					if i < len(in) && in[i] != 0 {
						in[i] = c.channelsFirst(in[i])
					}
				}
				return []term{c.channelsLast(c.apply(op, in...))}
			}}
		}
	}
	registerContrib("NhwcMaxPool", last("NhwcMaxPool", definitionOf("MaxPool", MaxOpset), 1, 0))
	registerContrib("NhwcConv", last("NhwcConv", definitionOf("Conv", MaxOpset), 3, 0))
	fused := func(a *Attrs) graph.Op { return registry[key{"com.microsoft", "FusedConv"}][0].make(a) }
	registerContrib("NhwcFusedConv", last("NhwcFusedConv", fused, 4, 0, 3))
	plain := definitionOf("QLinearConv", MaxOpset)
	turned := last("QLinearConv", plain, 9, 0)
	registerContrib("QLinearConv", func(a *Attrs) graph.Op {
		if a.Int("channels_last", 0) != 0 {
			return turned(a)
		}
		return plain(a)
	})
}
