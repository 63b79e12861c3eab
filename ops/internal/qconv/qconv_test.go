package qconv

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"scission/ops/internal/conv"
	"scission/ops/internal/isa"
	"scission/ops/internal/kerneltest"
)

// each runs f for every implementation; those that this machine lacks are skipped by name.
func each(t *testing.T, f func(t *testing.T, impl *implementation)) {
	for i := range implementations {
		impl := &implementations[i]
		t.Run(impl.String(), func(t *testing.T) {
			if !isa.Have(impl.level) || impl.missing {
				t.Skipf("this machine has no %s, or not all of it", impl.level)
			}
			f(t, impl)
		})
	}
}

// problem is a convolution with its data in plain NCHW.
type problem struct {
	conv.Shape
	lanes int
	Epilogue
	in, weights []int16
	res         []float32
}

func (p problem) String() string {
	return fmt.Sprintf("%+v lanes %d scale %v residual %v step %g", p.Shape, p.lanes, p.Scale != nil, p.Residual, p.Step)
}

// random returns a small problem: channel counts, widths and kernels around every tail.
func random(r *rand.Rand) problem {
	pick := func(v ...int) int { return v[r.IntN(len(v))] }
	for {
		p := problem{lanes: Block, Shape: conv.Shape{
			N: pick(1, 1, 2), IC: 1 + r.IntN(50), OC: 1 + r.IntN(50), IH: 1 + r.IntN(12), IW: 1 + r.IntN(20),
			KH: pick(1, 1, 2, 3, 3, 4, 5), KW: pick(1, 1, 2, 3, 3, 5), StrideH: pick(1, 1, 2, 3), StrideW: pick(1, 1, 2),
			DilationH: pick(1, 1, 2, 3), DilationW: pick(1, 1, 2), Groups: 1, PadTop: r.IntN(3), PadLeft: r.IntN(3),
		}}
		s := &p.Shape
		switch r.IntN(4) {
		case 0:
			p.lanes, s.IC, s.DilationW = Few, 1+r.IntN(Few), 1
		case 1, 2:
			s.IC = max(2, s.IC)
			s.OC, s.Groups = s.IC, s.IC
		}
		s.OH = (s.IH+s.PadTop+r.IntN(3)-(s.KH-1)*s.DilationH-1)/s.StrideH + 1
		s.OW = (s.IW+s.PadLeft+r.IntN(3)-(s.KW-1)*s.DilationW-1)/s.StrideW + 1
		if s.OH < 1 || s.OW < 1 || !Accepts(*s, p.lanes) {
			continue
		}
		values := func(n, limit int) []int16 {
			v := make([]int16, n)
			for i := range v {
				v[i] = int16(r.IntN(2*limit+1) - limit)
			}
			return v
		}
		reals := func(n int, scale float64) []float32 {
			v := make([]float32, n)
			for i := range v {
				v[i] = float32(r.NormFloat64() * scale)
			}
			return v
		}
		p.in = values(s.N*s.IC*s.IH*s.IW, MaxValue)
		p.weights = values(s.OC*s.IC/s.Groups*s.KH*s.KW, MaxValue)
		p.Mul, p.Add = reals(s.OC, 1e-4), reals(s.OC, 3)
		p.Lo, p.Hi = float32(math.Inf(-1)), float32(math.Inf(1))
		if r.IntN(2) == 0 {
			p.Scale, p.Shift = reals(s.OC, 1), reals(s.OC, 1)
		}
		if s.Groups == 1 && r.IntN(2) == 0 {
			p.Residual, p.res = true, reals(s.N*s.OC*s.OH*s.OW, 5)
		}
		if r.IntN(2) == 0 {
			p.Lo, p.Hi = 0, 6
		}
		if r.IntN(2) == 0 {
			p.Step, p.Min, p.Max = float32(0.01+r.Float64()/5), -128, 127
		}
		return p
	}
}

// fma is x*y + z with one rounding.
func fma(x, y, z float32) float32 {
	b := func(v float32) *big.Float { return new(big.Float).SetPrec(300).SetFloat64(float64(v)) }
	f, _ := new(big.Float).SetPrec(300).Add(new(big.Float).SetPrec(300).Mul(b(x), b(y)), b(z)).Float32()
	return f
}

// want is the definition, in plain NCHW: of numbers, or of steps.
func (p *problem) want(fused bool) []float32 {
	s := &p.Shape
	scaleShift := conv.ScaleShift
	if fused {
		scaleShift = fma
	}
	ic, oc := s.IC/s.Groups, s.OC/s.Groups
	var all []float32
	for n := range s.N {
		for o := range s.OC {
			for y := range s.OH {
				for x := range s.OW {
					sum := 0
					for i := range ic {
						for ky := range s.KH {
							for kx := range s.KW {
								iy, ix := y*s.StrideH+ky*s.DilationH-s.PadTop, x*s.StrideW+kx*s.DilationW-s.PadLeft
								if iy >= 0 && iy < s.IH && ix >= 0 && ix < s.IW {
									v := p.in[((n*s.IC+o/oc*ic+i)*s.IH+iy)*s.IW+ix]
									sum += int(v) * int(p.weights[((o*ic+i)*s.KH+ky)*s.KW+kx])
								}
							}
						}
					}
					v := scaleShift(float32(sum), p.Mul[o], p.Add[o])
					if p.Scale != nil {
						v = scaleShift(v, p.Scale[o], p.Shift[o])
					}
					if p.Residual {
						v += p.res[len(all)]
					}
					v = conv.Clamp(v, p.Lo, p.Hi)
					if p.Step != 0 {
						v = float32(max(float64(p.Min), min(float64(p.Max), math.RoundToEven(float64(v/p.Step)))))
					}
					all = append(all, v)
				}
			}
		}
	}
	return all
}

// blocked puts plain NCHW to pixels of so many lanes.
func blocked[T any](x []T, n, c, hw, lanes int) []T {
	planes := (c + lanes - 1) / lanes
	y := make([]T, n*planes*hw*lanes)
	for i, v := range x {
		image, channel := i/hw/c, i/hw%c
		y[((image*planes+channel/lanes)*hw+i%hw)*lanes+channel%lanes] = v
	}
	return y
}

// Every implementation gives what the definition says, bit for bit.
func TestTilesEqualTheDefinition(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(1, 2))
		for range 400 {
			p := random(r)
			s := &p.Shape
			k := newKernel(impl, *s, p.lanes, p.weights, p.Epilogue)
			in := blocked(p.in, s.N, s.IC, s.IH*s.IW, p.lanes)
			outLen := s.N * k.blocks * s.OH * s.OW * Block
			var res []float32
			if p.Residual {
				res = blocked(p.res, s.N, s.OC, s.OH*s.OW, Block)
			}
			const longer = 100
			temp, scratch := make([]int16, k.Temp()), make([]int16, k.Scratch()+longer)
			for _, memory := range [][]int16{temp, scratch} {
				for i := range memory {
					memory[i] = 9999
				}
			}
			out := Out{Wide: make([]float32, outLen)}
			if p.Step != 0 {
				out = Out{Narrow: make([]int16, outLen)}
			}
			for step := range k.Steps() {
				for chunk := range k.Chunks(step) {
					k.Run(step, chunk, temp, scratch, in, res, out)
				}
			}
			want := blocked(p.want(impl.level != isa.Go), s.N, s.OC, s.OH*s.OW, Block)
			for i, w := range want {
				got := float32(0)
				if p.Step != 0 {
					got = float32(out.Narrow[i])
				} else {
					got = out.Wide[i]
				}
				if got != w {
					t.Fatalf("%v: element %d is %v, want %v", p, i, got, w)
				}
			}
		}
	})
}

// The quotient is that of a division even where it lies at a tie, for steps with any bits.
func TestQuantisingDivides(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(3, 4))
		const pixels = 512
		s := conv.Shape{N: 1, IC: 1, OC: 1, IH: 1, IW: pixels, OH: 1, OW: pixels, KH: 1, KW: 1, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1}
		in, out := make([]int16, pixels*Block), Out{Narrow: make([]int16, pixels*Block)}
		for range 200 {
			step := float32(math.Ldexp(1+r.Float64(), r.IntN(100)-50))
			if r.IntN(2) == 0 { // near a power of two, where ties are many
				step = math.Float32frombits(math.Float32bits(step)&^(1<<23-1) + uint32(r.IntN(32)))
			}
			res := make([]float32, pixels*Block)
			for i := range pixels {
				tie := (float32(i-pixels/2) + 0.5) * step
				res[i*Block] = math.Float32frombits(math.Float32bits(tie) + uint32(r.IntN(5)) - 2)
			}
			res[7*Block] = float32(math.NaN())
			res[8*Block], res[9*Block] = float32(math.Inf(1)), float32(math.Inf(-1))
			k := newKernel(impl, s, Block, []int16{1}, Epilogue{
				Mul: []float32{0}, Add: []float32{0}, Residual: true, Lo: float32(math.Inf(-1)), Hi: float32(math.Inf(1)), Step: step, Min: -128, Max: 127,
			})
			for chunk := range k.Chunks(0) {
				k.Run(0, chunk, nil, nil, in, res, out)
			}
			for i := range pixels {
				v := res[i*Block]
				want := int16(-128)
				if v == v {
					want = int16(max(-128, min(127, math.RoundToEven(float64(v/step)))))
				}
				if got := out.Narrow[i*Block]; got != want {
					t.Fatalf("%v in steps of %v is %d, want %d", v, step, got, want)
				}
			}
		}
	})
}

// A Quantiser gives what a division does, however it calculates: at ties, beyond the limits and for what is no number.
func TestQuantisersDivide(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const lo, hi = -100, 155
	inf := float32(math.Inf(1))
	multiply := 0
	for range 200 {
		step := float32(math.Ldexp(1+r.Float64(), r.IntN(100)-50))
		x := []float32{0, float32(math.Copysign(0, -1)), float32(math.NaN()), inf, -inf, math.MaxFloat32, -math.MaxFloat32, 1e9 * step, -1e9 * step}
		for n := lo - 5; n < hi+5; n++ {
			tie := (float32(n) + 0.5) * step
			x = append(x, math.Float32frombits(math.Float32bits(tie)+uint32(r.IntN(5))-2))
		}
		fast := NewQuantiser(step, lo, hi)
		if fast.inverse != 0 {
			multiply++
		}
		for _, q := range []Quantiser{fast, {Step: step, Lo: lo, Hi: hi}} {
			got := make([]int16, len(x))
			q.Quantise(got, x)
			for i, v := range x {
				want := int16(lo)
				if v == v {
					want = int16(max(lo, min(hi, math.RoundToEven(float64(v/step)))))
				}
				if got[i] != want {
					t.Fatalf("%v in steps of %v is %d, want %d (inverse %v)", v, step, got[i], want, q.inverse)
				}
			}
		}
	}
	if multiply == 0 {
		t.Fatal("no step has an inverse")
	}
}

// BenchmarkLayers runs layers of MobileNetV2 on one thread with memory that is warm.
func BenchmarkLayers(b *testing.B) {
	for i := range implementations {
		impl := &implementations[i]
		b.Run(impl.String(), func(b *testing.B) {
			if !isa.Have(impl.level) || impl.missing {
				b.Skipf("this machine has no %s, or not all of it", impl.level)
			}
			for _, c := range []struct{ ic, size, oc, kernel, stride int }{
				{3, 128, 16, 3, 2}, {8, 64, 48, 1, 1}, {48, 32, 16, 1, 1}, {96, 16, 32, 1, 1}, {384, 14, 64, 1, 1}, {64, 28, 64, 3, 1},
				{48, 64, 0, 3, 1}, {48, 64, 0, 3, 2}, {192, 14, 0, 3, 1},
			} {
				b.Run(fmt.Sprintf("%dx%ds%d_%d_%d_%d", c.kernel, c.kernel, c.stride, c.ic, c.oc, c.size), func(b *testing.B) {
					pad := c.kernel / 2
					out := (c.size+2*pad-c.kernel)/c.stride + 1
					s := conv.Shape{N: 1, IC: c.ic, OC: c.oc, Groups: 1, IH: c.size, IW: c.size, OH: out, OW: out, KH: c.kernel, KW: c.kernel,
						StrideH: c.stride, StrideW: c.stride, DilationH: 1, DilationW: 1, PadTop: pad, PadLeft: pad}
					lanes := Block
					if c.ic <= Few {
						lanes = Few
					}
					if c.oc == 0 {
						s.OC, s.Groups = s.IC, s.IC
					}
					e := Epilogue{Mul: make([]float32, s.OC), Add: make([]float32, s.OC), Hi: 6, Step: 0.1, Min: -128, Max: 127}
					k := newKernel(impl, s, lanes, make([]int16, s.OC*s.IC/s.Groups*s.KH*s.KW), e)
					x, y := make([]int16, s.N*k.planes*s.IH*s.IW*lanes), Out{Narrow: make([]int16, k.blocks*s.OH*s.OW*Block)}
					temp, scratch := make([]int16, k.Temp()), make([]int16, k.Scratch())
					flop := 2 * float64(s.OC*s.IC/s.Groups*s.KH*s.KW) * float64(s.OH*s.OW)
					first := k.Chunks(0)
					pieces := first
					if k.Steps() > 1 {
						pieces += k.Chunks(1)
					}
					kerneltest.Rate(b, impl.level, flop, pieces, func(i int) {
						if i < first {
							k.Run(0, i, temp, scratch, x, nil, y)
						} else {
							k.Run(1, i-first, temp, scratch, x, nil, y)
						}
					})
				})
			}
		})
	}
}
