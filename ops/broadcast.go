package ops

import (
	"fmt"

	"scission/engine/tensor"
)

// broadcastShapes returns the shape of a result of operands of the shapes a
// and b: shorter shapes get leading ones, and a dimension of 1 stretches to
// the other operand's.
//
// Source: ONNX, Multidirectional Broadcasting, which is NumPy's.
func broadcastShapes(a, b tensor.Shape) (tensor.Shape, error) {
	s := make(tensor.Shape, max(len(a), len(b)))
	for i := range s {
		x, y := dim(a, i, len(s)), dim(b, i, len(s))
		if x != y && x != 1 && y != 1 {
			return nil, fmt.Errorf("shapes %v and %v do not broadcast: dimension %d from the end is %d and %d", a, b, len(s)-i, x, y)
		}
		s[i] = x
		if x == 1 {
			s[i] = y
		}
	}
	return s, nil
}

// dim returns dimension i of s led by ones to the given rank.
func dim(s tensor.Shape, i, rank int) int {
	if i -= rank - len(s); i >= 0 {
		return s[i]
	}
	return 1
}

// maxOperands is the largest number of operands that are walked together.
const maxOperands = 3

// broadcast is how operands are walked in the order of the result: rows of
// inner elements each. Neighbouring dimensions in which the same operands
// stretch are merged, so that the rows are as long as possible.
type broadcast struct {
	rows, inner int
	outer       []int              // lengths of the dimensions that make the rows, outermost first
	step        [maxOperands][]int // of each operand in them, in elements
	scalar      [maxOperands]bool  // the operand has one element for a whole row
}

// newBroadcast plans the walk for two operands of shapes a and b, which
// broadcast to out.
func newBroadcast(a, b, out tensor.Shape) broadcast { return broadcastOf(out, a, b) }

// broadcastOf plans the walk for operands of the given shapes, which broadcast
// to out.
func broadcastOf(out tensor.Shape, shapes ...tensor.Shape) broadcast {
	var dims []int // innermost first
	var steps [][maxOperands]int
	var at [maxOperands]int // elements of the operands so far
	for k := range shapes {
		at[k] = 1
	}
	for i := len(out) - 1; i >= 0; i-- {
		if out[i] == 1 {
			continue
		}
		var step [maxOperands]int
		last := len(dims) - 1
		merge := last >= 0
		for k, s := range shapes {
			n := dim(s, i, len(out))
			if n != 1 {
				step[k] = at[k]
			}
			at[k] *= n
			merge = merge && (step[k] == 0) == (steps[last][k] == 0)
		}
		if merge {
			dims[last] *= out[i]
			continue
		}
		dims, steps = append(dims, out[i]), append(steps, step)
	}
	w := broadcast{rows: 1, inner: 1}
	if len(dims) == 0 {
		return w
	}
	w.inner = dims[0]
	for k := range shapes {
		w.scalar[k] = steps[0][k] == 0
	}
	for d := len(dims) - 1; d > 0; d-- {
		w.rows *= dims[d]
		w.outer = append(w.outer, dims[d])
		for k := range shapes {
			w.step[k] = append(w.step[k], steps[d][k])
		}
	}
	return w
}

// start returns the element at which operand k's part of a row begins.
func (w *broadcast) start(k, row int) int {
	at := 0
	for d := len(w.outer) - 1; d >= 0; d-- {
		at += row % w.outer[d] * w.step[k][d]
		row /= w.outer[d]
	}
	return at
}

// at returns the elements at which the two operands' parts of a row begin.
func (w *broadcast) at(row int) (a, b int) { return w.start(0, row), w.start(1, row) }

// place returns the place in operand k at element i of the result.
func (w *broadcast) place(k, i int) int {
	at := w.start(k, i/w.inner)
	if !w.scalar[k] {
		at += i % w.inner
	}
	return at
}

// walk calls f for the parts of rows that make up elements lo to hi of the
// result: n elements at the given places of the result and two operands.
func (w *broadcast) walk(lo, hi int, f func(at, a, b, n int)) {
	for lo < hi {
		n := min(hi-lo, w.inner-lo%w.inner)
		f(lo, w.place(0, lo), w.place(1, lo), n)
		lo += n
	}
}

// stride returns how far one element of a row is from the next, in operand k.
func (w *broadcast) stride(k int) int {
	if w.scalar[k] {
		return 0
	}
	return 1
}

// steps returns how far one element of a row is from the next, in each of two
// operands.
func (w *broadcast) steps() (a, b int) { return w.stride(0), w.stride(1) }

// element returns the places of two operands' elements at element i of the
// result.
func (w *broadcast) element(i int) (a, b int) { return w.place(0, i), w.place(1, i) }
