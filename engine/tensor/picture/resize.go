package picture

import "math"

// filter is what a pixel of the result is made of: weight(x) of the pixel that
// is x pixels away, for |x| below support.
type filter struct {
	support float64
	weight  func(x float64) float64
}

// filters are those of Pillow but for nearest, which has no weights.
var filters = map[Filter]filter{
	Box: {0.5, func(x float64) float64 {
		if x > -0.5 && x <= 0.5 {
			return 1
		}
		return 0
	}},
	Bilinear: {1, func(x float64) float64 { return max(1-math.Abs(x), 0) }},
	Bicubic: {2, func(x float64) float64 {
		const a = -0.5 // Catmull-Rom
		switch x = math.Abs(x); {
		case x < 1:
			return ((a+2)*x-(a+3))*x*x + 1
		case x < 2:
			return (((x-5)*x+8)*x - 4) * a
		}
		return 0
	}},
	Lanczos: {3, func(x float64) float64 {
		if x < -3 || x >= 3 {
			return 0
		}
		return sinc(x) * sinc(x/3)
	}},
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// weightBits is the binary point of weights: 8 bits of a pixel, two for what
// exceeds one in between, and a sign are left of 32.
const weightBits = 32 - 8 - 2

// taps are the weights of a row of pixels: pixel i of the result is the sum of
// weights[i] times the pixels from first[i] on.
type taps struct {
	first   []int
	weights [][]int32
}

// newTaps reckons the weights that make n pixels of size. When it shrinks, the
// filter is widened with it, unless aliased.
func newTaps(f filter, size, n int, aliased bool) taps {
	scale := float64(size) / float64(n)
	widen := max(scale, 1)
	if aliased {
		widen = 1
	}
	support, narrow := f.support*widen, 1/widen
	t := taps{make([]int, n), make([][]int32, n)}
	var w []float64
	for i := range n {
		center := (float64(i) + 0.5) * scale
		first, last := max(int(center-support+0.5), 0), min(int(center+support+0.5), size)
		w = w[:0]
		sum := 0.0
		for x := first; x < last; x++ {
			w = append(w, f.weight((float64(x)-center+0.5)*narrow))
			sum += w[len(w)-1]
		}
		t.first[i], t.weights[i] = first, make([]int32, len(w))
		for k := range w {
			if sum != 0 {
				w[k] /= sum
			}
			t.weights[i][k] = int32(math.Round(w[k] * (1 << weightBits)))
		}
	}
	return t
}

// apply makes lines of pixels: pixel i of line l is at dst[l*dstLine+i*dstStep]
// and made of src[l*srcLine+x*srcStep].
func (t taps) apply(dst, src []uint8, lines, dstLine, dstStep, srcLine, srcStep int) {
	for l := range lines {
		for i, w := range t.weights {
			sum := int32(1) << (weightBits - 1)
			at := l*srcLine + t.first[i]*srcStep
			for _, k := range w {
				sum += k * int32(src[at])
				at += srcStep
			}
			dst[l*dstLine+i*dstStep] = uint8(min(max(sum>>weightBits, 0), 255))
		}
	}
}

// resize makes w x h pixels of c channels of those in src: first each row, then
// each column, rounded to 8 bits in between, as Pillow does.
func resize(src []uint8, c, srcW, srcH, w, h int, f Filter, aliased bool) []uint8 {
	if f == Nearest {
		return nearest(src, c, srcW, srcH, w, h)
	}
	if w != srcW {
		t := newTaps(filters[f], srcW, w, aliased)
		dst := make([]uint8, c*w*srcH)
		for y := range srcH {
			t.apply(dst[c*w*y:], src[c*srcW*y:], c, 1, c, 1, c)
		}
		src = dst
	}
	if h != srcH {
		t := newTaps(filters[f], srcH, h, aliased)
		dst := make([]uint8, c*w*h)
		t.apply(dst, src, c*w, 1, c*w, 1, c*w)
		src = dst
	}
	return src
}

// nearest takes the pixel in which the middle of the result's pixel lies.
func nearest(src []uint8, c, srcW, srcH, w, h int) []uint8 {
	middle := func(i, size, n int) int { return min(int((float64(i)+0.5)*float64(size)/float64(n)), size-1) }
	dst := make([]uint8, 0, c*w*h)
	for y := range h {
		row := src[c*srcW*middle(y, srcH, h):]
		for x := range w {
			at := c * middle(x, srcW, w)
			dst = append(dst, row[at:at+c]...)
		}
	}
	return dst
}
