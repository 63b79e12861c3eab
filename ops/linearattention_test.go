package ops

import (
	"fmt"
	"math"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// The expected values are the recurrence, in float64 and with the whole state
// written out.
func TestLinearAttentionIsItsRecurrence(t *testing.T) {
	const batch, length, heads, size, wide = 2, 5, 2, 3, 4
	for _, rule := range []string{"linear", "gated", "delta", "gated_delta"} {
		for variant, shared := range []int{1, 3} {
			r := source(uint64(len(rule)))
			q, k, v := reals(r, batch, length, heads*shared*size), reals(r, batch, length, heads*size), reals(r, batch, length, heads*wide)
			past := reals(r, batch, heads, size, wide)
			decays, betas := heads*size, heads // for each element of a key, for each head
			if variant == 1 {
				decays, betas = heads, 1
			}
			decay, beta := reals(r, batch, length, decays), reals(r, batch, length, betas)
			in := []any{q, k, v, past, nil, nil}
			gated, delta := rule == "gated" || rule == "gated_delta", rule == "delta" || rule == "gated_delta"
			if gated {
				in[4] = decay
			}
			if delta {
				in[5] = beta
			}
			scale := 1 / math.Sqrt(size)
			attrs := []any{"q_num_heads", heads * shared, "kv_num_heads", heads, "update_rule", rule}
			if variant == 1 {
				scale = 0.25
				attrs = append(attrs, "scale", float32(scale))
			}
			at := func(x *tensor.Tensor, i int) float64 { return float64(x.F32()[i]) }
			want, states := make([]float64, batch*length*heads*shared*wide), make([]float64, batch*heads*size*wide)
			for b := range batch {
				for h := range heads {
					var s [size][wide]float64
					for i := range size {
						for j := range wide {
							s[i][j] = at(past, ((b*heads+h)*size+i)*wide+j)
						}
					}
					for token := b * length; token < (b+1)*length; token++ {
						key := func(i int) float64 { return at(k, (token*heads+h)*size+i) }
						for i := range size {
							for j := range wide {
								switch {
								case gated && decays == heads:
									s[i][j] *= math.Exp(at(decay, token*heads+h))
								case gated:
									s[i][j] *= math.Exp(at(decay, (token*heads+h)*size+i))
								}
							}
						}
						var fresh [wide]float64
						for j := range wide {
							fresh[j] = at(v, (token*heads+h)*wide+j)
							if delta {
								for i := range size {
									fresh[j] -= s[i][j] * key(i)
								}
								fresh[j] *= at(beta, token*betas+h%betas)
							}
						}
						for i := range size {
							for j := range wide {
								s[i][j] += key(i) * fresh[j]
							}
						}
						for n := range shared {
							head := token*heads*shared + h*shared + n
							for j := range wide {
								for i := range size {
									want[head*wide+j] += scale * at(q, head*size+i) * s[i][j]
								}
							}
						}
					}
					for i := range size {
						for j := range wide {
							states[((b*heads+h)*size+i)*wide+j] = s[i][j]
						}
					}
				}
			}
			name := fmt.Sprintf("%s, %d heads share", rule, shared)
			bound := func(n int) []float64 { // of values of about 30 at most
				m := make([]float64, n)
				for i := range m {
					m[i] = 30
				}
				return m
			}
			out := apply(t, build(t, "LinearAttention", 27, attrs...), in...)
			checkClose(t, name, out[0], want, bound(len(want)), 30)
			checkClose(t, name+", state", out[1], states, bound(len(states)), 30)
			if other := apply(t, contrib(t, "LinearAttention", attrs...), in...); !other[0].Identical(out[0]) {
				t.Errorf("%s: ONNX Runtime's operator gives other bits", name)
			}
		}
	}
}

// A sequence in one go and token by token give the same bits.
func TestLinearAttentionGoesOnFromItsState(t *testing.T) {
	const length, heads, size = 4, 2, 3
	r := source(5)
	q, k, v := reals(r, 1, length, heads*size), reals(r, 1, length, heads*size), reals(r, 1, length, heads*size)
	op := build(t, "LinearAttention", 27, "q_num_heads", heads, "kv_num_heads", heads, "update_rule", "linear")
	whole := apply(t, op, q, k, v)
	var state any
	for i := range length {
		token := func(x *tensor.Tensor) *tensor.Tensor {
			return tensor.Of(x.F32()[i*heads*size:][:heads*size], 1, 1, heads*size)
		}
		out := apply(t, op, token(q), token(k), token(v), state)
		if !out[0].Identical(token(whole[0])) {
			t.Fatalf("token %d: got %v, want %v", i, out[0].F32(), token(whole[0]).F32())
		}
		state = out[1]
	}
	if !state.(*tensor.Tensor).Identical(whole[1]) {
		t.Error("the last state is another one")
	}
}

func TestLinearAttentionRefusesWhatDoesNotFit(t *testing.T) {
	for _, attrs := range [][]any{{}, {"q_num_heads", 3, "kv_num_heads", 2}, {"q_num_heads", 2, "kv_num_heads", 2, "update_rule", "other"}} {
		if _, err := New("", "LinearAttention", 27, attrList(attrs...)); err == nil {
			t.Errorf("%v is no error", attrs)
		}
	}
	op := func(rule string) graph.Op {
		return build(t, "LinearAttention", 27, "q_num_heads", 2, "kv_num_heads", 2, "update_rule", rule)
	}
	x := float(1, 3, 8)
	checkShapes(t, []shapeCase{
		{"fits", op("gated"), []any{x, x, x, nil, float(1, 3, 2)}, tensor.Shape{1, 3, 8}},
		{"no decay", op("gated"), []any{x, x, x}, nil},
		{"decay", op("linear"), []any{x, x, x, nil, float(1, 3, 2)}, nil},
		{"odd decay", op("gated"), []any{x, x, x, nil, float(1, 3, 3)}, nil},
		{"past", op("linear"), []any{x, x, x, float(1, 2, 4, 3)}, nil},
		{"rank", op("linear"), []any{float(3, 8), x, x}, nil},
		{"odd heads", op("linear"), []any{x, float(1, 3, 7), x}, nil},
	})
}
