package ops

import (
	"fmt"
	"strings"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// quantConvCases are convolutions of every kind that runs in integers.
var quantConvCases = []struct {
	name   string
	x, w   []int
	groups int
	attrs  []any
	s      slow
	types  [2]tensor.DType // of x and w
}{
	{"stem", []int{1, 3, 9, 8}, []int{20, 3, 3, 3}, 1, []any{"strides", []int{2, 2}, "pads", []int{1, 0, 1, 1}},
		slow{[]int{3, 3}, []int{2, 2}, []int{1, 1}, []int{1, 0}, []int{1, 1}}, [2]tensor.DType{tensor.Uint8, tensor.Int8}},
	{"1x1", []int{2, 17, 4, 5}, []int{33, 17, 1, 1}, 1, nil,
		slow{[]int{1, 1}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0}}, [2]tensor.DType{tensor.Int8, tensor.Int8}},
	{"3x3", []int{1, 24, 7, 6}, []int{8, 24, 3, 3}, 1, []any{"pads", []int{1, 1, 1, 1}},
		slow{[]int{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{1, 1}}, [2]tensor.DType{tensor.Uint8, tensor.Uint8}},
	{"depthwise", []int{1, 20, 8, 9}, []int{20, 1, 3, 3}, 20, []any{"group", 20, "pads", []int{1, 1, 1, 1}, "strides", []int{1, 2}},
		slow{[]int{3, 3}, []int{1, 2}, []int{1, 1}, []int{1, 1}, []int{1, 1}}, [2]tensor.DType{tensor.Uint8, tensor.Int8}},
	{"one dimension", []int{1, 16, 11}, []int{16, 16, 3}, 1, []any{"dilations", []int{2}},
		slow{[]int{3}, []int{1}, []int{2}, []int{0}, []int{0}}, [2]tensor.DType{tensor.Int8, tensor.Uint8}},
}

// quantiseValue appends QuantizeLinear with one scale.
func quantiseValue(t *testing.T, g *graph.Graph, x *graph.Value, scale float32, zero *tensor.Tensor) *graph.Value {
	return add(t, g, build(t, "QuantizeLinear", 13), x, literal(tensor.Scalar(scale)), literal(zero))
}

// dequantiseValue appends DequantizeLinear with one scale.
func dequantiseValue(t *testing.T, g *graph.Graph, x *graph.Value, scale float32, zero *tensor.Tensor) *graph.Value {
	return add(t, g, build(t, "DequantizeLinear", 13), x, literal(tensor.Scalar(scale)), literal(zero))
}

// What a convolution in integers has absorbed changes no bit, wherever a graph
// is cut behind it, and its sum is that of the numbers for which the integers stand.
func TestQuantisedConvolutionsKeepEveryBit(t *testing.T) {
	atEachLevel(t, "TestQuantisedConvolutionsKeepEveryBit", func(t *testing.T) {
		for seed, c := range quantConvCases {
			for _, tail := range tails {
				name := fmt.Sprintf("%s, %s", c.name, tail.name)
				r := source(uint64(seed))
				g := &graph.Graph{}
				x := reals(r, c.x...)
				xz, yz := wholeRange(uint64(seed)+1, c.types[0]), wholeRange(uint64(seed)+2, tensor.Int8)
				const sx = float32(0.013)
				dx := dequantiseValue(t, g, quantiseValue(t, g, g.Input("x", x.Type), sx, xz), sx, xz)
				w, ws, wz := wholeRange(uint64(seed)+3, c.types[1], c.w...), tensor.New(tensor.Float32, c.w[0]), wholeRange(uint64(seed)+4, c.types[1], c.w[0])
				for i := range ws.F32() {
					ws.F32()[i] = float32(r.Float64()+0.1) / 700
				}
				dw := add(t, g, build(t, "DequantizeLinear", 13, "axis", 0), literal(w), literal(ws), literal(wz))
				bias := reals(r, c.w[0])
				y := add(t, g, build(t, "Conv", 11, c.attrs...), dx, dw, literal(bias))
				res := reals(r, y.Shape...)
				last := tail.build(t, r, g, y, g.Input("residual", res.Type))
				g.Outputs = []*graph.Value{quantiseValue(t, g, last, 0.037, yz)}
				kept := g.Clone() // nothing is absorbed into a node whose result somebody wants
				for _, n := range kept.Nodes[2 : len(kept.Nodes)-1] {
					kept.Outputs = append(kept.Outputs, n.Out[0])
				}
				fused, kept := rewritten(t, g), rewritten(t, kept)
				in := []*tensor.Tensor{x, res}
				got, all := runGraph(t, fused, in)[0], runGraph(t, kept, in)
				if !got.Identical(all[0]) {
					t.Errorf("%s: the bits of %s differ", name, fused.Nodes[len(fused.Nodes)-1].Op)
				}
				whole := !strings.HasSuffix(tail.name, " BN") && !(c.groups > 1 && strings.Contains(tail.fused, "+Add") && strings.Count(tail.fused, "+") > 1)
				if op := fused.Nodes[len(fused.Nodes)-1].Op.String(); whole && !strings.HasPrefix(op, "QuantConv") {
					t.Errorf("%s: the last node is %s, want a QuantConv", name, op)
				}
				if tail.name != "nothing" {
					continue
				}
				number := runGraph(t, &graph.Graph{Inputs: g.Inputs, Nodes: g.Nodes[:2], Outputs: []*graph.Value{dx}}, in)[0]
				want, magnitude := slowConv(number, dw.Const, bias, c.groups, c.s, y.Shape)
				checkClose(t, name, all[1], want, magnitude, c.w[1]*9)
			}
		}
	})
}

// A Pad in front of the QuantizeLinear goes into the convolution behind it.
func TestPadsGoThroughQuantizeLinear(t *testing.T) {
	atEachLevel(t, "TestPadsGoThroughQuantizeLinear", func(t *testing.T) {
		g := &graph.Graph{}
		x := reals(source(1), 1, 16, 7, 6)
		zero := tensor.Scalar(uint8(77))
		pads := literal(tensor.Of([]int64{0, 0, 0, 1, 0, 0, 1, 2}, 8))
		padded := add(t, g, build(t, "Pad", 13), g.Input("x", x.Type), pads)
		dx := dequantiseValue(t, g, quantiseValue(t, g, padded, 0.02, zero), 0.02, zero)
		w := wholeRange(2, tensor.Int8, 16, 1, 3, 3)
		dw := dequantiseValue(t, g, literal(w), 0.01, tensor.Scalar(int8(0)))
		y := add(t, g, build(t, "Conv", 11, "group", 16), dx, dw)
		g.Outputs = []*graph.Value{y}
		fused := rewritten(t, g)
		if got := len(fused.Nodes); got != 2 {
			t.Errorf("%d nodes are left, want QuantizeLinear and the convolution", got)
		}
		apart := g.Clone()
		apart.Outputs = append(apart.Outputs, apart.Nodes[0].Out[0])
		in := []*tensor.Tensor{x}
		if got, want := runGraph(t, fused, in)[0], runGraph(t, rewritten(t, apart), in)[0]; !got.Identical(want) {
			t.Error("the bits differ from those with the Pad apart")
		}
	})
}

// Values keep through every layout of quantised values, and blocks of them
// dequantise to the very numbers that row-major ones do.
func TestQuantisedLayoutsKeepValues(t *testing.T) {
	atEachLevel(t, "TestQuantisedLayoutsKeepValues", func(t *testing.T) {
		for _, shape := range [][]int{{2, 3, 5, 7}, {1, 17, 3, 3}, {1, 16, 40}, {1, 4, 33, 40}} {
			for _, d := range byteTypes {
				x, zero := reals(source(9), shape...), wholeRange(4, d)
				g := &graph.Graph{}
				q := quantiseValue(t, g, g.Input("x", x.Type), 0.01, zero)
				y := dequantiseValue(t, g, q, 0.01, zero)
				g.Outputs = []*graph.Value{q, y}
				plain := apply(t, build(t, "QuantizeLinear", 13), x, tensor.Scalar(float32(0.01)), zero)[0]
				for _, blocked := range []bool{false, true} {
					out := runGraphFrom(t, g, []*tensor.Tensor{x}, blocked)
					for i := range plain.Raw {
						want := halfEven(float64(x.F32()[i]/0.01), number64(zero, 0), d)
						if got := number64(out[0], i); got != want {
							t.Fatalf("%v%v, blocked %v: element %d is %v, want %v", d, shape, blocked, i, got, want)
						}
						if got, want := out[1].F32()[i], float32(want-number64(zero, 0))*0.01; got != want {
							t.Fatalf("%v%v, blocked %v: element %d comes back as %v, want %v", d, shape, blocked, i, got, want)
						}
					}
				}
			}
		}
	})
}
