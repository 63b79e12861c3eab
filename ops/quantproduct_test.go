package ops

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// separately checks that the graph gives the same bits after its rewrites and if nothing can be absorbed into a node
// from the given one on, because all results are wanted, and returns the rewritten graph and its first result.
func separately(t *testing.T, name string, g *graph.Graph, from int, in ...*tensor.Tensor) (*graph.Graph, *tensor.Tensor) {
	t.Helper()
	kept := g.Clone()
	for _, n := range kept.Nodes[from : len(kept.Nodes)-1] {
		kept.Outputs = append(kept.Outputs, n.Out[0])
	}
	fused := rewritten(t, g)
	got, want := runGraph(t, fused, in)[0], runGraph(t, rewritten(t, kept), in)[0]
	if !got.Identical(want) {
		t.Errorf("%s: the bits differ from those of the separate nodes", name)
	}
	return fused, got
}

// operators lists the operators of a graph.
func operators(g *graph.Graph) (list []string) {
	for _, n := range g.Nodes {
		list = append(list, n.Op.String())
	}
	return list
}

// Products of dequantised matrices run in integers with what comes behind them, and give what the numbers give for
// which the integers stand.
func TestQuantisedProductsKeepEveryBit(t *testing.T) {
	atEachLevel(t, "TestQuantisedProductsKeepEveryBit", func(t *testing.T) {
		const m, k, n, sa, sb, sy = 7, 37, 21, 0.02, 0.01, 0.09
		for seed, c := range []struct {
			name     string
			a, b     []int
			constant bool
			columns  bool // a scale for each
			op       graph.Op
			turned   bool
			bias     bool
		}{
			{"MatMul", []int{2, m, k}, []int{k, n}, true, true, build(t, "MatMul", 13), false, true},
			{"dynamic", []int{2, m, k}, []int{2, k, n}, false, false, build(t, "MatMul", 13), false, false},
			{"one b", []int{2, m, k}, []int{k, n}, false, false, build(t, "MatMul", 13), false, true},
			{"Gemm", []int{m, k}, []int{k, n}, true, true, build(t, "Gemm", 13), false, true},
			{"Gemm turned", []int{m, k}, []int{n, k}, true, true, build(t, "Gemm", 13, "transB", 1), true, true},
			{"row", []int{1, k}, []int{n, k}, true, false, build(t, "Gemm", 13, "transB", 1), true, false},
		} {
			r := source(uint64(seed))
			g := &graph.Graph{}
			x, az, bz, yz := reals(r, c.a...), wholeRange(uint64(seed), tensor.Uint8), tensor.Scalar(int8(0)), wholeRange(uint64(seed)+1, tensor.Int8)
			in := []*tensor.Tensor{x}
			a := dequantiseValue(t, g, quantiseValue(t, g, g.Input("x", x.Type), sa, az), sa, az)
			var b *graph.Value
			number := make([]float64, k*n) // of the first matrix, [k n]
			switch {
			case c.constant:
				w, s := wholeRange(uint64(seed)+2, tensor.Int8, c.b...), tensor.Scalar(float32(sb))
				attrs := []any{}
				if c.columns {
					s, bz = tensor.New(tensor.Float32, n), tensor.New(tensor.Int8, n)
					for i := range s.F32() {
						s.F32()[i] = sb * (1 + float32(i)/n)
					}
					attrs = []any{"axis", slices.Index(c.b, n)}
				}
				b = add(t, g, build(t, "DequantizeLinear", 13, attrs...), literal(w), literal(s), literal(bz))
				for i := range number {
					at := i
					if c.turned {
						at = i%n*k + i/n
					}
					number[i] = float64(b.Const.F32()[at])
				}
			default:
				y := reals(r, c.b...)
				in = append(in, y)
				b = dequantiseValue(t, g, quantiseValue(t, g, g.Input("y", y.Type), sb, bz), sb, bz)
				q := apply(t, build(t, "QuantizeLinear", 13), y, tensor.Scalar(float32(sb)), bz)[0]
				for i := range number {
					number[i] = number64(q, i) * float64(float32(sb))
				}
			}
			bias := reals(r, n)
			first := len(g.Nodes)
			var y *graph.Value
			if c.bias && strings.HasPrefix(c.name, "Gemm") {
				y = add(t, g, c.op, a, b, literal(bias))
			} else if y = add(t, g, c.op, a, b); c.bias {
				y = add(t, g, build(t, "Add", 14), y, literal(bias))
			}
			y = add(t, g, build(t, "Relu", 14), y)
			g.Outputs = []*graph.Value{quantiseValue(t, g, y, sy, yz)}
			fused, got := separately(t, c.name, g, first, in...)
			if list := operators(fused); !strings.HasPrefix(list[len(list)-1], "Quant") || !strings.HasSuffix(list[len(list)-1], "+Relu+QuantizeLinear") {
				t.Errorf("%s: the nodes are %v, want one of all at the end", c.name, list)
			}
			q := apply(t, build(t, "QuantizeLinear", 13), x, tensor.Scalar(float32(sa)), az)[0]
			for i := range m * n {
				if i/n >= c.a[len(c.a)-2] {
					break
				}
				sum := 0.0
				for j := range k {
					sum += (number64(q, i/n*k+j) - number64(az, 0)) * float64(float32(sa)) * number[j*n+i%n]
				}
				if c.bias {
					sum += float64(bias.F32()[i%n])
				}
				want := math.Max(0, sum)/sy + number64(yz, 0)
				if d := number64(got, i) - math.Min(127, math.Max(-128, want)); math.Abs(d) > 0.51 {
					t.Fatalf("%s: element %d is %v, want about %v", c.name, i, number64(got, i), want)
				}
			}
		}
	})
}

// An Add or Mul between DequantizeLinear and QuantizeLinear is one node, in any layout.
func TestQuantisedSumsKeepEveryBit(t *testing.T) {
	atEachLevel(t, "TestQuantisedSumsKeepEveryBit", func(t *testing.T) {
		for seed, op := range []graph.Op{build(t, "Add", 14), build(t, "Mul", 14)} {
			for _, relu := range []bool{false, true} {
				r := source(uint64(seed))
				g := &graph.Graph{}
				a, b := reals(r, 2, 21, 5, 7), reals(r, 2, 21, 5, 7)
				za, zb, zy := wholeRange(1, tensor.Uint8), wholeRange(2, tensor.Int8), wholeRange(3, tensor.Uint8)
				x := dequantiseValue(t, g, quantiseValue(t, g, g.Input("a", a.Type), 0.011, za), 0.011, za)
				y := dequantiseValue(t, g, quantiseValue(t, g, g.Input("b", b.Type), 0.017, zb), 0.017, zb)
				z := add(t, g, op, x, y)
				if relu {
					z = add(t, g, build(t, "Relu", 14), z)
				}
				g.Outputs = []*graph.Value{quantiseValue(t, g, z, 0.023, zy)}
				name := fmt.Sprintf("%s, Relu %v", op, relu)
				fused, got := separately(t, name, g, 4, a, b)
				if list := operators(fused); len(list) != 3 || !strings.HasPrefix(list[2], "Quant"+op.String()) {
					t.Errorf("%s: the nodes are %v", name, list)
				}
				if blocked := runGraphFrom(t, fused, []*tensor.Tensor{a, b}, true)[0]; !blocked.Identical(got) {
					t.Errorf("%s: the bits differ in blocks", name)
				}
			}
		}
	})
}

// The Cast, Mul and Add behind a MatMulInteger, as they are written for dynamic quantisation, become part of it.
func TestIntegerProductsAbsorbScales(t *testing.T) {
	atEachLevel(t, "TestIntegerProductsAbsorbScales", func(t *testing.T) {
		const m, k, n = 5, 40, 19
		for _, columns := range []bool{false, true} {
			r := source(4)
			g := &graph.Graph{}
			x, bias := reals(r, 2, m, k), reals(r, n)
			w, wz, ws := wholeRange(1, tensor.Int8, k, n), wholeRange(2, tensor.Int8, n), reals(r, n)
			if !columns {
				wz, ws = wholeRange(2, tensor.Int8), reals(r)
			}
			q, err := g.Add("", build(t, "DynamicQuantizeLinear", 11), nil, []*graph.Value{g.Input("x", x.Type)}, "q", "s", "z")
			if err != nil {
				t.Fatal(err)
			}
			sums := add(t, g, build(t, "MatMulInteger", 10), q[0], literal(w), q[2], literal(wz))
			scale := add(t, g, build(t, "Mul", 14), q[1], literal(ws))
			y := add(t, g, build(t, "Mul", 14), add(t, g, build(t, "Cast", 13, "to", int(tensor.Float32)), sums), scale)
			g.Outputs = []*graph.Value{add(t, g, build(t, "Add", 14), y, literal(bias))}
			fused, got := separately(t, fmt.Sprintf("columns %v", columns), g, 1, x)
			if list := operators(fused); list[len(list)-1] != "MatMulInteger+Cast+Mul+Add" {
				t.Errorf("the nodes are %v", list)
			}
			all := apply(t, build(t, "DynamicQuantizeLinear", 11), x)
			for i := range got.F32() {
				sum := 0.0
				for j := range k {
					sum += (number64(all[0], i/n*k+j) - number64(all[2], 0)) * (number64(w, j*n+i%n) - number64(wz, spread(i%n, wz.Shape.Elems())))
				}
				want := sum*float64(all[1].F32()[0])*float64(ws.F32()[spread(i%n, ws.Shape.Elems())]) + float64(bias.F32()[i%n])
				if got := float64(got.F32()[i]); math.Abs(got-want) > 1e-5*(1+math.Abs(want)) {
					t.Fatalf("columns %v: element %d is %v, want %v", columns, i, got, want)
				}
			}
		}
	})
}

// A QLinearConv of constants gives the bits that it gives by itself, before and after rewrites.
func TestQLinearConvRewritesKeepEveryBit(t *testing.T) {
	atEachLevel(t, "TestQLinearConvRewritesKeepEveryBit", func(t *testing.T) {
		for seed, c := range quantConvCases {
			x, w := wholeRange(uint64(seed), c.types[0], c.x...), wholeRange(uint64(seed)+1, c.types[1], c.w...)
			xz, wz, yz := wholeRange(uint64(seed)+2, c.types[0]), wholeRange(uint64(seed)+3, c.types[1], c.w[0]), wholeRange(uint64(seed)+4, tensor.Uint8)
			ws, bias := tensor.New(tensor.Float32, c.w[0]), tensor.New(tensor.Int32, c.w[0])
			for i := range ws.F32() {
				ws.F32()[i], tensor.View[int32](bias)[i] = 0.01+float32(i)/900, int32(i*777-9000)
			}
			op := build(t, "QLinearConv", 10, c.attrs...)
			sx, sy := tensor.Scalar(float32(0.03)), tensor.Scalar(float32(0.5))
			g := &graph.Graph{}
			in := []*graph.Value{g.Input("x", x.Type)}
			for _, v := range []*tensor.Tensor{sx, xz, w, ws, wz, sy, yz, bias} {
				in = append(in, literal(v))
			}
			g.Outputs = []*graph.Value{add(t, g, op, in...)}
			fused := rewritten(t, g)
			if list := operators(fused); !strings.HasPrefix(list[0], "QuantConv") {
				t.Errorf("%s: the nodes are %v", c.name, list)
			}
			if got, want := runGraph(t, fused, []*tensor.Tensor{x})[0], runGraph(t, g, []*tensor.Tensor{x})[0]; !got.Identical(want) {
				t.Errorf("%s: the bits differ", c.name)
			}
		}
	})
}

// A MaxPool of bytes in front of a quantised convolution gives what it gives on bytes.
func TestPoolsOfBytesWiden(t *testing.T) {
	x, w := wholeRange(1, tensor.Uint8, 1, 17, 9, 8), wholeRange(2, tensor.Int8, 8, 17, 1, 1)
	one, zero := literal(tensor.Scalar(float32(0.1))), literal(tensor.Scalar(uint8(77)))
	g := &graph.Graph{}
	p := add(t, g, build(t, "MaxPool", 12, "kernel_shape", []int{3, 3}, "pads", []int{1, 1, 1, 1}, "strides", []int{2, 2}), g.Input("x", x.Type))
	y := add(t, g, build(t, "QLinearConv", 10), p, one, zero, literal(w), one, literal(tensor.Scalar(int8(0))), literal(tensor.Scalar(float32(3))), zero)
	g.Outputs = []*graph.Value{y}
	fused := rewritten(t, g)
	if list := operators(fused); len(list) != 4 {
		t.Errorf("the nodes are %v, want the pool between those that widen and narrow", list)
	}
	if got, want := runGraph(t, fused, []*tensor.Tensor{x})[0], runGraph(t, g, []*tensor.Tensor{x})[0]; !got.Identical(want) {
		t.Error("the bits differ")
	}
}
