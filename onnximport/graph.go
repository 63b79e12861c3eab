package onnximport

import (
	"container/heap"
	"errors"
	"fmt"
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
func (m *Model) sort(inputs map[string]bool) error {
	g := m.proto.Graph
	producer := map[string]int{}
	for i, n := range g.Node {
		for _, out := range n.Output {
			if out == "" {
				continue
			}
			if j, ok := producer[out]; ok {
				return fmt.Errorf("%w: %q is computed by both node %q and node %q", ErrFormat, out, m.names[j], m.names[i])
			}
			if inputs[out] || m.initializers[out] != nil || m.sparse[out] {
				return fmt.Errorf("%w: node %q computes %q, which is an input or an initializer", ErrFormat, m.names[i], out)
			}
			producer[out] = i
		}
	}
	given := func(name string) bool {
		_, ok := producer[name]
		return ok || inputs[name] || m.initializers[name] != nil || m.sparse[name]
	}
	waits := make([]int, len(g.Node))     // how many inputs are still to be computed
	readers := make([][]int, len(g.Node)) // who waits for the node, once for each input
	for i, n := range g.Node {
		for _, in := range n.Input {
			if in == "" {
				continue
			}
			if !given(in) {
				return fmt.Errorf("%w: node %q reads %q, which nothing gives", ErrFormat, m.names[i], in)
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
		m.order = append(m.order, i)
		for _, j := range readers[i] {
			if waits[j]--; waits[j] == 0 {
				heap.Push(queue, j)
			}
		}
	}
	if len(m.order) < len(g.Node) {
		return fmt.Errorf("%w: the graph has a cycle: %s", ErrFormat, m.cycle(waits, producer))
	}
	return nil
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
func (m *Model) cycle(waits []int, producer map[string]int) string {
	before := func(i int) int { // a node for which i waits
		for _, in := range m.proto.Graph.Node[i].Input {
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
	names := []string{strconv.Quote(m.names[i])}
	for j := before(i); j != i; j = before(j) {
		if len(names) == maxCycle {
			names = append(names, "...")
			break
		}
		names = append(names, strconv.Quote(m.names[j]))
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
	g, err := m.build(shapes)
	if err != nil {
		return nil, fmt.Errorf("onnximport: %w", err)
	}
	return g, nil
}

func (m *Model) build(shapes map[string]tensor.Shape) (*graph.Graph, error) {
	types, err := m.concrete(shapes)
	if err != nil {
		return nil, err
	}
	if m.isClosed() {
		return nil, errClosed
	}
	p := m.proto.Graph
	g := &graph.Graph{Name: m.name, Limit: m.limits.Value, Forget: m.forget}
	values := map[string]*graph.Value{}
	for i, in := range m.inputs {
		values[in.Name] = g.Input(in.Name, types[i])
	}
	value := func(name string) (*graph.Value, error) {
		v := values[name]
		if v != nil || name == "" {
			return v, nil
		}
		if m.sparse[name] {
			return nil, fmt.Errorf("initializer %q: %w: it is sparse", name, ops.ErrUnsupported)
		}
		t, err := m.tensor(m.initializers[name])
		if err != nil {
			return nil, fmt.Errorf("initializer %q: %w", name, err)
		}
		name = strings.Clone(name)
		values[name] = graph.Constant(name, t)
		return values[name], nil
	}
	left := m.limits.Constants // for what is computed here
	for _, i := range m.order {
		n := &p.Node[i]
		spec, op, err := m.operator(n)
		if err != nil {
			return nil, fmt.Errorf("node %q: %w", m.names[i], err)
		}
		in := make([]*graph.Value, len(n.Input))
		for j, name := range n.Input {
			if in[j], err = value(name); err != nil {
				return nil, fmt.Errorf("node %q: %w", m.names[i], err)
			}
		}
		names := make([]string, len(n.Output))
		for j, name := range n.Output {
			names[j] = strings.Clone(name)
		}
		out, err := g.Add(m.names[i], op, spec, in, names...)
		if err != nil {
			return nil, err
		}
		for _, v := range out {
			if v == nil {
				continue
			}
			values[v.Name] = v
			if v.Const != nil {
				if left -= v.Const.Bytes(); left < 0 {
					return nil, fmt.Errorf("node %q: constants computed so far take more than %d bytes", m.names[i], m.limits.Constants)
				}
			}
		}
	}
	for _, out := range m.outputs {
		v, err := value(out.Name)
		if err != nil {
			return nil, err
		}
		g.Outputs = append(g.Outputs, v)
	}
	return g, nil
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

// operator builds the operator of a node.
func (m *Model) operator(n *pb.Node) (*graph.Spec, graph.Op, error) {
	spec := &graph.Spec{Domain: strings.Clone(domain(n.Domain)), Type: strings.Clone(n.OpType)}
	version, ok := m.opsets[spec.Domain]
	if !ok {
		return nil, nil, fmt.Errorf("operator %s of domain %s: %w: the file imports no opset of the domain", spec.Type, shown(spec.Domain), ErrFormat)
	}
	spec.Version = version
	fail := func(err error) (*graph.Spec, graph.Op, error) {
		return nil, nil, fmt.Errorf("operator %s of domain %s, opset %d: %w", spec.Type, shown(spec.Domain), version, err)
	}
	if m.functions[function{spec.Domain, spec.Type, n.Overload}] {
		return fail(fmt.Errorf("%w: it is a function that the model defines", ops.ErrUnsupported))
	}
	seen := map[string]bool{}
	for i := range n.Attribute {
		a := &n.Attribute[i]
		v, err := m.attribute(a)
		if err != nil {
			return fail(fmt.Errorf("attribute %q: %w", a.Name, err))
		}
		if seen[a.Name] {
			return fail(fmt.Errorf("attribute %q: %w: it is given twice", a.Name, ErrFormat))
		}
		seen[a.Name] = true
		spec.Attrs = append(spec.Attrs, graph.Attr{Name: strings.Clone(a.Name), Value: v})
	}
	op, err := ops.New(spec.Domain, spec.Type, version, spec.Attrs)
	return spec, op, err
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
	case pb.AttrUndefined:
		return nil, fmt.Errorf("%w: it has no type", ErrFormat)
	default:
		return nil, fmt.Errorf("%w type %v", ops.ErrUnsupported, t)
	}
}
