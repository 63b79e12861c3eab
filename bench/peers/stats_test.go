package main

import (
	"math"
	"testing"
	"time"
)

func TestMedianIsTheMiddle(t *testing.T) {
	odd, even := []float64{9, 1, 5}, []time.Duration{40, 10, 20, 30}
	if got := median(odd); got != 5 {
		t.Errorf("median of %v is %v, want 5", odd, got)
	}
	if got := median(even); got != 25 {
		t.Errorf("median of %v is %v, want 25", even, got)
	}
	if odd[0] != 9 {
		t.Error("median sorted its argument")
	}
}

func TestGeometricMeanOfInversesIsOne(t *testing.T) {
	if got := geomean([]float64{4, 0.25, 10, 0.1}); math.Abs(got-1) > 1e-12 {
		t.Errorf("got %v, want 1", got)
	}
}

// rounds makes a round for each pair of times of two engines and the share of others.
func rounds(of ...[3]float64) []round {
	var rs []round
	for _, r := range of {
		a, b := time.Duration(r[0]), time.Duration(r[1])
		rs = append(rs, round{{Samples: []time.Duration{a, a, 10 * a}}, {Samples: []time.Duration{b, b, 10 * b}, Others: r[2]}})
	}
	return rs
}

func TestRatioIsTakenWithinEachRound(t *testing.T) {
	// The machine is three times slower from the second round on, where the
	// ratio of the medians over all rounds would be 300/100.
	rs := rounds([3]float64{50, 100, 0}, [3]float64{150, 300, 0}, [3]float64{150, 300, 0})
	if got := ratio(rs, 0, 1); got != 0.5 {
		t.Errorf("ratio is %v, want 0.5", got)
	}
	if got := typical(rs, 1); got != 300 {
		t.Errorf("typical time is %v, want 300ns", got)
	}
}

func TestQuietestRoundsAreKeptInTheirOrder(t *testing.T) {
	rs := rounds([3]float64{1, 1, 0.05}, [3]float64{2, 2, 0.5}, [3]float64{3, 3, 0.01}, [3]float64{4, 4, 0.3})
	kept := quietest(rs, 3)
	if len(kept) != 3 || kept[0][0].Samples[0] != 1 || kept[1][0].Samples[0] != 3 || kept[2][0].Samples[0] != 4 {
		t.Errorf("kept %v, want the rounds 1, 3 and 4", kept)
	}
	if got := kept[2].others(); got != 0.3 {
		t.Errorf("others took %v, want 0.3", got)
	}
	if len(quietest(rs[:1], 3)) != 1 {
		t.Error("one round, and not one is kept")
	}
}
