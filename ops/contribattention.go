package ops

import (
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Attention operators of ONNX Runtime.
//
// MultiHeadAttention:
//
//	query:            [B S H*D] floating point
//	key, value:       [B L H*D], [B L H*E], or both as heads: [B H L D], [B H L E]
//	bias:             [2*H*D + H*E], added to the three before, optional
//	key_padding_mask: int32, [B], how many keys count, or [B L], 0 for those that do not,
//	                  or [B S L]; optional
//	attention_bias:   added to the scores, broadcasts to [B H S L], optional
//	past_key, past_value: [B H P D], [B H P E], before key and value; L is then with
//	                  the past; optional
//	y:                [B S H*E]
//	present_key, present_value: keys and values as heads, with the past
//
// Attention makes query, key and value of x, [B S I], by weights [I 2*H*D+H*E]
// and a bias; the mask is its input 3, past keys and values its input 4, [2 B H P D],
// and the attention_bias input 5. Output 1 is keys and values with the past likewise.
func init() {
	registerContrib("MultiHeadAttention", func(a *Attrs) graph.Op {
		m := contribAttentionOf(a)
		return &composition{"MultiHeadAttention", 3, 8, func(c *composer) []term {
			q, k, v := c.input(0), c.input(1), c.input(2)
			if !c.rank("query", q, 3) || !c.rank("key", k, 3, 4) || !c.rank("value", v, len(c.shape(k))) {
				return nil
			}
			if len(c.shape(k)) == 4 {
				q = c.heads("query", q, m.heads)
				if b := c.input(3); b != 0 && c.err == nil {
					s := c.shape(q)
					q = c.op("Add", nil, q, c.reshape(c.slice(b, 0, s[1]*s[3]), s[1], 1, s[3]))
				}
				return m.attend(c, q, k, v, c.input(4), c.input(5))
			}
			if b := c.input(3); b != 0 {
				widths := []int{c.shape(q)[2], c.shape(k)[2], c.shape(v)[2]}
				parts := c.split(b, widths)
				q, k, v = c.op("Add", nil, q, parts[0]), c.op("Add", nil, k, parts[1]), c.op("Add", nil, v, parts[2])
			}
			q, k, v = c.heads("query", q, m.heads), c.heads("key", k, m.heads), c.heads("value", v, m.heads)
			return m.attend(c, q, c.behind(c.input(6), k), c.behind(c.input(7), v), c.input(4), c.input(5))
		}}
	})
	registerContrib("Attention", func(a *Attrs) graph.Op {
		m := contribAttentionOf(a)
		sizes := a.Ints("qkv_hidden_sizes")
		return &composition{"Attention", 2, 6, func(c *composer) []term {
			x, w := c.input(0), c.input(1)
			if !c.rank("x", x, 3) || !c.rank("weights", w, 2) {
				return nil
			}
			all := c.op("MatMul", nil, x, w)
			if b := c.input(2); b != 0 {
				all = c.op("Add", nil, all, b)
			}
			return m.attendProjected(c, all, sizes, c.input(3), c.input(4), c.input(5))
		}}
	})
}

// attendProjected is what Attention does with query, key and value beside each other,
// of the given widths or, without any, of one.
func (m contribAttention) attendProjected(c *composer, all term, widths []int, mask, past, bias term) []term {
	if !c.rank("query, key and value", all, 3) {
		return nil
	}
	if widths == nil {
		third := c.shape(all)[2] / 3
		widths = []int{third, third, third}
	}
	if len(widths) != 3 {
		c.fail("qkv_hidden_sizes has %d values, want 3", len(widths))
		return nil
	}
	parts := c.split(all, widths)
	q, k, v := c.heads("query", parts[0], m.heads), c.heads("key", parts[1], m.heads), c.heads("value", parts[2], m.heads)
	if past != 0 {
		if !c.rank("past", past, 5) {
			return nil
		}
		both := c.ops("Split", []any{"axis", 0, "num_outputs", 2}, past)
		s := c.shape(past)
		k, v = c.behind(c.reshape(both[0], s[1:]...), k), c.behind(c.reshape(both[1], s[1:]...), v)
	}
	y := m.attend(c, q, k, v, mask, bias)
	if y == nil || !c.shape(k).Equal(c.shape(v)) {
		return y
	}
	one := append(tensor.Shape{1}, c.shape(k)...)
	return []term{y[0], c.op("Concat", []any{"axis", 0}, c.reshape(k, one...), c.reshape(v, one...))}
}

// contribAttention is what the operators have in common.
type contribAttention struct {
	heads  int
	scale  float32 // 0 for the default
	filter float32 // what is added to scores that the mask keeps out
	causal bool
}

func contribAttentionOf(a *Attrs) contribAttention {
	m := contribAttention{
		heads: a.Int("num_heads", 0), scale: a.Float("scale", 0), filter: a.Float("mask_filter_value", -10000),
		causal: a.Int("unidirectional", 0) != 0,
	}
	if a.Int("do_rotary", 0) != 0 || a.Int("past_present_share_buffer", 0) != 0 {
		a.Fail("%w do_rotary or past_present_share_buffer", ErrUnsupported)
	}
	return m
}

// split cuts the last dimension of x into three.
func (c *composer) split(x term, widths []int) []term {
	s := c.shape(x)
	if c.err != nil {
		return make([]term, 3)
	}
	sum, err := total(widths[0], widths[1], widths[2])
	if min(widths[0], widths[1], widths[2]) < 0 || err != nil || sum != s[len(s)-1] {
		c.fail("the widths of query, key and value are %v, want a sum of %d", widths, s[len(s)-1])
		return make([]term, 3)
	}
	first, second := widths[0], widths[0]+widths[1]
	return []term{c.slice(x, 0, first), c.slice(x, first, second), c.slice(x, second, sum)}
}

// behind returns the rows of x, [B H S D], behind those of past, which may be omitted.
func (c *composer) behind(past, x term) term {
	if past == 0 {
		return x
	}
	return c.op("Concat", []any{"axis", 2}, past, x)
}

// attend returns the result for q, k and v as heads, and k and v.
func (m contribAttention) attend(c *composer, q, k, v, mask, bias term) []term {
	qs, ks, vs := c.shape(q), c.shape(k), c.shape(v)
	if c.err != nil {
		return nil
	}
	if ks[0] != qs[0] || vs[0] != qs[0] || ks[3] != qs[3] || vs[2] != ks[2] {
		c.fail("query, key and value have shapes %v, %v and %v as heads, which do not fit", qs, ks, vs)
		return nil
	}
	scale := float64(m.scale)
	if scale == 0 {
		scale = rootOf(qs[3])
	}
	past := 0
	if m.causal {
		past = ks[2] - qs[2]
	}
	var lengths term
	switch s := c.shape(mask); {
	case mask == 0:
	case len(s) == 1:
		lengths = mask
	case len(s) == 2 || len(s) == 3:
		rows, want := 1, tensor.Shape{qs[0], ks[2]}
		if len(s) == 3 {
			rows, want = qs[2], tensor.Shape{qs[0], qs[2], ks[2]}
		}
		if !s.Equal(want) {
			c.fail("the mask has shape %v, want %v", s, want)
			return nil
		}
		shown := c.op("Cast", []any{"to", int(tensor.Bool)}, c.reshape(mask, qs[0], 1, rows, ks[2]))
		kept := c.op("Where", nil, shown, c.scalar(q, 0), c.scalar(q, float64(m.filter)))
		if bias != 0 {
			kept = c.op("Add", nil, kept, bias)
		}
		bias = kept
	default:
		c.fail("%w mask with shape %v", ErrUnsupported, s)
		return nil
	}
	y, _ := c.attend(q, k, v, scale, 0, bias, reach{causal: m.causal, left: -1, right: -1, past: past, fixed: true}, lengths, 0)
	return []term{c.reshape(c.transpose(y, 0, 2, 1, 3), qs[0], qs[2], qs[1]*vs[3]), k, v}
}

// rootOf is what scores of heads of a size are scaled by.
func rootOf(size int) float64 { return 1 / math.Sqrt(float64(size)) }
