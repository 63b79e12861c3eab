package zoo

import (
	"math"
	"slices"
	"testing"
)

// The numbers are the published test vector of SplitMix64 for this seed.
func TestWeightsAreTheUpperBitsOfSplitMix64(t *testing.T) {
	sequence := []uint64{
		6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821,
	}
	got := make([]float32, 2*len(sequence)-1)
	const radius = 1 << 23 // makes the values integers
	fill(got, 1234567, 0, radius)
	for i, v := range got {
		half := sequence[i/2] >> 32
		if i%2 == 1 {
			half = sequence[i/2] & (1<<32 - 1)
		}
		if want := float32(int64(int32(uint32(half))) >> 8); v != want {
			t.Errorf("value %d is %v, want %v", i, v, want)
		}
	}
}

func TestWeightsDoNotDependOnTheNumberOfCPUs(t *testing.T) {
	inChunks := make([]float32, 2*chunk+3)
	fill(inChunks, 1, 0.5, 0.25)
	atOnce := make([]float32, len(inChunks))
	fillFrom(atOnce, 1, 0, 0.5, 0.25)
	if !slices.Equal(inChunks, atOnce) {
		t.Error("filling by chunks gives other values than filling at once")
	}
	if least, most := slices.Min(atOnce), slices.Max(atOnce); least < 0.25 || least > 0.251 || most > 0.75 || most < 0.749 {
		t.Errorf("values from %v to %v, want 0.25 to 0.75", least, most)
	}
}

// The bits were computed with exact fractions, rounded once for each operation.
// A platform that fuses the product and the sum gives others at these places.
func TestEachOperationIsRounded(t *testing.T) {
	x := make([]float32, 112)
	fill(x, 1234567, 0.7, 0.14)
	for i, want := range map[int]uint32{74: 0x3f4a80d2, 78: 0x3f3b9e9e, 82: 0x3f0f7832, 90: 0x3f3e44f6, 111: 0x3f188e1e} {
		if got := math.Float32bits(x[i]); got != want {
			t.Errorf("value %d has the bits %#x, want %#x", i, got, want)
		}
	}
}

func BenchmarkFill(b *testing.B) {
	x := make([]float32, 8*chunk)
	b.SetBytes(int64(4 * len(x)))
	for b.Loop() {
		fill(x, 1, 0, 1)
	}
}
