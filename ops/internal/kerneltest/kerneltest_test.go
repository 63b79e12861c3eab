package kerneltest

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"runtime/debug"
	"testing"
	"unsafe"
)

// record is a testing.TB that keeps failures and runs cleanups when told.
type record struct {
	testing.TB
	failed  []string
	cleanup []func()
}

func (r *record) Helper()                   {}
func (r *record) Cleanup(f func())          { r.cleanup = append(r.cleanup, f) }
func (r *record) Errorf(f string, a ...any) { r.failed = append(r.failed, fmt.Sprintf(f, a...)) }
func (r *record) Fatalf(f string, a ...any) { r.Errorf(f, a...) }
func (r *record) done() (failed bool)       { r.run(); return len(r.failed) > 0 }
func (r *record) run() {
	for _, f := range r.cleanup {
		f()
	}
}

// at32 is the address of x[i], also outside of x.
func at32(x []float32, i int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(x)), i*4))
}

func fill(x []float32) {
	for i := range x {
		x[i] = 1
	}
}

func TestOutSeesWritesOutside(t *testing.T) {
	for _, at := range []int{-1, 5, -guard, 5 + guard - 1} {
		r := &record{}
		full := Out(r, 5)
		*at32(full, at) = 1
		if !r.done() {
			t.Errorf("a write at %d went unseen", at)
		}
	}
	r := &record{}
	fill(Out(r, 5))
	if r.done() {
		t.Errorf("writes inside were reported: %v", r.failed)
	}
}

func TestInIsSurroundedByNaN(t *testing.T) {
	x := In([]float32{1, 2, 3})
	for _, at := range []int{-1, 3} {
		if v := *at32(x, at); v == v {
			t.Errorf("guard at %d is %v, want NaN", at, v)
		}
	}
	if x[0] != 1 || x[2] != 3 {
		t.Errorf("copy is %v", x)
	}
}

func TestPageEndsFault(t *testing.T) {
	faults := func(p *float32) (fault bool) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() { fault = recover() != nil }()
		*p = 1
		return
	}
	a, b := PageEnd(t, 3), PageStart(t, 3)
	fill(a)
	fill(b)
	if !havePages {
		t.Skip("this system has no unmapped pages for tests")
	}
	if !faults(at32(a, 3)) || !faults(at32(b, -1)) {
		t.Error("access beyond the page did not fault")
	}
}

func TestBoundHoldsAndIsTight(t *testing.T) {
	sum, exact, abs, k := float32(0), 0.0, 0.0, 1000
	for i := range k {
		a, b := float32(math.Sin(float64(i))), float32(2+math.Cos(float64(3*i)))*float32(math.Sin(float64(i)))
		sum += float32(a * b)
		exact += float64(a) * float64(b)
		abs += math.Abs(float64(a) * float64(b))
	}
	r := &record{}
	CheckBound(r, []float32{sum}, []float64{exact}, []float64{Bound(k, abs)})
	if len(r.failed) > 0 {
		t.Errorf("a correct sum was refused: %v", r.failed)
	}
	CheckBound(r, []float32{sum * 1.01}, []float64{exact}, []float64{Bound(k, abs)})
	if len(r.failed) != 1 {
		t.Errorf("a sum off by a hundredth passed the bound %g around %g", Bound(k, abs), exact)
	}
}

func TestFMARoundsOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() float32 { return math.Float32frombits(r.Uint32()&0x8fffffff | 0x38000000) }
	for i := range 100000 {
		x, y, z := random(), random(), random()
		if i%3 == 0 { // a product whose tail lies halfway, and a little on top
			x, y, z = 1+0x1p-12, 1+0x1p-12, float32(math.Copysign(0x1p-60, float64(x)))
		}
		exact := new(big.Float).SetPrec(200).SetFloat64(float64(x) * float64(y))
		want, _ := exact.Add(exact, big.NewFloat(float64(z))).Float32()
		if got := FMA(x, y, z); got != want {
			t.Fatalf("FMA(%g, %g, %g) = %g, want %g", x, y, z, got, want)
		}
	}
}
