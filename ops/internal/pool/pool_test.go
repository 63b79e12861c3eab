package pool

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"scission/ops/internal/isa"
	"scission/ops/internal/kerneltest"
)

// eachImpl runs f as a subtest for every implementation, skipping those this processor lacks.
func eachImpl(t *testing.T, f func(t *testing.T, im *impl)) {
	for i := range impls {
		im := &impls[i]
		t.Run(im.name, func(t *testing.T) {
			if !isa.Have(im.level) {
				t.Skipf("%s needs %s, this processor or build has %s", im.name, im.level, isa.Best())
			}
			f(t, im)
		})
	}
}

// reference pools row-major images by the definition: it goes through the window's positions one by one and asks of
// each where it lies. abs is the sum of magnitudes of each window.
func reference(s Shape, kind Kind, in []float32) (want, abs []float64) {
	for plane := range s.N * s.C {
		in := in[plane*s.IH*s.IW:]
		for y := range s.OH {
			for x := range s.OW {
				m := math.Inf(-1)
				var sum, size, values, positions float64
				for r := range s.KH {
					for c := range s.KW {
						i, j := y*s.StrideH-s.PadTop+r*s.DilationH, x*s.StrideW-s.PadLeft+c*s.DilationW
						if i < s.IH+s.PadBottom && j < s.IW+s.PadRight {
							positions++
						}
						var v float64
						if i >= 0 && i < s.IH && j >= 0 && j < s.IW {
							v = float64(in[i*s.IW+j])
						} else if kind != MaxWithZeros || i >= s.IH+s.PadBottom || j >= s.IW+s.PadRight {
							continue
						}
						if !(m > v) {
							m = v
						}
						sum += v
						size += math.Abs(v)
						values++
					}
				}
				switch {
				case kind <= MaxWithZeros:
					sum, size = m, 0
				case values == 0:
				case kind == Avg:
					sum /= values
					size /= values
				default:
					sum /= positions
					size /= positions
				}
				want, abs = append(want, sum), append(abs, size)
			}
		}
	}
	return want, abs
}

// blocked returns row-major images with c channels as NCHW16c with zero pad lanes.
func blocked(x []float32, n, c, hw int) []float32 {
	cb := ceil(c, lanes)
	y := make([]float32, n*cb*hw*lanes)
	for i := range n {
		for ch := range c {
			for p := range hw {
				y[((i*cb+ch/lanes)*hw+p)*lanes+ch%lanes] = x[(i*c+ch)*hw+p]
			}
		}
	}
	return y
}

// run pools x, row-major, and returns a row-major result, after checking the pad lanes of a blocked one.
func run(t *testing.T, im *impl, s Shape, kind Kind, block bool, x []float32, perm func(int) []int) []float32 {
	t.Helper()
	k := newKernel(im, s, kind, block)
	c := s.C
	if block {
		x = blocked(x, s.N, s.C, s.IH*s.IW)
		c = ceil(s.C, lanes) * lanes
	}
	in := kerneltest.PageEnd(t, len(x))
	copy(in, x)
	out := kerneltest.Out(t, s.N*c*s.OH*s.OW)
	scratch := make([]float32, k.Scratch())
	for _, chunk := range perm(k.Chunks(0)) {
		k.Run(0, chunk, nil, scratch, in, out)
	}
	if !block {
		return out
	}
	hw := s.OH * s.OW
	plain := make([]float32, s.N*s.C*hw)
	for i, v := range out {
		ch, p := i/lanes/hw%(c/lanes)*lanes+i%lanes, i/lanes%hw
		if ch < s.C {
			plain[(i/(c*hw)*s.C+ch)*hw+p] = v
		} else if v != 0 {
			t.Fatalf("pad lane %d of position %d is %v, want 0", ch, p, v)
		}
	}
	return plain
}

// shapes are the usual windows, and random ones with windows that stick out on every side.
func shapes(r *rand.Rand) []Shape {
	s := []Shape{
		{N: 2, C: 20, IH: 14, IW: 14, OH: 7, OW: 7, KH: 2, KW: 2, StrideH: 2, StrideW: 2},
		{N: 1, C: 16, IH: 17, IW: 19, OH: 9, OW: 10, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1},
		{N: 1, C: 3, IH: 9, IW: 40, OH: 9, OW: 40, KH: 3, KW: 3, StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1},
		{N: 1, C: 40, IH: 70, IW: 70, OH: 35, OW: 35, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1},
		{N: 1, C: 2, IH: 3, IW: 40, OH: 1, OW: 1, KH: 3, KW: 40, StrideH: 1, StrideW: 1},
		{N: 1, C: 0, IH: 3, IW: 4, OH: 2, OW: 2, KH: 2, KW: 2, StrideH: 1, StrideW: 1},
		{N: 0, C: 2, IH: 3, IW: 4, OH: 2, OW: 2, KH: 2, KW: 2, StrideH: 1, StrideW: 1},
		{N: 1, C: 2, IH: 3, IW: 4, OH: 0, OW: 2, KH: 2, KW: 2, StrideH: 1, StrideW: 1},
	}
	for i := range s {
		s[i].DilationH, s[i].DilationW = 1, 1
	}
	for range kerneltest.Count(300) {
		s = append(s, Shape{
			N: 1 + r.IntN(2), C: 1 + r.IntN(35), IH: 1 + r.IntN(8), IW: 1 + r.IntN(24), OH: 1 + r.IntN(6), OW: 1 + r.IntN(22),
			KH: 1 + r.IntN(4), KW: 1 + r.IntN(4), StrideH: 1 + r.IntN(3), StrideW: 1 + r.IntN(3),
			DilationH: 1 + r.IntN(2), DilationW: 1 + r.IntN(3), PadTop: r.IntN(6) - 2, PadLeft: r.IntN(6) - 2,
			PadBottom: r.IntN(4), PadRight: r.IntN(4),
		})
	}
	return s
}

func TestPoolingIsItsDefinition(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, s := range shapes(r) {
			x := make([]float32, s.N*s.C*s.IH*s.IW)
			kerneltest.Fill(r, x)
			for _, kind := range []Kind{Max, MaxWithZeros, Avg, AvgIncludePad} {
				want, bound := reference(s, kind, x)
				for i, abs := range bound {
					bound[i] = kerneltest.Bound(s.KH*s.KW, abs)
				}
				for _, block := range []bool{false, true} {
					kerneltest.CheckBound(t, run(t, im, s, kind, block, x, r.Perm), want, bound)
				}
			}
		}
	})
}

func TestMaxOfSpecialValuesIsTakenInOrder(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, s := range shapes(r)[:30] {
			x := make([]float32, s.N*s.C*s.IH*s.IW)
			for i := range x {
				x[i] = kerneltest.Specials[r.IntN(len(kerneltest.Specials))]
			}
			exact, _ := reference(s, Max, x)
			want := make([]float32, len(exact))
			for i, v := range exact {
				want[i] = float32(v)
			}
			kerneltest.CheckSame(t, run(t, im, s, Max, false, x, r.Perm), want)
			kerneltest.CheckSame(t, run(t, im, s, Max, true, x, r.Perm), want)
		}
	})
}

func TestBitsDoNotDependOnTheInstructionSet(t *testing.T) {
	portable := &impls[len(impls)-1]
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, s := range shapes(r)[:38] {
			x := make([]float32, s.N*s.C*s.IH*s.IW)
			kerneltest.Fill(r, x)
			kerneltest.CheckSame(t, run(t, im, s, Avg, true, x, r.Perm), run(t, portable, s, Avg, true, x, r.Perm))
		}
	})
}

func TestGlobalAverage(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, hw := range []int{0, 1, 3, 4, 49, 196, 3000} {
			const n, c = 2, 21
			x := make([]float32, n*c*hw)
			kerneltest.Fill(r, x)
			want, bound := make([]float64, n*c), make([]float64, n*c)
			for i := range want {
				var abs float64
				for _, v := range x[i*hw:][:hw] {
					want[i] += float64(v) / float64(hw)
					abs += math.Abs(float64(v)) / float64(hw)
				}
				bound[i] = kerneltest.Bound(hw, abs)
			}
			for _, block := range []bool{false, true} {
				kerneltest.CheckBound(t, run(t, im, global(n, c, hw), Avg, block, x, r.Perm), want, bound)
			}
		}
	})
}

func TestRunAllocatesNothing(t *testing.T) {
	for _, block := range []bool{false, true} {
		k := NewGlobalAvg(1, 32, 49, block)
		x, y := make([]float32, 32*49), make([]float32, 32)
		if n := testing.AllocsPerRun(3, func() {
			for c := range k.Chunks(0) {
				k.Run(0, c, nil, nil, x, y)
			}
		}); n != 0 {
			t.Errorf("a run makes %v allocations, want 0", n)
		}
	}
}

func TestBadArgumentsPanic(t *testing.T) {
	x := make([]float32, 64)
	k := NewGlobalAvg(1, 16, 4, true)
	for name, f := range map[string]func(){
		"short input":     func() { k.Run(0, 0, nil, nil, x[:63], x) },
		"short output":    func() { k.Run(0, 0, nil, nil, x, x[:15]) },
		"no window":       func() { New(Shape{}, Max, true) },
		"negative size":   func() { s := global(1, 1, 1); s.OW = -1; New(s, Max, true) },
		"negative images": func() { NewGlobalAvg(-1, 1, 1, false) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic for %s", name)
				}
			}()
			f()
		}()
	}
}

func BenchmarkPool(b *testing.B) {
	for _, c := range []struct {
		name string
		s    Shape
		kind Kind
	}{
		{"max 3x3 s2 64x112", Shape{C: 64, IH: 112, IW: 112, OH: 56, OW: 56, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1}, Max},
		{"max 2x2 s2 128x56", Shape{C: 128, IH: 56, IW: 56, OH: 28, OW: 28, KH: 2, KW: 2, StrideH: 2, StrideW: 2}, Max},
		{"avg 3x3 s1 256x17", Shape{C: 256, IH: 17, IW: 17, OH: 17, OW: 17, KH: 3, KW: 3, StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1}, Avg},
		{"global avg 2048x7", global(1, 2048, 49), Avg},
		{"global avg 32x112", global(1, 32, 112*112), Avg},
	} {
		c.s.N, c.s.DilationH, c.s.DilationW = 1, 1, 1
		in, out := make([]float32, c.s.C*c.s.IH*c.s.IW), make([]float32, c.s.C*c.s.OH*c.s.OW)
		kerneltest.Fill(rand.New(rand.NewPCG(1, 2)), in)
		for i := range impls {
			im := &impls[i]
			b.Run(fmt.Sprintf("%s/%s", c.name, im.name), func(b *testing.B) {
				if !isa.Have(im.level) {
					b.Skipf("needs %s", im.level)
				}
				k, best := newKernel(im, c.s, c.kind, true), math.Inf(1)
				for b.Loop() {
					start := time.Now()
					for chunk := range k.Chunks(0) {
						k.Run(0, chunk, nil, nil, in, out)
					}
					best = min(best, time.Since(start).Seconds())
				}
				b.ReportMetric(4*float64(len(in)+len(out))/best/1e9, "GB/s")
				b.ReportMetric(1e6*best, "us-best")
			})
		}
	}
}
