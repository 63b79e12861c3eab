package ops

import (
	"fmt"
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// recurrent is what LSTM, GRU and RNN have in common: a cell that goes along
// sequences and takes a state from each element to the next, forwards,
// backwards or, with two sets of weights, both.
//
//	x:             [T B I] floating point; T elements of I values in B sequences
//	w:             [D G*H I], for D directions, G gates and a state of H values
//	r:             [D G*H H]
//	bias:          [D 2*G*H], for w and for r, optional
//	sequence_lens: [B] int32, the elements of each sequence that count, optional
//	initial_h:     [D B H], optional
//	y:             [T D B H], all states; 0 behind the end of a sequence
//	y_h:           [D B H], the last states
//
// With layout 1, B comes first in x, y and the states. All outputs are optional.
type recurrent struct {
	name       string
	gates      int
	hidden     int          // attribute hidden_size; 0 if it is not given
	reverse    []bool       // for each direction
	batchFirst bool         // layout 1
	clip       float32      // bound of what goes into the functions of gates; 0 for none
	functions  []activation // of the first direction, then of the second
}

// Inputs of recurrent operators. The last two are LSTM's.
const (
	rnnX = iota
	rnnW
	rnnR
	rnnBias
	rnnLengths
	rnnH
	rnnC
	rnnPeepholes
)

// recurrentOf reads the attributes that the operators share; functions are the
// default activations of one direction.
func recurrentOf(a *Attrs, name string, gates int, functions ...string) recurrent {
	r := recurrent{
		name: name, gates: gates, hidden: a.Int("hidden_size", 0), batchFirst: a.Int("layout", 0) != 0, clip: a.Float("clip", 0),
	}
	switch d := a.String("direction", "forward"); d {
	case "forward":
		r.reverse = []bool{false}
	case "reverse":
		r.reverse = []bool{true}
	case "bidirectional":
		r.reverse = []bool{false, true}
	default:
		a.Fail("direction is %q, want forward, reverse or bidirectional", d)
	}
	if r.clip < 0 || r.hidden < 0 {
		a.Fail("clip is %g and hidden_size %d, want none negative", r.clip, r.hidden)
	}
	r.functions = activationsOf(a, slices.Repeat(functions, len(r.reverse)))
	return r
}

func (r *recurrent) String() string {
	s := r.name + "["
	switch {
	case len(r.reverse) == 2:
		s += "bidirectional"
	case len(r.reverse) == 1 && r.reverse[0]:
		s += "reverse"
	default:
		s += "forward"
	}
	return s + "]"
}

// sizes of a recurrent operator.
type rnnSizes struct{ steps, batch, inputs, hidden, dirs int }

// sizes returns the sizes for inputs whose ranks have been checked.
func (r *recurrent) sizes(in []graph.Fact) rnnSizes {
	x := in[rnnX].Shape
	s := rnnSizes{x[0], x[1], x[2], in[rnnR].Shape[2], len(r.reverse)}
	if r.batchFirst {
		s.steps, s.batch = s.batch, s.steps
	}
	return s
}

// state is the shape of a state.
func (r *recurrent) state(s rnnSizes) tensor.Shape {
	if r.batchFirst {
		return tensor.Shape{s.batch, s.dirs, s.hidden}
	}
	return tensor.Shape{s.dirs, s.batch, s.hidden}
}

// infer checks the inputs, of which there are at most most, and returns y and
// states more outputs.
func (r *recurrent) infer(in []graph.Fact, most, states int) ([]graph.Fact, error) {
	if err := checkInputs(in, 3, most); err != nil {
		return nil, err
	}
	x := in[rnnX]
	if err := checkType("x", x.DType, floatTypes...); err != nil {
		return nil, err
	}
	for i, f := range in {
		switch {
		case f.Missing():
		case i == rnnLengths:
			if err := checkType("sequence_lens", f.DType, tensor.Int32); err != nil {
				return nil, err
			}
		case f.DType != x.DType:
			return nil, fmt.Errorf("inputs have element types %v and %v, want one type", x.DType, f.DType)
		}
	}
	if len(x.Shape) != 3 || len(in[rnnW].Shape) != 3 || len(in[rnnR].Shape) != 3 {
		return nil, fmt.Errorf("x, w and r have shapes %v, %v and %v, want 3 dimensions each", x.Shape, in[rnnW].Shape, in[rnnR].Shape)
	}
	s := r.sizes(in)
	if r.hidden != 0 && r.hidden != s.hidden {
		return nil, fmt.Errorf("r has shape %v, want %d (hidden_size) in the last dimension", in[rnnR].Shape, r.hidden)
	}
	rows := int64(r.gates) * int64(s.hidden)
	if rows > math.MaxInt32 {
		return nil, fmt.Errorf("r has shape %v, want a smaller state", in[rnnR].Shape)
	}
	wide, state := int(rows), r.state(s)
	for i, want := range [][]int{
		rnnW:         {s.dirs, wide, s.inputs},
		rnnR:         {s.dirs, wide, s.hidden},
		rnnBias:      {s.dirs, 2 * wide},
		rnnLengths:   {s.batch},
		rnnH:         state,
		rnnC:         state,
		rnnPeepholes: {s.dirs, 3 * s.hidden},
	} {
		if f := input(in, i); want != nil && !f.Missing() {
			if err := checkShape(rnnNames[i], f, want...); err != nil {
				return nil, err
			}
		}
	}
	y := tensor.Shape{s.steps, s.dirs, s.batch, s.hidden}
	if r.batchFirst {
		y = tensor.Shape{s.batch, s.steps, s.dirs, s.hidden}
	}
	out := []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: y}}}
	for range states {
		out = append(out, graph.Fact{Type: tensor.Type{DType: x.DType, Shape: state}})
	}
	return out, nil
}

var rnnNames = []string{
	rnnW: "w", rnnR: "r", rnnBias: "bias", rnnLengths: "sequence_lens", rnnH: "initial_h", rnnC: "initial_c", rnnPeepholes: "peepholes",
}

// FLOPs counts the products of matrices.
func (r *recurrent) FLOPs(in, out []graph.Fact) int64 {
	s := r.sizes(in)
	return flops(2, s.steps, s.batch, s.dirs, r.gates, s.hidden, s.inputs+s.hidden)
}

// cell is what an operator does with one element of each of some sequences.
type cell[T float32 | float64] interface {
	// products lists the products of the state and rows of a direction's r,
	// which follow each other.
	products() []cellProduct
	// advance moves the states of m on by one element.
	advance(m *cellRun[T])
}

// cellProduct is a product of the state and the rows of r for some gates. If
// added, what comes from x is added to it.
type cellProduct struct {
	gates int
	added bool
}

const maxCellProducts = 2

// cellRun is a direction of a run for the sequences of one block.
type cellRun[T float32 | float64] struct {
	p                *rnnPlan[T]
	dir              int
	rows, hidden     int
	step             int                  // elements done
	lengths          []int32              // of the sequences, nil if none ends early
	bias             []T                  // of all gates, of w and r together; nil for none
	biasW, biasR     []T                  // of one alone; nil for none
	peepholes        []T                  // nil for none
	fromX, sums      [maxCellProducts][]T // [rows gates*hidden]
	h, c, spare      []T                  // [rows hidden]
	r, temp, scratch []T
}

// multiply sets sums of a product to a, [rows hidden], times r.
func (m *cellRun[T]) multiply(product int, a []T) {
	k := m.p.recur[m.dir][product]
	from, _ := m.p.rowsOfR(m.dir, product)
	var r []T
	if m.r != nil {
		r = m.r[from*m.hidden:]
	}
	last := k.Steps() - 1
	runAll(k, last, last+1, m.temp[m.p.recurAt[m.dir][product]:], m.scratch, a, r, m.fromX[product], m.sums[product])
}

// live reports whether the sequence of a row goes on.
func (m *cellRun[T]) live(row int) bool { return m.lengths == nil || m.step < int(m.lengths[row]) }

// row returns the state of a row.
func (m *cellRun[T]) row(state []T, row int) []T { return state[row*m.hidden:][:m.hidden] }

// gate returns gate i of a row of a product with n gates.
func (m *cellRun[T]) gate(sums []T, row, n, i int) []T { return sums[(row*n+i)*m.hidden:][:m.hidden] }

// biasOf returns the bias of gates from to to, nil for none.
func (m *cellRun[T]) biasOf(from, to int) []T {
	if m.bias == nil {
		return nil
	}
	return m.bias[from*m.hidden : to*m.hidden]
}

// bounded applies the clip to what goes into a function.
func (m *cellRun[T]) bounded(x []T) {
	if c := m.p.r.clip; c > 0 {
		clampTo(x, T(-c), T(c))
	}
}

// function applies function i of the direction.
func (m *cellRun[T]) function(i int, dst, x []T) {
	n := len(m.p.r.functions) / m.p.dirs
	activate(m.p.r.functions[m.dir*n+i], dst, x)
}

// The sequences of a direction are cut into at most maxSequenceBlocks blocks of
// minSequences or more; those of one block go through the products together.
const (
	maxSequenceBlocks = 4
	minSequences      = 4
)

// rnnPlan is a recurrent operator compiled for its types.
type rnnPlan[T float32 | float64] struct {
	rnnSizes
	r        *recurrent
	cell     cell[T]
	products []cellProduct
	block    int               // sequences of a block
	project  []multiplier[T]   // of x and w, for each direction
	recur    [][]multiplier[T] // of the state and r, for each direction and product

	// Places in Temp.
	fromX     []int // of each direction
	projectAt []int
	recurAt   [][]int
	temp      int // elements of Temp
	scratch   int // elements of Scratch that products need

	runs spares[cellRun[T]]
}

// rnnKernel compiles r, whose cell is c.
func rnnKernel[T float32 | float64](r *recurrent, c cell[T], in []graph.Fact) graph.Kernel {
	p := &rnnPlan[T]{rnnSizes: r.sizes(in), r: r, cell: c, products: c.products()}
	p.runs = sparesOf(func() *cellRun[T] { return new(cellRun[T]) })
	blocks := max(1, min(maxSequenceBlocks, p.batch/minSequences))
	for p.batch%blocks != 0 {
		blocks--
	}
	p.block = p.batch / blocks
	wide := r.gates * p.hidden
	w, u := constantOf[T](in[rnnW]), constantOf[T](in[rnnR])
	part := func(b []T, from, n int) []T {
		if b == nil {
			return nil
		}
		return b[from:][:n]
	}
	reserve := func(n int) int {
		p.temp += n
		return p.temp - n
	}
	for d := range p.dirs {
		m := multiplierOf(p.steps*p.batch, wide, p.inputs, part(w, d*wide*p.inputs, wide*p.inputs), true, false)
		p.project = append(p.project, m)
		p.fromX = append(p.fromX, reserve(p.steps*p.batch*wide))
		p.projectAt = append(p.projectAt, reserve(m.Temp()))
		p.scratch = max(p.scratch, m.Scratch())
		p.recur = append(p.recur, nil)
		p.recurAt = append(p.recurAt, nil)
		for i, q := range p.products {
			from, n := p.rowsOfR(d, i)
			m := multiplierOf(p.block, n, p.hidden, part(u, from*p.hidden, n*p.hidden), true, q.added)
			p.recur[d] = append(p.recur[d], m)
			p.recurAt[d] = append(p.recurAt[d], reserve(m.Temp()))
			p.scratch = max(p.scratch, m.Scratch())
		}
	}
	var k graph.Kernel
	if p.steps*p.batch*p.hidden > 0 {
		k.Steps = p.prepare()
	}
	k.Steps = append(k.Steps, graph.Step{N: p.dirs * blocks, Do: p.run})
	k.Info = fmt.Sprintf("%d sequences at once, %s", p.block, p.recur[0][0].Info())
	size := in[rnnX].DType.Size()
	k.Temp = size * p.temp
	k.Scratch = size * (p.scratch + wide + p.block*(2*wide+3*p.hidden))
	for i := rnnW; i <= rnnR; i++ {
		if in[i].Const != nil {
			k.Packed = append(k.Packed, i)
		}
	}
	return k
}

// rowsOfR returns where the rows of r for a product begin, and their number.
func (p *rnnPlan[T]) rowsOfR(dir, product int) (from, n int) {
	from = dir * p.r.gates * p.hidden
	for _, q := range p.products[:product] {
		from += q.gates * p.hidden
	}
	return from, p.products[product].gates * p.hidden
}

// prepare returns the steps before the recurrence: the products of x and w, and
// the packing of an r that comes with the run.
func (p *rnnPlan[T]) prepare() []graph.Step {
	var steps []graph.Step
	wide := p.r.gates * p.hidden
	for d, m := range p.project {
		for s := range m.Steps() {
			steps = append(steps, graph.Step{N: m.Chunks(s), Do: func(x *graph.Exec, in, _ []*tensor.Tensor, i int) error {
				temp := tensor.Cast[T](x.Temp)
				w := viewFrom[T](in[rnnW], d*wide*p.inputs)
				m.Run(s, i, temp[p.projectAt[d]:], tensor.Cast[T](x.Scratch), tensor.View[T](in[rnnX]), w, nil, temp[p.fromX[d]:])
				return nil
			}})
		}
		for q, m := range p.recur[d] {
			from, _ := p.rowsOfR(d, q)
			for s := range m.Steps() - 1 {
				steps = append(steps, graph.Step{N: m.Chunks(s), Do: func(x *graph.Exec, in, _ []*tensor.Tensor, i int) error {
					temp := tensor.Cast[T](x.Temp)
					unread := temp[p.fromX[d]:] // in place of operands that packing does not touch
					m.Run(s, i, temp[p.recurAt[d][q]:], tensor.Cast[T](x.Scratch), unread, viewFrom[T](in[rnnR], from*p.hidden), unread, unread)
					return nil
				}})
			}
		}
	}
	return steps
}

// run takes one block of one direction through its sequences.
func (p *rnnPlan[T]) run(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
	blocks := p.batch / max(1, p.block)
	if p.batch == 0 {
		return nil
	}
	m := p.runs.get()
	defer p.runs.put(m)
	dir, first := i/blocks, i%blocks*p.block
	*m = cellRun[T]{p: p, dir: dir, rows: p.block, hidden: p.hidden}
	m.temp = tensor.Cast[T](x.Temp)
	if in[rnnR] != nil {
		m.r = tensor.View[T](in[rnnR])
	}
	rest := tensor.Cast[T](x.Scratch)
	take := func(n int) []T {
		part := rest[:n]
		rest = rest[n:]
		return part
	}
	m.scratch = take(p.scratch)
	wide := p.r.gates * p.hidden
	if b := operand(in, rnnBias); b != nil {
		both := tensor.View[T](b)[dir*2*wide:][:2*wide]
		m.bias, m.biasW, m.biasR = take(wide), both[:wide], both[wide:]
		addTo(m.bias, m.biasW, m.biasR)
	}
	if t := operand(in, rnnPeepholes); t != nil {
		m.peepholes = tensor.View[T](t)[dir*3*p.hidden:][:3*p.hidden]
	}
	if t := operand(in, rnnLengths); t != nil {
		m.lengths = tensor.View[int32](t)[first:][:p.block]
		for b, n := range m.lengths {
			if n < 0 || int(n) > p.steps {
				return fmt.Errorf("sequence_lens has %d for sequence %d, want 0 to %d", n, first+b, p.steps)
			}
		}
	}
	for q, product := range p.products {
		m.sums[q] = take(p.block * product.gates * p.hidden)
		m.fromX[q] = take(p.block * product.gates * p.hidden)
	}
	m.h, m.c, m.spare = take(p.block*p.hidden), take(p.block*p.hidden), take(p.block*p.hidden)
	for b := range p.block {
		p.load(m.row(m.h, b), operand(in, rnnH), dir, first+b)
		p.load(m.row(m.c, b), operand(in, rnnC), dir, first+b)
	}
	for ; m.step < p.steps; m.step++ {
		for b := range p.block {
			p.gather(m, first, b)
		}
		p.cell.advance(m)
		if out[0] != nil {
			y := tensor.View[T](out[0])
			for b := range p.block {
				if to := p.at(dir, first+b, p.element(m, b)); m.live(b) {
					copy(y[to:], m.row(m.h, b))
				} else {
					clear(y[to:][:p.hidden])
				}
			}
		}
	}
	for b := range p.block {
		for i, state := range [][]T{m.h, m.c} {
			if t := operand(out, 1+i); t != nil {
				copy(tensor.View[T](t)[p.stateAt(dir, first+b):], m.row(state, b))
			}
		}
	}
	return nil
}

// element returns which element of its sequence a row is at. Behind the end of
// a sequence it is the elements there, in their order.
func (p *rnnPlan[T]) element(m *cellRun[T], row int) int {
	if !p.r.reverse[m.dir] || !m.live(row) {
		return m.step
	}
	last := p.steps - 1
	if m.lengths != nil {
		last = int(m.lengths[row]) - 1
	}
	return last - m.step
}

// gather brings what comes from x for a row to fromX.
func (p *rnnPlan[T]) gather(m *cellRun[T], first, row int) {
	wide := p.r.gates * p.hidden
	t, b := p.element(m, row), first+row
	at := t*p.batch + b
	if p.r.batchFirst {
		at = b*p.steps + t
	}
	from := m.temp[p.fromX[m.dir]+at*wide:][:wide]
	for q, product := range p.products {
		n := product.gates * p.hidden
		copy(m.fromX[q][row*n:], from[:n])
		from = from[n:]
	}
}

// at returns where y has the state of an element of a sequence.
func (p *rnnPlan[T]) at(dir, sequence, element int) int {
	if p.r.batchFirst {
		return ((sequence*p.steps+element)*p.dirs + dir) * p.hidden
	}
	return ((element*p.dirs+dir)*p.batch + sequence) * p.hidden
}

// stateAt returns where the state of a sequence is among all.
func (p *rnnPlan[T]) stateAt(dir, sequence int) int {
	if p.r.batchFirst {
		return (sequence*p.dirs + dir) * p.hidden
	}
	return (dir*p.batch + sequence) * p.hidden
}

// load sets a state to its initial value, 0 if t is nil.
func (p *rnnPlan[T]) load(state []T, t *tensor.Tensor, dir, sequence int) {
	if t == nil {
		clear(state)
		return
	}
	copy(state, tensor.View[T](t)[p.stateAt(dir, sequence):])
}

// viewFrom returns the elements of t from i on, nothing if t is nil.
func viewFrom[T float32 | float64](t *tensor.Tensor, i int) []T {
	if t == nil {
		return nil
	}
	return tensor.View[T](t)[i:]
}
