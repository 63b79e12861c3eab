package split

import (
	"math"
	"time"
)

// ceiling is what is known of ways on that keep the interval within a bound.
type ceiling struct {
	interval time.Duration
	// current is, for each node, how busy the host that is running may be there at most for a way on to exist,
	// negative where there is none. It is exact but for what the source and sums have left.
	current []time.Duration
	// source is how busy ways on make the source at least.
	source []time.Duration
}

// below finds what is possible within an interval.
func (w *sweep) below(interval time.Duration) *ceiling {
	n := len(w.first) - 1
	c := &ceiling{interval, make([]time.Duration, n), make([]time.Duration, n)}
	solve := func(node int32) {
		current, source := time.Duration(-1), time.Duration(math.MaxInt64)
		for k := w.first[node]; k < w.first[node+1]; k++ {
			if !c.allows(w, k) {
				continue
			}
			b, to := &w.busy[k], w.edges[k].to
			room, busy := interval, b.source
			if to != none {
				busy += c.source[to]
				if !b.hands {
					room = c.current[to]
				}
			}
			current, source = max(current, room-b.before), min(source, busy)
		}
		if source > interval {
			current = -1
		}
		c.current[node], c.source[node] = current, source
	}
	for node := w.root(); node > 0; {
		node--
		solve(node)
	}
	solve(w.root())
	return c
}

// allows says whether an edge can be part of a way within the interval.
func (c *ceiling) allows(w *sweep, k int32) bool {
	b, to := &w.busy[k], w.edges[k].to
	return b.wire <= c.interval && b.source <= c.interval && b.before <= c.interval && (to == none || c.current[to] >= b.after)
}

// holds says whether a label can be part of a way within the interval.
func (c *ceiling) holds(l *label) bool {
	if l.node == none {
		return l.interval() <= c.interval
	}
	return l.slowest <= c.interval && l.current <= c.current[l.node] && l.source <= c.interval-c.source[l.node]
}

// possible says whether there is a way at all.
func (c *ceiling) possible(w *sweep) bool { return c.current[w.root()] >= 0 }

// shortest is an interval that no partition goes below; all limits on sums aside, most problems have
// partitions that reach it.
func (w *sweep) shortest() time.Duration {
	if w.best[w.root()] == none {
		return 0
	}
	low, high := time.Duration(0), time.Duration(1)
	for !w.below(high).possible(w) {
		if low = high; high > math.MaxInt64/2 {
			return math.MaxInt64
		}
		high *= 2
	}
	for low+1 < high {
		middle := low + (high-low)/2
		if w.below(middle).possible(w) {
			high = middle
		} else {
			low = middle
		}
	}
	if w.below(low).possible(w) {
		return low
	}
	return high
}
