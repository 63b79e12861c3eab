package vec

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestWideSumsAreThoseOfFourParts(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, n := range lengths() {
			x := values(t, r, n)
			for i, v := range x {
				if v-v != 0 {
					x[i] = float32(i)
				}
			}
			var part [4]float64
			for i, v := range x {
				part[i%4] += float64(v)
			}
			if got, want := im.sumOfWide(x), (part[0]+part[1])+(part[2]+part[3]); math.Float64bits(got) != math.Float64bits(want) {
				t.Fatalf("sum of %d values is %g, want %g", n, got, want)
			}
			acc, want := make([]float64, n), make([]float64, n)
			for i := range acc {
				acc[i] = r.Float64()
				want[i] = acc[i] + float64(x[i])
			}
			im.addToWide(acc, x)
			for i := range acc {
				if acc[i] != want[i] {
					t.Fatalf("value %d of %d is %g, want %g", i, n, acc[i], want[i])
				}
			}
			rows := x[:n/Lanes*Lanes]
			var sums [Lanes]float64
			im.sumOfWide16(&sums, rows)
			for l, got := range sums {
				lane := []float32{}
				for i := l; i < len(rows); i += Lanes {
					lane = append(lane, rows[i])
				}
				if want := im.sumOfWide(lane); math.Float64bits(got) != math.Float64bits(want) {
					t.Fatalf("sum of lane %d of %d rows is %g, want %g", l, len(rows)/Lanes, got, want)
				}
			}
		}
	})
}
