package ops

import (
	"testing"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// identical checks that results are the tensors of the same operators applied one by one.
func identical(t *testing.T, name string, got, want *tensor.Tensor) {
	t.Helper()
	if !got.Identical(want) {
		t.Errorf("%s: got %v %v, want %v %v", name, got.Type, got.Raw, want.Type, want.Raw)
	}
}

// The weights pick q = 1, k = 1 and v = x from numbers that are exact; two equal keys
// weigh a half each, and the mask leaves the first one alone.
func TestQAttentionAttendsToWhatItsBytesStandFor(t *testing.T) {
	x := tensor.Of([]uint8{12, 16}, 1, 2, 1) // 1 and 3 with zero point 10 and step 0.5
	w := tensor.Of([]int8{5, 5, 7}, 1, 3)    // 0, 0 and 4 with zero point 5 and step 2
	bias, half, two := tensor.Of([]float32{1, 1, 0}, 3), tensor.Scalar[float32](0.5), tensor.Scalar[float32](2)
	zx, zw := tensor.Scalar[uint8](10), tensor.Scalar[int8](5)
	op := contrib(t, "QAttention", "num_heads", 1)
	identical(t, "both", apply(t, op, x, known{w}, bias, half, two, nil, zx, known{zw})[0], tensor.Of([]float32{8, 8}, 1, 2, 1))
	identical(t, "masked", apply(t, op, x, known{w}, bias, half, two, tensor.Of([]int32{1}, 1), zx, known{zw})[0], tensor.Of([]float32{4, 4}, 1, 2, 1))
}

// Two words that differ in one value are 1 and -1 of it after normalisation.
func TestQuantisedEmbeddings(t *testing.T) {
	one, half := tensor.Scalar[float32](1), tensor.Scalar[float32](0.5)
	zero := tensor.Scalar[uint8](100)
	words, places := tensor.Of([]uint8{104, 96, 100, 108}, 2, 2), tensor.Of([]uint8{100, 100}, 1, 2) // 2 -2; 0 4
	gamma, beta := tensor.Of([]uint8{103, 103}, 2), tensor.Of([]uint8{101, 101}, 2)                  // 3 and 1
	out := apply(t, contrib(t, "QEmbedLayerNormalization"), tensor.Of([]int32{1, 0}, 2, 1), nil, words, places, nil, gamma, beta, tensor.Of([]int32{1, 0}, 2, 1),
		half, one, nil, one, one, zero, zero, nil, zero, zero)
	for i, want := range []float64{-2, 4, 4, -2} {
		if err := tensortest.Diff(tensor.Of(out[0].F32()[i:i+1], 1), tensor.Of([]float32{float32(want)}, 1), 1e-6, 0); err != nil {
			t.Error(err)
		}
	}
	identical(t, "counts", out[1], tensor.Of([]int32{1, 0}, 2))
	given := apply(t, contrib(t, "QEmbedLayerNormalization"), tensor.Of([]int32{1, 0}, 2, 1), nil, words, places, nil, gamma, beta, known{tensor.Of([]int32{1, 0}, 2, 1)},
		half, one, nil, one, one, zero, zero, nil, zero, zero)
	identical(t, "counts of a constant mask", given[1], out[1])
}

// The weights of DynamicQuantizeLSTM stand for those of an LSTM with the matrices
// turned around.
func TestDynamicQuantizeLSTMIsItsLSTM(t *testing.T) {
	const steps, batch, inputs, hidden, dirs = 3, 2, 4, 3, 2
	r := source(3)
	x, bias := reals(r, steps, batch, inputs), reals(r, dirs, 8*hidden)
	weights := func(rows int) (q, scale, zero, plain *tensor.Tensor) {
		q, plain = wholeRange(uint64(rows), tensor.Uint8, dirs, rows, 4*hidden), float(dirs, 4*hidden, rows)
		scale, zero = tensor.Of([]float32{0.25, 0.5}, dirs), tensor.Of([]uint8{120, 130}, dirs)
		for d := range dirs {
			for i := range rows {
				for j := range 4 * hidden {
					v := float32(q.Raw[(d*rows+i)*4*hidden+j]) - float32(zero.Raw[d])
					plain.F32()[(d*4*hidden+j)*rows+i] = v * scale.F32()[d]
				}
			}
		}
		return q, scale, zero, plain
	}
	w, ws, wz, wPlain := weights(inputs)
	u, us, uz, uPlain := weights(hidden)
	got := apply(t, contrib(t, "DynamicQuantizeLSTM", "hidden_size", hidden, "direction", "bidirectional"), x, known{w}, known{u}, bias, nil, nil, nil, nil,
		known{ws}, known{wz}, known{us}, known{uz})
	want := apply(t, build(t, "LSTM", 14, "hidden_size", hidden, "direction", "bidirectional"), x, known{wPlain}, known{uPlain}, bias)
	for i := range want {
		identical(t, "LSTM", got[i], want[i])
	}
}

// Rows 2 and 0 of a table of 4-bit integers, two in each byte, in blocks of 16.
func TestGatherBlockQuantizedReadsItsRows(t *testing.T) {
	const rows, length, block = 3, 32, 16
	data, zeros := wholeRange(4, tensor.Uint8, rows, length/2), wholeRange(5, tensor.Uint8, rows, 1)
	scales := tensor.Of([]float32{1, 2, 3, 4, 5, 6}, rows, 2)
	nibble := func(b []byte, i int) int { return int(b[i/2]) >> (i % 2 * 4) & 15 }
	for _, given := range []bool{false, true} {
		in := []any{known{data}, tensor.Of([]int64{2, -3}, 1, 2), known{scales}, nil}
		want := float(1, 2, length)
		if given {
			in[3] = known{zeros}
		}
		for k, row := range []int{2, 0} {
			for i := range length {
				zero := 8
				if given {
					zero = nibble(zeros.Raw[row:], i/block)
				}
				want.F32()[k*length+i] = float32(nibble(data.Raw[row*length/2:], i)-zero) * scales.F32()[row*2+i/block]
			}
		}
		identical(t, "rows", apply(t, contrib(t, "GatherBlockQuantized", "bits", 4, "block_size", block, "gather_axis", 0, "quantize_axis", 1), in...)[0], want)
	}
}

// With the channels last, each operator gives what it gives with the channels first,
// turned around.
func TestChannelsMayComeLast(t *testing.T) {
	r := source(9)
	last := build(t, "Transpose", 13, "perm", []int{0, 2, 3, 1})
	bytes := wholeRange(6, tensor.Uint8, 2, 3, 6, 5)
	turned := apply(t, last, bytes)[0]
	scale, zero := known{tensor.Scalar[float32](0.25)}, known{tensor.Scalar[uint8](128)}
	w := known{wholeRange(7, tensor.Int8, 4, 3, 3, 3)}
	zeroW := known{tensor.Scalar[int8](0)}
	window := []any{"kernel_shape", []int{3, 3}, "strides", []int{2, 1}, "pads", []int{1, 1, 0, 1}}
	compare := func(name string, got, first *tensor.Tensor) { identical(t, name, got, apply(t, last, first)[0]) }
	compare("NhwcMaxPool", apply(t, contrib(t, "NhwcMaxPool", window...), turned)[0], apply(t, build(t, "MaxPool", 12, window...), bytes)[0])
	compare("QLinearConv", apply(t, contrib(t, "QLinearConv", append(window, "channels_last", 1)...), turned, scale, zero, w, scale, zeroW, scale, zero)[0],
		apply(t, build(t, "QLinearConv", 10, window...), bytes, scale, zero, w, scale, zeroW, scale, zero)[0])
	compare("QLinearAveragePool", apply(t, contrib(t, "QLinearAveragePool", append(window, "channels_last", 1)...), turned, scale, zero, scale, zero)[0],
		apply(t, contrib(t, "QLinearAveragePool", window...), bytes, scale, zero, scale, zero)[0])
	compare("QLinearGlobalAveragePool", apply(t, contrib(t, "QLinearGlobalAveragePool", "channels_last", 1), turned, scale, zero, scale, zero)[0],
		apply(t, contrib(t, "QLinearGlobalAveragePool"), bytes, scale, zero, scale, zero)[0])
	near := func(name string, got, first *tensor.Tensor) { // the order of the sums is that of the layout
		if err := tensortest.Diff(got, apply(t, last, first)[0], 1e-5, 1e-5); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	x, weights, residual := reals(r, 1, 3, 6, 5), known{reals(r, 4, 3, 3, 3)}, reals(r, 1, 4, 3, 5)
	near("NhwcConv", apply(t, contrib(t, "NhwcConv", window...), apply(t, last, x)[0], weights)[0], apply(t, build(t, "Conv", 11, window...), x, weights)[0])
	fused := append(window, "activation", "Relu")
	near("NhwcFusedConv", apply(t, contrib(t, "NhwcFusedConv", fused...), apply(t, last, x)[0], weights, nil, apply(t, last, residual)[0])[0],
		apply(t, contrib(t, "FusedConv", fused...), x, weights, nil, residual)[0])
}

// GroupNorm of two groups of one element each is beta; SiLU of 0 is 0.
func TestOperatorsOfDiffusionModels(t *testing.T) {
	x, gamma, beta := tensor.Of([]float32{1, 2}, 1, 1, 1, 2), tensor.Of([]float32{5, 5}, 2), tensor.Of([]float32{0, 3}, 2)
	identical(t, "GroupNorm", apply(t, contrib(t, "GroupNorm", "groups", 2, "activation", 0), x, gamma, beta)[0], tensor.Of([]float32{0, 3}, 1, 1, 1, 2))
	zero := tensor.Of([]float32{0, 0}, 2)
	out := apply(t, contrib(t, "SkipGroupNorm", "groups", 2, "activation", 1), x, gamma, zero, tensor.Of([]float32{10, 20}, 1, 2), tensor.Of([]float32{100, 200}, 2))
	identical(t, "SkipGroupNorm", out[0], tensor.Of([]float32{0, 0}, 1, 1, 1, 2))
	identical(t, "the sum of SkipGroupNorm", out[1], tensor.Of([]float32{111, 222}, 1, 1, 1, 2))
	row := tensor.Of([]float32{1, 2, 3, 4}, 1, 1, 4)
	identical(t, "BiasAdd", apply(t, contrib(t, "BiasAdd"), row, tensor.Of([]float32{1, 1, 1, 1}, 4), row)[0], tensor.Of([]float32{3, 5, 7, 9}, 1, 1, 4))
	identical(t, "BiasSplitGelu", apply(t, contrib(t, "BiasSplitGelu"), row, tensor.Of([]float32{1, 1, -3, 96}, 4))[0], tensor.Of([]float32{0, 300}, 1, 1, 2))
	identical(t, "ExpandDims", apply(t, contrib(t, "ExpandDims"), row, known{tensor.Scalar[int32](-1)})[0], tensor.Of([]float32{1, 2, 3, 4}, 1, 1, 4, 1))
}
