package ops

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

var poolCases = []struct {
	name  string
	x     []int
	attrs []any
	s     slow
	out   []int // spatial
}{
	{"3x3, s2, p1", []int{1, 20, 7, 8}, []any{"kernel_shape", []int{3, 3}, "strides", []int{2, 2}, "pads", []int{1, 1, 1, 1}},
		slow{[]int{3, 3}, []int{2, 2}, []int{1, 1}, []int{1, 1}, []int{1, 1}}, []int{4, 4}},
	{"few channels", []int{2, 3, 6, 5}, []any{"kernel_shape", []int{2, 3}},
		slow{[]int{2, 3}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0}}, []int{5, 3}},
	{"dilated", []int{1, 16, 7, 7}, []any{"kernel_shape", []int{2, 2}, "dilations", []int{3, 2}, "pads", []int{2, 0, 1, 1}},
		slow{[]int{2, 2}, []int{1, 1}, []int{3, 2}, []int{2, 0}, []int{1, 1}}, []int{7, 6}},
	// (4-3)/2 leaves a rest, so one more window begins at 2, inside.
	{"ceil", []int{1, 8, 4, 4}, []any{"kernel_shape", []int{3, 3}, "strides", []int{2, 2}, "ceil_mode", 1},
		slow{[]int{3, 3}, []int{2, 2}, []int{1, 1}, []int{0, 0}, []int{0, 0}}, []int{2, 2}},
	// (1+4+1-2)/3 leaves a rest, but the window at 2*3-1 = 5 would begin in the padding behind x.
	{"ceil beyond", []int{1, 8, 4, 4}, []any{"kernel_shape", []int{2, 2}, "strides", []int{3, 3}, "pads", []int{1, 1, 1, 1}, "ceil_mode", 1},
		slow{[]int{2, 2}, []int{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}}, []int{2, 2}},
	{"ceil over the padding", []int{1, 8, 6, 6}, []any{"kernel_shape", []int{3, 3}, "strides", []int{3, 3}, "pads", []int{1, 1, 0, 0}, "ceil_mode", 1},
		slow{[]int{3, 3}, []int{3, 3}, []int{1, 1}, []int{1, 1}, []int{0, 0}}, []int{3, 3}},
	{"same upper", []int{1, 16, 5, 6}, []any{"kernel_shape", []int{2, 3}, "auto_pad", "SAME_UPPER", "strides", []int{1, 2}},
		slow{[]int{2, 3}, []int{1, 2}, []int{1, 1}, []int{0, 0}, []int{1, 1}}, []int{5, 3}},
	{"same lower", []int{1, 16, 5, 6}, []any{"kernel_shape", []int{2, 3}, "auto_pad", "SAME_LOWER", "strides", []int{1, 2}},
		slow{[]int{2, 3}, []int{1, 2}, []int{1, 1}, []int{1, 1}, []int{0, 0}}, []int{5, 3}},
	{"1-D", []int{1, 9, 10}, []any{"kernel_shape", []int{4}, "strides", []int{3}, "pads", []int{2, 1}},
		slow{[]int{4}, []int{3}, []int{1}, []int{2}, []int{1}}, []int{4}},
	{"3-D", []int{1, 2, 4, 3, 5}, []any{"kernel_shape", []int{2, 2, 3}, "strides", []int{2, 1, 2}, "pads", []int{0, 1, 1, 0, 0, 1}},
		slow{[]int{2, 2, 3}, []int{2, 1, 2}, []int{1, 1, 1}, []int{0, 1, 1}, []int{0, 0, 1}}, []int{2, 3, 3}},
}

func TestMaxPoolIsTheLargestUnderTheWindow(t *testing.T) {
	atEachLevel(t, "TestMaxPoolIsTheLargestUnderTheWindow", func(t *testing.T) {
		for i, c := range poolCases {
			x := reals(source(uint64(i)), c.x...)
			op := build(t, "MaxPool", 12, c.attrs...)
			columns := build(t, "MaxPool", 12, append(c.attrs, "storage_order", 1)...)
			out := tensor.Shape(join(c.x[:2], c.out))
			values := make([]float64, 0, out.Elems())
			var rowMajor, columnMajor []int64
			for _, o := range coordinates(out) {
				best, where := math.Inf(-1), []int(nil)
				c.s.each(c.x[2:], o[2:], func(_, at []int, inside, _ bool) {
					if inside {
						if v := tensortest.At(x, index(c.x, join(o[:2], at)...)); v > best {
							best, where = v, at
						}
					}
				})
				values = append(values, best)
				plane := (o[0]*c.x[1] + o[1]) * tensor.Shape(c.x[2:]).Elems()
				rowMajor = append(rowMajor, int64(plane+index(c.x[2:], where...)))
				reversed := slices.Clone(c.x[2:])
				slices.Reverse(reversed)
				slices.Reverse(where)
				columnMajor = append(columnMajor, int64(plane+index(reversed, where...)))
			}
			check := func(what string, y *tensor.Tensor) {
				t.Helper()
				if !y.Shape.Equal(out) {
					t.Fatalf("%s, %s: got %v, want %v", c.name, what, y.Shape, out)
				}
				checkClose(t, c.name+", "+what, y, values, make([]float64, len(values)), 0)
			}
			y := apply(t, op, x)
			check("values", y[0])
			if !slices.Equal(y[1].I64(), rowMajor) {
				t.Errorf("%s: indices are %v, want %v", c.name, y[1].I64(), rowMajor)
			}
			if y := apply(t, columns, x); !slices.Equal(y[1].I64(), columnMajor) {
				t.Errorf("%s: column-major indices are %v, want %v", c.name, y[1].I64(), columnMajor)
			}
			check("float64", apply(t, op, wide(x))[0])
			if len(c.x) == 5 {
				continue
			}
			alone, blocked := firstOutput(t, op, x)
			check("alone", alone)
			if blocked != (c.x[1] >= minBlockChannels) {
				t.Errorf("%s: blocked is %v", c.name, blocked)
			}
			if !alone.Identical(y[0]) {
				t.Errorf("%s: wanting indices changes bits", c.name)
			}
		}
	})
}

// firstOutput runs op for its first output only, as a node does whose others
// nobody wants.
func firstOutput(t *testing.T, op graph.Op, x *tensor.Tensor) (y *tensor.Tensor, blocked bool) {
	t.Helper()
	g := &graph.Graph{}
	g.Outputs = []*graph.Value{add(t, g, op, g.Input("x", x.Type))}
	_, give := op.(graph.Layouter).Layouts(graph.Facts(g.Inputs), graph.Facts(g.Outputs))
	return runGraph(t, g, []*tensor.Tensor{x})[0], give[0] != nil
}

func TestMaxPoolOfSmallIntegers(t *testing.T) {
	op := build(t, "MaxPool", 12, "kernel_shape", []int{2}, "pads", []int{1, 0})
	y := apply(t, op, tensor.Of([]int8{-128, -3, -5, 7}, 1, 1, 4))[0]
	if got, want := tensor.View[int8](y), []int8{-128, -3, -3, 7}; !slices.Equal(got, want) {
		t.Errorf("int8: got %v, want %v", got, want)
	}
	y = apply(t, op, tensor.Of([]uint8{0, 200, 100, 255}, 1, 1, 4))[0]
	if got, want := tensor.View[uint8](y), []uint8{0, 200, 200, 255}; !slices.Equal(got, want) {
		t.Errorf("uint8: got %v, want %v", got, want)
	}
}

func TestAveragePoolIsTheMeanUnderTheWindow(t *testing.T) {
	atEachLevel(t, "TestAveragePoolIsTheMeanUnderTheWindow", func(t *testing.T) {
		for i, c := range poolCases {
			for countPads := range 2 {
				x := reals(source(uint64(i)), c.x...)
				op := build(t, "AveragePool", 19, append(c.attrs, "count_include_pad", countPads)...)
				out := tensor.Shape(join(c.x[:2], c.out))
				var want, magnitude []float64
				most := 0
				for _, o := range coordinates(out) {
					sum, abs, n := 0.0, 0.0, 0
					c.s.each(c.x[2:], o[2:], func(_, at []int, inside, beyond bool) {
						if inside {
							v := tensortest.At(x, index(c.x, join(o[:2], at)...))
							sum, abs = sum+v, abs+math.Abs(v)
						}
						if inside || countPads == 1 && !beyond {
							n++
						}
					})
					want, magnitude = append(want, sum/float64(n)), append(magnitude, abs/float64(n))
					most = max(most, n)
				}
				name := c.name
				if countPads == 1 {
					name += ", counting pads"
				}
				y, _ := firstOutput(t, op, x)
				if !y.Shape.Equal(out) {
					t.Fatalf("%s: got %v, want %v", name, y.Shape, out)
				}
				checkClose(t, name, y, want, magnitude, most)
				checkClose(t, name+", float64", apply(t, op, wide(x))[0], want, magnitude, most)
			}
		}
	})
}

func TestGlobalAveragePoolIsTheMeanOfAChannel(t *testing.T) {
	atEachLevel(t, "TestGlobalAveragePoolIsTheMeanOfAChannel", func(t *testing.T) {
		op := build(t, "GlobalAveragePool", 7)
		for i, shape := range [][]int{{2, 20, 7, 7}, {1, 3, 5, 40}, {1, 16, 9}, {2, 3, 2, 3, 4}, {3, 5}, {1, 8, 1, 1}} {
			x := reals(source(uint64(i)), shape...)
			_, _, size := planes(shape)
			var want, magnitude []float64
			for p := range shape[0] * shape[1] {
				sum, abs := 0.0, 0.0
				for j := range size {
					v := tensortest.At(x, p*size+j)
					sum, abs = sum+v, abs+math.Abs(v)
				}
				want, magnitude = append(want, sum/float64(size)), append(magnitude, abs/float64(size))
			}
			y, _ := firstOutput(t, op, x)
			if len(y.Shape) != len(shape) || y.Shape.Elems() != shape[0]*shape[1] {
				t.Errorf("x%v: got %v, want ones behind %v", shape, y.Shape, shape[:2])
			}
			checkClose(t, x.Type.String(), y, want, magnitude, size)
			checkClose(t, x.Type.String()+" in float64", apply(t, op, wide(x))[0], want, magnitude, size)
		}
	})
}

func TestPoolRefusesWhatDoesNotFit(t *testing.T) {
	x := float(1, 4, 8, 8)
	for _, c := range []struct {
		name  string
		attrs []any
		x     *tensor.Tensor
		text  string
	}{
		{"kernel beyond", []any{"kernel_shape", []int{9, 1}}, x, "kernel spans 9, padded input has 8"},
		{"kernel rank", []any{"kernel_shape", []int{2}}, x, "kernel has 1 dimensions, want 2"},
		{"kernel 0", []any{"kernel_shape", []int{0, 2}}, x, "kernel_shape has 0"},
		{"padding as wide as the kernel", []any{"kernel_shape", []int{2, 2}, "pads", []int{0, 2, 0, 0}}, x, "want less than the 2 places"},
		{"stride", []any{"kernel_shape", []int{2, 2}, "strides", []int{-1, 1}}, x, "strides has -1"},
		{"rank", []any{"kernel_shape", []int{}}, x, "kernel_shape"},
		{"no space", []any{"kernel_shape", []int{1}}, float(3, 3), "at least 3 dimensions"},
		{"huge", []any{"kernel_shape", []int{math.MaxInt32, math.MaxInt32}, "auto_pad", "SAME_UPPER", "dilations", []int{math.MaxInt32, 1}}, x, "want at most"},
	} {
		for _, name := range []string{"MaxPool", "AveragePool"} {
			op, err := New("", name, 19, attrList(c.attrs...))
			if err == nil {
				_, err = op.Infer(factsOf([]any{c.x}))
			}
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s, %s: got %v, want ...%s...", name, c.name, err, c.text)
			}
		}
	}
	for _, name := range []string{"MaxPool", "AveragePool", "GlobalAveragePool"} {
		attrs := []any{"kernel_shape", []int{1}}
		if name == "GlobalAveragePool" {
			attrs = nil
		}
		if _, err := build(t, name, 12, attrs...).Infer(factsOf([]any{tensor.New(tensor.Int16, 1, 1, 1)})); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s of int16: got %v, want ErrUnsupported", name, err)
		}
	}
}
