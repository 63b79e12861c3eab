package ops

import (
	"errors"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func TestConstantIsFoldedAtOnce(t *testing.T) {
	x := numbered(tensor.BFloat16, 2, 3)
	for _, c := range []struct {
		attr  string
		value any
		want  *tensor.Tensor
	}{
		{"value", x, x},
		{"value_float", float32(2.5), tensor.Scalar[float32](2.5)},
		{"value_int", int64(-1 << 40), tensor.Scalar[int64](-1 << 40)},
		{"value_floats", []float32{1, 2}, tensor.Of([]float32{1, 2}, 2)},
		{"value_ints", []int64{3}, tensor.Of([]int64{3}, 1)},
		{"value_ints", []int64{}, tensor.New(tensor.Int64, 0)},
	} {
		g := &graph.Graph{}
		vs, err := g.Add("c", build(t, "Constant", 13, c.attr, c.value), nil, nil, "y")
		if err != nil {
			t.Fatal(err)
		}
		if len(g.Nodes) != 0 || vs[0].Const == nil || !vs[0].Const.Identical(c.want) {
			t.Errorf("%s: got %v and %d nodes, want %v and none", c.attr, vs[0].Const, len(g.Nodes), c.want)
		}
	}
}

func TestConstantRefusesWhatItCannotHold(t *testing.T) {
	x := float(1)
	for name, c := range map[string]struct {
		version     int
		attrs       []any
		unsupported bool
	}{
		"nothing":       {13, nil, false},
		"two":           {13, []any{"value", x, "value_int", 1}, false},
		"no tensor":     {13, []any{"value", (*tensor.Tensor)(nil)}, false},
		"wrong type":    {13, []any{"value", 3}, false},
		"early strings": {11, []any{"value_strings", []string{"s"}}, false},
		"too early":     {11, []any{"value_int", 1}, false},
		"no sparse one": {13, []any{"sparse_value", 1}, false},
	} {
		_, err := New("", "Constant", c.version, attrList(c.attrs...))
		if err == nil || errors.Is(err, ErrUnsupported) != c.unsupported {
			t.Errorf("%s: got %v, want an error, unsupported %v", name, err, c.unsupported)
		}
	}
}
