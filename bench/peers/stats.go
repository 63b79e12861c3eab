package main

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// median is the middle of xs, or the mean of the two in the middle. xs is not
// empty and stays as it is.
func median[T time.Duration | float64](xs []T) T {
	s := slices.Sorted(slices.Values(xs))
	m := len(s) / 2
	if len(s)%2 == 1 {
		return s[m]
	}
	return (s[m-1] + s[m]) / 2
}

// geomean is the geometric mean of xs, which are positive.
func geomean(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += math.Log(x)
	}
	return math.Exp(sum / float64(len(xs)))
}

// turn is one engine's part of a round.
type turn struct {
	Samples []time.Duration `json:"samples_ns"`
	Others  float64         `json:"others"` // share of the machine's CPU time that other processes took
	CPUs    float64         `json:"cpus"`   // that the engine kept busy, and what was beside it on purpose
}

// round is one turn of each engine, one after the other.
type round []turn

// others is the largest share that other processes took in any turn.
func (r round) others() float64 {
	most := 0.0
	for _, t := range r {
		most = max(most, t.Others)
	}
	return most
}

// quietest returns the n rounds in which others took least, in their order.
func quietest(rounds []round, n int) []round {
	byNoise := make([]int, len(rounds))
	for i := range byNoise {
		byNoise[i] = i
	}
	slices.SortStableFunc(byNoise, func(i, j int) int { return cmp.Compare(rounds[i].others(), rounds[j].others()) })
	kept := byNoise[:min(n, len(byNoise))]
	slices.Sort(kept)
	var rs []round
	for _, i := range kept {
		rs = append(rs, rounds[i])
	}
	return rs
}

// typical is the median over the rounds of engine e's median.
func typical(rounds []round, e int) time.Duration {
	var ms []time.Duration
	for _, r := range rounds {
		ms = append(ms, median(r[e].Samples))
	}
	return median(ms)
}

// ratio is the median over the rounds of engine a's median divided by engine
// b's of the same round, so that what slows both down for a while cancels.
func ratio(rounds []round, a, b int) float64 {
	var qs []float64
	for _, r := range rounds {
		qs = append(qs, float64(median(r[a].Samples))/float64(median(r[b].Samples)))
	}
	return median(qs)
}

// cpus is the median over the rounds of the CPUs that engine e kept busy.
func cpus(rounds []round, e int) float64 {
	var cs []float64
	for _, r := range rounds {
		cs = append(cs, r[e].CPUs)
	}
	return median(cs)
}
