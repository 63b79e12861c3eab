package split

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// BreakEven is what would have to change, one thing at a time and everything else as it is, for any split to
// take no more time than native execution on any host. Factors lie between 1/1024 and 1024; 0 means that none
// of them makes up for the difference, 1 that a split is no slower as things are. They are exact to 0.1 per
// cent: the factor makes a split pay, and one that is nearer to 1 by more than that does not. (Only where
// limits on uploads depend on which codec is the fastest may such a factor be missed.)
type BreakEven struct {
	// Native and Split are the best of each kind as things are.
	Native Estimate `json:"native"`
	Split  Estimate `json:"split"`
	// Bandwidth is the factor on the bandwidth, in both directions, of the link between From and To: the one of
	// all links whose factor is nearest to 1. Below 1 the link would have to be slower, which hurts native
	// execution on a remote host more than a split.
	From      string  `json:"from,omitempty"`
	To        string  `json:"to,omitempty"`
	Bandwidth float64 `json:"bandwidth,omitempty"`
	// Ratio is the factor, below 1, on the bytes on the wire of all that goes from stage to stage, coding times as
	// they are. Inputs and outputs keep their size.
	Ratio float64 `json:"ratio,omitempty"`
	// Load is the factor, above 1, on all compute times of the host that runs the model natively, which is
	// Native's; a split gains as far as it computes elsewhere.
	Load float64 `json:"load,omitempty"`
}

const (
	// factorRange is the largest factor, and one over it the smallest.
	factorRange = 1024
	// factorExact is the ratio of factors that are not told apart.
	factorExact = 1.001
)

// BreakEven compares the best native execution with the best split, both within the query's conditions and
// limits; its Top, SplitOnly and Objective do not matter. Where one of the two does not exist the error wraps
// [ErrNoPartition].
func (p *Planner) BreakEven(q Query) (BreakEven, error) {
	b, err := p.t.breakEven(q)
	if err != nil {
		return BreakEven{}, fmt.Errorf("split: break-even: %w", err)
	}
	return b, nil
}

func (t *tables) breakEven(q Query) (b BreakEven, err error) {
	q.Top, q.Objective = 1, Latency
	t = t.without(q.NoCodecs)
	q.NoCodecs = nil
	if b.Native, err = t.bestNative(q); err != nil {
		return b, err
	}
	if b.Split, err = t.bestSplit(q); err != nil {
		return b, err
	}
	native := t.number[b.Native.Partition[0].Host]
	search := func(toward float64, change func(*tables, float64)) (float64, error) {
		s := balance{t: t, query: q, change: change, known: map[float64]times{}}
		return s.nearest(1, toward)
	}
	if b.Ratio, err = search(1./factorRange, func(t *tables, x float64) { t.shrink(x) }); err != nil {
		return b, err
	}
	if b.Load, err = search(factorRange, func(t *tables, x float64) { t.load(native, x) }); err != nil {
		return b, err
	}
	for from := range t.hosts {
		for to := range from {
			if !t.linked(from, to) {
				continue
			}
			for _, toward := range []float64{factorRange, 1. / factorRange} {
				if b.Bandwidth > 0 { // only nearer to 1
					toward = math.Exp(math.Copysign(math.Log(b.Bandwidth), math.Log(toward)))
				}
				x, err := search(toward, func(t *tables, x float64) { t.widen(from, to, x) })
				if err != nil {
					return b, err
				}
				if x > 0 && (b.Bandwidth == 0 || math.Abs(math.Log(x)) < math.Abs(math.Log(b.Bandwidth))) {
					b.From, b.To, b.Bandwidth = t.hosts[to].name, t.hosts[from].name, x
				}
			}
		}
	}
	return b, nil
}

// bestNative is the best native execution within a query.
func (t *tables) bestNative(q Query) (best Estimate, err error) {
	none := true
	for _, host := range t.Hosts {
		only := q
		only.SplitOnly = false
		only.Avoid = slices.DeleteFunc(slices.Clone(t.Hosts), func(h string) bool { return h == host && !slices.Contains(q.Avoid, h) })
		found, err := t.rank(only)
		if errors.Is(err, ErrNoPartition) {
			continue
		}
		if err != nil {
			return best, err
		}
		if none || found[0].compare(best) < 0 {
			none, best = false, found[0]
		}
	}
	if none {
		return best, fmt.Errorf("%w on one host", ErrNoPartition)
	}
	return best, nil
}

// balance weighs native execution and splits against each other as one thing changes. With it the times of
// both either fall or rise.
type balance struct {
	t      *tables
	query  Query
	change func(*tables, float64)
	known  map[float64]times // by factor
}

// times are those of the best native execution and of the best split.
type times struct{ native, split time.Duration }

func (b *balance) at(factor float64) (times, error) {
	if known, ok := b.known[factor]; ok {
		return known, nil
	}
	t := *b.t
	b.change(&t, factor)
	total := func(best func(Query) (Estimate, error)) (time.Duration, error) {
		e, err := best(b.query)
		if errors.Is(err, ErrNoPartition) {
			return math.MaxInt64, nil
		}
		return e.Total, err
	}
	native, err := total(t.bestNative)
	if err != nil {
		return times{}, err
	}
	split, err := total(t.bestSplit)
	b.known[factor] = times{native, split}
	return b.known[factor], err
}

// nearest finds the factor nearest to near, on the way to far, with which a split pays, or 0.
func (b *balance) nearest(near, far float64) (float64, error) {
	first, err := b.at(near)
	if err != nil {
		return 0, err
	}
	last, err := b.at(far)
	if err != nil {
		return 0, err
	}
	switch pays := last.split < math.MaxInt64 && last.split <= last.native; {
	case first.split < math.MaxInt64 && first.split <= first.native:
		return near, nil
	case min(first.split, last.split) > max(first.native, last.native):
		return 0, nil // nor does one pay in between
	case max(near, far)/min(near, far) <= factorExact && pays:
		return far, nil
	case max(near, far)/min(near, far) <= factorExact:
		return 0, nil
	}
	middle := math.Sqrt(near * far)
	if x, err := b.nearest(near, middle); x > 0 || err != nil {
		return x, err
	}
	return b.nearest(middle, far)
}

// Nearer joins two answers about one problem whose hosts are in different orders: the better of each kind as
// things are, and the factors that are nearer to 1.
func (b BreakEven) Nearer(c BreakEven) BreakEven {
	nearer := func(x, y float64) bool { return y == 0 || x > 0 && math.Abs(math.Log(x)) <= math.Abs(math.Log(y)) }
	if c.Native.compare(b.Native) < 0 {
		b.Native = c.Native
	}
	if c.Split.compare(b.Split) < 0 {
		b.Split = c.Split
	}
	if !nearer(b.Bandwidth, c.Bandwidth) {
		b.From, b.To, b.Bandwidth = c.From, c.To, c.Bandwidth
	}
	if !nearer(b.Ratio, c.Ratio) {
		b.Ratio = c.Ratio
	}
	if !nearer(b.Load, c.Load) {
		b.Load = c.Load
	}
	return b
}

// String says for people what would have to change: "a split would pay if the link device-edge had 2.5 times
// its bandwidth, or if what goes from stage to stage had 0.4 times its bytes, or if device took 1.6 times as
// long to compute".
func (b BreakEven) String() string {
	var ways []string
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }
	if b.Bandwidth > 0 {
		ways = append(ways, fmt.Sprintf("the link %s-%s had %s times its bandwidth", b.From, b.To, number(b.Bandwidth)))
	}
	if b.Ratio > 0 {
		ways = append(ways, fmt.Sprintf("what goes from stage to stage had %s times its bytes", number(b.Ratio)))
	}
	if b.Load > 0 {
		ways = append(ways, fmt.Sprintf("%s took %s times as long to compute", b.Native.Partition[0].Host, number(b.Load)))
	}
	if len(ways) == 0 {
		return "no bandwidth, codec ratio or load alone would make a split pay"
	}
	return "a split would pay if " + strings.Join(ways, ", or if ")
}
