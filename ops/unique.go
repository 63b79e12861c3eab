package ops

import (
	"cmp"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Unique", 11, func(a *Attrs) graph.Op {
		return unique{axis: a.Int("axis", 0), flat: !a.Has("axis"), sorted: a.Int("sorted", 1) != 0}
	})
}

// unique is the different slices of x along axis, or without axis its different
// elements: in ascending order, or if they are not sorted as they first occur.
//
//	x: numbers or bool
//	y: x's type, late
//	first, inverse, count: i64 lists: where each of y is first in x, which of y
//	       each of x is, and how often each of y is in x
//
// Source: ONNX Unique-11.
type unique struct {
	axis         int
	flat, sorted bool
}

func (unique) String() string { return "Unique" }

// Bodies makes the operator one that is computed in a run alone.
func (unique) Bodies() []*graph.Body { return nil }

func (u unique) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	if !u.flat {
		if _, err := axis(u.axis, len(in[0].Shape)); err != nil {
			return nil, err
		}
	}
	return nil, late("x")
}

// comparer returns what compares elements i and j of numbers of type d. NaN is
// the least, and equal to itself.
func comparer(d tensor.DType) func(raw []byte, i, j int) int {
	switch d {
	case tensor.Float32:
		return compareAs[float32]
	case tensor.Float64:
		return compareAs[float64]
	case tensor.Int8:
		return compareAs[int8]
	case tensor.Int16:
		return compareAs[int16]
	case tensor.Int32:
		return compareAs[int32]
	case tensor.Int64:
		return compareAs[int64]
	case tensor.Uint16:
		return compareAs[uint16]
	case tensor.Uint32:
		return compareAs[uint32]
	case tensor.Uint64:
		return compareAs[uint64]
	case tensor.Float16, tensor.BFloat16:
		h := halfOf(d)
		return func(raw []byte, i, j int) int {
			x := tensor.Cast[uint16](raw)
			return cmp.Compare(h.load(x[i]), h.load(x[j]))
		}
	}
	return compareAs[uint8]
}

func compareAs[T number](raw []byte, i, j int) int {
	x := tensor.Cast[T](raw)
	return cmp.Compare(x[i], x[j])
}

func (u unique) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	shape, d := in[0].Shape.Clone(), 0
	if u.flat {
		shape = tensor.Shape{shape.Elems()}
	} else {
		var err error
		if d, err = axis(u.axis, len(shape)); err != nil {
			return graph.Kernel{}, err
		}
	}
	n, outer, inner := shape[d], shape[:d].Elems(), shape[d+1:].Elems()
	compare, size := comparer(in[0].DType), in[0].DType.Size()
	return graph.Kernel{Info: "generic go", Call: func(_ graph.Runner, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		x := in[0].Raw
		slicesOf := func(a, b int) int {
			for o := range outer {
				for i := range inner {
					if c := compare(x, (o*n+a)*inner+i, (o*n+b)*inner+i); c != 0 {
						return c
					}
				}
			}
			return 0
		}
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, slicesOf)
		var groups [][]int // places in x of what is equal, ascending
		for i, at := range order {
			if i == 0 || slicesOf(order[i-1], at) != 0 {
				groups = append(groups, nil)
			}
			g := &groups[len(groups)-1]
			*g = append(*g, at)
		}
		if !u.sorted {
			slices.SortFunc(groups, func(a, b []int) int { return a[0] - b[0] })
		}
		to := shape.Clone()
		to[d] = len(groups)
		y := tensor.New(in[0].DType, to...)
		first, inverse, count := tensor.New(tensor.Int64, len(groups)), tensor.New(tensor.Int64, n), tensor.New(tensor.Int64, len(groups))
		row := inner * size
		for g, places := range groups {
			first.I64()[g], count.I64()[g] = int64(places[0]), int64(len(places))
			for _, at := range places {
				inverse.I64()[at] = int64(g)
			}
			for o := range outer {
				copy(y.Raw[(o*len(groups)+g)*row:][:row], x[(o*n+places[0])*row:])
			}
		}
		return []*tensor.Tensor{y, first, inverse, count}, nil
	}}, nil
}
