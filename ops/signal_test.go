package ops

import (
	"fmt"
	"math"
	"math/cmplx"
	"testing"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// transformed is the transform of x by its definition.
func transformed(x []complex128, inverse bool) []complex128 {
	n := len(x)
	y := make([]complex128, n)
	for k := range y {
		for j, v := range x {
			turn := -2 * math.Pi * float64(j*k%n) / float64(n)
			if inverse {
				turn = -turn
			}
			y[k] += v * cmplx.Rect(1, turn)
		}
		if inverse {
			y[k] /= complex(float64(n), 0)
		}
	}
	return y
}

func TestFourierTransformOfEveryLength(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 31, 64, 100, 257} {
		f := newFourier(n)
		for _, inverse := range []bool{false, true} {
			line, work := f.split(tensor.Alloc(f.scratch()))
			for i, v := range tensortest.Random(uint64(n), n, 2).F32() {
				if i%2 == 0 {
					line[i/2] = complex(float64(v), 0)
				} else {
					line[i/2] += complex(0, float64(v))
				}
			}
			want := transformed(append([]complex128{}, line...), inverse)
			f.run(line, work, inverse)
			for k := range want {
				if cmplx.Abs(line[k]-want[k]) > 1e-12*float64(n) {
					t.Fatalf("length %d, inverse %v: element %d is %v, want %v", n, inverse, k, line[k], want[k])
				}
			}
		}
	}
}

// A half transform and its inverse give the signal back, cut or filled up, along
// any axis, and a whole one gives what the definition says.
func TestDFT(t *testing.T) {
	x := tensortest.Random(1, 2, 6, 3, 1)
	for version, axis := range map[int][]int{17: {1, -2}, 20: {1, 2, -3}} {
		for _, a := range axis {
			for _, n := range []int{0, 4, 9} {
				attrs, in, back := []any{}, []any{x}, []any{nil}
				length := x.Shape[(a+4)%4]
				if n > 0 {
					length = n
				}
				in, back = append(in, known{tensor.Scalar(int64(length))}), append(back, known{tensor.Scalar(int64(length))})
				if version == 17 {
					attrs = append(attrs, "axis", a)
				} else {
					in, back = append(in, known{tensor.Scalar(int64(a))}), append(back, known{tensor.Scalar(int64(a))})
				}
				name := fmt.Sprintf("opset %d, axis %d, length %d", version, a, length)
				half := apply(t, build(t, "DFT", version, append(attrs, "onesided", 1)...), in...)[0]
				if half.Shape[(a+4)%4] != length/2+1 {
					t.Fatalf("%s: half of a transform has shape %v", name, half.Shape)
				}
				back[0] = half
				again := apply(t, build(t, "DFT", version, append(attrs, "onesided", 1, "inverse", 1)...), back...)[0]
				whole := apply(t, build(t, "DFT", version, attrs...), in...)[0]
				at := (a + 4) % 4
				for _, c := range coordinates(whole.Shape[:3]) {
					line := make([]complex128, length)
					for k := range min(length, x.Shape[at]) {
						p := append([]int{}, c...)
						p[at] = k
						line[k] = complex(float64(x.F32()[(p[0]*6+p[1])*3+p[2]]), 0)
					}
					place := (c[0]*whole.Shape[1]+c[1])*whole.Shape[2] + c[2]
					if got := float64(again.F32()[place]); math.Abs(got-real(line[c[at]])) > 1e-6 {
						t.Fatalf("%s: the inverse gives %v at %v, want %v", name, got, c, line[c[at]])
					}
					want := transformed(line, false)[c[at]]
					got := complex(float64(whole.F32()[2*place]), float64(whole.F32()[2*place+1]))
					if cmplx.Abs(got-want) > 1e-5 {
						t.Fatalf("%s: got %v at %v, want %v", name, got, c, want)
					}
				}
			}
		}
	}
}

func TestSTFTIsTransformsOfPieces(t *testing.T) {
	const length, n, step = 20, 6, 3
	x, window := tensortest.Random(2, 2, length, 1), tensortest.Random(3, n)
	for _, half := range []int{0, 1} {
		op := build(t, "STFT", 17, "onesided", half)
		y := apply(t, op, x, known{tensor.Scalar[int64](step)}, window, known{tensor.Scalar[int64](n)})[0]
		bins := n
		if half == 1 {
			bins = n/2 + 1
		}
		if want := (tensor.Shape{2, 5, bins, 2}); !y.Shape.Equal(want) {
			t.Fatalf("got %v, want %v", y.Shape, want)
		}
		for _, c := range coordinates(y.Shape[:3]) {
			piece := make([]complex128, n)
			for k := range piece {
				piece[k] = complex(float64(x.F32()[c[0]*length+c[1]*step+k])*float64(window.F32()[k]), 0)
			}
			want, at := transformed(piece, false)[c[2]], ((c[0]*5+c[1])*bins+c[2])*2
			if got := complex(float64(y.F32()[at]), float64(y.F32()[at+1])); cmplx.Abs(got-want) > 1e-5 {
				t.Fatalf("half %d: got %v at %v, want %v", half, got, c, want)
			}
		}
	}
}

func TestWindows(t *testing.T) {
	for name, want := range map[string][2][]float32{ // of length 4, periodic and symmetric, as numpy.hanning and others give
		"HannWindow":     {{0, 0.5, 1, 0.5}, {0, 0.75, 0.75, 0}},
		"HammingWindow":  {{0.08695652, 0.54347826, 1, 0.54347826}, {0.08695652, 0.77173913, 0.77173913, 0.08695652}},
		"BlackmanWindow": {{0, 0.34, 1, 0.34}, {0, 0.63, 0.63, 0}},
	} {
		for i, periodic := range []int{1, 0} {
			y := apply(t, build(t, name, 17, "periodic", periodic), known{tensor.Scalar[int64](4)})[0]
			if err := tensortest.Diff(y, tensor.Of(want[i], 4), 1e-6, 1e-7); err != nil {
				t.Errorf("%s, periodic %d: %v", name, periodic, err)
			}
		}
	}
	if _, err := build(t, "HannWindow", 17).Infer(factsOf([]any{fixed{-1}})); err == nil {
		t.Error("a window of negative length was accepted")
	}
}

// Each band of the mel scale rises from zero to one and falls again.
func TestMelWeightsAreTriangles(t *testing.T) {
	op := build(t, "MelWeightMatrix", 17)
	y := apply(t, op, known{tensor.Scalar[int64](8)}, known{tensor.Scalar[int64](64)}, known{tensor.Scalar[int64](8192)}, known{tensor.Scalar[float32](0)}, known{tensor.Scalar[float32](4096)})[0]
	if !y.Shape.Equal(tensor.Shape{33, 8}) {
		t.Fatalf("got %v, want [33 8]", y.Shape)
	}
	for band := range 8 {
		top, falls, last := float32(0), false, float32(0)
		for row := range 33 {
			v := y.F32()[row*8+band]
			if v > last && falls && last > 0 {
				t.Errorf("band %d rises again at %d", band, row)
			}
			falls = falls || v < last
			top, last = max(top, v), v
		}
		if top != 1 {
			t.Errorf("band %d is at most %v, want 1", band, top)
		}
	}
	beyond := []any{known{tensor.Scalar[int64](8)}, known{tensor.Scalar[int64](64)}, known{tensor.Scalar[int64](1)}, known{tensor.Scalar[float32](0)}, known{tensor.Scalar[float32](4096)}}
	if _, err := op.Infer(factsOf(beyond)); err == nil {
		t.Error("bands beyond the spectrum were accepted")
	}
}

// Sample moments stray from the distribution's by about 1/sqrt(n).
func TestRandomNumbersHaveTheirDistribution(t *testing.T) {
	const n = 1 << 16
	for _, c := range []struct {
		name           string
		attrs          []any
		mean, variance float64
	}{
		{"RandomUniform", []any{"low", float32(-1), "high", float32(3)}, 1, 16.0 / 12},
		{"RandomNormal", []any{"mean", float32(2), "scale", float32(3), "seed", float32(7)}, 2, 9},
	} {
		y := apply(t, build(t, c.name, 1, append(c.attrs, "shape", []int{n})...))[0]
		mean, variance := 0.0, 0.0
		for _, v := range y.F32() {
			mean += float64(v) / n
		}
		for _, v := range y.F32() {
			variance += (float64(v) - mean) * (float64(v) - mean) / n
		}
		if math.Abs(mean-c.mean) > 0.05 || math.Abs(variance/c.variance-1) > 0.03 {
			t.Errorf("%s: mean %v and variance %v, want %v and %v", c.name, mean, variance, c.mean, c.variance)
		}
	}
	x := tensor.New(tensor.Float32, 1, n)
	for i := range x.F32() {
		x.F32()[i] = 0.3
	}
	ones := 0
	for _, v := range tensor.View[bool](apply(t, build(t, "Bernoulli", 15, "dtype", 9), x)[0]) {
		if v {
			ones++
		}
	}
	if got := float64(ones) / n; math.Abs(got-0.3) > 0.01 {
		t.Errorf("Bernoulli: %v ones, want 0.3", got)
	}
	odds := tensor.Of([]float32{0, float32(math.Log(3))}, 1, 2)
	second := int32(0)
	for _, v := range tensor.View[int32](apply(t, build(t, "Multinomial", 7, "sample_size", n), odds)[0]) {
		second += v
	}
	if got := float64(second) / n; math.Abs(got-0.75) > 0.01 {
		t.Errorf("Multinomial: %v of the second class, want 0.75", got)
	}
}
