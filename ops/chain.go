package ops

import (
	"fmt"
	"slices"
	"strings"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

// chain is an expression of operators that work element by element, such as
// x * Sigmoid(x), made of nodes of which only the last is read elsewhere. It is
// calculated piece by piece of the result, so that what lies between the operators
// stays in the nearest cache, by the functions that they call themselves: the bits
// are those of the separate nodes.
//
//	inputs: float32, shapes that broadcast to y's
//	y:      float32, the shape of one input at least
//
// A result in NCHW16c is made where an input lies so and each of the others has
// the same shape, one element for each channel, or one element in all.
type chain struct {
	links  []link
	inputs int
}

// link is one operator of a chain. Each of its operands is an input of the chain,
// k, or the result of an earlier link, ^k. One at least has the shape of the
// result.
type link struct {
	name     string
	operands []int
	one      func(dst, x []float32) // of an operator with one operand, of the shape of the result
	two      binary                 // if one is nil
	ns       float64                // that an element takes
	work     int                    // operations on it
}

const (
	// maxLinks and maxChainInputs bound a chain, and so its scratch memory.
	maxLinks       = 16
	maxChainInputs = 8
	// cachedTime is about how many nanoseconds a sum or a product takes where all
	// lies in the nearest cache.
	cachedTime = 0.08
)

// linkOf returns n's operator as a chain of one link, and the inputs of that, if
// it can be one.
func linkOf(n *graph.Node) (c chain, in []*graph.Value, ok bool) {
	if len(n.Out) != 1 || n.Out[0].DType != tensor.Float32 {
		return c, nil, false
	}
	facts := graph.Facts(n.In)
	l := link{name: n.Op.String(), operands: []int{0}, ns: cachedTime, work: 1}
	switch op := n.Op.(type) {
	case chain:
		return op, n.In, true
	case elementwise:
		l.one, l.ns, l.work = op.f32, min(op.ns, scalarTime/2), max(op.work, 1)
		ok = op.f32 != nil
	case pow:
		l.one = func(dst, x []float32) { vec.Mul(dst, x, x) }
		ok = facts[1].Const != nil && facts[1].DType == tensor.Float32 && facts[1].Shape.Elems() == 1 && facts[1].Const.F32()[0] == 2
	case clamper:
		lo, hi, known := op.bounds(facts)
		l.one = func(dst, x []float32) { vec.Clamp(dst, x, lo, hi) }
		ok = known
	case binary:
		if n.In[0] == n.In[1] {
			l.operands = []int{0, 0}
			in = n.In[:1]
		} else {
			l.operands = []int{0, 1}
			in = n.In
		}
		l.two, l.work = op, op.flops(1)
		return chain{[]link{l}, len(in)}, in, slices.ContainsFunc(in, func(v *graph.Value) bool { return v.Shape.Equal(n.Out[0].Shape) })
	}
	return chain{[]link{l}, 1}, n.In[:1], ok && n.In[0].DType == tensor.Float32 && n.In[0].Shape.Equal(n.Out[0].Shape)
}

// fuse lets n take in the node that gives one of its operands, if both can be
// links of a chain and nothing else reads that operand.
func fuse(e *graph.Editor, n *graph.Node) (bool, error) {
	c, in, ok := linkOf(n)
	if !ok {
		return false, nil
	}
	for i, v := range in {
		p := e.Producer(v)
		if p == nil || e.IsOutput(v) || !v.Shape.Equal(n.Out[0].Shape) ||
			slices.ContainsFunc(e.Users(v), func(u *graph.Node) bool { return u != n }) {
			continue
		}
		first, before, ok := linkOf(p)
		if !ok || len(first.links)+len(c.links) > maxLinks {
			continue
		}
		joined, all := first.then(c, i, before, in)
		if len(all) > maxChainInputs {
			continue
		}
		e.Absorb(p, n, joined, all)
		return true, nil
	}
	return false, nil
}

// then returns the chain that calculates c and then d, of which c gives input at,
// and its inputs.
func (c chain) then(d chain, at int, inC, inD []*graph.Value) (chain, []*graph.Value) {
	in := slices.Clone(inC)
	place := make([]int, len(inD)) // of the inputs of d
	for i, v := range inD {
		k := slices.Index(in, v)
		switch {
		case i == at:
			k = ^(len(c.links) - 1)
		case k < 0:
			k = len(in)
			in = append(in, v)
		}
		place[i] = k
	}
	links := slices.Clone(c.links)
	for _, l := range d.links {
		l.operands = slices.Clone(l.operands)
		for i, k := range l.operands {
			if k < 0 {
				l.operands[i] = ^(^k + len(c.links))
			} else {
				l.operands[i] = place[k]
			}
		}
		links = append(links, l)
	}
	return chain{links, len(in)}, in
}

func (c chain) String() string {
	names := make([]string, len(c.links))
	for i, l := range c.links {
		names[i] = l.name
	}
	return strings.Join(names, "+")
}

func (c chain) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, c.inputs, c.inputs); err != nil {
		return nil, err
	}
	shape := tensor.Shape{}
	for i, f := range in {
		if err := checkType(fmt.Sprintf("input %d", i), f.DType, tensor.Float32); err != nil {
			return nil, err
		}
		var err error
		if shape, err = broadcastShapes(shape, f.Shape); err != nil {
			return nil, err
		}
	}
	return []graph.Fact{{Type: tensor.Type{DType: tensor.Float32, Shape: shape}}}, nil
}

// Fuse takes in an operator in front.
func (chain) Fuse(e *graph.Editor, n *graph.Node) (bool, error) { return fuse(e, n) }

func (c chain) FLOPs(in, out []graph.Fact) int64 {
	work := 0
	for _, l := range c.links {
		work += l.work
	}
	return flops(work, out[0].Shape.Elems())
}

// Layouts takes the layout of the first input of the result's shape that is not
// row-major if all links can work on it, and the pad lanes stay zero.
func (c chain) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, len(in)), make([]graph.Layout, 1)
	y := out[0].Shape
	i := slices.IndexFunc(in, func(f graph.Fact) bool { return f.Layout != nil && f.Shape.Equal(y) })
	if i < 0 || !c.blocks(in, y) || !fullBlocks(y) && !c.keepsZeros(in, y) {
		return want, give
	}
	for k, f := range in {
		if f.Shape.Equal(y) || f.Const == nil && f.Shape.Elems() != 1 {
			want[k] = in[i].Layout
		}
	}
	give[0] = in[i].Layout
	return want, give
}

// blocks reports whether all links can work in NCHW16c.
func (c chain) blocks(in []graph.Fact, y tensor.Shape) bool {
	for _, l := range c.links {
		for _, k := range l.operands {
			if k < 0 || in[k].Shape.Equal(y) || in[k].Shape.Elems() == 1 {
				continue
			}
			f := in[k]
			constant := channelValues(f, y) != nil && l.two.op != opDiv
			live := f.Const == nil && (l.two.op == opAdd || l.two.op == opMul) && len(f.Shape) == len(y) &&
				(isPerChannel(f.Shape, y, 1) || isPerChannel(f.Shape, y, y[0]))
			if !constant && !live {
				return false
			}
		}
	}
	return true
}

// keepsZeros reports whether the result is zero where all inputs in NCHW16c are,
// and so are the factors of constants for each channel.
func (c chain) keepsZeros(in []graph.Fact, y tensor.Shape) bool {
	results := make([][]float32, len(c.links))
	for i, l := range c.links {
		results[i] = make([]float32, 1)
		var x [][]float32
		perChannel := false
		for _, k := range l.operands {
			switch {
			case k < 0:
				x = append(x, results[^k])
			case in[k].Shape.Elems() == 1 && !in[k].Shape.Equal(y):
				if in[k].Const == nil {
					return false
				}
				x = append(x, in[k].Const.F32())
			default:
				perChannel = perChannel || in[k].Const != nil && !in[k].Shape.Equal(y)
				x = append(x, []float32{0})
			}
		}
		switch {
		case l.one != nil:
			l.one(results[i], x[0])
		case !perChannel:
			l.two.vectors()(results[i], x[0], x[1])
			l.two.limit(results[i])
		}
	}
	return results[len(results)-1][0] == 0
}

// piece is what is calculated at once: elements lo to hi of the memory of the
// result.
type piece struct {
	lo, hi int
	in     []*tensor.Tensor
	slots  []float32 // of pieceLen elements each
}

// origin is where a link finds an operand of the shape of the result.
type origin struct {
	slot   int // for the result of a link; else -1
	input  int
	packed []float32 // of a constant in NCHW16c
}

func (s origin) of(p piece) []float32 {
	switch {
	case s.slot >= 0:
		return p.slots[s.slot*pieceLen:][:p.hi-p.lo]
	case s.packed != nil:
		return s.packed[p.lo:p.hi]
	}
	return floats(p.in[s.input])[p.lo:p.hi]
}

func (c chain) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	y := out[0]
	last := len(c.links) - 1
	slots, count := c.slots()
	do := make([]func(p piece, dst []float32), len(c.links))
	ns := vectorTime
	for i, l := range c.links {
		do[i] = l.compile(in, y, slots)
		ns += l.ns
	}
	n := y.Bytes() / y.DType.Size()
	block := max(n, 1) // pieces do not cross its multiples
	if y.Layout != nil {
		_, _, hw := planes(y.Shape)
		block = lanes * hw
	}
	k := perElement("chain", y, ns, nil)
	steps := k.Steps[0].N
	k.Scratch = count * pieceLen * y.DType.Size()
	k.Steps[0].Do = func(e *graph.Exec, in, out []*tensor.Tensor, chunk int) error {
		p := piece{in: in, slots: tensor.Cast[float32](e.Scratch)}
		z := floats(out[0])
		from, to := span(n, steps, chunk, tensor.Align/y.DType.Size())
		for p.lo = from; p.lo < to; p.lo = p.hi {
			p.hi = min(to, p.lo+pieceLen, p.lo-p.lo%block+block)
			for i, f := range do[:last] {
				f(p, origin{slot: slots[i]}.of(p))
			}
			do[last](p, z[p.lo:p.hi])
		}
		return nil
	}
	for i, f := range in {
		switch {
		case isPacked(f, y):
			k.Packed = append(k.Packed, i)
		case f.Const == nil && f.Type.Equal(y.Type):
			k.InPlace = append(k.InPlace, i)
		}
	}
	return k, nil
}

// slots returns the slot of each link's result but the last, and how many there
// are. A slot is used again once its result has been read for the last time.
func (c chain) slots() (slots []int, count int) {
	slots = make([]int, len(c.links)-1)
	free := []int{}
	for i, l := range c.links {
		for j, k := range l.operands {
			if k < 0 && !slices.Contains(l.operands[:j], k) && !c.read(k, i+1) {
				free = append(free, slots[^k])
			}
		}
		if i == len(slots) {
			break
		}
		if len(free) == 0 {
			free = append(free, count)
			count++
		}
		slots[i] = free[len(free)-1]
		free = free[:len(free)-1]
	}
	return slots, count
}

// read reports whether operand k is read by a link from the given one on.
func (c chain) read(k, from int) bool {
	return slices.ContainsFunc(c.links[from:], func(l link) bool { return slices.Contains(l.operands, k) })
}

// compile returns the function that calculates a piece of the link's result.
func (l link) compile(in []graph.Fact, y graph.Fact, slots []int) func(p piece, dst []float32) {
	var from [2]origin
	small := -1 // the operand that is not of the shape of the result
	for i, k := range l.operands {
		from[i] = origin{slot: -1, input: k}
		switch {
		case k < 0:
			from[i].slot = slots[^k]
		case !in[k].Shape.Equal(y.Shape):
			small = i
		case isPacked(in[k], y):
			from[i].packed = packConstant(in[k].Const)
		}
	}
	if l.one != nil {
		return func(p piece, dst []float32) { l.one(dst, from[0].of(p)) }
	}
	b := l.two
	if small < 0 {
		two := b.vectors()
		return func(p piece, dst []float32) {
			two(dst, from[0].of(p), from[1].of(p))
			b.limit(dst)
		}
	}
	full, k := from[1-small], l.operands[small]
	other := in[k]
	switch {
	case other.Shape.Elems() == 1:
		return func(p piece, dst []float32) {
			b.vectorScalar(dst, full.of(p), floats(p.in[k])[0], 1-small)
			b.limit(dst)
		}
	case y.Layout != nil:
		return b.perBlock(other, y, k, 1-small, full)
	}
	two := b.vectors()
	if pattern, period := repeated(other, y.Shape); pattern != nil {
		return func(p piece, dst []float32) {
			x, s := full.of(p), pattern[p.lo%period:]
			if small == 0 {
				two(dst, s, x)
			} else {
				two(dst, x, s)
			}
			b.limit(dst)
		}
	}
	w := newBroadcast(other.Shape, y.Shape, y.Shape)
	return func(p piece, dst []float32) {
		x, s := full.of(p), floats(p.in[k])
		w.walk(p.lo, p.hi, func(at, from, _, n int) {
			row, z := x[at-p.lo:][:n], dst[at-p.lo:][:n]
			switch {
			case w.scalar[0]:
				b.vectorScalar(z, row, s[from], 1-small)
			case small == 0:
				two(z, s[from:][:n], row)
			default:
				two(z, row, s[from:][:n])
			}
		})
		b.limit(dst)
	}
}

// repeated returns a constant over and over again, as long as every piece of a
// row-major result needs it, and after how many elements it repeats; nil if it
// does not do so within a piece. That is for constants such as a factor for each
// of the few channels of an image in NHWC.
func repeated(f graph.Fact, y tensor.Shape) (pattern []float32, period int) {
	s := f.Shape
	for len(s) > 0 && s[0] == 1 {
		s = s[1:]
	}
	period = s.Elems()
	if f.Const == nil || period == 0 || period > pieceLen || !s.Equal(y[len(y)-len(s):]) {
		return nil, 0
	}
	for len(pattern) < period+pieceLen {
		pattern = append(pattern, f.Const.F32()...)
	}
	return pattern, period
}

// perBlock is compile for an operand, input k of the chain, with one element for
// each channel of a result in NCHW16c; x is the other one, operand full.
func (b binary) perBlock(other, y graph.Fact, k, full int, x origin) func(p piece, dst []float32) {
	n, c, hw := planes(y.Shape)
	perImage := ceil(c, lanes)
	period := n * perImage // of the operand's blocks
	if other.Const != nil || other.Shape[0] == 1 {
		period = perImage
	}
	factors := b.factors(other, perImage, full)
	return func(p piece, dst []float32) {
		scale, shift := factors(p.in[k], p.lo/(lanes*hw)%period*lanes)
		b.scaleShift16(dst, x.of(p), scale, shift)
	}
}
