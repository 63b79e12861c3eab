package ops

import (
	"math"
	"testing"

	"scission/engine/tensor"
)

// The expected values are the definition: (q - zero) * scale, then the product.
func TestMatMulNBitsIsTheProductWithItsBlocks(t *testing.T) {
	const k, n, block = 40, 5, 16 // the last block has 8 values that do not count
	blocks := ceil(k, block)
	for _, bits := range []int{2, 4, 8} {
		for _, zeros := range []string{"", "packed", "plain"} {
			r := source(7)
			x, scales, bias := reals(r, 3, k), reals(r, n, blocks), reals(r, n)
			b := wholeRange(8, tensor.Uint8, n, blocks, block*bits/8)
			row := ceil(blocks*bits, 8)
			packed, plain := wholeRange(9, tensor.Uint8, n, row), reals(r, n, blocks)
			integer := func(b []byte, i int) float64 { return float64(int(b[i*bits/8]) >> (i * bits % 8) & (1<<bits - 1)) }
			zero := func(j, i int) float64 {
				switch zeros {
				case "packed":
					return integer(packed.Raw[j*row:], i)
				case "plain":
					return float64(plain.F32()[j*blocks+i])
				}
				return float64(int(1) << (bits - 1))
			}
			in := []any{x, known{b}, known{scales}, map[string]any{"": nil, "packed": known{packed}, "plain": known{plain}}[zeros], nil, bias}
			y := apply(t, contrib(t, "MatMulNBits", "K", k, "N", n, "bits", bits, "block_size", block), in...)[0]
			for m := range 3 {
				for j := range n {
					want := float64(bias.F32()[j])
					for i := range k {
						q := integer(b.Raw[j*blocks*block*bits/8:], i)
						want += float64(x.F32()[m*k+i]) * (q - zero(j, i/block)) * float64(scales.F32()[j*blocks+i/block])
					}
					if got := float64(y.F32()[m*n+j]); math.Abs(got-want) > 1e-3*math.Max(1, math.Abs(want)) {
						t.Fatalf("%d bits, zeros %q: element %d %d is %v, want %v", bits, zeros, m, j, got, want)
					}
				}
			}
		}
	}
}

// Two sequences have 3 and 1 rows in use before this run adds one to each; the
// expected values are the definition of attention, row by row.
func TestGroupQueryAttentionSeesTheRowsInUse(t *testing.T) {
	const batch, heads, groups, size, past = 2, 4, 2, 3, 3
	r := source(11)
	q, k, v := reals(r, batch, 1, heads*size), reals(r, batch, 1, groups*size), reals(r, batch, 1, groups*size)
	pk, pv := reals(r, batch, groups, past, size), reals(r, batch, groups, past, size)
	used := []int{3, 1}
	lengths, total := tensor.Of([]int32{3, 1}, batch), tensor.Of([]int32{past + 1}, 1)
	for _, window := range []int{-1, 2} {
		out := apply(t, contrib(t, "GroupQueryAttention", "num_heads", heads, "kv_num_heads", groups, "local_window_size", window),
			q, k, v, pk, pv, lengths, known{total})
		row := func(cache, fresh *tensor.Tensor, b, g, i int) []float32 {
			if i == used[b] {
				return fresh.F32()[(b*groups+g)*size:][:size]
			}
			return cache.F32()[((b*groups+g)*past+i)*size:][:size]
		}
		for b := range batch {
			first := 0
			if window > 0 {
				first = max(0, used[b]+1-window)
			}
			for h := range heads {
				g := h / (heads / groups)
				var sum float64
				var want [size]float64
				for i := first; i <= used[b]; i++ {
					dot := 0.0
					for d, x := range row(pk, k, b, g, i) {
						dot += float64(x) * float64(q.F32()[(b*heads+h)*size+d])
					}
					weight := math.Exp(dot / math.Sqrt(size))
					sum += weight
					for d, x := range row(pv, v, b, g, i) {
						want[d] += weight * float64(x)
					}
				}
				for d, w := range want {
					if got := float64(out[0].F32()[(b*heads+h)*size+d]); math.Abs(got-w/sum) > 1e-5 {
						t.Fatalf("window %d, sequence %d, head %d: got %v, want %v", window, b, h, got, w/sum)
					}
				}
			}
			for g := range groups {
				for i := range past + 1 {
					for d := range size {
						want := float32(0)
						if i <= used[b] {
							want = row(pk, k, b, g, i)[d]
						}
						if got := out[1].F32()[((b*groups+g)*(past+1)+i)*size+d]; got != want {
							t.Fatalf("present_key of sequence %d, row %d: got %v, want %v", b, i, got, want)
						}
					}
				}
			}
		}
	}
}
