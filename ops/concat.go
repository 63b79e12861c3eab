package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Concat", 4, func(a *Attrs) graph.Op {
		if !a.Has("axis") {
			a.Fail("attribute %q is missing", "axis")
		}
		return concat{a.Int("axis", 0)}
	})
}

// concat is its inputs one after the other along axis.
//
//	inputs: one or more of any one type, alike in all dimensions but axis
//	output: the same, with the sum of their lengths along axis
//
// Source: ONNX Concat-4, -11, -13.
type concat struct{ axis int }

func (c concat) String() string { return fmt.Sprintf("Concat[axis %d]", c.axis) }

func (c concat) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if len(in) == 0 {
		return nil, fmt.Errorf("got no inputs, want at least 1")
	}
	if err := checkInputs(in, len(in), len(in)); err != nil {
		return nil, err
	}
	first := in[0]
	at, err := axis(c.axis, len(first.Shape))
	if err != nil {
		return nil, err
	}
	shape := first.Shape.Clone()
	for i, f := range in[1:] {
		like := f.Shape.Clone()
		if len(like) == len(shape) {
			like[at] = first.Shape[at]
		}
		if f.DType != first.DType || !like.Equal(first.Shape) {
			return nil, fmt.Errorf("input %d is %v, want %v but for dimension %d", i+1, f.Type, first.Type, at)
		}
		if shape[at], err = total(shape[at], f.Shape[at]); err != nil {
			return nil, err
		}
	}
	return []graph.Fact{{Type: tensor.Type{DType: first.DType, Shape: shape}}}, nil
}

// Layouts keeps the layout of the first input that is not row-major if the
// inputs, laid out so, are just parts of the output: along the channels, no
// input but the last may have pad lanes.
func (c concat) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, len(in)), make([]graph.Layout, len(out))
	i := slices.IndexFunc(in, func(f graph.Fact) bool { return f.Layout == nchw16c{} })
	if i < 0 || !blockable(out[0].Type) {
		return want, give
	}
	at, err := axis(c.axis, len(in[0].Shape))
	for i, f := range in {
		if err != nil || f.Const != nil || !blockable(f.Type) || at == 1 && i < len(in)-1 && !fullBlocks(f.Shape) {
			return want, give
		}
	}
	give[0] = nchw16c{}
	for i := range want {
		want[i] = nchw16c{}
	}
	return want, give
}

func (c concat) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	at, err := axis(c.axis, len(in[0].Shape))
	if err != nil {
		return graph.Kernel{}, err
	}
	// ends[j] is where the bytes of input j end in a row: what all inputs
	// have at one place of the dimensions before axis.
	ends, row := make([]int, len(in)), 0
	for j, f := range in {
		shape := stored(f)
		row += shape[at:].Elems() * f.DType.Size()
		ends[j] = row
	}
	bytes := out[0].Bytes()
	if bytes == 0 {
		return view, nil
	}
	count := chunks(bytes, moveTime)
	k := graph.Kernel{Info: "copy", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(bytes, count, i, tensor.Align)
		r, off := lo/row, lo%row
		for lo < hi {
			start := 0
			for j, end := range ends {
				if off < end && lo < hi {
					n := min(end-off, hi-lo)
					src := r*(end-start) + off - start
					if from, to := in[j].Raw[src:], out[0].Raw[lo:lo+n]; &from[0] != &to[0] {
						copy(to, from)
					}
					off, lo = off+n, lo+n
				}
				start = end
			}
			r, off = r+1, 0
		}
		return nil
	}}}}
	if row == bytes {
		k.Parts = append([]int{0}, ends[:len(ends)-1]...)
	}
	return k, nil
}

// stored is the shape of f's memory, outermost first: of NCHW16c, it has the
// blocks of channels as dimension 1 and the lanes behind the others.
func stored(f graph.Fact) tensor.Shape {
	shape := f.Shape.Clone()
	if f.Layout != nil {
		shape[1] = ceil(shape[1], lanes)
		shape = append(shape, lanes)
	}
	return shape
}
