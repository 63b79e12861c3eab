package split

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rank gives the best partitions in order: less of the query's objective, then less time, then fewer hops,
// then fewer bytes on the wire, then the partition's text. It considers all partitions whose stages keep the
// order of Hosts, each host with at most one stage and any host left out, cut at Positions of at most the
// query's width; native execution on each host is among them. Partitions whose hops lack a link are left out.
//
// With [Query.Accuracy] a hop takes the fastest codec that loses no more than its part of what may be lost: an
// n-th part, with any n, or, if it leaves a certain host, all of it, and otherwise nothing. Of these ways to
// divide it that one counts with which the partition comes first and the losses of all hops add up to no more.
//
// The answer is exact. It returns fewer than Top where there are no more, and an error that wraps
// [ErrNoPartition] where there are none.
//
// For k hosts and m positions the best takes O(k²m) steps, each further one O(km). That holds for limits on
// single layers, single hops and the total latency; a host whose stage is limited as a whole (its compute
// time, its memory) takes O(m²) more. Limits on sums that several stages share (per cent of all compute, what
// the source sends altogether where it relays) are answered in the same way where enough of the first few
// hundred partitions keep them. Otherwise, and for throughput, the search keeps all ways to a position that no
// other beats in everything that counts and that no bound rules out. There is no polynomial bound for that:
// beyond a fixed number of steps, some seconds, the error wraps [ErrTooHard].
func (pb Problem) Rank(q Query) ([]Estimate, error) {
	t, err := pb.tables()
	if err != nil {
		return nil, fmt.Errorf("split: rank: %w", err)
	}
	return t.rank(q)
}

func (t *tables) rank(q Query) ([]Estimate, error) {
	best, err := t.answer(q, (*search).best)
	if err != nil {
		return nil, fmt.Errorf("split: rank: %w", err)
	}
	if q.Accuracy != nil {
		best = q.once(best)
	}
	return best[:min(len(best), max(q.Top, 1))], nil
}

// answer collects what a search finds for each way to divide among the hops what they may lose, or fails with
// ErrNoPartition.
func (t *tables) answer(q Query, find func(*search) ([]Estimate, error)) ([]Estimate, error) {
	ways, err := t.allowances(q.Accuracy)
	if err != nil {
		return nil, err
	}
	var all []Estimate
	var s *search
	for _, way := range ways {
		if s, err = t.within(way).search(q); err != nil {
			return nil, err
		}
		found, err := find(s)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return nil, s.none()
	}
	return all, nil
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
	if q.Accuracy != nil {
		text += fmt.Sprintf(", accuracy at least %g", q.Accuracy.Least)
	}
	if n := len(q.Compute) + len(q.Memory) + len(q.Upload) + len(q.Layers) + len(q.NoCodecs); n > 0 {
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
	// forbidden[host][i] is how many of layers [0, i) must not run on a host; nil where all may.
	forbidden [][]int
	power     []Power // by host
	charges   charges
	most      effort
}

// effort bounds the work of a search.
type effort struct {
	edges  int // of a lattice
	steps  int // of a sweep: pairs of labels that it compares
	labels int // that a sweep keeps at a time
}

// mostEffort is some seconds, and some hundreds of megabytes.
var mostEffort = effort{edges: 1 << 23, steps: 1 << 28, labels: 1 << 20}

func (t *tables) search(q Query) (*search, error) {
	q, err := q.check(t.Hosts, t.Source)
	if err != nil {
		return nil, err
	}
	s := &search{tables: t.without(q.NoCodecs), query: q, most: mostEffort}
	if s.forbidden, err = t.forbidden(q); err != nil {
		return nil, err
	}
	s.power = make([]Power, len(t.hosts))
	for name, power := range q.Power {
		if h, known := t.number[name]; known {
			s.power[h] = power
		}
	}
	if err := t.checkEnergy(s.power); err != nil {
		return nil, err
	}
	if err := s.checkMemory(); err != nil {
		return nil, err
	}
	if s.charges, err = s.charged([]Objective{q.Objective}); err != nil {
		return nil, err
	}
	return s, nil
}

// best answers the query.
func (s *search) best() ([]Estimate, error) {
	l, err := s.lattice()
	if err != nil {
		return nil, err
	}
	if s.query.Objective != Throughput {
		if best, complete, err := s.enumerate(l); complete || err != nil {
			return best, err
		}
	}
	return s.sweepWithin(l, s.query.Top)
}

// attempts is how many partitions for each result, and how many beside, are tried one by one.
const (
	attempts     = 4
	moreAttempts = 256
)

// enumerate goes through all partitions in order, of which those that keep all limits are the answer. Where
// limits on sums leave out too many it gives up, and the answer is not complete.
func (s *search) enumerate(l *lattice) (best []Estimate, complete bool, err error) {
	for i := 0; len(best) < s.query.Top; i++ {
		if s.charges.limits && i == attempts*s.query.Top+moreAttempts {
			return nil, false, nil
		}
		r, ok := l.nth(l.root(), i)
		if !ok || s.query.MaxTotal > 0 && s.query.Objective == Latency && r.cost.time > s.query.MaxTotal {
			break
		}
		p := l.partition(r)[1:]
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

// sortedKeys lists a map's keys in ascending order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
