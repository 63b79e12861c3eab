package ops

import (
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

func init() {
	register("Attention", 23, func(a *Attrs) graph.Op {
		f := &attention{
			scaled: a.Has("scale"), scale: a.Float("scale", 1), softcap: a.Float("softcap", 0),
			qHeads: a.Int("q_num_heads", 0), kvHeads: a.Int("kv_num_heads", 0), show: a.Int("qk_matmul_output_mode", 0),
			reach: reach{causal: a.Int("is_causal", 0) != 0, left: a.Int("left_window_size", -1), right: a.Int("right_window_size", -1)},
		}
		a.Int("softmax_precision", 0) // there is no need of more than the elements have
		if f.show < 0 || f.show > 3 {
			a.Fail("qk_matmul_output_mode is %d, want 0 to 3", f.show)
		}
		if f.reach.left < -1 || f.reach.right < -1 || max(f.reach.left, f.reach.right) > math.MaxInt32 {
			a.Fail("windows are %d and %d, want -1 to %d", f.reach.left, f.reach.right, math.MaxInt32)
		}
		return &composition{"Attention", 3, 7, f.compose}
	})
}

// attention is scaled dot-product attention,
//
//	y = softmax(cap(scale*q*k^T) + mask) * v
//
// for each head, where cap(x) is softcap*tanh(x/softcap), or x without a
// softcap. Heads of k and v are shared by as many neighbouring heads of q as
// there are more of these. A row that the masks keep out of everything gives 0.
//
//	q:          [B Hq Sq D] floating point, or [B Sq Hq*D] with q_num_heads
//	k:          [B Hk Sk D], or [B Sk Hk*D] with kv_num_heads
//	v:          [B Hk Sk E], or [B Sk Hk*E], of q's type or another
//	mask:       broadcasts to [B Hq Sq P+Sk], bool (false keeps out) or floating point; optional.
//	            What a shorter last dimension lacks is kept out.
//	past_key:   [B Hk P D], past_value: [B Hk P E], before k and v; optional, both
//	lengths:    [B] int64, the elements of k and v that count, optional
//	y:          [B Hq Sq E] or [B Sq Hq*E], as q
//	present_key, present_value: k and v with the past
//	qk:         [B Hq Sq P+Sk], the scores; by qk_matmul_output_mode 0 the products, 1 after
//	            the cap, 2 after the mask, 3 after the softmax
//
// Source: ONNX Attention-23, -24, -25.
type attention struct {
	scaled          bool // scale is given
	scale, softcap  float32
	qHeads, kvHeads int
	show            int
	reach           reach
}

// heads brings x, [B S H*D], to [B H S D].
func (c *composer) heads(name string, x term, heads int) term {
	s := c.shape(x)
	if c.err != nil {
		return 0
	}
	if heads < 1 || s[2]%heads != 0 {
		return c.fail("%s has shape %v, want a multiple of %d heads in the last dimension", name, s, heads)
	}
	return c.transpose(c.reshape(x, s[0], s[1], heads, s[2]/heads), 0, 2, 1, 3)
}

func (f *attention) compose(c *composer) []term {
	q, k, v := c.input(0), c.input(1), c.input(2)
	flat := len(c.shape(q)) == 3
	if flat {
		if !c.rank("k", k, 3) || !c.rank("v", v, 3) {
			return nil
		}
		q, k, v = c.heads("q", q, f.qHeads), c.heads("k", k, f.kvHeads), c.heads("v", v, f.kvHeads)
	}
	if !c.rank("q", q, 4) || !c.rank("k", k, 4) || !c.rank("v", v, 4) {
		return nil
	}
	past := 0
	if p := c.input(4); p != 0 {
		if !c.rank("past_key", p, 4) || !c.rank("past_value", c.input(5), 4) {
			return nil
		}
		past = c.shape(p)[2]
		k, v = c.op("Concat", []any{"axis", 2}, p, k), c.op("Concat", []any{"axis", 2}, c.input(5), v)
	}
	qs, ks, vs := c.shape(q), c.shape(k), c.shape(v)
	if c.err != nil {
		return nil
	}
	if ks[1] == 0 || qs[1]%ks[1] != 0 || vs[1] != ks[1] || vs[2] != ks[2] || ks[3] != qs[3] || ks[0] != qs[0] || vs[0] != qs[0] {
		c.fail("q, k and v have shapes %v, %v and %v as heads, which do not fit", qs, ks, vs)
		return nil
	}
	scale := float64(f.scale)
	if !f.scaled {
		scale = 1 / math.Sqrt(float64(qs[3]))
	}
	mask := c.input(3)
	if mask != 0 {
		mask = c.mask(mask, q, ks[2])
	}
	values := v
	v = c.as(c.fact(q).DType, v)
	near := f.reach
	near.past = past
	y, scores := c.attend(q, k, v, scale, float64(f.softcap), mask, near, c.input(6), f.show)
	if flat {
		y = c.reshape(c.transpose(y, 0, 2, 1, 3), qs[0], qs[2], qs[1]*vs[3])
	}
	return []term{y, k, values, scores}
}

// mask returns what a mask adds to the scores, with its last dimension
// stretched to the length of k.
func (c *composer) mask(m, q term, length int) term {
	if c.fact(m).DType == tensor.Bool {
		m = c.op("Where", nil, m, c.scalar(q, 0), c.scalar(q, math.Inf(-1)))
	}
	m = c.as(c.fact(q).DType, m)
	s := c.shape(m)
	if c.err == nil && len(s) > 0 && s[len(s)-1] < length {
		pads := make([]int64, 2*len(s))
		pads[len(pads)-1] = int64(length - s[len(s)-1])
		m = c.op("Pad", nil, m, c.constant(tensor.Of(pads, len(pads))), c.scalar(q, math.Inf(-1)))
	}
	return m
}

// attend returns the attention of q, k and v in heads as attention says, and
// the scores after as many stages as show says.
func (c *composer) attend(q, k, v term, scale, softcap float64, mask term, near reach, lengths term, show int) (y, scores term) {
	qs, ks, vs := c.shape(q), c.shape(k), c.shape(v)
	if c.err != nil {
		return 0, 0
	}
	shared := qs[1] / ks[1]
	if scale != 1 {
		q = c.op("Mul", nil, q, c.scalar(q, scale))
	}
	if shared > 1 { // the heads that share k and v are rows of one product
		q = c.reshape(q, qs[0], ks[1], shared*qs[2], qs[3])
	}
	all := c.op("MatMul", nil, q, c.transpose(k, 0, 1, 3, 2))
	if shared > 1 {
		all = c.reshape(all, qs[0], qs[1], qs[2], ks[2])
	}
	stages := []term{all}
	if softcap != 0 {
		bound := c.scalar(all, softcap)
		all = c.op("Mul", nil, c.op("Tanh", nil, c.op("Div", nil, all, bound)), bound)
	}
	stages = append(stages, all)
	if mask != 0 {
		all = c.op("Add", nil, all, mask)
	}
	if c.err == nil && !c.shape(all).Equal(tensor.Shape{qs[0], qs[1], qs[2], ks[2]}) {
		c.fail("the mask has shape %v, want one that broadcasts to %v", c.shape(mask), tensor.Shape{qs[0], qs[1], qs[2], ks[2]})
		return 0, 0
	}
	if near.causal || near.left >= 0 || near.right >= 0 || lengths != 0 {
		all = c.apply(near, all, lengths)
	}
	stages = append(stages, all)
	weights := c.apply(maskedSoftmax{}, all)
	stages = append(stages, weights)
	if shared > 1 {
		weights = c.reshape(weights, qs[0], ks[1], shared*qs[2], ks[2])
	}
	y = c.op("MatMul", nil, weights, v)
	if shared > 1 {
		y = c.reshape(y, qs[0], qs[1], qs[2], vs[3])
	}
	return y, stages[show]
}

// reach is y = x where row i, which stands at p = i + past, may see column j,
// and -Inf elsewhere: j <= p if causal, j >= p - left, j <= p + right, and
// j < length.
//
//	x, y:    [B H S L] floating point
//	lengths: [B] int64 or int32, optional; past is then length - S unless it is given or fixed
type reach struct {
	causal      bool
	left, right int // -1 for all
	past        int
	fixed       bool // past does not follow from lengths
}

func (reach) String() string { return "reach" }

func (r reach) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in[:1]); d.Valid() {
		return inferHalf(r, d, in)
	}
	if n := input(in, 1); !n.Missing() {
		if err := checkType("lengths", n.DType, tensor.Int64, tensor.Int32); err != nil {
			return nil, err
		}
		if err := checkShape("lengths", n, in[0].Shape[0]); err != nil {
			return nil, err
		}
	}
	return inferSame(in[:1], floatTypes...)
}

func (r reach) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in[:1]); d.Valid() {
		return compileHalf(r, d, in, out)
	}
	if in[0].DType == tensor.Float64 {
		return reachKernel[float64](r, in[0].Shape), nil
	}
	return reachKernel[float32](r, in[0].Shape), nil
}

func reachKernel[T float32 | float64](r reach, s tensor.Shape) graph.Kernel {
	length := s[3]
	rows := s.Elems() / max(1, length)
	count := chunks(rows, vectorTime*float64(length))
	return graph.Kernel{Info: "generic go", InPlace: []int{0}, Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := tensor.View[T](in[0]), tensor.View[T](out[0])
		lo, hi := span(rows, count, i, 1)
		for row := lo; row < hi; row++ {
			end, past := length, r.past
			if t := operand(in, 1); t != nil {
				n := lengthAt(t, row/(s[1]*s[2]))
				end = max(0, min(length, n))
				if past == 0 && !r.fixed {
					past = n - s[2]
				}
			}
			at, from := row%s[2]+past, 0
			if r.causal {
				end = min(end, at+1)
			}
			if r.right >= 0 {
				end = min(end, at+r.right+1)
			}
			if r.left >= 0 {
				from = min(length, max(0, at-r.left))
			}
			end = max(end, from)
			z := y[row*length:][:length]
			copy(z, x[row*length:])
			for j := range z {
				if j < from || j >= end {
					z[j] = T(math.Inf(-1))
				}
			}
		}
		return nil
	}}}}
}

// lengthAt returns element i of a list of lengths, within the 32-bit integers.
func lengthAt(t *tensor.Tensor, i int) int {
	v := int64(0)
	if t.DType == tensor.Int32 {
		v = int64(tensor.View[int32](t)[i])
	} else {
		v = t.I64()[i]
	}
	return int(max(-math.MaxInt32, min(math.MaxInt32, v)))
}

// maskedSoftmax is Softmax along the last dimension, with 0 for rows of nothing
// but -Inf.
type maskedSoftmax struct{}

func (maskedSoftmax) String() string { return "Softmax" }

func (m maskedSoftmax) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(m, d, in)
	}
	return inferSame(in, floatTypes...)
}

func (maskedSoftmax) FLOPs(in, out []graph.Fact) int64 { return flops(mathWork, out[0].Shape.Elems()) }

func (m maskedSoftmax) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(m, d, in, out)
	}
	s := in[0].Shape
	length := s[len(s)-1]
	rows := 0
	if length > 0 {
		rows = s.Elems() / length
	}
	count := chunks(rows, scalarTime*float64(length))
	double := in[0].DType == tensor.Float64
	return graph.Kernel{Info: "rows", InPlace: []int{0}, Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(rows, count, i, 1)
		for row := lo; row < hi; row++ {
			if double {
				softmax64(tensor.View[float64](out[0])[row*length:][:length], tensor.View[float64](in[0])[row*length:][:length])
				continue
			}
			x, y := floats(in[0])[row*length:][:length], floats(out[0])[row*length:][:length]
			if slices.ContainsFunc(x, func(v float32) bool { return v != -inf }) {
				vec.Softmax(y, x)
			} else {
				clear(y)
			}
		}
		return nil
	}}}}, nil
}

// softmax64 sets y to the softmax of x, 0 if that is nothing but -Inf.
func softmax64(y, x []float64) {
	m := slices.Max(x)
	if math.IsInf(m, -1) {
		clear(y)
		return
	}
	sum := 0.0
	for i, v := range x {
		y[i] = math.Exp(v - m)
		sum += y[i]
	}
	for i := range y {
		y[i] /= sum
	}
}
