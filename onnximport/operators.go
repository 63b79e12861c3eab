package onnximport

import (
	"cmp"
	"slices"
	"strings"

	"scission/onnximport/internal/pb"
)

// Operator names an operator that a file uses.
type Operator struct{ Domain, Name string } // ai.onnx is "" among the domains

// Operators returns the operators of the file's nodes, those in the graphs of
// nodes and in called functions too, each once, ordered by domain and name.
func (m *Model) Operators() []Operator {
	used := map[Operator]bool{}
	var walk func(g *pb.Graph)
	walk = func(g *pb.Graph) {
		for i := range g.Node {
			n := &g.Node[i]
			used[Operator{strings.Clone(domain(n.Domain)), strings.Clone(n.OpType)}] = true
			for _, b := range bodies(n) {
				walk(b)
			}
		}
	}
	walk(m.section.graph)
	list := make([]Operator, 0, len(used))
	for o := range used {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b Operator) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Name, b.Name))
	})
	return list
}
