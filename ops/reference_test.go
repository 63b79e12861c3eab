package ops

import (
	"math"
	"math/rand/v2"
	"testing"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/ops/internal/kerneltest"
)

// slow is a window as its definition says it: element k of the kernel meets
// input o*stride + k*dilation - before in each dimension.
type slow struct {
	kernel, stride, dilation, before, behind []int
}

// each calls f for every place of the kernel at output coordinates o, with the
// input's coordinates; inside is false if they lie in the padding, and beyond
// true if they lie behind even that.
func (s slow) each(in tensor.Shape, o []int, f func(k, at []int, inside, beyond bool)) {
	for _, k := range coordinates(s.kernel) {
		at, inside, beyond := make([]int, len(k)), true, false
		for d := range k {
			at[d] = o[d]*s.stride[d] + k[d]*s.dilation[d] - s.before[d]
			inside = inside && at[d] >= 0 && at[d] < in[d]
			beyond = beyond || at[d] >= in[d]+s.behind[d]
		}
		f(k, at, inside, beyond)
	}
}

// index is the place of coordinates in a row-major tensor of shape s.
func index(s tensor.Shape, c ...int) int {
	i := 0
	for d, n := range s {
		i = i*n + c[d]
	}
	return i
}

func join(parts ...[]int) []int {
	var all []int
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// checkClose fails the test unless got is within the error bound of a sum of k
// products with the given magnitudes of want.
func checkClose(t *testing.T, name string, got *tensor.Tensor, want, magnitude []float64, k int) {
	t.Helper()
	if got.Shape.Elems() != len(want) {
		t.Fatalf("%s: got %v, want %d elements", name, got.Type, len(want))
	}
	for i, w := range want {
		g := tensortest.At(got, i)
		bound := kerneltest.Bound(k, magnitude[i])
		if got.DType == tensor.Float64 {
			bound *= 0x1p-29
		}
		if !(math.Abs(g-w) <= bound) && !(math.IsNaN(g) && math.IsNaN(w)) {
			t.Fatalf("%s: element %d is %v, want %v within %g", name, i, g, w, bound)
		}
	}
}

// wide returns x as float64.
func wide(x *tensor.Tensor) *tensor.Tensor {
	y := tensor.New(tensor.Float64, x.Shape...)
	for i := range y.Shape.Elems() {
		tensor.View[float64](y)[i] = tensortest.At(x, i)
	}
	return y
}

// source is the randomness of the tests.
func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 99)) }
