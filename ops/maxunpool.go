package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("MaxUnpool", 7, func(a *Attrs) graph.Op {
		return &maxUnpool{a.Ints("kernel_shape"), a.Ints("strides"), a.Ints("pads")}
	})
}

// maxUnpool puts the elements that a MaxPool chose back to where they were; the
// others are 0. Where two come to one place, the later one stays.
//
//	x:            [N C D1 D2 ...] any type but bool
//	indices:      like x, int64, the places of the elements in a tensor [N C O1 O2 ...]
//	output_shape: the constant shape of y, optional; y is 0 beyond the O
//	y:            [N C O1 O2 ...]
//
// A dimension O is (D-1)*stride + kernel - pads.
//
// Source: ONNX MaxUnpool-9, -11, -22.
type maxUnpool struct{ kernel, strides, pads []int }

func (*maxUnpool) String() string { return "MaxUnpool" }

// size returns the shape in which the indices count.
func (m *maxUnpool) size(x tensor.Shape) (tensor.Shape, error) {
	rank := len(x) - 2
	if rank < 1 {
		return nil, fmt.Errorf("x has shape %v, want at least 3 dimensions", x)
	}
	if m.kernel == nil {
		return nil, fmt.Errorf("attribute kernel_shape is missing")
	}
	kernel, err := windowList("kernel_shape", m.kernel, rank, 1, 1)
	if err != nil {
		return nil, err
	}
	strides, err := windowList("strides", m.strides, rank, 1, 1)
	if err != nil {
		return nil, err
	}
	pads, err := windowList("pads", m.pads, 2*rank, 0, 0)
	if err != nil {
		return nil, err
	}
	s := x[:2].Clone()
	for i, n := range x[2:] {
		if n > math.MaxInt32 {
			return nil, fmt.Errorf("x has shape %v, want dimensions of at most %d", x, math.MaxInt32)
		}
		o := (int64(n)-1)*int64(strides[i]) + int64(kernel[i]) - int64(pads[i]) - int64(pads[rank+i])
		if o < 0 || o > math.MaxInt32 {
			return nil, fmt.Errorf("spatial dimension %d of y has length %d, want 0 to %d", i, o, math.MaxInt32)
		}
		s = append(s, int(o))
	}
	return s, nil
}

func (m *maxUnpool) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 3); err != nil {
		return nil, err
	}
	x, at := in[0], in[1]
	if err := checkType("x", x.DType, numericTypes...); err != nil {
		return nil, err
	}
	if err := checkType("indices", at.DType, tensor.Int64); err != nil {
		return nil, err
	}
	if err := checkShape("indices", at, x.Shape...); err != nil {
		return nil, err
	}
	size, err := m.size(x.Shape)
	if err != nil {
		return nil, err
	}
	y := size
	if f := input(in, 2); !f.Missing() {
		list, err := integers(f, "output_shape")
		if err != nil {
			return nil, err
		}
		if len(list) != len(size) {
			return nil, fmt.Errorf("output_shape is %v, want %d dimensions", list, len(size))
		}
		for i, n := range list {
			if n < size[i] || i < 2 && n != size[i] {
				return nil, fmt.Errorf("output_shape is %v, want %v or more in the spatial dimensions", list, size)
			}
		}
		y = list
	}
	if _, err := tensor.CheckType(x.DType, size, graph.DefaultLimit); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: y}}}, nil
}

func (m *maxUnpool) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	size, err := m.size(in[0].Shape)
	if err != nil {
		return graph.Kernel{}, err
	}
	y, bytes, elems := out[0].Shape, in[0].DType.Size(), size.Elems()
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: 1, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, _ int) error {
		clear(out[0].Raw)
		for i, at := range in[1].I64() {
			if at < 0 || at >= int64(elems) {
				return fmt.Errorf("indices has %d at %d, want 0 to %d", at, i, elems-1)
			}
			to, step, rest := 0, 1, int(at)
			for d := len(y) - 1; d >= 0; d-- {
				to += rest % size[d] * step
				rest /= size[d]
				step *= y[d]
			}
			copy(out[0].Raw[to*bytes:][:bytes], in[0].Raw[i*bytes:])
		}
		return nil
	}}}}, nil
}
