package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Split", 2, func(a *Attrs) graph.Op { return split{axis: a.Int("axis", 0), attr: a.Ints("split")} })
	register("Split", 13, func(a *Attrs) graph.Op { return split{axis: a.Int("axis", 0), input: true} })
	register("Split", 18, func(a *Attrs) graph.Op {
		s := split{axis: a.Int("axis", 0), input: true, uneven: true}
		if a.Has("num_outputs") {
			if s.count = a.Int("num_outputs", 0); s.count < 1 {
				a.Fail("attribute %q is %d, want at least 1", "num_outputs", s.count)
			}
		}
		return s
	})
}

// split cuts x along axis into parts of the given lengths, or without those into
// as many equal parts as there are outputs; since opset 18 the last one may be
// shorter.
//
//	x, parts: any type
//	lengths: an attribute until opset 12; then an optional i64 list
//
// Source: ONNX Split-2, -11, -13, -18.
type split struct {
	axis    int
	attr    []int
	input   bool
	uneven  bool
	count   int // attribute num_outputs, 0 if it is not given
	outputs int // of the node
}

func (s split) String() string { return fmt.Sprintf("Split[axis %d]", s.axis) }

// Outputs makes it possible to leave the lengths out.
func (s split) Outputs(n int) graph.Op {
	s.outputs = n
	return s
}

// maxParts bounds the parts of equal length.
const maxParts = 1 << 16

// lengths returns the dimension that is cut, and the lengths of the parts.
func (s split) lengths(in []graph.Fact) (int, []int, error) {
	x := in[0].Shape
	d, err := axis(s.axis, len(x))
	if err != nil {
		return 0, nil, err
	}
	list := s.attr
	if f := input(in, 1); s.input && !f.Missing() {
		if s.count > 0 {
			return 0, nil, fmt.Errorf("both num_outputs and the lengths of the parts are given")
		}
		if list, err = integers(f, "split"); err != nil {
			return 0, nil, err
		}
	} else if list == nil {
		n := max(s.count, s.outputs)
		if n == 0 || n > maxParts || s.count > 0 && s.outputs > s.count {
			return 0, nil, fmt.Errorf("got %d outputs and num_outputs %d, want 1 to %d, and not more outputs", s.outputs, s.count, maxParts)
		}
		each := (x[d] + n - 1) / n
		if each*n != x[d] && (!s.uneven || each*(n-1) > x[d]) {
			return 0, nil, fmt.Errorf("dimension %d of x%v does not make %d parts", d, x, n)
		}
		list = slices.Repeat([]int{each}, n)
		list[n-1] = x[d] - each*(n-1)
	}
	if slices.ContainsFunc(list, func(n int) bool { return n < 0 }) {
		return 0, nil, fmt.Errorf("a length of %v is negative", list)
	}
	if sum, err := total(list...); err != nil || sum != x[d] {
		return 0, nil, fmt.Errorf("the lengths %v do not add up to dimension %d of x%v", list, d, x)
	}
	return d, list, nil
}

func (s split) Infer(in []graph.Fact) ([]graph.Fact, error) {
	most := 1
	if s.input {
		most = 2
	}
	if err := checkInputs(in, 1, most); err != nil {
		return nil, err
	}
	d, list, err := s.lengths(in)
	if err != nil {
		return nil, err
	}
	out := make([]graph.Fact, len(list))
	for i, n := range list {
		shape := in[0].Shape.Clone()
		shape[d] = n
		out[i] = graph.Fact{Type: tensor.Type{DType: in[0].DType, Shape: shape}}
	}
	return out, nil
}

func (s split) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	d, list, err := s.lengths(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	k, base := graph.Kernel{Info: "move"}, 0
	for i, f := range out {
		p := places{nest{f.Shape, strides(in[0].Shape)}, base * in[0].Shape[d+1:].Elems()}
		k.Steps = append(k.Steps, moveStep(f.Type, p.merged(), i))
		base += list[i]
	}
	return k, nil
}
