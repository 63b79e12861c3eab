package ops

import (
	"math"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// contrib returns an operator of ONNX Runtime's own.
func contrib(t *testing.T, name string, attrs ...any) graph.Op {
	t.Helper()
	op, err := New("com.microsoft", name, 1, attrList(attrs...))
	if err != nil {
		t.Fatal(err)
	}
	return op
}

func TestContribGelus(t *testing.T) {
	r := source(1)
	x, bias := reals(r, 3, 40), reals(r, 40)
	exact := func(x float64) float64 { return x * (1 + math.Erf(x/math.Sqrt2)) / 2 }
	tanh := func(x float64) float64 { return x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) / 2 }
	for _, c := range []struct {
		op     graph.Op
		biased bool
		f      func(x float64) float64
	}{
		{contrib(t, "Gelu"), false, exact},
		{contrib(t, "BiasGelu"), true, exact},
		{contrib(t, "FastGelu"), false, tanh},
		{contrib(t, "FastGelu"), true, tanh},
		{contrib(t, "QuickGelu"), false, func(x float64) float64 { return x / (1 + math.Exp(-1.702*x)) }},
		{contrib(t, "QuickGelu", "alpha", float32(1)), false, func(x float64) float64 { return x / (1 + math.Exp(-x)) }},
	} {
		in := []any{x}
		if c.biased {
			in = append(in, bias)
		}
		y := apply(t, c.op, in...)[0]
		for i := range y.F32() {
			v := tensortest.At(x, i)
			if c.biased {
				v += tensortest.At(bias, i%40)
			}
			if got, want := tensortest.At(y, i), c.f(v); math.Abs(got-want) > 1e-6 {
				t.Fatalf("%s of %v: got %v, want %v", c.op, v, got, want)
			}
		}
	}
}

func TestFusedMatMulTurnsItsOperands(t *testing.T) {
	r := source(2)
	a, b := reals(r, 2, 3, 4), reals(r, 2, 4, 5)
	want := apply(t, build(t, "MatMul", 13), a, b)[0]
	turn := func(x *tensor.Tensor, perm ...int) *tensor.Tensor {
		return apply(t, build(t, "Transpose", 13, "perm", perm), x)[0]
	}
	for _, c := range []struct {
		attrs []any
		in    []any
	}{
		{[]any{"transA", 1}, []any{turn(a, 0, 2, 1), b}},
		{[]any{"transB", 1}, []any{a, turn(b, 0, 2, 1)}},
		{[]any{"transB", 1}, []any{a, known{turn(b, 0, 2, 1)}}},
		{[]any{"transBatchA", 1}, []any{turn(a, 1, 0, 2), b}},
		{[]any{"transBatchB", 1, "transB", 1}, []any{a, turn(b, 2, 0, 1)}},
	} {
		op := contrib(t, "FusedMatMul", append(c.attrs, "alpha", float32(2))...)
		y := apply(t, op, c.in...)[0]
		for i, v := range want.F32() {
			if y.F32()[i] != 2*v {
				t.Fatalf("%v: element %d is %v, want %v", c.attrs, i, y.F32()[i], 2*v)
			}
		}
	}
	x, w, bias := reals(r, 3, 4), reals(r, 4, 5), reals(r, 5)
	plain := apply(t, build(t, "Gemm", 13), x, w, bias)[0]
	leaky := apply(t, contrib(t, "FusedGemm", "activation", "LeakyRelu", "activation_alpha", float32(0.5)), x, w, bias)[0]
	for i, v := range plain.F32() {
		if want := max(v, v/2); leaky.F32()[i] != want {
			t.Errorf("FusedGemm: element %d is %v, want %v", i, leaky.F32()[i], want)
		}
	}
}

// A FusedConv is a convolution followed by what it has taken in, and a rewrite
// makes it one of the engine's own where that can do the same.
func TestFusedConvIsItsParts(t *testing.T) {
	r := source(3)
	x, w, bias, z := reals(r, 1, 32, 7, 9), reals(r, 16, 32, 3, 3), reals(r, 16), reals(r, 1, 16, 5, 7)
	for _, c := range []struct {
		attrs    []any
		residual bool
		f        func(x float64) float64
		rewrites bool
	}{
		{[]any{"activation", "Relu"}, false, func(x float64) float64 { return max(0, x) }, true},
		{[]any{"activation", "Relu"}, true, func(x float64) float64 { return max(0, x) }, true},
		{nil, true, func(x float64) float64 { return x }, true},
		{[]any{"activation", "Tanh"}, true, math.Tanh, false},
		{[]any{"activation", "Clip", "activation_params", []float32{-1, 2}}, false, func(x float64) float64 { return max(-1, min(2, x)) }, false},
		{[]any{"activation", "LeakyRelu", "activation_params", []float32{0.5}}, false, func(x float64) float64 { return max(x, x/2) }, false},
	} {
		op := contrib(t, "FusedConv", c.attrs...)
		g := &graph.Graph{}
		in, values := []*tensor.Tensor{x}, []*graph.Value{g.Input("x", x.Type), literal(w), literal(bias)}
		if c.residual {
			in, values = append(in, z), append(values, g.Input("z", z.Type))
		}
		g.Outputs = []*graph.Value{add(t, g, op, values...)}
		plain := runGraph(t, g, in)[0]
		after := rewritten(t, g)
		if _, is := after.Nodes[0].Op.(*convolution); is != c.rewrites {
			t.Errorf("%v: the rewritten operator is %s", c.attrs, after.Nodes[0].Op)
		}
		fused := runGraph(t, after, in)[0]
		base := apply(t, build(t, "Conv", 11), wide(x), wide(w), wide(bias))[0]
		for i := range plain.F32() {
			v := tensortest.At(base, i)
			if c.residual {
				v += tensortest.At(z, i)
			}
			for _, y := range []*tensor.Tensor{plain, fused} {
				if got, want := tensortest.At(y, i), c.f(v); math.Abs(got-want) > 1e-4 {
					t.Fatalf("%v: element %d is %v, want %v", c.attrs, i, got, want)
				}
			}
		}
	}
}

// MultiHeadAttention and Attention of ONNX Runtime give what ONNX's own
// Attention gives for the same masks, biases and weights.
func TestContribAttentionIsThatOfONNX(t *testing.T) {
	const batch, heads, rows, columns, size, values = 2, 3, 4, 5, 6, 7
	r := source(4)
	q, k, v := reals(r, batch, rows, heads*size), reals(r, batch, columns, heads*size), reals(r, batch, columns, heads*values)
	bias, scores := reals(r, heads*(2*size+values)), reals(r, 1, heads, rows, columns)
	lengths := []int64{3, 5}
	short := tensor.Of([]int32{3, 5}, batch)
	part := func(from, n int) *tensor.Tensor { return tensor.Of(bias.F32()[from:from+n], n) }
	sum := func(x, b *tensor.Tensor) *tensor.Tensor { return apply(t, build(t, "Add", 14), x, b)[0] }
	q2, k2, v2 := sum(q, part(0, heads*size)), sum(k, part(heads*size, heads*size)), sum(v, part(2*heads*size, heads*values))
	want := apply(t, build(t, "Attention", 24, "q_num_heads", heads, "kv_num_heads", heads, "scale", float32(0.5)),
		q2, k2, v2, scores, nil, nil, tensor.Of(lengths, batch))[0]
	op := contrib(t, "MultiHeadAttention", "num_heads", heads, "scale", float32(0.5))
	if got := apply(t, op, q, k, v, bias, short, scores)[0]; !got.Identical(want) {
		t.Error("MultiHeadAttention with lengths: other bits")
	}
	mask := tensor.New(tensor.Int32, batch, columns)
	for i := range mask.Shape.Elems() {
		if int64(i%columns) < lengths[i/columns] {
			tensor.View[int32](mask)[i] = 1
		}
	}
	if err := tensortest.Diff(apply(t, op, q, k, v, bias, mask, scores)[0], want, 1e-5, 1e-6); err != nil {
		t.Errorf("MultiHeadAttention with a mask: %v", err)
	}
	x, w, b := reals(r, batch, rows, 8), reals(r, 8, 3*heads*size), reals(r, 3*heads*size)
	all := sum(apply(t, build(t, "MatMul", 13), x, w)[0], b)
	var parts []any
	for i := range 3 {
		at := func(v int) fixed { return fixed{v} }
		parts = append(parts, apply(t, build(t, "Slice", 13), all, at(i*heads*size), at((i+1)*heads*size), at(2))[0])
	}
	causal := apply(t, build(t, "Attention", 23, "q_num_heads", heads, "kv_num_heads", heads, "is_causal", 1), parts...)[0]
	own := apply(t, contrib(t, "Attention", "num_heads", heads, "unidirectional", 1), x, known{w}, known{b})[0]
	if err := tensortest.Diff(own, causal, 1e-5, 1e-6); err != nil {
		t.Errorf("Attention: %v", err)
	}
}
