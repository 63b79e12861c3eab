package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// tail is the part of a graph whose types only a run knows: the nodes that are
// late or read what is. The plan ends before it. Each run then computes the
// openers, those nodes that read nothing late, one by one, compiled with the
// values that are there; with their results the types of the others are known as
// far as the next opener, and they are compiled as a graph of its own. Its plan,
// which may again have a tail, is kept for the types that it is for.
//
// What the tail reads lies in one list: the inputs of the graph, the results of
// the plan, then those of each opener.
type tail struct {
	options Options
	known   []int // which inputs are those of the plan
	openers []opener
	rest    *graph.Graph // what the openers leave; nil if that is nothing
	in      []int        // where in the list the inputs of rest are
	out     []source     // of each output of the graph
	info    NodeInfo
	limit   int      // of one value
	plans   *Dynamic // of rest
}

// source is a constant, or a place in the list; places behind the openers'
// results are results of rest.
type source struct {
	constant *tensor.Tensor
	at       int
}

type opener struct {
	node *graph.Node
	in   []source // at is -1 where an input is omitted
}

// divide splits off the tail of g, which nobody else uses, or returns a nil tail
// if it has none. The rest of g has as results what the tail reads.
func divide(g *graph.Graph) *tail {
	late := func(v *graph.Value) bool { return v != nil && v.Late }
	if !slices.ContainsFunc(g.Inputs, late) && !slices.ContainsFunc(g.Nodes, func(n *graph.Node) bool { return slices.ContainsFunc(n.Out, late) }) {
		return nil
	}
	graph.Edit(g).Done() // drops what nobody reads
	t := &tail{limit: g.Limit, info: NodeInfo{Op: "late", Kernel: "compiled in the run"}}
	outputs := g.Outputs
	at := map[*graph.Value]int{} // places in the list
	var inputs []*graph.Value
	for i, v := range g.Inputs {
		at[v] = i
		if !v.Late {
			t.known = append(t.known, i)
			inputs = append(inputs, v)
		}
	}
	size := len(g.Inputs)
	var nodes, behind []*graph.Node
	for _, n := range g.Nodes {
		if slices.ContainsFunc(n.In, late) || slices.ContainsFunc(n.Out, late) {
			behind = append(behind, n)
		} else {
			nodes = append(nodes, n)
		}
	}
	var results []*graph.Value // of the plan
	need := func(v *graph.Value) {
		if _, ok := at[v]; v != nil && v.Const == nil && !v.Late && !ok {
			at[v] = size
			size++
			results = append(results, v)
		}
	}
	for _, n := range behind {
		for _, v := range n.In {
			need(v)
		}
		t.info.Layers = append(t.info.Layers, n.Layers...)
	}
	for _, v := range outputs {
		need(v)
	}
	find := func(v *graph.Value) source {
		if v == nil {
			return source{at: -1}
		}
		return source{v.Const, at[v]}
	}
	rest := &graph.Graph{Name: g.Name, Limit: g.Limit, Forget: g.Forget}
	for _, n := range behind {
		if slices.ContainsFunc(n.In, late) {
			rest.Nodes = append(rest.Nodes, n)
			continue
		}
		o := opener{node: n}
		for _, v := range n.In {
			o.in = append(o.in, find(v))
		}
		t.openers = append(t.openers, o)
		for _, v := range n.Out {
			at[v] = size
			size++
		}
	}
	if len(rest.Nodes) > 0 {
		t.rest = rest
		t.info.Name = rest.Nodes[0].Name
		made := map[*graph.Value]bool{}
		for _, n := range rest.Nodes {
			for _, v := range n.In {
				if _, ok := at[v]; ok && v.Const == nil && !made[v] && !slices.Contains(rest.Inputs, v) {
					rest.Inputs = append(rest.Inputs, v)
					t.in = append(t.in, at[v])
				}
			}
			for _, v := range n.Out {
				made[v] = true
			}
		}
		for _, v := range outputs {
			if made[v] && at[v] == 0 {
				at[v] = size
				size++
				rest.Outputs = append(rest.Outputs, v)
			}
		}
	}
	for _, v := range outputs {
		t.out = append(t.out, find(v))
	}
	if len(t.openers) > 0 {
		t.info.Name = t.openers[0].node.Name
	}
	g.Inputs, g.Nodes, g.Outputs = inputs, nodes, results
	return t
}

// build returns the graph of the rest for inputs of these types.
func (t *tail) build(in []tensor.Type) (*graph.Graph, error) {
	facts := make([]graph.Fact, len(in))
	for i, x := range in {
		facts[i] = graph.Fact{Type: x}
	}
	return t.rest.With(facts)
}

// lateRun is the memory of a run of a tail.
type lateRun struct {
	list    []*tensor.Tensor
	in      []*tensor.Tensor // of the rest
	out     []*tensor.Tensor
	session *DynamicSession // of the rest
	callers []caller        // of each opener
}

// caller runs the bodies of a kernel that has a Call.
type caller struct {
	types    []tensor.Type // of the operands, if it is an opener's
	kernel   graph.Kernel
	plans    []*Plan
	sessions []*Session
}

// call runs the kernel's Call.
func (c *caller) call(ctx context.Context, team *pool, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if c.sessions == nil {
		c.sessions = make([]*Session, len(c.plans))
	}
	return c.kernel.Call(func(body int, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if c.sessions[body] == nil {
			c.sessions[body] = c.plans[body].NewSession()
		}
		return c.sessions[body].run(ctx, in, team)
	}, in)
}

// call runs node i, whose kernel has a Call, and puts the results in their places.
func (s *Session) call(ctx context.Context, i int, c *caller, team *pool) error {
	results, err := c.call(ctx, team, s.in[i])
	if err != nil {
		return err
	}
	for j, y := range s.out[i] {
		if y == nil {
			continue
		}
		if !results[j].Type.Equal(y.Type) {
			return fmt.Errorf("output %d is %v, want %v", j, results[j].Type, y.Type)
		}
		copy(y.Raw, results[j].Raw)
	}
	return nil
}

// compileBodies compiles the graphs that a kernel runs, for o.Memory bytes in all.
func compileBodies(k graph.Kernel, o Options) (plans []*Plan, memory int, err error) {
	for _, g := range k.Bodies {
		if o.Memory < 1 {
			return nil, 0, fmt.Errorf("engine: graph %q: %w", g.Name, ErrMemory)
		}
		p, err := Compile(g, o)
		if err != nil {
			return nil, 0, err
		}
		plans = append(plans, p)
		memory += p.Memory()
		o.Memory -= p.Memory()
	}
	return plans, memory, nil
}

// compileBodies compiles the graphs that the plan's kernels run.
func (p *Plan) compileBodies(o Options) error {
	for i := range p.nodes {
		n := &p.nodes[i]
		plans, memory, err := compileBodies(n.kernel, o)
		if err != nil {
			return fmt.Errorf("node %q (%s): %w", n.info.Name, n.info.Op, err)
		}
		n.bodies = plans
		p.called += memory
		o.Memory -= memory
	}
	return nil
}

// runLate runs a plan that has a tail.
func (s *Session) runLate(ctx context.Context, in []*tensor.Tensor, team *pool) ([]*tensor.Tensor, error) {
	t, r := s.plan.tail, &s.late
	if len(in) != len(s.plan.ins) {
		return nil, fmt.Errorf("engine: run %q: got %d inputs, want %d", s.plan.name, len(in), len(s.plan.ins))
	}
	r.list = append(r.list[:0], in...)
	defer func() { clear(r.list) }()
	r.in = r.in[:0]
	for _, i := range t.known {
		r.in = append(r.in, in[i])
	}
	for i, x := range in {
		if x == nil || len(x.Raw) != x.Bytes() || !tensor.Aligned(x.Raw, x.DType.Size()) {
			return nil, fmt.Errorf("engine: run %q: input %q is %v, want an aligned tensor", s.plan.name, s.plan.ins[i].Name, describe(x))
		}
	}
	results, err := s.runKnown(ctx, r.in, team)
	if err != nil {
		return nil, err
	}
	if s.observe != nil {
		start := time.Now()
		defer func() { s.observe(len(s.plan.nodes), time.Since(start)) }()
	}
	r.list = append(r.list, results...)
	if r.callers == nil {
		r.callers = make([]caller, len(t.openers))
	}
	for i, o := range t.openers {
		outs, err := s.open(ctx, o, &r.callers[i], team)
		if err != nil {
			return nil, fmt.Errorf("engine: run %q: node %q (%s): %w", s.plan.name, o.node.Name, o.node.Op, err)
		}
		r.list = append(r.list, outs[:len(o.node.Out)]...)
	}
	if t.rest != nil {
		r.in = r.in[:0]
		for _, at := range t.in {
			r.in = append(r.in, r.list[at])
		}
		if r.session == nil {
			r.session = t.plans.NewSession()
		}
		if results, err = r.session.run(ctx, r.in, team); err != nil {
			return nil, err
		}
		r.list = append(r.list, results...)
	}
	r.out = r.out[:0]
	for _, o := range t.out {
		if o.constant != nil {
			r.out = append(r.out, o.constant)
		} else {
			r.out = append(r.out, r.list[o.at])
		}
	}
	clear(r.in)
	return r.out, nil
}

// open computes an opener with the values that are there.
func (s *Session) open(ctx context.Context, o opener, c *caller, team *pool) ([]*tensor.Tensor, error) {
	t := s.plan.tail
	in, facts, names := make([]*graph.Value, len(o.in)), make([]graph.Fact, len(o.in)), make([]string, len(o.node.Out))
	ins := make([]*tensor.Tensor, len(o.in))
	for i, src := range o.in {
		x := src.constant
		if x == nil && src.at < 0 {
			continue
		}
		if x == nil {
			x = s.late.list[src.at]
		}
		ins[i], in[i], facts[i] = x, graph.Constant("", x), graph.Fact{Type: x.Type, Const: src.constant}
	}
	if _, ok := o.node.Op.(graph.Caller); ok {
		if c.kernel.Call == nil || !slices.EqualFunc(c.types, facts, func(t tensor.Type, f graph.Fact) bool { return t.Equal(f.Type) }) {
			k, err := compileOp(o.node.Op, facts, nil)
			if err != nil {
				return nil, err
			}
			plans, _, err := compileBodies(k, t.options)
			if err != nil {
				return nil, err
			}
			*c = caller{kernel: k, plans: plans}
			for _, f := range facts {
				c.types = append(c.types, tensor.Type{DType: f.DType, Shape: f.Shape.Clone()})
			}
		}
		return c.call(ctx, team, ins)
	}
	for i, v := range o.node.Out {
		if v != nil {
			names[i] = v.Name
		}
	}
	g := &graph.Graph{Name: s.plan.name, Limit: min(cmp.Or(t.limit, graph.DefaultLimit), t.options.Memory)}
	outs, err := g.Add(o.node.Name, o.node.Op, nil, in, names...)
	if err != nil {
		return nil, err
	}
	results := make([]*tensor.Tensor, len(outs))
	var rest []int // what is too large for Add to compute
	for i, v := range outs {
		switch {
		case v == nil:
		case v.Late:
			return nil, fmt.Errorf("the type of output %d is not known even with all inputs", i)
		case v.Const != nil:
			results[i] = v.Const
		default:
			rest = append(rest, i)
			g.Outputs = append(g.Outputs, v)
		}
	}
	if len(rest) == 0 {
		return results, nil
	}
	p, err := Compile(g, t.options)
	if err != nil {
		return nil, err
	}
	more, err := p.NewSession().run(ctx, nil, team)
	if err != nil {
		return nil, err
	}
	for j, i := range rest {
		results[i] = more[j]
	}
	return results, nil
}
