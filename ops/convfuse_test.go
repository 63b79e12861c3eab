package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// convCase is a convolution to put things around.
type convCase struct {
	name   string
	x      []int
	outC   int
	kernel []int
	attrs  []any
	live   bool // the weights come with the run, which only the generic kernel does
}

var convCases = []convCase{
	{"direct", []int{1, 16, 7, 9}, 32, []int{3, 3}, []any{"pads", []int{1, 1, 1, 1}}, false},
	{"direct, pad lanes", []int{2, 20, 5, 5}, 24, []int{1, 1}, nil, false},
	{"direct, stride and dilation", []int{1, 17, 11, 12}, 9, []int{3, 2}, []any{"strides", []int{2, 1}, "dilations", []int{1, 2}}, false},
	{"stem", []int{1, 3, 16, 15}, 16, []int{5, 5}, []any{"strides", []int{2, 2}, "auto_pad", "SAME_UPPER"}, false},
	{"fast", []int{1, 16, 13, 14}, 24, []int{3, 3}, []any{"auto_pad", "SAME_UPPER"}, false},
	{"groups", []int{1, 32, 6, 6}, 64, []int{3, 3}, []any{"group", 2}, false},
	{"groups of 8", []int{1, 32, 6, 5}, 32, []int{3, 3}, []any{"group", 4, "pads", []int{0, 1, 1, 0}}, false},
	{"depthwise", []int{1, 32, 9, 8}, 32, []int{3, 3}, []any{"group", 32, "pads", []int{1, 1, 1, 1}}, false},
	{"depthwise, pad lanes", []int{2, 19, 6, 7}, 19, []int{5, 3}, []any{"group", 19, "strides", []int{2, 2}}, false},
	{"odd groups", []int{1, 6, 6, 5}, 9, []int{3, 3}, []any{"group", 3, "pads", []int{0, 1, 1, 0}}, false},
	{"one dimension", []int{2, 16, 30}, 16, []int{5}, []any{"dilations", []int{3}}, false},
	{"three dimensions", []int{1, 4, 4, 5, 3}, 6, []int{2, 2, 2}, []any{"pads", []int{0, 1, 0, 1, 0, 1}}, false},
	{"live weights", []int{1, 16, 5, 5}, 16, []int{3, 3}, []any{"pads", []int{1, 1, 1, 1}}, true},
}

// op returns the convolution and its weights, and whether they are a constant.
func (c convCase) op(t *testing.T, r *rand.Rand) (graph.Op, *tensor.Tensor) {
	groups := 1
	for i, a := range c.attrs {
		if a == "group" {
			groups = c.attrs[i+1].(int)
		}
	}
	w := reals(r, append([]int{c.outC, c.x[1] / groups}, c.kernel...)...)
	return build(t, "Conv", 11, c.attrs...), w
}

func literal(t *tensor.Tensor) *graph.Value { return graph.Constant("", t) }

// perChannelShape is the shape [c 1 1 ...] that broadcasts over channels.
func perChannelShape(c, spatial int) []int {
	s := []int{c}
	for range spatial {
		s = append(s, 1)
	}
	return s
}

// tails are what may follow a convolution; each gets its result and what else
// the graph has, and returns the last value.
var tails = []struct {
	name  string
	fused string // what the convolution is called after it has absorbed everything
	build func(t *testing.T, r *rand.Rand, g *graph.Graph, y, residual *graph.Value) *graph.Value
}{
	{"nothing", "", func(t *testing.T, r *rand.Rand, g *graph.Graph, y, _ *graph.Value) *graph.Value { return y }},
	{"BN", "+BN", func(t *testing.T, r *rand.Rand, g *graph.Graph, y, _ *graph.Value) *graph.Value {
		return norm(t, r, g, y)
	}},
	{"BN Relu", "+BN+Relu", func(t *testing.T, r *rand.Rand, g *graph.Graph, y, _ *graph.Value) *graph.Value {
		return add(t, g, build(t, "Relu", 14), norm(t, r, g, y))
	}},
	{"BN Add", "+BN+Add", func(t *testing.T, r *rand.Rand, g *graph.Graph, y, res *graph.Value) *graph.Value {
		return add(t, g, build(t, "Add", 14), norm(t, r, g, y), res)
	}},
	{"BN Add Relu", "+BN+Add+Relu", func(t *testing.T, r *rand.Rand, g *graph.Graph, y, res *graph.Value) *graph.Value {
		return add(t, g, build(t, "Relu", 14), add(t, g, build(t, "Add", 14), res, norm(t, r, g, y)))
	}},
	{"Add Clip", "+Add+Clip", func(t *testing.T, r *rand.Rand, g *graph.Graph, y, res *graph.Value) *graph.Value {
		lo, hi := literal(tensor.Scalar[float32](-0.25)), literal(tensor.Scalar[float32](0.5))
		return add(t, g, build(t, "Clip", 13), add(t, g, build(t, "Add", 14), y, res), lo, hi)
	}},
	{"attribute Clip", "+Clip[0.1,6]", func(t *testing.T, r *rand.Rand, g *graph.Graph, y, _ *graph.Value) *graph.Value {
		return add(t, g, build(t, "Clip", 7, "min", float32(0.1), "max", float32(6)), y)
	}},
	{"channel Mul Relu", "+Mul+Relu", func(t *testing.T, r *rand.Rand, g *graph.Graph, y, _ *graph.Value) *graph.Value {
		s := literal(reals(r, perChannelShape(y.Shape[1], len(y.Shape)-2)...))
		return add(t, g, build(t, "Relu", 7), add(t, g, build(t, "Mul", 7), y, s))
	}},
	{"channel Add", "+Add", func(t *testing.T, r *rand.Rand, g *graph.Graph, y, _ *graph.Value) *graph.Value {
		s := reals(r, perChannelShape(y.Shape[1], len(y.Shape)-2)...)
		for i := range s.F32() {
			s.F32()[i] += 0 // no -0
		}
		return add(t, g, build(t, "Add", 7), literal(s), y)
	}},
	{"scalar Mul Add Relu", "+Mul+Add+Relu", func(t *testing.T, r *rand.Rand, g *graph.Graph, y, res *graph.Value) *graph.Value {
		s := literal(tensor.Scalar[float32](0.17))
		return add(t, g, build(t, "Relu", 7), add(t, g, build(t, "Add", 7), res, add(t, g, build(t, "Mul", 7), y, s)))
	}},
	{"scalar Add", "+Add", func(t *testing.T, r *rand.Rand, g *graph.Graph, y, _ *graph.Value) *graph.Value {
		return add(t, g, build(t, "Add", 7), literal(tensor.New(tensor.Float32, 1, 1, 1)), y)
	}},
	{"Relu BN", "+Relu", func(t *testing.T, r *rand.Rand, g *graph.Graph, y, _ *graph.Value) *graph.Value {
		return norm(t, r, g, add(t, g, build(t, "Relu", 14), y)) // does not fit the order: the BN stays
	}},
	{"Add BN", "+Add", func(t *testing.T, r *rand.Rand, g *graph.Graph, y, res *graph.Value) *graph.Value {
		return norm(t, r, g, add(t, g, build(t, "Add", 14), y, res))
	}},
}

// norm adds a BatchNormalization with constants.
func norm(t *testing.T, r *rand.Rand, g *graph.Graph, y *graph.Value) *graph.Value {
	c := y.Shape[1]
	variance := reals(r, c)
	for i, v := range variance.F32() {
		variance.F32()[i] = v*v + 0.1
	}
	return add(t, g, build(t, "BatchNormalization", 15), y, literal(reals(r, c)), literal(reals(r, c)), literal(reals(r, c)), literal(variance))
}

// The graph as the file has it and the graph with everything fused give the
// same bits, for each kind of convolution and each thing around it.
func TestFusionKeepsEveryBit(t *testing.T) {
	atEachLevel(t, "TestFusionKeepsEveryBit", func(t *testing.T) {
		for seed, c := range convCases {
			for _, tail := range tails {
				for _, bias := range []bool{false, true} {
					name := fmt.Sprintf("%s, %s, bias %v", c.name, tail.name, bias)
					r := rand.New(rand.NewPCG(uint64(seed), 7))
					g := &graph.Graph{}
					x := reals(r, c.x...)
					op, w := c.op(t, r)
					in := []*graph.Value{g.Input("x", x.Type), literal(w)}
					if c.live {
						in[1] = g.Input("w", w.Type)
					}
					if bias {
						in = append(in, literal(reals(r, c.outC)))
					}
					out, err := op.Infer(graph.Facts(in))
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					res := reals(r, out[0].Shape...)
					residual := g.Input("residual", res.Type)
					g.Outputs = []*graph.Value{tail.build(t, r, g, add(t, g, op, in...), residual)}
					run := []*tensor.Tensor{x, res}
					if c.live {
						run = []*tensor.Tensor{x, w, res}
					}
					fused := rewritten(t, g)
					a, _ := op.(*convolution).choose(graph.Facts(in), out)
					stays := a.losesSigns() && strings.HasPrefix(tail.fused, "+Mul")
					if got := fused.Nodes[0].Op.String(); strings.HasSuffix(got, tail.fused) == stays {
						t.Errorf("%s: got %s, want ...%s", name, got, tail.fused)
					}
					want, got := runGraph(t, g, run)[0], runGraph(t, fused, run)[0]
					if !got.Identical(want) {
						t.Errorf("%s: the bits of %s differ", name, fused.Nodes[0].Op)
					}
					if !runGraphFrom(t, g, run, true)[0].Identical(want) || !runGraphFrom(t, fused, run, true)[0].Identical(want) {
						t.Errorf("%s: the bits depend on the layout of the inputs", name)
					}
				}
			}
		}
	})
}

// A Pad of zeros goes into the convolution if that changes no bit, not even
// the sign of a zero, and stays if it may.
func TestPadIsAbsorbed(t *testing.T) {
	atEachLevel(t, "TestPadIsAbsorbed", func(t *testing.T) {
		for _, c := range []struct {
			name     string
			x        []int
			conv     []any
			w        []int
			pads     []int
			value    float32
			absorbed bool
		}{
			{"Keras stem", []int{1, 3, 12, 12}, []any{"strides", []int{2, 2}}, []int{16, 3, 3, 3}, []int{0, 0, 0, 0, 0, 0, 1, 1}, 0, true},
			{"direct", []int{1, 16, 7, 7}, []any{"auto_pad", "VALID"}, []int{16, 16, 3, 3}, []int{0, 0, 1, 2, 0, 0, 3, 0}, 0, true},
			{"fast", []int{1, 16, 13, 14}, nil, []int{16, 16, 3, 3}, []int{0, 0, 1, 2, 0, 0, 2, 0}, 0, true},
			{"both", []int{1, 16, 7, 7}, []any{"pads", []int{1, 0, 2, 0}}, []int{16, 16, 3, 3}, []int{0, 0, 1, 2, 0, 0, 3, 0}, 0, true},
			{"depthwise", []int{1, 32, 7, 7}, []any{"group", 32, "strides", []int{2, 2}}, []int{32, 1, 3, 3}, []int{0, 0, 1, 1, 0, 0, 1, 1}, 0, true},
			{"one dimension", []int{1, 16, 9}, nil, []int{16, 16, 3}, []int{0, 0, 2, 0, 0, 1}, 0, true},
			{"generic", []int{1, 6, 7, 7}, []any{"group", 3}, []int{6, 2, 3, 3}, []int{0, 0, 1, 1, 0, 0, 1, 1}, 0, true},
			{"same", []int{1, 16, 7, 7}, []any{"auto_pad", "SAME_UPPER"}, []int{16, 16, 3, 3}, []int{0, 0, 1, 1, 0, 0, 1, 1}, 0, false},
			{"ones", []int{1, 16, 7, 7}, nil, []int{16, 16, 3, 3}, []int{0, 0, 1, 1, 0, 0, 1, 1}, 1, false},
			{"minus zeros", []int{1, 16, 7, 7}, nil, []int{16, 16, 3, 3}, []int{0, 0, 1, 1, 0, 0, 1, 1}, negativeZero, false},
			{"channels", []int{1, 12, 7, 7}, nil, []int{16, 16, 3, 3}, []int{0, 4, 1, 1, 0, 0, 1, 1}, 0, false},
			{"cropping", []int{1, 16, 7, 7}, nil, []int{16, 16, 3, 3}, []int{0, 0, -1, 1, 0, 0, 1, 1}, 0, false},
		} {
			for _, tail := range tails {
				r := rand.New(rand.NewPCG(1, 2))
				g := &graph.Graph{}
				x, bias := reals(r, c.x...), tensor.New(tensor.Float32, c.w[0])
				for i := range bias.F32() {
					bias.F32()[i] = negativeZero // so that a sum of zeros may have either sign
				}
				w := reals(r, c.w...)
				for i, v := range w.F32() { // only the first place of a kernel, in the padding at the corner, gives a 0
					w.F32()[i] = float32(math.Copysign(float64(v), -float64(i%tensor.Shape(c.w[2:]).Elems())+0.5))
				}
				in := g.Input("x", x.Type)
				p := add(t, g, build(t, "Pad", 13), in, literal(tensor.Of(int64s(c.pads), len(c.pads))), literal(tensor.Scalar(c.value)))
				y := add(t, g, build(t, "Conv", 11, c.conv...), p, literal(w), literal(bias))
				res := reals(r, y.Shape...)
				g.Outputs = []*graph.Value{tail.build(t, r, g, y, g.Input("residual", res.Type))}
				fused := rewritten(t, g)
				if absorbed := fused.Nodes[0].In[0] == fused.Inputs[0] && strings.Contains(fused.Nodes[0].Op.String(), "Conv"); absorbed != c.absorbed {
					t.Errorf("%s, %s: absorbed is %v, want %v", c.name, tail.name, absorbed, c.absorbed)
				}
				for _, x := range []*tensor.Tensor{x, tensor.New(tensor.Float32, c.x...)} {
					run := []*tensor.Tensor{x, res}
					if !runGraph(t, fused, run)[0].Identical(runGraph(t, g, run)[0]) {
						t.Errorf("%s, %s: the bits differ", c.name, tail.name)
					}
				}
			}
		}
	})
}

// Depthwise convolutions take in the lower bound of an activation that nothing
// else reads, and give the bits of the separate nodes.
func TestLowerBoundsAreAbsorbed(t *testing.T) {
	atEachLevel(t, "TestLowerBoundsAreAbsorbed", func(t *testing.T) {
		relu := func(t *testing.T, g *graph.Graph, x *graph.Value) *graph.Value {
			return add(t, g, build(t, "Relu", 14), x)
		}
		clip := func(bounds ...float32) func(t *testing.T, g *graph.Graph, x *graph.Value) *graph.Value {
			return func(t *testing.T, g *graph.Graph, x *graph.Value) *graph.Value {
				in := []*graph.Value{x}
				for _, b := range bounds {
					in = append(in, literal(tensor.Scalar(b)))
				}
				return add(t, g, build(t, "Clip", 13), in...)
			}
		}
		for _, c := range []struct {
			name          string
			front         func(t *testing.T, g *graph.Graph, x *graph.Value) *graph.Value
			kernel        int
			attrs         []any
			before, other string // a Pad in front of the activation, behind it, or none; what else reads its result
			absorbed      bool
		}{
			{"3x3", relu, 3, []any{"pads", []int{1, 1, 1, 1}}, "", "", true},
			{"3x3, stride 2, Pad", relu, 3, []any{"strides", []int{2, 2}}, "Pad behind", "", true},
			{"5x5, two", relu, 5, []any{"auto_pad", "SAME_UPPER"}, "", "Conv", true},
			{"5x5, stride 2, two Pads", relu, 5, []any{"strides", []int{2, 2}}, "Pad behind", "Conv", true},
			{"7x7", relu, 7, []any{"auto_pad", "SAME_UPPER"}, "", "", true},
			{"2x2", relu, 2, nil, "", "", true},
			{"dilation", relu, 3, []any{"dilations", []int{2, 2}}, "", "", true},
			{"positive bound", clip(0.25, inf), 3, []any{"pads", []int{1, 1, 1, 1}}, "", "", true},
			{"negative bound", clip(-0.5, inf), 3, nil, "", "", true},
			{"Pad, positive bound", clip(0.25, inf), 3, nil, "Pad before", "", true},
			{"Pad, Relu", relu, 3, nil, "Pad before", "", true},
			{"upper bound", clip(0, 6), 3, nil, "", "", false},
			{"read by a sum", relu, 3, []any{"auto_pad", "SAME_UPPER"}, "", "Add", false},
			{"output", relu, 3, nil, "", "output", false},
		} {
			r := rand.New(rand.NewPCG(3, 9))
			g := &graph.Graph{}
			x := reals(r, 1, 32, 13, 12)
			for i := range 40 {
				x.F32()[i*97] = []float32{negativeZero, 0, inf, float32(math.NaN())}[i%4]
			}
			pad := func(v *graph.Value, n int) *graph.Value {
				return add(t, g, build(t, "Pad", 7, "pads", []int{0, 0, n, n, 0, 0, n, n}), v)
			}
			v := g.Input("x", x.Type)
			if c.before == "Pad before" {
				v = pad(v, 1)
			}
			v = c.front(t, g, v)
			depthwise := func() *graph.Value {
				v := v
				if c.before == "Pad behind" {
					v = pad(v, c.kernel/2)
				}
				w := literal(reals(r, 32, 1, c.kernel, c.kernel))
				return add(t, g, build(t, "Conv", 11, append([]any{"group", 32}, c.attrs...)...), v, w)
			}
			y := depthwise()
			switch c.other {
			case "Conv":
				y = add(t, g, build(t, "Mul", 14), y, depthwise())
			case "Add":
				y = add(t, g, build(t, "Mul", 14), y, v)
			case "output":
				g.Outputs = append(g.Outputs, v)
			}
			g.Outputs = append(g.Outputs, y)
			fused := rewritten(t, g)
			ops := ""
			for _, n := range fused.Nodes {
				ops += n.Op.String() + " "
			}
			if absorbed := strings.Contains(ops, "+Conv"); absorbed != c.absorbed {
				t.Errorf("%s: absorbed is %v, want %v: %s", c.name, absorbed, c.absorbed, ops)
			}
			if n := strings.Count(ops, "Relu") + strings.Count(ops, "Clip"); c.absorbed && n != strings.Count(ops, "+Conv") {
				t.Errorf("%s: an activation is left: %s", c.name, ops)
			}
			run := []*tensor.Tensor{x}
			got, want := runGraph(t, fused, run), runGraph(t, g, run)
			for i := range want {
				if !sameBits(got[i], want[i]) {
					t.Errorf("%s: output %d has other bits", c.name, i)
				}
			}
		}
	})
}

// A zero times an infinite weight is no zero: where such products are left
// out, the Pad must stay.
func TestPadStaysBeforeInfiniteWeights(t *testing.T) {
	w := reals(source(1), 32, 1, 3, 3)
	w.F32()[5] = inf
	g := &graph.Graph{}
	x := reals(source(2), 1, 32, 5, 5)
	p := add(t, g, build(t, "Pad", 7, "pads", []int{0, 0, 1, 1, 0, 0, 1, 1}), g.Input("x", x.Type))
	g.Outputs = []*graph.Value{add(t, g, build(t, "Conv", 11, "group", 32), p, literal(w))}
	fused := rewritten(t, g)
	if len(fused.Nodes) != 2 {
		t.Errorf("got %d nodes, want 2", len(fused.Nodes))
	}
	if !sameBits(runGraph(t, fused, []*tensor.Tensor{x})[0], runGraph(t, g, []*tensor.Tensor{x})[0]) {
		t.Error("the values differ")
	}
}

// Where sums of zeros lose their sign, a shift of -0, which would keep it, is
// not absorbed.
func TestShiftsOfMinusZeroStay(t *testing.T) {
	for groups, absorbed := range map[int]bool{1: true, 16: false} {
		g := &graph.Graph{}
		x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 16, 4, 4}})
		y := add(t, g, build(t, "Conv", 11, "group", groups), x, literal(reals(source(1), 16, 16/groups, 1, 1)))
		s := tensor.New(tensor.Float32, 16, 1, 1)
		s.F32()[3] = negativeZero
		g.Outputs = []*graph.Value{add(t, g, build(t, "Add", 7), y, literal(s))}
		if got := len(rewritten(t, g).Nodes) == 1; got != absorbed {
			t.Errorf("%d groups: absorbed is %v, want %v", groups, got, absorbed)
		}
	}
}

// A convolution whose result is read twice, or is an output of the graph,
// keeps it.
func TestReadResultsAreNotAbsorbed(t *testing.T) {
	for _, output := range []bool{false, true} {
		g := &graph.Graph{}
		x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 16, 4, 4}})
		y := add(t, g, build(t, "Conv", 11), x, literal(tensor.New(tensor.Float32, 16, 16, 1, 1)))
		z := add(t, g, build(t, "Relu", 14), y)
		g.Outputs = []*graph.Value{z, y}
		if !output {
			g.Outputs = []*graph.Value{add(t, g, build(t, "Add", 14), z, y)}
		}
		if got := rewritten(t, g).Nodes[0].Op.String(); strings.Contains(got, "Relu") {
			t.Errorf("output %v: got %s", output, got)
		}
	}
}

// Bounds that are no numbers, or that come with the run, are not absorbed.
func TestUnknownBoundsAreNotAbsorbed(t *testing.T) {
	for name, bound := range map[string]*tensor.Tensor{"NaN": tensor.Scalar(float32(math.NaN())), "live": nil} {
		g := &graph.Graph{}
		x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 16, 4, 4}})
		lo := g.Input("lo", tensor.Type{DType: tensor.Float32})
		if bound != nil {
			lo = literal(bound)
		}
		y := add(t, g, build(t, "Conv", 11), x, literal(tensor.New(tensor.Float32, 16, 16, 1, 1)))
		g.Outputs = []*graph.Value{add(t, g, build(t, "Clip", 13), y, lo)}
		if n := len(rewritten(t, g).Nodes); n != 2 {
			t.Errorf("%s: got %d nodes, want 2", name, n)
		}
	}
}

// totalFLOPs is the work of all nodes.
func totalFLOPs(g *graph.Graph) int64 {
	total := int64(0)
	for _, n := range g.Nodes {
		total += n.Op.(graph.Coster).FLOPs(graph.Facts(n.In), graph.Facts(n.Out))
	}
	return total
}

// The work of a fused node is that of the nodes it stands for.
func TestFusionKeepsFLOPs(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, tail := range tails[:6] {
		g := &graph.Graph{}
		x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 16, 4, 4}})
		res := g.Input("res", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 8, 4, 4}})
		y := add(t, g, build(t, "Conv", 11), x, literal(reals(r, 8, 16, 1, 1)), literal(reals(r, 8)))
		g.Outputs = []*graph.Value{tail.build(t, r, g, y, res)}
		if got, want := totalFLOPs(rewritten(t, g)), totalFLOPs(g); got != want {
			t.Errorf("%s: fused %d, want %d", tail.name, got, want)
		}
	}
}
