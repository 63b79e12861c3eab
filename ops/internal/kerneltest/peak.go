package kerneltest

import (
	"slices"
	"testing"
	"time"

	"scission/ops/internal/isa"
)

//go:generate sh ../asmgen/generate.sh kerneltest

// lanes is the float32s of a vector of each level.
var lanes = map[isa.Level]float64{isa.AVX2: 8, isa.AVX512: 16, isa.NEON: 4}

// Peak returns the GFLOP/s (10^9 multiplications and additions a second) of one thread that does nothing but fused
// multiply-adds in registers at level l, 0 where there is no such loop. It takes some milliseconds.
func Peak(l isa.Level) float64 {
	const rounds, tries = 20000, 40
	loop := peakLoop(l)
	if loop == nil {
		return 0
	}
	best := time.Duration(1 << 62)
	for range tries {
		start := time.Now()
		loop(rounds)
		best = min(best, time.Since(start))
	}
	return 24 * 2 * lanes[l] * rounds / float64(best.Nanoseconds())
}

// peakShare is the part of a benchmark's time in which Rate measures the peak.
const peakShare = 8

// Rate benchmarks the pieces of a computation that does flop multiplications and additions, one after the other, and
// between them, an eighth as long, the loop of Peak, so that what slows the core down slows both. It reports and
// returns the rate in GFLOP/s that the fastest time of each piece amounts to. %peak is how many per cent that is of
// the fastest of the loops between; %peak-median is the median over the rounds of what it is of the loops of the same
// round.
func Rate(b *testing.B, l isa.Level, flop float64, pieces int, f func(piece int)) float64 {
	b.Helper()
	const rounds = 2000
	loop, loopFlop := peakLoop(l), 24*2*lanes[l]*rounds
	best, bestLoop := make([]time.Duration, pieces), time.Duration(1<<62)
	for i := range best {
		best[i] = 1 << 62
	}
	var parts []float64
	for b.Loop() {
		var pieces, loops time.Duration // that the round has taken
		n := 0
		for i := range best {
			start := time.Now()
			f(i)
			took := time.Since(start)
			best[i] = min(best[i], took)
			for pieces += took; loop != nil && loops*peakShare < pieces; n++ {
				start := time.Now()
				loop(rounds)
				took := time.Since(start)
				loops += took
				bestLoop = min(bestLoop, took)
			}
		}
		if loop != nil {
			parts = append(parts, flop/float64(pieces)/(float64(n)*loopFlop/float64(loops)))
		}
	}
	sum := time.Duration(0)
	for _, d := range best {
		sum += d
	}
	rate := flop / float64(sum.Nanoseconds())
	b.ReportMetric(rate, "GFLOP/s")
	if loop != nil {
		slices.Sort(parts)
		b.ReportMetric(100*rate*float64(bestLoop.Nanoseconds())/loopFlop, "%peak")
		b.ReportMetric(100*parts[len(parts)/2], "%peak-median")
	}
	return rate
}
