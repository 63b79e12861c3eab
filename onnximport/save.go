package onnximport

import (
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/onnximport/internal/pb"
	"scission/ops"
)

// irVersions gives the IR version of the ONNX release that brought an opset of
// ai.onnx, newest first, from the table in ONNX's docs/Versioning.md.
var irVersions = []struct{ opset, ir int }{
	{25, 13}, {24, 12}, {23, 11}, {21, 10}, {19, 9}, {15, 8}, {12, 7}, {11, 6}, {10, 5},
}

// minIR is the first IR version in which an initializer need not be a graph
// input as well.
const minIR = 4

// Save writes g as an ONNX model, the same bytes each time. Values and nodes keep
// their names; where two have the same, or one has none, a number is added,
// never to an input's and to an output's only if an input has the name. Constants
// become initializers, or results of the nodes that Fact.Made names. Each domain
// is imported in the newest version that a
// node's Spec has; an operator of an older version must mean the same in that.
// A node without Spec is an error, as are an input that is no tensor of numbers
// and a model of more than 2 GiB.
func Save(w io.Writer, g *graph.Graph) error {
	m, err := encode(g)
	if err == nil {
		err = pb.Encode(w, m)
	}
	return saving(g, err)
}

func saving(g *graph.Graph, err error) error {
	if err != nil {
		err = fmt.Errorf("onnximport: save %q: %w", g.Name, err)
	}
	return err
}

func encode(g *graph.Graph) (*pb.Model, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	opsets, err := opsetsOf(g)
	if err != nil {
		return nil, err
	}
	e := newEncoder(nil)
	if err := e.graph(g, len(g.Inputs)); err != nil {
		return nil, err
	}
	m := &pb.Model{IRVersion: minIR, ProducerName: "scission", Graph: &e.p}
	for _, d := range slices.Sorted(maps.Keys(opsets)) {
		m.OpsetImport = append(m.OpsetImport, pb.OperatorSet{Domain: d, Version: int64(opsets[d])})
	}
	for _, v := range irVersions {
		if opsets[""] >= v.opset {
			m.IRVersion = int64(v.ir)
			break
		}
	}
	return m, nil
}

// graph encodes g, of whose inputs those from given on have names already.
func (e *encoder) graph(g *graph.Graph, given int) error {
	e.p.Name = g.Name
	if e.p.Name == "" {
		e.p.Name = "graph" // a graph must have a name
	}
	for _, v := range g.Inputs[:given] {
		if v.Late && e.outer == nil {
			return fmt.Errorf("%w: input %q is no tensor of numbers", ops.ErrUnsupported, v.Name)
		}
		e.computed[v] = true
		e.p.Input = append(e.p.Input, pb.ValueInfo{Name: e.name(v), Type: typeProto(v.Fact)})
	}
	for _, v := range g.Inputs[given:] {
		e.computed[v] = true
	}
	listed := withMade(g)
	for _, n := range listed {
		for _, v := range n.Out {
			e.computed[v] = true
		}
	}
	for _, v := range g.Outputs {
		e.p.Output = append(e.p.Output, pb.ValueInfo{Name: e.name(v), Type: typeProto(v.Fact)})
		if err := e.constant(v); err != nil {
			return err
		}
	}
	nodes := unique{}
	for _, n := range listed {
		p, err := e.node(n)
		if err != nil {
			return fmt.Errorf("node %q (%s): %w", n.Name, n.Op, err)
		}
		if p.Name == "" {
			p.Name = p.OpType
		}
		p.Name = nodes.name(p.Name)
		e.p.Node = append(e.p.Node, p)
	}
	return nil
}

// opsetsOf returns the newest version of each domain in g.
func opsetsOf(g *graph.Graph) (map[string]int, error) {
	opsets := map[string]int{}
	err := eachNode(g, func(n *graph.Node) error {
		if n.Spec == nil {
			return fmt.Errorf("node %q (%s): it is the result of a rewrite and has no form in a file", n.Name, n.Op)
		}
		opsets[n.Spec.Domain] = max(opsets[n.Spec.Domain], n.Spec.Version)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = eachNode(g, func(n *graph.Node) error {
		s := n.Spec
		newest := opsets[s.Domain]
		if s.Version == newest {
			return nil
		}
		op, err := ops.New(s.Domain, s.Type, newest, s.Attrs)
		if v, ok := op.(graph.Variadic); ok && err == nil {
			op = v.Outputs(len(n.Out))
		}
		if err != nil || !sameOp(op, n.Op) {
			return fmt.Errorf("node %q (%s): it is of opset %d of domain %s and means something else in opset %d, which other nodes need",
				n.Name, n.Op, s.Version, shown(s.Domain), newest)
		}
		return nil
	})
	if len(opsets) == 0 {
		opsets[""] = ops.MaxOpset // a file must import some opset
	}
	return opsets, err
}

// sameOp reports whether two operators made of the same attributes mean the same.
// Functions in them, which reflect never holds equal, are the same if their code
// is.
func sameOp(a, b graph.Op) bool {
	return reflect.DeepEqual(a, b) || fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b)
}

// eachNode calls f for the nodes of g and of the graphs that they run.
func eachNode(g *graph.Graph, f func(*graph.Node) error) error {
	for _, n := range withMade(g) {
		if err := f(n); err != nil {
			return err
		}
		for _, b := range bodiesOf(n) {
			if err := eachNode(b.Graph, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// withMade returns the nodes of g with those that made constants of it, each
// before the first that reads the constant.
func withMade(g *graph.Graph) []*graph.Node {
	all, seen := []*graph.Node{}, map[*graph.Value]bool{}
	add := func(vs []*graph.Value) {
		for _, v := range vs {
			if v != nil && v.Made != nil && v.Made.Spec != nil && len(v.Made.Out) == 1 && !seen[v] {
				seen[v] = true
				m := v.Made
				all = append(all, &graph.Node{Name: m.Name, Op: m.Op, Spec: m.Spec, In: m.In, Out: []*graph.Value{v}})
			}
		}
	}
	for _, n := range g.Nodes {
		add(n.In)
		all = append(all, n)
	}
	add(g.Outputs)
	return all
}

// bodiesOf returns the graphs that a node runs.
func bodiesOf(n *graph.Node) map[string]*graph.Body {
	bodies := map[string]*graph.Body{}
	for _, a := range n.Spec.Attrs {
		if b, ok := a.Value.(*graph.Body); ok {
			bodies[a.Name] = b
		}
	}
	return bodies
}

type encoder struct {
	p        pb.Graph
	outer    *encoder // of the graph around, or nil
	names    map[*graph.Value]string
	taken    unique                // of all graphs together
	computed map[*graph.Value]bool // inputs, outputs of nodes and initializers
}

func newEncoder(outer *encoder) *encoder {
	e := &encoder{outer: outer, names: map[*graph.Value]string{}, taken: unique{}, computed: map[*graph.Value]bool{}}
	if outer != nil {
		e.taken = outer.taken
	}
	return e
}

// name returns the name that v has in the file.
func (e *encoder) name(v *graph.Value) string {
	if v == nil {
		return ""
	}
	for o := e.outer; o != nil; o = o.outer {
		if o.computed[v] {
			return o.names[v] // a constant that the graphs share
		}
	}
	s, ok := e.names[v]
	if !ok {
		if s = v.Name; s == "" {
			s = "value"
		}
		s = e.taken.name(s)
		e.names[v] = s
	}
	return s
}

// constant makes v an initializer if it is a constant and not one yet.
func (e *encoder) constant(v *graph.Value) error {
	for o := e.outer; o != nil; o = o.outer {
		if o.computed[v] {
			return nil
		}
	}
	if v == nil || v.Const == nil || e.computed[v] {
		return nil
	}
	e.computed[v] = true
	t, err := tensorProto(v.Const)
	t.Name = e.name(v)
	e.p.Initializer = append(e.p.Initializer, t)
	return err
}

func (e *encoder) node(n *graph.Node) (pb.Node, error) {
	p := pb.Node{Name: n.Name, OpType: n.Spec.Type, Domain: n.Spec.Domain}
	bodies := bodiesOf(n)
	listed := n.In // without what the bodies capture
	for _, b := range bodies {
		listed = listed[:len(listed)-b.Captured()]
	}
	captured, rest := map[string][]*graph.Value{}, n.In[len(listed):]
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		count := bodies[name].Captured()
		captured[name], rest = rest[:count], rest[count:]
	}
	for _, v := range listed {
		if err := e.constant(v); err != nil {
			return p, err
		}
		p.Input = append(p.Input, e.name(v))
	}
	for _, v := range n.Out {
		p.Output = append(p.Output, e.name(v))
	}
	for _, a := range n.Spec.Attrs {
		q := pb.Attribute{Name: a.Name}
		switch v := a.Value.(type) {
		case float32:
			q.Type, q.F = pb.AttrFloat, v
		case int64:
			q.Type, q.I = pb.AttrInt, v
		case string:
			q.Type, q.S = pb.AttrString, v
		case *tensor.Tensor:
			t, err := tensorProto(v)
			if err != nil {
				return p, err
			}
			q.Type, q.T = pb.AttrTensor, &t
		case []float32:
			q.Type, q.Floats = pb.AttrFloats, v
		case []int64:
			q.Type, q.Ints = pb.AttrInts, v
		case []string:
			q.Type, q.Strings = pb.AttrStrings, v
		case []*tensor.Tensor:
			q.Type = pb.AttrTensors
			for _, t := range v {
				r, err := tensorProto(t)
				if err != nil {
					return p, err
				}
				q.Tensors = append(q.Tensors, r)
			}
		case *pb.Type:
			q.Type, q.TP = pb.AttrType, v
		case *graph.Body:
			inner := newEncoder(e)
			for i, x := range v.Graph.Inputs[v.Given:] {
				if err := e.constant(captured[a.Name][i]); err != nil {
					return p, err
				}
				inner.names[x] = e.name(captured[a.Name][i])
			}
			if err := inner.graph(v.Graph, v.Given); err != nil {
				return p, err
			}
			q.Type, q.G = pb.AttrGraph, &inner.p
		default:
			return p, fmt.Errorf("attribute %q is %T, which has no form in a file", a.Name, a.Value)
		}
		p.Attribute = append(p.Attribute, q)
	}
	return p, nil
}

// tensorProto returns t as a file has it. Of packed values only strings have such
// a form.
func tensorProto(t *tensor.Tensor) (pb.Tensor, error) {
	p := pb.Tensor{DataType: pb.DataType(t.DType), RawData: t.Raw}
	shape := t.Shape
	if t.DType == tensor.Packed {
		v, err := t.Unpack()
		if err == nil && v.Kind != tensor.Strings {
			err = fmt.Errorf("%w: a constant that is of the kind %v", ops.ErrUnsupported, v.Kind)
		}
		if err != nil {
			return p, err
		}
		p, shape = pb.Tensor{DataType: pb.String, Typed: pb.StringsOf(v.Strings)}, v.Shape
	} else if t.DType.Bits() < 8 {
		p.RawData = t.DType.Condense(t.Raw)
	} else if p.RawData == nil {
		p.RawData = []byte{}
	}
	for _, d := range shape {
		p.Dims = append(p.Dims, int64(d))
	}
	return p, nil
}

// typeProto is the type of a value, nil for one that is late or packed.
func typeProto(f graph.Fact) *pb.Type {
	if f.Late || f.DType == tensor.Packed {
		return nil
	}
	t := f.Type
	s := &pb.Shape{}
	for _, d := range t.Shape {
		s.Dim = append(s.Dim, pb.Dim{Value: int64(d), HasValue: true})
	}
	return &pb.Type{Tensor: &pb.TensorType{ElemType: pb.DataType(t.DType), Shape: s}}
}
