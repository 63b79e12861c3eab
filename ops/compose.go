package ops

import (
	"fmt"
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// composition is an operator that other operators make up. compose applies them
// to the inputs of c and returns the results; what it applies depends on the
// facts of the inputs alone.
type composition struct {
	name       string
	need, most int // how many inputs there must be, and may be
	compose    func(c *composer) []term
}

func (o *composition) String() string { return o.name }

func (o *composition) Infer(in []graph.Fact) ([]graph.Fact, error) {
	_, out, err := o.built(in)
	return out, err
}

// built lets the operator put itself together for the inputs.
func (o *composition) built(in []graph.Fact) (*composer, []graph.Fact, error) {
	if err := checkInputs(in, o.need, o.most); err != nil {
		return nil, nil, err
	}
	c := &composer{in: in}
	for i, f := range in {
		if !f.Missing() {
			c.values = append(c.values, composedValue{Fact: f, input: i + 1})
		} else {
			c.values = append(c.values, composedValue{})
		}
	}
	c.out = o.compose(c)
	if c.err != nil {
		return nil, nil, c.err
	}
	var out []graph.Fact
	for _, p := range c.out {
		out = append(out, graph.Fact{Type: c.fact(p).Type})
	}
	return c, out, nil
}

func (o *composition) FLOPs(in, _ []graph.Fact) int64 {
	c, _, err := o.built(in)
	if err != nil {
		return 0
	}
	total := int64(0)
	for _, s := range c.stages {
		if op, ok := s.op.(graph.Coster); ok {
			total += min(op.FLOPs(c.facts(s.in), c.facts(s.out)), math.MaxInt64-total)
		}
	}
	return total
}

// term is a value within a composition; the zero term is one that is omitted.
type term int

// composer applies operators.
type composer struct {
	in     []graph.Fact
	values []composedValue
	stages []stage
	out    []term
	err    error
}

type composedValue struct {
	graph.Fact
	input int // of the composition, from 1 on; 0 if it is none
}

type stage struct {
	op      graph.Op
	in, out []term
}

// input returns input i, or the omitted term.
func (c *composer) input(i int) term {
	if i >= len(c.in) || c.in[i].Missing() {
		return 0
	}
	return term(i + 1)
}

func (c *composer) fact(p term) graph.Fact {
	if p == 0 || c.err != nil {
		return graph.Fact{}
	}
	return c.values[p-1].Fact
}

func (c *composer) shape(p term) tensor.Shape { return c.fact(p).Shape }

func (c *composer) facts(list []term) []graph.Fact {
	facts := make([]graph.Fact, len(list))
	for i, p := range list {
		facts[i] = c.fact(p)
	}
	return facts
}

// fail makes the composition an error.
func (c *composer) fail(format string, args ...any) term {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
	return 0
}

// rank checks that a term has one of the ranks.
func (c *composer) rank(name string, p term, ranks ...int) bool {
	if c.err == nil && !slices.Contains(ranks, len(c.shape(p))) {
		c.fail("%s has shape %v, want %v dimensions", name, c.shape(p), ranks)
	}
	return c.err == nil
}

// constant returns a term that holds t.
func (c *composer) constant(t *tensor.Tensor) term {
	c.values = append(c.values, composedValue{Fact: graph.Fact{Type: t.Type, Const: t}})
	return term(len(c.values))
}

// scalar returns a constant of the type of p.
func (c *composer) scalar(p term, v float64) term {
	t := tensor.New(c.fact(p).DType)
	switch d := t.DType; d {
	case tensor.Float32:
		t.F32()[0] = float32(v)
	case tensor.Float64:
		tensor.View[float64](t)[0] = v
	case tensor.Float16, tensor.BFloat16:
		tensor.View[uint16](t)[0] = halfOf(d).store(float32(v))
	default:
		return c.fail("%w element type %v", ErrUnsupported, d)
	}
	return c.constant(t)
}

// apply returns the first output of op.
func (c *composer) apply(op graph.Op, in ...term) term { return c.applyAll(op, in...)[0] }

// maxTerms is the number of outputs that there are to see when something failed.
const maxTerms = 4

// applyAll returns all outputs of op.
func (c *composer) applyAll(op graph.Op, in ...term) []term {
	if c.err != nil {
		return make([]term, maxTerms)
	}
	out, err := op.Infer(c.facts(in))
	if err != nil {
		c.fail("%s: %w", op, err)
		return make([]term, maxTerms)
	}
	for _, f := range out {
		if _, err := tensor.CheckType(f.DType, f.Shape, graph.DefaultLimit); err != nil {
			c.fail("%s: %w", op, err)
			return make([]term, maxTerms)
		}
	}
	if _, moves := op.(copied); !moves && isList(out) && !slices.ContainsFunc(c.facts(in), func(f graph.Fact) bool { return f.Const == nil || !isList([]graph.Fact{f}) }) {
		ts, err := graph.Eval(op, c.facts(in), out)
		if err != nil {
			c.fail("%s: %w", op, err)
			return make([]term, maxTerms)
		}
		terms := make([]term, len(ts))
		for i, t := range ts {
			terms[i] = c.constant(t)
		}
		return terms
	}
	s := stage{op: op, in: in}
	for _, f := range out {
		c.values = append(c.values, composedValue{Fact: f})
		s.out = append(s.out, term(len(c.values)))
	}
	c.stages = append(c.stages, s)
	return s.out
}

// maxListed bounds the elements of integers that are computed while types are
// inferred, since types may depend on them.
const maxListed = 1 << 10

// isList reports whether all values are lists of a few integers.
func isList(facts []graph.Fact) bool {
	return !slices.ContainsFunc(facts, func(f graph.Fact) bool {
		return !slices.Contains(intTypes, f.DType) || f.Shape.Elems() > maxListed
	})
}

// op returns the first output of the ai.onnx operator of that name, as the
// newest opset defines it, with attributes as names and values in turn.
func (c *composer) op(name string, attrs []any, in ...term) term {
	return c.ops(name, attrs, in...)[0]
}

// ops is op for all outputs.
func (c *composer) ops(name string, attrs []any, in ...term) []term {
	if c.err != nil {
		return make([]term, maxTerms)
	}
	var list []graph.Attr
	for i := 0; i < len(attrs); i += 2 {
		v := attrs[i+1]
		if n, ok := v.(int); ok {
			v = int64(n)
		}
		list = append(list, graph.Attr{Name: attrs[i].(string), Value: v})
	}
	op, err := New("", name, MaxOpset, list)
	if err != nil {
		c.fail("%w", err)
		return make([]term, maxTerms)
	}
	return c.applyAll(op, in...)
}

// transpose returns p with its dimensions in another order.
func (c *composer) transpose(p term, perm ...int) term { return c.apply(transpose{perm: perm}, p) }

// reshape returns p with another shape of as many elements.
func (c *composer) reshape(p term, shape ...int) term { return c.apply(reshaped(shape), p) }

// reshaped gives its input a shape.
type reshaped tensor.Shape

func (r reshaped) String() string { return "Reshape" + tensor.Shape(r).String() }

func (r reshaped) Infer(in []graph.Fact) ([]graph.Fact, error) {
	t, err := tensor.CheckType(in[0].DType, tensor.Shape(r), graph.DefaultLimit)
	if err != nil {
		return nil, err
	}
	if t.Shape.Elems() != in[0].Shape.Elems() {
		return nil, fmt.Errorf("the input has shape %v, want as many elements as %v", in[0].Shape, t.Shape)
	}
	return []graph.Fact{{Type: t}}, nil
}

func (reshaped) Compile(in, out []graph.Fact) (graph.Kernel, error) { return view, nil }

// copied is y = x in memory of its own.
type copied struct{}

func (copied) String() string { return "copy" }

func (copied) Infer(in []graph.Fact) ([]graph.Fact, error) {
	return []graph.Fact{{Type: in[0].Type}}, nil
}

func (copied) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	n := out[0].Type.Bytes()
	count := chunks(n, moveTime)
	return graph.Kernel{Info: "copy", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(n, count, i, tensor.Align)
		copy(out[0].Raw[lo:hi], in[0].Raw[lo:hi])
		return nil
	}}}}, nil
}

// place is where a value of a composition lies in a run.
type place struct {
	tensor.Type
	kind  placeKind
	at    int            // which input or output, or the byte of Temp
	spare int            // of placeOut: the byte of Temp if the output is not wanted
	bytes int            // of placeTemp
	fixed *tensor.Tensor // of placeFixed
}

type placeKind uint8

const (
	placeNone placeKind = iota
	placeIn
	placeOut
	placeTemp
	placeFixed
)

func (o *composition) Compile(in, _ []graph.Fact) (graph.Kernel, error) {
	c, _, err := o.built(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	k := graph.Kernel{Info: "composed"}
	places := make([]place, len(c.values)+1)
	for i, v := range c.values {
		switch p := &places[i+1]; {
		case v.input > 0 && v.Const == nil:
			*p = place{Type: v.Type, kind: placeIn, at: v.input - 1}
		case v.Const != nil:
			*p = place{Type: v.Type, kind: placeFixed, fixed: v.Const}
		}
	}
	// A result that is an input, a constant, another result or only a view of
	// something is copied to its place.
	made := map[term]int{}
	for _, s := range c.stages {
		if _, isView := s.op.(reshaped); !isView {
			for _, p := range s.out {
				made[p] = -1
			}
		}
	}
	for i, p := range c.out {
		if p == 0 {
			continue
		}
		to := place{Type: c.fact(p).Type, kind: placeOut, at: i, spare: k.Temp}
		k.Temp += alignedBytes(to.Bytes())
		if at, ok := made[p]; ok && at < 0 {
			made[p], places[p] = i, to
			continue
		}
		c.out[i] = c.apply(copied{}, p)
		places = append(places, to)
	}
	run := &composedKernel{Kernel: &k}
	packs := make([]bool, len(in)) // whether all stages that read an input have packed it
	for i := range packs {
		packs[i] = in[i].Const != nil
	}
	for _, s := range c.stages {
		facts, outs := c.facts(s.in), c.facts(s.out)
		ready := true
		for i, p := range s.in {
			if places[p].kind == placeFixed {
				facts[i].Const = places[p].fixed
			}
			ready = ready && (p == 0 || facts[i].Const != nil)
		}
		if ready && places[s.out[0]].kind == placeNone {
			ts, err := graph.Eval(s.op, facts, outs)
			if err != nil {
				return k, fmt.Errorf("%s: %w", s.op, err)
			}
			for i, p := range s.out {
				places[p] = place{Type: ts[i].Type, kind: placeFixed, fixed: ts[i]}
			}
			continue
		}
		want, give := make([]graph.Layout, len(facts)), make([]graph.Layout, len(outs))
		if l, ok := s.op.(graph.Layouter); ok {
			want, give = l.Layouts(facts, outs)
		}
		ins, laid, moved := make([]place, len(facts)), make([]place, len(outs)), make([]bool, len(outs))
		for i, p := range s.in {
			if ins[i] = places[p]; want[i] != nil && facts[i].Const == nil {
				facts[i].Layout = want[i]
				ins[i] = run.converted(want[i].Pack(facts[i].Type), facts[i], places[p])
			}
		}
		for i := range outs {
			outs[i].Layout = give[i]
		}
		kernel, err := s.op.Compile(facts, outs)
		if err != nil {
			return k, fmt.Errorf("%s: %w", s.op, err)
		}
		if kernel.View {
			if places[s.out[0]].kind == placeNone {
				places[s.out[0]] = ins[0].as(outs[0].Type)
				continue
			}
			if kernel, err = (copied{}).Compile(facts[:1], outs[:1]); err != nil {
				return k, err
			}
		}
		for i, p := range s.in {
			if slices.Contains(kernel.Packed, i) {
				ins[i] = place{}
			} else if p > 0 && c.values[p-1].input > 0 {
				packs[c.values[p-1].input-1] = false
			}
		}
		for i, p := range s.out {
			if places[p].kind == placeNone {
				places[p] = run.temp(graph.Fact{Type: outs[i].Type})
			}
			laid[i] = places[p]
			if moved[i] = give[i] != nil && !give[i].Unpack(outs[i].Type).View; moved[i] {
				laid[i] = run.temp(outs[i])
			}
		}
		run.add(kernel, ins, laid)
		for i, p := range s.out {
			if moved[i] {
				run.add(give[i].Unpack(outs[i].Type), laid[i:i+1], []place{places[p]})
			}
		}
	}
	for i, packed := range packs {
		if packed {
			k.Packed = append(k.Packed, i)
		}
	}
	return run.finish(), nil
}

// as returns the place of the same bytes with another shape.
func (p place) as(t tensor.Type) place {
	p.Type = t
	if p.fixed != nil {
		p.fixed = &tensor.Tensor{Type: t, Raw: p.fixed.Raw}
	}
	return p
}

// composedKernel puts kernels behind each other.
type composedKernel struct {
	*graph.Kernel
	kernels   []graph.Kernel
	ins, outs [][]place
}

// temp makes room in Temp for a value.
func (k *composedKernel) temp(f graph.Fact) place {
	k.Temp += alignedBytes(f.Bytes())
	return place{Type: f.Type, kind: placeTemp, at: k.Temp - alignedBytes(f.Bytes()), bytes: f.Bytes()}
}

func (k *composedKernel) add(kernel graph.Kernel, ins, outs []place) {
	k.kernels, k.ins, k.outs = append(k.kernels, kernel), append(k.ins, ins), append(k.outs, outs)
}

// converted returns where a value lies in the layout of f, and adds what brings
// it there.
func (k *composedKernel) converted(c graph.Kernel, f graph.Fact, from place) place {
	if c.View {
		return from
	}
	to := k.temp(f)
	k.add(c, []place{from}, []place{to})
	return to
}

// finish returns the kernel of all.
func (k *composedKernel) finish() graph.Kernel {
	own := k.Temp // where kernels have memory of their own
	for i, kernel := range k.kernels {
		k.Temp, k.Scratch = max(k.Temp, own+kernel.Temp), max(k.Scratch, kernel.Scratch)
		k.Steps = append(k.Steps, composedSteps(kernel, k.ins[i], k.outs[i], own)...)
	}
	return *k.Kernel
}

// stageRun is what one call of a kernel works with.
type stageRun struct {
	exec    graph.Exec
	in, out []*tensor.Tensor
	made    []tensor.Tensor // what in and out point to
}

// composedSteps returns the steps of a kernel whose memory begins at own in Temp.
func composedSteps(k graph.Kernel, ins, outs []place, own int) []graph.Step {
	runs := sparesOf(func() *stageRun {
		return &stageRun{
			in: make([]*tensor.Tensor, len(ins)), out: make([]*tensor.Tensor, len(outs)), made: make([]tensor.Tensor, len(ins)+len(outs)),
		}
	})
	var steps []graph.Step
	for _, step := range k.Steps {
		steps = append(steps, graph.Step{N: step.N, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
			r := runs.get()
			defer runs.put(r)
			r.exec = graph.Exec{Scratch: x.Scratch, Temp: x.Temp[own:]}
			fillPlaces(r.in, r.made, ins, x, in, out)
			fillPlaces(r.out, r.made[len(ins):], outs, x, in, out)
			return step.Do(&r.exec, r.in, r.out, i)
		}})
	}
	return steps
}

// fillPlaces makes list the tensors of the places.
func fillPlaces(list []*tensor.Tensor, made []tensor.Tensor, places []place, x *graph.Exec, in, out []*tensor.Tensor) {
	for i := range places {
		p := &places[i]
		raw := []byte(nil)
		switch list[i] = nil; p.kind {
		case placeNone:
			continue
		case placeFixed:
			list[i] = p.fixed
			continue
		case placeIn:
			raw = in[p.at].Raw
		case placeOut:
			if p.at < len(out) && out[p.at] != nil {
				raw = out[p.at].Raw
			} else {
				raw = x.Temp[p.spare:][:p.Bytes()]
			}
		case placeTemp:
			raw = x.Temp[p.at:][:p.bytes]
		}
		made[i] = tensor.Tensor{Type: p.Type, Raw: raw}
		list[i] = &made[i]
	}
}
