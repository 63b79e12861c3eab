package ops

import (
	"fmt"
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/qconv"
)

// The element types of quantised values.
var (
	byteTypes      = []tensor.DType{tensor.Int8, tensor.Uint8}
	quantisedTypes = smallTypes
	scaleTypes     = []tensor.DType{tensor.Float32, tensor.Float16, tensor.BFloat16}

	// Those that are stored only: operators other than QuantizeLinear and
	// DequantizeLinear do not calculate with them.
	miniTypes   = []tensor.DType{tensor.Float8E4M3FN, tensor.Float8E4M3FNUZ, tensor.Float8E5M2, tensor.Float8E5M2FNUZ, tensor.Float4E2M1}
	narrowTypes = []tensor.DType{tensor.Int4, tensor.Uint4, tensor.Int2, tensor.Uint2}
	storedTypes = slices.Concat(quantisedTypes, narrowTypes, miniTypes)
)

// granularity is which elements of a tensor share a scale and a zero point:
// all, those with the same place along one dimension, or blocks along it.
type granularity struct {
	params int // how many scales there are
	inner  int // elements from one place along the dimension to the next; 0 if all share one scale
	length int // of the dimension
	block  int // of places that share scales, one for each of the inner elements; 0 if all elements of a place share one
}

// granularityOf returns how the scale and the zero point apply to a tensor of
// shape x.
func granularityOf(x tensor.Shape, scale, zero graph.Fact, at, block int) (granularity, error) {
	var g granularity
	one := scale.Shape.Elems() == 1 && zero.Shape.Elems() == 1 // ONNX Runtime's tools mix [] and [1]
	if !zero.Missing() && !zero.Shape.Equal(scale.Shape) && !one {
		return g, fmt.Errorf("zero point has shape %v, want %v like the scale", zero.Shape, scale.Shape)
	}
	if len(scale.Shape) <= 1 && scale.Shape.Elems() == 1 && block == 0 {
		g.params = 1
		return g, nil
	}
	at, err := axis(at, len(x))
	if err != nil {
		return g, err
	}
	g = granularity{params: scale.Shape.Elems(), inner: x[at+1:].Elems(), length: x[at], block: block}
	want := tensor.Shape{x[at]}
	if block > 0 {
		want = x.Clone()
		want[at] = ceil(x[at], block)
	}
	return g, checkShape("scale", scale, want...)
}

// walk calls f for the runs of elements from lo to hi that share a parameter.
func (g *granularity) walk(lo, hi int, f func(at, n, param int)) {
	for lo < hi {
		n, param := hi-lo, 0
		if g.inner > 0 {
			place, r := lo/g.inner, lo%g.inner
			n, param = g.inner-r, place%g.length
			if g.block > 0 {
				outer := place / g.length
				place %= g.length
				n, param = 1, (outer*ceil(g.length, g.block)+place/g.block)*g.inner+r
				if g.inner == 1 {
					n = min(g.length, (place/g.block+1)*g.block) - place
				}
			}
		}
		n = min(n, hi-lo)
		f(lo, n, param)
		lo += n
	}
}

// scaleAt returns an element of a scale.
func scaleAt(t *tensor.Tensor, i int) float32 {
	if t.DType == tensor.Float32 {
		return t.F32()[i]
	}
	if t.DType == tensor.Float8E8M0 {
		return widenE8M0(t.Raw[i])
	}
	return halfOf(t.DType).load(tensor.View[uint16](t)[i])
}

// widenE8M0 returns what a code of Float8E8M0 means.
var widenE8M0 = func() func(byte) float32 {
	values := tensor.Float8E8M0.MiniValues()
	return func(code byte) float32 { return values[code] }
}()

// zeroAt returns an element of a zero point: 0 if it is omitted.
func zeroAt(t *tensor.Tensor, i int) int32 {
	if t == nil {
		return 0
	}
	switch t.DType.Base() {
	case tensor.Int8:
		return int32(int8(t.Raw[i]))
	case tensor.Uint8:
		return int32(t.Raw[i])
	case tensor.Int16:
		return int32(tensor.View[int16](t)[i])
	case tensor.Uint16:
		return int32(tensor.View[uint16](t)[i])
	}
	return tensor.View[int32](t)[i]
}

// quantisedRange returns the smallest and the largest value of the type.
func quantisedRange(d tensor.DType) (lo, hi int32) {
	switch d {
	case tensor.Int8:
		return math.MinInt8, math.MaxInt8
	case tensor.Uint8:
		return 0, math.MaxUint8
	case tensor.Int16:
		return math.MinInt16, math.MaxInt16
	case tensor.Int4:
		return -8, 7
	case tensor.Uint4:
		return 0, 15
	case tensor.Int2:
		return -2, 1
	case tensor.Uint2:
		return 0, 3
	}
	return 0, math.MaxUint16
}

// quantum returns v, a number of steps, rounded to nearest with ties to even,
// plus the zero point, within lo and hi; a NaN becomes lo.
func quantum(v float32, zero, lo, hi int32) int32 {
	r := math.RoundToEven(float64(v))
	switch {
	case !(r > float64(lo-zero)):
		return lo
	case r > float64(hi-zero):
		return hi
	}
	return int32(r) + zero
}

// quantise is QuantizeLinear with one scale.
func quantise[T integer](dst []T, x []float32, scale float32, zero, lo, hi int32) {
	for i, v := range x {
		dst[i] = T(quantum(v/scale, zero, lo, hi))
	}
}

// quantiseTo is quantise to elements of dst from the element at on. Scratch is
// memory for as many int16s as x has elements.
func quantiseTo(dst *tensor.Tensor, at int, x []float32, scale float32, zero int32, scratch []int16) {
	lo, hi := quantisedRange(dst.DType)
	if dst.DType.Size() == 1 && len(x) >= qconv.Block && qconv.IsStep(scale) {
		q := qconv.Quantiser{Step: scale, Lo: int(lo - zero), Hi: int(hi - zero)}
		q.Quantise(scratch[:len(x)], x)
		qconv.Narrow(dst.Raw[at:][:len(x)], scratch[:len(x)], int(zero))
		return
	}
	switch dst.DType.Base() {
	case tensor.Int8:
		quantise(tensor.View[int8](dst)[at:], x, scale, zero, lo, hi)
	case tensor.Uint8:
		quantise(tensor.View[uint8](dst)[at:], x, scale, zero, lo, hi)
	case tensor.Int16:
		quantise(tensor.View[int16](dst)[at:], x, scale, zero, lo, hi)
	default:
		quantise(tensor.View[uint16](dst)[at:], x, scale, zero, lo, hi)
	}
}

// dequantise is DequantizeLinear with one scale.
func dequantise[T integer](dst []float32, x []T, scale float32, zero int32) {
	for i, v := range x[:len(dst)] {
		dst[i] = float32(int32(v)-zero) * scale
	}
}

// dequantiseFrom is dequantise of elements from the element at on. Scratch is
// memory for as many int16s as dst has elements.
func dequantiseFrom(dst []float32, x *tensor.Tensor, at int, scale float32, zero int32, scratch []int16) {
	if x.DType.Size() == 1 && len(dst) >= qconv.Block {
		qconv.Widen(scratch[:len(dst)], x.Raw[at:][:len(dst)], x.DType.Base() == tensor.Int8, int(zero))
		qconv.Dequantise(dst, scratch[:len(dst)], scale)
		return
	}
	switch x.DType.Base() {
	case tensor.Int8:
		dequantise(dst, tensor.View[int8](x)[at:], scale, zero)
	case tensor.Uint8:
		dequantise(dst, tensor.View[uint8](x)[at:], scale, zero)
	case tensor.Int16:
		dequantise(dst, tensor.View[int16](x)[at:], scale, zero)
	case tensor.Uint16:
		dequantise(dst, tensor.View[uint16](x)[at:], scale, zero)
	default:
		dequantise(dst, tensor.View[int32](x)[at:], scale, zero)
	}
}

// shifted16 writes n elements of x, which are bytes, from the element at on to
// dst, less the zero point.
func shifted16(dst []int16, x *tensor.Tensor, at int, zero int32) {
	src := x.Raw[at:][:len(dst)]
	if x.DType == tensor.Int8 {
		for i, v := range src {
			dst[i] = int16(int32(int8(v)) - zero)
		}
		return
	}
	for i, v := range src {
		dst[i] = int16(int32(v) - zero)
	}
}

// checkQuantised verifies that a value, its scale and its zero point go
// together: bytes, float32, and as many of both as there are channels, or one.
// A zero point that is omitted is 0.
func checkQuantised(what string, x, scale, zero graph.Fact, channels int) error {
	if err := checkType(what, x.DType, byteTypes...); err != nil {
		return err
	}
	if err := checkType("the scale of "+what, scale.DType, tensor.Float32); err != nil {
		return err
	}
	if !zero.Missing() && zero.DType != x.DType {
		return fmt.Errorf("the zero point of %s is %v, want %v like %s", what, zero.DType, x.DType, what)
	}
	for i, f := range []graph.Fact{scale, zero} {
		if n := f.Shape.Elems(); !f.Missing() && n != 1 && n != channels {
			return fmt.Errorf("%s of %s has shape %v, want 1 or %d elements", []string{"scale", "zero point"}[i], what, f.Shape, channels)
		}
	}
	return nil
}

// spread returns element i of n, or the only one.
func spread(i, n int) int {
	if n == 1 {
		return 0
	}
	return i
}

// zeroOf is zeroAt for the channel i of a zero point with one element or one for each.
func zeroOf(t *tensor.Tensor, i int) int32 {
	if t == nil {
		return 0
	}
	return zeroAt(t, spread(i, t.Shape.Elems()))
}

// scaleOf is scaleAt for the channel i of a scale with one element or one for each.
func scaleOf(t *tensor.Tensor, i int) float32 { return scaleAt(t, spread(i, t.Shape.Elems())) }
