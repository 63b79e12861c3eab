package ops

import (
	"math/rand/v2"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// scalarOf is a constant of one element.
func scalarOf(v float32) *graph.Value { return literal(tensor.Scalar(v)) }

// chainCases are what exporters write for one function, of x.
var chainCases = []struct {
	name  string
	nodes int // that are left
	build func(t *testing.T, r *rand.Rand, g *graph.Graph, x *graph.Value) *graph.Value
}{
	{"SiLU", 1, func(t *testing.T, r *rand.Rand, g *graph.Graph, x *graph.Value) *graph.Value {
		return add(t, g, build(t, "Mul", 14), x, add(t, g, build(t, "Sigmoid", 13), x))
	}},
	{"HardSwish", 1, func(t *testing.T, r *rand.Rand, g *graph.Graph, x *graph.Value) *graph.Value {
		y := add(t, g, build(t, "Clip", 13), add(t, g, build(t, "Add", 14), x, scalarOf(3)), scalarOf(0), scalarOf(6))
		return add(t, g, build(t, "Div", 14), add(t, g, build(t, "Mul", 14), x, y), scalarOf(6))
	}},
	{"Gelu", 1, func(t *testing.T, r *rand.Rand, g *graph.Graph, x *graph.Value) *graph.Value {
		y := add(t, g, build(t, "Erf", 13), add(t, g, build(t, "Div", 14), x, scalarOf(1.4142135)))
		y = add(t, g, build(t, "Mul", 14), x, add(t, g, build(t, "Add", 14), y, scalarOf(1)))
		return add(t, g, build(t, "Mul", 14), scalarOf(0.5), y)
	}},
	{"Gelu of a biased product", 1, func(t *testing.T, r *rand.Rand, g *graph.Graph, x *graph.Value) *graph.Value {
		x = add(t, g, build(t, "Add", 14), literal(reals(r, x.Shape[len(x.Shape)-1])), x)
		y := add(t, g, build(t, "Sub", 14), scalarOf(2), add(t, g, build(t, "Erf", 13), x))
		return add(t, g, build(t, "Mul", 14), y, x)
	}},
	{"square and root", 1, func(t *testing.T, r *rand.Rand, g *graph.Graph, x *graph.Value) *graph.Value {
		y := add(t, g, build(t, "Pow", 15), x, scalarOf(2))
		return add(t, g, build(t, "Sqrt", 13), add(t, g, build(t, "Add", 14), y, scalarOf(0.5)))
	}},
	{"factors of channels", 1, func(t *testing.T, r *rand.Rand, g *graph.Graph, x *graph.Value) *graph.Value {
		y := add(t, g, build(t, "Mul", 14), literal(reals(r, perChannelShape(x.Shape[1], len(x.Shape)-2)...)), x)
		return add(t, g, build(t, "Mul", 14), y, add(t, g, build(t, "HardSigmoid", 13), y))
	}},
	{"full constant", 1, func(t *testing.T, r *rand.Rand, g *graph.Graph, x *graph.Value) *graph.Value {
		y := add(t, g, build(t, "Tanh", 13), add(t, g, build(t, "Mul", 14), x, literal(reals(r, x.Shape...))))
		return add(t, g, build(t, "Mul", 14), y, y)
	}},
	{"a square of a sum, and the sum", 1, func(t *testing.T, r *rand.Rand, g *graph.Graph, x *graph.Value) *graph.Value {
		y := add(t, g, build(t, "Add", 14), x, x)
		return add(t, g, build(t, "Sub", 14), y, add(t, g, build(t, "Mul", 14), y, y))
	}},
	{"gate of channels", 3, func(t *testing.T, r *rand.Rand, g *graph.Graph, x *graph.Value) *graph.Value {
		gate := add(t, g, build(t, "Sigmoid", 13), add(t, g, build(t, "GlobalAveragePool", 13), x))
		return add(t, g, build(t, "Relu", 14), add(t, g, build(t, "Abs", 13), add(t, g, build(t, "Mul", 14), gate, x)))
	}},
	{"factors of rows", 1, func(t *testing.T, r *rand.Rand, g *graph.Graph, x *graph.Value) *graph.Value {
		y := add(t, g, build(t, "Sub", 14), literal(reals(r, x.Shape[2], 1)), x)
		return add(t, g, build(t, "Div", 14), add(t, g, build(t, "Exp", 13), y), literal(tensor.Of([]float32{3}, 1, 1, 1, 1)))
	}},
	{"a value that is read twice", 2, func(t *testing.T, r *rand.Rand, g *graph.Graph, x *graph.Value) *graph.Value {
		y := add(t, g, build(t, "Sigmoid", 13), x)
		g.Outputs = append(g.Outputs, y)
		return add(t, g, build(t, "Mul", 14), add(t, g, build(t, "Abs", 13), y), y)
	}},
}

func TestChainEqualsItsNodes(t *testing.T) {
	atEachLevel(t, "TestChainEqualsItsNodes", func(t *testing.T) {
		for _, c := range chainCases {
			for _, shape := range []tensor.Shape{{1, 32, 7, 9}, {2, 16, 33, 31}, {2, 19, 5, 6}, {1, 40, 90, 3}} {
				r := rand.New(rand.NewPCG(1, 2))
				g := &graph.Graph{}
				x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: shape})
				y := c.build(t, r, g, x)
				g.Outputs = append(g.Outputs, y)
				joined := rewritten(t, g)
				if len(joined.Nodes) != c.nodes {
					t.Errorf("%s: %d nodes are left, want %d", c.name, len(joined.Nodes), c.nodes)
				}
				in := []*tensor.Tensor{reals(r, shape...)}
				want := runGraph(t, g, in)
				for _, blocked := range []bool{false, true} {
					for i, got := range runGraphFrom(t, joined, in, blocked) {
						if !got.Identical(want[i]) {
							t.Errorf("%s of %v, blocked %v: output %d has other bits than the separate nodes", c.name, shape, blocked, i)
						}
					}
				}
			}
		}
	})
}

// TestRandomChainsEqualTheirNodes joins random expressions of up to three inputs,
// of which some broadcast.
func TestRandomChainsEqualTheirNodes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	unary := []string{"Relu", "Sigmoid", "Abs", "Tanh", "HardSwish"}
	pairs := []string{"Add", "Sub", "Mul", "Div"}
	for range 200 {
		shape := tensor.Shape{1 + r.IntN(2), 1 + r.IntN(40), 1 + r.IntN(12), 1 + r.IntN(12)}
		g := &graph.Graph{}
		values := []*graph.Value{
			g.Input("a", tensor.Type{DType: tensor.Float32, Shape: shape}),
			g.Input("b", tensor.Type{DType: tensor.Float32, Shape: shape}),
			g.Input("c", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{shape[0], shape[1], 1, 1}}),
		}
		last := values[0]
		for range 2 + r.IntN(20) {
			if r.IntN(3) == 0 {
				last = add(t, g, build(t, unary[r.IntN(len(unary))], 14), last)
			} else {
				other := values[r.IntN(len(values))]
				switch r.IntN(4) {
				case 0:
					other = scalarOf(r.Float32())
				case 1:
					other = literal(reals(r, perChannelShape(shape[1], 2)...))
				case 2:
					other = literal(reals(r, shape[2+r.IntN(2):]...))
				}
				operands := []*graph.Value{last, other}
				if r.IntN(2) == 0 {
					operands = []*graph.Value{other, last}
				}
				last = add(t, g, build(t, pairs[r.IntN(len(pairs))], 14), operands...)
			}
			if r.IntN(4) == 0 {
				values = append(values, last)
			}
		}
		g.Outputs = []*graph.Value{last}
		in := []*tensor.Tensor{reals(r, shape...), reals(r, shape...), reals(r, shape[0], shape[1], 1, 1)}
		want := runGraph(t, g, in)[0]
		joined := rewritten(t, g)
		if len(joined.Nodes) >= len(g.Nodes) && len(g.Nodes) > 2 {
			t.Errorf("%d nodes are left of %d", len(joined.Nodes), len(g.Nodes))
		}
		for _, blocked := range []bool{false, true} {
			if got := runGraphFrom(t, joined, in, blocked)[0]; !sameBits(got, want) {
				t.Fatalf("%v of %v, blocked %v: other bits than the separate nodes", joined.Nodes[len(joined.Nodes)-1].Op, shape, blocked)
			}
		}
	}
}
