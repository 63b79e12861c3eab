package ops

import (
	"fmt"

	"scission/engine/graph"
)

// SwiGLU is y = a / (1 + e^(-alpha*a)) * b.
//
//	a, b, y: floating point, one shape
//
// Source: ONNX SwiGLU-28.
func init() {
	register("SwiGLU", 28, func(attrs *Attrs) graph.Op {
		alpha := attrs.Float("alpha", 1)
		return &composition{"SwiGLU", 2, 2, func(c *composer) []term {
			a, b := c.input(0), c.input(1)
			if s, t := c.shape(a), c.shape(b); !s.Equal(t) {
				c.err = fmt.Errorf("a has shape %v and b %v, want one shape", s, t)
			}
			return []term{c.op("Mul", nil, c.op("Swish", []any{"alpha", alpha}, a), b)}
		}}
	})
}
