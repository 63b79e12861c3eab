package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// places is a nest of loops over the elements of an operand, one loop for each
// dimension of the result: the element of the operand that is at each place of
// the result. Strides may be 0 or negative.
type places struct {
	nest
	base int // of the first element
}

// merged returns the same places with as few loops as possible, at least one.
func (p places) merged() places {
	m := places{base: p.base}
	for d, n := range p.n {
		switch k := len(m.n) - 1; {
		case n == 1:
		case k >= 0 && m.stride[k] == n*p.stride[d]:
			m.n[k], m.stride[k] = m.n[k]*n, p.stride[d]
		default:
			m.add(n, p.stride[d])
		}
	}
	if len(m.n) == 0 {
		m.add(1, 1)
	}
	return m
}

// move is the kernel of an operator whose result is elements of the first
// operand, each of them as it is, at the given places.
func move(out tensor.Type, p places) graph.Kernel {
	if out.Shape.Elems() == 0 {
		return graph.Kernel{Info: "empty"}
	}
	return graph.Kernel{Info: "move", Steps: []graph.Step{moveStep(out, p.merged(), 0)}}
}

// moveStep writes result number to, of the type out, as move does. The places
// are merged.
func moveStep(out tensor.Type, p places, to int) graph.Step {
	size, elems := out.DType.Size(), out.Shape.Elems()
	if elems == 0 {
		return graph.Step{}
	}
	last := len(p.n) - 1
	inner, stride := p.n[last], p.stride[last]
	outer := nest{p.n[:last], p.stride[:last]}
	count := chunks(elems, moveTime*float64(size))
	return graph.Step{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		if out[to] == nil {
			return nil
		}
		lo, hi := span(elems, count, i, tensor.Align/size)
		for lo < hi {
			row, col := lo/inner, lo%inner
			n := min(hi-lo, inner-col)
			moveRow(out[to].Raw, in[0].Raw, size, lo, p.base+outer.at(row)+col*stride, stride, n)
			lo += n
		}
		return nil
	}}
}

// moveRow copies n elements of size bytes: those of x at from, from+stride and so
// on to y at to and behind.
func moveRow(y, x []byte, size, to, from, stride, n int) {
	if stride == 1 {
		copy(y[to*size:(to+n)*size], x[from*size:(from+n)*size])
		return
	}
	switch size {
	case 1:
		moveElems(y, x, to, from, stride, n)
	case 2:
		moveElems(tensor.Cast[uint16](y), tensor.Cast[uint16](x), to, from, stride, n)
	case 4:
		moveElems(tensor.Cast[uint32](y), tensor.Cast[uint32](x), to, from, stride, n)
	default:
		moveElems(tensor.Cast[uint64](y), tensor.Cast[uint64](x), to, from, stride, n)
	}
}

func moveElems[T any](y, x []T, to, from, stride, n int) {
	y = y[to : to+n]
	if stride == 0 {
		v := x[from]
		for i := range y {
			y[i] = v
		}
		return
	}
	for i := range y {
		y[i] = x[from]
		from += stride
	}
}

// strides returns how many elements apart neighbours are in each dimension.
func strides(s tensor.Shape) []int {
	st, n := make([]int, len(s)), 1
	for d := len(s) - 1; d >= 0; d-- {
		st[d] = n
		n *= s[d]
	}
	return st
}

// fillStep writes the element v, as its bytes, to all of result number to.
func fillStep(out tensor.Type, v []byte, to int) graph.Step {
	size, elems := out.DType.Size(), out.Shape.Elems()
	count := chunks(elems, moveTime*float64(size))
	return graph.Step{N: count, Do: func(_ *graph.Exec, _, out []*tensor.Tensor, i int) error {
		lo, hi := span(elems, count, i, tensor.Align/size)
		if y := out[to]; y != nil && lo < hi {
			fillBytes(y.Raw[lo*size:hi*size], v)
		}
		return nil
	}}
}

// fillBytes repeats v in y, whose length is a multiple of v's.
func fillBytes(y, v []byte) {
	for n := copy(y, v); n < len(y); n *= 2 {
		copy(y[n:], y[:n])
	}
}

// copyStep copies the bytes of operand from to result 0, unless they lie there.
func copyStep(out tensor.Type, from int) graph.Step {
	n := out.Bytes()
	if n == 0 {
		return graph.Step{}
	}
	count := chunks(n, moveTime)
	return graph.Step{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		if x, y := in[from].Raw, out[0].Raw; &x[0] != &y[0] {
			lo, hi := span(n, count, i, tensor.Align)
			copy(y[lo:hi], x[lo:hi])
		}
		return nil
	}}
}

// given is the kernel of an operator whose results are known when it is compiled.
func given(results ...*tensor.Tensor) graph.Kernel {
	return graph.Kernel{Info: "copy", Steps: []graph.Step{{N: 1, Do: func(_ *graph.Exec, _, out []*tensor.Tensor, _ int) error {
		for i, t := range results {
			if i < len(out) && out[i] != nil {
				copy(out[i].Raw, t.Raw)
			}
		}
		return nil
	}}}}
}
