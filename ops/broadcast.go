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

// broadcast is how two operands are walked in the order of the result: rows of
// inner elements each. Neighbouring dimensions in which the same operands
// stretch are merged, so that the rows are as long as possible.
type broadcast struct {
	rows, inner         int
	scalarA, scalarB    bool  // the operand has one element for a whole row
	outer, stepA, stepB []int // of the dimensions that make the rows, outermost first; a step is in elements
}

// newBroadcast plans the walk for operands of shapes a and b, which broadcast
// to out.
func newBroadcast(a, b, out tensor.Shape) broadcast {
	var dims, stepA, stepB []int // innermost first
	atA, atB := 1, 1             // elements of the operands so far
	for i := len(out) - 1; i >= 0; i-- {
		x, y := dim(a, i, len(out)), dim(b, i, len(out))
		if out[i] == 1 {
			continue
		}
		sa, sb := atA, atB
		if x == 1 {
			sa = 0
		}
		if y == 1 {
			sb = 0
		}
		atA, atB = atA*x, atB*y
		if k := len(dims) - 1; k >= 0 && (sa == 0) == (stepA[k] == 0) && (sb == 0) == (stepB[k] == 0) {
			dims[k] *= out[i]
			continue
		}
		dims, stepA, stepB = append(dims, out[i]), append(stepA, sa), append(stepB, sb)
	}
	w := broadcast{rows: 1, inner: 1}
	if len(dims) == 0 {
		return w
	}
	w.inner, w.scalarA, w.scalarB = dims[0], stepA[0] == 0, stepB[0] == 0
	for k := len(dims) - 1; k > 0; k-- {
		w.rows *= dims[k]
		w.outer, w.stepA, w.stepB = append(w.outer, dims[k]), append(w.stepA, stepA[k]), append(w.stepB, stepB[k])
	}
	return w
}

// at returns the elements at which the operands' parts of a row begin.
func (w *broadcast) at(row int) (a, b int) {
	for k := len(w.outer) - 1; k >= 0; k-- {
		i := row % w.outer[k]
		row /= w.outer[k]
		a += i * w.stepA[k]
		b += i * w.stepB[k]
	}
	return a, b
}

// walk calls f for the parts of rows that make up elements lo to hi of the
// result: n elements at the given places of the result and the operands.
func (w *broadcast) walk(lo, hi int, f func(at, a, b, n int)) {
	for lo < hi {
		a, b := w.at(lo / w.inner)
		col := lo % w.inner
		if !w.scalarA {
			a += col
		}
		if !w.scalarB {
			b += col
		}
		n := min(hi-lo, w.inner-col)
		f(lo, a, b, n)
		lo += n
	}
}

// steps returns how far one element of a row is from the next, in each operand.
func (w *broadcast) steps() (a, b int) {
	a, b = 1, 1
	if w.scalarA {
		a = 0
	}
	if w.scalarB {
		b = 0
	}
	return a, b
}

// element returns the places of the operands' elements at element i of the result.
func (w *broadcast) element(i int) (a, b int) {
	a, b = w.at(i / w.inner)
	stepA, stepB := w.steps()
	return a + i%w.inner*stepA, b + i%w.inner*stepB
}
