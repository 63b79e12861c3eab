package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("TopK", 1, func(a *Attrs) graph.Op {
		if !a.Has("k") {
			a.Fail("attribute %q is missing", "k")
		}
		return topK{axis: a.Int("axis", -1), k: a.Int("k", 0), largest: true}
	})
	register("TopK", 10, func(a *Attrs) graph.Op { return topK{axis: a.Int("axis", -1), input: true, largest: true} })
	register("TopK", 11, func(a *Attrs) graph.Op {
		a.Int("sorted", 1)
		return topK{axis: a.Int("axis", -1), input: true, largest: a.Int("largest", 1) != 0}
	})
}

// topK gives the k largest elements of x along an axis, or the smallest, and
// their indices. They are sorted, the extreme one first, whether sorted says so
// or not; of equal elements the one with the lower index comes first. A NaN
// counts as larger than any number.
//
//	x:       numbers, rank 1 or more
//	k:       an attribute until opset 9; then a constant
//	values:  x's type; x's shape with length k along the axis
//	indices: int64, the same shape
//
// Source: ONNX TopK-1, TopK-10, TopK-11, TopK-24.
type topK struct {
	axis    int
	input   bool // k is an input
	k       int
	largest bool
}

func (t topK) String() string { return fmt.Sprintf("TopK[%d]", t.axis) }

// count is k.
func (t topK) count(in []graph.Fact) (int, error) {
	if !t.input {
		return t.k, nil
	}
	list, err := integers(in[1], "k")
	if err != nil {
		return 0, err
	}
	if len(list) != 1 {
		return 0, fmt.Errorf("k has %d elements, want 1", len(list))
	}
	return list[0], nil
}

func (t topK) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(t, d, in)
	}
	need := 1
	if t.input {
		need = 2
	}
	if err := checkInputs(in, need, need); err != nil {
		return nil, err
	}
	out, err := inferSame(in[:1], numericTypes...)
	if err != nil {
		return nil, err
	}
	k, err := t.count(in)
	if err != nil {
		return nil, err
	}
	a, err := axis(t.axis, len(in[0].Shape))
	if err != nil {
		return nil, err
	}
	if k < 0 || k > in[0].Shape[a] {
		return nil, fmt.Errorf("k is %d, want 0 to %d for x%v", k, in[0].Shape[a], in[0].Shape)
	}
	shape := in[0].Shape.Clone()
	shape[a] = k
	out[0].Shape = shape
	return append(out, graph.Fact{Type: tensor.Type{DType: tensor.Int64, Shape: shape}}), nil
}

func (topK) FLOPs(in, out []graph.Fact) int64 { return flops(in[0].Shape...) }

func (t topK) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(t, d, in, out)
	}
	k, err := t.count(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	switch in[0].DType {
	case tensor.Float32:
		return topKKernel[float32](t, in[0].Shape, k), nil
	case tensor.Float64:
		return topKKernel[float64](t, in[0].Shape, k), nil
	case tensor.Int8:
		return topKKernel[int8](t, in[0].Shape, k), nil
	case tensor.Int16:
		return topKKernel[int16](t, in[0].Shape, k), nil
	case tensor.Int32:
		return topKKernel[int32](t, in[0].Shape, k), nil
	case tensor.Int64:
		return topKKernel[int64](t, in[0].Shape, k), nil
	case tensor.Uint8:
		return topKKernel[uint8](t, in[0].Shape, k), nil
	case tensor.Uint16:
		return topKKernel[uint16](t, in[0].Shape, k), nil
	case tensor.Uint32:
		return topKKernel[uint32](t, in[0].Shape, k), nil
	}
	return topKKernel[uint64](t, in[0].Shape, k), nil
}

// topKTime is about how many nanoseconds an element takes.
const topKTime = 5

func topKKernel[T number](t topK, shape tensor.Shape, k int) graph.Kernel {
	before, along, behind := alongAxis(shape, t.axis)
	rows := before * behind
	if rows*k == 0 {
		return graph.Kernel{Info: "empty"}
	}
	count := chunks(rows, topKTime*float64(along))
	return graph.Kernel{Info: "heap", Scratch: 8 * k, Steps: []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x := tensor.View[T](in[0])
		heap := tensor.Cast[int64](e.Scratch)[:k]
		lo, hi := span(rows, count, i, 1)
		for r := lo; r < hi; r++ {
			row := topRow[T]{x[r/behind*along*behind+r%behind:], behind, t.largest}
			row.choose(heap, along)
			for j, index := range heap {
				at := (r/behind*k+j)*behind + r%behind
				if out[0] != nil {
					tensor.View[T](out[0])[at] = row.x[int(index)*behind]
				}
				if len(out) > 1 && out[1] != nil {
					out[1].I64()[at] = index
				}
			}
		}
		return nil
	}}}}
}

// topRow is a row of elements that are step apart.
type topRow[T number] struct {
	x       []T
	step    int
	largest bool
}

// before reports whether element i comes before element j.
func (r *topRow[T]) before(i, j int64) bool {
	a, b := r.x[int(i)*r.step], r.x[int(j)*r.step]
	if !r.largest {
		a, b = b, a
	}
	switch {
	case a > b || a != a && b == b:
		return true
	case a < b || a == a && b != b:
		return false
	}
	return i < j
}

// choose sets heap to the indices of the first of n elements, in order.
func (r *topRow[T]) choose(heap []int64, n int) {
	for i := range heap {
		heap[i] = int64(i)
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		r.sink(heap, i)
	}
	for i := len(heap); i < n; i++ {
		if r.before(int64(i), heap[0]) {
			heap[0] = int64(i)
			r.sink(heap, 0)
		}
	}
	for end := len(heap) - 1; end > 0; end-- {
		heap[0], heap[end] = heap[end], heap[0]
		r.sink(heap[:end], 0)
	}
}

// sink moves entry i of a heap, whose first entry comes last of all, to its place.
func (r *topRow[T]) sink(heap []int64, i int) {
	for {
		child := 2*i + 1
		if child >= len(heap) {
			return
		}
		if child+1 < len(heap) && r.before(heap[child], heap[child+1]) {
			child++
		}
		if !r.before(heap[i], heap[child]) {
			return
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}
