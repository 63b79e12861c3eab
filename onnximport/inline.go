package onnximport

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"unsafe"

	"scission/onnximport/internal/pb"
	"scission/ops"
)

// Functions of functions can make a graph that is exponentially larger than the
// file; these bound it.
const (
	maxInlined  = 1 << 26 // bytes of what comes from functions
	maxFunction = 32      // functions inside of one another
)

// function identifies an operator that the model itself defines.
type function struct{ domain, name, overload string }

// inliner puts the nodes of the model's functions where they are called.
type inliner struct {
	functions map[function]*pb.Function
	left      int // bytes that may still be added
	calls     int // so far, for names
}

// inline replaces nodes that call functions of the model, in all graphs.
func (m *Model) inline() error {
	if len(m.proto.Functions) == 0 {
		return nil
	}
	in := &inliner{functions: map[function]*pb.Function{}, left: maxInlined}
	for i := range m.proto.Functions {
		f := &m.proto.Functions[i]
		in.functions[function{domain(f.Domain), f.Name, f.Overload}] = f
	}
	return in.graph(m.proto.Graph, 0)
}

func (in *inliner) graph(g *pb.Graph, depth int) error {
	nodes, err := in.nodes(g.Node, depth)
	if err == nil {
		g.Node = nodes
	}
	return err
}

func (in *inliner) nodes(nodes []pb.Node, depth int) ([]pb.Node, error) {
	var list []pb.Node
	for i := range nodes {
		n := &nodes[i]
		f := in.functions[function{domain(n.Domain), n.OpType, n.Overload}]
		if f == nil {
			for _, b := range bodies(n) {
				if err := in.graph(b, depth); err != nil {
					return nil, err
				}
			}
			list = append(list, *n)
			continue
		}
		if depth == maxFunction {
			return nil, fmt.Errorf("%w functions more than %d deep, at %q", ops.ErrUnsupported, maxFunction, n.Name)
		}
		expanded, err := in.call(f, n)
		if err == nil {
			expanded, err = in.nodes(expanded, depth+1)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, expanded...)
	}
	return list, nil
}

// call returns the nodes of f for the call n, with names of their own.
func (in *inliner) call(f *pb.Function, n *pb.Node) ([]pb.Node, error) {
	if len(n.Input) > len(f.Input) || len(n.Output) > len(f.Output) {
		return nil, fmt.Errorf("%w: node %q has %d inputs and %d outputs, want at most the %d and %d of function %s",
			ErrFormat, n.Name, len(n.Input), len(n.Output), len(f.Input), len(f.Output), f.Name)
	}
	in.calls++
	c := call{in: in, prefix: f.Name + "_" + strconv.Itoa(in.calls) + "/", names: map[string]string{"": ""}, attrs: map[string]*pb.Attribute{}, opsets: map[string]int{}}
	for _, o := range f.OpsetImport {
		if o.Version < 1 || o.Version > math.MaxInt32 {
			return nil, fmt.Errorf("%w: opset %d of domain %s in function %s", ErrFormat, o.Version, shown(o.Domain), f.Name)
		}
		c.opsets[domain(o.Domain)] = int(o.Version)
	}
	for i, name := range f.Input {
		c.names[name] = ""
		if i < len(n.Input) {
			c.names[name] = n.Input[i]
		}
	}
	for i, name := range f.Output {
		if i < len(n.Output) && n.Output[i] != "" {
			if _, taken := c.names[name]; taken {
				return nil, fmt.Errorf("%w %q: an input of it is an output too", ops.ErrUnsupported, "function "+f.Name)
			}
			c.names[name] = n.Output[i]
		}
	}
	for i := range f.AttributeProto {
		c.attrs[f.AttributeProto[i].Name] = &f.AttributeProto[i]
	}
	for i := range n.Attribute {
		a := &n.Attribute[i]
		if _, ok := c.attrs[a.Name]; !ok && !slices.Contains(f.Attribute, a.Name) {
			return nil, fmt.Errorf("%w: node %q has attribute %q, which function %s has not", ErrFormat, n.Name, a.Name, f.Name)
		}
		c.attrs[a.Name] = a
	}
	return c.nodes(f.Node)
}

// call is one call of a function.
type call struct {
	in     *inliner
	prefix string
	names  map[string]string // of values, as the caller sees them
	attrs  map[string]*pb.Attribute
	opsets map[string]int
}

// name returns the caller's name of a value of the function.
func (c *call) name(s string) string {
	n, ok := c.names[s]
	if !ok {
		n = c.prefix + s
		c.names[s] = n
		c.in.left -= len(n)
	}
	return n
}

func (c *call) list(names []string) []string {
	out := make([]string, len(names))
	for i, s := range names {
		out[i] = c.name(s)
	}
	return out
}

func (c *call) nodes(nodes []pb.Node) ([]pb.Node, error) {
	var out []pb.Node
	for _, n := range nodes {
		size := unsafe.Sizeof(n) + uintptr(len(n.Input)+len(n.Output))*unsafe.Sizeof("") + uintptr(len(n.Attribute))*unsafe.Sizeof(pb.Attribute{})
		if c.in.left -= int(size); c.in.left < 0 {
			return nil, fmt.Errorf("%w: the functions take more than %d bytes where they are called", ops.ErrUnsupported, maxInlined)
		}
		m := pb.Node{Input: c.list(n.Input), Output: c.list(n.Output), OpType: n.OpType, Domain: n.Domain, Overload: n.Overload, Opsets: c.opsets}
		if n.Name != "" {
			m.Name = c.prefix + n.Name
			c.in.left -= len(m.Name)
		}
		for _, a := range n.Attribute {
			if a.RefAttrName != "" {
				given := c.attrs[a.RefAttrName]
				if given == nil {
					continue // the operator's default
				}
				name := a.Name
				a = *given
				a.Name = name
			} else if a.G != nil {
				g, err := c.graph(a.G)
				if err != nil {
					return nil, err
				}
				a.G = g
			}
			m.Attribute = append(m.Attribute, a)
		}
		out = append(out, m)
	}
	return out, nil
}

// graph returns a graph of a node of the function as the caller sees it.
func (c *call) graph(g *pb.Graph) (*pb.Graph, error) {
	nodes, err := c.nodes(g.Node)
	if err != nil {
		return nil, err
	}
	out := &pb.Graph{Name: g.Name, Node: nodes}
	for _, t := range g.Initializer {
		t.Name = c.name(t.Name)
		out.Initializer = append(out.Initializer, t)
	}
	for _, t := range g.SparseInitializer {
		if t.Values != nil {
			values := *t.Values
			values.Name = c.name(values.Name)
			t.Values = &values
		}
		out.SparseInitializer = append(out.SparseInitializer, t)
	}
	for _, v := range g.Input {
		v.Name = c.name(v.Name)
		out.Input = append(out.Input, v)
	}
	for _, v := range g.Output {
		v.Name = c.name(v.Name)
		out.Output = append(out.Output, v)
	}
	return out, nil
}
