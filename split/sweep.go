package split

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Pareto gives the partitions of which no other is at least as good in each of two or three objectives and
// better in one, in the order of the first objective, then the second, then the third. Of partitions that are
// equal in all objectives it gives the one that comes first by latency. The query's conditions and limits
// hold; its Top and Objective do not matter.
//
// The front is exact. See [Problem.Rank] about the work and [ErrTooHard].
func (pb Problem) Pareto(q Query, objectives ...Objective) ([]Estimate, error) {
	t, err := pb.tables()
	if err != nil {
		return nil, fmt.Errorf("split: pareto: %w", err)
	}
	return t.pareto(q, objectives)
}

func (t *tables) pareto(q Query, objectives []Objective) ([]Estimate, error) {
	fail := func(err error) ([]Estimate, error) { return nil, fmt.Errorf("split: pareto: %w", err) }
	const fewest, most = 2, 3
	if len(objectives) < fewest || len(objectives) > most {
		return fail(fmt.Errorf("got %d objectives, want %d or %d", len(objectives), fewest, most))
	}
	for i, o := range objectives {
		if o < Latency || o > Energy || slices.Contains(objectives[:i], o) {
			return fail(fmt.Errorf("objective %v is unknown or given twice", o))
		}
	}
	q.Top, q.Objective = 1, Latency
	s, err := t.search(q)
	if err != nil {
		return fail(err)
	}
	if s.charges, err = s.charged(objectives); err != nil {
		return fail(err)
	}
	front, err := s.sweep(s.lattice(), 1, objectives)
	if err == nil && len(front) == 0 {
		err = s.none()
	}
	if err != nil {
		return fail(err)
	}
	return front, nil
}

// charges is what a way through the lattice must count beside its cost, because of the objectives and of
// limits on sums that several of its steps share.
type charges struct {
	value   Objective // what cost.value counts, Egress or Energy; otherwise nothing
	tracked [len(objectiveNames)]bool
	// limits says that there are limits on sums, any that there is something to count at all.
	limits, any bool

	times  map[string]time.Duration // the longest compute times
	shares []share
	// interval and worst are known upper bounds of all results' intervals, if throughput is the only objective,
	// and of their costs, if something else is.
	interval time.Duration
	worst    *cost
	upload   int64 // what the source may send altogether; unlimited is MaxInt64
}

// share bounds a host's compute time by thousandths of that of all hosts.
type share struct {
	host     string
	permille int64
}

// excess is by how much a compute time on a host is over the share, in thousandths of a nanosecond.
func (s share) excess(host string, d time.Duration) int64 {
	over := -s.permille * int64(d)
	if host == s.host {
		over += permilles * int64(d)
	}
	return over
}

// permilles is the whole in thousandths.
const permilles = 1000

// charged says what objectives and the query's limits need counted.
func (s *search) charged(objectives []Objective) (charges, error) {
	c := charges{times: map[string]time.Duration{}, interval: math.MaxInt64, upload: math.MaxInt64}
	for _, o := range objectives {
		c.tracked[o] = true
	}
	if len(objectives) == 1 && objectives[0] != Throughput {
		c.value = objectives[0]
		c.tracked[c.value] = false
	}
	// Time is in every cost, but only behind its value.
	c.tracked[Latency] = s.query.MaxTotal > 0 && c.value != Latency
	for _, l := range s.query.Compute {
		if l.Time > 0 {
			if known, ok := c.times[l.Host]; !ok || l.Time < known {
				c.times[l.Host] = l.Time
			}
		}
		if l.Percent > 0 {
			c.shares = append(c.shares, share{l.Host, l.permille()})
		}
	}
	for _, l := range s.query.Upload {
		if l.From == s.Source && l.To == "" {
			c.upload = min(c.upload, l.Bytes)
		}
	}
	if c.upload < math.MaxInt64 {
		c.tracked[Egress] = true
	}
	c.limits = len(c.times) > 0 || len(c.shares) > 0 || c.upload < math.MaxInt64 || c.tracked[Latency]
	c.any = c.limits || c.tracked[Throughput] || len(objectives) > 1
	if len(c.shares) > 0 {
		var all float64
		for _, host := range s.Hosts {
			all += float64(s.longest(host))
		}
		const most = math.MaxInt64 / (2 * permilles)
		if all > most {
			return c, fmt.Errorf("compute times of %v in all, want at most %v for limits in per cent", time.Duration(all), time.Duration(most))
		}
	}
	return c, nil
}

// keeps says whether an estimate keeps the limits on sums.
func (c *charges) keeps(s *search, e Estimate) bool {
	if s.query.MaxTotal > 0 && e.Total > s.query.MaxTotal || e.Egress() > c.upload {
		return false
	}
	excess := make([]int64, len(c.shares))
	for _, stage := range e.Stages {
		if most, ok := c.times[stage.Host]; ok && stage.Compute > most {
			return false
		}
		for i, share := range c.shares {
			excess[i] += share.excess(stage.Host, stage.Compute)
		}
	}
	return !slices.ContainsFunc(excess, func(over int64) bool { return over > 0 })
}

// Sweeping is a search by labels, as for shortest paths with limited resources (Desrochers and Soumis, "A
// generalized permanent labelling algorithm for the shortest path problem with time windows", 1988). A label
// is a way from the root to a node. One is beaten by another at the same node that comes first by cost and
// text and has counted no more of anything: whatever follows, the other then does as well, keeps the same
// limits, and comes first. A label that as many others beat as there are results to find cannot be the
// beginning of a result.

// account is what a label has counted. Whatever is not needed stays 0, and less is never worse.
type account struct {
	time    time.Duration
	egress  int64
	energy  int64
	slowest time.Duration // of all parts that are done: hosts and wires
	source  time.Duration // how busy the source is
	current time.Duration // how busy the host is that is running, if it is not the source
	stage   time.Duration // what it has computed
	native  int64         // 1 where one host has run everything and must not run the whole model
}

func (a *account) atMost(b *account) bool {
	return a.time <= b.time && a.egress <= b.egress && a.energy <= b.energy && a.slowest <= b.slowest &&
		a.source <= b.source && a.current <= b.current && a.stage <= b.stage && a.native <= b.native
}

// interval is the time from output to output so far.
func (a *account) interval() time.Duration { return max(a.slowest, a.source, a.current) }

// label is a way from the root to a node.
type label struct {
	cost    cost
	account account
	excess  []int64 // over the shares so far; it may become less
	edge    *edge   // the last step
	before  *label
}

func (l *label) compare(m *label) int {
	if c := l.cost.compare(m.cost); c != 0 {
		return c
	}
	return strings.Compare(l.partition().String(), m.partition().String())
}

// beats says whether l, which comes first, has counted no more of anything.
func (l *label) beats(m *label) bool {
	if !l.account.atMost(&m.account) {
		return false
	}
	for i := range l.excess {
		if l.excess[i] > m.excess[i] {
			return false
		}
	}
	return true
}

// partition is the stages so far; the last one ends where the label does.
func (l *label) partition() Partition {
	var stages Partition
	end := l.edge.at
	for ; l.before != nil; l = l.before {
		if l.edge.host != "" {
			stages = append(stages, Stage{l.edge.host, Segment{l.edge.at, end}})
			end = l.edge.at
		}
	}
	slices.Reverse(stages)
	return stages
}

const (
	// maxSteps bounds the pairs of labels that one sweep compares.
	maxSteps = 1 << 28
	// maxLabels bounds the labels that it keeps.
	maxLabels = 1 << 20
)

// sweep finds the best partitions by one objective, or the front of several.
func (s *search) sweep(l lattice, top int, objectives []Objective) ([]Estimate, error) {
	return s.sweepWithin(l, top, objectives, math.MaxInt)
}

// sweepTwice sweeps for one objective. A first sweep that keeps few labels finds good partitions, if not the
// best; ways that cannot but be worse are left out of the second.
func (s *search) sweepTwice(l lattice, top int) ([]Estimate, error) {
	const beam, more = 16, 4
	objectives := []Objective{s.query.Objective}
	good, err := s.sweepWithin(l, top, objectives, beam+more*top)
	if err != nil {
		return nil, err
	}
	if len(good) == top {
		last := good[top-1]
		if s.query.Objective == Throughput {
			s.charges.interval = last.Interval()
		} else {
			s.charges.worst = &cost{time: last.Total, hops: len(last.Hops), bytes: last.WireBytes()}
			if s.charges.value != Latency {
				s.charges.worst.value = last.value(s.charges.value, s.query.Power)
			}
		}
	}
	return s.sweep(l, top, objectives)
}

// sweepWithin is sweep with at most a number of labels kept at each node, those that promise most; what it finds may
// then not be the best.
func (s *search) sweepWithin(l lattice, top int, objectives []Objective, width int) ([]Estimate, error) {
	var ends []*label
	steps, labels := 0, 0
	follow := func(from *label, host string, n *node) {
		for i := range n.edges {
			e := &n.edges[i]
			next := s.step(from, host, e)
			switch {
			case next == nil:
			case e.to == nil:
				ends = append(ends, next)
			default:
				e.to.labels = append(e.to.labels, next)
				labels++
			}
		}
	}
	start := &label{excess: make([]int64, len(s.charges.shares))}
	if s.query.SplitOnly {
		start.account.native = 1
	}
	follow(start, s.Source, l.root)
	for block := range l.blocks {
		for h, host := range l.hosts {
			for flag := range l.nodes[h*l.blocks+block] {
				n := &l.nodes[h*l.blocks+block][flag]
				slices.SortFunc(n.labels, (*label).compare)
				var kept []*label
				for _, candidate := range n.labels {
					beaten := 0
					for i := 0; i < len(kept) && beaten < top; i++ {
						if steps++; kept[i].beats(candidate) {
							beaten++
						}
					}
					if beaten < top {
						kept = append(kept, candidate)
					}
				}
				if len(kept) > width {
					if s.charges.tracked[Throughput] {
						slices.SortStableFunc(kept, func(a, b *label) int { return cmp.Compare(a.account.interval(), b.account.interval()) })
					}
					kept = kept[:width]
				}
				labels -= len(n.labels) - len(kept)
				if n.labels = nil; steps > maxSteps || labels > maxLabels {
					return nil, fmt.Errorf("%w: more than %d, or %d at a time", ErrTooHard, maxSteps, maxLabels)
				}
				for _, from := range kept {
					follow(from, host, n)
				}
			}
		}
	}
	if len(ends) == 0 {
		return nil, nil
	}
	found := make([]Estimate, len(ends))
	for i, end := range ends {
		var err error
		if found[i], err = s.estimate(end.partition()); err != nil {
			return nil, err
		}
	}
	if len(objectives) > 1 {
		return s.query.Front(found, objectives...), nil
	}
	slices.SortFunc(found, s.query.Compare)
	return found[:min(len(found), top)], nil
}

// Compare orders estimates as [Problem.Rank] does, best first.
func (q Query) Compare(a, b Estimate) int {
	return cmp.Or(cmp.Compare(a.value(q.Objective, q.Power), b.value(q.Objective, q.Power)), a.compare(b))
}

// Front picks from estimates those that [Problem.Pareto] would give if there were no others.
func (q Query) Front(all []Estimate, objectives ...Objective) []Estimate {
	type valued struct {
		Estimate
		values []int64
	}
	found := make([]valued, len(all))
	for i, e := range all {
		found[i].Estimate = e
		for _, o := range objectives {
			found[i].values = append(found[i].values, e.value(o, q.Power))
		}
	}
	slices.SortFunc(found, func(a, b valued) int {
		return cmp.Or(slices.Compare(a.values, b.values), a.compare(b.Estimate))
	})
	var front []Estimate
	var kept []valued
	for _, f := range found {
		beaten := slices.ContainsFunc(kept, func(g valued) bool {
			for k := range g.values {
				if g.values[k] > f.values[k] {
					return false
				}
			}
			return true
		})
		if !beaten {
			kept, front = append(kept, f), append(front, f.Estimate)
		}
	}
	return front
}

// step is a label one edge on, or nil where that breaks a limit. The host is the one that runs the edge's
// block, at the root the source.
func (s *search) step(from *label, host string, e *edge) *label {
	c := &s.charges
	l := &label{cost: from.cost.plus(e.cost), account: from.account, excess: from.excess, edge: e, before: from}
	a := &l.account
	if s.query.MaxTotal > 0 && l.cost.time > s.query.MaxTotal {
		return nil
	}
	if c.tracked[Latency] {
		a.time = l.cost.time
	}
	if e.charge.spent > 0 && !s.work(l, host, e.charge.spent) {
		return nil
	}
	if e.host != "" {
		if !s.handOver(l, host, e) || e.charge.enter > 0 && !s.work(l, e.host, e.charge.enter) {
			return nil
		}
	}
	if a.interval() > c.interval {
		return nil
	}
	if c.worst != nil && e.to != nil {
		// The best way on, all limits on sums aside, is what the way on costs at least.
		rest := e.to.nth(0)
		if rest == nil || l.cost.plus(rest.cost).compare(*c.worst) > 0 {
			return nil
		}
	}
	if e.to == nil {
		if a.native > 0 {
			return nil
		}
		for _, over := range l.excess {
			if over > 0 {
				return nil
			}
		}
	}
	return l
}

// work counts a block on a host, and says whether that keeps the limits.
func (s *search) work(l *label, host string, d time.Duration) bool {
	c, a := &s.charges, &l.account
	if most, ok := c.times[host]; ok {
		if a.stage += d; a.stage > most {
			return false
		}
	}
	if c.tracked[Throughput] {
		if host == s.Source {
			a.source += d
		} else {
			a.current += d
		}
	}
	if c.tracked[Energy] {
		a.energy += s.query.Power[host].working(d)
	}
	if len(c.shares) > 0 {
		l.excess = slices.Clone(l.excess)
		for i, share := range c.shares {
			l.excess[i] += share.excess(host, d)
		}
	}
	return true
}

// handOver counts the hops from a host to the one that takes over, and says whether that keeps the limits.
func (s *search) handOver(l *label, host string, e *edge) bool {
	c, a := &s.charges, &l.account
	if l.before.before != nil {
		a.native = 0
	}
	a.stage = 0
	var next time.Duration
	hops := [...]*HopCost{e.charge.move.hops[0], e.charge.move.hops[1], nil}
	if e.charge.returns {
		hops[2] = e.charge.move.home
	}
	for _, h := range hops {
		if h == nil {
			continue
		}
		if c.tracked[Throughput] {
			for _, end := range [...]struct {
				host string
				busy time.Duration
			}{{h.From, h.Encode}, {h.To, h.Decode}} {
				switch end.host {
				case s.Source:
					a.source += end.busy
				case e.host:
					next += end.busy
				default:
					a.current += end.busy
				}
			}
			a.slowest = max(a.slowest, h.wireTime())
		}
		if c.tracked[Energy] {
			a.energy += hopEnergy(s.query.Power, h)
		}
		if c.tracked[Egress] && h.From == s.Source {
			a.egress += h.Wire
		}
	}
	if c.tracked[Throughput] {
		a.slowest, a.current = max(a.slowest, a.current), next
	}
	return a.egress <= c.upload
}
