package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// integerProduct is what products of quantised matrices have in common: the
// exact sums of products of a - zero of a and b - zero of b, as int32.
//
//	a: [... M K] or [K] int8 or uint8
//	b: [... K N] or [K] int8 or uint8
//
// The parameters of a have one element, one for each row, or one for each row
// of each matrix; those of b for columns.
type integerProduct struct{ a, aZero, b, bZero int }

// infer returns the shape of the result.
func (integerProduct) infer(a, b tensor.Shape) (tensor.Shape, error) {
	p, err := productsOf(a, b)
	if err != nil {
		return nil, err
	}
	y := p.batch.Clone()
	if !p.vecA {
		y = append(y, p.m)
	}
	if !p.vecB {
		y = append(y, p.n)
	}
	return y, nil
}

// checkParameter verifies the shape of a scale or zero point of a matrix with
// so many rows, or columns, in each of so many.
func checkParameter(what string, f graph.Fact, lines, matrices int) error {
	if n := f.Shape.Elems(); !f.Missing() && n != 1 && n != lines && n != lines*matrices {
		return fmt.Errorf("%s has shape %v, want one element, %d, or %d for each of %d matrices", what, f.Shape, lines, lines, matrices)
	}
	return nil
}

// lineOf returns the element of a parameter with n elements for line of lines
// of a matrix.
func lineOf(n, lines, line, matrix int) int {
	switch n {
	case 1:
		return 0
	case lines:
		return line
	}
	return matrix*lines + line
}

// kernel returns the kernel in plain Go. finish is given the sums of one row of
// the result, which begin at the element at of the output.
func (q integerProduct) kernel(a, b tensor.Shape, finish func(in, out []*tensor.Tensor, sums []int32, line productLine)) (graph.Kernel, error) {
	p, err := productsOf(a, b)
	if err != nil {
		return graph.Kernel{}, err
	}
	if err := checkWide(b.Elems(), p.n); err != nil {
		return graph.Kernel{}, err
	}
	w := newBroadcast(p.batchA, p.batchB, p.batch)
	rows := p.batch.Elems() * p.m
	count := chunks(rows, productTime*float64(p.k)*float64(p.n))
	wide := chunks(b.Elems(), scalarTime)
	matrices := p.batchB.Elems()
	lines := matrices * p.k
	return graph.Kernel{Info: "generic go", Temp: 4 * b.Elems(), Scratch: 4 * p.n, Steps: []graph.Step{
		{N: wide, Do: func(e *graph.Exec, in, _ []*tensor.Tensor, i int) error {
			lo, hi := span(lines, wide, i, 1)
			zero := operand(in, q.bZero)
			for l := lo; l < hi; l++ {
				row := tensor.Cast[int32](e.Temp)[l*p.n:][:p.n]
				widenBytes(row, in[q.b], l*p.n, 0)
				if zero == nil {
					continue
				}
				elems := zero.Shape.Elems()
				for j := range row {
					row[j] -= zeroAt(zero, lineOf(elems, p.n, j, l/p.k))
				}
			}
			return nil
		}},
		{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
			sums := tensor.Cast[int32](e.Scratch)[:p.n]
			lo, hi := span(rows, count, i, 1)
			for r := lo; r < hi; r++ {
				ia, ib := w.element(r / p.m)
				row := r % p.m
				zero := int32(0)
				if z := operand(in, q.aZero); z != nil {
					zero = zeroAt(z, lineOf(z.Shape.Elems(), p.m, row, ia))
				}
				clear(sums)
				for k := range p.k {
					var v [1]int32
					widenBytes(v[:], in[q.a], (ia*p.m+row)*p.k+k, zero)
					multiplyAdd(sums, tensor.Cast[int32](e.Temp)[(ib*p.k+k)*p.n:], 1, v[0])
				}
				finish(in, out, sums, productLine{&p, r, row, ia, ib})
			}
			return nil
		}},
	}}, nil
}

// productLine says which row of a result is finished.
type productLine struct {
	p        *products
	line     int // of all rows of the result
	row      int // of a's matrix
	atA, atB int // the operands' matrices
}
