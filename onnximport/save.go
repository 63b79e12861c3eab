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
// become initializers. Each domain is imported in the newest version that a
// node's Spec has; an operator of an older version must mean the same in that.
// A node without Spec is an error, as is a model of more than 2 GiB.
func Save(w io.Writer, g *graph.Graph) error {
	m, err := encode(g)
	if err == nil {
		err = pb.Encode(w, m)
	}
	if err != nil {
		return fmt.Errorf("onnximport: save %q: %w", g.Name, err)
	}
	return nil
}

func encode(g *graph.Graph) (*pb.Model, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	opsets, err := opsetsOf(g)
	if err != nil {
		return nil, err
	}
	e := encoder{names: map[*graph.Value]string{}, taken: unique{}, computed: map[*graph.Value]bool{}}
	e.p.Name = g.Name
	if e.p.Name == "" {
		e.p.Name = "graph" // a graph must have a name
	}
	for _, v := range g.Inputs {
		e.computed[v] = true
		e.p.Input = append(e.p.Input, pb.ValueInfo{Name: e.name(v), Type: typeProto(v.Fact)})
	}
	for _, n := range g.Nodes {
		for _, v := range n.Out {
			e.computed[v] = true
		}
	}
	for _, v := range g.Outputs {
		e.p.Output = append(e.p.Output, pb.ValueInfo{Name: e.name(v), Type: typeProto(v.Fact)})
		e.constant(v)
	}
	nodes := unique{}
	for _, n := range g.Nodes {
		p, err := e.node(n)
		if err != nil {
			return nil, fmt.Errorf("node %q (%s): %w", n.Name, n.Op, err)
		}
		if p.Name == "" {
			p.Name = p.OpType
		}
		p.Name = nodes.name(p.Name)
		e.p.Node = append(e.p.Node, p)
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

// opsetsOf returns the newest version of each domain in g.
func opsetsOf(g *graph.Graph) (map[string]int, error) {
	opsets := map[string]int{}
	for _, n := range g.Nodes {
		if n.Spec == nil {
			return nil, fmt.Errorf("node %q (%s): it is the result of a rewrite and has no form in a file", n.Name, n.Op)
		}
		opsets[n.Spec.Domain] = max(opsets[n.Spec.Domain], n.Spec.Version)
	}
	for _, n := range g.Nodes {
		s := n.Spec
		if newest := opsets[s.Domain]; s.Version < newest {
			op, err := ops.New(s.Domain, s.Type, newest, s.Attrs)
			if err != nil || !reflect.DeepEqual(op, n.Op) {
				return nil, fmt.Errorf("node %q (%s): it is of opset %d of domain %s and means something else in opset %d, which other nodes need",
					n.Name, n.Op, s.Version, shown(s.Domain), newest)
			}
		}
	}
	if len(opsets) == 0 {
		opsets[""] = ops.MinOpset // a file must import some opset
	}
	return opsets, nil
}

type encoder struct {
	p        pb.Graph
	names    map[*graph.Value]string
	taken    unique
	computed map[*graph.Value]bool // inputs and outputs of nodes
}

// name returns the name that v has in the file.
func (e *encoder) name(v *graph.Value) string {
	if v == nil {
		return ""
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
func (e *encoder) constant(v *graph.Value) {
	if v != nil && v.Const != nil && !e.computed[v] {
		e.computed[v] = true
		t := tensorProto(v.Const)
		t.Name = e.name(v)
		e.p.Initializer = append(e.p.Initializer, t)
	}
}

func (e *encoder) node(n *graph.Node) (pb.Node, error) {
	p := pb.Node{Name: n.Name, OpType: n.Spec.Type, Domain: n.Spec.Domain}
	for _, v := range n.In {
		e.constant(v)
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
			t := tensorProto(v)
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
				q.Tensors = append(q.Tensors, tensorProto(t))
			}
		default:
			return p, fmt.Errorf("attribute %q is %T, which has no form in a file", a.Name, a.Value)
		}
		p.Attribute = append(p.Attribute, q)
	}
	return p, nil
}

func tensorProto(t *tensor.Tensor) pb.Tensor {
	p := pb.Tensor{DataType: pb.DataType(t.DType), RawData: t.Raw}
	if p.RawData == nil {
		p.RawData = []byte{}
	}
	for _, d := range t.Shape {
		p.Dims = append(p.Dims, int64(d))
	}
	return p
}

// typeProto is the type of a value, nil for one that is late.
func typeProto(f graph.Fact) *pb.Type {
	if f.Late {
		return nil
	}
	t := f.Type
	s := &pb.Shape{}
	for _, d := range t.Shape {
		s.Dim = append(s.Dim, pb.Dim{Value: int64(d), HasValue: true})
	}
	return &pb.Type{Tensor: &pb.TensorType{ElemType: pb.DataType(t.DType), Shape: s}}
}
