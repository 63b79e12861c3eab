package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// axis returns the dimension that an ONNX axis means at the given rank: a
// negative axis counts from the end.
func axis(a, rank int) (int, error) {
	if a < -rank || a >= rank {
		return 0, fmt.Errorf("axis is %d, want one within %d to %d for rank %d", a, -rank, rank-1, rank)
	}
	if a < 0 {
		a += rank
	}
	return a, nil
}

// axisSet marks the dimensions that a list of ONNX axes means; one that is
// listed twice is an error.
func axisSet(list []int, rank int) ([]bool, error) {
	set := make([]bool, rank)
	for _, a := range list {
		d, err := axis(a, rank)
		if err != nil {
			return nil, err
		}
		if set[d] {
			return nil, fmt.Errorf("axis %d is listed twice in %v", d, list)
		}
		set[d] = true
	}
	return set, nil
}

// integers returns the values of an input that steers the shape of the result:
// a scalar or a list of int64 or int32. If it is no constant, the shape is late.
func integers(f graph.Fact, name string) ([]int, error) {
	long, err := longs(f, name)
	if err != nil {
		return nil, err
	}
	list := make([]int, len(long))
	for i, v := range long {
		if int64(int(v)) != v {
			return nil, fmt.Errorf("%s has %d, beyond this machine's integers", name, v)
		}
		list[i] = int(v)
	}
	return list, nil
}

// longs is integers for values that may lie beyond this machine's integers.
func longs(f graph.Fact, name string) ([]int64, error) {
	if f.DType != tensor.Int64 && f.DType != tensor.Int32 || len(f.Shape) > 1 {
		return nil, fmt.Errorf("%s is %v, want a list of int64", name, f.Type)
	}
	if f.Const == nil {
		return nil, late(name)
	}
	if f.DType == tensor.Int64 {
		return f.Const.I64(), nil
	}
	list := make([]int64, f.Shape.Elems())
	for i, v := range tensor.View[int32](f.Const) {
		list[i] = int64(v)
	}
	return list, nil
}

// late is the error of Infer where the type of a result depends on the values
// of an input that is no constant.
func late(name string) error {
	return fmt.Errorf("%w: it depends on the values of %s", graph.ErrLate, name)
}

// product multiplies lengths of dimensions, none of them negative.
func product(a, b int) (int, error) {
	if a != 0 && b > math.MaxInt/a {
		return 0, fmt.Errorf("%d times %d overflows", a, b)
	}
	return a * b, nil
}

// axesParam is the axes of an operator: an attribute in older opsets, the
// constant input 1 in newer ones.
type axesParam struct {
	attr  []int
	input bool
}

// inputs is the largest number of inputs of an operator with one operand and p.
func (p axesParam) inputs() int {
	if p.input {
		return 2
	}
	return 1
}

// list returns the axes as they are written; none if they are not given.
func (p axesParam) list(in []graph.Fact) ([]int, error) {
	if !p.input {
		return p.attr, nil
	}
	if f := input(in, 1); !f.Missing() {
		return integers(f, "axes")
	}
	return nil, nil
}

// total adds lengths of dimensions, none of them negative.
func total(lengths ...int) (int, error) {
	sum := 0
	for _, n := range lengths {
		if n > math.MaxInt-sum {
			return 0, fmt.Errorf("the sum of %v overflows", lengths)
		}
		sum += n
	}
	return sum, nil
}

// nest is a nest of loops over an array, outermost first.
type nest struct{ n, stride []int }

// add appends a loop inside of the others.
func (l *nest) add(n, stride int) { l.n, l.stride = append(l.n, n), append(l.stride, stride) }

// size is the number of iterations.
func (l *nest) size() int { return tensor.Shape(l.n).Elems() }

// at returns the place in the array at iteration i.
func (l *nest) at(i int) int {
	p := 0
	for d := len(l.n) - 1; d >= 0; d-- {
		q := i / l.n[d]
		p, i = p+(i-q*l.n[d])*l.stride[d], q
	}
	return p
}

// moveTime is about how many nanoseconds the copying of one byte takes.
const moveTime = 0.1

// view is the kernel of an operator that only gives its first input another
// shape.
var view = graph.Kernel{Info: "view", View: true}

// bypass removes n, whose first output equals its first input, unless that
// output is an output of the graph, whose name stays, or another output of n
// is read.
func bypass(e *graph.Editor, n *graph.Node) bool {
	if e.IsOutput(n.Out[0]) {
		return false
	}
	for _, o := range n.Out[1:] {
		if o != nil && (e.IsOutput(o) || len(e.Users(o)) > 0) {
			return false
		}
	}
	e.Remove(n, n.In[0])
	return true
}
