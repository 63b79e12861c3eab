package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/reorder"
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

// Tile computes rows from the same rows of the inputs, unless it is along them
// that those are put together.
func (c concat) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	if at, err := axis(c.axis, len(out[0].Shape)); err != nil || at == 2 {
		return graph.Tile{}, false
	}
	return tileRows(c, in, out, rows)
}

// Rewrite rectifies the inputs in place of the output, if that lets a
// convolution do it.
func (c concat) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	user := e.OnlyUser(n.Out[0])
	if user == nil || n.Out[0].DType != tensor.Float32 {
		return false, nil
	}
	if _, ok := user.Op.(relu); !ok || !slices.ContainsFunc(n.In, func(v *graph.Value) bool { return clamps(e, n, v) }) {
		return false, nil
	}
	in := make([]*graph.Value, len(n.In))
	for i, v := range n.In {
		in[i] = e.Insert(n, fmt.Sprintf("%s.%d", user.Name, i), user.Op, user.Layers, []*graph.Value{v}, v.Type)
	}
	e.Absorb(n, user, c, in)
	return true, nil
}

// clamps reports whether v, which n reads, comes from a convolution that can
// absorb an activation in front of n.
func clamps(e *graph.Editor, n *graph.Node, v *graph.Value) bool {
	p := e.Producer(v)
	if p == nil || e.OnlyUser(v) != n {
		return false
	}
	c, ok := p.Op.(*convolution)
	return ok && !c.clamped
}

// Layouts keeps the layout of the first input that is not row-major if the
// inputs, laid out so, are just parts of the output, or along the channels if
// no block of it is made of more than two.
func (c concat) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, len(in)), make([]graph.Layout, len(out))
	i := slices.IndexFunc(in, func(f graph.Fact) bool { return f.Layout == nchw16c{} })
	if i < 0 || !blockable(out[0].Type) {
		return want, give
	}
	at, err := axis(c.axis, len(in[0].Shape))
	for _, f := range in {
		if err != nil || f.Const != nil || !blockable(f.Type) {
			return want, give
		}
	}
	if at == 1 && shifted(in) && joints(in) == nil {
		return want, give
	}
	give[0] = nchw16c{}
	for i := range want {
		want[i] = nchw16c{}
	}
	return want, give
}

// shifted reports whether the channels of some input, in NCHW16c, have other
// lanes in the output: those behind an input with pad lanes.
func shifted(in []graph.Fact) bool {
	return slices.ContainsFunc(in[:len(in)-1], func(f graph.Fact) bool { return !fullBlocks(f.Shape) })
}

// joint is a piece of a block of the output that comes from a block of an input.
type joint struct {
	input, block int
	reorder.Piece
}

// joints returns what each block of the output along the channels is made of,
// or nil if one of them is made of more than two pieces.
func joints(in []graph.Fact) (all [][2]joint) {
	start := 0 // channel of the output where an input begins
	counts := []int{}
	for i, f := range in {
		end := start + f.Shape[1]
		for b := 0; start+b*lanes < end; b++ {
			first, last := start+b*lanes, min(end, start+(b+1)*lanes)
			for to := first / lanes; to*lanes < last; to++ {
				if to == len(all) {
					all, counts = append(all, [2]joint{}), append(counts, 0)
				}
				if counts[to] == 2 {
					return nil
				}
				shift := first - to*lanes
				all[to][counts[to]] = joint{i, b, reorder.Piece{From: max(shift, 0), To: min(last-to*lanes, lanes), Shift: shift}}
				counts[to]++
			}
		}
		start = end
	}
	return all
}

// shiftKernel concatenates the channels of inputs in NCHW16c whose lanes change.
func shiftKernel(in, out []graph.Fact) graph.Kernel {
	n, _, hw := planes(out[0].Shape)
	all := joints(in)
	size := lanes * hw
	blocks := n * len(all)
	count := chunks(blocks, moveTime*float64(4*size))
	return graph.Kernel{Info: "shift", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(blocks, count, i, 1)
		for b := lo; b < hi; b++ {
			var from [2][]float32
			pair := &all[b%len(all)]
			for j, p := range pair {
				x := in[p.input]
				from[j] = floats(x)[(b/len(all)*ceil(x.Shape[1], lanes)+p.block)*size:][:size]
			}
			reorder.Join(floats(out[0])[b*size:][:size], from[0], from[1], pair[0].Piece, pair[1].Piece)
		}
		return nil
	}}}}
}

func (c concat) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	at, err := axis(c.axis, len(in[0].Shape))
	if err != nil {
		return graph.Kernel{}, err
	}
	if out[0].Layout != nil && at == 1 && shifted(in) {
		return shiftKernel(in, out), nil
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
