package graph

import (
	"slices"

	"scission/engine/tensor"
)

// Editor changes a graph and keeps track of who computes and who reads each
// value. It is what a Rewriter works with. It is not safe for concurrent use.
type Editor struct {
	g        *Graph
	producer map[*Value]*Node
	users    map[*Value][]*Node // a node that reads a value twice is listed twice
	output   map[*Value]int     // how often the value is a graph output
	gone     map[*Node]bool
}

// Edit starts editing g. Nothing else may use g until Done.
func Edit(g *Graph) *Editor {
	e := &Editor{g, map[*Value]*Node{}, map[*Value][]*Node{}, map[*Value]int{}, map[*Node]bool{}}
	for _, n := range g.Nodes {
		e.link(n)
	}
	for _, v := range g.Outputs {
		e.output[v]++
	}
	return e
}

func (e *Editor) link(n *Node) {
	for _, v := range n.Out {
		if v != nil {
			e.producer[v] = n
		}
	}
	for _, v := range n.In {
		if v != nil {
			e.users[v] = append(e.users[v], n)
		}
	}
}

func (e *Editor) unlink(n *Node) {
	for _, v := range n.Out {
		if v != nil && e.producer[v] == n {
			delete(e.producer, v)
		}
	}
	for _, v := range n.In {
		if v != nil {
			if i := slices.Index(e.users[v], n); i >= 0 {
				e.users[v] = slices.Delete(e.users[v], i, i+1)
			}
		}
	}
}

// Producer returns the node that computes v, or nil for an input or a constant.
func (e *Editor) Producer(v *Value) *Node { return e.producer[v] }

// OnlyUser returns the node that reads v if it is the only reader, reads it
// once, and v is no output of the graph; nil otherwise.
func (e *Editor) OnlyUser(v *Value) *Node {
	if v == nil || e.output[v] > 0 || len(e.users[v]) != 1 {
		return nil
	}
	return e.users[v][0]
}

// Users returns the nodes that read v, one entry for each time.
func (e *Editor) Users(v *Value) []*Node { return e.users[v] }

// IsOutput reports whether v is an output of the graph.
func (e *Editor) IsOutput(v *Value) bool { return e.output[v] > 0 }

// Before reports whether a stands before b in the graph's order.
func (e *Editor) Before(a, b *Node) bool {
	for _, n := range e.g.Nodes {
		if n == a || n == b {
			return n == a && a != b
		}
	}
	return false
}

// Insert adds a node in front of n, which computes op of in for the given
// layers, and returns its output, of type t. The inputs must be computed before n.
func (e *Editor) Insert(n *Node, name string, op Op, layers []int, in []*Value, t tensor.Type) *Value {
	v := &Value{Name: name, Fact: Fact{Type: t}}
	added := &Node{Name: name, Op: op, In: in, Out: []*Value{v}, Layers: slices.Clone(layers)}
	e.g.Nodes = slices.Insert(e.g.Nodes, slices.Index(e.g.Nodes, n), added)
	e.link(added)
	return v
}

// Set gives n another operator and other inputs. The node keeps its place, so
// the inputs must be computed before it, and its outputs; the Spec is dropped,
// since the node is no longer what the file said.
func (e *Editor) Set(n *Node, op Op, in []*Value) {
	e.unlink(n)
	n.Op, n.In, n.Spec = op, in, nil
	e.link(n)
}

// Absorb lets n compute what its only user does: n takes the place in the
// order and the outputs of user, with the operator op and the inputs in, and
// user is removed. n's own outputs must have no other reader.
func (e *Editor) Absorb(n, user *Node, op Op, in []*Value) {
	e.unlink(n)
	e.unlink(user)
	i, j := slices.Index(e.g.Nodes, n), slices.Index(e.g.Nodes, user)
	e.gone[user] = true
	n.Op, n.In, n.Out, n.Spec = op, in, user.Out, nil
	n.Layers = append(n.Layers, user.Layers...)
	e.g.Nodes[j] = n
	e.g.Nodes[i] = user
	e.link(n)
}

// Remove takes n out and lets everything that read its first output read v.
// n's other outputs must be unread.
func (e *Editor) Remove(n *Node, v *Value) {
	old := n.Out[0]
	e.unlink(n)
	e.gone[n] = true
	for _, u := range slices.Clone(e.users[old]) {
		e.unlink(u)
		for i := range u.In {
			if u.In[i] == old {
				u.In[i] = v
			}
		}
		e.link(u)
	}
	for i, o := range e.g.Outputs {
		if o == old {
			e.g.Outputs[i] = v
			e.output[v]++
		}
	}
	delete(e.output, old)
}

// Gone reports whether n has been removed.
func (e *Editor) Gone(n *Node) bool { return e.gone[n] }

// Done drops removed nodes and nodes whose results nobody reads, and ends the
// editing.
func (e *Editor) Done() {
	live := map[*Value]bool{}
	for _, v := range e.g.Outputs {
		live[v] = true
	}
	keep := make([]*Node, 0, len(e.g.Nodes))
	for _, n := range slices.Backward(e.g.Nodes) {
		if e.gone[n] || !slices.ContainsFunc(n.Out, func(v *Value) bool { return v != nil && live[v] }) {
			continue
		}
		keep = append(keep, n)
		for _, v := range n.In {
			if v != nil {
				live[v] = true
			}
		}
	}
	slices.Reverse(keep)
	e.g.Nodes = keep
}
