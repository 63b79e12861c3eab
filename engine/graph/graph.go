// Package graph describes networks: values, the nodes that compute them, and
// the contract between an operator and whoever runs it (Op, Kernel).
//
// A Graph says what to compute, not how: it is the same on every machine. The
// package knows no operator by name, no CPU, no file format and no host; it
// imports only engine/tensor.
//
// Types are concrete: constants flow through the arithmetic on shapes while a
// graph is built. Where a type depends on values that only a run knows, the value
// is late, and so is all that is computed from it. Once more is known, the graph,
// or its late part, is built anew by With. The graphs that control flow runs, see
// Body, are such graphs too: all that they read is late until the node's own
// inputs are known.
package graph

import (
	"errors"
	"fmt"
	"slices"

	"scission/engine/tensor"
)

// Fact is what is known of a value before any run. The zero Fact stands for an
// optional input that was omitted.
type Fact struct {
	tensor.Type
	Late   bool           // not even the type is known before a run: it is Undefined
	Const  *tensor.Tensor // the value itself, when it does not depend on the graph's inputs
	Layout Layout         // how it lies in memory inside a plan; nil means row-major
	Made   *Node          // the node that Add ran for Const, if its operator is a Keeper

	// Forget, if not nil, may be told by Op.Compile of parts of Const.Raw that
	// have been packed, so that their memory can be given back until they are
	// read again: so a large constant need not lie in memory twice.
	Forget func(part []byte)
}

// Missing reports whether the fact stands for an omitted optional input.
func (f Fact) Missing() bool { return f.DType == tensor.Undefined && !f.Late }

// Value is an edge of the graph: a graph input, a constant, or an output of
// exactly one node.
type Value struct {
	Name string
	Fact
}

// Spec is an operator as it is written in a portable file: what is needed to
// write it again.
type Spec struct {
	Domain  string // "" is ai.onnx
	Type    string // such as "Conv"
	Version int    // opset version of the domain
	Attrs   []Attr
}

// Attr is a named attribute. Value is an int64, float32, string,
// *tensor.Tensor, a slice of one of these, a *Body, or a type that only the file format knows.
type Attr struct {
	Name  string
	Value any
}

// Node computes Out from In. An element of In is nil where an optional input
// is omitted; an element of Out is nil where an optional output is not wanted.
type Node struct {
	Name string
	Op   Op
	Spec *Spec // nil for a node that a rewrite made, which cannot be written to a file
	In   []*Value
	Out  []*Value
	// Layers lists the nodes of the graph before optimisation that this node
	// stands for, by their place there; nil in a graph that is not optimised.
	Layers []int
}

// Graph is a directed acyclic graph in topological order: each node stands
// behind those whose values it reads. A Graph may be read concurrently, but
// not changed while it is read.
type Graph struct {
	Name    string
	Inputs  []*Value
	Outputs []*Value
	Nodes   []*Node
	// Limit bounds the bytes of any one value; 0 means DefaultLimit.
	Limit int
	// Forget, if not nil, is told of constants that have been packed and may not
	// be read again, so that their memory can be given back until they are. It
	// may be called concurrently. Copies and parts of a graph keep it.
	Forget func(*tensor.Tensor)

	folded int // work that Add has done, see FoldWork
}

// DefaultLimit bounds the bytes of one value of a graph.
const DefaultLimit = 1<<31 - 1

// What Add computes ahead of any run: values of at most FoldLimit bytes, and at
// most FoldWork operations and bytes in one graph, so that no file can keep its
// reader busy.
const (
	FoldLimit = 256 << 20
	FoldWork  = 1<<31 - 1
)

// ErrGraph is in the errors of Add and Check: the graph is not well formed.
var ErrGraph = errors.New("bad graph")

// ErrLate is in the error of Op.Infer when the type of a result depends on
// values that are known only in a run.
var ErrLate = errors.New("the type is known only in a run")

// Input appends a graph input of the given type.
func (g *Graph) Input(name string, t tensor.Type) *Value {
	v := &Value{Name: name, Fact: Fact{Type: t}}
	g.Inputs = append(g.Inputs, v)
	return v
}

// Constant returns a value that holds t. The graph keeps t and does not copy it.
func Constant(name string, t *tensor.Tensor) *Value {
	return &Value{Name: name, Fact: Fact{Type: t.Type, Const: t}}
}

// Add appends a node and returns its outputs, one for each of outNames; an
// empty name is an output that is not wanted. The operator checks the inputs
// and gives the outputs' types, which must keep within g.Limit. When all
// inputs are constants, no node is added, within FoldLimit and FoldWork: the
// operator is run at once and the outputs are constants. When an input is late,
// or the operator says so by ErrLate, the outputs are late. spec may be nil if
// the graph will not be saved.
func (g *Graph) Add(name string, op Op, spec *Spec, in []*Value, outNames ...string) ([]*Value, error) {
	if v, ok := op.(Variadic); ok {
		op = v.Outputs(len(outNames))
	}
	facts := Facts(in)
	if slices.ContainsFunc(facts, func(f Fact) bool { return f.Late }) {
		return g.addLate(name, op, spec, in, outNames), nil
	}
	op = suited(op, facts)
	outs, err := op.Infer(facts)
	if errors.Is(err, ErrLate) {
		return g.addLate(name, op, spec, in, outNames), nil
	}
	if err != nil {
		return nil, fmt.Errorf("node %q (%s): %w", name, op, err)
	}
	if len(outNames) > len(outs) {
		return nil, fmt.Errorf("node %q (%s): %w: has %d outputs, want at most %d", name, op, ErrGraph, len(outNames), len(outs))
	}
	if err := g.checkLimit(outs); err != nil {
		return nil, fmt.Errorf("node %q (%s): %w", name, op, err)
	}
	total, done := 0, true
	for _, f := range outs {
		total += min(f.Bytes(), FoldLimit+1)
		done = done && f.Const != nil
	}
	if !done && known(facts) && total <= FoldLimit && g.affords(op, facts, outs, total) {
		ts, err := Eval(op, facts, outs)
		if err != nil {
			return nil, fmt.Errorf("node %q (%s): %w", name, op, err)
		}
		for i := range outs {
			outs[i].Const = ts[i]
		}
	}
	n := &Node{Name: name, Op: op, Spec: spec, In: slices.Clone(in)}
	folded := true
	_, keeper := op.(Keeper)
	for i, out := range outNames {
		if out == "" {
			n.Out = append(n.Out, nil)
			continue
		}
		if keeper && outs[i].Const != nil {
			outs[i].Made = n
		}
		n.Out = append(n.Out, &Value{Name: out, Fact: outs[i]})
		folded = folded && outs[i].Const != nil
	}
	if !folded {
		g.Nodes = append(g.Nodes, n)
	}
	return n.Out, nil
}

// checkLimit verifies that outputs keep within g.Limit.
func (g *Graph) checkLimit(outs []Fact) error {
	limit := g.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	for _, f := range outs {
		if _, err := tensor.CheckType(f.DType, f.Shape, limit); err != nil {
			return fmt.Errorf("output: %w", err)
		}
	}
	return nil
}

// addLate appends a node whose results are late.
func (g *Graph) addLate(name string, op Op, spec *Spec, in []*Value, outNames []string) []*Value {
	n := &Node{Name: name, Op: op, Spec: spec, In: slices.Clone(in)}
	for _, out := range outNames {
		var v *Value
		if out != "" {
			v = &Value{Name: out, Fact: Fact{Late: true}}
		}
		n.Out = append(n.Out, v)
	}
	g.Nodes = append(g.Nodes, n)
	return n.Out
}

// affords reports whether computing outs now keeps within FoldWork, and if so
// counts it.
func (g *Graph) affords(op Op, in, outs []Fact, bytes int) bool {
	if _, ok := op.(Caller); ok {
		return false
	}
	work := bytes
	if c, ok := op.(Coster); ok {
		flops := c.FLOPs(in, outs)
		if flops < 0 || flops > FoldWork {
			return false
		}
		work = max(work, int(flops))
	}
	if work > FoldWork-g.folded {
		return false
	}
	g.folded += work
	return true
}

func known(in []Fact) bool {
	for _, f := range in {
		if !f.Missing() && f.Const == nil {
			return false
		}
	}
	return true
}

// Facts returns the facts of vs; a nil value gives the zero Fact.
func Facts(vs []*Value) []Fact {
	fs := make([]Fact, len(vs))
	for i, v := range vs {
		if v != nil {
			fs[i] = v.Fact
		}
	}
	return fs
}

// Check verifies the structure: every value that is read is a graph input, a
// constant or an output of an earlier node, and no value is computed twice.
func (g *Graph) Check() error {
	have := map[*Value]bool{}
	for _, v := range g.Inputs {
		if have[v] {
			return fmt.Errorf("%w: input %q is listed twice", ErrGraph, v.Name)
		}
		have[v] = true
	}
	for _, n := range g.Nodes {
		for _, v := range n.In {
			if v != nil && v.Const == nil && !have[v] {
				return fmt.Errorf("%w: node %q reads %q, which no earlier node computes", ErrGraph, n.Name, v.Name)
			}
		}
		for _, v := range n.Out {
			if v == nil {
				continue
			}
			if have[v] {
				return fmt.Errorf("%w: value %q is computed twice, the second time by node %q", ErrGraph, v.Name, n.Name)
			}
			have[v] = true
		}
	}
	for _, v := range g.Outputs {
		if v.Const == nil && !have[v] {
			return fmt.Errorf("%w: no node computes output %q", ErrGraph, v.Name)
		}
	}
	return nil
}

// Clone returns a graph with nodes and values of its own; operators, specs and
// constant tensors are shared, since they are immutable.
func (g *Graph) Clone() *Graph {
	m := map[*Value]*Value{nil: nil}
	value := func(v *Value) *Value {
		c, ok := m[v]
		if !ok {
			c = &Value{Name: v.Name, Fact: v.Fact}
			m[v] = c
		}
		return c
	}
	values := func(vs []*Value) []*Value {
		out := make([]*Value, len(vs))
		for i, v := range vs {
			out[i] = value(v)
		}
		return out
	}
	c := &Graph{Name: g.Name, Inputs: values(g.Inputs), Limit: g.Limit, Forget: g.Forget}
	for _, n := range g.Nodes {
		c.Nodes = append(c.Nodes, &Node{Name: n.Name, Op: n.Op, Spec: n.Spec, In: values(n.In), Out: values(n.Out), Layers: slices.Clone(n.Layers)})
	}
	c.Outputs = values(g.Outputs)
	return c
}
