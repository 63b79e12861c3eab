package split

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Rank gives the best partitions in order: less time, then fewer hops, then fewer bytes on the wire, then
// the partition's text. It considers all partitions whose stages keep the order of Hosts, each host with at
// most one stage and any host left out, cut at Positions of at most the query's width; native execution on
// each host is among them. Partitions whose hops lack a link are left out.
//
// The answer is exact. It returns fewer than Top where there are no more, and an error that wraps
// [ErrNoPartition] where there are none. For k hosts and m positions the best takes O(k²m) steps, each
// further one O(km).
func (pb Problem) Rank(q Query) ([]Estimate, error) {
	t, err := pb.tables()
	if err != nil {
		return nil, fmt.Errorf("split: rank: %w", err)
	}
	if q, err = q.check(pb.Hosts); err != nil {
		return nil, fmt.Errorf("split: rank: %w", err)
	}
	root := t.graph(q)
	var best []Estimate
	for i := 0; len(best) < q.Top; i++ {
		r := root.nth(i)
		if r == nil {
			break
		}
		p := r.partition()[1:]
		if q.SplitOnly && p.Native() {
			continue
		}
		e, err := t.estimate(p)
		if err != nil {
			return nil, fmt.Errorf("split: rank: %w", err)
		}
		best = append(best, e)
	}
	if len(best) == 0 {
		return nil, fmt.Errorf("split: rank: %w (hosts %s; must use %q, must avoid %q, split only %v)",
			ErrNoPartition, strings.Join(pb.Hosts, ", "), q.Use, q.Avoid, q.SplitOnly)
	}
	return best, nil
}

// BestSplit is the best partition over two hosts or more that satisfies the query; Top does not matter.
func (pb Problem) BestSplit(q Query) (Estimate, error) {
	q.Top, q.SplitOnly = 1, true
	best, err := pb.Rank(q)
	if err != nil {
		return Estimate{}, err
	}
	return best[0], nil
}

// Ranking is a search for the k best paths in an acyclic graph, by the recursive enumeration of Jiménez and
// Marzal ("Computing the K shortest paths: a new algorithm and an experimental comparison", 1999).
//
// A node is: host h is about to run the block between candidate positions i and i+1. From there the run goes
// on to the next block on h, or hands over to a later host, or ends. What the outputs' way back costs
// depends on what comes later: they pass h only if the data does not pass the source after h (see Hops). So
// every node exists twice, and the flag says whether the outputs come back to h.
//
// A path from a node is a suffix of a partition. Cost, hops and bytes add up, and suffixes of one node have
// one and the same prefix before them, so that the order of suffixes is the order of whole partitions, ties
// and text included.

// cost is what partitions are compared by, but for the text.
type cost struct {
	time  time.Duration
	hops  int
	bytes int64
}

func (c cost) plus(d cost) cost { return cost{c.time + d.time, c.hops + d.hops, c.bytes + d.bytes} }

func (c cost) compare(d cost) int {
	return cmp.Or(cmp.Compare(c.time, d.time), cmp.Compare(c.hops, d.hops), cmp.Compare(c.bytes, d.bytes))
}

// node is a state of the search.
type node struct {
	edges []edge
	next  []candidate // for each edge, the best path through it that is not in found
	found []*path     // the best paths from here, best first
	taken int         // the edge of the last path found
}

// edge is a step from one node to another.
type edge struct {
	cost cost
	to   *node  // nil: the end
	at   int    // the layer where the step's block ends
	host string // the host that takes over there; empty: the same goes on
}

type candidate struct {
	path *path // nil: no more
	rank int   // its rank among the paths from the edge's end
}

// path is a way from a node to the end.
type path struct {
	cost cost
	edge *edge
	rest *path
}

// nth gives the path of a rank, from 0, or nil.
func (n *node) nth(rank int) *path {
	if n.next == nil {
		n.next = make([]candidate, len(n.edges))
		for i := range n.edges {
			n.next[i] = candidate{n.edges[i].follow(0), 0}
		}
	}
	for len(n.found) <= rank {
		if len(n.found) > 0 {
			c := &n.next[n.taken]
			c.rank++
			c.path = n.edges[n.taken].follow(c.rank)
		}
		best := -1
		for i, c := range n.next {
			if c.path != nil && (best < 0 || c.path.compare(n.next[best].path) < 0) {
				best = i
			}
		}
		if best < 0 {
			return nil
		}
		n.taken = best
		n.found = append(n.found, n.next[best].path)
	}
	return n.found[rank]
}

// follow gives the path over the edge whose rest has a rank, or nil.
func (e *edge) follow(rank int) *path {
	if e.to == nil {
		if rank > 0 {
			return nil
		}
		return &path{cost: e.cost, edge: e}
	}
	rest := e.to.nth(rank)
	if rest == nil {
		return nil
	}
	return &path{e.cost.plus(rest.cost), e, rest}
}

func (p *path) compare(q *path) int {
	if c := p.cost.compare(q.cost); c != 0 {
		return c
	}
	return strings.Compare(p.partition().String(), q.partition().String())
}

// partition is the stages of a path. Its first stage is the one that is running where the path begins, with
// neither host nor beginning.
func (p *path) partition() Partition {
	stages := Partition{{}}
	for ; p != nil; p = p.rest {
		stages[len(stages)-1].Segment.To = p.edge.at
		if p.edge.host != "" {
			stages = append(stages, Stage{p.edge.host, Segment{From: p.edge.at}})
		}
	}
	return stages
}

// graph builds the search graph and gives its root, from which the inputs leave the source.
func (t *tables) graph(q Query) *node {
	var positions []int
	for _, p := range sortedKeys(t.at) {
		if p == 0 || p == t.Layers || t.at[p].Width <= q.MaxWidth {
			positions = append(positions, p)
		}
	}
	blocks := len(positions) - 1

	var hosts []string // that may compute
	must := []int{0}   // must[i] is how many of hosts[:i] must be used
	for _, host := range t.Hosts {
		if slices.Contains(q.Avoid, host) {
			continue
		}
		hosts = append(hosts, host)
		used := must[len(must)-1]
		if slices.Contains(q.Use, host) {
			used++
		}
		must = append(must, used)
	}
	if slices.ContainsFunc(q.Use, func(host string) bool { return slices.Contains(q.Avoid, host) }) {
		return &node{}
	}

	nodes := make([][2]node, len(hosts)*blocks)
	// handOver adds the edges on which the data goes from a host (at the root, the source) to each later one.
	// At the root it is all the same whether the outputs come back to the first stage.
	handOver := func(from *[2]node, host string, after, block int, spent cost) {
		for h := after; h < len(hosts) && must[h] == must[after]; h++ {
			m := t.move(host, hosts[h], positions[block])
			to := &nodes[h*blocks+block]
			for flag, returns := range []bool{false, true} {
				if !m.linked || returns && !m.linkedBack {
					continue
				}
				c, origin := spent.plus(m.there), &from[0]
				if returns {
					c = c.plus(m.back)
				}
				if returns && m.onwards {
					origin = &from[1]
				}
				origin.edges = append(origin.edges, edge{c, &to[flag], positions[block], hosts[h]})
			}
		}
	}
	for h, host := range hosts {
		for i := range blocks {
			spent := cost{time: t.compute(host, Segment{positions[i], positions[i+1]})}
			from := &nodes[h*blocks+i]
			if i+1 < blocks {
				for flag := range from {
					from[flag].edges = append(from[flag].edges, edge{spent, &nodes[h*blocks+i+1][flag], positions[i+1], ""})
				}
				handOver(from, host, h+1, i+1, spent)
			} else if must[len(hosts)] == must[h+1] {
				from[1].edges = append(from[1].edges, edge{spent, nil, t.Layers, ""})
			}
		}
	}
	var start [2]node
	handOver(&start, t.Source, 0, 0, cost{})
	return &node{edges: slices.Concat(start[0].edges, start[1].edges)}
}

// move is how the data gets from one host to another, and the outputs back.
type move struct {
	there, back cost
	// linked says whether there are links for the way there, linkedBack for the way back.
	linked, linkedBack bool
	// onwards says whether the outputs go back to the first host; they do not where they reach the source first.
	onwards bool
}

// move prices the hops of a move at a position; compare Hops.
func (t *tables) move(from, to string, position int) move {
	m := move{linked: true, linkedBack: true, onwards: to != t.Source}
	add := func(sum *cost, linked *bool, h Hop) {
		price, err := t.price(h)
		if err != nil {
			*linked = false
			return
		}
		*sum = sum.plus(cost{price.Time(), 1, price.Wire})
	}
	if from == to {
		return m
	}
	last := from // where the last hop starts, and the first one back ends
	if from != t.Source && to != t.Source && !t.Network.Linked(from, to) {
		add(&m.there, &m.linked, Hop{From: from, To: t.Source, Position: position})
		last, m.onwards = t.Source, false
	}
	add(&m.there, &m.linked, Hop{From: last, To: to, Position: position})
	if to != t.Source {
		add(&m.back, &m.linkedBack, Hop{From: to, To: last, Position: t.Layers, Back: true})
	}
	return m
}

// sortedKeys lists a map's keys in ascending order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
