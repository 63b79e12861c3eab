// Package maxflow finds minimum cuts of directed graphs by maximum flows.
//
// Graphs are those of gonum.org/v1/gonum/graph, which has no maximum flow of its own. The package imports
// nothing of this module and does not know what a graph stands for.
package maxflow

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/graph"
)

// MinCut finds a set of nodes, the source in it and the sink not, such that the edges that leave it have the
// least total weight, and gives that weight and the set. Of several such sets it is the smallest one, which
// all others contain. Weights are capacities: from 0 up to and including infinity. Where they are whole
// numbers and finite ones add up to less than 2^53 the answer is exact. If every set has an edge of infinite
// weight leaving it, the weight is infinite and the set nil.
//
// It is Dinic's algorithm ("Algorithm for solution of a problem of maximum flow in a network with power
// estimation", 1970), O(n²m) for n nodes and m edges, and reads g only.
func MinCut(g graph.WeightedDirected, source, sink int64) (float64, map[int64]bool, error) {
	if g.Node(source) == nil || g.Node(sink) == nil || source == sink {
		return 0, nil, fmt.Errorf("maxflow: source %d and sink %d, want two nodes of the graph", source, sink)
	}
	n, err := residual(g)
	if err != nil {
		return 0, nil, err
	}
	s, t := n.index[source], n.index[sink]
	var flow float64
	for n.levels(s, t) {
		for i := range n.next {
			n.next[i] = 0
		}
		for {
			pushed := n.push(s, t)
			if pushed == 0 {
				break
			}
			if flow += pushed; math.IsInf(flow, 1) {
				return flow, nil, nil
			}
		}
	}
	side := map[int64]bool{}
	for i, id := range n.ids {
		if n.level[i] >= 0 {
			side[id] = true
		}
	}
	return flow, side, nil
}

// network is what a flow leaves of the capacities.
type network struct {
	ids   []int64
	index map[int64]int
	arcs  []arc
	out   [][]int // the arcs that leave a node
	level []int   // the number of arcs from the source, or -1 where it does not reach
	next  []int   // the first of a node's arcs that may lead to the sink
	path  []int   // of arcs
}

// arc is one direction of an edge; arcs i and i^1 are the two of one edge.
type arc struct {
	to   int
	left float64
}

func residual(g graph.WeightedDirected) (*network, error) {
	n := &network{index: map[int64]int{}}
	for _, node := range graph.NodesOf(g.Nodes()) {
		n.ids = append(n.ids, node.ID())
	}
	slices.Sort(n.ids)
	for i, id := range n.ids {
		n.index[id] = i
	}
	n.out, n.level, n.next = make([][]int, len(n.ids)), make([]int, len(n.ids)), make([]int, len(n.ids))
	for from, id := range n.ids {
		var targets []int64
		for _, node := range graph.NodesOf(g.From(id)) {
			targets = append(targets, node.ID())
		}
		slices.Sort(targets)
		for _, target := range targets {
			weight := g.WeightedEdge(id, target).Weight()
			if !(weight >= 0) {
				return nil, fmt.Errorf("maxflow: edge from %d to %d has weight %g, want at least 0", id, target, weight)
			}
			to := n.index[target]
			n.out[from], n.out[to] = append(n.out[from], len(n.arcs)), append(n.out[to], len(n.arcs)+1)
			n.arcs = append(n.arcs, arc{to, weight}, arc{from, 0})
		}
	}
	return n, nil
}

// levels counts arcs from the source, and says whether the sink is reached.
func (n *network) levels(s, t int) bool {
	for i := range n.level {
		n.level[i] = -1
	}
	n.level[s] = 0
	queue := []int{s}
	for i := 0; i < len(queue); i++ {
		for _, a := range n.out[queue[i]] {
			if to := n.arcs[a].to; n.arcs[a].left > 0 && n.level[to] < 0 {
				n.level[to] = n.level[queue[i]] + 1
				queue = append(queue, to)
			}
		}
	}
	return n.level[t] >= 0
}

// push sends as much as one path from the source to the sink takes, one level to the next, and says how much;
// 0 where there is no such path any more.
func (n *network) push(s, t int) float64 {
	n.path = n.path[:0]
	for at := s; at != t; {
		if n.next[at] == len(n.out[at]) {
			if at == s {
				return 0
			}
			last := n.path[len(n.path)-1]
			n.path = n.path[:len(n.path)-1]
			at = n.arcs[last^1].to
			n.next[at]++
			continue
		}
		a := n.out[at][n.next[at]]
		if to := n.arcs[a].to; n.arcs[a].left > 0 && n.level[to] == n.level[at]+1 {
			n.path = append(n.path, a)
			at = to
			continue
		}
		n.next[at]++
	}
	pushed := math.Inf(1)
	for _, a := range n.path {
		pushed = min(pushed, n.arcs[a].left)
	}
	if math.IsInf(pushed, 1) {
		return pushed
	}
	for _, a := range n.path {
		n.arcs[a].left -= pushed
		n.arcs[a^1].left += pushed
	}
	return pushed
}
