package qconv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"scission/ops/internal/isa"
)

// Products of matrices are what the definition says, whether b is packed or comes with the run, for all kinds of
// results and for operands that broadcast.
func TestProductsEqualTheDefinition(t *testing.T) {
	each(t, func(t *testing.T, impl *implementation) {
		r := rand.New(rand.NewPCG(5, 6))
		for i := range 120 {
			batch, m, n, k := 1+r.IntN(3), 1+r.IntN(40), 1+r.IntN(50), 1+r.IntN(70)
			fixed, kind := i%2 == 0, i/2%3
			matricesB := batch
			if fixed || r.IntN(2) == 0 {
				matricesB = 1
			}
			operand := func(size int) Bytes {
				b := Bytes{Of: make([]byte, size), Signed: r.IntN(2) == 0, Zero: r.IntN(256)}
				if b.Signed {
					b.Zero -= 128
				}
				for i := range b.Of {
					b.Of[i] = byte(r.Uint32())
				}
				return b
			}
			a, b := operand(batch*m*k), operand(matricesB*k*n)
			at := func(b Bytes, i int) int {
				if b.Signed {
					return int(int8(b.Of[i])) - b.Zero
				}
				return int(b.Of[i]) - b.Zero
			}
			e := Epilogue{Lo: float32(math.Inf(-1)), Hi: float32(math.Inf(1)), Start: make([]int32, n), Mul: make([]float32, n), Add: make([]float32, n)}
			for c := range n {
				e.Start[c], e.Mul[c], e.Add[c] = int32(r.IntN(2001)-1000), r.Float32()/1000, r.Float32()
			}
			factors := []float32{r.Float32() / 1000}
			dynamic := r.IntN(2) == 0
			zero := r.IntN(256)
			switch kind {
			case 1:
				e.Sums = true
			case 2:
				e.Step, e.Min, e.Max = 0.13, -zero, 255-zero
			}
			var packed []int16
			if fixed {
				packed = make([]int16, k*n)
				for i := range packed {
					packed[i] = int16(at(b, i))
				}
			}
			p := newProduct(impl, batch, m, n, k, packed, e)
			out := ProductOut{Zero: zero}
			switch kind {
			case 0:
				out.Blocks.Wide, out.Wide = make([]float32, p.Results()), make([]float32, batch*m*n)
			case 1:
				out.Blocks.Sums, out.Sums = make([]int32, p.Results()), make([]int32, batch*m*n)
			default:
				out.Blocks.Narrow, out.Bytes = make([]int16, p.Results()), make([]byte, batch*m*n)
			}
			var epi []float32
			if dynamic {
				epi = make([]float32, p.Channels())
				p.SetChannels(epi, factors)
			}
			values := make([]int16, p.Values())
			for i := range values {
				values[i] = 9999
			}
			for step := range p.Steps() {
				for chunk := range p.Chunks(step) {
					p.Run(step, chunk, values, epi, a, b, &out)
				}
			}
			name := fmt.Sprintf("%d times %dx%dx%d, fixed %v, kind %d", batch, m, n, k, fixed, kind)
			for i := range batch * m * n {
				matrix, row, col := i/(m*n), i/n%m, i%n
				sum := int(e.Start[col])
				for j := range k {
					sum += at(a, (matrix*m+row)*k+j) * at(b, (matrix%matricesB*k+j)*n+col)
				}
				mul := e.Mul[col]
				if dynamic {
					mul = factors[0]
				}
				y := fma(float32(sum), mul, e.Add[col])
				if impl.level == isa.Go {
					y = float32(float32(sum)*mul) + e.Add[col]
				}
				switch kind {
				case 0:
					if out.Wide[i] != y {
						t.Fatalf("%s: element %d is %v, want %v", name, i, out.Wide[i], y)
					}
				case 1:
					if int(out.Sums[i]) != sum {
						t.Fatalf("%s: element %d is %v, want %v", name, i, out.Sums[i], sum)
					}
				default:
					want := max(0, min(255, int(math.RoundToEven(float64(y/e.Step)))+zero))
					if int(out.Bytes[i]) != want {
						t.Fatalf("%s: element %d is %v, want %v", name, i, out.Bytes[i], want)
					}
				}
			}
		}
	})
}

// Bytes come back from int16, and those are what they stand for, in lengths around a vector.
func TestBytesWidenAndNarrow(t *testing.T) {
	for n := range 3*Block + 2 {
		for _, signed := range []bool{false, true} {
			x, wide, back := make([]byte, n), make([]int16, n), make([]byte, n)
			for i := range x {
				x[i] = byte(i*83 + n)
			}
			const zero = 100
			Widen(wide, x, signed, zero)
			Narrow(back, wide, zero)
			for i, v := range x {
				want := int(v) - zero
				if signed {
					want = int(int8(v)) - zero
				}
				if int(wide[i]) != want || back[i] != v {
					t.Fatalf("%d of %d, signed %v: %d becomes %d and then %d, want %d", i, n, signed, v, wide[i], back[i], want)
				}
			}
		}
	}
}

// Combine rounds each product, the sum or product of both, and the quotient, and limits the numbers.
func TestCombineRoundsEachPart(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, op := range []Operation{Add, Mul} {
		for n := range 3*Block + 2 {
			a, b, y := make([]int16, n), make([]int16, n), make([]int16, n)
			for i := range a {
				a[i], b[i] = int16(r.IntN(511)-255), int16(r.IntN(511)-255)
			}
			sa, sb, step := r.Float32()+0.1, r.Float32()+0.1, r.Float32()+0.1
			lo, hi := -100*step, 90*step
			Combine(op, y, a, b, sa, sb, step, lo, hi)
			for i := range y {
				p, q := float32(float64(a[i])*float64(sa)), float32(float64(b[i])*float64(sb))
				v := float32(float64(p) + float64(q))
				if op == Mul {
					v = float32(float64(p) * float64(q))
				}
				v = max(lo, min(hi, v))
				if want := int16(math.RoundToEven(float64(float32(float64(v) / float64(step))))); y[i] != want {
					t.Fatalf("operation %d: %d of %d is %d, want %d", op, i, n, y[i], want)
				}
			}
		}
	}
}

// A NaN is no end of a range, wherever it lies.
func TestExtremesLeaveNaNsOut(t *testing.T) {
	nan := float32(math.NaN())
	for n := range 3 * Block {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32((i*37+n)%n) - 5
			if i%5 == 2 {
				x[i] = nan
			}
		}
		lo, hi := float32(0), float32(0)
		for _, v := range x {
			if v == v {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
		if a, b := Extremes(x, 0, 0); a != lo || b != hi {
			t.Errorf("%d elements reach from %v to %v, want %v to %v", n, a, b, lo, hi)
		}
	}
}
