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
	// least is, by sum and node, the least that a way on adds.
	least [][]int64
}

// below finds what is possible within an interval.
func (w *sweep) below(interval time.Duration) *ceiling {
	n := len(w.first) - 1
	c := &ceiling{interval: interval, current: make([]time.Duration, n), source: make([]time.Duration, n)}
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

// count finds what ways on within the interval add to each sum at least, and says whether there may be one from
// the root that keeps all limits. Where a host begins it looks at each end of its stage, so that the stage is
// within the interval as well.
func (c *ceiling) count(w *sweep) bool {
	n := len(w.s.charges.sums)
	for sum := range n {
		least := make([]int64, len(w.first)-1)
		c.least = append(c.least, least)
		// at adds the ways over one edge, on which the host that runs may be busy for a time.
		at := func(lowest *int64, k int32, room time.Duration, used int64) {
			if to := w.edges[k].to; c.allows(w, k) && w.busy[k].before <= room {
				used += w.uses[int(k)*n+sum]
				if to != none {
					if least[to] == math.MaxInt64 {
						return
					}
					used += least[to]
				}
				*lowest = min(*lowest, used)
			}
		}
		solve := func(node int32) {
			least[node] = math.MaxInt64
			kind, _, _, _ := w.place(node)
			if kind != begins {
				for k := w.first[node]; k < w.first[node+1]; k++ {
					at(&least[node], k, c.interval, 0)
				}
				return
			}
			for k := w.first[node]; k < w.first[node+1]; k++ {
				room, used := c.interval, int64(0)
				for step := k; step != none; {
					if room -= w.busy[step].before; room < 0 {
						break
					}
					used += w.uses[int(step)*n+sum]
					on, next := w.edges[step].to, int32(none)
					for k := w.first[on]; k < w.first[on+1]; k++ {
						if to := w.edges[k].to; to != none && !w.busy[k].hands {
							next = k
						} else {
							at(&least[node], k, room, used)
						}
					}
					step = next
				}
			}
		}
		for node := w.root(); node > 0; {
			node--
			solve(node)
		}
		solve(w.root())
		if least[w.root()] > w.s.charges.sums[sum].most {
			return false
		}
	}
	return true
}

// shortest is an interval that no partition goes below.
func (w *sweep) shortest() time.Duration {
	if w.best[w.root()] == none {
		return 0
	}
	low := lowest(0, 1, func(d time.Duration) bool { return w.below(d).possible(w) })
	if len(w.s.charges.sums) == 0 {
		return low
	}
	// What sums need takes longer to find out, and need not be exact.
	return lowest(low, 1+low/near, func(d time.Duration) bool { return w.under(d) })
}

// near is one over the part of an interval that does not matter for a bound.
const near = 1024

// lowest is the lowest interval from low on that is possible, or one below that by less than a step. Whatever is
// above a possible one must be possible.
func lowest(low, step time.Duration, possible func(time.Duration) bool) time.Duration {
	if possible(low) {
		return low
	}
	high := low + step
	for width := step; !possible(high); high += width {
		if low, width = high, 2*width; high > math.MaxInt64/4 {
			return low
		}
	}
	for low+step < high {
		if middle := low + (high-low)/2; possible(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return low + 1
}
