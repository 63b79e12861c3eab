package kerneltest

import (
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

// Rate benchmarks the pieces of a computation that does flop multiplications and additions, one after the other. It
// reports the rate that the fastest time of each piece amounts to, and how many per cent of Peak(l) that is: the
// fastest, because a machine's other work only ever slows a piece down.
func Rate(b *testing.B, l isa.Level, flop float64, pieces int, f func(piece int)) {
	b.Helper()
	best := make([]time.Duration, pieces)
	for i := range best {
		best[i] = 1 << 62
	}
	for b.Loop() {
		for i := range best {
			start := time.Now()
			f(i)
			best[i] = min(best[i], time.Since(start))
		}
	}
	sum := time.Duration(0)
	for _, d := range best {
		sum += d
	}
	rate := flop / float64(sum.Nanoseconds())
	b.ReportMetric(rate, "GFLOP/s")
	if p := Peak(l); p > 0 {
		b.ReportMetric(100*rate/p, "%peak")
	}
}
