package ops

import (
	"math"
	"testing"

	"scission/engine/tensor"
)

// Ties go to the even number, and what is beyond the type to its end.
func TestQuantizeLinearRoundsHalfToEvenAndSaturates(t *testing.T) {
	x := tensor.Of([]float32{-1e30, -3, -1, 0, 1, 3, 5, 507, 509, 511, 1e30, float32(math.Inf(1)), float32(math.NaN())}, 13)
	scale := tensor.Scalar(float32(2))
	for _, c := range []struct {
		zero *tensor.Tensor
		want []float64
	}{
		{tensor.Scalar(uint8(1)), []float64{0, 0, 1, 1, 1, 3, 3, 255, 255, 255, 255, 255, 0}},
		{tensor.Scalar(int8(-1)), []float64{-128, -3, -1, -1, -1, 1, 1, 127, 127, 127, 127, 127, -128}},
		{tensor.Scalar(int16(0)), []float64{-32768, -2, 0, 0, 0, 2, 2, 254, 254, 256, 32767, 32767, -32768}},
		{tensor.Scalar(uint16(7)), []float64{0, 5, 7, 7, 7, 9, 9, 261, 261, 263, 65535, 65535, 0}},
	} {
		y := apply(t, build(t, "QuantizeLinear", 21), x, scale, c.zero)[0]
		for i, want := range c.want {
			if got := number64(y, i); got != want {
				t.Errorf("%v: quantised %v to %v, want %v", c.zero.DType, x.F32()[i], got, want)
			}
		}
	}
}

// wholeRange returns a tensor of random values of the whole type.
func wholeRange(seed uint64, d tensor.DType, shape ...int) *tensor.Tensor {
	r, t := source(seed), tensor.New(d, shape...)
	for i := range t.Raw {
		t.Raw[i] = byte(r.IntN(256))
	}
	return t
}

// halfEven rounds to nearest, ties to even, and saturates.
func halfEven(v float64, zero float64, d tensor.DType) float64 {
	f := math.Floor(v)
	switch d := v - f; {
	case d > 0.5, d == 0.5 && math.Mod(f, 2) != 0:
		f++
	}
	lo, hi := 0.0, 255.0
	if d == tensor.Int8 {
		lo, hi = -128, 127
	}
	return math.Max(lo, math.Min(hi, f+zero))
}

// Every scale of a blocked QuantizeLinear, and of one along an axis, applies to
// its own elements, and DequantizeLinear takes them back.
func TestScalesApplyToTheirElements(t *testing.T) {
	x := reals(source(3), 3, 5, 4)
	for i := range x.F32() {
		x.F32()[i] *= 100
	}
	for _, c := range []struct {
		axis, block int
		shape       []int
		param       func(c []int) []int
	}{
		{-2, 0, []int{5}, func(c []int) []int { return c[1:2] }},
		{2, 0, []int{4}, func(c []int) []int { return c[2:] }},
		{1, 2, []int{3, 3, 4}, func(c []int) []int { return []int{c[0], c[1] / 2, c[2]} }},
		{-1, 3, []int{3, 5, 2}, func(c []int) []int { return []int{c[0], c[1], c[2] / 3} }},
	} {
		scale, zero := tensor.New(tensor.Float32, c.shape...), wholeRange(5, tensor.Int8, c.shape...)
		for i := range scale.F32() {
			scale.F32()[i] = 0.25 + float32(i)/16
		}
		attrs := []any{"axis", c.axis}
		if c.block > 0 {
			attrs = append(attrs, "block_size", c.block)
		}
		q := apply(t, build(t, "QuantizeLinear", 21, attrs...), x, scale, zero)[0]
		y := apply(t, build(t, "DequantizeLinear", 21, attrs...), q, scale, zero)[0]
		for i, at := range coordinates(x.Shape) {
			p := index(scale.Shape, c.param(at)...)
			s, z := scale.F32()[p], float64(int8(zero.Raw[p]))
			want := halfEven(float64(x.F32()[i]/s), z, tensor.Int8)
			if got := float64(int8(q.Raw[i])); got != want {
				t.Fatalf("axis %d, block %d: element %v is %v, want %v", c.axis, c.block, at, got, want)
			}
			if got, want := y.F32()[i], float32(want-z)*s; got != want {
				t.Fatalf("axis %d, block %d: element %v comes back as %v, want %v", c.axis, c.block, at, got, want)
			}
		}
	}
}

// ConvInteger sums exactly, and QLinearConv rounds that sum once.
func TestIntegerConvolutionsEqualTheDefinition(t *testing.T) {
	s := slow{kernel: []int{3, 2}, stride: []int{2, 1}, dilation: []int{1, 2}, before: []int{1, 2}, behind: []int{1, 1}}
	const groups, inC, outC = 2, 3, 4
	xs, ys := tensor.Shape{2, groups * inC, 7, 6}, tensor.Shape{2, groups * outC, 4, 7}
	attrs := []any{"strides", []int{2, 1}, "dilations", []int{1, 2}, "pads", []int{1, 2, 1, 1}, "group", groups}
	seed := uint64(0)
	for _, dx := range byteTypes {
		for _, dw := range byteTypes {
			seed += 10
			x, w := wholeRange(seed, dx, xs...), wholeRange(seed+1, dw, groups*outC, inC, 3, 2)
			xz, wz := wholeRange(seed+2, dx), wholeRange(seed+3, dw, groups*outC)
			bias := tensor.New(tensor.Int32, groups*outC)
			ws := tensor.New(tensor.Float32, groups*outC)
			for i := range ws.F32() {
				ws.F32()[i], tensor.View[int32](bias)[i] = 1/float32(i+3), int32(1000*i-3000)
			}
			const sx, sy = float32(0.5), float32(40)
			yz := wholeRange(seed+4, dw)
			sums := apply(t, build(t, "ConvInteger", 10, attrs...), x, w, xz, wz)[0]
			got := apply(t, build(t, "QLinearConv", 10, attrs...), x, tensor.Scalar(sx), xz, w, ws, wz, tensor.Scalar(sy), yz, bias)[0]
			if !sums.Shape.Equal(ys) || !got.Shape.Equal(ys) {
				t.Fatalf("results have shapes %v and %v, want %v", sums.Shape, got.Shape, ys)
			}
			for i, o := range coordinates(ys) {
				want := 0.0
				first := o[1] / outC * inC
				for c := range inC {
					s.each(xs[2:], o[2:], func(k, at []int, inside, _ bool) {
						if inside {
							a := number64(x, index(xs, o[0], first+c, at[0], at[1])) - number64(xz, 0)
							want += a * (number64(w, index(w.Shape, o[1], c, k[0], k[1])) - number64(wz, o[1]))
						}
					})
				}
				if got := float64(tensor.View[int32](sums)[i]); got != want {
					t.Fatalf("%v by %v: sum %v is %v, want %v", dx, dw, o, got, want)
				}
				scaled := float32(want+number64(bias, o[1])) * (sx * ws.F32()[o[1]] / sy)
				if want, got := halfEven(float64(scaled), number64(yz, 0), dw), number64(got, i); got != want {
					t.Fatalf("%v by %v: element %v is %v, want %v", dx, dw, o, got, want)
				}
			}
		}
	}
}

// MatMulInteger sums exactly and QLinearMatMul rounds that sum once, with zero
// points and scales for rows and columns, and operands that broadcast.
func TestIntegerProductsEqualTheDefinition(t *testing.T) {
	const m, k, n, batch = 3, 5, 4, 2
	seed := uint64(100)
	for _, dx := range byteTypes {
		for _, dw := range byteTypes {
			seed += 10
			a, b := wholeRange(seed, dx, batch, m, k), wholeRange(seed+1, dw, k, n)
			az, bz := wholeRange(seed+2, dx, batch, m, 1), wholeRange(seed+3, dw, n)
			as, bs := tensor.New(tensor.Float32, m), tensor.New(tensor.Float32, n)
			for i := range as.F32() {
				as.F32()[i] = 1 / float32(i+2)
			}
			for i := range bs.F32() {
				bs.F32()[i] = 1 / float32(2*i+3)
			}
			const sy = float32(30)
			yz := wholeRange(seed+4, dx)
			sums := apply(t, build(t, "MatMulInteger", 10), a, b, az, bz)[0]
			got := apply(t, build(t, "QLinearMatMul", 10), a, as, az, b, bs, bz, tensor.Scalar(sy), yz)[0]
			for i, o := range coordinates(tensor.Shape{batch, m, n}) {
				want := 0.0
				for j := range k {
					x := number64(a, index(a.Shape, o[0], o[1], j)) - number64(az, o[0]*m+o[1])
					want += x * (number64(b, index(b.Shape, j, o[2])) - number64(bz, o[2]))
				}
				if got := float64(tensor.View[int32](sums)[i]); got != want {
					t.Fatalf("%v by %v: sum %v is %v, want %v", dx, dw, o, got, want)
				}
				scaled := float32(want) * (as.F32()[o[1]] * bs.F32()[o[2]] / sy)
				if want, got := halfEven(float64(scaled), number64(yz, 0), dx), number64(got, i); got != want {
					t.Fatalf("%v by %v: element %v is %v, want %v", dx, dw, o, got, want)
				}
			}
		}
	}
}

// The range of DynamicQuantizeLinear always has zero in it, exactly.
func TestDynamicQuantizeLinearCoversItsInput(t *testing.T) {
	for _, c := range []struct {
		x     []float32
		scale float32
		zero  uint8
		y     []uint8
	}{
		{[]float32{0, 2, -3, -2.5, 1.34, 0.5}, 5.0 / 255, 153, []uint8{153, 255, 0, 26, 221, 179}},
		{[]float32{1, 2, 5.1}, 5.1 / 255, 0, []uint8{50, 100, 255}},
		{[]float32{-1, -2.55}, 2.55 / 255, 255, []uint8{155, 0}},
		{[]float32{0, 0}, 1, 0, []uint8{0, 0}},
		{nil, 1, 0, nil},
	} {
		out := apply(t, build(t, "DynamicQuantizeLinear", 11), tensor.Of(c.x, len(c.x)))
		if s, z := out[1].F32()[0], out[2].Raw[0]; s != c.scale || z != c.zero || string(out[0].Raw) != string(c.y) {
			t.Errorf("%v: got %v, scale %v, zero %v; want %v, %v, %v", c.x, out[0].Raw, s, z, c.y, c.scale, c.zero)
		}
	}
}
