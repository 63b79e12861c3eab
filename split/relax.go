package split

import "math"

// relaxation puts prices on what limits are about instead of the limits (Lagrange): the cheapest way on, what
// it uses and what is left of each limit counted at these prices, costs no more than the cheapest that keeps
// the limits. The prices are those with which that bound is highest for whole partitions, or nearly, found by
// subgradients (Held, Wolfe and Crowder, "Validation of subgradient optimization", 1974; for shortest paths
// Handler and Zang, "A dual algorithm for the constrained shortest path problem", 1980).
type relaxation struct {
	w      *sweep
	sums   []int     // that have a limit
	prices []float64 // of each of them
	rest   []float64 // for each node, what the cheapest way on costs
	free   float64   // what the limits are worth at these prices
	slack  float64   // more than rounding can make of any bound
}

const (
	// priceSteps is how many prices a relaxation tries; without a better bound in priceStall of them in a row
	// the steps from one to the next become half as long.
	priceSteps, priceStall = 64, 4
	// rounding is a generous bound for the relative error of a bound.
	rounding = 1e-9
)

// relax finds good prices. Where a result is known its cost says how long the steps should be.
func (w *sweep) relax() *relaxation {
	var sums []int
	for i, sum := range w.s.charges.sums {
		if sum.most < math.MaxInt64 {
			sums = append(sums, i)
		}
	}
	r := &relaxation{w: w, sums: sums, prices: make([]float64, len(sums))}
	root := w.root()
	if w.best[root] == none || len(sums) == 0 {
		return nil
	}
	r.solve()
	best := *r
	length, stalled := 1., 0
	gap := r.rest[root] // a guess at how far the bound is below the best result
	for range priceSteps {
		over := r.over()
		var norm float64
		for i, o := range over {
			scaled := o / w.scale[r.sums[i]]
			if over[i] = scaled; r.prices[i] > 0 || scaled > 0 {
				norm += scaled * scaled
			}
		}
		if norm == 0 {
			break // the limits are kept: the bound is reached
		}
		if w.worst != nil {
			gap = max(w.main(w.worst)-best.total(), 0)
		}
		prices := make([]float64, len(sums))
		for i, o := range over {
			prices[i] = max(0, r.prices[i]+length*gap/norm*o/w.scale[r.sums[i]])
		}
		next := &relaxation{w: w, sums: sums, prices: prices}
		next.solve()
		if next.total() > best.total() {
			best, stalled = *next, 0
		} else if stalled++; stalled == priceStall {
			length, stalled, next = length/2, 0, &relaxation{w: w, sums: sums, prices: best.prices}
			next.solve()
		}
		r = next
	}
	return &best
}

// total is what any partition costs at least.
func (r *relaxation) total() float64 { return r.rest[r.w.root()] - r.free }

// solve finds the cheapest ways on.
func (r *relaxation) solve() {
	w, n := r.w, len(r.w.s.charges.sums)
	r.rest = make([]float64, len(w.first)-1)
	r.free = 0
	var largest float64
	for i, price := range r.prices {
		worth := price * float64(w.s.charges.sums[r.sums[i]].most)
		r.free += worth
		largest += worth
	}
	solve := func(node int32) {
		least := math.Inf(1)
		for k := w.first[node]; k < w.first[node+1]; k++ {
			c := r.edge(k, n)
			if to := w.edges[k].to; to != none {
				c += r.rest[to]
			}
			least = min(least, c)
		}
		r.rest[node] = least
	}
	for node := w.root(); node > 0; {
		node--
		solve(node)
	}
	solve(w.root())
	for k := range w.edges {
		largest = max(largest, math.Abs(r.edge(int32(k), n)))
	}
	r.slack = rounding * (largest*float64(kinds*len(w.at)+1) + math.Abs(r.total()))
}

// edge is what an edge costs.
func (r *relaxation) edge(k int32, n int) float64 {
	w := r.w
	c := w.main(&w.edges[k].cost)
	for i, price := range r.prices {
		c += price * float64(w.uses[int(k)*n+r.sums[i]])
	}
	return c
}

// over is by how much the cheapest partition is over each limit.
func (r *relaxation) over() []float64 {
	w, n := r.w, len(r.w.s.charges.sums)
	over := make([]float64, len(r.sums))
	for i, sum := range r.sums {
		over[i] = -float64(w.s.charges.sums[sum].most)
	}
	for node := w.root(); node != none; {
		next, least := int32(none), math.Inf(1)
		for k := w.first[node]; k < w.first[node+1]; k++ {
			c := r.edge(k, n)
			if to := w.edges[k].to; to != none {
				c += r.rest[to]
			}
			if c < least {
				next, least = k, c
			}
		}
		for i, sum := range r.sums {
			over[i] += float64(w.uses[int(next)*n+sum])
		}
		node = w.edges[next].to
	}
	return over
}

// main is the part of a cost that bounds are about.
func (w *sweep) main(c *cost) float64 {
	if w.s.charges.value != Latency {
		return float64(c.value)
	}
	return float64(c.time)
}

// bound is what any partition that begins with a label costs at least.
func (r *relaxation) bound(l *label) float64 {
	bound := r.w.main(&l.cost) + r.rest[l.node] - r.free
	for i, price := range r.prices {
		bound += price * float64(l.sums[r.sums[i]])
	}
	return bound
}

// tooHigh says whether any partition that begins with a label costs more than a known result.
func (r *relaxation) tooHigh(l *label, worst *cost) bool {
	return worst != nil && r.bound(l)-r.slack > r.w.main(worst)
}
