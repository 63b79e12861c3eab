package ops

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// padLine pads the numbers 0 to n-1 step by step; -1 is the value.
func padLine(n, before, behind int, mode string) []int {
	var x []int
	for i := max(0, -before); i < n+min(0, behind); i++ {
		x = append(x, i)
	}
	keep := len(x)
	line := append([]int{}, x...)
	next := func(i, step int) int { // i steps beyond an end
		switch mode {
		case "constant":
			return -1
		case "edge":
			if step < 0 {
				return x[0]
			}
			return x[keep-1]
		case "wrap":
			at := 0
			if step < 0 {
				at = keep - 1
			}
			for range i - 1 {
				if at += step; at < 0 {
					at = keep - 1
				} else if at == keep {
					at = 0
				}
			}
			return x[at]
		}
		// A walk from the end, against step, that turns at each end.
		at, to := 0, -step
		if step > 0 {
			at = keep - 1
		}
		for range i {
			if keep == 1 {
				break
			}
			if at+to < 0 || at+to == keep {
				to = -to
			}
			at += to
		}
		return x[at]
	}
	for i := 1; i <= before; i++ {
		line = append([]int{next(i, -1)}, line...)
	}
	for i := 1; i <= behind; i++ {
		line = append(line, next(i, 1))
	}
	return line
}

// checkPadded compares y with x padded according to padLine in every dimension.
func checkPadded(t *testing.T, x, y *tensor.Tensor, pads []int, mode string, value uint64) {
	t.Helper()
	rank := len(x.Shape)
	lines := make([][]int, rank)
	for d := range lines {
		lines[d] = padLine(x.Shape[d], pads[d], pads[d+rank], mode)
		if y.Shape[d] != len(lines[d]) {
			t.Fatalf("%v by %v: got %v, want length %d at %d", x.Type, pads, y.Shape, len(lines[d]), d)
		}
	}
	for _, c := range coordinates(y.Shape) {
		from, filled := make([]int, rank), false
		for d, i := range c {
			from[d] = lines[d][i]
			filled = filled || from[d] < 0
		}
		want := value
		if !filled {
			want = element(x, from)
		}
		if element(y, c) != want {
			t.Fatalf("%v by %v, %s: the element at %v is %x, want %x", x.Type, pads, mode, c, element(y, c), want)
		}
	}
}

func TestPadEqualsItsDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	types := []tensor.DType{tensor.Uint8, tensor.Float16, tensor.Float32, tensor.Int64}
	for range 600 {
		d := types[r.IntN(len(types))]
		shape, pads := make([]int, r.IntN(5)), []int{}
		for i := range shape {
			shape[i] = 1 + r.IntN(5)
		}
		for range 2 {
			for _, n := range shape {
				pads = append(pads, max(r.IntN(14)-6, -(n-1)/2))
			}
		}
		x := numbered(d, shape...)
		value := tensor.New(d)
		for i := range value.Raw {
			value.Raw[i] = byte(r.Uint32())
		}
		for _, mode := range []string{"constant", "edge", "reflect", "wrap"} {
			y := apply(t, build(t, "Pad", 19, "mode", mode), x, fixed(pads), value)[0]
			checkPadded(t, x, y, pads, mode, bitsOf(value, 0))
		}
	}
}

func TestPadSharesLargeTensors(t *testing.T) {
	x := numbered(tensor.Float32, 2, 9, 57, 61)
	for _, mode := range []string{"constant", "reflect"} {
		pads := []int{0, 0, 1, 3, 0, 0, 2, 70}
		y := apply(t, build(t, "Pad", 18, "mode", mode), x, fixed(pads))[0]
		checkPadded(t, x, y, pads, mode, 0)
	}
}

func TestPadHandlesZeroLengths(t *testing.T) {
	pads := build(t, "Pad", 13)
	for _, c := range []struct{ shape, pads []int }{
		{[]int{0}, []int{2, 1}},
		{[]int{2, 0, 3}, []int{1, 0, -1, 0, 2, 0}},
		{[]int{2, 3}, []int{0, -1, 0, -2}},
		{[]int{}, []int{}},
	} {
		x := numbered(tensor.Float32, c.shape...)
		checkPadded(t, x, apply(t, pads, x, fixed(c.pads))[0], c.pads, "constant", 0)
	}
}

func TestPadWithAttributesFillsWithTheValueInItsType(t *testing.T) {
	for d, want := range map[tensor.DType]uint64{
		tensor.Float32: 0xc0000000, tensor.Float64: 0xc000000000000000, tensor.Float16: 0xc000, tensor.BFloat16: 0xc000,
	} {
		x, pads := numbered(d, 2, 3), []int{1, 0, 0, 2}
		y := apply(t, build(t, "Pad", 7, "pads", pads, "value", float32(-2)), x)[0]
		checkPadded(t, x, y, pads, "constant", want)
	}
	x := numbered(tensor.Float32, 2)
	minusZero := float32(math.Copysign(0, -1))
	y := apply(t, build(t, "Pad", 7, "pads", []int{1, 0}, "value", minusZero), x)[0]
	checkPadded(t, x, y, []int{1, 0}, "constant", 0x80000000)
}

func TestPadTakesAxes(t *testing.T) {
	x := numbered(tensor.Float32, 2, 3, 4)
	y := apply(t, build(t, "Pad", 18), x, fixed{1, -1, 0, 2}, nil, fixed{-1, 0})[0]
	checkPadded(t, x, y, []int{-1, 0, 1, 2, 0, 0}, "constant", 0)
}

func TestPadRefusesWhatMakesNoSense(t *testing.T) {
	op, edge, wrap := build(t, "Pad", 19), build(t, "Pad", 19, "mode", "edge"), build(t, "Pad", 19, "mode", "wrap")
	most, least := int(^uint(0)>>1), -int(^uint(0)>>1)-1
	x := float(2, 3)
	checkShapes(t, []shapeCase{
		{"good", op, []any{x, fixed{1, 1, 1, 1}}, tensor.Shape{4, 5}},
		{"too few", op, []any{x, fixed{1, 1}}, nil},
		{"too many", op, []any{x, fixed{1, 1, 1, 1, 1, 1}}, nil},
		{"no pads", op, []any{x}, nil},
		{"overflow", op, []any{x, fixed{most, 0, 0, 0}}, nil},
		{"overflow of the sum", op, []any{x, fixed{most - 2, 0, 2, 0}}, nil},
		{"takes too much", op, []any{x, fixed{-3, 0, 0, 0}}, nil},
		{"takes too much from both ends", op, []any{x, fixed{0, -2, 0, -2}}, nil},
		{"takes far too much", op, []any{x, fixed{least, 0, 0, 0}}, nil},
		{"takes far too much from the end", op, []any{x, fixed{0, 0, 0, least}}, nil},
		{"takes far too much from both ends", op, []any{x, fixed{least, 0, least, 0}}, nil},
		{"takes all", op, []any{x, fixed{-1, 0, -1, -3}}, tensor.Shape{0, 0}},
		{"takes and adds far too much", op, []any{x, fixed{least, 0, most, 0}}, nil},
		{"axis twice", op, []any{x, fixed{1, 1, 1, 1}, nil, fixed{0, -2}}, nil},
		{"axis beyond", op, []any{x, fixed{1, 1}, nil, fixed{2}}, nil},
		{"value of another type", op, []any{x, fixed{1, 1, 1, 1}, tensor.New(tensor.Int32)}, nil},
		{"list of values", op, []any{x, fixed{1, 1, 1, 1}, float(2)}, nil},
		{"edge of nothing", edge, []any{float(0), fixed{1, 1}}, nil},
		{"edge of nothing left", edge, []any{float(2), fixed{-2, 1}}, nil},
		{"wrap of nothing", wrap, []any{float(0), fixed{0, 1}}, nil},
	})
	if _, err := New("", "Pad", 18, attrList("mode", "wrap")); !errors.Is(err, ErrUnsupported) {
		t.Errorf("mode wrap before opset 19: got %v, want ErrUnsupported", err)
	}
}

func TestPadInBlocksEqualsRowMajor(t *testing.T) {
	one, zero := tensor.Scalar[float32](1), tensor.Scalar[float32](0)
	for _, c := range []struct {
		name    string
		shape   []int
		pads    []int
		mode    string
		value   *tensor.Tensor
		blocked bool
	}{
		{"spatial", []int{2, 20, 5, 7}, []int{0, 0, 1, 1, 0, 0, 1, 1}, "constant", nil, true},
		{"given zero", []int{2, 20, 5, 7}, []int{0, 0, 1, 0, 0, 0, 0, 2}, "constant", zero, true},
		{"uneven, large", []int{2, 33, 57, 59}, []int{0, 0, 0, 2, 0, 0, 1, 0}, "constant", nil, true},
		{"cropped", []int{1, 16, 5, 7}, []int{0, 0, -1, 1, 0, 0, 1, -2}, "constant", nil, true},
		{"batch", []int{2, 20, 5, 7}, []int{1, 0, 0, 0, 0, 0, 1, 1}, "constant", nil, true},
		{"one", []int{2, 20, 5, 7}, []int{0, 0, 1, 1, 0, 0, 1, 1}, "constant", one, false},
		{"one, no pad lanes", []int{2, 32, 5, 7}, []int{0, 0, 1, 1, 0, 0, 1, 1}, "constant", one, true},
		{"channels", []int{2, 16, 5, 7}, []int{0, 16, 1, 1, 0, 0, 1, 1}, "constant", nil, false},
		{"channels cropped and added", []int{2, 16, 5, 7}, []int{0, -3, 1, 1, 0, 3, 1, 1}, "constant", nil, false},
		{"reflected", []int{2, 20, 5, 7}, []int{0, 0, 1, 2, 0, 0, 3, 1}, "reflect", nil, true},
		{"line", []int{2, 20, 7}, []int{0, 0, 1, 0, 0, 2}, "constant", nil, true},
	} {
		op := build(t, "Pad", 13, "mode", c.mode)
		in := []any{tensortest.Random(1, c.shape...), fixed(c.pads)}
		if c.value != nil {
			in = append(in, known{c.value})
		}
		want := apply(t, op, in...)[0]
		got, blocked := applyBlocked(t, op, in...)
		if blocked != c.blocked || !got.Identical(want) {
			t.Errorf("%s: identical %v, blocked %v, want true, %v", c.name, got.Identical(want), blocked, c.blocked)
		}
	}
}
