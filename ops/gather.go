package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Gather", 1, func(a *Attrs) graph.Op { return gather{a.Int("axis", 0)} })
	register("GatherElements", 11, func(a *Attrs) graph.Op { return gatherElements{a.Int("axis", 0)} })
	register("GatherND", 11, func(*Attrs) graph.Op { return gatherND{} })
	register("GatherND", 12, func(a *Attrs) graph.Op { return gatherND{a.Int("batch_dims", 0)} })
}

// indexTypes are the element types of indices.
var indexTypes = []tensor.DType{tensor.Int64, tensor.Int32}

// indexAt returns element i of t, an index into a dimension of length n; a
// negative one counts from the back.
func indexAt(t *tensor.Tensor, i, n int) (int, error) {
	var v int64
	if t.DType == tensor.Int64 {
		v = t.I64()[i]
	} else {
		v = int64(tensor.View[int32](t)[i])
	}
	if v < 0 {
		v += int64(n)
	}
	if v < 0 || v >= int64(n) {
		return 0, fmt.Errorf("index %d is beyond a dimension of length %d", i, n)
	}
	return int(v), nil
}

// indexTime is about how many nanoseconds it takes to follow one index.
const indexTime = 5

// rowsKernel moves rows of bytes: result row i is the row of operand 0 that place
// gives.
func rowsKernel(info string, rows, bytes int, place func(in []*tensor.Tensor, i int) (int, error)) graph.Kernel {
	if rows == 0 || bytes == 0 {
		return graph.Kernel{Info: "empty"}
	}
	count := chunks(rows, indexTime+moveTime*float64(bytes))
	return graph.Kernel{Info: info, Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(rows, count, i, tensor.Align)
		for r := lo; r < hi; r++ {
			from, err := place(in, r)
			if err != nil {
				return err
			}
			copy(out[0].Raw[r*bytes:(r+1)*bytes], in[0].Raw[from*bytes:(from+1)*bytes])
		}
		return nil
	}}}}
}

// gather picks slices of x along axis.
//
//	x: any type, rank r at least 1
//	indices: i64 or i32, any shape; negative ones count from the back
//	y: x's shape with the dimension axis replaced by the shape of indices
//
// Source: ONNX Gather-1, -11, -13.
type gather struct{ axis int }

func (g gather) String() string { return fmt.Sprintf("Gather[axis %d]", g.axis) }

func (g gather) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := checkType("indices", in[1].DType, indexTypes...); err != nil {
		return nil, err
	}
	x := in[0].Shape
	d, err := axis(g.axis, len(x))
	if err != nil {
		return nil, err
	}
	shape := append(append(x[:d].Clone(), in[1].Shape...), x[d+1:]...)
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

func (g gather) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x := in[0].Shape
	d, err := axis(g.axis, len(x))
	if err != nil {
		return graph.Kernel{}, err
	}
	n, picked := x[d], in[1].Shape.Elems()
	return rowsKernel("rows", x[:d].Elems()*picked, x[d+1:].Elems()*in[0].DType.Size(), func(in []*tensor.Tensor, i int) (int, error) {
		at, err := indexAt(in[1], i%picked, n)
		return i/picked*n + at, err
	}), nil
}

// gatherElements picks elements: y at a place is x at the same place, but for
// dimension axis, where it is at the index.
//
//	x: any type, rank r at least 1
//	indices, y: i64 or i32, rank r, no longer than x in other dimensions
//
// Source: ONNX GatherElements-11, -13.
type gatherElements struct{ axis int }

func (g gatherElements) String() string { return fmt.Sprintf("GatherElements[axis %d]", g.axis) }

func (g gatherElements) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := checkElementIndices(in[0].Shape, in[1], g.axis); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: in[1].Shape}}}, nil
}

// checkElementIndices verifies indices that replace the coordinate along an axis.
func checkElementIndices(x tensor.Shape, indices graph.Fact, at int) error {
	if err := checkType("indices", indices.DType, indexTypes...); err != nil {
		return err
	}
	d, err := axis(at, len(x))
	if err != nil {
		return err
	}
	fits := len(indices.Shape) == len(x)
	for i := range x {
		fits = fits && (i == d || indices.Shape[i] <= x[i])
	}
	if !fits {
		return fmt.Errorf("indices have shape %v, want one within %v but for dimension %d", indices.Shape, x, d)
	}
	return nil
}

// elementPlaces says where in x the element is that index i stands for.
type elementPlaces struct {
	others    nest // over the indices, in elements of x, without dimension axis
	n, stride int  // of axis in x
}

func newElementPlaces(x, indices tensor.Shape, at int) (elementPlaces, error) {
	d, err := axis(at, len(x))
	if err != nil {
		return elementPlaces{}, err
	}
	st := strides(x)
	p := elementPlaces{n: x[d], stride: st[d]}
	st[d] = 0
	p.others = nest{indices, st}
	return p, nil
}

func (p *elementPlaces) at(indices *tensor.Tensor, i int) (int, error) {
	v, err := indexAt(indices, i, p.n)
	return p.others.at(i) + v*p.stride, err
}

func (g gatherElements) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	p, err := newElementPlaces(in[0].Shape, in[1].Shape, g.axis)
	if err != nil {
		return graph.Kernel{}, err
	}
	return rowsKernel("elements", in[1].Shape.Elems(), in[0].DType.Size(), func(in []*tensor.Tensor, i int) (int, error) {
		return p.at(in[1], i)
	}), nil
}

// gatherND picks slices of x by coordinates: the last dimension of indices has
// those of the first dimensions of x, behind batch ones that both have.
//
//	x: any type, rank r at least 1
//	indices: i64, rank q at least 1, [batch dimensions of x, ..., k]
//	y: [indices without the last dimension, x without the first batch+k]
//
// Source: ONNX GatherND-11, -12, -13.
type gatherND struct{ batch int }

func (g gatherND) String() string { return fmt.Sprintf("GatherND[batch %d]", g.batch) }

func (g gatherND) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	x, idx := in[0].Shape, in[1].Shape
	if err := checkCoordinates(x, in[1], g.batch); err != nil {
		return nil, err
	}
	shape := append(idx[:len(idx)-1].Clone(), x[g.batch+idx[len(idx)-1]:]...)
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

// checkCoordinates verifies indices whose last dimension has coordinates in x
// behind its first batch dimensions.
func checkCoordinates(x tensor.Shape, indices graph.Fact, batch int) error {
	if err := checkType("indices", indices.DType, indexTypes...); err != nil {
		return err
	}
	idx := indices.Shape
	if len(x) == 0 || len(idx) == 0 {
		return fmt.Errorf("got x%v and indices%v, want no scalars", x, idx)
	}
	if batch < 0 || batch >= min(len(x), len(idx)) {
		return fmt.Errorf("batch_dims is %d for x%v and indices%v", batch, x, idx)
	}
	if !x[:batch].Equal(idx[:batch]) {
		return fmt.Errorf("x%v and indices%v differ in the first %d dimensions", x, idx, batch)
	}
	if k := idx[len(idx)-1]; k < 1 || k > len(x)-batch {
		return fmt.Errorf("indices have %d coordinates, want 1 to %d for x%v", k, len(x)-batch, x)
	}
	return nil
}

// coordinatePlaces says which slice of x a row of coordinates stands for.
type coordinatePlaces struct {
	n      []int // lengths of the dimensions that the coordinates are of
	each   int   // rows of indices in a batch
	slices int   // of x in a batch
}

func newCoordinatePlaces(x, indices tensor.Shape, batch int) coordinatePlaces {
	last := len(indices) - 1
	n := x[batch : batch+indices[last]]
	return coordinatePlaces{n: n, each: indices[batch:last].Elems(), slices: n.Elems()}
}

func (p *coordinatePlaces) at(indices *tensor.Tensor, row int) (int, error) {
	at := 0
	for d, n := range p.n {
		v, err := indexAt(indices, row*len(p.n)+d, n)
		if err != nil {
			return 0, err
		}
		at = at*n + v
	}
	return row/p.each*p.slices + at, nil
}

func (g gatherND) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x, idx := in[0].Shape, in[1].Shape
	p := newCoordinatePlaces(x, idx, g.batch)
	k := idx[len(idx)-1]
	return rowsKernel("rows", idx[:len(idx)-1].Elems(), x[g.batch+k:].Elems()*in[0].DType.Size(), func(in []*tensor.Tensor, i int) (int, error) {
		return p.at(in[1], i)
	}), nil
}
