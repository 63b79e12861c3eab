package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// GroupQueryAttention of ONNX Runtime is causal attention with a cache of keys and
// values, whose heads are shared by several of the query's:
//
//	query:       [B S H*D] floating point, or with key and value behind each
//	             value's: [B S (H+2*G)*D] if these are omitted
//	key, value:  [B S G*D]
//	past_key, past_value: [B G P D], of which the rows of a sequence that are in use
//	             come first; optional
//	lengths:     [B] int32, input 5, the rows in use after this run, less one
//	total:       int32, the largest number of rows in use after this run. If it is S,
//	             there is nothing in use before.
//	cos, sin:    [M R/2], with do_rotary, optional
//	positions:   [B S] int64, input 9, rows of cos and sin, optional
//	bias:        added to the scores, broadcasts to [B H S total], input 10, optional
//	y:           [B S H*D]
//	present_key, present_value: [B G max(P, total) D], 0 in rows that are not in use
//
// local_window_size is how many rows, its own included, a row of the query sees; -1
// for all.
//
// Source: ONNX Runtime, docs/ContribOperators.md.
func init() {
	registerFused("GroupQueryAttention", 1, 11, func(a *Attrs) func(c *composer) []term {
		g := groupQuery{
			heads: a.Int("num_heads", 0), groups: a.Int("kv_num_heads", 0), rotary: a.Int("do_rotary", 0) != 0,
			turn: rotaryEmbedding{interleaved: a.Int("rotary_interleaved", 0) != 0},
		}
		g.attention = attention{scaled: a.Float("scale", 0) != 0, scale: a.Float("scale", 0), softcap: a.Float("softcap", 0)}
		g.reach = reach{causal: true, left: a.Int("local_window_size", -1), right: -1}
		if g.reach.left > 0 {
			g.reach.left--
		}
		for name, usual := range map[string]int{"smooth_softmax": 0, "qk_output": 0, "sliding_window_cache": 0, "causal": 1, "kv_cache_bit_width": 0} {
			if v := a.Int(name, usual); v != usual && !(name == "smooth_softmax" && v == -1) {
				a.Fail("%w %s %d", ErrUnsupported, name, v)
			}
		}
		for _, name := range []string{"k_quant_type", "v_quant_type"} {
			if v := a.String(name, "NONE"); v != "NONE" {
				a.Fail("%w %s %s", ErrUnsupported, name, v)
			}
		}
		if g.heads < 1 || g.heads > maxHeads || g.groups < 1 || g.heads%g.groups != 0 {
			a.Fail("num_heads is %d and kv_num_heads %d, want a multiple up to %d", g.heads, g.groups, maxHeads)
		}
		return g.compose
	})
}

// maxHeads bounds the heads of a query.
const maxHeads = 1 << 20

type groupQuery struct {
	attention
	heads, groups int
	rotary        bool
	turn          rotaryEmbedding
}

func (g groupQuery) compose(c *composer) []term {
	q, k, v := c.input(0), c.input(1), c.input(2)
	if !c.rank("query", q, 3) {
		return nil
	}
	if k == 0 {
		size := c.shape(q)[2] / (g.heads + 2*g.groups)
		parts := c.split(q, []int{g.heads * size, g.groups * size, g.groups * size})
		q, k, v = parts[0], parts[1], parts[2]
	}
	if !c.rank("key", k, 3) || !c.rank("value", v, 3) {
		return nil
	}
	q, k, v = c.heads("query", q, g.heads), c.heads("key", k, g.groups), c.heads("value", v, g.groups)
	total, err := integers(c.fact(c.input(6)), "total_sequence_length")
	if c.err != nil || err != nil || len(total) != 1 {
		if c.err == nil && err == nil {
			err = fmt.Errorf("total_sequence_length has %d values, want 1", len(total))
		}
		if c.err == nil {
			c.err = err
		}
		return nil
	}
	qs, lengths := c.shape(q), c.input(5)
	batch, length := qs[0], qs[2]
	if s := c.shape(lengths); s.Elems() != batch || c.fact(lengths).DType != tensor.Int32 {
		c.fail("seqlens_k is %v, want %d of int32", c.fact(lengths).Type, batch)
		return nil
	}
	if total[0] < length {
		c.fail("total_sequence_length is %d, want at least %d", total[0], length)
		return nil
	}
	number := func(v int) term { return c.constant(tensor.Of([]int32{int32(v)}, 1)) }
	lengths = c.op("Add", nil, c.reshape(lengths, batch), number(1))
	near := g.reach
	first := total[0] == length
	if first { // rows beyond a sequence's own are seen by none of its rows
		lengths, near.fixed = 0, true
	}
	if g.rotary {
		cos, sin, positions := c.input(7), c.input(8), c.input(9)
		if !c.rank("cos_cache", cos, 2) {
			return nil
		}
		if length > maxRotaryRows {
			c.fail("%w sequence of %d, want at most %d", ErrUnsupported, length, maxRotaryRows)
			return nil
		}
		if positions == 0 || first {
			steps := make([]int64, length)
			for i := range steps {
				steps[i] = int64(i)
			}
			positions = c.constant(tensor.Of(steps, 1, length))
			start := c.constant(tensor.New(tensor.Int64, batch, 1))
			if !first {
				start = c.op("Cast", []any{"to", int(tensor.Int64)}, c.reshape(c.op("Sub", nil, lengths, number(length)), batch, 1))
			}
			positions = c.op("Add", nil, positions, start)
		}
		g.turn.dim = 2 * c.shape(cos)[1]
		for _, x := range []*term{&q, &k} {
			if y := g.turn.rotate(c, *x, cos, sin, positions); y != nil {
				*x = y[0]
			}
		}
	}
	k = c.apply(cached{total[0]}, k, c.input(3), lengths)
	v = c.apply(cached{total[0]}, v, c.input(4), lengths)
	ks := c.shape(k)
	if c.err != nil {
		return nil
	}
	bias := c.input(10)
	if bias != 0 {
		bias = c.mask(bias, q, ks[2])
	}
	scale := float64(g.scale)
	if !g.scaled {
		scale = rootOf(qs[3])
	}
	y, _ := c.attend(q, k, v, scale, float64(g.softcap), bias, near, lengths, 0)
	return []term{c.reshape(c.transpose(y, 0, 2, 1, 3), batch, length, g.heads*qs[3]), k, v}
}

// cached is the rows of past, which come first, and those of x behind them.
//
//	x:       [B G S D]
//	past:    [B G P D], x's type; optional
//	lengths: [B] int32, the rows that this makes; if omitted, past has none in use
//	y:       [B G max(P, total) D], 0 in further rows
type cached struct{ total int }

func (cached) String() string { return "cached" }

func (k cached) Infer(in []graph.Fact) ([]graph.Fact, error) {
	x, past := in[0], in[1]
	shape := x.Shape.Clone()
	shape[2] = max(shape[2], k.total)
	if !past.Missing() {
		if err := checkType("the past", past.DType, x.DType); err != nil {
			return nil, err
		}
		if len(past.Shape) != 4 {
			return nil, fmt.Errorf("the past has shape %v, want 4 dimensions", past.Shape)
		}
		want := x.Shape.Clone()
		want[2] = past.Shape[2]
		if err := checkShape("the past", past, want...); err != nil {
			return nil, err
		}
		shape[2] = max(shape[2], want[2])
	}
	t, err := tensor.CheckType(x.DType, shape, graph.DefaultLimit)
	return []graph.Fact{{Type: t}}, err
}

func (k cached) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	s, rows := in[0].Shape, out[0].Shape[2]
	width, before := s[3]*in[0].DType.Size(), 0
	if !in[1].Missing() {
		before = in[1].Shape[2]
	}
	heads := s[0] * s[1]
	count := chunks(heads, moveTime*float64(rows*width))
	return graph.Kernel{Info: "copy", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(heads, count, i, 1)
		for h := lo; h < hi; h++ {
			at := 0
			if lengths := operand(in, 2); lengths != nil {
				at = max(0, min(lengthAt(lengths, h/s[1])-s[2], before, rows-s[2]))
			}
			y := out[0].Raw[h*rows*width:][:rows*width]
			n := 0
			if at > 0 {
				n = copy(y, in[1].Raw[h*before*width:][:at*width])
			}
			n += copy(y[n:], in[0].Raw[h*s[2]*width:][:s[2]*width])
			clear(y[n:])
		}
		return nil
	}}}}, nil
}
