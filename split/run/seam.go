package run

import (
	"context"
	"fmt"
	"slices"
	"time"

	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
	"scission/split/cut"
)

// piece is a part of a graph that is compiled and run by itself, with the time
// that each node of its plan took in the last run.
type piece struct {
	segment split.Segment
	session *engine.Session
	nodes   []planNode
	took    []time.Duration
}

// planNode is a node of a plan with its Layers counted in the whole model.
type planNode struct {
	engine.NodeInfo
	key string // the same for nodes that do the same work
}

func planNodes(plan *engine.Plan, from int) []planNode {
	var nodes []planNode
	for _, info := range plan.Nodes() {
		for i := range info.Layers {
			info.Layers[i] += from
		}
		nodes = append(nodes, planNode{info, fmt.Sprint(info.Layers, "|", info.Name, "|", info.Op, "|", info.Kernel, "|", info.Layout)})
	}
	return nodes
}

func (n *Node) newPiece(g *graph.Graph, s split.Segment) (*piece, error) {
	plan, err := n.compile(g, s, n.memory())
	if err != nil {
		return nil, err
	}
	p := &piece{segment: s, session: plan.NewSession(), nodes: planNodes(plan, s.From)}
	p.took = make([]time.Duration, len(p.nodes))
	p.session.Observe(func(node int, took time.Duration) { p.took[node] = took })
	return p, nil
}

func (p *piece) has(key string) bool { return indexOf(p.nodes, key) >= 0 }

func indexOf(nodes []planNode, key string) int {
	return slices.IndexFunc(nodes, func(n planNode) bool { return n.key == key })
}

// exits are the changes of layout of the piece's results.
func (p *piece) exits() []string {
	var keys []string
	for _, n := range p.nodes {
		if len(n.Layers) == 0 {
			keys = append(keys, n.key)
		}
	}
	slices.Sort(keys)
	return keys
}

// seam is the surroundings of a cut: the part before it and the part behind it,
// and both in one piece, which is compiled as it is in the whole model.
type seam struct {
	joined, before, behind *piece
	leave, enter           change
}

// change is what one side of a cut computes otherwise than in the whole model.
type change struct {
	added  []int // nodes of the side's piece
	spared []int // nodes of the joined piece
}

func (c change) any() bool { return len(c.added)+len(c.spared) > 0 }

// took is how much longer the side has taken in the last runs of its piece and
// of the joined one, and at least 0.
func (c change) took(side, joined *piece) time.Duration {
	var d time.Duration
	for _, i := range c.added {
		d += side.took[i]
	}
	for _, i := range c.spared {
		d -= joined.took[i]
	}
	return max(d, 0)
}

// seams finds the seams of a graph and has the tensors that cross its cuts.
type seams struct {
	node    *Node
	graph   *graph.Graph
	plan    []planNode         // of the whole model
	narrow  []int              // positions that few tensors cross, ascending from 0
	makers  map[int][]planNode // of what crosses a narrow position
	tensors map[int][]*tensor.Tensor
	recent  []int // positions in tensors beside 0
}

// maxRecent bounds the positions whose tensors are kept at a time.
const maxRecent = 8

func newSeams(n *Node, g *graph.Graph, plan []planNode, narrow []cut.Cut, in []*tensor.Tensor) *seams {
	w := &seams{node: n, graph: g, plan: plan, makers: map[int][]planNode{}, tensors: map[int][]*tensor.Tensor{0: in}}
	made := map[*graph.Value]int{}
	for i, node := range g.Nodes {
		for _, v := range node.Out {
			made[v] = i
		}
	}
	for _, c := range narrow {
		w.narrow = append(w.narrow, c.Position)
		for _, v := range c.Values {
			layer, ok := made[v]
			if !ok {
				continue // an input
			}
			if m, ok := w.maker(layer); ok {
				w.makers[c.Position] = append(w.makers[c.Position], m)
			}
		}
	}
	return w
}

// maker is the node of the whole plan that has the layer or, if that is joined
// to later ones, the last layer before it.
func (w *seams) maker(layer int) (planNode, bool) {
	for ; layer >= 0; layer-- {
		// Changes of layout are named by the layers of the node that they are for, which stands behind them.
		for _, n := range slices.Backward(w.plan) {
			if slices.Contains(n.Layers, layer) {
				return n, true
			}
		}
	}
	return planNode{}, false
}

// keep copies what crosses position p.
func (w *seams) keep(p int, ts []*tensor.Tensor) {
	if _, known := w.tensors[p]; known {
		return
	}
	if len(w.recent) == maxRecent {
		delete(w.tensors, w.recent[0])
		w.recent = w.recent[1:]
	}
	copies := make([]*tensor.Tensor, len(ts))
	for i, t := range ts {
		copies[i] = t.Clone()
	}
	w.tensors[p], w.recent = copies, append(w.recent, p)
}

// at returns what crosses position p, which it computes from the last position
// before it that is known.
func (w *seams) at(ctx context.Context, p int) ([]*tensor.Tensor, error) {
	if ts, known := w.tensors[p]; known {
		return ts, nil
	}
	from := 0
	for _, q := range w.recent {
		if q < p {
			from = max(from, q)
		}
	}
	part, err := w.node.newPiece(w.graph, split.Segment{From: from, To: p})
	if err != nil {
		return nil, err
	}
	out, err := part.session.Run(ctx, w.tensors[from])
	if err != nil {
		return nil, err
	}
	w.keep(p, out)
	return w.tensors[p], nil
}

// seam finds small surroundings of the cut at p, which is neither the first nor
// the last, that show all that the cut changes: the joined piece has the plan of
// the whole model wherever the others differ from it, and behind the cut the
// plans meet again. Each time that they do not show it they grow by twice as
// many positions, since what takes long is to compile them.
func (w *seams) seam(p int) (*seam, error) {
	layers := len(w.graph.Nodes)
	from, to := w.lower(w.reach(p)), w.upper(p)
	var s seam
	for step := 1; ; step *= 2 {
		var err error
		if s.joined == nil || s.joined.segment != (split.Segment{From: from, To: to}) {
			if s.joined, err = w.node.newPiece(w.graph, split.Segment{From: from, To: to}); err != nil {
				return nil, err
			}
		}
		if s.before == nil || s.before.segment.From != from {
			if s.before, err = w.node.newPiece(w.graph, split.Segment{From: from, To: p}); err != nil {
				return nil, err
			}
		}
		if s.behind == nil || s.behind.segment.To != to {
			if s.behind, err = w.node.newPiece(w.graph, split.Segment{From: p, To: to}); err != nil {
				return nil, err
			}
		}
		like := w.compare(&s, p)
		met := slices.Equal(s.joined.exits(), s.behind.exits())
		switch {
		case !met && to < layers || !like && from == 0 && to < layers:
			for range step {
				to = w.upper(to)
			}
		case !like && from > 0:
			for range step {
				from = w.lower(from)
			}
		default:
			s.leave.drop(s.before, s.joined)
			s.enter.drop(s.behind, s.joined)
			return &s, nil
		}
	}
}

// reach is behind the first of the layers that the whole model joins across p
// or of those that make what crosses it, and at most p.
func (w *seams) reach(p int) int {
	first := p
	for _, n := range w.makers[p] {
		first = min(first, slices.Min(n.Layers))
	}
	for _, n := range w.plan {
		if len(n.Layers) > 0 && slices.Min(n.Layers) < p && slices.Max(n.Layers) >= p {
			first = min(first, slices.Min(n.Layers))
		}
	}
	return min(first+1, p)
}

// lower is the last narrow position before p.
func (w *seams) lower(p int) int {
	i, _ := slices.BinarySearch(w.narrow, p)
	return w.narrow[max(i-1, 0)]
}

// upper is the first position behind p across which the whole model joins
// nothing, or its end.
func (w *seams) upper(p int) int {
	for p++; p < len(w.graph.Nodes); p++ {
		done, joined := false, false
		for _, n := range w.plan {
			if len(n.Layers) > 0 {
				done = done || slices.Contains(n.Layers, p-1)
				joined = joined || slices.Min(n.Layers) < p && slices.Max(n.Layers) >= p
			}
		}
		// A layer that no node has is joined to a later one.
		if done && !joined {
			break
		}
	}
	return min(p, len(w.graph.Nodes))
}

// compare finds what the cut at p changes, and reports whether the joined piece
// has the nodes of the whole model there.
func (w *seams) compare(s *seam, p int) (like bool) {
	s.leave, s.enter = change{}, change{}
	like = !slices.ContainsFunc(w.makers[p], func(n planNode) bool { return !s.joined.has(n.key) })
	for i, n := range s.before.nodes {
		if len(n.Layers) == 0 || !s.joined.has(n.key) {
			s.leave.added = append(s.leave.added, i)
		}
	}
	for i, n := range s.joined.nodes {
		if len(n.Layers) > 0 && n.Layers[0] < p && !s.before.has(n.key) {
			s.leave.spared = append(s.leave.spared, i)
			like = like && indexOf(w.plan, n.key) >= 0
		}
	}
	for i, n := range s.behind.nodes {
		if len(n.Layers) > 0 && indexOf(w.plan, n.key) < 0 {
			s.enter.added = append(s.enter.added, i)
		}
	}
	for _, n := range w.plan {
		if len(n.Layers) == 0 || n.Layers[0] >= s.joined.segment.To {
			continue
		}
		if n.Layers[0] >= p && !s.behind.has(n.key) {
			if i := indexOf(s.joined.nodes, n.key); i >= 0 {
				s.enter.spared = append(s.enter.spared, i)
			} else {
				like = false
			}
		}
		if slices.Contains(n.Layers, s.joined.segment.To-1) {
			like = like && s.joined.has(n.key)
		}
	}
	return like
}

// drop takes out what the same kernel does in both, with less joined to it on
// the side: having less to do costs nothing, so that a difference is noise.
func (c *change) drop(side, joined *piece) {
	c.added = slices.DeleteFunc(c.added, func(i int) bool {
		n := side.nodes[i]
		k := slices.IndexFunc(c.spared, func(j int) bool {
			m := joined.nodes[j]
			return len(n.Layers) > 0 && n.Kernel == m.Kernel && n.Layout == m.Layout && n.Layers[0] == m.Layers[0] && len(n.Layers) <= len(m.Layers)
		})
		if k >= 0 {
			c.spared = slices.Delete(c.spared, k, k+1)
		}
		return k >= 0
	})
}

// run runs the joined piece and then the two sides, and returns how much longer
// each side takes for the cut, and what crosses it, until the next run.
func (s *seam) run(ctx context.Context, in []*tensor.Tensor) (crossing []*tensor.Tensor, leave, enter time.Duration, err error) {
	if _, err := s.joined.session.Run(ctx, in); err != nil {
		return nil, 0, 0, err
	}
	if crossing, err = s.before.session.Run(ctx, in); err != nil {
		return nil, 0, 0, err
	}
	if _, err := s.behind.session.Run(ctx, crossing); err != nil {
		return nil, 0, 0, err
	}
	return crossing, s.leave.took(s.before, s.joined), s.enter.took(s.behind, s.joined), nil
}
