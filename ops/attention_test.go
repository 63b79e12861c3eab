package ops

import (
	"fmt"
	"math"
	"testing"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

func TestAttentionIsItsDefinition(t *testing.T) {
	for seed := range 60 {
		r := source(uint64(seed))
		yes := func() bool { return r.IntN(2) == 0 }
		batch, kvHeads, rows, columns := 1+r.IntN(3), 1+r.IntN(2), 1+r.IntN(5), 1+r.IntN(6)
		heads, size, values, past := kvHeads*(1+r.IntN(3)), 1+r.IntN(8), 1+r.IntN(8), 0
		show := r.IntN(4)
		attrs := []any{"qk_matmul_output_mode", show}
		q, k, v := reals(r, batch, heads, rows, size), reals(r, batch, kvHeads, columns, size), reals(r, batch, kvHeads, columns, values)
		in := []any{q, k, v, nil, nil, nil, nil}
		at := func(x *tensor.Tensor, c ...int) float64 { return tensortest.At(x, index(x.Shape, c...)) }
		var pastK, pastV, mask *tensor.Tensor
		var lengths []int64
		switch r.IntN(3) {
		case 0:
			past = 1 + r.IntN(3)
			pastK, pastV = reals(r, batch, kvHeads, past, size), reals(r, batch, kvHeads, past, values)
			in[4], in[5] = pastK, pastV
		case 1:
			for range batch {
				lengths = append(lengths, int64(r.IntN(columns+1)))
			}
			in[6] = tensor.Of(lengths, batch)
		}
		all := past + columns
		if yes() {
			mask = reals(r, batch, 1, rows, all)
			in[3] = mask
			if yes() {
				mask = random(r, tensor.Bool, rows, all)
				in[3] = mask
			}
		}
		causal := yes()
		if causal {
			attrs = append(attrs, "is_causal", 1)
		}
		left, right := r.IntN(4)-1, r.IntN(4)-1
		attrs = append(attrs, "left_window_size", left, "right_window_size", right)
		scale, bound := 1/math.Sqrt(float64(size)), 0.0
		if yes() {
			scale = 0.25
			attrs = append(attrs, "scale", float32(0.25))
		}
		if yes() {
			bound = 0.5
			attrs = append(attrs, "softcap", float32(0.5))
		}
		var y, scores []float64
		for _, c := range coordinates(tensor.Shape{batch, heads, rows}) {
			b, h, i := c[0], c[1], c[2]
			own := h / (heads / kvHeads)
			kept := func(x, past_ *tensor.Tensor, j, e int) float64 {
				if j < past {
					return at(past_, b, own, j, e)
				}
				return at(x, b, own, j-past, e)
			}
			var stages [4][]float64
			top := math.Inf(-1)
			for j := range all {
				s := 0.0
				for e := range size {
					s += at(q, b, h, i, e) * kept(k, pastK, j, e) * scale
				}
				stages[0] = append(stages[0], s)
				if bound > 0 {
					s = bound * math.Tanh(s/bound)
				}
				stages[1] = append(stages[1], s)
				p := i + past
				if lengths != nil {
					p = i + int(lengths[b]) - rows
				}
				out := causal && j > p || left >= 0 && j < p-left || right >= 0 && j > p+right || lengths != nil && j >= int(lengths[b])
				if mask != nil && mask.DType == tensor.Bool {
					out = out || at(mask, i, j) == 0
				} else if mask != nil {
					s += at(mask, b, 0, i, j)
				}
				if out {
					s = math.Inf(-1)
				}
				stages[2] = append(stages[2], s)
				top = math.Max(top, s)
			}
			sum := 0.0
			for _, s := range stages[2] {
				if math.IsInf(top, -1) {
					s = 0
				} else {
					s = math.Exp(s - top)
				}
				stages[3] = append(stages[3], s)
				sum += s
			}
			for e := range values {
				v1 := 0.0
				for j, w := range stages[3] {
					if sum > 0 {
						v1 += w / sum * kept(v, pastV, j, e)
					}
				}
				y = append(y, v1)
			}
			if sum > 0 {
				for j := range stages[3] {
					stages[3][j] /= sum
				}
			}
			scores = append(scores, stages[show]...)
		}
		name := fmt.Sprint("case ", seed, attrs)
		got := apply(t, build(t, "Attention", 25, attrs...), in...)
		for i, want := range map[int][]float64{0: y, 3: scores} {
			if err := tensortest.Diff(wide(got[i]), tensor.Of(want, got[i].Shape...), 1e-4, 1e-5); err != nil {
				t.Errorf("%s: output %d: %v", name, i, err)
			}
		}
		if s := got[1].Shape; !s.Equal(tensor.Shape{batch, kvHeads, all, size}) {
			t.Errorf("%s: present_key has shape %v", name, s)
		}
		// The same with the heads beside each other.
		flat := append([]any{}, in...)
		for i, x := range []*tensor.Tensor{q, k, v} {
			flat[i] = apply(t, reshaped{batch, x.Shape[2], x.Shape[1] * x.Shape[3]}, apply(t, build(t, "Transpose", 13, "perm", []int{0, 2, 1, 3}), x)[0])[0]
		}
		beside := apply(t, build(t, "Attention", 25, append(attrs, "q_num_heads", heads, "kv_num_heads", kvHeads)...), flat...)
		back := apply(t, build(t, "Transpose", 13, "perm", []int{0, 2, 1, 3}), &tensor.Tensor{
			Type: tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{batch, rows, heads, values}}, Raw: beside[0].Raw,
		})[0]
		if !back.Identical(got[0]) || !beside[3].Identical(got[3]) {
			t.Errorf("%s: heads beside each other change bits", name)
		}
	}
}

func TestAttentionRefusesWhatDoesNotFit(t *testing.T) {
	op := build(t, "Attention", 23)
	flat := build(t, "Attention", 23, "q_num_heads", 2, "kv_num_heads", 2)
	q, kv := float(1, 4, 3, 8), float(1, 2, 5, 8)
	checkShapes(t, []shapeCase{
		{"fits", op, []any{q, kv, float(1, 2, 5, 6)}, tensor.Shape{1, 4, 3, 6}},
		{"flat", flat, []any{float(1, 3, 8), float(1, 5, 8), float(1, 5, 4)}, tensor.Shape{1, 3, 4}},
		{"no heads", op, []any{float(1, 3, 8), float(1, 5, 8), float(1, 5, 4)}, nil},
		{"ranks", op, []any{q, float(1, 5, 8), kv}, nil},
		{"heads", op, []any{q, float(1, 3, 5, 8), float(1, 3, 5, 8)}, nil},
		{"sizes", op, []any{q, float(1, 2, 5, 7), kv}, nil},
		{"lengths of v", op, []any{q, kv, float(1, 2, 4, 8)}, nil},
		{"mask", op, []any{q, kv, kv, float(2, 5)}, nil},
		{"large mask", op, []any{q, kv, kv, float(2, 4, 3, 5)}, nil},
		{"past alone", op, []any{q, kv, kv, nil, float(1, 2, 5, 8)}, nil},
		{"lengths", op, []any{q, kv, kv, nil, nil, nil, tensor.New(tensor.Int64, 2)}, nil},
	})
}

func TestRotaryEmbeddingTurnsPairs(t *testing.T) {
	for seed := range 24 {
		r := source(uint64(seed))
		batch, heads, length, size := 1+r.IntN(2), 1+r.IntN(3), 1+r.IntN(4), 2*(1+r.IntN(5))
		dim := 2 * (1 + r.IntN(size/2))
		interleaved, positions := seed%2, seed%3 == 0
		x := reals(r, batch, heads, length, size)
		in := []any{x, reals(r, batch, length, dim/2), reals(r, batch, length, dim/2)}
		place := tensor.New(tensor.Int64, batch, length)
		if positions {
			in[1], in[2] = reals(r, 9, dim/2), reals(r, 9, dim/2)
			for i := range place.I64() {
				place.I64()[i] = int64(r.IntN(9))
			}
			in = append(in, place)
		}
		y := apply(t, build(t, "RotaryEmbedding", 23, "rotary_embedding_dim", dim, "interleaved", interleaved), in...)[0]
		for i, c := range coordinates(x.Shape) {
			want := tensortest.At(x, i)
			if e := c[3]; e < dim {
				pair, second, other := e%(dim/2), e >= dim/2, (e+dim/2)%dim
				if interleaved == 1 {
					pair, second, other = e/2, e%2 == 1, e^1
				}
				table := func(x any) float64 {
					if positions {
						return tensortest.At(x.(*tensor.Tensor), int(place.I64()[c[0]*length+c[2]])*dim/2+pair)
					}
					return tensortest.At(x.(*tensor.Tensor), (c[0]*length+c[2])*dim/2+pair)
				}
				partner := tensortest.At(x, index(x.Shape, c[0], c[1], c[2], other))
				if second {
					want = want*table(in[1]) + partner*table(in[2])
				} else {
					want = want*table(in[1]) - partner*table(in[2])
				}
			}
			if got := tensortest.At(y, i); math.Abs(got-want) > 1e-6 {
				t.Fatalf("case %d: element %v is %v, want %v", seed, c, got, want)
			}
		}
	}
}
