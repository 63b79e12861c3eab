package ops

import (
	"fmt"
	"slices"
	"strings"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Einsum", 12, func(a *Attrs) graph.Op {
		equation := strings.ReplaceAll(a.String("equation", ""), " ", "")
		if equation == "" {
			a.Fail("attribute equation is missing")
		}
		return &composition{"Einsum", 1, maxEinsum, func(c *composer) []term { return einsum(c, equation) }}
	})
}

// maxEinsum bounds the operands of an Einsum.
const maxEinsum = 64

// einsum sums products over the labels that the result has not, such as
// "bij,bjk->bik": one term a operand, one letter a dimension. A letter that is
// twice in a term takes the diagonal; "..." stands for dimensions that broadcast.
// Without "->" the result has what "..." stands for and then the letters that
// are there once, in their order. A dimension of 1 stretches to the others of
// its letter.
//
//	inputs: floating point or integers, one type
//
// The operands are taken together two at a time, from the first to the last, by
// products of matrices.
//
// Source: ONNX Einsum-12; numpy.einsum.
func einsum(c *composer, equation string) []term {
	left, right, explicit := strings.Cut(equation, "->")
	texts := strings.Split(left, ",")
	if len(texts) != len(c.in) {
		c.fail("equation %q has %d terms, want %d", equation, len(texts), len(c.in))
		return nil
	}
	e := &einsumLabels{sizes: map[string]int{}, count: map[string]int{}}
	operands := make([]einsumOperand, len(texts))
	for i, text := range texts {
		x := c.input(i)
		if x == 0 {
			c.fail("input %d is missing", i)
			return nil
		}
		labels, err := e.read(text, c.shape(x))
		if err != nil {
			c.fail("equation %q: %w", equation, err)
			return nil
		}
		if slices.Contains(smallTypes, c.fact(x).DType) { // the low bits are the same
			x = c.as(tensor.Int32, x)
		}
		operands[i] = einsumOperand{x, labels}
	}
	result, err := e.result(right, explicit)
	if err != nil {
		c.fail("equation %q: %w", equation, err)
		return nil
	}
	for i := range operands {
		operands[i].simplify(c, e.sizes)
	}
	y := operands[0]
	for i := range operands {
		needed := slices.Clone(result)
		for _, o := range operands[i+1:] {
			needed = append(needed, o.labels...)
		}
		if i > 0 {
			y.sum(c, slices.Concat(needed, operands[i].labels))
			operands[i].sum(c, slices.Concat(needed, y.labels))
			y = y.times(c, operands[i], needed)
		}
		y.sum(c, needed)
	}
	var order []string
	shape := tensor.Shape{}
	for _, l := range result {
		shape = append(shape, e.sizes[l])
		if slices.Contains(y.labels, l) {
			order = append(order, l)
		}
	}
	y.arrange(c, order)
	return []term{c.as(c.in[0].DType, c.reshape(y.x, shape...))}
}

// einsumLabels are the letters of an equation. Dimensions of "..." have the
// labels "0" for the last, "1" for the one before and so on.
type einsumLabels struct {
	sizes map[string]int
	count map[string]int // how often a letter is there
	dots  int            // dimensions of "..."
}

// read returns the labels of the dimensions of an operand.
func (e *einsumLabels) read(text string, s tensor.Shape) ([]string, error) {
	head, tail, dots := strings.Cut(text, "...")
	var labels []string
	letters := len(head) + len(tail)
	if letters > len(s) || !dots && letters != len(s) {
		return nil, fmt.Errorf("term %q does not fit shape %v", text, s)
	}
	for _, l := range head {
		labels = append(labels, string(l))
	}
	if dots {
		n := len(s) - letters
		e.dots = max(e.dots, n)
		for i := range n {
			labels = append(labels, fmt.Sprint(n-1-i))
		}
	}
	for _, l := range tail {
		labels = append(labels, string(l))
	}
	for _, l := range head + tail {
		if !isLetter(l) {
			return nil, fmt.Errorf("term %q has %q, want letters and one ellipsis", text, l)
		}
		e.count[string(l)]++
	}
	for i, l := range labels {
		switch size, known := e.sizes[l]; {
		case !known || size == 1:
			e.sizes[l] = s[i]
		case s[i] != 1 && s[i] != size:
			return nil, fmt.Errorf("dimension %q has length %d in one place and %d in another", l, size, s[i])
		}
	}
	return labels, nil
}

func isLetter(l rune) bool { return l >= 'a' && l <= 'z' || l >= 'A' && l <= 'Z' }

// result returns the labels of the result.
func (e *einsumLabels) result(text string, explicit bool) ([]string, error) {
	var labels []string
	dots := func() {
		for i := range e.dots {
			labels = append(labels, fmt.Sprint(e.dots-1-i))
		}
	}
	if !explicit {
		dots()
		var once []string
		for l, n := range e.count {
			if n == 1 {
				once = append(once, l)
			}
		}
		slices.Sort(once)
		return append(labels, once...), nil
	}
	head, tail, found := strings.Cut(text, "...")
	for _, l := range head {
		labels = append(labels, string(l))
	}
	if found {
		dots()
	}
	for _, l := range tail {
		labels = append(labels, string(l))
	}
	for i, l := range labels {
		if _, known := e.sizes[l]; !known || slices.Contains(labels[:i], l) {
			return nil, fmt.Errorf("the result has %q, which is in no term, or twice", l)
		}
	}
	for _, l := range head + tail {
		if !isLetter(l) {
			return nil, fmt.Errorf("the result has %q, want letters and one ellipsis", l)
		}
	}
	return labels, nil
}

// einsumOperand is a value and the labels of its dimensions.
type einsumOperand struct {
	x      term
	labels []string
}

// simplify takes the diagonals of labels that are there twice and drops
// dimensions of length 1.
func (o *einsumOperand) simplify(c *composer, sizes map[string]int) {
	keep, shape := []string{}, tensor.Shape{}
	for i, n := range c.shape(o.x) {
		if n != 1 {
			keep, shape = append(keep, o.labels[i]), append(shape, n)
		}
	}
	o.x, o.labels = c.reshape(o.x, shape...), keep
	for c.err == nil {
		first, second := -1, -1
		for i, l := range o.labels {
			if j := slices.Index(o.labels[:i], l); j >= 0 {
				first, second = j, i
			}
		}
		if first < 0 {
			return
		}
		var perm []int
		labels, rest := []string{}, tensor.Shape{}
		for i, l := range o.labels {
			if i != first && i != second {
				perm, labels, rest = append(perm, i), append(labels, l), append(rest, c.shape(o.x)[i])
			}
		}
		n := sizes[o.labels[first]]
		square := c.reshape(c.transpose(o.x, append(perm, first, second)...), append(rest, n*n)...)
		one := func(v int) term { return c.constant(tensor.Of([]int64{int64(v)}, 1)) }
		o.labels = append(labels, o.labels[first])
		o.x = c.op("Slice", nil, square, one(0), one(n*n), one(-1), one(n+1))
	}
}

// sum adds up the dimensions whose labels are not needed.
func (o *einsumOperand) sum(c *composer, needed []string) {
	var axes []int64
	var labels []string
	for i, l := range o.labels {
		if slices.Contains(needed, l) {
			labels = append(labels, l)
		} else {
			axes = append(axes, int64(i))
		}
	}
	if len(axes) > 0 {
		o.x = c.op("ReduceSum", []any{"keepdims", 0}, o.x, c.constant(tensor.Of(axes, len(axes))))
		o.labels = labels
	}
}

// arrange puts the dimensions in the order of the labels.
func (o *einsumOperand) arrange(c *composer, labels []string) {
	perm := make([]int, len(labels))
	for i, l := range labels {
		perm[i] = slices.Index(o.labels, l)
	}
	if !slices.IsSorted(perm) {
		o.x = c.transpose(o.x, perm...)
	}
	o.labels = labels
}

// times returns the product of o and p, summed over the labels of both that are
// not needed.
func (o einsumOperand) times(c *composer, p einsumOperand, needed []string) einsumOperand {
	var batch, sum, rows, columns []string
	for _, l := range o.labels {
		switch {
		case !slices.Contains(p.labels, l):
			rows = append(rows, l)
		case slices.Contains(needed, l):
			batch = append(batch, l)
		default:
			sum = append(sum, l)
		}
	}
	for _, l := range p.labels {
		if !slices.Contains(o.labels, l) {
			columns = append(columns, l)
		}
	}
	o.arrange(c, slices.Concat(batch, rows, sum))
	p.arrange(c, slices.Concat(batch, sum, columns))
	if c.err != nil {
		return einsumOperand{}
	}
	s, t := c.shape(o.x), c.shape(p.x)
	b, m, k := s[:len(batch)].Clone(), s[len(batch):len(batch)+len(rows)], s[len(batch)+len(rows):]
	n := t[len(batch)+len(sum):]
	x := c.reshape(o.x, b.Elems(), m.Elems(), k.Elems())
	y := c.reshape(p.x, b.Elems(), k.Elems(), n.Elems())
	z := c.op("MatMul", nil, x, y)
	return einsumOperand{c.reshape(z, slices.Concat(b, m, n)...), slices.Concat(batch, rows, columns)}
}
