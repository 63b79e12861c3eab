package vec

import (
	"fmt"
	"hash/crc32"
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

// values returns n values, some of them special, the last at the end of a page.
func values(t testing.TB, r *rand.Rand, n int) []float32 {
	x := kerneltest.PageEnd(t, n)
	kerneltest.Fill(r, x)
	for i := range x {
		if r.IntN(3) == 0 {
			x[i] = kerneltest.Specials[r.IntN(len(kerneltest.Specials))]
		}
	}
	return x
}

// lengths go beyond two turns of every loop, and beyond a block.
func lengths() []int {
	n := []int{2*blockLen + 77, blockLen - 1, blockLen, blockLen + 1}
	if testing.Short() {
		n = n[:1]
	}
	for i := range 135 {
		n = append(n, i)
	}
	return n
}

func TestBinary(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, c := range []struct {
			name string
			f    binary
			want func(a, b float64) float64 // exact enough to round to the float32 result
		}{
			{"Add", im.add, func(a, b float64) float64 { return a + b }},
			{"Sub", im.sub, func(a, b float64) float64 { return a - b }},
			{"Mul", im.mul, func(a, b float64) float64 { return a * b }},
			{"Div", im.div, func(a, b float64) float64 { return a / b }},
		} {
			t.Run(c.name, func(t *testing.T) {
				for _, n := range lengths() {
					a, b := values(t, r, n), values(t, r, n)
					want := make([]float32, n)
					for i := range want {
						want[i] = float32(c.want(float64(a[i]), float64(b[i])))
					}
					got := kerneltest.Out(t, n)
					c.f.run(got, a, b)
					kerneltest.CheckSame(t, got, want)
					c.f.run(a, a, b)
					kerneltest.CheckSame(t, a, want)
				}
			})
		}
	})
}

func TestUnary(t *testing.T) {
	clamp := func(x, lo, hi float64) float64 {
		switch {
		case x < lo:
			return lo
		case x > hi:
			return hi
		}
		return x
	}
	leaky := func(x, alpha, _ float64) float64 {
		if math.Signbit(x) {
			return alpha * x
		}
		return x
	}
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(3, 4))
		// x·p is exact in float64; x·p + q rounded twice is what a fused multiply-add gives but for rare ties that
		// Fill's values and these factors do not make.
		scaleShift := func(x, p, q float64) float64 { return x*p + q }
		if im.level == isa.Go {
			scaleShift = func(x, p, q float64) float64 { return float64(float32(x*p)) + q }
		}
		hard := func(x, p, q float64) float64 { return clamp(scaleShift(x, p, q), 0, 1) }
		for _, c := range []struct {
			name string
			f    unary
			p, q float32
			want func(x, p, q float64) float64
		}{
			{"Relu", im.clamp, 0, inf, clamp},
			{"Relu6", im.clamp, 0, 6, clamp},
			{"Clamp", im.clamp, -0.25, 0.5, clamp},
			{"NoClamp", im.clamp, -inf, inf, clamp},
			{"AddScalar", im.addScalar, 0.3, 0, func(x, p, _ float64) float64 { return x + p }},
			{"MulScalar", im.mulScalar, -0.3, 0, func(x, p, _ float64) float64 { return x * p }},
			{"DivScalar", im.divScalar, 0.3, 0, func(x, p, _ float64) float64 { return x / p }},
			{"ScalarSub", im.scalarSub, 0.3, 0, func(x, p, _ float64) float64 { return p - x }},
			{"ScalarDiv", im.scalarDiv, 0.3, 0, func(x, p, _ float64) float64 { return p / x }},
			{"ScaleShift", im.scaleShift, 0.7, -0.2, scaleShift},
			{"LeakyRelu", im.leakyRelu, 0.1, 0, leaky},
			{"Sqrt", im.sqrt, 0, 0, func(x, _, _ float64) float64 { return math.Sqrt(x) }},
			{"Abs", im.abs, 0, 0, func(x, _, _ float64) float64 { return math.Abs(x) }},
			{"HardSigmoid", im.hardSigmoid, 0.2, 0.5, hard},
			{"HardSwish", im.hardSwish, 1.0 / 6, 0.5, func(x, p, q float64) float64 { return x * float64(float32(hard(x, p, q))) }},
		} {
			t.Run(c.name, func(t *testing.T) {
				for _, n := range lengths() {
					x := values(t, r, n)
					want := make([]float32, n)
					for i := range want {
						want[i] = float32(c.want(float64(x[i]), float64(c.p), float64(c.q)))
					}
					got := kerneltest.Out(t, n)
					c.f.run(got, x, c.p, c.q)
					kerneltest.CheckSame(t, got, want)
					c.f.run(x, x, c.p, c.q)
					kerneltest.CheckSame(t, x, want)
				}
			})
		}
	})
}

func TestExportedFunctionsAreWhatTheirNamesSay(t *testing.T) {
	a, b := []float32{-3, 8}, []float32{2, 4}
	for name, c := range map[string]struct {
		f    func(dst []float32)
		want []float32
	}{
		"Clamp":       {func(d []float32) { Clamp(d, a, -1, 5) }, []float32{-1, 5}},
		"Relu":        {func(d []float32) { Relu(d, a) }, []float32{0, 8}},
		"Add":         {func(d []float32) { Add(d, a, b) }, []float32{-1, 12}},
		"Sub":         {func(d []float32) { Sub(d, a, b) }, []float32{-5, 4}},
		"Mul":         {func(d []float32) { Mul(d, a, b) }, []float32{-6, 32}},
		"Div":         {func(d []float32) { Div(d, a, b) }, []float32{-1.5, 2}},
		"AddScalar":   {func(d []float32) { AddScalar(d, a, 2) }, []float32{-1, 10}},
		"SubScalar":   {func(d []float32) { SubScalar(d, a, 2) }, []float32{-5, 6}},
		"MulScalar":   {func(d []float32) { MulScalar(d, a, 2) }, []float32{-6, 16}},
		"DivScalar":   {func(d []float32) { DivScalar(d, a, 2) }, []float32{-1.5, 4}},
		"ScalarSub":   {func(d []float32) { ScalarSub(d, 2, a) }, []float32{5, -6}},
		"ScalarDiv":   {func(d []float32) { ScalarDiv(d, 24, a) }, []float32{-8, 3}},
		"ScaleShift":  {func(d []float32) { ScaleShift(d, a, 2, 1) }, []float32{-5, 17}},
		"LeakyRelu":   {func(d []float32) { LeakyRelu(d, a, 0.5) }, []float32{-1.5, 8}},
		"Exp":         {func(d []float32) { Exp(d, []float32{0, -inf}) }, []float32{1, 0}},
		"Sigmoid":     {func(d []float32) { Sigmoid(d, []float32{0, inf}) }, []float32{0.5, 1}},
		"Softmax":     {func(d []float32) { Softmax(d, []float32{7, 7}) }, []float32{0.5, 0.5}},
		"Sqrt":        {func(d []float32) { Sqrt(d, []float32{9, 0}) }, []float32{3, 0}},
		"Abs":         {func(d []float32) { Abs(d, a) }, []float32{3, 8}},
		"HardSigmoid": {func(d []float32) { HardSigmoid(d, a, 0.125, 0.5) }, []float32{0.125, 1}},
		"HardSwish":   {func(d []float32) { HardSwish(d, []float32{0, 8}) }, []float32{0, 8}},
		"Swish":       {func(d []float32) { Swish(d, []float32{0, 64}, 2) }, []float32{0, 64}},
		"Tanh":        {func(d []float32) { Tanh(d, []float32{-inf, 0}) }, []float32{-1, 0}},
		"Erf":         {func(d []float32) { Erf(d, []float32{-inf, 0}) }, []float32{-1, 0}},
		"Gelu":        {func(d []float32) { Gelu(d, []float32{0, 64}) }, []float32{0, 64}},
		"GeluTanh":    {func(d []float32) { GeluTanh(d, []float32{0, 64}) }, []float32{0, 64}},
		"Sum, Max":    {func(d []float32) { d[0], d[1] = Sum(a), Max(a) }, []float32{5, 8}},
	} {
		t.Run(name, func(t *testing.T) {
			got := make([]float32, 2)
			c.f(got)
			kerneltest.CheckSame(t, got, c.want)
		})
	}
}

func TestScaleShift16IsScaleShiftOfEachLane(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(5, 6))
		scale, shift := values(t, r, Lanes), values(t, r, Lanes)
		for _, n := range []int{0, 16, 32, 48, 160, blockLen + 16} {
			x := values(t, r, n)
			got := kerneltest.Out(t, n)
			im.scaleShiftBlocks(got, x, scale, shift)
			want := make([]float32, n)
			for i := range want {
				im.scaleShift.run(want[i:i+1], x[i:], scale[i%Lanes], shift[i%Lanes])
			}
			kerneltest.CheckSame(t, got, want)
		}
	})
}

// ulps returns how far got is from want in units of the last place of a float32 of want's size.
func ulps(got float32, want float64) float64 {
	if math.IsNaN(want) || math.IsInf(float64(float32(want)), 0) {
		if kerneltest.Same(got, float32(want)) {
			return 0
		}
		// A finite value next to the largest one may round either way.
		if want < math.MaxFloat32*(1+0x1p-22) && float64(got) > math.MaxFloat32*(1-0x1p-22) {
			return 1
		}
		return math.Inf(1)
	}
	const minExp, mantissa = -126, 23
	_, e := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(e-1, minExp)-mantissa)
}

func TestExponentialsOverTheWholeRange(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		for _, c := range []struct {
			name  string
			f     unary
			want  func(x float64) float64
			bound float64 // units in the last place
		}{
			{"Exp", im.exp, math.Exp, 2},
			{"Sigmoid", im.sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, 3},
			{"Tanh", im.tanh, math.Tanh, 3},
			{"Erf", im.erf, math.Erf, 3},
		} {
			step := uint64(4093) // a prime, so that all low bits occur
			if testing.Short() {
				step = 65521 // too
			}
			x, y := make([]float32, 0, blockLen), make([]float32, blockLen)
			worst, at := 0.0, float32(0)
			check := func() {
				c.f.run(y[:len(x)], x, 0, 0)
				for i, v := range x {
					if e := ulps(y[i], c.want(float64(v))); e > worst {
						worst, at = e, v
					}
				}
				x = x[:0]
			}
			for b := uint64(0); b < 1<<32; b += step {
				if x = append(x, math.Float32frombits(uint32(b))); len(x) == cap(x) {
					check()
				}
			}
			x = append(x, kerneltest.Specials...)
			x = append(x, 88.72283, 88.72284, 89, 90, -87.33654, -87.33655, -103.97, -103.98, -104, -105)
			check()
			t.Logf("%s is off by at most %.2f units in the last place, at %v", c.name, worst, at)
			if !(worst <= c.bound) {
				t.Errorf("%s(%v) is off by %.2f units in the last place, want at most %v", c.name, at, worst, c.bound)
			}
		}
	})
}

// Where x·f(x) is far smaller than x, it has fewer digits.
func TestGatedFunctionsStayWithinTheirBounds(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		swish := func(x float64) float64 { return x / (1 + math.Exp(-x)) }
		for _, c := range []struct {
			name string
			f    unary
			want func(x float64) float64
		}{
			{"Swish", im.swish, swish},
			{"Gelu", im.gelu, func(x float64) float64 { return x * math.Erfc(-x/math.Sqrt2) / 2 }},
			{"GeluTanh", im.geluTanh, func(x float64) float64 {
				return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
			}},
		} {
			x := make([]float32, 0, blockLen)
			for b := uint32(0); b < 0x7f000000; b += 262133 { // a prime
				v := math.Float32frombits(b)
				x = append(x, v, -min(v, 1e5))
			}
			got, worst := make([]float32, len(x)), 0.0
			c.f.run(got, x, 1, 0)
			for i, v := range x {
				worst = max(worst, math.Abs(float64(got[i])-c.want(float64(v)))/max(1, math.Abs(float64(v))))
			}
			t.Logf("%s is off by at most %.3g of the larger of |x| and 1", c.name, worst)
			if !(worst <= 0x1p-22) {
				t.Errorf("%s is off by %g of the larger of |x| and 1, want at most 2^-22", c.name, worst)
			}
			if c.f.run(got[:1], []float32{float32(math.NaN())}, 1, 0); got[0] == got[0] {
				t.Errorf("%s of NaN is %v, want NaN", c.name, got[0])
			}
		}
	})
}

// TestExponentialsHaveTheSameBitsOnEveryProcessor compares a digest of values over the whole range with that of the
// first processor that had such an implementation.
func TestExponentialsHaveTheSameBitsOnEveryProcessor(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		x, y := make([]float32, blockLen), make([]float32, blockLen)
		for i := range x {
			x[i] = float32(i-blockLen/2) * (120.0 / blockLen)
		}
		got := uint32(0)
		for _, f := range []unary{im.exp, im.sigmoid, im.tanh, im.erf, im.gelu, im.geluTanh, im.swish} {
			f.run(y, x, 0.5, 0)
			for _, v := range y {
				b := math.Float32bits(v)
				got = crc32.Update(got, crc32.IEEETable, []byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24)})
			}
		}
		want := uint32(0xeada257d)
		if im.level == isa.Go {
			want = 0xde4900c2
		}
		if got != want {
			t.Errorf("digest is %#x, want %#x", got, want)
		}
	})
}

func TestExponentialsDoNotDependOnPlace(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, f := range []unary{im.exp, im.sigmoid, im.scaleShift, im.tanh, im.erf, im.gelu, im.geluTanh, im.swish, im.hardSwish} {
			for n := range 70 {
				x := values(t, r, n)
				got := kerneltest.Out(t, n)
				f.run(got, x, 0.5, 0.25)
				want := make([]float32, n)
				for i := range want {
					f.run(want[i:i+1], x[i:], 0.5, 0.25)
				}
				kerneltest.CheckSame(t, got, want)
			}
		}
	})
}

func TestSum(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(9, 10))
		portable := &impls[len(impls)-1]
		for _, n := range lengths() {
			x := kerneltest.PageEnd(t, n)
			kerneltest.Fill(r, x)
			var want, abs float64
			for _, v := range x {
				want += float64(v)
				abs += math.Abs(float64(v))
			}
			got := im.sumOf(x)
			kerneltest.CheckBound(t, []float32{got}, []float64{want}, []float64{kerneltest.Bound(n, abs)})
			kerneltest.CheckSame(t, []float32{got}, []float32{portable.sumOf(x)})
		}
		for _, n := range []int{5, 40, 100} {
			for at := range n {
				x := make([]float32, n)
				x[at] = inf
				if got := im.sumOf(x); got != inf {
					t.Fatalf("sum of %d values with +Inf at %d is %v", n, at, got)
				}
			}
		}
	})
}

func TestMax(t *testing.T) {
	nan := float32(math.NaN())
	eachImpl(t, func(t *testing.T, im *impl) {
		for _, n := range []int{0, 1, 31, 32, 33, 64, 100, blockLen + 40} {
			x := kerneltest.PageEnd(t, n)
			for i := range x {
				x[i] = nan
			}
			if got := im.maxOf(x); got != -inf {
				t.Fatalf("max of %d NaNs is %v, want -Inf", n, got)
			}
			for at := 0; at < n; at += 1 + n/200 {
				x[at] = -3
				if n > 1 {
					x[(at+n/2)%n] = -4
				}
				if got := im.maxOf(x); n > 1 && got != -3 {
					t.Fatalf("max of %d values with -3 at %d is %v", n, at, got)
				}
				x[at], x[(at+n/2)%n] = nan, nan
			}
		}
	})
}

func TestSoftmax(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(11, 12))
		for _, n := range []int{1, 2, 7, 16, 33, 197, 1000, blockLen + 5} {
			x := kerneltest.PageEnd(t, n)
			var largest, sum float64 = math.Inf(-1), 0
			for i := range x {
				x[i] = r.Float32()*60 - 30
				largest = max(largest, float64(x[i]))
			}
			for _, v := range x {
				sum += math.Exp(float64(v) - largest)
			}
			got := kerneltest.Out(t, n)
			im.softmax(got, x)
			for i, v := range x {
				// The difference x - m is rounded, and e to it with it.
				want := math.Exp(float64(v)-largest) / sum
				if d := math.Abs(float64(got[i]) - want); d > want*float64(40+n)*0x1p-24 {
					t.Fatalf("n=%d: softmax(%v) = %v, want %v", n, v, got[i], want)
				}
			}
			im.softmax(x, x)
			kerneltest.CheckSame(t, x, got)
		}
		nan := float32(math.NaN())
		for _, c := range [][2][]float32{
			{{}, {}},
			{{0, -inf}, {1, 0}},
			{{1e30, 0, -1e30}, {1, 0, 0}},
			{{nan, 1}, {nan, nan}},
			{{inf, 1}, {nan, nan}},
			{{-inf, -inf}, {nan, nan}},
		} {
			got := make([]float32, len(c[0]))
			im.softmax(got, c[0])
			kerneltest.CheckSame(t, got, c[1])
		}
	})
}

func TestNothingIsAllocated(t *testing.T) {
	x, y := make([]float32, 4096), make([]float32, 4096)
	if n := testing.AllocsPerRun(10, func() {
		Relu(y, x)
		Add(y, x, y)
		ScaleShift16(y, x, x, x)
		Softmax(y, x)
		Sigmoid(y, x)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestShortSlicesPanic(t *testing.T) {
	x := make([]float32, 32)
	for name, f := range map[string]func(){
		"Relu":                  func() { Relu(x, x[:31:31]) },
		"Add a":                 func() { Add(x, x[:31:31], x) },
		"Add b":                 func() { Add(x, x, x[:31:31]) },
		"ScaleShift16 x":        func() { ScaleShift16(x, x[:16:16], x, x) },
		"ScaleShift16 scale":    func() { ScaleShift16(x, x, x[:15:15], x) },
		"ScaleShift16 multiple": func() { ScaleShift16(x[:31], x, x, x) },
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

func BenchmarkFunctions(b *testing.B) {
	for _, n := range []int{1000, 1 << 16, 1 << 22} {
		x, y, z := make([]float32, n), make([]float32, n), make([]float32, n)
		kerneltest.Fill(rand.New(rand.NewPCG(1, 2)), x)
		for _, c := range []struct {
			name    string
			streams int // slices read or written
			f       func(im *impl)
		}{
			{"Add", 3, func(im *impl) { im.add.run(z, x, y) }},
			{"Clamp", 2, func(im *impl) { im.clamp.run(z, x, 0, 6) }},
			{"ScaleShift", 2, func(im *impl) { im.scaleShift.run(z, x, 0.5, 1) }},
			{"Exp", 2, func(im *impl) { im.exp.run(z, x, 0, 0) }},
			{"Sigmoid", 2, func(im *impl) { im.sigmoid.run(z, x, 0, 0) }},
			{"Softmax", 2, func(im *impl) { im.softmax(z, x) }},
			{"Sum", 1, func(im *impl) { im.sumOf(x) }},
			{"Max", 1, func(im *impl) { im.maxOf(x) }},
		} {
			for i := range impls {
				im := &impls[i]
				b.Run(fmt.Sprintf("%s/%d/%s", c.name, n, im.name), func(b *testing.B) {
					if !isa.Have(im.level) {
						b.Skipf("needs %s", im.level)
					}
					best := math.Inf(1)
					for b.Loop() {
						start := time.Now()
						c.f(im)
						best = min(best, time.Since(start).Seconds())
					}
					b.ReportMetric(4*float64(c.streams*n)/best/1e9, "GB/s")
				})
			}
		}
	}
}
