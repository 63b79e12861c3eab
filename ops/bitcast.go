package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("BitCast", 26, func(a *Attrs) graph.Op {
		if !a.Has("to") {
			a.Fail("attribute %q is missing", "to")
		}
		return bitCast{elementType(a, "to")}
	})
}

// bitCast is x with its bits taken for another element type of the same size.
//
//	x: any type, any shape
//	y: the type to, x's shape
//
// Source: ONNX BitCast-26.
type bitCast struct{ to tensor.DType }

func (b bitCast) String() string { return fmt.Sprintf("BitCast[%v]", b.to) }

func (b bitCast) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if b.to.Size() != in[0].DType.Size() {
		return nil, fmt.Errorf("x is %v of %d bytes, want the %d of %v", in[0].DType, in[0].DType.Size(), b.to.Size(), b.to)
	}
	if b.to == tensor.Bool {
		return nil, fmt.Errorf("%w: bits taken for %v", ErrUnsupported, b.to)
	}
	return []graph.Fact{{Type: tensor.Type{DType: b.to, Shape: in[0].Shape}}}, nil
}

func (bitCast) Compile(in, out []graph.Fact) (graph.Kernel, error) { return view, nil }
