package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Slice", 1, func(a *Attrs) graph.Op {
		if !a.Has("starts") || !a.Has("ends") {
			a.Fail("attributes %q and %q are missing", "starts", "ends")
		}
		return slice{attrs: [3][]int64{attr(a, "starts", []int64(nil)), attr(a, "ends", []int64(nil)), attr(a, "axes", []int64(nil))}}
	})
	register("Slice", 10, func(*Attrs) graph.Op { return slice{input: true} })
}

// slice is every step-th element of x from start to before end, along each of
// axes. Negative starts and ends count from the back, and both stop at the ends;
// a negative step goes backwards.
//
//	x, y: any type
//	starts, ends, axes, steps: attributes until opset 9, without steps; then
//	      i64 or i32 lists, of which the last two may be omitted
//
// Source: ONNX Slice-1, -10, -11, -13.
type slice struct {
	attrs [3][]int64
	input bool
}

func (slice) String() string { return "Slice" }

// cut returns the shape of the result and where its elements are in x.
func (s slice) cut(in []graph.Fact) (tensor.Shape, places, error) {
	none := func(err error) (tensor.Shape, places, error) { return nil, places{}, err }
	x := in[0].Shape
	lists := [4][]int64{s.attrs[0], s.attrs[1], s.attrs[2]}
	if s.input {
		for i, name := range []string{"starts", "ends", "axes", "steps"} {
			f := input(in, i+1)
			if f.Missing() {
				continue
			}
			var err error
			if lists[i], err = longs(f, name); err != nil {
				return none(err)
			}
		}
	}
	starts, ends, axes, steps := lists[0], lists[1], lists[2], lists[3]
	if len(ends) != len(starts) || axes != nil && len(axes) != len(starts) || steps != nil && len(steps) != len(starts) || axes == nil && len(starts) > len(x) {
		return none(fmt.Errorf("got %d starts, %d ends, %d axes and %d steps for x%v, want as many of each", len(starts), len(ends), len(axes), len(steps), x))
	}
	shape, p := x.Clone(), places{}
	p.n, p.stride = shape, strides(x)
	seen := make([]bool, len(x))
	for i := range starts {
		d, step := i, int64(1)
		if axes != nil {
			a := int(max(math.MinInt32, min(axes[i], math.MaxInt32)))
			var err error
			if d, err = axis(a, len(x)); err != nil {
				return none(err)
			}
		}
		if seen[d] {
			return none(fmt.Errorf("axis %d is listed twice in %v", d, axes))
		}
		seen[d] = true
		if steps != nil {
			step = steps[i]
		}
		if step == 0 {
			return none(fmt.Errorf("the step along axis %d is 0", d))
		}
		first, n := stepped(x[d], starts[i], ends[i], step)
		p.base += first * p.stride[d]
		shape[d] = n
		if n > 1 {
			p.stride[d] *= int(step)
		}
	}
	return shape, p, nil
}

// stepped returns the first index and the number of indices from start to before
// end, which ONNX's rules bring into a dimension of the given length.
func stepped(length int, start, end, step int64) (first, n int) {
	if length == 0 {
		return 0, 0
	}
	l := int64(length)
	lo, hi := int64(0), l // least end, and largest of start and end
	if step < 0 {
		lo, hi = -1, l-1
	}
	at := func(v, lo int64) int64 {
		if v < 0 {
			v += l
		}
		return max(lo, min(v, hi))
	}
	start, end = at(start, 0), at(end, lo)
	if step < 0 {
		if start <= end {
			return 0, 0
		}
		// -(step+1) does not overflow.
		return int(start), int(uint64(start-end-1)/(uint64(-(step+1))+1)) + 1
	}
	if start >= end {
		return 0, 0
	}
	return int(start), int((end-start-1)/step) + 1
}

func (s slice) Infer(in []graph.Fact) ([]graph.Fact, error) {
	need, most := 1, 1
	if s.input {
		need, most = 3, 5
	}
	if err := checkInputs(in, need, most); err != nil {
		return nil, err
	}
	shape, _, err := s.cut(in)
	if err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

// Rewrite removes the node if it takes all of x as it is.
func (s slice) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	shape, p, err := s.cut(graph.Facts(n.In))
	if err != nil {
		return false, err
	}
	if m := p.merged(); !shape.Equal(n.In[0].Shape) || m.base != 0 || len(m.n) > 1 || m.stride[0] != 1 {
		return false, nil
	}
	return bypass(e, n), nil
}

func (s slice) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	_, p, err := s.cut(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	return move(out[0].Type, p), nil
}
