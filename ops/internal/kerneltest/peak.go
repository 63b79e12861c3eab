package kerneltest

import (
	"testing"
	"time"

	"scission/ops/internal/isa"
)

//go:generate sh ../asmgen/generate.sh kerneltest

// lanes is the float32s of a vector of each level.
var lanes = map[isa.Level]float64{isa.AVX2: 8, isa.AVX512: 16}

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

// ReportRate reports the rate of a benchmark of which each iteration does flop multiplications and additions, and,
// in per cent, how much of Peak(l) that is. Peak is taken now, so that both are of the same moment on a machine
// whose clock and neighbours change.
func ReportRate(b *testing.B, l isa.Level, flop float64) {
	b.Helper()
	rate := flop * float64(b.N) / float64(b.Elapsed().Nanoseconds())
	b.ReportMetric(rate, "GFLOP/s")
	if p := Peak(l); p > 0 {
		b.ReportMetric(100*rate/p, "%peak")
	}
}
