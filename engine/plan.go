package engine

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Options says how a graph is compiled.
type Options struct {
	// Threads is how many threads a run uses, the caller's included; 0 means
	// GOMAXPROCS. More threads than GOMAXPROCS are not used.
	Threads int
	// Memory bounds the bytes of a session's activations; 0 means DefaultMemory.
	Memory int
	// Exact forgoes ways of computing that are faster but round more than the
	// plain ones, see graph.Exacter: Winograd convolution, whose results are
	// within 1e-5 of the largest result of the layer, instead of 3e-6.
	Exact bool
}

// DefaultMemory bounds the activations of a session unless Options say otherwise.
const DefaultMemory = min(16<<30, math.MaxInt)

// ErrMemory is in the error of Compile when a graph needs more than Options.Memory.
var ErrMemory = errors.New("needs too much memory")

// Plan is a graph compiled for this machine. It is immutable and may be used
// by any number of sessions at once.
type Plan struct {
	name    string
	nodes   []planNode
	values  []tensor.Type // of each slot
	places  []place       // of each slot
	sizes   []int         // bytes of each slot in its layout
	consts  map[int]*tensor.Tensor
	inputs  []int // slots
	outputs []outputSlot
	ins     []graph.Value
	outs    []graph.Value
	arena   int // bytes
	scratch int // bytes a worker
	called  int // bytes of the sessions of bodies
	threads int
	tail    *tail // what cannot be compiled before a run; nil if that is nothing
}

// planNode is a kernel with the slots of its operands; -1 is an omitted one.
type planNode struct {
	info   NodeInfo
	kernel graph.Kernel
	in     []int
	out    []int
	temp   int     // offset in the arena
	bodies []*Plan // of the kernel's Bodies
}

// outputSlot is an output of the graph: slot from holds it after the last
// node; if copied, slot to is where it is kept for the caller.
type outputSlot struct {
	from, to int
	copied   bool
}

// NodeInfo describes a node of a plan.
type NodeInfo struct {
	Name   string        // of the first node it stands for
	Op     string        // operator with what it has absorbed
	Kernel string        // implementation
	Layout string        // of operands > results that are not constants, "-" being row-major; empty if all are
	Layers []int         // places in the graph before optimisation; nil for a change of layout
	Out    []tensor.Type // types of the results
	FLOPs  int64         // 0 where the operator does not say
	Bytes  int           // of operands and results that are not constants
}

// Compile optimises g and compiles it for this machine. g itself is not
// changed. The plan keeps those of its constants that its kernels did not pack.
func Compile(g *graph.Graph, o Options) (*Plan, error) {
	if o.Threads < 0 {
		return nil, fmt.Errorf("engine: %d threads, want at least 0", o.Threads)
	}
	limit := o.Memory
	if limit == 0 {
		limit = DefaultMemory
	}
	optimised, err := prepare(g)
	if err != nil {
		return nil, err
	}
	tail := divide(optimised)
	if err := rewrite(optimised); err != nil {
		return nil, err
	}
	if o.Exact {
		for _, n := range optimised.Nodes {
			if op, ok := n.Op.(graph.Exacter); ok {
				n.Op = op.Exact()
			}
		}
	}
	c := compiler{
		graph: optimised,
		slots: map[located]int{},
		at:    map[*graph.Value]graph.Layout{},
		plan: &Plan{
			name:    g.Name,
			ins:     named(g.Inputs),
			outs:    named(g.Outputs),
			consts:  map[int]*tensor.Tensor{},
			threads: min(runtime.GOMAXPROCS(0), maxTeam),
			tail:    tail,
		},
	}
	if o.Threads > 0 {
		c.plan.threads = min(c.plan.threads, o.Threads)
	}
	if err := c.lay(); err != nil {
		return nil, err
	}
	if err := c.kernels(); err != nil {
		return nil, err
	}
	if err := c.plan.place(limit); err != nil {
		return nil, err
	}
	o.Memory = limit - c.plan.Memory()
	if err := c.plan.compileBodies(o); err != nil {
		return nil, err
	}
	if tail != nil {
		tail.options = o
		tail.options.Memory = max(1, o.Memory-c.plan.called)
		tail.plans = NewDynamic(tail.build, tail.options, 0)
	}
	return c.plan, nil
}

// Nodes describes the nodes of the plan in the order in which they run.
func (p *Plan) Nodes() []NodeInfo {
	infos := make([]NodeInfo, len(p.nodes))
	for i, n := range p.nodes {
		infos[i] = n.info
		infos[i].Layers = slices.Clone(n.info.Layers)
	}
	if p.tail != nil {
		infos = append(infos, p.tail.info)
		infos[len(p.nodes)].Layers = slices.Clone(p.tail.info.Layers)
	}
	return infos
}

// Inputs returns names and types of the inputs, in the order of Session.Run.
func (p *Plan) Inputs() []graph.Value { return p.ins }

// Outputs returns names and types of the outputs, in the order of Session.Run.
func (p *Plan) Outputs() []graph.Value { return p.outs }

func named(vs []*graph.Value) []graph.Value {
	out := make([]graph.Value, len(vs))
	for i, v := range vs {
		out[i] = graph.Value{Name: v.Name, Fact: graph.Fact{Type: v.Type, Late: v.Late}}
	}
	return out
}

// Memory is the number of bytes of activations and scratch that each session
// takes; packed weights and what is compiled only in a run are not counted.
func (p *Plan) Memory() int { return p.arena + p.scratch*p.threads + p.called }

// located is a value in one of the layouts in which a plan keeps it.
type located struct {
	value  *graph.Value
	layout graph.Layout
}

type compiler struct {
	graph *graph.Graph // optimised
	plan  *Plan
	slots map[located]int
	at    map[*graph.Value]graph.Layout // layout in which each value is made
	ops   []graph.Op                    // of each node; nil for a change of layout
	facts [][2][]graph.Fact             // operands and results of each node, with layouts
}

func (c *compiler) slot(v *graph.Value, l graph.Layout) int {
	p := c.plan
	k := located{v, l}
	s, ok := c.slots[k]
	if !ok {
		s = len(p.values)
		c.slots[k] = s
		p.values = append(p.values, v.Type)
		p.sizes = append(p.sizes, graph.Fact{Type: v.Type, Layout: l}.Bytes())
	}
	return s
}

// lay decides the layout of every value and adds the nodes of the plan, with
// those that change layouts between them.
func (c *compiler) lay() error {
	p := c.plan
	for _, v := range c.graph.Inputs {
		p.inputs = append(p.inputs, c.slot(v, nil))
	}
	for _, n := range c.graph.Nodes {
		in, out := graph.Facts(n.In), make([]graph.Fact, len(n.Out))
		full, err := n.Op.Infer(in)
		if err != nil {
			return fmt.Errorf("engine: compile %q (%s): %w", n.Name, n.Op, err)
		}
		for i := range out {
			out[i] = graph.Fact{Type: full[i].Type}
		}
		var want, give []graph.Layout
		if op, ok := n.Op.(graph.Layouter); ok {
			for i, v := range n.In {
				if v != nil {
					in[i].Layout = c.at[v]
				}
			}
			want, give = op.Layouts(in, out)
		}
		pn := planNode{info: NodeInfo{Name: n.Name, Op: n.Op.String(), Layers: n.Layers}}
		for i, v := range n.In {
			if v == nil {
				pn.in = append(pn.in, -1)
				continue
			}
			in[i].Layout = nil
			if want != nil && v.Const == nil {
				in[i].Layout = want[i]
			}
			pn.in = append(pn.in, c.convert(v, in[i].Layout, n.Layers))
		}
		for i, v := range n.Out {
			if give != nil {
				out[i].Layout = give[i]
			}
			if v == nil {
				pn.out = append(pn.out, -1)
				continue
			}
			c.at[v] = out[i].Layout
			pn.out = append(pn.out, c.slot(v, out[i].Layout))
		}
		if op, ok := n.Op.(graph.Coster); ok {
			pn.info.FLOPs = op.FLOPs(in, out)
		}
		c.add(pn, n.Op, in, out)
	}
	for _, v := range c.graph.Outputs {
		s := c.convert(v, nil, nil)
		p.outputs = append(p.outputs, outputSlot{from: s, to: s})
	}
	return nil
}

func (c *compiler) add(n planNode, op graph.Op, in, out []graph.Fact) {
	for i, f := range in {
		if n.in[i] >= 0 && f.Const == nil {
			n.info.Bytes += f.Bytes()
		}
	}
	for i, f := range out {
		n.info.Out = append(n.info.Out, f.Type)
		if n.out[i] >= 0 {
			n.info.Bytes += f.Bytes()
		}
	}
	n.info.Layout = layouts(in, out)
	c.plan.nodes = append(c.plan.nodes, n)
	c.ops = append(c.ops, op)
	c.facts = append(c.facts, [2][]graph.Fact{in, out})
}

// layouts is NodeInfo.Layout.
func layouts(in, out []graph.Fact) string {
	var b strings.Builder
	plain := true
	for i, facts := range [][]graph.Fact{in, out} {
		if i > 0 {
			b.WriteString(" >")
		}
		for _, f := range facts {
			switch {
			case f.Missing() || f.Const != nil:
			case f.Layout == nil:
				b.WriteString(" -")
			default:
				plain = false
				b.WriteString(" " + f.Layout.String())
			}
		}
	}
	if plain {
		return ""
	}
	return strings.TrimSpace(b.String())
}

// convert returns the slot of v in layout want, adding the node that makes it
// if it is not there yet. The time of that node counts for the first of layers.
func (c *compiler) convert(v *graph.Value, want graph.Layout, layers []int) int {
	have := c.at[v]
	if _, ok := c.slots[located{v, want}]; ok || have == want {
		return c.slot(v, want)
	}
	if have != nil && want != nil {
		c.convert(v, nil, layers)
		have = nil
	}
	n := planNode{in: []int{c.slot(v, have)}}
	in, out := []graph.Fact{v.Fact}, []graph.Fact{v.Fact}
	in[0].Layout, out[0].Layout = have, want
	if want != nil {
		n.kernel = want.Pack(v.Type)
		n.info = NodeInfo{Name: v.Name, Op: "to " + want.String(), Layers: layers}
	} else {
		n.kernel = have.Unpack(v.Type)
		n.info = NodeInfo{Name: v.Name, Op: "from " + have.String(), Layers: layers}
	}
	n.info.Kernel = n.kernel.Info
	s := c.slot(v, want)
	n.out = []int{s}
	c.add(n, nil, in, out)
	return s
}

// kernels compiles the operators, which packs the weights, on all cores. Those
// with the most constants come first: while they are packed these lie in memory
// twice, which then adds the least to what has been packed.
func (c *compiler) kernels() error {
	p := c.plan
	constants := make([]int, len(p.nodes)) // bytes
	order := make([]int, len(p.nodes))
	for i := range order {
		order[i] = i
		for _, f := range c.facts[i][0] {
			if f.Const != nil {
				constants[i] += f.Bytes()
			}
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(constants[b], constants[a]) })
	var next atomic.Int64
	errs := make([]error, len(p.nodes))
	work := func() {
		for {
			at := int(next.Add(1)) - 1
			if at >= len(order) {
				return
			}
			i := order[at]
			if c.ops[i] == nil {
				continue
			}
			n := &p.nodes[i]
			if forget := c.graph.Forget; forget != nil {
				for j := range c.facts[i][0] {
					c.facts[i][0][j].Forget = func(part []byte) { forget(&tensor.Tensor{Raw: part}) }
				}
			}
			k, err := compileOp(c.ops[i], c.facts[i][0], c.facts[i][1])
			if err != nil {
				errs[i] = fmt.Errorf("engine: compile %q (%s): %w", n.info.Name, n.info.Op, err)
			}
			n.kernel, n.info.Kernel = k, k.Info
			if c.graph.Forget == nil {
				continue
			}
			for _, j := range k.Packed {
				if t := c.facts[i][0][j].Const; t != nil {
					c.graph.Forget(t)
				}
			}
		}
	}
	var wg sync.WaitGroup
	for range p.threads {
		wg.Go(work)
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return err
		}
		n := &p.nodes[i]
		p.scratch = max(p.scratch, n.kernel.Scratch)
		for _, k := range n.kernel.Packed {
			n.in[k] = -1
		}
		for k, s := range n.in {
			if t := c.facts[i][0][k].Const; s >= 0 && t != nil {
				p.consts[s] = t
			}
		}
	}
	for i, v := range c.graph.Outputs {
		if v.Const != nil {
			p.consts[p.outputs[i].from] = v.Const
		}
	}
	return nil
}

// compileOp turns a panic of an operator, which is a defect of ours, into an
// error, so that one model cannot stop the process that compiles it.
func compileOp(op graph.Op, in, out []graph.Fact) (k graph.Kernel, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("operator panicked: %v\n%s", r, debug.Stack())
		}
	}()
	return op.Compile(in, out)
}

// isInput reports whether slot s is an input of the graph.
func (p *Plan) isInput(s int) bool { return slices.Contains(p.inputs, s) }
