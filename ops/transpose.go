package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/reorder"
)

func init() {
	register("Transpose", 1, func(a *Attrs) graph.Op { return transpose{a.Ints("perm")} })
}

// transpose is y = x with its dimensions in another order: dimension i of y is
// dimension perm[i] of x. Without perm the order is reversed.
//
//	x, y: any type, any shape
//
// Source: ONNX Transpose-1, -13, -21, -23, -24, -25.
type transpose struct{ perm []int }

func (t transpose) String() string {
	if t.perm == nil {
		return "Transpose"
	}
	return fmt.Sprintf("Transpose%v", t.perm)
}

// order returns the permutation for x.
func (t transpose) order(x tensor.Shape) ([]int, error) {
	if t.perm == nil {
		p := make([]int, len(x))
		for i := range p {
			p[i] = len(p) - 1 - i
		}
		return p, nil
	}
	set, err := axisSet(t.perm, len(x))
	if err != nil {
		return nil, fmt.Errorf("perm: %w", err)
	}
	negative := slices.ContainsFunc(t.perm, func(d int) bool { return d < 0 })
	if negative || slices.Contains(set, false) {
		return nil, fmt.Errorf("perm is %v, want the dimensions of x%v in some order", t.perm, x)
	}
	return t.perm, nil
}

func (t transpose) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	x := in[0]
	perm, err := t.order(x.Shape)
	if err != nil {
		return nil, err
	}
	shape := make(tensor.Shape, len(perm))
	for i, d := range perm {
		shape[i] = x.Shape[d]
	}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: shape}}}, nil
}

// Rewrite takes in a transpose before it, and removes the node if it leaves
// the order as it is.
func (t transpose) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	perm, err := t.order(n.In[0].Shape)
	if err != nil {
		return false, err
	}
	if slices.IsSorted(perm) {
		return bypass(e, n), nil
	}
	p := e.Producer(n.In[0])
	if p == nil {
		return false, nil
	}
	first, ok := p.Op.(transpose)
	if !ok {
		return false, nil
	}
	before, err := first.order(p.In[0].Shape)
	if err != nil {
		return false, err
	}
	both := make([]int, len(perm))
	for i, d := range perm {
		both[i] = before[d]
	}
	e.Set(n, transpose{both}, []*graph.Value{p.In[0]})
	return true, nil
}

func (t transpose) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x, y := in[0].Shape, out[0].Shape
	perm, err := t.order(x)
	if err != nil {
		return graph.Kernel{}, err
	}
	// The dimensions of y, without those of length 1 and joined where they lie
	// in x as they do in y, with their strides in x.
	var dims, strides []int
	for i, d := range perm {
		s := x[d+1:].Elems()
		switch last := len(dims) - 1; {
		case y[i] == 1:
		case last >= 0 && strides[last] == s*y[i]:
			dims[last] *= y[i]
			strides[last] = s
		default:
			dims, strides = append(dims, y[i]), append(strides, s)
		}
	}
	if len(dims) < 2 || y.Elems() == 0 {
		return view, nil
	}
	size := out[0].DType.Size()
	if strides[len(strides)-1] == 1 {
		return moveRows(dims, strides, size), nil
	}
	switch size {
	case 1:
		return moveMatrices[uint8](dims, strides), nil
	case 2:
		return moveMatrices[uint16](dims, strides), nil
	case 4:
		return moveMatrices[float32](dims, strides), nil
	}
	return moveMatrices[uint64](dims, strides), nil
}

// moveRows moves to y the runs of elements that lie together in both. dims are
// the dimensions of y and strides their strides in x; the last one is 1.
func moveRows(dims, strides []int, size int) graph.Kernel {
	last := len(dims) - 1
	row := dims[last] * size
	var rows nest
	for i, d := range dims[:last] {
		rows.add(d, strides[i]*size, 0)
	}
	n := rows.size()
	count := chunks(n, moveTime*float64(row))
	return graph.Kernel{Info: "rows", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(n, count, i, 1)
		for r := lo; r < hi; r++ {
			src, _ := rows.at(r)
			copy(out[0].Raw[r*row:(r+1)*row], in[0].Raw[src:])
		}
		return nil
	}}}}
}

// band is the number of columns of a matrix that moveMatrices moves at a time:
// whole lines of memory for every size of element.
const band = 64

// moveMatrices moves to y the transposes of matrices in x: their columns lie
// together in x, their rows in y. dims are the dimensions of y and strides
// their strides in x; one that is not the last is 1.
func moveMatrices[T tensor.Elem](dims, strides []int) graph.Kernel {
	last, column := len(dims)-1, slices.Index(strides, 1)
	var matrices nest
	for i, d := range dims[:last] {
		if i != column {
			matrices.add(d, strides[i], tensor.Shape(dims[i+1:]).Elems())
		}
	}
	rows, ss := dims[last], strides[last]
	cols, ds := dims[column], tensor.Shape(dims[column+1:]).Elems()
	bands := ceil(cols, band)
	n := matrices.size() * bands
	count := chunks(n, reorderTime*float64(rows)*float64(min(cols, band)))
	return graph.Kernel{Info: "matrices", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := tensor.Cast[T](in[0].Raw), tensor.Cast[T](out[0].Raw)
		lo, hi := span(n, count, i, 1)
		for b := lo; b < hi; b++ {
			src, dst := matrices.at(b / bands)
			c := b % bands * band
			moveMatrix(y[dst+c*ds:], ds, x[src+c:], ss, rows, min(cols-c, band))
		}
		return nil
	}}}}
}

// moveMatrix does dst[j*ds+i] = src[i*ss+j] for i < rows and j < cols. It goes
// through squares whose lines of memory stay in the first level cache.
func moveMatrix[T any](dst []T, ds int, src []T, ss, rows, cols int) {
	if d, ok := any(dst).([]float32); ok {
		reorder.Transpose(d, ds, any(src).([]float32), ss, rows, cols)
		return
	}
	const square = 16
	for i0 := 0; i0 < rows; i0 += square {
		i1 := min(i0+square, rows)
		for j0 := 0; j0 < cols; j0 += square {
			for j := j0; j < min(j0+square, cols); j++ {
				to, at := dst[j*ds+i0:j*ds+i1], i0*ss+j
				for i := range to {
					to[i] = src[at]
					at += ss
				}
			}
		}
	}
}
