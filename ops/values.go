package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// onValues is an operator on values that need not be dense tensors of numbers:
// strings, sequences, optionals. It is computed in a run alone, on one thread,
// and the types of its results are known only then, unless infer gives them.
type onValues struct {
	name       string
	need, most int
	infer      func(in []graph.Fact) ([]graph.Fact, error) // nil gives late results
	run        func(in []*tensor.Tensor) ([]*tensor.Tensor, error)
}

func (o *onValues) String() string { return o.name }

// Bodies makes the operator one that is computed in a run alone.
func (*onValues) Bodies() []*graph.Body { return nil }

func (o *onValues) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := countInputs(in, o.need, o.most); err != nil {
		return nil, err
	}
	if o.infer == nil {
		return nil, late("the inputs")
	}
	return o.infer(in)
}

func (o *onValues) Compile(in, _ []graph.Fact) (graph.Kernel, error) {
	return graph.Kernel{Info: "values", Call: func(_ graph.Runner, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		return o.run(in)
	}}, nil
}

// unpack returns a value that must be of the given kind.
func unpack(name string, t *tensor.Tensor, want tensor.Kind) (tensor.Value, error) {
	if t.DType != tensor.Packed {
		return tensor.Value{}, fmt.Errorf("%s is %v, want %v", name, t.Type, want)
	}
	v, err := t.Unpack()
	if err == nil && v.Kind != want {
		err = fmt.Errorf("%s is of the kind %v, want %v", name, v.Kind, want)
	}
	return v, err
}

// pack returns the one result that is v packed.
func pack(v tensor.Value) ([]*tensor.Tensor, error) {
	t, err := v.Pack()
	return []*tensor.Tensor{t}, err
}

// packList returns the one result that is a sequence of the items.
func packList(items []*tensor.Tensor) ([]*tensor.Tensor, error) {
	return pack(tensor.Value{Kind: tensor.Sequence, Items: items})
}

// scalarFact is the fact of one number of type d.
func scalarFact(d tensor.DType) []graph.Fact {
	return []graph.Fact{{Type: tensor.Type{DType: d, Shape: tensor.Shape{}}}}
}

// scalarInt returns the one integer that t holds, int64 or int32.
func scalarInt(name string, t *tensor.Tensor) (int64, error) {
	if t.Shape.Elems() == 1 {
		switch t.DType {
		case tensor.Int64:
			return t.I64()[0], nil
		case tensor.Int32:
			return int64(tensor.View[int32](t)[0]), nil
		}
	}
	return 0, fmt.Errorf("%s is %v, want one int64", name, t.Type)
}
