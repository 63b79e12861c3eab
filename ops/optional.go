package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Optional", 15, func(a *Attrs) graph.Op {
		a.Has("type") // what is missing has no type here
		return &onValues{name: "Optional", most: 1, run: func(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
			v := tensor.Value{Kind: tensor.Optional}
			if t := operand(in, 0); t != nil {
				v.Items = []*tensor.Tensor{t}
			}
			return pack(v)
		}}
	})
	register("OptionalHasElement", 15, func(*Attrs) graph.Op {
		return &onValues{name: "OptionalHasElement", most: 1,
			infer: func([]graph.Fact) ([]graph.Fact, error) { return scalarFact(tensor.Bool), nil },
			run: func(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
				t, err := heldBy(operand(in, 0))
				return []*tensor.Tensor{tensor.Scalar(t != nil)}, err
			}}
	})
	register("OptionalGetElement", 15, func(*Attrs) graph.Op {
		return &onValues{name: "OptionalGetElement", need: 1, most: 1, run: func(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
			t, err := heldBy(in[0])
			if err == nil && t == nil {
				err = fmt.Errorf("the optional has no element")
			}
			return []*tensor.Tensor{t}, err
		}}
	})
}

// element returns what an optional holds, nil if that is nothing. A value that
// is no optional holds itself.
//
// Source: ONNX OptionalGetElement-15, -18.
func heldBy(t *tensor.Tensor) (*tensor.Tensor, error) {
	if t == nil || t.DType != tensor.Packed {
		return t, nil
	}
	v, err := t.Unpack()
	switch {
	case err != nil:
		return nil, err
	case v.Kind != tensor.Optional:
		return t, nil
	case len(v.Items) == 0:
		return nil, nil
	}
	return v.Items[0], nil
}
