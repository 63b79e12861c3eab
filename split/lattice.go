package split

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"
)

// Ranking is a search for the k best paths in an acyclic graph, by the recursive enumeration of Jiménez and
// Marzal ("Computing the K shortest paths: a new algorithm and an experimental comparison", 1999): the best
// paths from all nodes by dynamic programming, further ones when they are asked for.
//
// There are two kinds of nodes. At (begins, h, i) the data is on host h, which is about to run the block
// between candidate positions i and i+1; at (runs, h, i) it has run the one before i. From there it runs the
// next one, or hands over to a later host, or ends. A host whose stages are limited as wholes (see fits) goes
// from where it begins to where it ends in one step.
//
// What the outputs' way back costs depends on what comes later: they pass h only if the data does not pass the
// source after h (see Hops). So where that happens nodes exist twice: in way 0 the outputs come back to h, in
// way 1 they do not.
//
// A path from a node is a suffix of a partition. Cost, hops and bytes add up, and suffixes of one node have
// one and the same prefix before them, so that the order of suffixes is the order of whole partitions, ties
// and text included.

// cost is what partitions are compared by, but for the text.
type cost struct {
	value int64 // bytes or picojoules if that is the objective, otherwise 0
	time  time.Duration
	bytes int64
	hops  int32
}

func (c cost) plus(d cost) cost {
	return cost{c.value + d.value, c.time + d.time, c.bytes + d.bytes, c.hops + d.hops}
}

func (c *cost) compare(d *cost) int {
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

// edge is a step from one node to another.
type edge struct {
	cost cost
	to   int32 // none: the end
}

// none is the number of no node and of no edge.
const none = -1

// The kinds of nodes, in the order in which they follow each other at one host and position.
const (
	runs = iota
	begins
	kinds
)

// lattice is the search graph. Its nodes are numbered so that edges go from lower to higher numbers, but for
// the root, from which the inputs leave the source: it is the last.
type lattice struct {
	s      *search
	hosts  []int // the numbers of those that may compute
	at     []int // the candidate positions, as indices of order
	layer  []int // the layers before each
	ways   int   // 1, or 2 where the outputs may stop before they have been everywhere
	edges  []edge
	first  []int32 // the edges of node n are first[n] to first[n+1]
	passes []pass  // by number from*len(hosts)+to; the last row is the source at the root

	best  []int32 // the first edge of the best path from each node, or none
	costs []cost  // of those paths
	more  []*ranking
}

// node is the number of a node.
func (l *lattice) node(kind, h, i, way int) int32 {
	return int32(((i*len(l.hosts)+h)*kinds+kind)*l.ways + way)
}

// place says what node a number is; the host of the root is len(hosts).
func (l *lattice) place(n int32) (kind, h, i, way int) {
	if n == l.root() {
		return runs, len(l.hosts), 0, 0
	}
	k := int(n)
	k, way = k/l.ways, k%l.ways
	k, kind = k/kinds, k%kinds
	return kind, k % len(l.hosts), k / len(l.hosts), way
}

func (l *lattice) root() int32 { return int32(len(l.first) - 2) }

// pass is how data gets from one host to another, and the outputs back.
type pass struct {
	// hops are up to two hops there, by index of the position; nil where there is none.
	hops [2][]HopCost
	most [2]int64 // bytes on the wire of each that limits allow
	home *HopCost // the hop back, or nil
	back cost     // of home
	// linked says whether there are links for the way there, linkedBack for the way back too.
	linked, linkedBack bool
	// onwards says whether the outputs go back to the first host; they do not where they reach the source first.
	onwards bool
}

// pass finds the hops from one host to another, directly or through the source; compare Hops.
func (s *search) pass(from, to int) pass {
	p := pass{linked: true, linkedBack: true, onwards: to != s.source}
	if from == to {
		return p
	}
	add := func(i, a, b int) {
		p.hops[i], p.most[i] = s.rate(a, b), s.mostBytes(a, b)
		p.linked = p.linked && p.hops[i] != nil
	}
	last := from // where the last hop starts, and the first one back ends
	if from != s.source && to != s.source && !s.linked(from, to) {
		add(0, from, s.source)
		last, p.onwards = s.source, false
	}
	add(1, last, to)
	if to != s.source {
		home, err := s.price(Hop{From: s.hosts[to].name, To: s.hosts[last].name, Position: s.Layers, Back: true})
		if p.linkedBack = err == nil; p.linkedBack {
			p.home, p.back = home, s.hopCost(home, to, last)
		}
	}
	p.linkedBack = p.linkedBack && p.linked
	return p
}

// mostBytes is what a hop on the way there may send within the limits for uploads. A host but the source sends
// only once on the way there, and each link is passed only once; what the source sends altogether is left to
// the limits on sums.
func (s *search) mostBytes(from, to int) int64 {
	most := int64(math.MaxInt64)
	for _, l := range s.query.Upload {
		if l.From == s.hosts[from].name && (l.To == "" || l.To == s.hosts[to].name) {
			most = min(most, l.Bytes)
		}
	}
	return most
}

// there is what the way there costs at an index of a position, and whether it is possible within limits.
func (s *search) there(p *pass, at int) (sum cost, ok bool) {
	for i, hops := range p.hops {
		if hops == nil {
			continue
		}
		h := &hops[at]
		if !h.possible() || h.Wire > p.most[i] {
			return sum, false
		}
		from, to := 0, 0
		if s.charges.value != Latency {
			from, to = s.number[h.From], s.number[h.To]
		}
		sum = sum.plus(s.hopCost(h, from, to))
	}
	return sum, p.linked
}

func (s *search) hopCost(h *HopCost, from, to int) cost {
	c := cost{0, h.Time(), h.Wire, 1}
	switch {
	case s.charges.value == Energy:
		c.value = hopEnergy(s.power[from], s.power[to], h)
	case s.charges.value == Egress && from == s.source:
		c.value = h.Wire
	}
	return c
}

// spent is the cost of computing on a host.
func (s *search) spent(host int, d time.Duration) cost {
	c := cost{time: d}
	if s.charges.value == Energy {
		c.value = s.power[host].working(d)
	}
	return c
}

// lattice builds the search graph, without what a limit forbids by itself, and finds the best paths.
func (s *search) lattice() (*lattice, error) {
	l := &lattice{s: s, ways: 1}
	for i, p := range s.order {
		if p.P == 0 || p.P == s.Layers || p.Width <= s.query.MaxWidth {
			l.at, l.layer = append(l.at, i), append(l.layer, p.P)
		}
	}
	must := []int{0} // must[i] is how many of hosts[:i] must be used
	for h, host := range s.Hosts {
		if slices.Contains(s.query.Avoid, host) {
			continue
		}
		l.hosts = append(l.hosts, h)
		used := must[len(must)-1]
		if slices.Contains(s.query.Use, host) {
			used++
		}
		must = append(must, used)
	}
	avoided := func(host string) bool { return slices.Contains(s.query.Avoid, host) }
	if slices.ContainsFunc(s.query.Use, avoided) || len(l.hosts) == 0 {
		l.first = make([]int32, 2)
		l.solve()
		return l, nil
	}
	l.passes = make([]pass, (len(l.hosts)+1)*len(l.hosts))
	for to, b := range l.hosts {
		for from, a := range append(l.hosts[:to:to], s.source) {
			if from == to {
				from = len(l.hosts)
			}
			p := s.pass(a, b)
			l.passes[from*len(l.hosts)+to] = p
			if from < len(l.hosts) && !p.onwards {
				l.ways = 2
			}
		}
	}
	if err := l.build(must); err != nil {
		return nil, err
	}
	l.solve()
	return l, nil
}

// build adds the edges.
func (l *lattice) build(must []int) error {
	s, last := l.s, len(l.at)-1
	l.first = append(make([]int32, 0, int(l.node(0, 0, last+1, 0))+2), 0)
	l.edges = make([]edge, 0, l.ways*last*len(l.hosts)*(2+len(l.hosts)/2))
	close := func() { l.first = append(l.first, int32(len(l.edges))) }
	// handOver adds the edges on which the data goes from a host, or the root, to each later one.
	handOver := func(from, after, i, way int, leave cost) {
		for h := after; h < len(l.hosts) && must[h] == must[after]; h++ {
			p := &l.passes[from*len(l.hosts)+h]
			there, ok := s.there(p, l.at[i])
			if !ok {
				continue
			}
			c := leave.plus(there)
			// At the root it is all the same whether the outputs come back to the first stage.
			root := from == len(l.hosts)
			if p.linkedBack && (root || (way == 0) == p.onwards) {
				l.edges = append(l.edges, edge{c.plus(p.back), l.node(begins, h, i, 0)})
			}
			if l.ways == 2 && (root || way == 1) {
				l.edges = append(l.edges, edge{c, l.node(begins, h, i, 1)})
			}
		}
	}
	for i, layer := range l.layer {
		for h, host := range l.hosts {
			t := &s.hosts[host]
			bounded := s.bounded(host)
			allowed := i < last && (s.forbidden[host] == nil || s.forbidden[host][l.layer[i+1]] == s.forbidden[host][layer])
			var block time.Duration
			if i < last {
				block = t.elapsed[l.layer[i+1]] - t.elapsed[layer]
			}
			for way := range l.ways {
				switch leave := s.spent(host, t.leave[layer]); {
				case i == 0: // no layer has run
				case i < last:
					if allowed && !bounded {
						l.edges = append(l.edges, edge{s.spent(host, block), l.node(runs, h, i+1, way)})
					}
					handOver(h, h+1, i, way, leave)
				case way == 0 && must[len(l.hosts)] == must[h+1]:
					l.edges = append(l.edges, edge{leave, none})
				}
				close()
			}
			for way := range l.ways {
				switch {
				case !allowed:
				case bounded:
					for j := range s.fits(host, l.layer[i:]) {
						spent := t.elapsed[l.layer[i+j]] - t.elapsed[layer] + t.enter[layer]
						l.edges = append(l.edges, edge{s.spent(host, spent), l.node(runs, h, i+j, way)})
					}
				default:
					l.edges = append(l.edges, edge{s.spent(host, block+t.enter[layer]), l.node(runs, h, i+1, way)})
				}
				close()
			}
		}
		if len(l.edges) > s.most.edges {
			return fmt.Errorf("%w: more than %d edges", ErrTooHard, s.most.edges)
		}
	}
	handOver(len(l.hosts), 0, 0, 0, cost{})
	close()
	return nil
}

// bounded says whether limits are about a host's stage as a whole.
func (s *search) bounded(host int) bool {
	_, limited := s.query.Memory[s.Hosts[host]]
	return limited || s.charges.times[host] < math.MaxInt64
}

// fits goes through the ends of stages on a host that begin at the first of some positions: those with which
// the stage keeps the limits that are about it alone. It gives the ends' indices in layers.
func (s *search) fits(host int, layers []int) iter.Seq[int] {
	return func(yield func(int) bool) {
		t, forbidden, most := &s.hosts[host], s.forbidden[host], s.charges.times[host]
		memory, limited := s.query.Memory[t.name]
		from, live := layers[0], int64(0)
		for j := 1; j < len(layers); j++ {
			to := layers[j]
			if forbidden != nil && forbidden[to] > forbidden[from] || t.elapsed[to]-t.elapsed[from]+t.enter[from] > most {
				return
			}
			for _, l := range t.profile.Layers[layers[j-1]:to] {
				live = max(live, l.Live)
			}
			if limited && t.weights[to]-t.weights[from]+live > memory {
				return
			}
			if t.compute(Segment{from, to}) <= most && !yield(j) {
				return
			}
		}
	}
}

// solve finds the best path from each node.
func (l *lattice) solve() {
	l.best, l.costs = make([]int32, len(l.first)-1), make([]cost, len(l.first)-1)
	root := l.root()
	for n := root - 1; n >= 0; n-- {
		l.solveNode(n)
	}
	l.solveNode(root)
}

func (l *lattice) solveNode(n int32) {
	best, least := int32(none), cost{}
	for k := l.first[n]; k < l.first[n+1]; k++ {
		e := &l.edges[k]
		c := e.cost
		if e.to != none {
			if l.best[e.to] == none {
				continue
			}
			c = c.plus(l.costs[e.to])
		}
		if best != none {
			if order := c.compare(&least); order > 0 || order == 0 && l.text(path{c, k, 0}) > l.text(path{least, best, 0}) {
				continue
			}
		}
		best, least = k, c
	}
	l.best[n], l.costs[n] = best, least
}

// path is a way from a node to the end: an edge, and the path of a rank from the edge's end.
type path struct {
	cost cost
	edge int32
	rest int
}

// ranking is the paths from a node beyond the best.
type ranking struct {
	found []path      // the best paths, best first
	next  []candidate // for each edge, the best path through it that is not in found
	taken int         // the edge of the last path found, of the node's edges
}

type candidate struct {
	cost cost
	rank int  // of the path from the edge's end
	gone bool // there are no more
}

// nth gives the path of a rank, from 0, if there is one.
func (l *lattice) nth(n int32, rank int) (path, bool) {
	if rank == 0 {
		return path{l.costs[n], l.best[n], 0}, l.best[n] != none
	}
	if l.best[n] == none {
		return path{}, false
	}
	if l.more == nil {
		l.more = make([]*ranking, len(l.best))
	}
	r := l.more[n]
	if r == nil {
		first := l.first[n]
		r = &ranking{next: make([]candidate, 0, l.first[n+1]-first), found: []path{{l.costs[n], l.best[n], 0}}, taken: int(l.best[n] - first)}
		for k := first; k < l.first[n+1]; k++ {
			r.next = append(r.next, l.follow(k, 0))
		}
		l.more[n] = r
	}
	for len(r.found) <= rank {
		first := l.first[n]
		if c := &r.next[r.taken]; !c.gone {
			*c = l.follow(first+int32(r.taken), c.rank+1)
		}
		best := -1
		for i := range r.next {
			if !r.next[i].gone && (best < 0 || l.before(first, r, i, best)) {
				best = i
			}
		}
		if best < 0 {
			return path{}, false
		}
		r.taken = best
		r.found = append(r.found, r.next[best].over(first, best))
	}
	return r.found[rank], true
}

func (c *candidate) over(first int32, i int) path { return path{c.cost, first + int32(i), c.rank} }

// before says whether the candidate over edge i comes before that over edge j.
func (l *lattice) before(first int32, r *ranking, i, j int) bool {
	a, b := &r.next[i], &r.next[j]
	if c := a.cost.compare(&b.cost); c != 0 {
		return c < 0
	}
	return l.text(a.over(first, i)) < l.text(b.over(first, j))
}

// follow gives the path over an edge whose rest has a rank.
func (l *lattice) follow(k int32, rank int) candidate {
	e := &l.edges[k]
	if e.to == none {
		return candidate{cost: e.cost, rank: rank, gone: rank > 0}
	}
	rest, ok := l.nth(e.to, rank)
	if !ok {
		return candidate{rank: rank, gone: true}
	}
	return candidate{cost: e.cost.plus(rest.cost), rank: rank}
}

// partition is the stages of a path. Its first stage is the one that is running where the path begins, with
// neither host nor beginning.
func (l *lattice) partition(p path) Partition {
	stages := Partition{{}}
	for {
		e := &l.edges[p.edge]
		if e.to == none {
			stages[len(stages)-1].Segment.To = l.layer[len(l.layer)-1]
			return stages
		}
		if kind, h, i, _ := l.place(e.to); kind == begins {
			stages[len(stages)-1].Segment.To = l.layer[i]
			stages = append(stages, Stage{l.s.Hosts[l.hosts[h]], Segment{From: l.layer[i]}})
		}
		p, _ = l.nth(e.to, p.rest)
	}
}

// text is the partition of a path in writing, by which ties are broken.
func (l *lattice) text(p path) string { return l.partition(p).String() }
