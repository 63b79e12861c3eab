package split

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Sweeping is a search by labels, as for shortest paths with limited resources (Desrochers and Soumis, "A
// generalized permanent labelling algorithm for the shortest path problem with time windows", 1988). A label
// is a way from the root to a node. One is beaten by another at the same node that comes first by cost and
// text and has counted no more of anything: whatever follows, the other then does as well, keeps the same
// limits, and comes first. A label that as many others beat as there are results to find cannot be the
// beginning of a result. Nor can one that no way on brings within all limits, or to a cost as low as that of
// results that are known; see relaxation.

// busy is how busy an edge makes the parts of a pipeline.
type busy struct {
	source time.Duration // the source
	before time.Duration // the host that runs, or hands over, unless it is the source
	after  time.Duration // the host that takes over, unless it is the source
	wire   time.Duration // the slowest wire
	hands  bool          // over to another host
}

// label is a way from the root to a node.
type label struct {
	cost    cost
	sums    []int64
	slowest time.Duration // of all parts that are done: hosts and wires
	source  time.Duration // how busy the source is
	current time.Duration // how busy the host is that is running, if it is not the source
	native  bool          // one host has run everything, and must not run the whole model
	node    int32
	before  *label
}

// interval is the time from output to output so far.
func (l *label) interval() time.Duration { return max(l.slowest, l.source, l.current) }

// beats says whether l, which comes first, has counted no more of anything.
func (l *label) beats(m *label) bool {
	if l.slowest > m.slowest || l.source > m.source || l.current > m.current || l.native && !m.native {
		return false
	}
	for i := range l.sums {
		if l.sums[i] > m.sums[i] {
			return false
		}
	}
	return true
}

// sweep is the search by labels in one lattice, for the best partitions by one objective or the front of
// several.
type sweep struct {
	*lattice
	top        int
	objectives []Objective
	uses       []int64   // what each edge adds to each sum, by number edge*len(sums)+sum
	busy       []busy    // by edge, if the interval is an objective
	least      [][]int64 // by sum and node: the least that a way on adds
	scale      []float64 // by sum: the most that an edge adds or takes, or 1
	relaxed    *relaxation
	// worst is the cost of a known result, where cost is the objective.
	worst *cost
	// floor is an interval that no partition goes below, and ceiling what is possible within a bound; 0 and nil
	// where the interval does not count.
	floor   time.Duration
	ceiling *ceiling
	cut     bool       // the ceiling has left out ways
	labels  [][]*label // by node
}

func (s *search) newSweep(l *lattice, top int, objectives []Objective) *sweep {
	w := &sweep{lattice: l, top: top, objectives: objectives}
	w.uses = make([]int64, 0, len(l.edges)*len(s.charges.sums))
	for n := range int32(len(l.first) - 1) {
		for k := l.first[n]; k < l.first[n+1]; k++ {
			w.charge(n, k)
		}
	}
	n := len(s.charges.sums)
	for i := range n {
		w.least = append(w.least, w.leastOn(i))
		scale := 1.
		for k := range l.edges {
			scale = max(scale, math.Abs(float64(w.uses[k*n+i])))
		}
		w.scale = append(w.scale, scale)
	}
	return w
}

// charge counts what an edge from a node uses.
func (w *sweep) charge(n, k int32) {
	s, e := w.s, &w.edges[k]
	_, h, i, _ := w.place(n)
	host, spent := none, time.Duration(0)
	if h < len(w.hosts) {
		host, spent = w.hosts[h], e.cost.time
	}
	var hops []*HopCost
	b := busy{}
	if e.to != none {
		kind, to, at, way := w.place(e.to)
		if b.hands = kind == begins; b.hands {
			hops, spent = w.hops(h, to, at, way == 0), 0
			if host != none {
				spent = s.hosts[host].leave[w.layer[i]]
			}
		}
	}
	for j := range s.charges.sums {
		sum, use := &s.charges.sums[j], int64(0)
		switch {
		case sum.share && host != none:
			use = sum.excess(host, spent)
		case sum.share:
		case sum.losses:
			for _, p := range hops {
				use += s.lost(p)
			}
		case sum.of == Latency:
			use = int64(e.cost.time)
		case sum.of == Energy:
			if host != none {
				use = s.power[host].working(spent)
			}
			for _, p := range hops {
				use += hopEnergy(s.power[s.number[p.From]], s.power[s.number[p.To]], p)
			}
		default:
			for _, p := range hops {
				if p.From == s.Source {
					use += p.Wire
				}
			}
		}
		w.uses = append(w.uses, use)
	}
	if !s.charges.interval {
		return
	}
	work := func(at string, from int, d time.Duration) {
		switch {
		case at == s.Source:
			b.source += d
		case from != none && at == s.hosts[from].name:
			b.before += d
		default:
			b.after += d
		}
	}
	if host != none {
		work(s.hosts[host].name, host, spent)
	}
	for _, p := range hops {
		work(p.From, host, p.Encode)
		work(p.To, host, p.Decode)
		b.wire = max(b.wire, p.wireTime())
	}
	w.busy = append(w.busy, b)
}

// hops lists the hops from a host, or the root, to another, and the one back where the outputs return.
func (l *lattice) hops(from, to, i int, returns bool) []*HopCost {
	p := &l.passes[from*len(l.hosts)+to]
	var list []*HopCost
	for _, hops := range p.hops {
		if hops != nil {
			list = append(list, &hops[l.at[i]])
		}
	}
	if returns && p.home != nil {
		list = append(list, p.home)
	}
	return list
}

// leastOn is for each node the least that a way on can add to a sum.
func (w *sweep) leastOn(sum int) []int64 {
	n := len(w.s.charges.sums)
	least := make([]int64, len(w.first)-1)
	solve := func(node int32) {
		least[node] = math.MaxInt64
		for k := w.first[node]; k < w.first[node+1]; k++ {
			use := w.uses[int(k)*n+sum]
			if to := w.edges[k].to; to != none {
				if w.best[to] == none {
					continue
				}
				use += least[to]
			}
			least[node] = min(least[node], use)
		}
	}
	for node := w.root() - 1; node >= 0; node-- {
		solve(node)
	}
	solve(w.root())
	return least
}

// sweepWithin sweeps for one objective, within bounds that are near enough to the results to leave out most ways.
func (s *search) sweepWithin(l *lattice, top int) ([]Estimate, error) {
	w := s.newSweep(l, top, []Objective{s.query.Objective})
	if s.query.Objective == Throughput {
		return w.raise()
	}
	// First sweeps that keep few labels find good partitions, if not the best.
	const narrow, wide, more = 16, 256, 4
	if s.charges.limits {
		w.relaxed = w.relax()
	}
	for _, width := range []int{narrow, wide} {
		good, err := w.run(width + more*top)
		if err != nil {
			return nil, err
		}
		if len(good) == top {
			w.outdo(good[top-1])
			break
		}
	}
	return w.run(math.MaxInt)
}

// raise sweeps for the shortest intervals, below a ceiling that rises until there are enough results, or it
// leaves out nothing. First sweeps that keep few labels lower the ceiling again.
func (w *sweep) raise() ([]Estimate, error) {
	const times, narrow, more = 2, 64, 4
	w.floor = w.shortest()
	for above := 1. / near; ; above *= times {
		bound := float64(max(w.floor, 1)) * (1 + above)
		if bound >= math.MaxInt64/2 {
			w.ceiling = nil
			return w.run(math.MaxInt)
		}
		if !w.under(time.Duration(bound)) {
			continue
		}
		for {
			good, err := w.run(narrow + more*w.top)
			if err != nil {
				return nil, err
			}
			if len(good) < w.top || good[w.top-1].Interval() == w.ceiling.interval {
				break
			}
			w.under(good[w.top-1].Interval())
		}
		if found, err := w.run(math.MaxInt); err != nil || len(found) == w.top || !w.cut {
			return found, err
		}
	}
}

// under puts the ceiling at an interval, and says whether anything can be below it.
func (w *sweep) under(interval time.Duration) bool {
	w.ceiling, w.cut = w.below(interval), false
	return w.ceiling.count(w)
}

// outdo makes a known result the worst that is looked for.
func (w *sweep) outdo(e Estimate) {
	w.worst = &cost{time: e.Total, hops: int32(len(e.Hops)), bytes: e.WireBytes()}
	if w.s.charges.value != Latency {
		w.worst.value = e.value(w.s.charges.value, w.s.query.Power)
	}
}

// compare orders labels at one node by cost, then by text.
func (w *sweep) compare(a, b *label) int {
	if c := a.cost.compare(&b.cost); c != 0 {
		return c
	}
	return strings.Compare(w.stages(a).String(), w.stages(b).String())
}

// stages is the partition so far; the last stage ends where the label does.
func (w *sweep) stages(l *label) Partition {
	var stages Partition
	end := w.s.Layers
	if l.node != none {
		_, _, i, _ := w.place(l.node)
		end = w.layer[i]
	}
	for ; l.before != nil; l = l.before {
		if l.node == none {
			continue
		}
		if kind, h, i, _ := w.place(l.node); kind == begins {
			stages = append(stages, Stage{w.s.Hosts[w.hosts[h]], Segment{w.layer[i], end}})
			end = w.layer[i]
		}
	}
	slices.Reverse(stages)
	return stages
}

// run sweeps with at most a number of labels kept at each node, those that promise most; where there are more,
// what it finds may not be the best.
func (w *sweep) run(width int) ([]Estimate, error) {
	var ends []*label
	steps, labels := 0, 0
	w.labels = make([][]*label, len(w.first)-1)
	follow := func(from *label) {
		for k := w.first[from.node]; k < w.first[from.node+1]; k++ {
			next := w.step(from, k)
			switch {
			case next == nil:
			case next.node == none:
				ends = append(ends, next)
			default:
				w.labels[next.node] = append(w.labels[next.node], next)
				labels++
			}
		}
	}
	follow(&label{sums: make([]int64, len(w.s.charges.sums)), native: w.s.query.SplitOnly, node: w.root()})
	for n := range w.root() {
		all := w.labels[n]
		slices.SortFunc(all, w.compare)
		var kept []*label
		for _, candidate := range all {
			beaten := 0
			for i := 0; i < len(kept) && beaten < w.top; i++ {
				if steps++; kept[i].beats(candidate) {
					beaten++
				}
			}
			if beaten < w.top {
				kept = append(kept, candidate)
			}
		}
		if len(kept) > width {
			w.promising(kept)
			kept = kept[:width]
		}
		labels -= len(all) - len(kept)
		if w.labels[n] = nil; steps > w.s.most.steps || labels > w.s.most.labels {
			return nil, fmt.Errorf("%w: more than %d, or %d ways at a time", ErrTooHard, w.s.most.steps, w.s.most.labels)
		}
		for _, from := range kept {
			follow(from)
		}
	}
	if len(ends) == 0 {
		return nil, nil
	}
	found := make([]Estimate, len(ends))
	for i, end := range ends {
		var err error
		if found[i], err = w.s.estimate(w.stages(end)); err != nil {
			return nil, err
		}
	}
	if len(w.objectives) > 1 {
		return w.s.query.Front(found, w.objectives...), nil
	}
	slices.SortFunc(found, w.s.query.Compare)
	return found[:min(len(found), w.top)], nil
}

// promising puts first the labels that are likely to lead to good results.
func (w *sweep) promising(labels []*label) {
	switch {
	case w.s.charges.interval:
		slices.SortStableFunc(labels, func(a, b *label) int { return cmp.Compare(a.interval(), b.interval()) })
	case w.relaxed != nil:
		slices.SortStableFunc(labels, func(a, b *label) int { return cmp.Compare(w.relaxed.bound(a), w.relaxed.bound(b)) })
	}
}

// step is a label one edge on, or nil where that cannot lead to a result.
func (w *sweep) step(from *label, k int32) *label {
	e, s := &w.edges[k], w.s
	c := from.cost.plus(e.cost)
	if s.query.MaxTotal > 0 && c.time > s.query.MaxTotal {
		return nil
	}
	if e.to != none {
		if w.best[e.to] == none {
			return nil
		}
		if w.worst != nil {
			// The best way on, all limits on sums aside, is what the way on costs at least.
			if whole := c.plus(w.costs[e.to]); whole.compare(w.worst) > 0 {
				return nil
			}
		}
	}
	next := label{cost: c, native: from.native, node: e.to, before: from,
		slowest: from.slowest, source: from.source, current: from.current}
	if w.busy != nil {
		b := &w.busy[k]
		next.source += b.source
		next.current += b.before
		next.slowest = max(next.slowest, b.wire, w.floor)
		if b.hands {
			next.slowest, next.current = max(next.slowest, next.current), b.after
		}
		if w.ceiling != nil && !w.ceiling.holds(&next) {
			w.cut = true
			return nil
		}
	}
	if from.before != nil && e.to != none {
		if kind, _, _, _ := w.place(e.to); kind == begins {
			next.native = false
		}
	}
	if e.to == none && next.native {
		return nil
	}
	n := len(s.charges.sums)
	var room [4]int64
	sums := append(room[:0], from.sums...)
	for i, use := range w.uses[int(k)*n:][:n] {
		sums[i] += use
		most, least, within := s.charges.sums[i].most, int64(0), int64(0)
		if most == math.MaxInt64 {
			continue
		}
		if e.to != none {
			if least, within = w.least[i][e.to], w.least[i][e.to]; w.ceiling != nil {
				within = w.ceiling.least[i][e.to]
			}
		}
		if sums[i]+least > most {
			return nil
		}
		if within == math.MaxInt64 || sums[i]+within > most {
			w.cut = true
			return nil
		}
	}
	next.sums = sums
	if w.relaxed != nil && e.to != none && w.relaxed.tooHigh(&next, w.worst) {
		return nil
	}
	kept := next
	kept.sums = slices.Clone(sums)
	return &kept
}
