package graph

import "fmt"

// Body is a graph among the attributes of a node, such as the branch of an If.
// Values of the graph around it that it reads, the captured ones, are inputs of
// the node behind the operator's own, those of one body after those of another in
// the order of the attributes' names; constants it shares. Nobody changes a Body once it is made.
type Body struct {
	// Graph has late inputs: first those that the operator gives, then the
	// captured values.
	Graph *Graph
	// Given is the number of inputs that the operator gives.
	Given int
}

// Caller is an Op whose kernel has a Call: it runs bodies, or the types of its
// results are known only when it has run. It is never computed ahead of a run, and
// compiled without types of the outputs if Infer says that they are late.
type Caller interface {
	Op
	Bodies() []*Body
}

// Captured is the number of values that the body reads from the graph around it.
func (b *Body) Captured() int { return len(b.Graph.Inputs) - b.Given }

// BodyWork bounds the operations and bytes that With computes ahead of a run; see
// FoldWork.
const BodyWork = 1 << 24

// With builds g anew for inputs of which more is known: in has a fact for each of
// g.Inputs. Inputs that have become constants are no inputs of the new graph, and
// nodes whose inputs are all constants are gone. Operators and specs are shared.
func (g *Graph) With(in []Fact) (*Graph, error) {
	if len(in) != len(g.Inputs) {
		return nil, fmt.Errorf("graph %q: got %d inputs, want %d", g.Name, len(in), len(g.Inputs))
	}
	c := &Graph{Name: g.Name, Limit: g.Limit, Forget: g.Forget, folded: FoldWork - BodyWork}
	values := map[*Value]*Value{nil: nil}
	for i, v := range g.Inputs {
		w := &Value{Name: v.Name, Fact: in[i]}
		values[v] = w
		if w.Const == nil {
			c.Inputs = append(c.Inputs, w)
		}
	}
	get := func(v *Value) *Value {
		if w, ok := values[v]; ok {
			return w
		}
		return v // a constant
	}
	for _, n := range g.Nodes {
		ins, names := make([]*Value, len(n.In)), make([]string, len(n.Out))
		for i, v := range n.In {
			ins[i] = get(v)
		}
		for i, v := range n.Out {
			if v != nil {
				names[i] = v.Name
			}
		}
		outs, err := c.Add(n.Name, n.Op, n.Spec, ins, names...)
		if err != nil {
			return nil, err
		}
		for i, v := range n.Out {
			if v != nil {
				values[v] = outs[i]
			}
		}
	}
	for _, v := range g.Outputs {
		c.Outputs = append(c.Outputs, get(v))
	}
	return c, nil
}
