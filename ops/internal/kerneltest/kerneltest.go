// Package kerneltest has what the tests of micro-kernels share: memory that shows reads and writes outside a slice,
// random and special values, and the error bound of a sum of products.
//
// It knows no kernel. Only tests import it.
package kerneltest

import (
	"math"
	"math/rand/v2"
	"testing"
)

// guard is the number of values around a guarded slice: more than the widest tile reads or writes past an end.
const guard = 1024

// sentinel surrounds output memory. It is finite, so that a kernel that reads it does not hide the fault in a NaN,
// and no kernel computes it from the values of Fill.
const sentinel = -123456.789

// In returns a copy of x with NaNs before and after it, so that a result shows that a kernel read outside.
func In(x []float32) []float32 {
	b := make([]float32, len(x)+2*guard)
	for i := range b {
		b[i] = float32(math.NaN())
	}
	copy(b[guard:], x)
	return b[guard : guard+len(x) : guard+len(x)]
}

// Out returns n sentinels with more of them before and after. The test fails at its end if a kernel changed one
// of those around the slice.
func Out(tb testing.TB, n int) []float32 {
	tb.Helper()
	b := make([]float32, n+2*guard)
	for i := range b {
		b[i] = sentinel
	}
	tb.Cleanup(func() {
		for i, v := range b {
			if at := i - guard; (at < 0 || at >= n) && v != sentinel {
				tb.Errorf("kernel wrote %v at index %d of an output of %d", v, at, n)
				return
			}
		}
	})
	return b[guard : guard+n : guard+n]
}

// Untouched reports whether v is what Out fills memory with.
func Untouched(v float32) bool { return v == sentinel }

// PageEnd returns n zeros whose last one lies at the end of a page with an unmapped page behind it, and PageStart n
// zeros whose first one lies behind an unmapped page: a kernel that reads or writes past that end faults. On
// systems without such pages both are plain slices. The memory lives until the test ends.
func PageEnd(tb testing.TB, n int) []float32 { tb.Helper(); return paged(tb, n, true) }

// PageStart is described at PageEnd.
func PageStart(tb testing.TB, n int) []float32 { tb.Helper(); return paged(tb, n, false) }

// Count returns how many random problems a test tries: n, or with -short, as under emulation, a tenth of them.
func Count(n int) int {
	if testing.Short() {
		return (n + 9) / 10
	}
	return n
}

// Fill sets x to values in [-1, 1).
func Fill(r *rand.Rand, x []float32) {
	for i := range x {
		x[i] = r.Float32()*2 - 1
	}
}

// Specials are values that kernels must treat as the portable code does.
var Specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 0x1p-127, -0x1p-127,
	math.MaxFloat32, -math.MaxFloat32,
}

// Same reports whether a and b have the same bits, all NaNs being one value.
func Same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// CheckSame fails the test at the first element where got and want are not Same.
func CheckSame(tb testing.TB, got, want []float32) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Fatalf("got %d values, want %d", len(got), len(want))
	}
	for i := range got {
		if !Same(got[i], want[i]) {
			tb.Fatalf("element %d is %v (%#08x), want %v (%#08x)",
				i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// Bound returns how far a float32 sum of k products may lie from the exact one, in any order and with or without
// fused multiply-add: (k+2)·u·Σ|a||b|, u = 2^-24 being the unit roundoff, and what k+2 subnormal products lose. abs
// is Σ|a||b| with the start value's and each added value's magnitude in it.
//
// Source: N. Higham, Accuracy and Stability of Numerical Algorithms, section 3.1.
func Bound(k int, abs float64) float64 {
	return float64(k+2) * (0x1p-24*abs + 0x1p-149)
}

// CheckBound fails the test at the first element of got that lies further from want than bound allows. A NaN or
// infinity in want must be met exactly.
func CheckBound(tb testing.TB, got []float32, want, bound []float64) {
	tb.Helper()
	if len(got) != len(want) || len(got) != len(bound) {
		tb.Fatalf("got %d values, want %d with %d bounds", len(got), len(want), len(bound))
	}
	for i, g := range got {
		if math.IsNaN(want[i]) || math.IsInf(want[i], 0) {
			if !Same(g, float32(want[i])) {
				tb.Fatalf("element %d is %v, want %v", i, g, want[i])
			}
			continue
		}
		if d := math.Abs(float64(g) - want[i]); !(d <= bound[i]) {
			tb.Fatalf("element %d is %v, want %v within %.3g, got %.3g away", i, g, want[i], bound[i], d)
		}
	}
}

// FMA returns x·y + z rounded once to float32, as the instructions do.
func FMA(x, y, z float32) float32 {
	p, a := float64(x)*float64(y), float64(z) // the product of two float32s is exact
	s := p + a
	if math.IsNaN(s) || math.IsInf(s, 0) {
		return float32(s)
	}
	// What the sum lost decides how float32 must round when s lies halfway between two of them: an inexact s is made
	// odd in its last bit, towards the exact sum, so that it never does.
	b := s - p
	if lost := (p - (s - b)) + (a - b); lost != 0 && math.Float64bits(s)&1 == 0 {
		s = math.Nextafter(s, math.Inf(int(math.Copysign(1, lost))))
	}
	return float32(s)
}
