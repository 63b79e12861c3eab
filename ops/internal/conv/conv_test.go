package conv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

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
	Shape
	rowMajor bool
	Epilogue
	in, weights, res []float32
}

func (p problem) String() string {
	return fmt.Sprintf("%+v row-major %v scale %v residual %v", p.Shape, p.rowMajor, p.Scale != nil, p.Residual)
}

// random returns a small problem: channel counts, widths and kernels around every tail.
func random(r *rand.Rand) problem {
	pick := func(v ...int) int { return v[r.IntN(len(v))] }
	for {
		s := Shape{
			N: pick(1, 1, 1, 2), IC: 1 + r.IntN(50), OC: 1 + r.IntN(70), IH: 1 + r.IntN(18), IW: 1 + r.IntN(34),
			KH: pick(1, 1, 2, 3, 3, 5), KW: pick(1, 1, 2, 3, 3, 5, 7),
			StrideH: pick(1, 1, 2, 3), StrideW: pick(1, 1, 2, 3),
			DilationH: pick(1, 1, 2), DilationW: pick(1, 1, 2), Groups: 1,
		}
		p := problem{rowMajor: r.IntN(4) == 0}
		if !p.rowMajor && r.IntN(4) == 0 {
			s.Groups = 2 + r.IntN(2)
			s.IC, s.OC = s.Groups*pick(16, 32), s.Groups*pick(16, 32, 48)
		}
		high, wide := (s.KH-1)*s.DilationH+1, (s.KW-1)*s.DilationW+1
		s.PadTop, s.PadLeft = r.IntN(high), r.IntN(wide)
		if r.IntN(3) == 0 {
			s.PadTop, s.PadLeft = 0, 0
		}
		s.OH = (s.IH+s.PadTop+r.IntN(high)-high)/s.StrideH + 1
		s.OW = (s.IW+s.PadLeft+r.IntN(wide)-wide)/s.StrideW + 1
		if s.OH < 1 || s.OW < 1 || !Accepts(s, p.rowMajor) {
			continue
		}
		p.Shape = s
		values := func(n int) []float32 {
			v := make([]float32, n)
			kerneltest.Fill(r, v)
			return v
		}
		p.in, p.weights = values(s.N*s.IC*s.IH*s.IW), values(s.OC*s.IC/s.Groups*s.KH*s.KW)
		p.Epilogue = Pass
		if r.IntN(2) == 0 {
			p.Bias = values(s.OC)
		}
		if r.IntN(2) == 0 {
			p.Scale, p.Shift = values(s.OC), values(s.OC)
		}
		if r.IntN(2) == 0 {
			p.Residual, p.res = true, values(s.N*s.OC*s.OH*s.OW)
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

// eachProduct calls f with input and weight of each product of output (n, oc, y, x), in the order that the package
// promises: block of input channels, kernel row, kernel column, channel of the block. Row-major input has blocks of 1.
func (p problem) eachProduct(n, oc, y, x int, f func(in, w float32)) {
	lanes := Block
	if p.rowMajor {
		lanes = 1
	}
	ic := p.IC / p.Groups
	first := oc / (p.OC / p.Groups) * ic
	for c := 0; c < ic; c += lanes {
		for ky := range p.KH {
			for kx := range p.KW {
				for i := c; i < min(c+lanes, ic); i++ {
					iy, ix := y*p.StrideH+ky*p.DilationH-p.PadTop, x*p.StrideW+kx*p.DilationW-p.PadLeft
					v := float32(0)
					if iy >= 0 && iy < p.IH && ix >= 0 && ix < p.IW {
						v = p.in[((n*p.IC+first+i)*p.IH+iy)*p.IW+ix]
					}
					f(v, p.weights[((oc*ic+i)*p.KH+ky)*p.KW+kx])
				}
			}
		}
	}
}

// eachOutput calls f for every output element of channels that exist; o is its place in NCHW.
func (p problem) eachOutput(f func(o, n, oc, y, x int)) {
	for o := range p.N * p.OC * p.OH * p.OW {
		x, y, c := o%p.OW, o/p.OW%p.OH, o/p.OW/p.OH
		f(o, c/p.OC, c%p.OC, y, x)
	}
}

// rounding is the arithmetic of a level: multiply and add with one rounding or with two.
func rounding(l isa.Level) func(x, y, z float32) float32 {
	if l == isa.Go {
		return ScaleShift
	}
	return kerneltest.FMA
}

// scalar computes p with one multiply and add after the other, in the promised order, and the epilogue in separate
// passes over the whole output.
func (p problem) scalar(l isa.Level) []float32 {
	multiplyAdd := rounding(l)
	out := make([]float32, p.N*p.OC*p.OH*p.OW)
	p.eachOutput(func(o, n, oc, y, x int) {
		if p.Bias != nil {
			out[o] = p.Bias[oc]
		}
		p.eachProduct(n, oc, y, x, func(in, w float32) { out[o] = multiplyAdd(in, w, out[o]) })
	})
	p.eachOutput(func(o, _, oc, _, _ int) {
		if p.Scale != nil {
			out[o] = multiplyAdd(out[o], p.Scale[oc], p.Shift[oc])
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
	blocks := (c + Block - 1) / Block
	b := make([]float32, n*blocks*hw*Block)
	for i := range v {
		x, ch, img := i%hw, i/hw%c, i/hw/c
		b[((img*blocks+ch/Block)*hw+x)*Block+ch%Block] = v[i]
	}
	return b
}

// runner is what Kernel and Strassen have in common.
type runner interface {
	Temp() int
	Scratch() int
	Steps() int
	Chunks(step int) int
	Run(step, chunk int, temp, scratch, in, res, out []float32)
}

// run computes p on guarded memory, with the chunks of each step in random order, and returns the output in NCHW.
// It fails the test where a pad channel is not zero.
func (p problem) run(t *testing.T, r *rand.Rand, k runner) []float32 {
	t.Helper()
	in, hw := p.in, p.OH*p.OW
	if !p.rowMajor {
		in = blocked(p.in, p.N, p.IC, p.IH*p.IW)
	}
	in = kerneltest.In(in)
	out := kerneltest.Out(t, len(blocked(nil, p.N, p.OC, hw)))
	var res []float32
	if p.Residual {
		res = kerneltest.In(blocked(p.res, p.N, p.OC, hw))
		if r.IntN(2) == 0 { // in place
			copy(out, res)
			res = out
		}
	}
	temp, scratch := kerneltest.In(make([]float32, k.Temp())), kerneltest.Out(t, k.Scratch())
	for i := range temp {
		temp[i] = float32(math.NaN())
	}
	for step := range k.Steps() {
		for _, chunk := range r.Perm(k.Chunks(step)) {
			k.Run(step, chunk, temp, scratch, in, res, out)
		}
	}
	plain := make([]float32, p.N*p.OC*hw)
	blocks := (p.OC + Block - 1) / Block
	for i, v := range out {
		lane, x, b, n := i%Block, i/Block%hw, i/Block/hw%blocks, i/Block/hw/blocks
		if c := b*Block + lane; c < p.OC {
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
		for i := range kerneltest.Count(100) {
			p := random(r)
			if i%5 == 0 {
				for range 1 + len(p.in)/100 {
					p.in[r.IntN(len(p.in))] = kerneltest.Specials[r.IntN(len(kerneltest.Specials))]
				}
			}
			if i%10 == 5 {
				p.weights[r.IntN(len(p.weights))] = kerneltest.Specials[r.IntN(len(kerneltest.Specials))]
			}
			k := newKernel(impl, p.Shape, p.weights, p.rowMajor, p.Epilogue)
			got := p.run(t, r, k)
			for i, want := range p.scalar(impl.level) {
				if !kerneltest.Same(got[i], want) {
					t.Fatalf("%v: output %d is %v, want %v", p, i, got[i], want)
				}
			}
		}
	})
}

// TestSlabsGiveTheSameBits covers sums that go through several slabs: of blocks of channels and a rest, of kernel rows
// and columns, of groups, of row-major input, and of blocks that lack channels.
func TestSlabsGiveTheSameBits(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(15, 16))
		for _, c := range []struct {
			ic, oc, kernel, groups int
			rowMajor               bool
		}{{600, 48, 1, 1, false}, {600, 24, 1, 1, false}, {85, 48, 3, 1, false}, {1024, 64, 1, 2, false}, {20, 48, 5, 1, true}, {20, 20, 5, 1, true}} {
			s := Shape{N: 1, IC: c.ic, IH: 5, IW: 9, OC: c.oc, KH: c.kernel, KW: c.kernel, OH: 5, OW: 9, PadTop: c.kernel / 2, PadLeft: c.kernel / 2,
				StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: c.groups}
			values := func(n int) []float32 {
				v := make([]float32, n)
				kerneltest.Fill(r, v)
				return v
			}
			p := problem{Shape: s, rowMajor: c.rowMajor, Epilogue: Pass, in: values(s.N * s.IC * s.IH * s.IW),
				weights: values(s.OC * s.IC / s.Groups * s.KH * s.KW), res: values(s.N * s.OC * s.OH * s.OW)}
			p.Residual, p.Bias, p.Scale, p.Shift, p.Lo = true, values(s.OC), values(s.OC), values(s.OC), 0
			k := newKernel(impl, s, p.weights, c.rowMajor, p.Epilogue)
			k.parts, k.partSize, k.slabs = 1, s.OH*s.OW, nil // so that there are tiles enough
			k.slice(p.Epilogue)
			if len(k.slabs) < 2 {
				t.Fatalf("%+v: one slab, want several", s)
			}
			kerneltest.CheckSame(t, p.run(t, r, k), p.scalar(impl.level))
		}
	})
}

// TestEveryTileSizeGivesTheSameBits covers rows of up to two tiles and a pixel, of wide and narrow blocks, and of
// blocks that lack channels.
func TestEveryTileSizeGivesTheSameBits(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(13, 14))
		widest := impl.widest(math.MaxInt).width
		for wide := 1; wide <= 2*impl.tiles[0].pixels+1; wide++ {
			for _, channels := range []int{widest + Block, widest + widest/2 + Block/2} {
				stride := 1 + wide%2
				s := Shape{N: 1, IC: 21, IH: 2, IW: (wide-1)*stride + 2, OC: channels, OH: 2, OW: wide, KH: 1, KW: 2,
					StrideH: 1, StrideW: stride, DilationH: 1, DilationW: 1, Groups: 1}
				p := problem{Shape: s, Epilogue: Pass, in: make([]float32, s.IC*s.IH*s.IW), weights: make([]float32, s.OC*s.IC*s.KW),
					res: make([]float32, s.OC*s.OH*s.OW)}
				p.Residual, p.Scale, p.Shift = true, make([]float32, s.OC), make([]float32, s.OC)
				for _, v := range [][]float32{p.in, p.weights, p.res, p.Scale, p.Shift} {
					kerneltest.Fill(r, v)
				}
				kerneltest.CheckSame(t, p.run(t, r, newKernel(impl, s, p.weights, false, p.Epilogue)), p.scalar(impl.level))
			}
		}
	})
}

func TestErrorIsWithinTheBoundOfASum(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(5, 6))
		for range kerneltest.Count(40) {
			p := random(r)
			p.Epilogue = Pass
			k := newKernel(impl, p.Shape, p.weights, p.rowMajor, p.Epilogue)
			got := p.run(t, r, k)
			want, bound := make([]float64, len(got)), make([]float64, len(got))
			p.eachOutput(func(o, n, oc, y, x int) {
				terms, magnitude := 0, 0.0
				p.eachProduct(n, oc, y, x, func(in, w float32) {
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

// TestLargeShapesAreCutWithoutLoss covers shapes that are cut into many chunks and calls.
func TestLargeShapesAreCutWithoutLoss(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		if impl.level == isa.Go {
			t.Skip("too slow in Go, which has no cut of its own")
		}
		r := rand.New(rand.NewPCG(7, 8))
		each := 7 // of so many outputs one is checked
		if testing.Short() {
			each = 101
		}
		for _, s := range []Shape{
			{N: 1, IC: 64, IH: 56, IW: 56, OC: 80, OH: 56, OW: 56, KH: 3, KW: 3, PadTop: 1, PadLeft: 1},
			{N: 2, IC: 24, IH: 50, IW: 51, OC: 150, OH: 50, OW: 51, KH: 1, KW: 1},
			{N: 1, IC: 256, IH: 7, IW: 7, OC: 300, OH: 7, OW: 7, KH: 3, KW: 3, PadTop: 1, PadLeft: 1},
		} {
			s.StrideH, s.StrideW, s.DilationH, s.DilationW, s.Groups = 1, 1, 1, 1, 1
			p := problem{Shape: s, Epilogue: Pass, in: make([]float32, s.N*s.IC*s.IH*s.IW), weights: make([]float32, s.OC*s.IC*s.KH*s.KW)}
			// Small integers: every sum is exact, so a plain float32 loop is the reference.
			for _, v := range [][]float32{p.in, p.weights} {
				for i := range v {
					v[i] = float32(r.IntN(9) - 4)
				}
			}
			k := newKernel(impl, s, p.weights, false, p.Epilogue)
			if k.Chunks(k.Steps()-1) < 8 {
				t.Errorf("%v has %d chunks, want 8 at least", s, k.Chunks(k.Steps()-1))
			}
			got := p.run(t, r, k)
			p.eachOutput(func(o, n, oc, y, x int) {
				if o%each != 0 {
					return
				}
				want := float32(0)
				p.eachProduct(n, oc, y, x, func(in, w float32) { want += in * w })
				if got[o] != want {
					t.Fatalf("%v: output %d is %v, want %v", p, o, got[o], want)
				}
			})
		}
	})
}

func TestNothingOutsideTheSlicesIsTouched(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(9, 10))
		for i := range kerneltest.Count(60) {
			p := random(r)
			k := newKernel(impl, p.Shape, p.weights, p.rowMajor, p.Epilogue)
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
			temp, scratch := page(t, k.Temp()), page(t, k.Scratch())
			for step := range k.Steps() {
				for chunk := range k.Chunks(step) {
					k.Run(step, chunk, temp, scratch, in, res, out)
				}
			}
		}
	})
}

func TestRunAllocatesNothing(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(11, 12))
		for range 5 {
			p := random(r)
			k := newKernel(impl, p.Shape, p.weights, p.rowMajor, p.Epilogue)
			in, res, out := make([]float32, k.inLen), make([]float32, k.outLen), make([]float32, k.outLen)
			temp, scratch := make([]float32, k.Temp()), make([]float32, k.Scratch())
			if n := testing.AllocsPerRun(3, func() {
				for step := range k.Steps() {
					for chunk := range k.Chunks(step) {
						k.Run(step, chunk, temp, scratch, in, res, out)
					}
				}
			}); n != 0 {
				t.Fatalf("%v: %v allocations a run, want 0", p, n)
			}
		}
	})
}

func TestShapesOutsideTheContractAreNotAccepted(t *testing.T) {
	good := Shape{1, 32, 8, 8, 32, 8, 8, 3, 3, 1, 1, 1, 1, 1, 1, 1}
	if !Accepts(good, false) || !Accepts(good, true) {
		t.Fatal("a plain shape is not accepted")
	}
	for name, change := range map[string]func(*Shape){
		"no channels":            func(s *Shape) { s.IC = 0 },
		"negative padding":       func(s *Shape) { s.PadLeft = -1 },
		"groups of 8 channels":   func(s *Shape) { s.Groups = 4 },
		"groups that do not fit": func(s *Shape) { s.Groups = 3 },
		"endless padding":        func(s *Shape) { s.DilationH = 1 << 30 },
		"endless output":         func(s *Shape) { s.OH, s.OW = 1<<20, 1<<20 },
		"endless weights":        func(s *Shape) { s.KH, s.KW = 1<<15, 1<<15 },
	} {
		s := good
		change(&s)
		if Accepts(s, false) {
			t.Errorf("%s: %+v is accepted", name, s)
		}
	}
	grouped := good
	grouped.Groups = 2
	if !Accepts(grouped, false) || Accepts(grouped, true) {
		t.Error("groups of 16 channels fit blocked input only")
	}
}

func TestSplitCoversAllPixelsWithFewSmallTiles(t *testing.T) {
	for _, most := range []int{2, 6, 14} {
		fewest := most * 2 / 3
		for n := 1; n < 100; n++ {
			full, rest, tiles := Split(n, most, fewest)
			if full*most+rest != n || (rest == 0) != (tiles == 0) || rest > tiles*most {
				t.Errorf("Split(%d, %d): %d full, %d in %d", n, most, full, rest, tiles)
			}
			if n >= fewest*most && tiles > 0 && rest/tiles < fewest {
				t.Errorf("Split(%d, %d): %d in %d tiles, want at least %d in each", n, most, rest, tiles, fewest)
			}
		}
	}
}
