package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

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

// problem is a batch of products with its operands.
type problem struct {
	batch, m, n, k   int
	transA, transB   bool
	strideA, strideB int
	e                Epilogue
	a, b, res        []float32
}

func (p problem) String() string {
	return fmt.Sprintf("%dx%dx%dx%d transA=%v transB=%v strides=%d,%d bias=%v residual=%v clamp=[%v,%v]", p.batch, p.m, p.n,
		p.k, p.transA, p.transB, p.strideA, p.strideB, p.e.Bias != nil, p.e.Residual, p.e.Lo, p.e.Hi)
}

// fill makes up the operands: each ends at an unmapped page.
func (p *problem) fill(t *testing.T, r *rand.Rand) {
	random := func(n int) []float32 {
		x := kerneltest.PageEnd(t, n)
		kerneltest.Fill(r, x)
		return x
	}
	p.a = random((p.batch-1)*p.strideA + p.m*p.k)
	p.b = random((p.batch-1)*p.strideB + p.n*p.k)
	if p.e.Residual {
		p.res = random(p.batch * p.m * p.n)
	}
}

// check fails the test if one of got is not the result.
func (p *problem) check(t *testing.T, got ...[]float32) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Log(*p)
		}
	}()
	want, bound := p.want()
	for _, c := range got {
		kerneltest.CheckBound(t, c, want, bound)
	}
}

// want returns the result in float64 and how far a float32 one may be from it.
func (p *problem) want() (want, bound []float64) {
	for g := range p.batch {
		a, b := p.a[g*p.strideA:], p.b[g*p.strideB:]
		for i := range p.m {
			for j := range p.n {
				var sum, abs float64
				if p.e.Bias != nil {
					sum = float64(p.e.Bias[j])
				}
				abs = math.Abs(sum)
				for q := range p.k {
					at, bt := i*p.k+q, q*p.n+j
					if p.transA {
						at = q*p.m + i
					}
					if p.transB {
						bt = j*p.k + q
					}
					x := float64(a[at]) * float64(b[bt])
					sum += x
					abs += math.Abs(x)
				}
				if p.res != nil {
					x := float64(p.res[(g*p.m+i)*p.n+j])
					sum += x
					abs += math.Abs(x)
				}
				want = append(want, max(min(sum, float64(p.e.Hi)), float64(p.e.Lo)))
				bound = append(bound, kerneltest.Bound(p.k, abs))
			}
		}
	}
	return want, bound
}

// steps is what Kernel and Dynamic have in common.
type steps interface {
	Temp() int
	Scratch() int
	Steps() int
	Chunks(step int) int
}

// run runs a kernel, the chunks of each step in the order of perm, with memory full of NaN to begin with.
func run(t *testing.T, k steps, perm func(n int) []int, one func(step, chunk int, temp, scratch []float32)) {
	temp := kerneltest.Out(t, k.Temp())
	for i := range temp {
		temp[i] = float32(math.NaN())
	}
	scratch := kerneltest.Out(t, k.Scratch())
	for s := range k.Steps() {
		for _, c := range perm(k.Chunks(s)) {
			for i := range scratch {
				scratch[i] = float32(math.NaN())
			}
			one(s, c, temp, scratch)
		}
	}
}

func inOrder(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	return p
}

// static runs p, which must be a plain product, as a Kernel.
func (p *problem) static(t *testing.T, im *impl, perm func(n int) []int) []float32 {
	k := newKernel(im, p.m, p.n, p.k, p.b, p.transB, p.e, nil)
	c := kerneltest.Out(t, p.m*p.n)
	run(t, k, perm, func(s, i int, temp, scratch []float32) { k.Run(s, i, temp, scratch, p.a, p.res, c) })
	return c
}

func (p *problem) dynamic(t *testing.T, im *impl, perm func(n int) []int) []float32 {
	k := newDynamic(im, p.batch, p.m, p.n, p.k, p.transA, p.transB, p.strideA, p.strideB, p.e)
	c := kerneltest.Out(t, p.batch*p.m*p.n)
	run(t, k, perm, func(s, i int, temp, scratch []float32) { k.Run(s, i, temp, scratch, p.a, p.b, p.res, c) })
	return c
}

// epilogue returns the i-th kind of epilogue for n columns.
func epilogue(r *rand.Rand, i, n int) Epilogue {
	e := NoClamp()
	if i&1 != 0 {
		e.Bias = make([]float32, n)
		kerneltest.Fill(r, e.Bias)
	}
	e.Residual = i&2 != 0
	switch i / 4 {
	case 1:
		e.Lo = 0
	case 2:
		e.Lo, e.Hi = -0.5, 0.75
	}
	return e
}

const epilogues = 12

func TestEverySizeAroundTheTiles(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(1, 2))
		kind := 0
		for m := 0; m <= 2*im.rows()+1; m++ {
			for _, n := range []int{0, 1, im.nr - 1, im.nr, im.nr + 3, 2*im.nr + 1, 5*im.nr + 2} {
				for _, k := range []int{0, 1, 3, 4, 9} {
					kind++
					p := problem{batch: 1, m: m, n: n, k: k, transB: kind/epilogues%2 == 1, e: epilogue(r, kind%epilogues, n)}
					p.fill(t, r)
					p.check(t, p.static(t, im, inOrder))
					p.transA = kind/epilogues/2%2 == 1
					p.check(t, p.dynamic(t, im, inOrder))
				}
			}
		}
	})
}

func TestForgottenPartsFollowEachOtherAndAreNotReadAgain(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		for _, transB := range []bool{false, true} {
			p := problem{batch: 1, m: 1, n: 2*im.nr + 3, k: 3*forgetLen/(2*im.nr+3) + 1, transB: transB, e: NoClamp()}
			p.fill(t, rand.New(rand.NewPCG(13, 14)))
			want := p.static(t, im, inOrder)
			b, told, calls := slices.Clone(p.b), 0, 0
			k := newKernel(im, p.m, p.n, p.k, b, p.transB, p.e, func(lo, hi int) {
				if lo != told || hi <= lo {
					t.Fatalf("forgot %d to %d, want what follows %d", lo, hi, told)
				}
				told = hi
				calls++
				clear(b[lo:hi])
			})
			if told != len(b) || calls < 2 {
				t.Fatalf("forgot %d of %d values in %d parts, want all in some", told, len(b), calls)
			}
			got := make([]float32, p.n)
			run(t, k, inOrder, func(s, i int, temp, scratch []float32) { k.Run(s, i, temp, scratch, p.a, nil, got) })
			kerneltest.CheckSame(t, got, want)
		}
	})
}

// large are products that reach every way a product is cut: blocks of k, chunks of rows and of columns, copied A.
var large = []problem{
	{batch: 1, m: 1, n: 300, k: 5000},
	{batch: 1, m: 3, n: 35, k: 4100},
	{batch: 1, m: 40, n: 100, k: 600},
	{batch: 1, m: 40, n: 200, k: 512},
	{batch: 1, m: 130, n: 230, k: 300},
	{batch: 1, m: 101, n: 600, k: 64},
	{batch: 1, m: 17, n: 33, k: 1030, transA: true, transB: true},
	{batch: 3, m: 20, n: 33, k: 17, strideA: 340, strideB: 561, transB: true},
	{batch: 2, m: 20, n: 33, k: 17, strideA: 400, strideB: 0},
	{batch: 3, m: 2, n: 33, k: 17, strideA: 0, strideB: 600},
	{batch: 3, m: 1, n: 257, k: 17, strideA: 20, strideB: 257 * 17},
	{batch: 2, m: 64, n: 70, k: 48, strideA: 64 * 48, strideB: 48 * 70, transA: true, transB: true},
	{batch: 0, m: 2, n: 2, k: 2},
}

func TestLargeProducts(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(3, 4))
		for i, p := range large {
			p.e = epilogue(r, (3+i)%epilogues, p.n)
			p.fill(t, r)
			got := [][]float32{p.dynamic(t, im, inOrder)}
			if p.batch == 1 && !p.transA {
				got = append(got, p.static(t, im, inOrder))
			}
			p.check(t, got...)
		}
	})
}

// TestBitsDependOnlyOnTheImplementation compares with a product that has one row, one chunk and its operands where
// other products have theirs: the sum of an element is one chain, wherever it is.
func TestBitsDependOnlyOnTheImplementation(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(5, 6))
		for i, p := range large {
			if p.batch != 1 || p.transA {
				continue
			}
			p.e = epilogue(r, i%epilogues, p.n)
			p.fill(t, r)
			whole := p.static(t, im, inOrder)
			kerneltest.CheckSame(t, p.static(t, im, r.Perm), whole)
			kerneltest.CheckSame(t, p.dynamic(t, im, r.Perm), whole)
			for _, row := range []int{0, p.m / 2, p.m - 1} {
				one := p
				one.m, one.a = 1, p.a[row*p.k:][:p.k]
				if p.res != nil {
					one.res = p.res[row*p.n:]
				}
				kerneltest.CheckSame(t, one.static(t, im, inOrder), whole[row*p.n:][:p.n])
				kerneltest.CheckSame(t, one.dynamic(t, im, inOrder), whole[row*p.n:][:p.n])
			}
		}
	})
}

// TestSumsAreOneChainOfMultiplyAdds compares bits with a scalar loop, which makes them those of every processor that
// fuses multiply and add.
func TestSumsAreOneChainOfMultiplyAdds(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		multiplyAdd := kerneltest.FMA
		if im.level == isa.Go {
			multiplyAdd = func(x, y, z float32) float32 { return float32(x*y) + z }
		}
		p := problem{batch: 1, m: im.rows() + 1, n: 5*im.nr + 1, k: 2*im.kBlock + 3, e: NoClamp()}
		p.fill(t, rand.New(rand.NewPCG(11, 12)))
		want := make([]float32, p.m*p.n)
		for i := range want {
			for q := range p.k {
				want[i] = multiplyAdd(p.a[i/p.n*p.k+q], p.b[q*p.n+i%p.n], want[i])
			}
		}
		kerneltest.CheckSame(t, p.static(t, im, inOrder), want)
		p.m, p.a = 1, p.a[:p.k]
		kerneltest.CheckSame(t, p.static(t, im, inOrder), want[:p.n])
	})
}

func TestCopiedRowsGiveTheSameBits(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		p := problem{batch: 1, m: 2*im.rows() + 1, n: 3*im.nr + 1, k: im.kBlock + 5, e: NoClamp()}
		p.fill(t, rand.New(rand.NewPCG(9, 10)))
		k := newKernel(im, p.m, p.n, p.k, p.b, p.transB, p.e, nil)
		k.useCopies()
		c := kerneltest.Out(t, p.m*p.n)
		run(t, k, inOrder, func(s, i int, temp, scratch []float32) { k.Run(s, i, temp, scratch, p.a, nil, c) })
		kerneltest.CheckSame(t, c, p.static(t, im, inOrder))
	})
}

func TestRowsAliasInTheCache(t *testing.T) {
	for _, c := range []struct {
		rows, values int
		want         bool
	}{{14, 1024, true}, {14, 3072, true}, {14, 512, false}, {14, 768, false}, {14, 1025, false}, {6, 1024, false}, {14, 0, true}} {
		if got := aliases(c.rows, c.values*4); got != c.want {
			t.Errorf("aliases(%d rows of %d values) = %v, want %v", c.rows, c.values, got, c.want)
		}
	}
}

func TestSumsBetweenBlocksStayInTheCache(t *testing.T) {
	for i := range impls {
		im := &impls[i]
		for _, size := range [][3]int{{2048, 4096, 2048}, {100, 100000, 1000}, {20, 1 << 20, 600}} {
			p := newProduct(im, 1, size[0], size[1], size[2], false, NoClamp())
			if p.sums != p.rows*p.cols*im.nr || p.sums > maxSums {
				t.Errorf("%s %v: %d sums for %d rows of %d panels, want all of them, at most %d", im.name, size, p.sums, p.rows, p.cols, maxSums)
			}
			if p.colChunks*p.cols < p.panelCount() || p.rowChunks*p.rows < p.m {
				t.Errorf("%s %v: %dx%d chunks of %d rows and %d panels", im.name, size, p.rowChunks, p.colChunks, p.rows, p.cols)
			}
		}
	}
}

// TestSpecialValues compares products of one multiply-add, fused or not, with the definition: float64 holds the
// product of two float32s exactly.
func TestSpecialValues(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		s := kerneltest.Specials
		m, n := len(s), len(s)
		for _, clamp := range [][2]float32{{-inf, inf}, {0, inf}, {0, 6}} {
			e := Epilogue{Lo: clamp[0], Hi: clamp[1]}
			got := make([]float32, m*n)
			k := newKernel(im, m, n, 1, s, false, e, nil)
			k.Run(0, 0, nil, make([]float32, k.Scratch()), s, nil, got)
			want := make([]float32, 0, m*n)
			for _, x := range s {
				for _, y := range s {
					v := float32(float64(x)*float64(y) + 0)
					if im.level == isa.Go {
						v = float32(float64(x)*float64(y)) + 0
					}
					if v < e.Lo {
						v = e.Lo
					}
					if v > e.Hi {
						v = e.Hi
					}
					want = append(want, v)
				}
			}
			kerneltest.CheckSame(t, got, want)
		}
	})
}

func TestBiasKeepsItsZeroSignThroughClamp(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		negZero := float32(math.Copysign(0, -1))
		n := im.nr + 1
		bias := make([]float32, n)
		for i := range bias {
			bias[i] = negZero
		}
		k := newKernel(im, 1, n, 0, nil, false, Epilogue{Bias: bias, Hi: 6}, nil)
		got := make([]float32, n)
		k.Run(0, 0, nil, nil, nil, nil, got)
		kerneltest.CheckSame(t, got, bias)
	})
}

func TestRunAllocatesNothing(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		p := problem{batch: 2, m: 30, n: 70, k: 256, strideA: 30 * 256, strideB: 70 * 256, transB: true, e: NoClamp()}
		p.fill(t, rand.New(rand.NewPCG(7, 8)))
		d := newDynamic(im, p.batch, p.m, p.n, p.k, p.transA, p.transB, p.strideA, p.strideB, p.e)
		k := newKernel(im, p.m, p.n, p.k, p.b, p.transB, p.e, nil)
		temp, scratch, c := make([]float32, d.Temp()), make([]float32, max(d.Scratch(), k.Scratch())), make([]float32, 2*30*70)
		if got := testing.AllocsPerRun(3, func() {
			k.Run(0, 0, nil, scratch, p.a, nil, c)
			for s := range d.Steps() {
				for i := range d.Chunks(s) {
					d.Run(s, i, temp, scratch, p.a, p.b, nil, c)
				}
			}
		}); got != 0 {
			t.Errorf("a run makes %v allocations, want 0", got)
		}
	})
}

func TestShortSlicesPanic(t *testing.T) {
	x := make([]float32, 16)
	k := New(4, 4, 4, x, false, Epilogue{Residual: true})
	d := NewDynamic(2, 4, 4, 4, false, true, 0, 0, NoClamp())
	temp := make([]float32, d.Temp())
	for name, f := range map[string]func(){
		"a":              func() { k.Run(0, 0, nil, nil, x[:15], x, x) },
		"residual":       func() { k.Run(0, 0, nil, nil, x, x[:15], x) },
		"c":              func() { k.Run(0, 0, nil, nil, x, x, x[:15]) },
		"b":              func() { New(4, 4, 4, x[:15], false, NoClamp()) },
		"bias":           func() { New(4, 4, 4, x, false, Epilogue{Bias: x[:3]}) },
		"negative size":  func() { New(-1, 4, 4, x, false, NoClamp()) },
		"dynamic c":      func() { d.Run(0, 0, temp, nil, x, x, nil, make([]float32, 31)) },
		"dynamic b":      func() { d.Run(0, 0, temp, nil, x, x[:15], nil, make([]float32, 32)) },
		"dynamic temp":   func() { d.Run(0, 0, temp[1:], nil, x, x, nil, make([]float32, 32)) },
		"dynamic stride": func() { NewDynamic(2, 4, 4, 4, false, true, -1, 0, NoClamp()) },
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

func BenchmarkKernel(b *testing.B) {
	for _, s := range [][3]int{
		{128, 128, 128}, {256, 256, 256}, {512, 512, 512}, {1024, 1024, 1024}, {126, 768, 768}, {126, 3072, 768}, {126, 768, 3072}, {197, 3072, 768},
		{13, 768, 768}, {7, 768, 768}, {4, 768, 768}, {2, 768, 768},
	} {
		benchmark(b, s[0], s[1], s[2], func(im *impl, x []float32) (steps, func(s, c int, temp, scratch, out []float32)) {
			k := newKernel(im, s[0], s[1], s[2], x, false, NoClamp(), nil)
			return k, func(s, c int, temp, scratch, out []float32) { k.Run(s, c, temp, scratch, x, nil, out) }
		})
	}
}

func BenchmarkOneRow(b *testing.B) {
	for _, s := range [][2]int{{1000, 2048}, {4096, 4096}, {4096, 25088}} {
		benchmark(b, 1, s[0], s[1], func(im *impl, x []float32) (steps, func(s, c int, temp, scratch, out []float32)) {
			k := newKernel(im, 1, s[0], s[1], x, false, NoClamp(), nil)
			return k, func(s, c int, temp, scratch, out []float32) { k.Run(s, c, temp, scratch, x, nil, out) }
		})
	}
}

func BenchmarkDynamic(b *testing.B) {
	for _, s := range []struct {
		batch, m, n, k int
		transA, transB bool
	}{
		{1, 512, 512, 512, false, false}, {1, 512, 512, 512, false, true}, {1, 512, 512, 512, true, false},
		{12, 128, 128, 64, false, true}, {12, 128, 64, 128, false, false}, {1, 1, 1000, 2048, false, false},
	} {
		benchmark(b, s.batch*s.m, s.n, s.k, func(im *impl, x []float32) (steps, func(s, c int, temp, scratch, out []float32)) {
			d := newDynamic(im, s.batch, s.m, s.n, s.k, s.transA, s.transB, s.m*s.k, 0, NoClamp())
			return d, func(s, c int, temp, scratch, out []float32) { d.Run(s, c, temp, scratch, x, x, nil, out) }
		})
	}
}

// benchmark runs what prepare returns for one array that serves as both A and B, one chunk after the other. Beside the
// rate it reports the bytes of B a second.
func benchmark(b *testing.B, m, n, k int,
	prepare func(*impl, []float32) (steps, func(s, c int, temp, scratch, out []float32))) {
	for i := range impls {
		im := &impls[i]
		b.Run(fmt.Sprintf("%dx%dx%d/%s", m, n, k, im.name), func(b *testing.B) {
			if !isa.Have(im.level) {
				b.Skipf("needs %s", im.level)
			}
			x, out := make([]float32, max(m, n)*k), make([]float32, m*n)
			kerneltest.Fill(rand.New(rand.NewPCG(1, 2)), x)
			kern, run := prepare(im, x)
			temp, scratch := make([]float32, kern.Temp()), make([]float32, kern.Scratch())
			var pieces [][2]int // step and chunk
			for s := range kern.Steps() {
				for c := range kern.Chunks(s) {
					pieces = append(pieces, [2]int{s, c})
				}
			}
			flop := 2 * float64(m) * float64(n) * float64(k)
			rate := kerneltest.Rate(b, im.level, flop, len(pieces), func(i int) {
				run(pieces[i][0], pieces[i][1], temp, scratch, out)
			})
			b.ReportMetric(4*float64(n)*float64(k)*rate/flop, "GB/s")
		})
	}
}
