package winograd

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
		t.Run(impl.level.String(), func(t *testing.T) {
			if !isa.Have(impl.level) {
				t.Skipf("this machine has no %s", impl.level)
			}
			f(t, impl)
		})
	}
}

// problem is a convolution with its data in plain NCHW, and how it is computed and cut; the zero form or cut is the
// kernel's own choice.
type problem struct {
	conv.Shape
	conv.Epilogue
	form
	cut
	in, weights, res []float32
}

func (p problem) String() string {
	return fmt.Sprintf("%+v scale %v residual %v %d rows %+v", p.Shape, p.Scale != nil, p.Residual, p.rows, p.cut)
}

func (p problem) kernel(impl *implementation) *Kernel {
	return newForm(p.chosen(), impl, p.Shape, p.weights, p.Epilogue, p.cut)
}

func (p problem) chosen() form {
	if p.form.values > 0 {
		return p.form
	}
	f, _ := formOf(p.Shape)
	return f
}

func values32(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	kerneltest.Fill(r, v)
	return v
}

// kernels is heights and widths of a kernel of each form.
var kernels = [][2]int{{3, 3}, {1, 3}, {3, 1}, {1, 7}, {7, 1}}

// random returns a small problem: any form, channel counts, heights and widths around every tail, any padding and any
// cut.
func random(r *rand.Rand) problem {
	pick := func(v ...int) int { return v[r.IntN(len(v))] }
	size := kernels[r.IntN(len(kernels))]
	for {
		s := conv.Shape{
			N: pick(1, 1, 2, 3), IC: pick(1+r.IntN(50), 16, 48), OC: 1 + r.IntN(70), IH: 1 + r.IntN(14), IW: 1 + r.IntN(22), KH: size[0], KW: size[1],
			StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: pick(0, 0, 1, 1, 2, 7), PadLeft: pick(0, 0, 1, 1, 2, 8), Groups: 1,
		}
		s.OH, s.OW = s.IH+s.PadTop+pick(0, 1, 2, 9)-s.KH+1, s.IW+s.PadLeft+pick(0, 1, 2, 10)-s.KW+1
		if s.OH < 1 || s.OW < 1 {
			continue
		}
		p := problem{Shape: s, Epilogue: conv.Pass, in: values32(r, s.N*s.IC*s.IH*s.IW), weights: values32(r, s.OC*s.IC*s.KH*s.KW)}
		fs := forms(s)
		p.form = fs[r.IntN(len(fs))]
		if r.IntN(2) == 0 {
			p.Bias = values32(r, s.OC)
		}
		if r.IntN(2) == 0 {
			p.Scale, p.Shift = values32(r, s.OC), values32(r, s.OC)
		}
		if r.IntN(2) == 0 {
			p.Residual, p.res = true, values32(r, s.N*s.OC*s.OH*s.OW)
		}
		switch r.IntN(4) {
		case 0:
			p.Lo, p.Hi = 0, 6
		case 1:
			p.Lo, p.Hi = 0.25, float32(math.Inf(1)) // not even zero passes
		}
		if r.IntN(2) == 0 {
			high, wide := p.tile()
			tiles := s.N * ceil(s.OH, high) * ceil(s.OW, wide)
			p.part = 1 + r.IntN(tiles)
			p.parts = ceil(tiles, p.part)
			p.set = 1 + r.IntN(4)
			p.sets = ceil(ceil(s.OC, lanes), p.set)
			p.groups = 1 + r.IntN(3)
			p.slab = 16 * r.IntN(3)
		}
		return p
	}
}

// at returns the input, zero where there is none.
func (p problem) at(n, c, y, x int) float32 {
	y, x = y-p.PadTop, x-p.PadLeft
	if y < 0 || y >= p.IH || x < 0 || x >= p.IW {
		return 0
	}
	return p.in[((n*p.IC+c)*p.IH+y)*p.IW+x]
}

// arithmetic is the operations of the transforms.
type arithmetic struct {
	add func(x, y float64) float64
	fma func(x, y, z float64) float64 // x·y + z
}

func single(l isa.Level) arithmetic {
	fma := kerneltest.FMA
	if l == isa.Go {
		fma = conv.ScaleShift
	}
	return arithmetic{
		add: func(x, y float64) float64 { return float64(float32(x) + float32(y)) },
		fma: func(x, y, z float64) float64 { return float64(fma(float32(x), float32(y), float32(z))) },
	}
}

// magnitude adds the magnitudes of what it is to add: with it the transforms give a bound of what they add up.
var magnitude = arithmetic{
	add: func(x, y float64) float64 { return math.Abs(x) + math.Abs(y) },
	fma: func(x, y, z float64) float64 { return math.Abs(x*y) + math.Abs(z) },
}

// input is Bᵀd in the stated order.
func (o arithmetic) input(d []float64) []float64 {
	const a, b = 0.75, 1.5
	s, t := o.fma(-b*b, d[2], d[4]), o.fma(-b*b, d[1], d[3])
	u, v := o.fma(-a*a, d[2], d[4]), o.fma(-a*a, d[1], d[3])
	return []float64{
		o.fma(81./64, d[0], o.fma(-45./16, d[2], d[4])),
		o.fma(a, t, s), o.fma(-a, t, s), o.fma(b, v, u), o.fma(-b, v, u),
		o.fma(81./64, d[1], o.fma(-45./16, d[3], d[5])),
	}
}

// output is Aᵀm in the stated order.
func (o arithmetic) output(m []float64) []float64 {
	const a, b = 0.75, 1.5
	s, d, u, v := o.add(m[1], m[2]), o.add(m[1], -m[2]), o.add(m[3], m[4]), o.add(m[3], -m[4])
	return []float64{
		o.add(o.add(m[0], s), u),
		o.fma(b, v, o.product(a, d)),
		o.fma(b*b, u, o.product(a*a, s)),
		o.fma(b*b*b, v, o.fma(a*a*a, d, m[5])),
	}
}

// product is a product that is rounded: adding -0 changes nothing.
func (o arithmetic) product(x, y float64) float64 { return o.fma(x, y, math.Copysign(0, -1)) }

// points returns those of a kernel of one row or column, or of rows that are summed, and whether it is one.
func (p problem) points() ([]float64, bool) {
	switch {
	case p.chosen().kernelH*p.chosen().kernelW == 9:
		return nil, false
	case max(p.KH, p.KW) == 3:
		return []float64{0.75, 1.5}, true
	}
	return []float64{0.375, 0.75, 1.25, 2.5}, true
}

// tile returns the rows and columns of outputs of a tile, and patch those of its inputs.
func (p problem) tile() (high, wide int) {
	side := func(kernel int) int {
		if kernel == 1 {
			return 1
		}
		return tile
	}
	return side(p.chosen().kernelH), side(p.chosen().kernelW)
}

func (p problem) patch() (high, wide int) {
	high, wide = p.tile()
	return high + p.chosen().kernelH - 1, wide + p.chosen().kernelW - 1
}

// symmetric is the sum of the products of any n of the values, with the sign of n.
func symmetric(values []float64, n int) float64 {
	switch {
	case n == 0:
		return 1
	case len(values) < n:
		return 0
	}
	return symmetric(values[1:], n) - values[0]*symmetric(values[1:], n-1)
}

// split returns the squares of the points but one, and that one.
func split(points []float64, i int) (squares []float64, point float64) {
	for j, p := range points {
		if j == i {
			point = p
		} else {
			squares = append(squares, p*p)
		}
	}
	return squares, point
}

// lineWeights is Gg, in float64.
func lineWeights(points, g []float64) []float64 {
	all, _ := split(points, -1)
	u := []float64{g[0] * (1 / symmetric(all, len(all)))}
	for i := range points {
		squares, p := split(points, i)
		scale := 2 * p * p
		for _, q := range squares {
			scale *= p*p - q
		}
		sums := [2]float64{}
		for j, w := range g {
			sums[j%2] += math.Pow(p, float64(j)) * w
		}
		u = append(u, (sums[0]+sums[1])*(1/scale), (sums[0]-sums[1])*(1/scale))
	}
	return append(u, g[len(g)-1])
}

// lineInput is Bᵀd in the stated order.
func (o arithmetic) lineInput(points, d []float64) []float64 {
	every := func(squares []float64, last int) float64 {
		sum := d[last]
		for j := range squares {
			sum = o.fma(symmetric(squares, j+1), d[last-2-2*j], sum)
		}
		return sum
	}
	last := len(d) - 1
	all, _ := split(points, -1)
	v := []float64{every(all, last-1)}
	for i := range points {
		squares, p := split(points, i)
		even, odd := every(squares, last-1), every(squares, last-2)
		v = append(v, o.fma(p, odd, even), o.fma(-p, odd, even))
	}
	return append(v, every(all, last))
}

// lineOutput is Aᵀm in the stated order.
func (o arithmetic) lineOutput(points, m []float64) []float64 {
	y := []float64{m[0], math.Copysign(0, -1), math.Copysign(0, -1), m[len(m)-1]}
	for i, p := range points {
		plus, minus := m[1+2*i], m[2+2*i]
		s, d := o.add(plus, minus), o.add(plus, -minus)
		y[0], y[1], y[2], y[3] = o.add(y[0], s), o.fma(p, d, y[1]), o.fma(p*p, s, y[2]), o.fma(p*p*p, d, y[3])
	}
	return y
}

// transforms returns GgGᵀ, BᵀdB and AᵀmA, or Gg, Bᵀd and Aᵀm.
func (p problem) transforms(o arithmetic) (weights, input, output func([]float64) []float64) {
	if points, ok := p.points(); ok {
		return func(g []float64) []float64 { return lineWeights(points, g) },
			func(d []float64) []float64 { return o.lineInput(points, d) },
			func(m []float64) []float64 { return o.lineOutput(points, m) }
	}
	return func(g []float64) []float64 {
			return both(g, kernel, func(g []float64) []float64 {
				const a, b = 0.75, 1.5
				at := func(x, scale float64) float64 { return (g[0] + x*x*g[2] + x*g[1]) * (1 / scale) }
				na, nb := 2*a*a*(a*a-b*b), 2*b*b*(b*b-a*a)
				return []float64{g[0] * (1 / (a * a * b * b)), at(a, na), at(-a, na), at(b, nb), at(-b, nb), g[2]}
			})
		},
		func(d []float64) []float64 { return both(d, patch, o.input) },
		func(m []float64) []float64 { return both(m, patch, o.output) }
}

// both applies a transform to the columns of a square of n by n, then to the rows.
func both(square []float64, n int, f func([]float64) []float64) []float64 {
	var half, out []float64 // half is transposed
	for x := range n {
		col := make([]float64, n)
		for y := range col {
			col[y] = square[y*n+x]
		}
		half = append(half, f(col)...)
	}
	m := len(half) / n
	for y := range m {
		row := make([]float64, n)
		for x := range row {
			row[x] = half[x*m+y]
		}
		out = append(out, f(row)...)
	}
	return out
}

// eachTile calls f with image, output channel and place of each tile.
func (p problem) eachTile(f func(n, oc, y, x int)) {
	high, wide := p.tile()
	for n := range p.N {
		for oc := range p.OC {
			for y := 0; y < p.OH; y += high {
				for x := 0; x < p.OW; x += wide {
					f(n, oc, y, x)
				}
			}
		}
	}
}

// sums returns the convolution before the epilogue, tile by tile, by arithmetic o.
func (p problem) sums(o arithmetic) []float64 {
	weights, input, output := p.transforms(o)
	rows := p.chosen().rows
	u := make([][]float64, p.OC*p.IC*rows)
	for i := range u {
		g := make([]float64, p.KH*p.KW/rows)
		for j := range g {
			g[j] = float64(p.weights[i*len(g)+j])
		}
		u[i] = weights(g)
		for j, v := range u[i] {
			u[i][j] = float64(float32(v))
		}
	}
	_, wideTile := p.tile()
	high, wide := p.patch()
	inputs := map[[4]int][]float64{}
	out := make([]float64, p.N*p.OC*p.OH*p.OW)
	p.eachTile(func(n, oc, y, x int) {
		m := make([]float64, high*wide)
		for i := range rows * p.IC {
			row, ic := i/p.IC, i%p.IC
			place := [4]int{n, ic, y + row, x}
			if inputs[place] == nil {
				d := make([]float64, high*wide)
				for i := range d {
					d[i] = float64(p.at(n, ic, y+row+i/wide, x+i%wide))
				}
				inputs[place] = input(d)
			}
			for i, v := range inputs[place] {
				m[i] = o.fma(v, u[(oc*p.IC+ic)*rows+row][i], m[i])
			}
		}
		for i, v := range output(m) {
			if y, x := y+i/wideTile, x+i%wideTile; y < p.OH && x < p.OW {
				out[((n*p.OC+oc)*p.OH+y)*p.OW+x] = v
			}
		}
	})
	return out
}

// scalar computes p with the arithmetic of a level, and the epilogue in separate passes over the whole output.
func (p problem) scalar(l isa.Level) []float32 {
	o := single(l)
	out := make([]float32, p.N*p.OC*p.OH*p.OW)
	for i, v := range p.sums(o) {
		oc := i / (p.OH * p.OW) % p.OC
		bias := float32(0)
		if p.Bias != nil {
			bias = p.Bias[oc]
		}
		out[i] = float32(v) + bias
		if p.Scale != nil {
			out[i] = float32(o.fma(float64(out[i]), float64(p.Scale[oc]), float64(p.Shift[oc])))
		}
	}
	for i := range out {
		if p.Residual {
			out[i] += p.res[i]
		}
	}
	for i := range out {
		switch {
		case out[i] < p.Lo:
			out[i] = p.Lo
		case out[i] > p.Hi:
			out[i] = p.Hi
		}
	}
	return out
}

// blocked returns v [n][c][hw] as [n][⌈c/16⌉][hw][16].
func blocked(v []float32, n, c, hw int) []float32 {
	blocks := ceil(c, lanes)
	b := make([]float32, n*blocks*hw*lanes)
	for i := range v {
		x, ch, img := i%hw, i/hw%c, i/hw/c
		b[((img*blocks+ch/lanes)*hw+x)*lanes+ch%lanes] = v[i]
	}
	return b
}

// run computes p on guarded memory, with the chunks of each step in random order, and returns the output in NCHW.
// It fails the test where a pad channel is not zero.
func (p problem) run(t *testing.T, r *rand.Rand, k *Kernel) []float32 {
	t.Helper()
	hw := p.OH * p.OW
	in := kerneltest.In(blocked(p.in, p.N, p.IC, p.IH*p.IW))
	out := kerneltest.Out(t, k.outLen)
	var res []float32
	if p.Residual {
		res = kerneltest.In(blocked(p.res, p.N, p.OC, hw))
		if r.IntN(2) == 0 { // in place
			copy(out, res)
			res = out
		}
	}
	temp, scratch := kerneltest.Out(t, k.Temp()), kerneltest.Out(t, k.Scratch())
	for step := range k.Steps() {
		for _, chunk := range r.Perm(k.Chunks(step)) {
			for i := range scratch {
				scratch[i] = float32(math.NaN())
			}
			k.Run(step, chunk, temp, scratch, in, res, out)
		}
	}
	plain := make([]float32, p.N*p.OC*hw)
	for i, v := range out {
		lane, x, b, n := i%lanes, i/lanes%hw, i/lanes/hw%k.ocs, i/lanes/hw/k.ocs
		if c := b*lanes + lane; c < p.OC {
			plain[(n*p.OC+c)*hw+x] = v
		} else if math.Float32bits(v) != 0 {
			t.Fatalf("%v: pad channel %d of pixel %d is %v, want 0", p, c, x, v)
		}
	}
	return plain
}

// TestBitsEqualOneCalculationInTheStatedOrder proves that no cut, chunk, thread or fusion of the epilogue changes a
// bit: all outputs equal a scalar calculation with separate passes for the epilogue.
func TestBitsEqualOneCalculationInTheStatedOrder(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(3, 4))
		for i := range kerneltest.Count(30) {
			p := random(r)
			if i%5 == 0 {
				for range 1 + len(p.in)/1000 {
					p.in[r.IntN(len(p.in))] = kerneltest.Specials[r.IntN(len(kerneltest.Specials))]
				}
			}
			got := p.run(t, r, p.kernel(impl))
			for i, want := range p.scalar(impl.level) {
				if !kerneltest.Same(got[i], want) {
					t.Fatalf("%v: output %d is %v, want %v", p, i, got[i], want)
				}
			}
		}
	})
}

// depth is how many roundings there are at most between an input or weight and an output, the sum over the input
// channels apart: three in each of two transforms of the input, one of the weight, four in each of two of the output,
// and one for the product.
const depth = 2*3 + 1 + 2*4 + 1

// TestErrorIsWithinTheBoundOfTheTransforms compares with the definition of a convolution. The bound is that of a sum
// whose terms are all that the transforms add up.
func TestErrorIsWithinTheBoundOfTheTransforms(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(5, 6))
		for range kerneltest.Count(12) {
			p := random(r)
			p.Epilogue = conv.Pass
			got := p.run(t, r, p.kernel(impl))
			bound := p.sums(magnitude)
			for i := range bound {
				bound[i] = kerneltest.Bound(p.chosen().rows*p.IC+depth, bound[i])
			}
			kerneltest.CheckBound(t, got, p.definition(), bound)
		}
	})
}

// definition is the convolution in float64, without an epilogue.
func (p problem) definition() []float64 {
	out := make([]float64, p.N*p.OC*p.OH*p.OW)
	for o := range out {
		x, y, c := o%p.OW, o/p.OW%p.OH, o/p.OW/p.OH
		for ic := range p.IC {
			for i, w := range p.weights[(c%p.OC*p.IC+ic)*p.KH*p.KW:][:p.KH*p.KW] {
				out[o] += float64(w) * float64(p.at(c/p.OC, ic, y+i/p.KW, x+i%p.KW))
			}
		}
	}
	return out
}

// TestErrorIsSmallBesideTheLargestOutput holds the error that the package states to that of random data.
func TestErrorIsSmallBesideTheLargestOutput(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(7, 8))
		for i := range 3 * len(kernels) {
			ic, size := []int{16, 64, 512}[i%3], kernels[i/3]
			if size[0]*size[1] == 7 {
				ic = min(ic, 256)
			}
			p := problem{Shape: shape(ic, 8, 16, size), Epilogue: conv.Pass, in: values32(r, ic*8*8), weights: values32(r, 16*ic*size[0]*size[1])}
			for i, v := range p.in { // as behind a Relu
				p.in[i] = max(v, 0)
			}
			want := p.definition()
			largest, off := 0.0, 0.0
			for i, v := range p.run(t, r, p.kernel(impl)) {
				largest = max(largest, math.Abs(want[i]))
				off = max(off, math.Abs(float64(v)-want[i]))
			}
			if off > 1e-5*largest {
				t.Errorf("%d channels, kernel %v: off by %.2g of the largest output, want at most 1e-5", ic, size, off/largest)
			}
		}
	})
}

// TestLargeShapesAreCutWithoutLoss covers shapes that are cut into many chunks, each way of cutting among them: bits
// are those of one chunk.
func TestLargeShapesAreCutWithoutLoss(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		if impl.level == isa.Go {
			t.Skip("too slow in Go, which has no cut of its own")
		}
		r := rand.New(rand.NewPCG(9, 10))
		steps := map[int]bool{}
		for _, s := range []conv.Shape{
			shape(64, 56, 64, kernels[0]), shape(256, 14, 256, kernels[0]), shape(256, 30, 160, kernels[0]),
			shape(192, 17, 192, kernels[3]), shape(192, 17, 192, kernels[4]), shape(384, 8, 384, kernels[1]),
		} {
			p := problem{Shape: s, Epilogue: conv.Pass, in: values32(r, s.IC*s.IH*s.IW), weights: values32(r, s.OC*s.IC*s.KH*s.KW)}
			k := p.kernel(impl)
			steps[k.Steps()] = true
			if k.Chunks(k.Steps()-1) < 4 {
				t.Errorf("%v has %d chunks, want 4 at least", s, k.Chunks(k.Steps()-1))
			}
			whole := p
			whole.cut = cut{parts: 1, part: k.tiles, sets: 1, set: k.ocs}
			kerneltest.CheckSame(t, p.run(t, r, k), whole.run(t, r, whole.kernel(impl)))
		}
		if len(steps) != 2 {
			t.Errorf("shapes take %v steps, want some of 1 and some of 2", steps)
		}
	})
}

func TestNothingOutsideTheSlicesIsTouched(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(11, 12))
		for i := range kerneltest.Count(40) {
			p := random(r)
			k := p.kernel(impl)
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
		r := rand.New(rand.NewPCG(13, 14))
		for range 5 {
			p := random(r)
			k := p.kernel(impl)
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
	good := shape(32, 20, 32, kernels[0])
	if !Accepts(good) {
		t.Fatal("a plain shape is not accepted")
	}
	for name, change := range map[string]func(*conv.Shape){
		"stride":           func(s *conv.Shape) { s.StrideW, s.OW = 2, 10 },
		"dilation":         func(s *conv.Shape) { s.DilationH, s.OH = 2, 18 },
		"kernel":           func(s *conv.Shape) { s.KH, s.OH = 2, 21 },
		"line":             func(s *conv.Shape) { s.KH, s.OH, s.KW, s.OW = 1, 22, 5, 18 },
		"groups":           func(s *conv.Shape) { s.Groups = 2 },
		"negative padding": func(s *conv.Shape) { s.PadLeft = -1 },
		"endless weights":  func(s *conv.Shape) { s.IC, s.OC = 1<<12, 1<<12 },
		"endless output":   func(s *conv.Shape) { s.OH, s.OW = 1<<20, 1<<20 },
	} {
		s := good
		change(&s)
		if Accepts(s) || Pays(s) {
			t.Errorf("%s: %+v is accepted", name, s)
		}
	}
}

// TestItPaysWhereMuchIsSaved holds the choice to what was measured in networks: images of 8x8 are too small for the
// weights of F(4x4, 3x3), which then takes three lines.
func TestItPaysWhereMuchIsSaved(t *testing.T) {
	if best().level != isa.Best() {
		t.Skipf("there are no transforms for %s", isa.Best())
	}
	square, lying, standing := kernels[0], kernels[3], kernels[4]
	two := shape(512, 7, 512, square)
	two.N = 2
	for _, c := range []struct {
		shape conv.Shape
		pays  bool
	}{
		{shape(256, 14, 256, square), true}, {shape(128, 14, 32, square), true}, {shape(64, 224, 64, square), true}, {shape(16, 56, 16, square), true}, {two, true},
		{shape(512, 7, 512, square), true}, {shape(448, 8, 384, square), true}, {shape(512, 4, 512, square), false}, {shape(500, 7, 512, square), false}, {shape(3, 224, 64, square), false}, {shape(64, 224, 3, square), false},
		{shape(192, 17, 192, lying), true}, {shape(128, 17, 160, standing), true}, {shape(384, 8, 384, kernels[1]), true},
		{shape(192, 4, 224, kernels[1]), false}, {shape(3, 224, 64, lying), false},
	} {
		if Pays(c.shape) != c.pays {
			t.Errorf("%+v: pays is %v, want %v", c.shape, !c.pays, c.pays)
		}
		if f, _ := formOf(c.shape); c.pays && c.shape.KH == c.shape.KW && (f.rows > 1) != (c.shape.IH < 14) {
			t.Errorf("%+v: sums %d rows", c.shape, f.rows)
		}
	}
}
