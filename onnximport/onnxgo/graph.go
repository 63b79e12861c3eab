//go:build !riscv64

package onnxgo

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend"
	gonum "gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/iterator"
	gorgonia "gorgonia.org/tensor"

	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops"
)

// DefaultOpset is the version of the ONNX operators in which a Graph takes a model
// unless Options say otherwise: that of ONNX 1.4, for which onnx-go was written.
const DefaultOpset = 9

// Options says how a Graph takes a model.
type Options struct {
	// Opset is the version of the ONNX operators in which the model is written;
	// 0 means DefaultOpset.
	Opset int
	// Engine says how the model is compiled. Its Memory also bounds each value.
	Engine engine.Options
}

// Graph is a backend of onnx-go that holds one model and runs it on this machine.
// Its nodes are the model's values, and an edge goes from each result of an
// operation to each of its operands, weighted with the operand's place; nodes of
// one name are one value. Edges between two nodes that have one already are kept
// as operands, but not shown. It is not safe for concurrent use.
//
// The tensors that it is given are read at each Run and not copied: initializers
// must not be changed. The results of a Run are copies. A tensor that is neither an
// input nor without a reader is computed when it is asked for: by one more run of
// the inputs of the last Run, and with each Run from then on.
type Graph struct {
	options Options
	nodes   []*node // the ID of node i is firstID + i
	values  map[string]*value
	edges   map[[2]int64]edge // by the IDs of their ends
	to      map[int64][]gonum.Node
	from    map[int64][]gonum.Node
	pending []edge // of the operation that is being described
	ops     []operation

	network *engine.DynamicSession // nil before it is compiled for the outputs that are wanted
	inputs  []*value               // of network
	outputs []*value               // of network
	last    []*tensor.Tensor       // inputs of the last Run
}

var _ backend.ComputationBackend = (*Graph)(nil)

// firstID is the ID of the first node. onnx-go's SetInput(i) asks for node i
// instead of the node of input i, so that IDs begin where no input is counted and
// Node knows what is meant.
const firstID = 1 << 32

// node is an occurrence of a value in the model. Those of one name share it.
type node struct {
	id    int64
	graph *Graph
	*value
	given bool // a tensor
}

// value is an input, an initializer or a result.
type value struct {
	name     string
	tensor   gorgonia.Tensor // last given or computed
	declared gorgonia.Tensor // of the type that the file declares, not the value
	first    int64           // ID of its first node
	constant bool            // it is declared and has an initializer
	fed      bool            // it was given a tensor after the model was decoded
	computed bool            // by an operation
	read     bool            // by an operation
	listed   bool            // among the model's inputs, outputs and intermediate results
	wanted   bool            // although it is read
}

type edge struct {
	from, to *node
	place    float64
}

// operation is what ApplyOperation said.
type operation struct {
	op      graph.Op
	spec    *graph.Spec
	in, out []*value
}

// NewGraph returns a backend for one model.
func NewGraph(o Options) *Graph {
	if o.Opset == 0 {
		o.Opset = DefaultOpset
	}
	return &Graph{
		options: o,
		values:  map[string]*value{},
		edges:   map[[2]int64]edge{},
		to:      map[int64][]gonum.Node{},
		from:    map[int64][]gonum.Node{},
	}
}

// ID is the number of the node in its graph.
func (n *node) ID() int64 { return n.id }

// SetName makes n a node of the value called name.
func (n *node) SetName(name string) {
	v := n.graph.values[name]
	if v == nil {
		v = n.value
		v.name = name
		n.graph.values[name] = v
	}
	n.value = v
}

// GetName is the name of the node's value.
func (n *node) GetName() string { return n.name }

// SetTensor gives the value of n a tensor: while the model is decoded its declared
// type or its constant, later an input or another constant.
func (n *node) SetTensor(t gorgonia.Tensor) error {
	g, v := n.graph, n.value
	switch {
	case t == nil:
		return fmt.Errorf("onnxgo: %q is given no tensor", v.name)
	case v.computed:
		return fmt.Errorf("onnxgo: %q is given a tensor, but an operation computes it", v.name)
	case g.decoded():
		v.fed = true
		if !slices.Contains(g.inputs, v) {
			g.network = nil // which holds the old constant
		}
	case n.given: // so that t is the initializer of what is declared as well
		v.constant, v.declared = true, nil
	case v.declared == nil && !v.constant:
		v.declared = t
	}
	n.given, v.tensor = true, t
	return nil
}

// GetTensor is what the value of n was given last or has after the last Run; before
// that, of an input, a tensor of the type that the file declares. It is nil if there
// is none.
func (n *node) GetTensor() gorgonia.Tensor {
	g, v := n.graph, n.value
	if v.computed && v.tensor == nil && g.last != nil {
		v.wanted, g.network = true, nil
		if g.run() != nil {
			return nil // as does the next Run, with the reason
		}
	}
	return v.tensor
}

// decoded reports whether the model is there as far as its operations, before
// which all its other values are given.
func (g *Graph) decoded() bool { return len(g.edges) > 0 }

// ApplyOperation adds an operation whose results are the values of outs and whose
// operands are those of the edges that were set from them. An operator, or an
// attribute, that package ops does not have gives an *onnx.ErrNotImplemented.
func (g *Graph) ApplyOperation(o onnx.Operation, outs ...gonum.Node) error {
	edges := g.pending
	g.pending = nil
	op, err := g.operation(o, edges, outs)
	if errors.Is(err, ops.ErrUnsupported) {
		return &onnx.ErrNotImplemented{Operator: o.Name, Message: err.Error()}
	}
	if err != nil {
		return fmt.Errorf("onnxgo: operation %d (%s): %w", len(g.ops), o.Name, err)
	}
	g.ops = append(g.ops, op)
	return nil
}

func (g *Graph) operation(o onnx.Operation, edges []edge, outs []gonum.Node) (op operation, err error) {
	if len(outs) == 0 {
		return op, errors.New("it has no results")
	}
	for _, e := range edges {
		i := int(e.place)
		if i < 0 || i >= len(edges) {
			return op, fmt.Errorf("operand %v of %d", e.place, len(edges))
		}
		for len(op.in) <= i {
			op.in = append(op.in, nil)
		}
		op.in[i] = e.to.value
		e.to.read = true
	}
	for i, v := range op.in {
		if v == nil {
			return op, fmt.Errorf("there is no edge to operand %d", i)
		}
	}
	for _, n := range outs {
		v := own(n).value
		if v.name != "" && v.computed {
			return op, fmt.Errorf("%q is computed twice; a Graph holds one model", v.name)
		}
		v.computed, v.tensor, v.declared = v.name != "", nil, nil
		op.out = append(op.out, v)
	}
	op.spec = &graph.Spec{Type: o.Name, Version: g.options.Opset}
	for _, name := range slices.Sorted(maps.Keys(o.Attributes)) {
		v, err := attribute(o.Attributes[name])
		if err != nil {
			return op, fmt.Errorf("attribute %q: %w", name, err)
		}
		op.spec.Attrs = append(op.spec.Attrs, graph.Attr{Name: name, Value: v})
	}
	op.op, err = ops.New("", o.Name, g.options.Opset, op.spec.Attrs)
	return op, err
}

// attribute is an attribute's value as graph.Attr has it.
func attribute(a any) (any, error) {
	switch a := a.(type) {
	case float32, int64, string, []string:
		return a, nil
	case []float32:
		return append([]float32{}, a...), nil // nil if it is empty
	case []int64:
		return append([]int64{}, a...), nil
	case gorgonia.Tensor:
		return fromGorgonia(a)
	case struct{}:
		return nil, errors.New("the file does not say of which type it is, without which onnx-go does not read it")
	}
	return nil, fmt.Errorf("%w type %T", ops.ErrUnsupported, a)
}

// own is n as a node of a Graph.
func own(n gonum.Node) *node {
	o, ok := n.(*node)
	if !ok {
		panic(fmt.Sprintf("onnxgo: a node is %T, want one of NewNode", n))
	}
	return o
}

// NewNode returns a node for AddNode.
func (g *Graph) NewNode() gonum.Node {
	return &node{id: firstID + int64(len(g.nodes)), graph: g, value: &value{}}
}

// AddNode adds a node that NewNode made last. It panics if there is one of that ID.
func (g *Graph) AddNode(n gonum.Node) {
	o := own(n)
	if o.graph != g || o.id != firstID+int64(len(g.nodes)) {
		panic(fmt.Sprintf("onnxgo: node %d is added, want the one that NewNode made last", o.id))
	}
	g.nodes = append(g.nodes, o)
	if o.first == 0 {
		o.first = o.id
	}
	o.listed = o.listed || !g.decoded()
}

// Node returns the node with the given ID, or nil. What is too small for an ID is
// taken as the place of an input of the model, for onnx-go's SetInput.
func (g *Graph) Node(id int64) gonum.Node {
	if id >= 0 && id < firstID {
		if in := g.modelInputs(); id < int64(len(in)) {
			id = in[id].first
		}
	}
	if i := id - firstID; i >= 0 && i < int64(len(g.nodes)) {
		return g.nodes[i]
	}
	return nil
}

// modelInputs returns the inputs of the model, without those that have an
// initializer. They are what the file lists before all that operations compute,
// since of its results it lists at least one before the first initializer.
func (g *Graph) modelInputs() []*value {
	var in []*value
	for _, n := range g.nodes {
		if n.computed {
			break
		}
		if n.id == n.first && !n.constant && n.name != "" {
			in = append(in, n.value)
		}
	}
	return in
}

// NewWeightedEdge returns an edge that says that from is computed from to, its
// operand number w.
func (g *Graph) NewWeightedEdge(from, to gonum.Node, w float64) gonum.WeightedEdge {
	return edge{own(from), own(to), w}
}

// SetWeightedEdge adds an edge to the next operation.
func (g *Graph) SetWeightedEdge(e gonum.WeightedEdge) {
	o := edge{own(e.From()), own(e.To()), e.Weight()}
	g.pending = append(g.pending, o)
	ends := [2]int64{o.from.id, o.to.id}
	if _, ok := g.edges[ends]; ok {
		return
	}
	g.edges[ends] = o
	g.from[o.from.id] = append(g.from[o.from.id], o.to)
	g.to[o.to.id] = append(g.to[o.to.id], o.from)
}

func (e edge) From() gonum.Node         { return e.from }
func (e edge) To() gonum.Node           { return e.to }
func (e edge) Weight() float64          { return e.place }
func (e edge) ReversedEdge() gonum.Edge { return edge{e.to, e.from, e.place} }

// Nodes returns all nodes in the order in which they were added.
func (g *Graph) Nodes() gonum.Nodes {
	list := make([]gonum.Node, len(g.nodes))
	for i, n := range g.nodes {
		list[i] = n
	}
	return nodes(list)
}

// From returns the operands of the operation that computes a node.
func (g *Graph) From(id int64) gonum.Nodes { return nodes(g.from[id]) }

// To returns the nodes that are computed from a node.
func (g *Graph) To(id int64) gonum.Nodes { return nodes(g.to[id]) }

func nodes(list []gonum.Node) gonum.Nodes {
	if len(list) == 0 {
		return gonum.Empty
	}
	return iterator.NewOrderedNodes(list)
}

// HasEdgeFromTo reports whether u is computed from v.
func (g *Graph) HasEdgeFromTo(u, v int64) bool {
	_, ok := g.edges[[2]int64{u, v}]
	return ok
}

// HasEdgeBetween reports whether one of the nodes is computed from the other.
func (g *Graph) HasEdgeBetween(x, y int64) bool {
	return g.HasEdgeFromTo(x, y) || g.HasEdgeFromTo(y, x)
}

// Edge returns the edge from u to v, or nil.
func (g *Graph) Edge(u, v int64) gonum.Edge {
	if e := g.WeightedEdge(u, v); e != nil {
		return e
	}
	return nil
}

// WeightedEdge returns the edge from u to v, or nil.
func (g *Graph) WeightedEdge(u, v int64) gonum.WeightedEdge {
	if e, ok := g.edges[[2]int64{u, v}]; ok {
		return e
	}
	return nil
}

// Weight returns the place of v among the operands of u.
func (g *Graph) Weight(u, v int64) (w float64, ok bool) {
	e, ok := g.edges[[2]int64{u, v}]
	return e.place, ok || u == v
}
