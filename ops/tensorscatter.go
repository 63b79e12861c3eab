package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("TensorScatter", 24, func(a *Attrs) graph.Op {
		s := tensorScatter{axis: a.Int("axis", -2)}
		switch mode := a.String("mode", "linear"); mode {
		case "linear":
		case "circular":
			s.circular = true
		default:
			a.Fail("attribute %q is %q, want linear or circular", "mode", mode)
		}
		return s
	})
}

// tensorScatter writes an update into a cache, for each element of the batch
// from its own index of the dimension axis on; circular goes on at the front
// where the dimension ends.
//
//	past, present: [batch, ..., max, ...] any type
//	update: [batch, ..., length, ...] past's type, length at most max
//	indices: [batch] i64, optional, 0 each
//
// Source: ONNX TensorScatter-24.
type tensorScatter struct {
	axis     int
	circular bool
}

func (t tensorScatter) String() string { return fmt.Sprintf("TensorScatter[axis %d]", t.axis) }

func (t tensorScatter) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 3); err != nil {
		return nil, err
	}
	x := in[0].Shape
	d, err := axis(t.axis, len(x))
	if err != nil {
		return nil, err
	}
	if d == 0 {
		return nil, fmt.Errorf("axis is %d, the dimension of the batch", t.axis)
	}
	if in[1].DType != in[0].DType {
		return nil, fmt.Errorf("update is %v, want %v as past", in[1].DType, in[0].DType)
	}
	fits := len(in[1].Shape) == len(x)
	for i := range x {
		fits = fits && (in[1].Shape[i] == x[i] || i == d && in[1].Shape[i] <= x[i])
	}
	if !fits {
		return nil, fmt.Errorf("update has shape %v, want %v or less in dimension %d", in[1].Shape, x, d)
	}
	if f := input(in, 2); !f.Missing() && (f.DType != tensor.Int64 || !f.Shape.Equal(x[:1])) {
		return nil, fmt.Errorf("write_indices is %v, want int64%v", f.Type, x[:1])
	}
	return []graph.Fact{{Type: in[0].Type}}, nil
}

func (t tensorScatter) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x, u := in[0].Shape, in[1].Shape
	d, err := axis(t.axis, len(x))
	if err != nil {
		return graph.Kernel{}, err
	}
	most, length, row := x[d], u[d], x[d+1:].Elems()*in[0].DType.Size()
	each := x[1:d].Elems() // runs of the dimension in an element of the batch
	runs := x[0] * each
	return graph.Kernel{Info: "rows", InPlace: []int{0}, Steps: []graph.Step{copyStep(out[0].Type, 0), {N: 1, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, _ int) error {
		for r := range runs {
			first := int64(0)
			if f := operand(in, 2); f != nil {
				first = f.I64()[r/each]
			}
			if length == 0 {
				continue
			}
			if first < 0 || first > int64(most) || !t.circular && first > int64(most-length) {
				return fmt.Errorf("index %d is %d, which leaves no room for %d in a dimension of length %d", r/each, first, length, most)
			}
			for i := range length {
				to := (int(first) + i) % most
				copy(out[0].Raw[(r*most+to)*row:][:row], in[1].Raw[(r*length+i)*row:][:row])
			}
		}
		return nil
	}}}}, nil
}
