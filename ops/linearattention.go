package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	create := func(a *Attrs) graph.Op {
		l := linearAttention{qHeads: a.Int("q_num_heads", 0), kvHeads: a.Int("kv_num_heads", 0), scale: a.Float("scale", 0)}
		a.Int("chunk_size", 0) // which only says how
		switch rule := a.String("update_rule", "gated_delta"); rule {
		case "linear":
		case "gated":
			l.gated = true
		case "delta":
			l.delta = true
		case "gated_delta":
			l.gated, l.delta = true, true
		default:
			a.Fail("attribute %q is %q, want linear, gated, delta or gated_delta", "update_rule", rule)
		}
		if l.kvHeads < 1 || l.qHeads < 1 || l.qHeads%l.kvHeads != 0 {
			a.Fail("q_num_heads is %d and kv_num_heads %d, want a multiple of it", l.qHeads, l.kvHeads)
		}
		return &composition{"LinearAttention", 3, 6, l.compose}
	}
	register("LinearAttention", 27, create)
	registerContrib("LinearAttention", func(a *Attrs) graph.Op {
		a.Only("state_window", 0)
		return create(a)
	})
}

// linearAttention reads a matrix of state that each token changes:
//
//	S = e^decay * S          if gated
//	S = S + k (x) beta * (v - S^T k)   if delta, else S + k (x) v
//	y = scale * S^T q
//
// for each head of k and v, which as many neighbouring heads of q share as there
// are more of these. A scale of 0 stands for 1/sqrt(K).
//
//	q:     [B T Hq*K] floating point
//	k, v:  [B T H*K], [B T H*V]
//	past:  [B H K V], zeros if omitted
//	decay: [B T H*K] or [B T H] if gated
//	beta:  [B T H] or [B T 1] if delta
//	y:     [B T Hq*V]
//	state: [B H K V], the last S, of the type of past, or q's if that is omitted
//
// Sums are float32.
//
// Source: ONNX LinearAttention-27; ONNX Runtime, docs/ContribOperators.md.
type linearAttention struct {
	qHeads, kvHeads int
	scale           float32
	gated, delta    bool
}

// compose brings everything to float32 and back.
func (l linearAttention) compose(c *composer) []term {
	to := c.fact(c.input(0)).DType
	kept := to
	if past := c.input(3); past != 0 {
		kept = c.fact(past).DType
	}
	in := make([]term, 6)
	for i := range in {
		if in[i] = c.input(i); in[i] != 0 {
			in[i] = c.as(tensor.Float32, in[i])
		}
	}
	out := c.applyAll(linearAttentionKernel{l}, in...)
	return []term{c.as(to, out[0]), c.as(kept, out[1])}
}

// as returns x in another type.
func (c *composer) as(to tensor.DType, x term) term {
	if c.err != nil || c.fact(x).DType == to {
		return x
	}
	return c.apply(cast{to: to}, x)
}

// linearAttentionKernel is linearAttention in float32.
type linearAttentionKernel struct{ linearAttention }

func (linearAttentionKernel) String() string { return "LinearAttention" }

func (l linearAttentionKernel) Infer(in []graph.Fact) ([]graph.Fact, error) {
	q, k, v := in[0].Shape, in[1].Shape, in[2].Shape
	if len(q) != 3 || len(k) != 3 || len(v) != 3 {
		return nil, fmt.Errorf("q, k and v have shapes %v, %v and %v, want 3 dimensions", q, k, v)
	}
	batch, length, size := q[0], q[1], q[2]/l.qHeads
	wide := v[2] / l.kvHeads
	for _, c := range []struct {
		name string
		f    graph.Fact
		want []tensor.Shape
	}{
		{"q", in[0], []tensor.Shape{{batch, length, l.qHeads * size}}},
		{"k", in[1], []tensor.Shape{{batch, length, l.kvHeads * size}}},
		{"v", in[2], []tensor.Shape{{batch, length, l.kvHeads * wide}}},
		{"the past", in[3], []tensor.Shape{{batch, l.kvHeads, size, wide}}},
		{"decay", in[4], []tensor.Shape{{batch, length, l.kvHeads}, {batch, length, l.kvHeads * size}}},
		{"beta", in[5], []tensor.Shape{{batch, length, l.kvHeads}, {batch, length, 1}}},
	} {
		fits := c.f.Missing()
		for _, s := range c.want {
			fits = fits || c.f.Shape.Equal(s)
		}
		if !fits {
			return nil, fmt.Errorf("%s has shape %v, want one of %v", c.name, c.f.Shape, c.want)
		}
	}
	if l.gated == in[4].Missing() || l.delta == in[5].Missing() {
		return nil, fmt.Errorf("decay is given: %v, beta: %v, want %v and %v by the rule", !in[4].Missing(), !in[5].Missing(), l.gated, l.delta)
	}
	return []graph.Fact{
		{Type: tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{batch, length, l.qHeads * wide}}},
		{Type: tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{batch, l.kvHeads, size, wide}}},
	}, nil
}

func (l linearAttentionKernel) FLOPs(in, out []graph.Fact) int64 {
	const passes = 3 // over the state: read, write, read for each head of q
	return flops(2*passes, in[0].Shape[1], out[1].Shape.Elems(), l.qHeads/l.kvHeads)
}

func (l linearAttentionKernel) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	s := out[1].Shape
	heads := s[0] * s[1]
	return graph.Kernel{Info: "recurrence", Scratch: 4 * s[3], Steps: []graph.Step{{N: heads, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
		l.head(in, out, tensor.Cast[float32](x.Scratch), i/s[1], i%s[1])
		return nil
	}}}}, nil
}

// head computes one head of one element of the batch.
func (l linearAttentionKernel) head(in, out []*tensor.Tensor, fresh []float32, b, h int) {
	s := out[1].Shape
	size, wide, length := s[2], s[3], in[0].Shape[1]
	state := out[1].F32()[(b*s[1]+h)*size*wide:][:size*wide]
	clear(state)
	if past := in[3]; past != nil {
		copy(state, past.F32()[(b*s[1]+h)*size*wide:])
	}
	scale := l.scale
	if scale == 0 {
		scale = float32(1 / math.Sqrt(float64(size)))
	}
	shared := l.qHeads / l.kvHeads
	fresh = fresh[:wide]
	for t := range length {
		token := b*length + t
		k, v := in[1].F32()[(token*s[1]+h)*size:][:size], in[2].F32()[(token*s[1]+h)*wide:][:wide]
		if l.gated {
			if each := in[4].Shape[2]; each == s[1] {
				scaleTo(state, expOf(in[4].F32()[token*each+h]))
			} else {
				for i, g := range in[4].F32()[token*each+h*size:][:size] {
					scaleTo(state[i*wide:][:wide], expOf(g))
				}
			}
		}
		copy(fresh, v)
		if l.delta {
			for i, x := range k {
				for j, y := range state[i*wide:][:wide] {
					fresh[j] -= float32(x * y)
				}
			}
			beta := in[5].F32()[token*in[5].Shape[2]+min(h, in[5].Shape[2]-1)]
			scaleTo(fresh, beta)
		}
		for i, x := range k {
			row := state[i*wide:][:wide]
			for j, y := range fresh {
				row[j] += float32(x * y)
			}
		}
		for n := range shared {
			head := token*l.qHeads + h*shared + n
			q, y := in[0].F32()[head*size:][:size], out[0].F32()[head*wide:][:wide]
			clear(y)
			for i, x := range q {
				for j, z := range state[i*wide:][:wide] {
					y[j] += float32(x * z)
				}
			}
			scaleTo(y, scale)
		}
	}
}

func expOf(x float32) float32 { return float32(math.Exp(float64(x))) }

// scaleTo multiplies each element of x.
func scaleTo(x []float32, by float32) {
	for i := range x {
		x[i] *= by
	}
}
