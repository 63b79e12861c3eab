package conv

import (
	"math"
	"math/rand/v2"
	"testing"

	"scission/ops/internal/kerneltest"
)

// pointwise is the shape of a 1x1 convolution.
func pointwise(n, ic, high, wide, oc int) Shape {
	return Shape{N: n, IC: ic, IH: high, IW: wide, OC: oc, OH: high, OW: wide, KH: 1, KW: 1,
		StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1}
}

// TestStrassenIsSummationWhereNothingIsRounded proves the algebra, every tail and the epilogue: with small integers no
// order of sums rounds, so that the bits are those of a scalar loop.
func TestStrassenIsSummationWhereNothingIsRounded(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(21, 22))
		integers := func(n, most int) []float32 {
			v := make([]float32, n)
			for i := range v {
				v[i] = float32(r.IntN(2*most+1) - most)
			}
			return v
		}
		for range kerneltest.Count(60) {
			s := pointwise(1+r.IntN(2), 17+r.IntN(180), 1+r.IntN(9), 2+r.IntN(20), 1+r.IntN(150))
			p := problem{Shape: s, Epilogue: Pass, in: integers(s.N*s.IC*s.IH*s.IW, 4), weights: integers(s.OC*s.IC, 4)}
			if r.IntN(2) == 0 {
				p.Bias = integers(s.OC, 9)
			}
			if r.IntN(2) == 0 {
				p.Scale, p.Shift = integers(s.OC, 3), integers(s.OC, 9)
			}
			if r.IntN(2) == 0 {
				p.Residual, p.res = true, integers(s.N*s.OC*s.OH*s.OW, 100)
			}
			if r.IntN(2) == 0 {
				p.Lo, p.Hi = -100, 50
			}
			k := newStrassen(impl, s, p.weights, p.Epilogue)
			got := p.run(t, r, k)
			for i, want := range p.scalar(impl.level) {
				if got[i] != want {
					t.Fatalf("%v: output %d is %v, want %v", p, i, got[i], want)
				}
			}
		}
	})
}

// TestStrassenErrorIsSmallBesideTheLargestOutput holds the error that the package states to that of random data.
func TestStrassenErrorIsSmallBesideTheLargestOutput(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(23, 24))
		for _, ic := range []int{32, 256, 1024} {
			s := pointwise(1, ic, 6, 7, 80)
			p := problem{Shape: s, Epilogue: Pass, in: make([]float32, ic*42), weights: make([]float32, 80*ic)}
			kerneltest.Fill(r, p.in)
			kerneltest.Fill(r, p.weights)
			p.Bias = make([]float32, s.OC)
			kerneltest.Fill(r, p.Bias)
			for i, v := range p.in { // as behind a Relu
				p.in[i] = max(v, 0)
			}
			got := p.run(t, r, newStrassen(impl, s, p.weights, p.Epilogue))
			largest, off := 0.0, 0.0
			p.eachOutput(func(o, n, oc, y, x int) {
				want := float64(p.Bias[oc])
				p.eachProduct(n, oc, y, x, func(in, w float32) { want += float64(in) * float64(w) })
				largest = max(largest, math.Abs(want))
				off = max(off, math.Abs(float64(got[o])-want))
			})
			if off > strassenError*largest {
				t.Errorf("%d channels: off by %.2g of the largest output, want at most %g", ic, off/largest, strassenError)
			}
		}
	})
}

// strassenError is the error relative to the largest output that the package states.
const strassenError = 5e-6

// TestStrassenBitsDoNotDependOnTheSets compares shapes that are cut into many chunks with one set of all units.
func TestStrassenBitsDoNotDependOnTheSets(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(25, 26))
		for _, s := range []Shape{pointwise(1, 256, 19, 19, 512), pointwise(1, 256, 14, 14, 1024)} {
			p := problem{Shape: s, Epilogue: Pass, in: make([]float32, s.IC*s.IH*s.IW), weights: make([]float32, s.OC*s.IC)}
			kerneltest.Fill(r, p.in)
			kerneltest.Fill(r, p.weights)
			k := newStrassen(impl, s, p.weights, p.Epilogue)
			if k.Chunks(1) < 4 {
				t.Errorf("%v has %d chunks, want 4 at least", s, k.Chunks(1))
			}
			whole := *k
			whole.sets, whole.setSize = 1, len(k.units)
			kerneltest.CheckSame(t, p.run(t, r, k), p.run(t, r, &whole))
		}
	})
}

func TestStrassenAllocatesNothing(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		s := pointwise(1, 64, 5, 9, 144)
		k := newStrassen(impl, s, make([]float32, s.OC*s.IC), Pass)
		in, out := make([]float32, k.inLen), make([]float32, k.outLen)
		temp, scratch := make([]float32, k.Temp()), make([]float32, k.Scratch())
		for step := range k.Steps() {
			if n := testing.AllocsPerRun(5, func() { k.Run(step, 0, temp, scratch, in, nil, out) }); n != 0 {
				t.Errorf("a chunk of step %d allocates %v times, want 0", step, n)
			}
		}
	})
}
