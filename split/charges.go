package split

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// charges is what a way through the lattice must count beside its cost, because of the objectives and of
// limits on sums that several of its steps share.
type charges struct {
	value    Objective       // what cost.value counts, Egress or Energy; otherwise nothing
	times    []time.Duration // the longest compute time of a stage, by host
	sums     []sum
	interval bool // the interval is an objective
	// limits says that some of the sums have bounds.
	limits bool
}

// sum is what adds up along a way.
type sum struct {
	of       Objective // Latency, Egress or Energy, where the sum is neither a share nor of losses
	losses   bool      // of accuracy
	share    bool
	host     int   // of the share
	permille int64 // of the share
	most     int64 // the bound; MaxInt64 where there is none
}

// permilles is the whole in thousandths.
const permilles = 1000

// excess is by how much a compute time on a host is over the share, in thousandths of a nanosecond.
func (s *sum) excess(host int, d time.Duration) int64 {
	over := -s.permille * int64(d)
	if host == s.host {
		over += permilles * int64(d)
	}
	return over
}

// charged says what objectives and the query's limits need counted.
func (s *search) charged(objectives []Objective) (charges, error) {
	c := charges{times: make([]time.Duration, len(s.hosts)), interval: slices.Contains(objectives, Throughput)}
	single := len(objectives) == 1
	if single && objectives[0] != Throughput {
		c.value = objectives[0]
	}
	for i := range c.times {
		c.times[i] = math.MaxInt64
	}
	shares := make([]int64, len(s.hosts))
	for _, l := range s.query.Compute {
		h := s.number[l.Host]
		if l.Time > 0 {
			c.times[h] = min(c.times[h], l.Time)
		}
		if known := shares[h]; l.Percent > 0 && (known == 0 || l.permille() < known) {
			shares[h] = l.permille()
		}
	}
	most := map[Objective]int64{Latency: math.MaxInt64, Egress: math.MaxInt64}
	if s.query.MaxTotal > 0 && !(single && objectives[0] == Latency) {
		most[Latency] = int64(s.query.MaxTotal)
	}
	for _, l := range s.query.Upload {
		if l.From == s.Source && l.To == "" && !s.sendsOnce() {
			most[Egress] = min(most[Egress], l.Bytes)
		}
	}
	for _, o := range []Objective{Latency, Egress, Energy} {
		bound, bounded := most[o]
		bounded = bounded && bound < math.MaxInt64
		c.limits = c.limits || bounded
		if bounded || !single && slices.Contains(objectives, o) {
			if !bounded {
				bound = math.MaxInt64
			}
			c.sums = append(c.sums, sum{of: o, most: bound})
		}
	}
	for h, permille := range shares {
		if permille > 0 {
			c.sums = append(c.sums, sum{share: true, host: h, permille: permille})
			c.limits = true
		}
	}
	if s.allowance.binds(s.mostHops()) {
		c.sums = append(c.sums, sum{losses: true, most: s.allowance.all})
		c.limits = true
	}
	if slices.ContainsFunc(c.sums, func(s sum) bool { return s.share }) {
		var all float64
		for i := range s.Hosts {
			all += float64(s.hosts[i].longest())
		}
		const most = math.MaxInt64 / (2 * permilles)
		if all > most {
			return c, fmt.Errorf("compute times of %v in all, want at most %v for limits in per cent", time.Duration(all), time.Duration(most))
		}
	}
	return c, nil
}

// sendsOnce says whether on no way there data leaves the source more than once: it is the first host, or none,
// and none of the others needs it as a relay.
func (s *search) sendsOnce() bool {
	for b := range s.Hosts {
		if b == s.source && b > 0 {
			return false
		}
		for a := range b {
			if a != s.source && b != s.source && !s.linked(a, b) {
				return false
			}
		}
	}
	return true
}

// checkMemory makes sure that the profiles of hosts with a limit say what memory layers need.
func (s *search) checkMemory() error {
	for _, name := range sortedKeys(s.query.Memory) {
		known := func(l LayerProfile) bool { return l.Weights > 0 || l.Live > 0 }
		if !slices.ContainsFunc(s.hosts[s.number[name]].profile.Layers, known) {
			return fmt.Errorf("memory limit of host %s: its profile does not say what memory layers need", name)
		}
	}
	return nil
}

// keeps says whether an estimate keeps the limits on sums.
func (c *charges) keeps(s *search, e Estimate) bool {
	for i := range c.sums {
		sum := &c.sums[i]
		var got int64
		switch {
		case sum.losses:
			for k := range e.Hops {
				got += s.lost(&e.Hops[k])
			}
		case !sum.share:
			got = e.value(sum.of, s.query.Power)
		}
		for _, stage := range e.Stages {
			if sum.share {
				got += sum.excess(s.number[stage.Host], stage.Compute)
			}
		}
		if got > sum.most {
			return false
		}
	}
	return s.query.MaxTotal == 0 || e.Total <= s.query.MaxTotal
}
