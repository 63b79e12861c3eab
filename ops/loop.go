package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Loop", 1, func(a *Attrs) graph.Op { return loop{a.Body("body")} })
}

// loop runs a graph again and again, at most a given number of times and as long
// as a condition holds.
//
//	most: one i64, optional, no bound; condition: one bool, optional, true
//	start: any number of values of any type
//	body: (number of the run, condition, variables...) gives (condition,
//	      variables..., slices...); the variables are start at first
//	results: the last variables, then for each slice all of them with the
//	         number of the run as dimension 0; late unless the types stay the
//	         same and the number of slices is known
//
// The slices are tensors of numbers; the variables are of any kind.
//
// Source: ONNX Loop-1, -11, -13, -16, -19, -21, -23, -24, -25.
type loop struct{ body *graph.Body }

func (loop) String() string { return "Loop" }

func (l loop) Bodies() []*graph.Body { return []*graph.Body{l.body} }

// loopGiven is the number of inputs of the body before the variables, and of the
// node's before the start values.
const loopGiven = 2

// loopPlan is what is known of a loop before it runs.
type loopPlan struct {
	vars   int // number of variables
	slices int
	part   part
	fixed  bool         // the types stay the same
	types  []graph.Fact // of the body's results, if fixed
	runs   int64        // -1 if it is not known
}

func (l loop) plan(in []graph.Fact) (loopPlan, error) {
	none := func(err error) (loopPlan, error) { return loopPlan{}, err }
	own, captured, err := checkBodyInputs(in, l.body)
	if err != nil {
		return none(err)
	}
	if len(own) < loopGiven {
		own = append(slices.Clone(own), make([]graph.Fact, loopGiven-len(own))...)
	}
	most, condition, start := own[0], own[1], own[loopGiven:]
	p := loopPlan{vars: len(start), slices: len(l.body.Graph.Outputs) - 1 - len(start), runs: -1}
	switch {
	case slices.ContainsFunc(start, graph.Fact.Missing):
		return none(fmt.Errorf("a start value is missing"))
	case l.body.Given != loopGiven+p.vars || p.slices < 0:
		return none(fmt.Errorf("graph %q has %d inputs and %d outputs, want %d and at least %d for %d variables",
			l.body.Graph.Name, l.body.Given, len(l.body.Graph.Outputs), loopGiven+p.vars, 1+p.vars, p.vars))
	case !most.Missing() && (most.DType != tensor.Int64 || most.Shape.Elems() != 1):
		return none(fmt.Errorf("the number of runs is %v, want one int64", most.Type))
	}
	if !condition.Missing() {
		if err := isTruth(condition); err != nil {
			return none(err)
		}
	}
	// The body runs only where the condition holds.
	facts := []graph.Fact{{Type: tensor.Type{DType: tensor.Int64}}, graph.Constant("", tensor.Scalar(true)).Fact}
	facts = append(append(facts, anything(start)...), captured...)
	if p.part, err = buildBody(l.body, facts); err != nil {
		return none(err)
	}
	results, err := p.part.results()
	if err == nil {
		p.fixed = true
		for i, f := range start {
			p.fixed = p.fixed && results[1+i].Type.Equal(f.Type)
		}
	}
	if !p.fixed {
		p.part = openBody(l.body)
		return p, nil
	}
	p.types = results
	if err := isTruth(results[0]); err != nil {
		return none(err)
	}
	goesOn := results[0].Const != nil && results[0].Const.Raw[0] != 0
	switch {
	case condition.Const != nil && condition.Const.Raw[0] == 0:
		p.runs = 0
	case (condition.Missing() || condition.Const != nil) && !most.Missing() && most.Const != nil && goesOn:
		p.runs = max(0, most.Const.I64()[0])
	}
	return p, nil
}

func (l loop) Infer(in []graph.Fact) ([]graph.Fact, error) {
	p, err := l.plan(in)
	if err != nil {
		return nil, err
	}
	if !p.fixed || p.slices > 0 && p.runs < 0 {
		return nil, late("the loop")
	}
	out := anything(p.types[1:])
	for i := p.vars; i < len(out); i++ {
		if int64(int(p.runs)) != p.runs {
			return nil, fmt.Errorf("%d runs are too many", p.runs)
		}
		out[i].Shape = append(tensor.Shape{int(p.runs)}, out[i].Shape...)
	}
	return out, nil
}

func (l loop) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	p, err := l.plan(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	limit := l.body.Graph.Limit
	if limit == 0 {
		limit = graph.DefaultLimit
	}
	captured := l.body.Captured()
	call := func(run graph.Runner, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		own := in[:len(in)-captured]
		at, going := tensor.New(tensor.Int64), tensor.Scalar(true)
		if t := operand(own, 1); t != nil {
			going.Raw[0] = t.Raw[0]
		}
		all := append([]*tensor.Tensor{at, going}, make([]*tensor.Tensor, p.vars)...)
		all = append(all, in[len(own):]...)
		vars := all[loopGiven : loopGiven+p.vars]
		if p.vars > 0 {
			copy(vars, own[loopGiven:])
		}
		stacks := make([]stack, p.slices)
		var spare [2][]*tensor.Tensor // the variables of this run and of the one before
		for i := range spare {
			spare[i] = make([]*tensor.Tensor, p.vars)
		}
		for n := int64(0); going.Raw[0] != 0; n++ {
			if t := operand(own, 0); t != nil && n >= t.I64()[0] {
				break
			}
			at.I64()[0] = n
			outs, err := run(0, p.part.inputs(all))
			if err != nil {
				return nil, err
			}
			if err := isTruth(graph.Fact{Type: outs[0].Type}); err != nil {
				return nil, err
			}
			next := spare[n%2]
			for i := range next {
				next[i] = copyInto(next[i], outs[1+i])
			}
			for i := range stacks {
				if err := stacks[i].push(outs[1+p.vars+i], limit); err != nil {
					return nil, err
				}
			}
			going.Raw[0] = outs[0].Raw[0]
			copy(vars, next)
		}
		results := slices.Clone(vars)
		for i := range stacks {
			t, err := stacks[i].tensor(p.types, 1+p.vars+i)
			if err != nil {
				return nil, err
			}
			results = append(results, t)
		}
		return results, nil
	}
	return graph.Kernel{Info: "loop", Bodies: []*graph.Graph{p.part.graph}, Call: call}, nil
}

// copyInto returns a copy of t, in old if that has room.
func copyInto(old, t *tensor.Tensor) *tensor.Tensor {
	if old == nil || cap(old.Raw) < len(t.Raw) {
		return t.Clone()
	}
	old.Type = tensor.Type{DType: t.DType, Shape: append(old.Shape[:0], t.Shape...)}
	old.Raw = old.Raw[:len(t.Raw)]
	copy(old.Raw, t.Raw)
	return old
}

// stack collects tensors of one type.
type stack struct {
	typ tensor.Type // of each
	n   int
	raw []byte
}

func (s *stack) push(t *tensor.Tensor, limit int) error {
	if t.DType == tensor.Packed {
		return fmt.Errorf("%w: a slice is no tensor of numbers", ErrUnsupported)
	}
	if s.n == 0 {
		s.typ = tensor.Type{DType: t.DType, Shape: t.Shape.Clone()}
	}
	if !t.Type.Equal(s.typ) {
		return fmt.Errorf("slice %d is %v, want %v as those before", s.n, t.Type, s.typ)
	}
	if len(t.Raw) > limit-len(s.raw) {
		return fmt.Errorf("%d slices of %v take more than %d bytes", s.n+1, s.typ, limit)
	}
	s.n++
	s.raw = append(s.raw, t.Raw...)
	return nil
}

// tensor returns all that was pushed; if that is nothing, the type of each is
// types[i], if known.
func (s *stack) tensor(types []graph.Fact, i int) (*tensor.Tensor, error) {
	if s.n == 0 {
		if types == nil {
			return nil, fmt.Errorf("%w: no run of the loop gave a slice, whose type only a run knows", ErrUnsupported)
		}
		s.typ = types[i].Type
	}
	t := tensor.New(s.typ.DType, append(tensor.Shape{s.n}, s.typ.Shape...)...)
	copy(t.Raw, s.raw)
	return t, nil
}
