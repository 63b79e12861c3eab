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
		return dropout{mask: tensor.Bool, inputs: 3, seed: seedOf(a)}
	})
}

// dropout is what Dropout does at inference: y = x, and every element of mask
// is one. With training_mode, an element of mask is zero with the probability
// ratio, and y = x * mask / (1 - ratio).
//
//	x, y: a floating-point type, any shape
//	mask: x's shape; x's type until opset 9 (Undefined here), then bool
//	ratio, training_mode (since opset 12): scalars, 0.5 and false if omitted
//
// Source: ONNX Dropout-7, -10, -12, -13, -22.
type dropout struct {
	mask   tensor.DType
	inputs int
	seed   seed
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

// drops reports whether elements may be dropped.
func drops(in []graph.Fact) bool {
	ratio, training := input(in, 1), input(in, 2)
	return !training.Missing() && !allZero(training) && (ratio.Missing() || !allZero(ratio))
}

// training is the kernel that drops elements if training_mode is true.
func (d dropout) training(out []graph.Fact) graph.Kernel {
	x := out[0].DType
	load, store := floatAt(x), floatTo(x)
	return perElement("generic go", out[0], mathTime, func(in, out []*tensor.Tensor, lo, hi int) error {
		ratio := 0.0
		if in[2].Raw[0] != 0 {
			if ratio = 0.5; in[1] != nil {
				ratio = floatAt(in[1].DType)(in[1].Raw, 0)
			}
		}
		for i := lo; i < hi; i++ {
			keep := d.seed.uniform(i) >= ratio
			if y := out[0]; y != nil {
				v := 0.0
				if keep {
					v = load(in[0].Raw, i) / (1 - ratio)
				}
				store(y.Raw, i, v)
			}
			if m := operand(out, 1); m != nil {
				tensor.View[bool](m)[i] = keep
			}
		}
		return nil
	})
}

func (d dropout) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if drops(in) {
		return d.training(out), nil
	}
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

// Rewrite removes the node if nothing is dropped and nobody reads the mask.
func (dropout) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	return !drops(graph.Facts(n.In)) && bypass(e, n), nil
}
