package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("If", 1, func(a *Attrs) graph.Op {
		return choice{[2]*graph.Body{a.Body("else_branch"), a.Body("then_branch")}}
	})
}

// choice is the results of one of two graphs, the second one where a condition is
// true. A branch that does not fit the types of what it captures is an error only
// when it is taken.
//
//	condition: one bool
//	results: any types; late if those of the branches differ
//
// Source: ONNX If-1, -11, -13, -16, -19, -21, -23, -24, -25.
type choice struct{ branches [2]*graph.Body }

func (choice) String() string { return "If" }

func (c choice) Bodies() []*graph.Body { return c.branches[:] }

// parts builds both branches; errs says where that fails.
func (c choice) parts(in []graph.Fact) (parts [2]part, errs [2]error) {
	captured := in[1:]
	for i, b := range c.branches {
		if parts[i], errs[i] = buildBody(b, captured[:b.Captured()]); errs[i] != nil {
			parts[i] = openBody(b)
		}
		captured = captured[b.Captured():]
	}
	return parts, errs
}

// taken is which branch a condition takes.
func taken(condition *tensor.Tensor) int { return int(condition.Raw[0]) }

func (c choice) Infer(in []graph.Fact) ([]graph.Fact, error) {
	own, captured, err := checkBodyInputs(in, c.branches[:]...)
	if err != nil {
		return nil, err
	}
	if err := checkInputs(own, 1, 1); err != nil {
		return nil, err
	}
	if err := isTruth(own[0]); err != nil {
		return nil, err
	}
	for i, b := range c.branches {
		if b.Given != 0 {
			return nil, fmt.Errorf("graph %q has %d inputs, want none", b.Graph.Name, b.Given)
		}
		if own[0].Const != nil && taken(own[0].Const) == i {
			p, err := buildBody(b, captured[:b.Captured()])
			if err != nil {
				return nil, err
			}
			return p.results()
		}
		captured = captured[b.Captured():]
	}
	if a, b := c.branches[0].Graph, c.branches[1].Graph; len(a.Outputs) != len(b.Outputs) {
		return nil, fmt.Errorf("the branches have %d and %d outputs, want as many", len(a.Outputs), len(b.Outputs))
	}
	parts, errs := c.parts(in)
	if errs[0] != nil && errs[1] != nil {
		return nil, errs[0]
	}
	var out [2][]graph.Fact
	for i := range parts {
		if out[i], err = parts[i].results(); err != nil {
			return nil, err
		}
	}
	for i := range out[0] {
		if !out[0][i].Type.Equal(out[1][i].Type) {
			return nil, fmt.Errorf("%w: result %d is %v or %v", graph.ErrLate, i, out[0][i].Type, out[1][i].Type)
		}
	}
	return anything(out[0]), nil
}

func (c choice) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	parts, errs := c.parts(in)
	counts := [2]int{c.branches[0].Captured(), c.branches[1].Captured()}
	k := graph.Kernel{Info: "branch"}
	bodies := [2]int{0, 1} // of each branch
	if in[0].Const == nil {
		k.Bodies = []*graph.Graph{parts[0].graph, parts[1].graph}
	} else {
		branch := taken(in[0].Const)
		if errs[branch] != nil {
			return k, errs[branch]
		}
		k.Bodies = []*graph.Graph{parts[branch].graph}
		bodies = [2]int{}
	}
	k.Call = func(run graph.Runner, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		branch, captured := taken(in[0]), in[1:1+counts[0]]
		if branch == 1 {
			captured = in[1+counts[0]:]
		}
		return run(bodies[branch], parts[branch].inputs(captured))
	}
	return k, nil
}
