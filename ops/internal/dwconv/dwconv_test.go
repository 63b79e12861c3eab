package dwconv

import (
	"fmt"
	"math"
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
			if !isa.Have(impl.level) {
				t.Skipf("this machine has no %s", impl.level)
			}
			f(t, impl)
		})
	}
}

// problem is a convolution with its data in plain NCHW.
type problem struct {
	conv.Shape
	conv.Epilogue
	floor            float32
	in, weights, res []float32
}

func (p problem) String() string {
	return fmt.Sprintf("%+v scale %v residual %v floor %v", p.Shape, p.Scale != nil, p.Residual, p.floor)
}

var noFloor = float32(math.Inf(-1))

// random returns a small problem, with channels, widths and kernels around every tail, and some outputs that see only
// padding.
func random(r *rand.Rand) problem {
	pick := func(v ...int) int { return v[r.IntN(len(v))] }
	for {
		c := 1 + r.IntN(40)
		s := conv.Shape{
			N: pick(1, 1, 2), IC: c, OC: c, Groups: c, IH: 1 + r.IntN(20), IW: 1 + r.IntN(40),
			KH: pick(1, 2, 3, 3, 5, 7), KW: pick(1, 2, 3, 3, 5, 7),
			StrideH: pick(1, 1, 2, 3), StrideW: pick(1, 1, 2, 3),
			DilationH: pick(1, 1, 2, 3), DilationW: pick(1, 1, 2, 3),
		}
		high, wide := (s.KH-1)*s.DilationH+1, (s.KW-1)*s.DilationW+1
		s.PadTop, s.PadLeft = r.IntN(high+1), r.IntN(wide+1)
		s.OH = (s.IH+s.PadTop+r.IntN(high+1)-high)/s.StrideH + 1
		s.OW = (s.IW+s.PadLeft+r.IntN(wide+1)-wide)/s.StrideW + 1
		if s.OH < 1 || s.OW < 1 || !Accepts(s) {
			continue
		}
		values := func(n int) []float32 {
			v := make([]float32, n)
			kerneltest.Fill(r, v)
			return v
		}
		p := problem{Shape: s, Epilogue: conv.Pass, floor: noFloor, in: values(s.N * c * s.IH * s.IW), weights: values(c * s.KH * s.KW)}
		if r.IntN(2) == 0 {
			p.Bias = values(c)
		}
		if r.IntN(2) == 0 {
			p.Scale, p.Shift = values(c), values(c)
		}
		if r.IntN(2) == 0 {
			p.Residual, p.res = true, values(s.N*c*s.OH*s.OW)
		}
		switch r.IntN(4) {
		case 0:
			p.floor = 0.25
		case 1:
			if p.Scale != nil { // no sum is -0
				p.floor = 0
			}
		}
		switch r.IntN(4) {
		case 0:
			p.Lo, p.Hi = 0, 6
		case 1:
			p.Lo, p.Hi = 0.25, float32(math.Inf(1)) // not even zero passes
		}
		return p
	}
}

// eachOutput calls f for every output element of channels that exist; o is its place in NCHW, plane that of its image
// and channel.
func (p problem) eachOutput(f func(o, plane, y, x int)) {
	for o := range p.N * p.OC * p.OH * p.OW {
		f(o, o/p.OW/p.OH, o/p.OW%p.OH, o%p.OW)
	}
}

// eachProduct calls f with input and weight of each product of an output, row by row, without those of the padding.
func (p problem) eachProduct(plane, y, x int, f func(in, w float32)) {
	for ky := range p.KH {
		for kx := range p.KW {
			iy, ix := y*p.StrideH+ky*p.DilationH-p.PadTop, x*p.StrideW+kx*p.DilationW-p.PadLeft
			if iy >= 0 && iy < p.IH && ix >= 0 && ix < p.IW {
				v := p.in[(plane*p.IH+iy)*p.IW+ix]
				if v < p.floor {
					v = p.floor
				}
				f(v, p.weights[(plane%p.IC*p.KH+ky)*p.KW+kx])
			}
		}
	}
}

// rounding is the arithmetic of a level: multiply and add with one rounding or with two.
func rounding(l isa.Level) func(x, y, z float32) float32 {
	if l == isa.Go {
		return conv.ScaleShift
	}
	return kerneltest.FMA
}

// scalar computes p with one multiply and add after the other, and the epilogue in separate passes.
func (p problem) scalar(l isa.Level) []float32 {
	multiplyAdd := rounding(l)
	out := make([]float32, p.N*p.OC*p.OH*p.OW)
	p.eachOutput(func(o, plane, y, x int) {
		if p.Bias != nil {
			out[o] = p.Bias[plane%p.IC]
		}
		p.eachProduct(plane, y, x, func(in, w float32) { out[o] = multiplyAdd(in, w, out[o]) })
	})
	p.eachOutput(func(o, plane, _, _ int) {
		if p.Scale != nil {
			out[o] = multiplyAdd(out[o], p.Scale[plane%p.IC], p.Shift[plane%p.IC])
		}
	})
	for o := range out {
		if p.Residual {
			out[o] += p.res[o]
		}
	}
	for o := range out {
		switch {
		case out[o] < p.Lo:
			out[o] = p.Lo
		case out[o] > p.Hi:
			out[o] = p.Hi
		}
	}
	return out
}

// blocked returns v [n][c][hw] as [n][⌈c/16⌉][hw][16].
func blocked(v []float32, n, c, hw int) []float32 {
	blocks := (c + block - 1) / block
	b := make([]float32, n*blocks*hw*block)
	for i := range v {
		x, ch, img := i%hw, i/hw%c, i/hw/c
		b[((img*blocks+ch/block)*hw+x)*block+ch%block] = v[i]
	}
	return b
}

// run computes p on guarded memory, with the chunks in random order, and returns the output in NCHW. It fails the test
// where a pad channel is not zero.
func (p problem) run(t *testing.T, r *rand.Rand, k *Kernel) []float32 {
	t.Helper()
	hw := p.OH * p.OW
	in := kerneltest.In(blocked(p.in, p.N, p.IC, p.IH*p.IW))
	out := kerneltest.Out(t, len(blocked(nil, p.N, p.OC, hw)))
	var res []float32
	if p.Residual {
		res = kerneltest.In(blocked(p.res, p.N, p.OC, hw))
		if r.IntN(2) == 0 { // in place
			copy(out, res)
			res = out
		}
	}
	for _, chunk := range r.Perm(k.Chunks(0)) {
		k.Run(0, chunk, nil, nil, in, res, out)
	}
	plain := make([]float32, p.N*p.OC*hw)
	blocks := (p.OC + block - 1) / block
	for i, v := range out {
		lane, x, b, n := i%block, i/block%hw, i/block/hw%blocks, i/block/hw/blocks
		if c := b*block + lane; c < p.OC {
			plain[(n*p.OC+c)*hw+x] = v
		} else if math.Float32bits(v) != 0 {
			t.Fatalf("%v: pad channel %d of pixel %d is %v, want 0", p, c, x, v)
		}
	}
	return plain
}

// TestBitsEqualOneSumInTheStatedOrder proves that no tile, chunk, thread or fusion of the epilogue changes a bit: all
// outputs equal a scalar loop with separate passes for the epilogue.
func TestBitsEqualOneSumInTheStatedOrder(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(3, 4))
		for i := range kerneltest.Count(300) {
			p := random(r)
			if i%5 == 0 {
				for range 1 + len(p.in)/100 {
					p.in[r.IntN(len(p.in))] = kerneltest.Specials[r.IntN(len(kerneltest.Specials))]
				}
			}
			if i%10 == 5 {
				p.weights[r.IntN(len(p.weights))] = kerneltest.Specials[r.IntN(len(kerneltest.Specials))]
			}
			k := newKernel(impl, p.Shape, p.weights, p.floor, p.Epilogue)
			got := p.run(t, r, k)
			for i, want := range p.scalar(impl.level) {
				if !kerneltest.Same(got[i], want) {
					t.Fatalf("%v: output %d is %v, want %v", p, i, got[i], want)
				}
			}
		}
	})
}

// TestEveryTileSizeGivesTheSameBits covers rows of up to two tiles and a pixel, with and without three taps a row.
func TestEveryTileSizeGivesTheSameBits(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(13, 14))
		const most = 11 // pixels of a tile
		for wide := 1; wide <= 2*most+1; wide++ {
			for _, c := range [][3]int{{3, 1, 0}, {3, 2, 0}, {2, 1, 0}, {3, 1, 1}, {3, 2, 1}, {5, 1, 2}, {5, 2, 1}, {5, 2, 2}, {7, 1, 3}, {7, 2, 2}, {7, 2, 3}} {
				taps, stride, pad := c[0], c[1], c[2]
				s := conv.Shape{N: 1, IC: block, IH: 2, IW: max(1, (wide-1)*stride+taps-2*pad), PadLeft: pad, OC: block, OH: 1, OW: wide, KH: 2, KW: taps,
					StrideH: 1, StrideW: stride, DilationH: 1, DilationW: 1, Groups: block}
				p := problem{Shape: s, Epilogue: conv.Pass, floor: noFloor, in: make([]float32, block*s.IH*s.IW), weights: make([]float32, block*s.KH*taps),
					res: make([]float32, block*wide)}
				p.Residual, p.Scale, p.Shift = true, make([]float32, block), make([]float32, block)
				for _, v := range [][]float32{p.in, p.weights, p.res, p.Scale, p.Shift} {
					kerneltest.Fill(r, v)
				}
				kerneltest.CheckSame(t, p.run(t, r, newKernel(impl, s, p.weights, p.floor, p.Epilogue)), p.scalar(impl.level))
			}
		}
	})
}

func TestErrorIsWithinTheBoundOfASum(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(5, 6))
		for range kerneltest.Count(100) {
			p := random(r)
			p.Epilogue, p.floor = conv.Pass, noFloor
			got := p.run(t, r, newKernel(impl, p.Shape, p.weights, p.floor, p.Epilogue))
			want, bound := make([]float64, len(got)), make([]float64, len(got))
			p.eachOutput(func(o, plane, y, x int) {
				terms, magnitude := 0, 0.0
				p.eachProduct(plane, y, x, func(in, w float32) {
					v := float64(in) * float64(w)
					want[o] += v
					magnitude += math.Abs(v)
					terms++
				})
				bound[o] = kerneltest.Bound(terms, magnitude)
			})
			kerneltest.CheckBound(t, got, want, bound)
		}
	})
}

// TestLargeShapesAreCutWithoutLoss covers blocks that are cut into parts.
func TestLargeShapesAreCutWithoutLoss(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(7, 8))
		s := conv.Shape{N: 1, IC: 20, OC: 20, Groups: 20, IH: 130, IW: 131, OH: 130, OW: 131, KH: 5, KW: 5,
			StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: 2, PadLeft: 2}
		p := problem{Shape: s, Epilogue: conv.Pass, floor: noFloor, in: make([]float32, s.IC*s.IH*s.IW), weights: make([]float32, s.IC*s.KH*s.KW)}
		// Small integers: every sum is exact, so a plain float32 loop is the reference.
		for _, v := range [][]float32{p.in, p.weights} {
			for i := range v {
				v[i] = float32(r.IntN(9) - 4)
			}
		}
		k := newKernel(impl, s, p.weights, p.floor, p.Epilogue)
		if k.Chunks(0) < 8 {
			t.Errorf("%d chunks, want 8 at least", k.Chunks(0))
		}
		got := p.run(t, r, k)
		p.eachOutput(func(o, plane, y, x int) {
			want := float32(0)
			p.eachProduct(plane, y, x, func(in, w float32) { want += in * w })
			if got[o] != want {
				t.Fatalf("output %d is %v, want %v", o, got[o], want)
			}
		})
	})
}

func TestNothingOutsideTheSlicesIsTouched(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(9, 10))
		for i := range kerneltest.Count(60) {
			p := random(r)
			k := newKernel(impl, p.Shape, p.weights, p.floor, p.Epilogue)
			page := kerneltest.PageEnd
			if i%2 == 0 {
				page = kerneltest.PageStart
			}
			moved := func(v []float32) []float32 {
				m := page(t, len(v))
				copy(m, v)
				return m
			}
			k.weights, k.epi = moved(k.weights), moved(k.epi)
			in, res, out := page(t, k.inLen), []float32(nil), page(t, k.outLen)
			if p.Residual {
				res = page(t, k.outLen)
			}
			for chunk := range k.Chunks(0) {
				k.Run(0, chunk, nil, nil, in, res, out)
			}
		}
	})
}

func TestRunAllocatesNothing(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(11, 12))
		for range 5 {
			p := random(r)
			k := newKernel(impl, p.Shape, p.weights, p.floor, p.Epilogue)
			in, res, out := make([]float32, k.inLen), make([]float32, k.outLen), make([]float32, k.outLen)
			if n := testing.AllocsPerRun(3, func() {
				for chunk := range k.Chunks(0) {
					k.Run(0, chunk, nil, nil, in, res, out)
				}
			}); n != 0 {
				t.Fatalf("%v: %v allocations a run, want 0", p, n)
			}
		}
	})
}

func TestShapesOutsideTheContractAreNotAccepted(t *testing.T) {
	good := conv.Shape{N: 1, IC: 3, IH: 8, IW: 8, OC: 3, OH: 8, OW: 8, KH: 3, KW: 3,
		StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: 1, PadLeft: 1, Groups: 3}
	if !Accepts(good) {
		t.Fatal("a plain shape is not accepted")
	}
	for name, change := range map[string]func(*conv.Shape){
		"no channels":      func(s *conv.Shape) { s.IC = 0 },
		"negative padding": func(s *conv.Shape) { s.PadLeft = -1 },
		"one group":        func(s *conv.Shape) { s.Groups = 1 },
		"multiplier 2":     func(s *conv.Shape) { s.OC = 6 },
		"endless padding":  func(s *conv.Shape) { s.PadTop = 1 << 30 },
		"endless dilation": func(s *conv.Shape) { s.DilationH = 1 << 30 },
		"endless output":   func(s *conv.Shape) { s.OH, s.OW = 1<<20, 1<<20 },
		"endless weights":  func(s *conv.Shape) { s.KH, s.KW = 1<<15, 1<<15 },
	} {
		s := good
		change(&s)
		if Accepts(s) {
			t.Errorf("%s: %+v is accepted", name, s)
		}
	}
}
