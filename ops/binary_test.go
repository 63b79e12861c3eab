package ops

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// arithmetic is each operator as float64 has it.
var arithmetic = map[string]func(a, b float64) float64{
	"Add": func(a, b float64) float64 { return a + b },
	"Sub": func(a, b float64) float64 { return a - b },
	"Mul": func(a, b float64) float64 { return a * b },
	"Div": func(a, b float64) float64 { return a / b },
}

// broadcastAt is element c of the result's coordinates in operand x.
func broadcastAt(x *tensor.Tensor, c []int) float64 {
	c = slices.Clone(c[len(c)-len(x.Shape):])
	for d, n := range x.Shape {
		if n == 1 {
			c[d] = 0
		}
	}
	return tensortest.At(x, index(x.Shape, c...))
}

// nonZero returns values that are exact in every type, without zeros.
func nonZero(d tensor.DType, seed uint64, shape ...int) *tensor.Tensor {
	x := tensor.New(d, shape...)
	r := source(seed)
	for i := range x.Shape.Elems() {
		set(x, i, float64(1+r.IntN(11)))
	}
	return x
}

// set writes v, which the type can hold.
func set(x *tensor.Tensor, i int, v float64) {
	switch x.DType {
	case tensor.Float32:
		x.F32()[i] = float32(v)
	case tensor.Float64:
		tensor.View[float64](x)[i] = v
	case tensor.Float16, tensor.BFloat16:
		tensor.View[uint16](x)[i] = halfOf(x.DType).store(float32(v))
	case tensor.Int8, tensor.Uint8:
		x.Raw[i] = byte(int(v))
	case tensor.Int16, tensor.Uint16:
		copy(x.Raw[2*i:], tensor.Scalar(int16(v)).Raw)
	case tensor.Int32, tensor.Uint32:
		copy(x.Raw[4*i:], tensor.Scalar(int32(v)).Raw)
	default:
		copy(x.Raw[8*i:], tensor.Scalar(int64(v)).Raw)
	}
}

var broadcastCases = []struct{ a, b, out []int }{
	{[]int{}, []int{}, []int{}},
	{[]int{3, 40}, []int{3, 40}, []int{3, 40}},
	{[]int{2, 3, 40}, []int{}, []int{2, 3, 40}},
	{[]int{1}, []int{2, 30}, []int{2, 30}},
	{[]int{2, 3, 5}, []int{5}, []int{2, 3, 5}},
	{[]int{3, 1}, []int{2, 3, 5}, []int{2, 3, 5}},
	{[]int{3, 1}, []int{1, 5}, []int{3, 5}},
	{[]int{2, 1, 4, 1, 3}, []int{5, 1, 2, 1}, []int{2, 5, 4, 2, 3}},
	{[]int{2, 3, 4}, []int{2, 1, 4}, []int{2, 3, 4}},
	{[]int{0, 3}, []int{1, 1}, []int{0, 3}},
	{[]int{2, 0}, []int{1}, []int{2, 0}},
}

func TestArithmeticBroadcastsAsNumPyDoes(t *testing.T) {
	atEachLevel(t, "TestArithmeticBroadcastsAsNumPyDoes", func(t *testing.T) {
		for name, f := range arithmetic {
			op := build(t, name, 14)
			for _, d := range numericTypes {
				for i, c := range broadcastCases {
					for _, swap := range []bool{false, true} {
						as, bs := c.a, c.b
						if swap {
							as, bs = bs, as
						}
						a, b := nonZero(d, uint64(i), as...), nonZero(d, uint64(i)+50, bs...)
						if !d.IsFloat() && name == "Sub" {
							a = nonZero(d, 1, as...)
							for j := range a.Shape.Elems() {
								set(a, j, 20+tensortest.At(a, j)) // no wrap-around in unsigned types
							}
						}
						y := apply(t, op, a, b)[0]
						if !y.Shape.Equal(c.out) || y.DType != d {
							t.Fatalf("%s of %v and %v: got %v, want %v%v", name, a.Type, b.Type, y.Type, d, c.out)
						}
						for j, at := range coordinates(c.out) {
							want := f(broadcastAt(a, at), broadcastAt(b, at))
							if !d.IsFloat() {
								want = math.Trunc(want)
							}
							rounded := tensor.New(d, 1)
							set(rounded, 0, want)
							if got := tensortest.At(y, j); got != tensortest.At(rounded, 0) {
								t.Fatalf("%s of %v and %v: element %v is %v, want %v", name, a.Type, b.Type, at, got, want)
							}
						}
					}
				}
			}
		}
	})
}

// Results are the same in every bit whether they are made in NCHW16c or not.
func TestArithmeticHasTheSameBitsInEachLayout(t *testing.T) {
	atEachLevel(t, "TestArithmeticHasTheSameBitsInEachLayout", func(t *testing.T) {
		for name := range arithmetic {
			for i, c := range []struct {
				a, b    []int
				known   bool // b is a constant
				blocked string
			}{
				{[]int{2, 20, 5, 7}, []int{2, 20, 5, 7}, false, "Add Sub Mul"},
				{[]int{1, 32, 5, 7}, []int{1, 32, 5, 7}, false, "Add Sub Mul Div"},
				{[]int{1, 20, 9}, []int{1, 20, 9}, true, "Add Sub Mul"},
				{[]int{2, 32, 1, 1}, []int{2, 32, 1, 1}, true, "Add Sub Mul Div"},
				{[]int{2, 20, 5, 7}, []int{20, 1, 1}, true, "Add Sub Mul"},
				{[]int{2, 20, 5, 7}, []int{1, 20, 1, 1}, false, "Add Mul"},
				{[]int{2, 20, 5, 7}, []int{2, 20, 1, 1}, false, "Add Mul"},
				{[]int{2, 20, 5, 7}, []int{2, 20, 1, 1}, true, ""},
				{[]int{2, 20, 5, 7}, []int{20, 1, 1}, false, ""},
				{[]int{2, 20, 5, 7}, []int{1}, true, ""},
				{[]int{2, 32, 5, 7}, []int{}, false, "Add Sub Mul Div"},
				{[]int{2, 20, 5, 7}, []int{7}, true, ""},
				{[]int{1, 20, 1, 1}, []int{1, 1, 5, 7}, false, ""},
				{[]int{1, 1, 5, 7}, []int{}, false, ""},
			} {
				for _, swap := range []bool{false, true} {
					r := source(uint64(i))
					a, b := reals(r, c.a...), reals(r, c.b...)
					in := []any{a, b}
					if c.known {
						in[1] = known{b}
					}
					plain := []any{a, b}
					if swap {
						slices.Reverse(in)
						slices.Reverse(plain)
					}
					op := build(t, name, 14)
					got, blocked := applyBlocked(t, op, in...)
					if want := strings.Contains(c.blocked, name); blocked != want {
						t.Errorf("%s of %v and %v, swapped %v: blocked is %v, want %v", name, c.a, c.b, swap, blocked, want)
					}
					if want := apply(t, op, plain...)[0]; !sameBits(got, want) {
						t.Errorf("%s of %v and %v, swapped %v: the bits depend on the layout", name, c.a, c.b, swap)
					}
				}
			}
		}
	})
}

// sameBits reports whether two float32 tensors have the same bits, all NaNs
// being one value.
func sameBits(a, b *tensor.Tensor) bool {
	return a.Type.Equal(b.Type) && slices.EqualFunc(a.F32(), b.F32(), func(x, y float32) bool {
		return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
	})
}

func TestIntegerDivisionTruncatesAndRefusesZero(t *testing.T) {
	op := build(t, "Div", 14)
	y := apply(t, op, tensor.Of([]int32{7, -7, math.MinInt32}, 3), tensor.Of([]int32{2, 2, -1}, 3))[0]
	if got, want := tensor.View[int32](y), []int32{3, -3, math.MinInt32}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, d := range slices.Concat(intTypes, smallTypes) {
		a, b := nonZero(d, 1, 4), tensor.New(d, 1)
		g := &graph.Graph{}
		if _, err := g.Add("div", op, nil, []*graph.Value{graph.Constant("a", a), graph.Constant("b", b)}, "y"); !errors.Is(err, errDivide) {
			t.Errorf("%v: got %v, want %v", d, err, errDivide)
		}
	}
}

func TestArithmeticRefusesWhatDoesNotFit(t *testing.T) {
	add := build(t, "Add", 14)
	for _, c := range []struct {
		in   []any
		text string
	}{
		{[]any{float(2, 3), float(2, 4)}, "do not broadcast: dimension 1 from the end is 3 and 4"},
		{[]any{float(2), tensor.New(tensor.Float64, 2)}, "float32 and float64"},
		{[]any{tensor.New(tensor.Bool, 2), tensor.New(tensor.Bool, 2)}, "element type bool"},
		{[]any{float(2)}, "input 1 is missing"},
		{[]any{float(2), float(2), float(2)}, "got 3 inputs"},
	} {
		if _, err := add.Infer(factsOf(c.in)); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("got %v, want ...%s...", err, c.text)
		}
	}
}

// A step of a plan may use an operand's memory for its result.
func TestArithmeticInPlace(t *testing.T) {
	for name := range arithmetic {
		a, b := nonZero(tensor.Float32, 1, 3, 50), nonZero(tensor.Float32, 2, 3, 50)
		op := build(t, name, 14)
		want := apply(t, op, a, b)[0]
		in := factsOf([]any{a, b})
		k, err := op.Compile(in, in[:1])
		if err != nil || !slices.Equal(k.InPlace, []int{0, 1}) {
			t.Fatalf("%s: InPlace is %v, %v, want [0 1]", name, k.InPlace, err)
		}
		for at := range 2 {
			ts := []*tensor.Tensor{a.Clone(), b.Clone()}
			for _, s := range k.Steps {
				for i := range s.N {
					if err := s.Do(&graph.Exec{}, ts, ts[at:at+1], i); err != nil {
						t.Fatal(err)
					}
				}
			}
			if !ts[at].Identical(want) {
				t.Errorf("%s in place of input %d differs", name, at)
			}
		}
		if k, err = op.Compile(factsOf([]any{a, float(50)}), in[:1]); err != nil || fmt.Sprint(k.InPlace) != "[0]" {
			t.Errorf("%s: a stretched operand: InPlace is %v, %v, want [0]", name, k.InPlace, err)
		}
	}
}

// The graph with the activation absorbed gives the bits of the separate nodes,
// of numbers, NaN, infinities and zeros of either sign.
func TestArithmeticAbsorbsActivations(t *testing.T) {
	atEachLevel(t, "TestArithmeticAbsorbsActivations", func(t *testing.T) {
		nan := float32(math.NaN())
		for _, b := range [][]int{{2, 32, 9, 13}, {}, {32, 1, 1}, {13}} {
			for name := range arithmetic {
				for _, clamp := range []graph.Op{build(t, "Relu", 14), build(t, "Clip", 7, "min", float32(-0.5), "max", float32(0.25))} {
					x, y := reals(source(1), 2, 32, 9, 13), reals(source(2), b...)
					copy(x.F32(), []float32{nan, inf, -inf, 0, negativeZero})
					for i, constant := range []bool{false, true} {
						g := &graph.Graph{}
						in, run := []*graph.Value{g.Input("x", x.Type), literal(y)}, []*tensor.Tensor{x}
						if !constant {
							in[1], run = g.Input("y", y.Type), append(run, y)
						}
						in[0], in[1] = in[i], in[1-i] // either may be the one of all elements
						g.Outputs = []*graph.Value{add(t, g, clamp, add(t, g, build(t, name, 14), in...))}
						fused := rewritten(t, g)
						if len(fused.Nodes) != 1 || fused.Nodes[0].Op.String() != name+"+"+clamp.String() {
							t.Errorf("%s of %v and %s: got %d nodes, the first is %s", name, b, clamp, len(fused.Nodes), fused.Nodes[0].Op)
						}
						for _, blocked := range []bool{false, true} {
							if !sameBits(runGraphFrom(t, fused, run, blocked)[0], runGraphFrom(t, g, run, blocked)[0]) {
								t.Errorf("%s of %v and %s, constant %v, blocked %v: the bits differ", name, b, clamp, constant, blocked)
							}
						}
						if got, want := totalFLOPs(fused), totalFLOPs(g); got != want {
							t.Errorf("%s of %v and %s: %d operations, want %d", name, b, clamp, got, want)
						}
					}
				}
			}
		}
	})
}

// Bounds without zero would make something else of pad lanes.
func TestArithmeticLeavesActivationsThatMoveZero(t *testing.T) {
	g := &graph.Graph{}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 5, 2, 2}})
	g.Outputs = []*graph.Value{add(t, g, build(t, "Clip", 7, "min", float32(1)), add(t, g, build(t, "Add", 14), x, x))}
	in := []*tensor.Tensor{reals(rand.New(rand.NewPCG(1, 2)), 1, 5, 2, 2)}
	got, want := runGraphFrom(t, rewritten(t, g), in, true)[0], runGraph(t, g, in)[0]
	if !got.Identical(want) {
		t.Errorf("got %v, want %v", got.F32(), want.F32())
	}
}
