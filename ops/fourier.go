package ops

import (
	"math"
	"math/bits"
	"math/cmplx"
	"unsafe"

	"scission/engine/tensor"
)

// maxTransform bounds the length of a Fourier transform.
const maxTransform = 1 << 20

// fourier computes discrete Fourier transforms of length n: where n is a power
// of two by halves, else as a convolution, which is made of transforms of a power
// of two.
//
// Source: J. Cooley, J. Tukey, An algorithm for the machine calculation of complex
// Fourier series, 1965; L. Bluestein, A linear filtering approach to the
// computation of the discrete Fourier transform, 1970.
type fourier struct {
	n, m  int          // m is the power of two
	roots []complex128 // exp(-2*pi*i*k/m), k < m/2
	chirp []complex128 // exp(-pi*i*k*k/n), k < n; nil where n is m
	taps  []complex128 // the transform of what is convolved with, divided by m
}

func newFourier(n int) *fourier {
	f := &fourier{n: n, m: n}
	if n&(n-1) != 0 {
		f.m = 1 << bits.Len(uint(2*n-2))
	}
	f.roots = make([]complex128, f.m/2)
	for k := range f.roots {
		f.roots[k] = cmplx.Rect(1, -2*math.Pi*float64(k)/float64(f.m))
	}
	if f.m == n {
		return f
	}
	f.chirp, f.taps = make([]complex128, n), make([]complex128, f.m)
	for k := range n {
		square := uint64(k) * uint64(k) % uint64(2*n)
		f.chirp[k] = cmplx.Rect(1, -math.Pi*float64(square)/float64(n))
		tap := cmplx.Conj(f.chirp[k]) / complex(float64(f.m), 0)
		f.taps[k] = tap
		if k > 0 {
			f.taps[f.m-k] = tap
		}
	}
	f.halves(f.taps)
	return f
}

// scratch is the number of bytes that split takes.
func (f *fourier) scratch() int { return (f.n + f.m) * int(unsafe.Sizeof(complex128(0))) }

// split makes of scratch memory room for a line of n elements, and for the work
// on it.
func (f *fourier) split(scratch []byte) (line, work []complex128) {
	v := tensor.Cast[float64](scratch)
	all := unsafe.Slice((*complex128)(unsafe.Pointer(&v[0])), len(v)/2)
	return all[:f.n:f.n], all[f.n:][:f.m]
}

// run replaces line by its transform, or by the inverse one. Work is overwritten.
func (f *fourier) run(line, work []complex128, inverse bool) {
	if inverse {
		conjugate(line, 1)
		f.run(line, work, false)
		conjugate(line, 1/float64(f.n))
		return
	}
	if f.chirp == nil {
		f.halves(line)
		return
	}
	clear(work)
	for k, v := range line {
		work[k] = v * f.chirp[k]
	}
	f.halves(work)
	for k, v := range work {
		work[k] = cmplx.Conj(v * f.taps[k])
	}
	f.halves(work)
	for k := range line {
		line[k] = cmplx.Conj(work[k]) * f.chirp[k]
	}
}

// halves replaces x, of m elements, by its transform.
func (f *fourier) halves(x []complex128) {
	if f.m == 1 {
		return
	}
	shift := bits.UintSize - bits.Len(uint(f.m)) + 1
	for i := range x {
		if j := int(bits.Reverse(uint(i)) >> shift); j > i {
			x[i], x[j] = x[j], x[i]
		}
	}
	for size := 2; size <= f.m; size *= 2 {
		half, stride := size/2, f.m/size
		for start := 0; start < f.m; start += size {
			for k := range half {
				a, b := x[start+k], x[start+k+half]*f.roots[k*stride]
				x[start+k], x[start+k+half] = a+b, a-b
			}
		}
	}
}

// conjugate conjugates the elements of x and multiplies them by a number.
func conjugate(x []complex128, by float64) {
	for k, v := range x {
		x[k] = complex(real(v)*by, -imag(v)*by)
	}
}
