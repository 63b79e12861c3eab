package ops

import (
	"math"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Operators of quantised values give what the operators of numbers give, to half a step, alone and in a graph that is
// rewritten, with the same bits.
func TestQLinearOperatorsQuantiseNumbers(t *testing.T) {
	const c, h = 17, 4
	a, b := wholeRange(1, tensor.Uint8, 2, c, h, h), wholeRange(2, tensor.Uint8, 2, c, h, h)
	scale := func(s float32) *tensor.Tensor { return tensor.Scalar(s) }
	az, bz, yz := tensor.Scalar(uint8(100)), tensor.Scalar(uint8(140)), tensor.Scalar(uint8(90))
	const sa, sb, sy = 0.02, 0.03, 0.05
	x := func(i int) float64 { return (number64(a, i) - 100) * sa }
	y := func(i int) float64 { return (number64(b, i) - 140) * sb }
	mean := func(i int) float64 {
		sum := 0.0
		for j := range h * h {
			sum += x(i*h*h + j)
		}
		return sum / (h * h)
	}
	w, bias := wholeRange(3, tensor.Int8, 9, c), tensor.New(tensor.Int32, 9)
	ws := tensor.New(tensor.Float32, 9)
	for i := range ws.F32() {
		ws.F32()[i], tensor.View[int32](bias)[i] = 0.001*float32(i+1), int32(40*i)
	}
	matrix := &tensor.Tensor{Type: tensor.Type{DType: tensor.Uint8, Shape: tensor.Shape{2 * h * h, c}}, Raw: a.Raw}
	pair := []*tensor.Tensor{a, scale(sa), az, b, scale(sb), bz, scale(sy), yz}
	one := []*tensor.Tensor{a, scale(sa), az, scale(sy), yz}
	choice := tensor.New(tensor.Bool, 2, c, h, h)
	for i := range choice.Raw {
		choice.Raw[i] = byte(i % 3 & 1)
	}
	for _, q := range []struct {
		op   graph.Op
		in   []*tensor.Tensor
		want func(i int) float64
	}{
		{contrib(t, "QLinearAdd"), pair, func(i int) float64 { return x(i) + y(i) }},
		{contrib(t, "QLinearMul"), pair, func(i int) float64 { return x(i) * y(i) }},
		{contrib(t, "QLinearSigmoid"), one, func(i int) float64 { return 1 / (1 + math.Exp(-x(i))) }},
		{contrib(t, "QLinearLeakyRelu", "alpha", float32(0.25)), one, func(i int) float64 { return math.Max(x(i), x(i)/4) }},
		{contrib(t, "QLinearGlobalAveragePool"), one, mean},
		{contrib(t, "QLinearAveragePool", "kernel_shape", []int{h, h}), one, mean},
		{contrib(t, "QLinearReduceMean", "axes", []int{2, 3}), one, mean},
		{contrib(t, "QLinearSoftmax", "axis", -1), []*tensor.Tensor{a, scale(sa), az, scale(1.0 / 256), tensor.Scalar(uint8(0))}, func(i int) float64 {
			sum := 0.0
			for j := range h {
				sum += math.Exp(x(i/h*h + j))
			}
			return math.Exp(x(i)) / sum
		}},
		{contrib(t, "QLinearConcat", "axis", 0), []*tensor.Tensor{scale(sy), yz, a, scale(sa), az, b, scale(sb), bz}, func(i int) float64 {
			if n := len(a.Raw); i >= n {
				return y(i - n)
			}
			return x(i)
		}},
		{contrib(t, "QLinearWhere"), append([]*tensor.Tensor{choice}, pair...), func(i int) float64 {
			if choice.Raw[i] != 0 {
				return x(i)
			}
			return y(i)
		}},
		{contrib(t, "QGemm", "transB", 1), []*tensor.Tensor{matrix, scale(sa), az, w, ws, tensor.New(tensor.Int8, 9), bias, scale(sy), yz}, func(i int) float64 {
			sum := float64(tensor.View[int32](bias)[i%9]) * sa
			for j := range c {
				sum += x(i/9*c+j) * number64(w, i%9*c+j)
			}
			return sum * float64(ws.F32()[i%9])
		}},
	} {
		g := &graph.Graph{}
		values := make([]*graph.Value, len(q.in))
		var in []*tensor.Tensor
		for i, v := range q.in {
			if v.DType == tensor.Float32 || len(v.Shape) < 2 || v == w {
				values[i] = literal(v)
			} else {
				values[i], in = g.Input(string(rune('a'+i)), v.Type), append(in, v)
			}
		}
		g.Outputs = []*graph.Value{add(t, g, q.op, values...)}
		got := runGraph(t, g, in)[0]
		if inlined := runGraph(t, rewritten(t, g), in)[0]; !inlined.Identical(got) {
			t.Errorf("%s: the bits differ after rewrites", q.op)
		}
		step, zero := sy, 90.0
		if q.op.String() == "QLinearSoftmax" {
			step, zero = 1.0/256, 0
		}
		for i := range got.Raw {
			want := math.Max(0, math.Min(255, q.want(i)/step+zero))
			if d := number64(got, i) - want; math.Abs(d) > 0.501 {
				t.Fatalf("%s: element %d is %v, want about %v", q.op, i, number64(got, i), want)
			}
		}
	}
}

// The products of ONNX Runtime for dynamic quantisation are those of their parts.
func TestDynamicProductsOfONNXRuntime(t *testing.T) {
	const m, k, n = 5, 24, 11
	r := source(8)
	x, bias := reals(r, m, k), reals(r, n)
	w, wz, ws := wholeRange(1, tensor.Int8, k, n), wholeRange(2, tensor.Int8, n), tensor.New(tensor.Float32, n)
	for i := range ws.F32() {
		ws.F32()[i] = 0.01 * float32(i+1)
	}
	q := apply(t, build(t, "DynamicQuantizeLinear", 11), x)
	for _, y := range [][]*tensor.Tensor{
		apply(t, contrib(t, "DynamicQuantizeMatMul"), x, w, ws, wz, bias),
		apply(t, contrib(t, "MatMulIntegerToFloat"), q[0], w, q[1], ws, q[2], wz, bias),
	} {
		for i, got := range y[0].F32() {
			sum := 0.0
			for j := range k {
				sum += (number64(q[0], i/n*k+j) - number64(q[2], 0)) * (number64(w, j*n+i%n) - number64(wz, i%n))
			}
			want := sum*float64(q[1].F32()[0])*float64(ws.F32()[i%n]) + float64(bias.F32()[i%n])
			if math.Abs(float64(got)-want) > 1e-5*(1+math.Abs(want)) {
				t.Fatalf("element %d is %v, want %v", i, got, want)
			}
		}
	}
}
