package split

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Rank gives the best partitions in order: less of the query's objective, then less time, then fewer hops,
// then fewer bytes on the wire, then the partition's text. It considers all partitions whose stages keep the
// order of Hosts, each host with at most one stage and any host left out, cut at Positions of at most the
// query's width; native execution on each host is among them. Partitions whose hops lack a link are left out.
//
// The answer is exact. It returns fewer than Top where there are no more, and an error that wraps
// [ErrNoPartition] where there are none.
//
// For k hosts and m positions the best takes O(k²m) steps, each further one O(km). That holds for limits on
// single layers, single hops and the total latency. Limits on sums that several steps share (compute times,
// what the source sends altogether) are answered in the same way where enough of the first few hundred
// partitions keep them. Otherwise, and for throughput, the search keeps all ways to a position that no other
// beats in everything that counts, for which there is no polynomial bound: beyond a fixed number of steps,
// some seconds, the error wraps [ErrTooHard].
func (pb Problem) Rank(q Query) ([]Estimate, error) {
	t, err := pb.tables()
	if err != nil {
		return nil, fmt.Errorf("split: rank: %w", err)
	}
	return t.rank(q)
}

func (t *tables) rank(q Query) ([]Estimate, error) {
	s, err := t.search(q)
	if err != nil {
		return nil, fmt.Errorf("split: rank: %w", err)
	}
	best, err := s.best()
	if err == nil && len(best) == 0 {
		err = s.none()
	}
	if err != nil {
		return nil, fmt.Errorf("split: rank: %w", err)
	}
	return best, nil
}

// none is the error of a query without an answer.
func (s *search) none() error {
	q := s.query
	text := fmt.Sprintf("hosts %s; must use %q, must avoid %q, split only %v", strings.Join(s.Hosts, ", "), q.Use, q.Avoid, q.SplitOnly)
	if q.MaxTotal > 0 {
		text += fmt.Sprintf(", at most %v", q.MaxTotal)
	}
	if q.Nonlinear > 0 {
		text += fmt.Sprintf(", %d nonlinear layers on %s first", q.Nonlinear, s.Source)
	}
	if n := len(q.Compute) + len(q.Upload) + len(q.Layers) + len(q.NoCodecs); n > 0 {
		text += fmt.Sprintf(", %d limits and rules for hosts, layers and codecs", n)
	}
	return fmt.Errorf("%w (%s)", ErrNoPartition, text)
}

// BestSplit is the best partition over two hosts or more that satisfies the query; Top does not matter.
func (pb Problem) BestSplit(q Query) (Estimate, error) {
	t, err := pb.tables()
	if err != nil {
		return Estimate{}, fmt.Errorf("split: rank: %w", err)
	}
	return t.bestSplit(q)
}

func (t *tables) bestSplit(q Query) (Estimate, error) {
	q.Top, q.SplitOnly = 1, true
	best, err := t.rank(q)
	if err != nil {
		return Estimate{}, err
	}
	return best[0], nil
}

// search is a query on a problem.
type search struct {
	*tables
	query Query
	// forbidden[host][i] is how many of layers [0, i) must not run on a host; hosts without any are left out.
	forbidden map[string][]int
	charges   charges
}

func (t *tables) search(q Query) (*search, error) {
	q, err := q.check(t.Hosts, t.Source)
	if err != nil {
		return nil, err
	}
	s := &search{tables: t.without(q.NoCodecs), query: q}
	if s.forbidden, err = t.forbidden(q); err != nil {
		return nil, err
	}
	if err := t.checkEnergy(q.Power); err != nil {
		return nil, err
	}
	if s.charges, err = s.charged([]Objective{q.Objective}); err != nil {
		return nil, err
	}
	return s, nil
}

// best answers the query.
func (s *search) best() ([]Estimate, error) {
	l := s.lattice()
	if s.query.Objective != Throughput {
		if best, complete, err := s.enumerate(l.root); complete || err != nil {
			return best, err
		}
	}
	return s.sweepTwice(l, s.query.Top)
}

// attempts is how many partitions for each result, and how many beside, are tried one by one.
const (
	attempts     = 4
	moreAttempts = 256
)

// enumerate goes through all partitions in order, of which those that keep all limits are the answer. Where
// limits on sums leave out too many it gives up, and the answer is not complete.
func (s *search) enumerate(root *node) (best []Estimate, complete bool, err error) {
	for i := 0; len(best) < s.query.Top; i++ {
		if s.charges.limits && i == attempts*s.query.Top+moreAttempts {
			return nil, false, nil
		}
		r := root.nth(i)
		if r == nil {
			break
		}
		if s.query.MaxTotal > 0 && s.query.Objective == Latency && r.cost.time > s.query.MaxTotal {
			break
		}
		p := r.partition()[1:]
		if s.query.SplitOnly && p.Native() {
			continue
		}
		e, err := s.estimate(p)
		if err != nil {
			return nil, false, err
		}
		if s.charges.keeps(s, e) {
			best = append(best, e)
		}
	}
	return best, true, nil
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
	value int64 // bytes or picojoules if that is the objective, otherwise 0
	time  time.Duration
	hops  int
	bytes int64
}

func (c cost) plus(d cost) cost {
	return cost{c.value + d.value, c.time + d.time, c.hops + d.hops, c.bytes + d.bytes}
}

func (c cost) compare(d cost) int {
	switch {
	case c.value != d.value:
		return cmp.Compare(c.value, d.value)
	case c.time != d.time:
		return cmp.Compare(c.time, d.time)
	case c.hops != d.hops:
		return cmp.Compare(c.hops, d.hops)
	}
	return cmp.Compare(c.bytes, d.bytes)
}

// node is a state of the search.
type node struct {
	edges []edge
	next  []candidate // for each edge, the best path through it that is not in found
	found []*path     // the best paths from here, best first
	taken int         // the edge of the last path found

	labels []*label // see sweep
}

// edge is a step from one node to another.
type edge struct {
	cost cost
	to   *node  // nil: the end
	at   int    // the layer where the step's block ends
	host string // the host that takes over there; empty: the same goes on

	charge *charge // for sweep, where it counts more than costs
}

// charge is what an edge stands for.
type charge struct {
	spent   time.Duration // compute time of the step's block, and of leaving the host
	enter   time.Duration // compute time of entering the host that takes over
	move    *move         // to the host that takes over, or nil
	returns bool          // the outputs come back from it
}

type candidate struct {
	cost cost
	rest *path // behind the edge
	rank int   // rest's rank among the paths from the edge's end
	gone bool  // there are no more
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
			n.next[i] = n.edges[i].follow(0)
		}
	}
	for len(n.found) <= rank {
		if len(n.found) > 0 {
			n.next[n.taken] = n.edges[n.taken].follow(n.next[n.taken].rank + 1)
		}
		best := -1
		for i := range n.next {
			if !n.next[i].gone && (best < 0 || n.before(i, best)) {
				best = i
			}
		}
		if best < 0 {
			return nil
		}
		n.taken = best
		n.found = append(n.found, &path{n.next[best].cost, &n.edges[best], n.next[best].rest})
	}
	return n.found[rank]
}

// before says whether the candidate over edge i comes before that over edge j.
func (n *node) before(i, j int) bool {
	a, b := &n.next[i], &n.next[j]
	if c := a.cost.compare(b.cost); c != 0 {
		return c < 0
	}
	p, q := path{a.cost, &n.edges[i], a.rest}, path{b.cost, &n.edges[j], b.rest}
	return p.partition().String() < q.partition().String()
}

// follow gives the path over the edge whose rest has a rank.
func (e *edge) follow(rank int) candidate {
	if e.to == nil {
		return candidate{cost: e.cost, rank: rank, gone: rank > 0}
	}
	rest := e.to.nth(rank)
	if rest == nil {
		return candidate{rank: rank, gone: true}
	}
	return candidate{cost: e.cost.plus(rest.cost), rest: rest, rank: rank}
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

// lattice is the search graph.
type lattice struct {
	root   *node    // from which the inputs leave the source
	hosts  []string // that may compute
	blocks int
	// nodes[h*blocks+i] is host h about to run block i, without and with the outputs coming back.
	nodes [][2]node
}

// lattice builds the search graph, without the blocks and hops that a limit forbids by itself.
func (s *search) lattice() lattice {
	var positions []int
	for _, p := range s.order {
		if p == 0 || p == s.Layers || s.at[p].Width <= s.query.MaxWidth {
			positions = append(positions, p)
		}
	}
	blocks := len(positions) - 1

	var hosts []string // that may compute
	must := []int{0}   // must[i] is how many of hosts[:i] must be used
	for _, host := range s.Hosts {
		if slices.Contains(s.query.Avoid, host) {
			continue
		}
		hosts = append(hosts, host)
		used := must[len(must)-1]
		if slices.Contains(s.query.Use, host) {
			used++
		}
		must = append(must, used)
	}
	if slices.ContainsFunc(s.query.Use, func(host string) bool { return slices.Contains(s.query.Avoid, host) }) {
		return lattice{root: &node{}}
	}

	nodes := make([][2]node, len(hosts)*blocks)
	linked := make([][]bool, len(hosts)) // each with each later one
	for h, host := range hosts {
		linked[h] = make([]bool, len(hosts))
		// Each block has an edge to the next and up to two, or one, to each later host.
		later := len(hosts) - 1 - h
		for l := h + 1; l < len(hosts); l++ {
			linked[h][l] = s.Network.Linked(host, hosts[l])
		}
		room := [...]int{1 + 2*later, 1 + later}
		edges := make([]edge, blocks*(room[0]+room[1]))
		for i := range blocks {
			for flag, n := range room {
				nodes[h*blocks+i][flag].edges, edges = edges[:0:n], edges[n:]
			}
		}
	}
	// handOver adds the edges on which the data goes from a host (at the root, the source) to each later one.
	// At the root it is all the same whether the outputs come back to the first stage.
	handOver := func(from *[2]node, host string, after, block int, spent cost) {
		for h := after; h < len(hosts) && must[h] == must[after]; h++ {
			enter := s.enter[hosts[h]][positions[block]]
			direct := host == s.Source || hosts[h] == s.Source || linked[after-1][h]
			m := s.move(host, hosts[h], positions[block], direct)
			to := &nodes[h*blocks+block]
			for flag, returns := range [...]bool{false, true} {
				if !m.linked || returns && !m.linkedBack {
					continue
				}
				c, origin := spent.plus(s.spent(hosts[h], enter)).plus(m.there), &from[0]
				if returns {
					c = c.plus(m.back)
				}
				if returns && m.onwards {
					origin = &from[1]
				}
				origin.edges = append(origin.edges, edge{c, &to[flag], positions[block], hosts[h], s.charge(spent.time, enter, &m, returns)})
			}
		}
	}
	for h, host := range hosts {
		forbidden, elapsed, leave := s.forbidden[host], s.elapsed[host], s.leave[host]
		for i := range blocks {
			block := Segment{positions[i], positions[i+1]}
			if forbidden != nil && forbidden[block.To] > forbidden[block.From] {
				continue
			}
			inside := elapsed[block.To] - elapsed[block.From]
			spent := s.spent(host, inside+leave[block.To])
			from := &nodes[h*blocks+i]
			if i+1 < blocks {
				stay, charge := s.spent(host, inside), s.charge(inside, 0, nil, false)
				for flag := range from {
					from[flag].edges = append(from[flag].edges,
						edge{cost: stay, to: &nodes[h*blocks+i+1][flag], at: positions[i+1], charge: charge})
				}
				handOver(from, host, h+1, i+1, spent)
			} else if must[len(hosts)] == must[h+1] {
				from[1].edges = append(from[1].edges, edge{cost: spent, at: s.Layers, charge: s.charge(spent.time, 0, nil, false)})
			}
		}
	}
	var start [2]node
	handOver(&start, s.Source, 0, 0, cost{})
	return lattice{&node{edges: slices.Concat(start[0].edges, start[1].edges)}, hosts, blocks, nodes}
}

// spent is the cost of computing on a host.
func (s *search) spent(host string, d time.Duration) cost {
	c := cost{time: d}
	if s.charges.value == Energy {
		c.value = s.query.Power[host].working(d)
	}
	return c
}

// charge is nil where a sweep is not needed.
func (s *search) charge(spent, enter time.Duration, m *move, returns bool) *charge {
	if !s.charges.any {
		return nil
	}
	if m == nil {
		return &charge{spent: spent}
	}
	kept := *m // so that m need not be allocated where nothing is charged
	return &charge{spent, enter, &kept, returns}
}

// move is how the data gets from one host to another, and the outputs back.
type move struct {
	there, back cost
	// linked says whether there are links for the way there, linkedBack for the way back; and whether limits
	// allow it.
	linked, linkedBack bool
	// onwards says whether the outputs go back to the first host; they do not where they reach the source first.
	onwards bool
	// hops are up to two hops there and up to one back, nil where there is none.
	hops [2]*HopCost
	home *HopCost
}

// move prices the hops of a move at a position, directly or through the source; compare Hops.
func (s *search) move(from, to string, position int, direct bool) move {
	m := move{linked: true, linkedBack: true, onwards: to != s.Source}
	add := func(sum *cost, linked *bool, h Hop) *HopCost {
		price, err := s.price(h)
		if err != nil || !h.Back && !s.allows(price) {
			*linked = false
			return nil
		}
		c := cost{0, price.Time(), 1, price.Wire}
		switch {
		case s.charges.value == Energy:
			c.value = hopEnergy(s.query.Power, price)
		case s.charges.value == Egress && h.From == s.Source:
			c.value = price.Wire
		}
		*sum = sum.plus(c)
		return price
	}
	if from == to {
		return m
	}
	last := from // where the last hop starts, and the first one back ends
	if !direct {
		m.hops[0] = add(&m.there, &m.linked, Hop{From: from, To: s.Source, Position: position})
		last, m.onwards = s.Source, false
	}
	m.hops[1] = add(&m.there, &m.linked, Hop{From: last, To: to, Position: position})
	if to != s.Source {
		m.home = add(&m.back, &m.linkedBack, Hop{From: to, To: last, Position: s.Layers, Back: true})
	}
	return m
}

// allows says whether a hop on the way there keeps the limits for uploads. A host but the source sends only
// once on the way there, and each link is passed only once; what the source sends altogether is left to the
// limits on sums.
func (s *search) allows(h *HopCost) bool {
	for _, l := range s.query.Upload {
		if l.From == h.From && (l.To == "" || l.To == h.To) && h.Wire > l.Bytes {
			return false
		}
	}
	return true
}

// sortedKeys lists a map's keys in ascending order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
