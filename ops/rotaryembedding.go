package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("RotaryEmbedding", 23, func(a *Attrs) graph.Op {
		r := rotaryEmbedding{a.Int("interleaved", 0) != 0, a.Int("rotary_embedding_dim", 0), a.Int("num_heads", 0)}
		return &composition{"RotaryEmbedding", 3, 4, r.compose}
	})
	registerContrib("RotaryEmbedding", func(a *Attrs) graph.Op {
		r := rotaryEmbedding{a.Int("interleaved", 0) != 0, a.Int("rotary_embedding_dim", 0), a.Int("num_heads", 0)}
		if a.Float("scale", 1) != 1 || a.Int("is_packed_batching", 0) != 0 {
			a.Fail("%w scale or is_packed_batching", ErrUnsupported)
		}
		return &composition{"RotaryEmbedding", 4, 4, func(c *composer) []term {
			return r.rotate(c, c.input(0), c.input(2), c.input(3), c.input(1))
		}}
	})
}

// rotaryEmbedding turns pairs of the first R values of each head, (a, b), by an
// angle: to (a*cos - b*sin, a*sin + b*cos). The pairs are the halves of the R
// values or, interleaved, neighbours; the other values stay.
//
//	x:         [B H S D] floating point, or [B S H*D] with num_heads
//	cos, sin:  [P R/2] with positions, else [B S R/2]
//	positions: [B S] int64, rows of cos and sin, optional
//	y:         like x
//
// Source: ONNX RotaryEmbedding-23; that of ONNX Runtime, whose inputs are in
// another order and whose positions may be one, the first of each sequence.
type rotaryEmbedding struct {
	interleaved bool
	dim         int // R; 0 for D
	heads       int
}

func (r rotaryEmbedding) compose(c *composer) []term {
	return r.rotate(c, c.input(0), c.input(1), c.input(2), c.input(3))
}

func (r rotaryEmbedding) rotate(c *composer, x, cos, sin, positions term) []term {
	given := c.shape(x)
	flat := len(given) == 3
	if flat {
		heads := r.heads
		if heads == 0 && c.err == nil && r.dim == 0 {
			heads = 1
			if half := c.shape(cos); len(half) > 0 && half[len(half)-1] > 0 {
				heads = max(1, given[2]/(2*half[len(half)-1]))
			}
		}
		x = c.heads("x", x, heads)
	}
	if !c.rank("x", x, 4) {
		return nil
	}
	s := c.shape(x)
	batch, length, size := s[0], s[2], s[3]
	dim := r.dim
	if dim == 0 {
		dim = size
	}
	if dim < 0 || dim > size || dim%2 != 0 {
		c.fail("rotary_embedding_dim is %d, want an even number up to %d", dim, size)
		return nil
	}
	angles := func(table term) term { // to [B 1 S R/2]
		if positions != 0 {
			if !c.rank("cos and sin", table, 2) {
				return 0
			}
			table = c.op("Gather", []any{"axis", 0}, table, r.rows(c, positions, batch, length))
		}
		if !c.rank("cos and sin", table, 3) {
			return 0
		}
		if t := c.shape(table); t[0] != batch || t[1] != length || t[2] != dim/2 {
			return c.fail("cos and sin have shape %v, want %v", t, tensor.Shape{batch, length, dim / 2})
		}
		return c.reshape(table, batch, 1, length, dim/2)
	}
	cos, sin = angles(cos), angles(sin)
	if c.err != nil {
		return nil
	}
	rest, turned := term(0), x
	if dim < size {
		turned, rest = c.slice(x, 0, dim), c.slice(x, dim, size)
	}
	var a, b term
	if r.interleaved {
		pairs := c.reshape(turned, batch, s[1], length, dim/2, 2)
		a = c.reshape(c.slice(pairs, 0, 1), batch, s[1], length, dim/2)
		b = c.reshape(c.slice(pairs, 1, 2), batch, s[1], length, dim/2)
	} else {
		a, b = c.slice(turned, 0, dim/2), c.slice(turned, dim/2, dim)
	}
	mul := func(x, y term) term { return c.op("Mul", nil, x, y) }
	first, second := c.op("Sub", nil, mul(a, cos), mul(b, sin)), c.op("Add", nil, mul(a, sin), mul(b, cos))
	if r.interleaved {
		first, second = c.reshape(first, batch, s[1], length, dim/2, 1), c.reshape(second, batch, s[1], length, dim/2, 1)
	}
	y := c.op("Concat", []any{"axis", -1}, first, second)
	if r.interleaved {
		y = c.reshape(y, batch, s[1], length, dim)
	}
	if rest != 0 {
		y = c.op("Concat", []any{"axis", -1}, y, rest)
	}
	if flat {
		y = c.reshape(c.transpose(y, 0, 2, 1, 3), given...)
	}
	return []term{y}
}

// maxRotaryRows bounds the positions of all sequences that follow from the first.
const maxRotaryRows = 1 << 20

// rows returns the rows of the tables, [B S].
func (rotaryEmbedding) rows(c *composer, positions term, batch, length int) term {
	s := c.shape(positions)
	if len(s) == 2 && s[0] == batch && s[1] == length {
		return positions
	}
	if s.Elems() != 1 || len(s) > 1 {
		return c.fail("positions have shape %v, want %v or one", s, tensor.Shape{batch, length})
	}
	if batch > maxRotaryRows || length > maxRotaryRows/max(1, batch) {
		return c.fail("%w %d sequences of %d positions, want at most %d in all", ErrUnsupported, batch, length, maxRotaryRows)
	}
	steps := make([]int64, batch*length)
	for i := range steps {
		steps[i] = int64(i % max(1, length))
	}
	return c.op("Add", nil, c.constant(tensor.Of(steps, batch, length)), positions)
}

// slice returns elements from to to of the last dimension.
func (c *composer) slice(x term, from, to int) term {
	one := func(v int) term { return c.constant(tensor.Of([]int64{int64(v)}, 1)) }
	return c.op("Slice", nil, x, one(from), one(to), one(-1))
}
