package onnximport

import (
	"container/heap"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/onnximport/internal/pb"
	"scission/ops"
)

// nodeNames returns a unique name for each node: its own, or for one without a
// name its operator and its place in the file, such as "Conv_12". Where that is
// taken, a number is added.
func nodeNames(nodes []pb.Node) []string {
	u := unique{}
	names := make([]string, len(nodes))
	for i, n := range nodes {
		if n.Name != "" {
			names[i] = u.name(strings.Clone(n.Name))
		}
	}
	for i, n := range nodes {
		if n.Name == "" {
			names[i] = u.name(n.OpType + "_" + strconv.Itoa(i))
		}
	}
	return names
}

// unique hands out names, each once.
type unique map[string]int

// name returns s, or if that is taken, s with the first free number behind it.
func (u unique) name(s string) string {
	n, taken := u[s]
	if !taken {
		u[s] = 1
		return s
	}
	for ; ; n++ {
		c := s + "_" + strconv.Itoa(n)
		if _, taken := u[c]; !taken {
			u[s], u[c] = n+1, 1
			return c
		}
	}
}

// sort checks that each value is given once and that each one that is read is
// given, and puts the nodes in topological order, which is the file's if that is
// one. inputs are the names of the graph's inputs.
func (s *section) sort(inputs map[string]bool, outer func(string) bool) error {
	g := s.graph
	producer := map[string]int{}
	for i, n := range g.Node {
		for _, out := range n.Output {
			if out == "" {
				continue
			}
			if j, ok := producer[out]; ok {
				return fmt.Errorf("%w: %q is computed by both node %q and node %q", ErrFormat, out, s.names[j], s.names[i])
			}
			if inputs[out] || s.initializers[out] != nil || s.sparse[out] != nil {
				return fmt.Errorf("%w: node %q computes %q, which is an input or an initializer", ErrFormat, s.names[i], out)
			}
			producer[out] = i
		}
	}
	free := map[string]bool{}
	given := func(name string) bool {
		if _, ok := producer[name]; ok || inputs[name] || s.initializers[name] != nil || s.sparse[name] != nil || free[name] {
			return true
		}
		if !outer(name) {
			return false
		}
		free[name] = true
		s.free = append(s.free, name)
		return true
	}
	reads := make([][]string, len(g.Node)) // by each node or its graphs
	s.bodies = map[*pb.Graph]*section{}
	for i := range g.Node {
		n := &g.Node[i]
		reads[i] = n.Input
		for _, b := range bodies(n) {
			sub := &section{}
			if err := sub.index(b, given); err != nil {
				return fmt.Errorf("node %q: graph %q: %w", s.names[i], b.Name, err)
			}
			s.bodies[b] = sub
			reads[i] = append(reads[i][:len(reads[i]):len(reads[i])], sub.free...)
		}
	}
	waits := make([]int, len(g.Node))     // how many inputs are still to be computed
	readers := make([][]int, len(g.Node)) // who waits for the node, once for each input
	for i := range g.Node {
		for _, in := range reads[i] {
			if in == "" {
				continue
			}
			if !given(in) {
				return fmt.Errorf("%w: node %q reads %q, which nothing gives", ErrFormat, s.names[i], in)
			}
			if j, ok := producer[in]; ok {
				waits[i]++
				readers[j] = append(readers[j], i)
			}
		}
	}
	for _, out := range g.Output {
		if !given(out.Name) {
			return fmt.Errorf("%w: nothing gives the output %q", ErrFormat, out.Name)
		}
	}
	ready := &sort.IntSlice{}
	queue := intHeap{ready}
	for i, n := range waits {
		if n == 0 {
			*ready = append(*ready, i)
		}
	}
	heap.Init(queue)
	for len(*ready) > 0 {
		i := heap.Pop(queue).(int)
		s.order = append(s.order, i)
		for _, j := range readers[i] {
			if waits[j]--; waits[j] == 0 {
				heap.Push(queue, j)
			}
		}
	}
	if len(s.order) < len(g.Node) {
		return fmt.Errorf("%w: the graph has a cycle: %s", ErrFormat, s.cycle(reads, waits, producer))
	}
	return nil
}

// bodies returns the graphs among the attributes of a node.
func bodies(n *pb.Node) []*pb.Graph {
	var list []*pb.Graph
	for i := range n.Attribute {
		if g := n.Attribute[i].G; g != nil {
			list = append(list, g)
		}
	}
	return list
}

// intHeap is a heap of the numbers of nodes that are ready, the first of the
// file on top.
type intHeap struct{ *sort.IntSlice }

func (h intHeap) Push(x any) { *h.IntSlice = append(*h.IntSlice, x.(int)) }

func (h intHeap) Pop() any {
	s := *h.IntSlice
	*h.IntSlice = s[:len(s)-1]
	return s[len(s)-1]
}

// maxCycle is the number of nodes of a cycle that an error names.
const maxCycle = 8

// cycle names the nodes of a cycle among those that still wait.
func (s *section) cycle(reads [][]string, waits []int, producer map[string]int) string {
	before := func(i int) int { // a node for which i waits
		for _, in := range reads[i] {
			if j, ok := producer[in]; ok && waits[j] > 0 {
				return j
			}
		}
		return i
	}
	i := slices.IndexFunc(waits, func(n int) bool { return n > 0 })
	for range waits { // step back until certainly inside the cycle
		i = before(i)
	}
	names := []string{strconv.Quote(s.names[i])}
	for j := before(i); j != i; j = before(j) {
		if len(names) == maxCycle {
			names = append(names, "...")
			break
		}
		names = append(names, strconv.Quote(s.names[j]))
	}
	return strings.Join(names, " reads from ") + " reads from " + names[0]
}

// Graph builds the graph for inputs of the given shapes, by name. An input that
// is not named keeps its fixed dimensions; a symbolic dimension gets its length
// from the inputs that are named, where the same symbol must mean the same
// length, and one that stays unknown becomes 1. A shape that contradicts the file
// is an error, as is one for a name that is no input.
//
// The graph's nodes have the order of the file if that is a topological one, and
// their names and the values' names are the file's. Nodes whose inputs are all
// constants have been computed and are gone. An operator, attribute or type that
// is not supported gives an error with ops.ErrUnsupported that names the node,
// the operator, its domain and opset. Graph may be called several times; the
// graphs share their constants.
func (m *Model) Graph(shapes map[string]tensor.Shape) (*graph.Graph, error) {
	g, _, err := m.GraphUses(shapes)
	return g, err
}

// GraphUses is Graph, and says which weights of the file the graph's layers use.
func (m *Model) GraphUses(shapes map[string]tensor.Shape) (*graph.Graph, *Uses, error) {
	g, u, err := m.build(shapes)
	if err != nil {
		return nil, nil, fmt.Errorf("onnximport: %w", err)
	}
	return g, u, nil
}

// GraphFor is Graph for inputs of the given types, in the order of Inputs: what
// engine.NewDynamic needs to run a model whose inputs have another shape each time.
func (m *Model) GraphFor(in []tensor.Type) (*graph.Graph, error) {
	if len(in) != len(m.inputs) {
		return nil, fmt.Errorf("onnximport: got %d inputs, want %d", len(in), len(m.inputs))
	}
	shapes := map[string]tensor.Shape{}
	for i, t := range in {
		if want := m.inputs[i]; t.DType != want.DType {
			return nil, fmt.Errorf("onnximport: input %q is %v, want %v", want.Name, t.DType, want.DType)
		}
		shapes[m.inputs[i].Name] = t.Shape
	}
	return m.Graph(shapes)
}

func (m *Model) build(shapes map[string]tensor.Shape) (*graph.Graph, *Uses, error) {
	types, err := m.concrete(shapes)
	if err != nil {
		return nil, nil, err
	}
	if m.isClosed() {
		return nil, nil, errClosed
	}
	left := m.limits.Constants // for what is computed here
	c := &scope{section: &m.section, model: m, left: &left, values: map[string]*graph.Value{}, track: newTracker(m)}
	c.g = &graph.Graph{Name: m.name, Limit: m.limits.Value, Forget: m.forget}
	for i, in := range m.inputs {
		c.values[in.Name] = c.g.Input(in.Name, types[i])
		c.values[in.Name].Late = in.DType == tensor.Packed
	}
	if err := c.build(); err != nil {
		return nil, nil, err
	}
	u := &c.track.uses
	u.layers = c.uses
	if last := len(u.layers) - 1; last >= 0 {
		u.layers[last] = c.track.union(u.layers[last], c.track.values(c.g.Outputs))
	}
	return c.g, u, nil
}

// scope is where a graph of the file is built.
type scope struct {
	*section
	model    *Model
	outer    *scope // of the graph around, nil for the model's own
	g        *graph.Graph
	values   map[string]*graph.Value
	captured []*graph.Value // of outer, which the last inputs of g stand for
	left     *int           // bytes of constants that may still be computed
	track    *tracker
	uses     [][]int // the weights that each node of g is computed from
	own      [][]int // those in the attributes of the node at hand
}

// value returns the value called name, nil for an omitted one.
func (c *scope) value(name string) (*graph.Value, error) {
	v := c.values[name]
	if v != nil || name == "" {
		return v, nil
	}
	var t *tensor.Tensor
	var err error
	var weights []int
	own := strings.Clone(name)
	switch {
	case c.initializers[name] != nil:
		t, err = c.model.tensor(c.initializers[name])
		weights = c.track.tensors(c.initializers[name])
	case c.sparse[name] != nil:
		t, err = c.model.dense(c.sparse[name])
		weights = c.track.tensors(c.sparse[name].Values, c.sparse[name].Indices)
	case c.outer != nil:
		if v, err = c.outer.value(name); err != nil {
			return nil, err
		}
		if v.Const == nil {
			c.captured = append(c.captured, v)
			v = lateInput(c.g, own)
		}
		c.values[own] = v
		return v, nil
	default:
		return nil, fmt.Errorf("%w: nothing gives %q", ErrFormat, name)
	}
	if err != nil {
		return nil, fmt.Errorf("initializer %q: %w", name, err)
	}
	v = graph.Constant(own, t)
	c.values[own] = v
	c.track.made([]*graph.Value{v}, weights)
	return v, nil
}

func lateInput(g *graph.Graph, name string) *graph.Value {
	v := g.Input(name, tensor.Type{})
	v.Late = true
	return v
}

// build adds the nodes and outputs of the section to c.g, which has its inputs.
func (c *scope) build() error {
	for _, i := range c.order {
		n := &c.graph.Node[i]
		c.own = nil
		spec, op, captured, err := c.operator(n)
		if err != nil {
			return fmt.Errorf("node %q: %w", c.names[i], err)
		}
		in := make([]*graph.Value, len(n.Input))
		for j, name := range n.Input {
			if in[j], err = c.value(name); err != nil {
				return fmt.Errorf("node %q: %w", c.names[i], err)
			}
		}
		names := make([]string, len(n.Output))
		for j, name := range n.Output {
			names[j] = strings.Clone(name)
		}
		weights := c.track.union(append(c.own, c.track.values(in))...)
		out, err := c.g.Add(c.names[i], op, spec, append(in, captured...), names...)
		if err != nil {
			return err
		}
		c.track.made(out, weights)
		if len(c.g.Nodes) > len(c.uses) {
			c.uses = append(c.uses, weights)
		}
		for _, v := range out {
			if v == nil {
				continue
			}
			c.values[v.Name] = v
			if v.Const != nil {
				if *c.left -= v.Const.Bytes(); *c.left < 0 {
					return fmt.Errorf("node %q: constants computed so far take more than %d bytes", c.names[i], c.model.limits.Constants)
				}
			}
		}
	}
	for _, out := range c.graph.Output {
		v, err := c.value(out.Name)
		if err != nil {
			return err
		}
		c.g.Outputs = append(c.g.Outputs, v)
	}
	return nil
}

// body builds a graph among the attributes of a node, and returns what it
// captures.
func (c *scope) body(p *pb.Graph) (*graph.Body, []*graph.Value, error) {
	sub := &scope{section: c.bodies[p], model: c.model, outer: c, left: c.left, track: c.track, values: map[string]*graph.Value{}}
	sub.g = &graph.Graph{Name: strings.Clone(p.Name), Limit: c.g.Limit}
	for _, in := range sub.inputs {
		sub.values[in.Name] = lateInput(sub.g, in.Name)
	}
	b := &graph.Body{Graph: sub.g, Given: len(sub.inputs)}
	if err := sub.build(); err != nil {
		return nil, nil, fmt.Errorf("graph %q: %w", p.Name, err)
	}
	c.own = append(c.own, c.track.union(append(sub.uses, c.track.values(sub.g.Outputs))...))
	return b, sub.captured, nil
}

var errClosed = errors.New("the model is closed")

func (m *Model) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// tensor returns the tensor of p, the same for each call.
func (m *Model) tensor(p *pb.Tensor) (*tensor.Tensor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.tensors[p]; t != nil {
		return t, nil
	}
	t, err := m.decoder.tensor(p)
	if err == nil {
		m.tensors[p] = t
	}
	return t, err
}

// operator builds the operator of a node; captured are its inputs behind those
// that the file lists.
func (c *scope) operator(n *pb.Node) (spec *graph.Spec, op graph.Op, captured []*graph.Value, err error) {
	m := c.model
	spec = &graph.Spec{Domain: strings.Clone(domain(n.Domain)), Type: strings.Clone(n.OpType)}
	opsets := m.opsets
	if n.Opsets != nil {
		opsets = n.Opsets
	}
	version, ok := opsets[spec.Domain]
	if !ok {
		return nil, nil, nil, fmt.Errorf("operator %s of domain %s: %w: the file imports no opset of the domain", spec.Type, shown(spec.Domain), ErrFormat)
	}
	spec.Version = version
	fail := func(a *pb.Attribute, err error) (*graph.Spec, graph.Op, []*graph.Value, error) {
		return nil, nil, nil, fmt.Errorf("operator %s of domain %s, opset %d: attribute %q: %w", spec.Type, shown(spec.Domain), version, a.Name, err)
	}
	seen, reads := map[string]bool{}, map[string][]*graph.Value{}
	for i := range n.Attribute {
		a := &n.Attribute[i]
		var v any
		if a.Guess() == pb.AttrGraph {
			if a.G == nil {
				return fail(a, fmt.Errorf("%w: its graph is missing", ErrFormat))
			}
			b, values, err := c.body(a.G)
			if err != nil {
				return fail(a, err)
			}
			v, reads[a.Name] = b, values
		} else if v, err = m.attribute(a); err != nil {
			return fail(a, err)
		} else {
			c.own = append(c.own, c.track.attribute(a))
		}
		if seen[a.Name] {
			return fail(a, fmt.Errorf("%w: it is given twice", ErrFormat))
		}
		seen[a.Name] = true
		spec.Attrs = append(spec.Attrs, graph.Attr{Name: strings.Clone(a.Name), Value: v})
	}
	for _, name := range slices.Sorted(maps.Keys(reads)) {
		captured = append(captured, reads[name]...)
	}
	op, err = ops.New(spec.Domain, spec.Type, version, spec.Attrs)
	return spec, op, captured, err
}

// dense returns the tensor of p, the same for each call.
func (m *Model) dense(p *pb.SparseTensor) (*tensor.Tensor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.denses[p]; t != nil {
		return t, nil
	}
	t, err := m.decoder.sparse(p)
	if err == nil {
		m.denses[p] = t
	}
	return t, err
}

// attribute returns the value of an attribute as graph.Attr has it.
func (m *Model) attribute(a *pb.Attribute) (any, error) {
	switch t := a.Guess(); t {
	case pb.AttrFloat:
		return a.F, nil
	case pb.AttrInt:
		return a.I, nil
	case pb.AttrString:
		return strings.Clone(a.S), nil
	case pb.AttrTensor:
		if a.T == nil {
			return nil, fmt.Errorf("%w: its tensor is missing", ErrFormat)
		}
		return m.tensor(a.T)
	case pb.AttrFloats:
		return append([]float32{}, a.Floats...), nil
	case pb.AttrInts:
		return append([]int64{}, a.Ints...), nil
	case pb.AttrStrings:
		list := make([]string, len(a.Strings))
		for i, s := range a.Strings {
			list[i] = strings.Clone(s)
		}
		return list, nil
	case pb.AttrTensors:
		list := make([]*tensor.Tensor, len(a.Tensors))
		for i := range a.Tensors {
			t, err := m.tensor(&a.Tensors[i])
			if err != nil {
				return nil, err
			}
			list[i] = t
		}
		return list, nil
	case pb.AttrSparseTensor:
		if a.SparseTensor == nil {
			return nil, fmt.Errorf("%w: its tensor is missing", ErrFormat)
		}
		return m.dense(a.SparseTensor)
	case pb.AttrType:
		return typeOf(a.TP), nil
	case pb.AttrUndefined:
		return nil, fmt.Errorf("%w: it has no type", ErrFormat)
	default:
		return nil, fmt.Errorf("%w type %v", ops.ErrUnsupported, t)
	}
}

// typeOf returns t in memory of its own, without the shapes of tensors.
func typeOf(t *pb.Type) *pb.Type {
	if t == nil {
		return nil
	}
	c := &pb.Type{}
	if t.Tensor != nil {
		c.Tensor = &pb.TensorType{ElemType: t.Tensor.ElemType}
	}
	if t.Sequence != nil {
		c.Sequence = &pb.ElemType{Elem: typeOf(t.Sequence.Elem)}
	}
	if t.Optional != nil {
		c.Optional = &pb.ElemType{Elem: typeOf(t.Optional.Elem)}
	}
	return c
}
