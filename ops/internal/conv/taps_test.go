package conv

import (
	"math/rand/v2"
	"testing"

	"scission/ops/internal/kerneltest"
)

// atrous is the shape of a dilated convolution that keeps the size of the input.
func atrous(n, ic, high, wide, oc, dilation int) Shape {
	return Shape{N: n, IC: ic, IH: high, IW: wide, OC: oc, OH: high, OW: wide, KH: 3, KW: 3,
		StrideH: 1, StrideW: 1, DilationH: dilation, DilationW: dilation, PadTop: dilation, PadLeft: dilation, Groups: 1}
}

// TestTapsAreSummationWhereNothingIsRounded proves which products are left out, every tail and the epilogue: with small
// integers no order of sums rounds, so that the bits are those of a scalar loop.
func TestTapsAreSummationWhereNothingIsRounded(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(31, 32))
		integers := func(n, most int) []float32 {
			v := make([]float32, n)
			for i := range v {
				v[i] = float32(r.IntN(2*most+1) - most)
			}
			return v
		}
		for range kerneltest.Count(60) {
			s := atrous(1+r.IntN(2), 1+r.IntN(40), 1+r.IntN(10), 1+r.IntN(12), 1+r.IntN(70), 1+r.IntN(8))
			s.StrideH, s.StrideW, s.DilationW = 1+r.IntN(3), 1+r.IntN(3), 1+r.IntN(5)
			s.KH, s.KW = 1+r.IntN(3), 1+r.IntN(3)
			s.PadTop, s.PadLeft = r.IntN(2*s.KH*s.DilationH), r.IntN(2*s.KW*s.DilationW)
			s.OH, s.OW = 1+r.IntN(s.IH+3), 1+r.IntN(s.IW+3)
			p := problem{Shape: s, Epilogue: Pass, in: integers(s.N*s.IC*s.IH*s.IW, 4), weights: integers(s.OC*s.IC*s.KH*s.KW, 4)}
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
			got := p.run(t, r, newTaps(impl, s, p.weights, p.Epilogue))
			for i, want := range p.scalar(impl.level) {
				if got[i] != want {
					t.Fatalf("%v: output %d is %v, want %v", p, i, got[i], want)
				}
			}
		}
	})
}

func TestTapsPayWhereMuchIsPadding(t *testing.T) {
	for _, c := range []struct {
		Shape
		pays bool
	}{
		{atrous(1, 960, 28, 28, 256, 12), true},   // half of the products are with padding
		{atrous(1, 512, 28, 28, 512, 2), false},   // one in eleven
		{atrous(1, 512, 7, 7, 512, 1), false},     // not dilated
		{atrous(1, 256, 100, 100, 256, 4), false}, // large
	} {
		if got := TapsPay(c.Shape); got != c.pays {
			t.Errorf("%+v: got %v, want %v", c.Shape, got, c.pays)
		}
	}
}

func TestTapsAllocateNothing(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		s := atrous(1, 40, 9, 9, 50, 4)
		k := newTaps(impl, s, make([]float32, s.OC*s.IC*9), Pass)
		in, out, scratch := make([]float32, k.inLen), make([]float32, k.outLen), make([]float32, k.Scratch())
		if n := testing.AllocsPerRun(5, func() { k.Run(0, 0, nil, scratch, in, nil, out) }); n != 0 {
			t.Errorf("a chunk allocates %v times, want 0", n)
		}
	})
}
