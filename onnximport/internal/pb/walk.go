package pb

import "iter"

// Tensors yields every tensor of the model: initializers and attributes of the
// graph, of its subgraphs and of the functions.
func (m *Model) Tensors() iter.Seq[*Tensor] {
	return func(yield func(*Tensor) bool) {
		w := walker{yield}
		if m.Graph != nil && !w.graph(m.Graph) {
			return
		}
		for i := range m.Functions {
			if f := &m.Functions[i]; !w.nodes(f.Node) || !w.attributes(f.AttributeProto) {
				return
			}
		}
	}
}

// The methods of a walker return false when the walk is to end.
type walker struct{ yield func(*Tensor) bool }

func (w walker) graph(g *Graph) bool {
	return w.tensors(g.Initializer) && w.sparse(g.SparseInitializer) && w.nodes(g.Node)
}

func (w walker) nodes(nodes []Node) bool {
	for i := range nodes {
		if !w.attributes(nodes[i].Attribute) {
			return false
		}
	}
	return true
}

func (w walker) attributes(list []Attribute) bool {
	for i := range list {
		a := &list[i]
		if a.T != nil && !w.yield(a.T) || a.G != nil && !w.graph(a.G) ||
			a.SparseTensor != nil && !w.sparse([]SparseTensor{*a.SparseTensor}) ||
			!w.tensors(a.Tensors) || !w.sparse(a.SparseTensors) {
			return false
		}
		for j := range a.Graphs {
			if !w.graph(&a.Graphs[j]) {
				return false
			}
		}
	}
	return true
}

func (w walker) tensors(ts []Tensor) bool {
	for i := range ts {
		if !w.yield(&ts[i]) {
			return false
		}
	}
	return true
}

func (w walker) sparse(ts []SparseTensor) bool {
	for _, t := range ts {
		if t.Values != nil && !w.yield(t.Values) || t.Indices != nil && !w.yield(t.Indices) {
			return false
		}
	}
	return true
}
