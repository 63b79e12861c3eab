package ops

import (
	"errors"
	"slices"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// attrList makes attributes of names and values in turn; integers and lists of
// them become what a file has.
func attrList(pairs ...any) []graph.Attr {
	var list []graph.Attr
	for i := 0; i < len(pairs); i += 2 {
		v := pairs[i+1]
		switch n := v.(type) {
		case int:
			v = int64(n)
		case []int:
			v = int64s(n)
		}
		list = append(list, graph.Attr{Name: pairs[i].(string), Value: v})
	}
	return list
}

func int64s(list []int) []int64 {
	v := make([]int64, len(list))
	for i, n := range list {
		v[i] = int64(n)
	}
	return v
}

// build returns the operator as New makes it.
func build(tb testing.TB, name string, version int, attrs ...any) graph.Op {
	tb.Helper()
	op, err := New("", name, version, attrList(attrs...))
	if err != nil {
		tb.Fatal(err)
	}
	return op
}

// fixed is a constant list of integers as an input.
type fixed []int

// known is any other constant as an input.
type known struct{ *tensor.Tensor }

// inputs makes facts and tensors of *tensor.Tensor (computed at run time),
// fixed, known, and nil for an omitted input.
func inputs(in []any) ([]graph.Fact, []*tensor.Tensor) {
	facts, tensors := make([]graph.Fact, len(in)), make([]*tensor.Tensor, len(in))
	for i, v := range in {
		switch v := v.(type) {
		case *tensor.Tensor:
			facts[i], tensors[i] = graph.Fact{Type: v.Type}, v
		case fixed:
			tensors[i] = tensor.Of(int64s(v), len(v))
			facts[i] = graph.Constant("", tensors[i]).Fact
		case known:
			tensors[i] = v.Tensor
			facts[i] = graph.Constant("", v.Tensor).Fact
		}
	}
	return facts, tensors
}

func factsOf(in []any) []graph.Fact {
	facts, _ := inputs(in)
	return facts
}

// apply runs op on the inputs, given as for inputs. The iterations of a step
// are run in both orders, on dirty memory; the results must be the same, and
// nothing may be allocated.
func apply(tb testing.TB, op graph.Op, in ...any) []*tensor.Tensor {
	tb.Helper()
	facts, tensors := inputs(in)
	out, err := op.Infer(facts)
	if err != nil {
		tb.Fatalf("%s: %v", op, err)
	}
	k, err := op.Compile(facts, out)
	if err != nil {
		tb.Fatalf("%s: %v", op, err)
	}
	for _, i := range k.Packed {
		tensors[i] = nil
	}
	return execute(tb, op.String(), k, tensors, out)
}

// execute runs a kernel as apply says.
func execute(tb testing.TB, name string, k graph.Kernel, in []*tensor.Tensor, out []graph.Fact) []*tensor.Tensor {
	tb.Helper()
	if k.View {
		return []*tensor.Tensor{{Type: out[0].Type, Raw: in[0].Raw}}
	}
	dirty := func(n int) []byte {
		b := tensor.Alloc(n)
		for i := range b {
			b[i] = 0xa5
		}
		return b
	}
	x := &graph.Exec{Scratch: dirty(k.Scratch), Temp: dirty(k.Temp)}
	var both [2][]*tensor.Tensor
	for order := range both {
		for _, f := range out {
			both[order] = append(both[order], &tensor.Tensor{Type: f.Type, Raw: dirty(f.Bytes())})
		}
	}
	run := func(order int) {
		for _, s := range k.Steps {
			for i := range s.N {
				if order == 1 {
					i = s.N - 1 - i
				}
				if err := s.Do(x, in, both[order], i); err != nil {
					tb.Fatalf("%s: %v", name, err)
				}
			}
		}
	}
	// The mean is rounded down, so what the runtime allocates now and then counts nothing.
	const runs = 4
	if n := testing.AllocsPerRun(runs, func() { run(0) }); n > 0 {
		tb.Errorf("%s: a run allocates %v times, want none", name, n)
	}
	run(1)
	for i := range out {
		if !slices.Equal(both[0][i].Raw, both[1][i].Raw) {
			tb.Errorf("%s: output %d depends on the order of the iterations", name, i)
		}
	}
	return both[0]
}

// inLayout converts to NCHW16c or back.
func inLayout(t *testing.T, x *tensor.Tensor, pack bool) *tensor.Tensor {
	t.Helper()
	k, f := nchw16c{}.Unpack(x.Type), graph.Fact{Type: x.Type}
	if pack {
		k, f.Layout = nchw16c{}.Pack(x.Type), nchw16c{}
	}
	return execute(t, "convert", k, []*tensor.Tensor{x}, []graph.Fact{f})[0]
}

// applyBlocked runs op with its inputs offered in NCHW16c, where they can lie
// so, and returns the first output in row-major layout after checking its pad
// lanes. The second result is false if op gives row-major.
func applyBlocked(t *testing.T, op graph.Op, in ...any) (*tensor.Tensor, bool) {
	t.Helper()
	facts, tensors := inputs(in)
	out, err := op.Infer(facts)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range facts {
		if f.Const == nil && blockable(f.Type) {
			facts[i].Layout = nchw16c{}
		}
	}
	want, give := op.(graph.Layouter).Layouts(facts, out)
	if len(want) != len(in) || len(give) != len(out) {
		t.Fatalf("%s: %d and %d layouts for %d inputs and %d outputs", op, len(want), len(give), len(in), len(out))
	}
	for i := range in {
		facts[i].Layout = nil // constants stay row-major
		if want[i] != nil && facts[i].Const == nil {
			facts[i].Layout = want[i]
			tensors[i] = inLayout(t, tensors[i], true)
		}
	}
	out[0].Layout = give[0]
	k, err := op.Compile(facts, out)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range k.Packed {
		tensors[i] = nil
	}
	y := execute(t, op.String(), k, tensors, out)[0]
	if give[0] == nil {
		return y, false
	}
	row := inLayout(t, y, false)
	if !slices.Equal(inLayout(t, row, true).Raw, y.Raw) {
		t.Errorf("%s: the pad lanes of %v are not zero", op, y.Type)
	}
	return row, true
}

// numbered returns a tensor whose elements differ as far as their bytes allow.
func numbered(d tensor.DType, shape ...int) *tensor.Tensor {
	t := tensor.New(d, shape...)
	for i := range t.Raw {
		element, place := i/d.Size(), i%d.Size()
		t.Raw[i] = byte((element + 1) * 40503 >> (8 * place))
	}
	return t
}

// bitsOf are the bits of element i.
func bitsOf(t *tensor.Tensor, i int) uint64 {
	u, size := uint64(0), t.DType.Size()
	for j := size - 1; j >= 0; j-- {
		u = u<<8 | uint64(t.Raw[i*size+j])
	}
	return u
}

// element is the bits of the element at coordinates c.
func element(t *tensor.Tensor, c []int) uint64 {
	i := 0
	for d, n := range t.Shape {
		i = i*n + c[d]
	}
	return bitsOf(t, i)
}

// coordinates returns those of all elements of a shape, in row-major order.
func coordinates(s tensor.Shape) [][]int {
	all := make([][]int, s.Elems())
	numbers := make([]int, len(all)*len(s))
	for i := range all {
		all[i], numbers = numbers[:len(s)], numbers[len(s):]
		for d, rest := len(s)-1, i; d >= 0; d-- {
			all[i][d] = rest % s[d]
			rest /= s[d]
		}
	}
	return all
}

// shapeCase is a shape that Infer must give, or none where it must refuse.
type shapeCase struct {
	name string
	op   graph.Op
	in   []any
	want tensor.Shape
}

func checkShapes(t *testing.T, cases []shapeCase) {
	t.Helper()
	for _, c := range cases {
		out, err := c.op.Infer(factsOf(c.in))
		switch {
		case c.want == nil && err == nil:
			t.Errorf("%s: got %v, want an error", c.name, out[0].Type)
		case c.want != nil && err != nil:
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		case c.want != nil && !out[0].Shape.Equal(c.want):
			t.Errorf("%s: got %v, want %v", c.name, out[0].Shape, c.want)
		}
	}
}

func float(shape ...int) *tensor.Tensor { return tensor.New(tensor.Float32, shape...) }

const huge = 1 << 30

func TestReshapeFollowsZeroAndMinusOne(t *testing.T) {
	five, fourteen := build(t, "Reshape", 7), build(t, "Reshape", 14)
	zero := build(t, "Reshape", 14, "allowzero", 1)
	checkShapes(t, []shapeCase{
		{"plain", five, []any{float(2, 3, 4), fixed{4, 6}}, tensor.Shape{4, 6}},
		{"rest", five, []any{float(2, 3, 4), fixed{3, -1}}, tensor.Shape{3, 8}},
		{"copy", fourteen, []any{float(2, 3, 4), fixed{0, 0, 2, -1}}, tensor.Shape{2, 3, 2, 2}},
		{"to scalar", fourteen, []any{float(1, 1), fixed{}}, tensor.Shape{}},
		{"from scalar", fourteen, []any{float(), fixed{-1, 1}}, tensor.Shape{1, 1}},
		{"copy of a zero length", fourteen, []any{float(0, 3), fixed{0, 5}}, tensor.Shape{0, 5}},
		{"zero length", zero, []any{float(2, 0), fixed{0, 7, 3}}, tensor.Shape{0, 7, 3}},
		{"zero length without allowzero", fourteen, []any{float(0, 3), fixed{3, 0, 0}}, nil},
		{"open rest", zero, []any{float(2, 0), fixed{0, -1}}, nil},
		{"open rest by copy", fourteen, []any{float(0, 3), fixed{0, -1}}, nil},
		{"copy of no dimension", five, []any{float(2), fixed{2, 0}}, nil},
		{"two rests", five, []any{float(4), fixed{-1, -1}}, nil},
		{"negative", five, []any{float(4), fixed{-2, -2}}, nil},
		{"other count", five, []any{float(4), fixed{3}}, nil},
		{"no divisor", five, []any{float(4), fixed{3, -1}}, nil},
		{"overflow", five, []any{float(4), fixed{huge, huge, huge, huge}}, nil},
		{"overflow beside a zero", zero, []any{float(0), fixed{0, huge, huge, huge}}, nil},
		{"too many dimensions", five, []any{float(1), append(make(fixed, 40), 1)}, nil},
		{"no shape", five, []any{float(4)}, nil},
		{"no x", five, []any{nil, fixed{1}}, nil},
		{"shape of floats", five, []any{float(4), float(1)}, nil},
		{"shape of two dimensions", five, []any{float(4), tensor.New(tensor.Int64, 1, 1)}, nil},
	})
}

func TestShapeComputedAtRunTimeIsLate(t *testing.T) {
	list := tensor.New(tensor.Int64, 2)
	for name, version := range map[string]int{"Reshape": 13, "Squeeze": 13, "Unsqueeze": 13, "Pad": 13, "ReduceMean": 18, "Split": 13, "Expand": 13, "Tile": 13} {
		if _, err := build(t, name, version).Infer(factsOf([]any{float(1, 1), list})); !errors.Is(err, graph.ErrLate) {
			t.Errorf("%s: got %v, want ErrLate", name, err)
		}
	}
}

func TestFlattenMakesAMatrix(t *testing.T) {
	at := func(axis int) graph.Op { return build(t, "Flatten", 13, "axis", axis) }
	checkShapes(t, []shapeCase{
		{"default", build(t, "Flatten", 9), []any{float(2, 3, 4)}, tensor.Shape{2, 12}},
		{"0", at(0), []any{float(2, 3, 4)}, tensor.Shape{1, 24}},
		{"rank", at(3), []any{float(2, 3, 4)}, tensor.Shape{24, 1}},
		{"-1", at(-1), []any{float(2, 3, 4)}, tensor.Shape{6, 4}},
		{"-rank", at(-3), []any{float(2, 3, 4)}, tensor.Shape{1, 24}},
		{"scalar", at(0), []any{float()}, tensor.Shape{1, 1}},
		{"zero length", at(1), []any{float(0, 3, 4)}, tensor.Shape{0, 12}},
		{"beyond", at(4), []any{float(2, 3, 4)}, nil},
		{"before", at(-4), []any{float(2, 3, 4)}, nil},
		{"scalar at 1", at(1), []any{float()}, nil},
		{"no input", at(1), nil, nil},
	})
}

func TestSqueezeTakesLengthOneOnly(t *testing.T) {
	old := func(axes ...int) graph.Op { return build(t, "Squeeze", 11, "axes", axes) }
	op := build(t, "Squeeze", 13)
	x := float(1, 3, 1, 5, 1)
	checkShapes(t, []shapeCase{
		{"all, old", build(t, "Squeeze", 7), []any{x}, tensor.Shape{3, 5}},
		{"all", op, []any{x}, tensor.Shape{3, 5}},
		{"all, omitted", op, []any{x, nil}, tensor.Shape{3, 5}},
		{"some, old", old(0, 4), []any{x}, tensor.Shape{3, 1, 5}},
		{"some", op, []any{x, fixed{-1, 2}}, tensor.Shape{1, 3, 5}},
		{"to scalar", op, []any{float(1, 1), fixed{0, 1}}, tensor.Shape{}},
		{"zero length", op, []any{float(0, 1), fixed{1}}, tensor.Shape{0}},
		{"length 3", op, []any{x, fixed{1}}, nil},
		{"twice", op, []any{x, fixed{0, -5}}, nil},
		{"beyond", op, []any{x, fixed{5}}, nil},
		{"far beyond", op, []any{x, fixed{-1 << 31}}, nil},
		{"input to the old one", old(0), []any{x, fixed{0}}, nil},
	})
}

func TestUnsqueezeCountsAxesInTheResult(t *testing.T) {
	op := build(t, "Unsqueeze", 13)
	x := float(3, 4)
	checkShapes(t, []shapeCase{
		{"old", build(t, "Unsqueeze", 11, "axes", []int{0, 3}), []any{x}, tensor.Shape{1, 3, 4, 1}},
		{"unordered", op, []any{x, fixed{4, 1, 2}}, tensor.Shape{3, 1, 1, 4, 1}},
		{"negative", op, []any{x, fixed{-1, 0}}, tensor.Shape{1, 3, 4, 1}},
		{"scalar", op, []any{float(), fixed{0}}, tensor.Shape{1}},
		{"none", op, []any{x, fixed{}}, tensor.Shape{3, 4}},
		{"twice", op, []any{x, fixed{0, -4}}, nil},
		{"beyond", op, []any{x, fixed{3}}, nil},
		{"no axes", op, []any{x}, nil},
		{"too many", op, []any{x, make(fixed, 40)}, nil},
	})
	if _, err := New("", "Unsqueeze", 11, nil); err == nil {
		t.Error("Unsqueeze-11 without axes was accepted")
	}
}

func TestViewsKeepTheBytes(t *testing.T) {
	for _, d := range []tensor.DType{tensor.Float32, tensor.Bool, tensor.Float16, tensor.Int64} {
		x := numbered(d, 1, 6)
		for name, y := range map[string][]*tensor.Tensor{
			"Reshape":   apply(t, build(t, "Reshape", 19), x, fixed{3, 2}),
			"Flatten":   apply(t, build(t, "Flatten", 13), x),
			"Squeeze":   apply(t, build(t, "Squeeze", 13), x),
			"Unsqueeze": apply(t, build(t, "Unsqueeze", 13), x, fixed{0}),
			"Identity":  apply(t, build(t, "Identity", 14), x),
		} {
			if y[0].DType != d || !slices.Equal(y[0].Raw, x.Raw) {
				t.Errorf("%s of %v changes bytes", name, d)
			}
		}
	}
}
