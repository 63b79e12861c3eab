package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Constant", 1, makeConstant)
}

// constant is a value that the file holds. Graph.Add makes it a constant of
// the graph at once.
//
//	value, or since opset 11 sparse_value: a tensor; or since opset 12
//	value_float, value_int, value_string (scalars), value_floats, value_ints,
//	value_strings (lists)
//
// Source: ONNX Constant-1, -9, -11, -12, -13, -19, -21, -23, -24, -25.
type constant struct{ t *tensor.Tensor }

func makeConstant(a *Attrs) graph.Op {
	var given []*tensor.Tensor
	if a.Has("value") {
		given = append(given, a.Tensor("value"))
	}
	if a.Version() >= 11 && a.Has("sparse_value") {
		given = append(given, a.Tensor("sparse_value"))
	}
	if a.Version() >= 12 {
		if a.Has("value_float") {
			given = append(given, tensor.Scalar(a.Float("value_float", 0)))
		}
		if a.Has("value_int") {
			given = append(given, tensor.Scalar(attr(a, "value_int", int64(0))))
		}
		if a.Has("value_floats") {
			v := a.Floats("value_floats")
			given = append(given, tensor.Of(v, len(v)))
		}
		if a.Has("value_ints") {
			v := attr(a, "value_ints", []int64(nil))
			given = append(given, tensor.Of(v, len(v)))
		}
		if a.Has("value_string") {
			given = append(given, a.strings([]string{a.String("value_string", "")}))
		}
		if a.Has("value_strings") {
			v := a.Strings("value_strings")
			given = append(given, a.strings(v, len(v)))
		}
	}
	if len(given) != 1 {
		a.Fail("got %d attributes with a value, want 1", len(given))
		return constant{}
	}
	if given[0] == nil {
		a.Fail("attribute %q has no tensor", "value")
	}
	return constant{given[0]}
}

// strings returns a tensor of strings.
func (a *Attrs) strings(list []string, shape ...int) *tensor.Tensor {
	t, err := packStrings(list, shape...)
	if err != nil {
		a.Fail("%w", err)
	}
	return t[0]
}

func (constant) String() string { return "Constant" }

func (c constant) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 0, 0); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: c.t.Type, Const: c.t}}, nil
}

func (c constant) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return graph.Kernel{Info: "copy", Steps: []graph.Step{{N: 1, Do: func(_ *graph.Exec, _, out []*tensor.Tensor, _ int) error {
		copy(out[0].Raw, c.t.Raw)
		return nil
	}}}}, nil
}
