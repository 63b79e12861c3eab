package ops

import (
	"bytes"
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Dropout", 7, func(a *Attrs) graph.Op {
		a.Float("ratio", 0.5)
		return dropout{mask: tensor.Undefined, inputs: 1}
	})
	register("Dropout", 10, func(a *Attrs) graph.Op {
		a.Float("ratio", 0.5)
		return dropout{mask: tensor.Bool, inputs: 1}
	})
	register("Dropout", 12, func(a *Attrs) graph.Op {
		a.Int("seed", 0)
		return dropout{mask: tensor.Bool, inputs: 3}
	})
}

// dropout is what Dropout does at inference: y = x, and every element of mask
// is one.
//
//	x, y: a floating-point type, any shape
//	mask: x's shape; x's type until opset 9 (Undefined here), then bool
//	ratio, training_mode (since opset 12): scalars; drops something only when
//	       training_mode is true and ratio is not zero, which is not supported
//
// Source: ONNX Dropout-7, -10, -12, -13, -22.
type dropout struct {
	mask   tensor.DType
	inputs int
}

func (dropout) String() string { return "Dropout" }

func (d dropout) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, d.inputs); err != nil {
		return nil, err
	}
	x, ratio, training := in[0], input(in, 1), input(in, 2)
	if !x.DType.IsFloat() {
		return nil, fmt.Errorf("x is %v, want a floating-point type", x.DType)
	}
	if !ratio.Missing() && (!ratio.DType.IsFloat() || ratio.Shape.Elems() != 1) {
		return nil, fmt.Errorf("ratio is %v, want a floating-point scalar", ratio.Type)
	}
	if !training.Missing() {
		if training.DType != tensor.Bool || training.Shape.Elems() != 1 {
			return nil, fmt.Errorf("training_mode is %v, want a bool scalar", training.Type)
		}
		if !allZero(training) && (ratio.Missing() || !allZero(ratio)) {
			return nil, fmt.Errorf("%w training_mode, which is not constantly false", ErrUnsupported)
		}
	}
	mask := graph.Fact{Type: tensor.Type{DType: d.mask, Shape: x.Shape}}
	if d.mask == tensor.Undefined {
		mask.DType = x.DType
	}
	return []graph.Fact{{Type: x.Type}, mask}, nil
}

// allZero reports whether f is known to have only zero bytes.
func allZero(f graph.Fact) bool {
	return f.Const != nil && len(bytes.TrimLeft(f.Const.Raw, "\x00")) == 0
}

// ones are the bytes of the number one in the types of a mask.
var ones = map[tensor.DType][]byte{
	tensor.Bool:     {1},
	tensor.Float32:  tensor.Scalar[float32](1).Raw,
	tensor.Float64:  tensor.Scalar[float64](1).Raw,
	tensor.Float16:  tensor.Scalar(tensor.Float32ToFloat16(1)).Raw,
	tensor.BFloat16: tensor.Scalar(tensor.Float32ToBFloat16(1)).Raw,
}

func (dropout) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if len(out) < 2 {
		return view, nil
	}
	one := ones[out[1].DType]
	n, x, m := out[0].Shape.Elems(), out[0].DType.Size(), len(one)
	count := chunks(n, moveTime*float64(x+m))
	return graph.Kernel{Info: "copy", InPlace: []int{0}, Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(n, count, i, 1)
		if out[0] != nil {
			copy(out[0].Raw[lo*x:hi*x], in[0].Raw[lo*x:hi*x])
		}
		if out[1] != nil {
			repeat(out[1].Raw[lo*m:hi*m], one)
		}
		return nil
	}}}}, nil
}

// repeat fills dst with copies of one, whose length divides dst's.
func repeat(dst, one []byte) {
	for n := copy(dst, one); n < len(dst); n *= 2 {
		copy(dst[n:], dst[:n])
	}
}

// Rewrite removes the node if nobody reads the mask.
func (dropout) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) { return bypass(e, n), nil }
