package ops

import (
	"fmt"
	"math"
	"math/bits"
	"math/cmplx"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	registerWindow("HannWindow", 0.5, -0.5, 0)
	registerWindow("HammingWindow", 25.0/46, -21.0/46, 0)
	registerWindow("BlackmanWindow", 0.42, -0.5, 0.08)
	register("MelWeightMatrix", 17, func(a *Attrs) graph.Op { return melWeights{outputType(a)} })
	register("DFT", 17, func(a *Attrs) graph.Op {
		return dft{inverse: a.Int("inverse", 0) != 0, half: a.Int("onesided", 0) != 0, axis: a.Int("axis", 1), inputs: 2}
	})
	register("DFT", 20, func(a *Attrs) graph.Op {
		const last = -2 // before the dimension of real and imaginary parts
		return dft{inverse: a.Int("inverse", 0) != 0, half: a.Int("onesided", 0) != 0, axis: last, inputs: 3}
	})
	register("STFT", 17, func(a *Attrs) graph.Op { return stft{a.Int("onesided", 1) != 0} })
}

// outputType reads the attribute with the type of a result.
func outputType(a *Attrs) tensor.DType {
	d := tensor.Float32
	if a.Has("output_datatype") {
		d = elementType(a, "output_datatype")
	}
	if d == tensor.Bool || !slices.Contains(numericTypes, d) {
		a.Fail("%w type %v in attribute %q", ErrUnsupported, d, "output_datatype")
	}
	return d
}

// windowFunction is the function a + b*cos(t) + c*cos(2t), where t goes from 0 to 2*pi
// in size steps, or in size-1 if it is not periodic.
//
//	size: one i64 or i32, a constant
//	y: [size] of a numeric type
//
// Source: ONNX HannWindow-17, HammingWindow-17, BlackmanWindow-17.
type windowFunction struct {
	name     string
	factors  [3]float64
	periodic bool
	dtype    tensor.DType
}

func registerWindow(name string, factors ...float64) {
	register(name, 17, func(a *Attrs) graph.Op {
		return windowFunction{name, [3]float64(factors), a.Int("periodic", 1) != 0, outputType(a)}
	})
}

func (w windowFunction) String() string { return w.name }

func (w windowFunction) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	size, err := oneInt(in[0], "size")
	if err != nil {
		return nil, err
	}
	t, err := tensor.CheckType(w.dtype, tensor.Shape{size}, graph.DefaultLimit)
	return []graph.Fact{{Type: t}}, err
}

// FLOPs counts the cosines.
func (windowFunction) FLOPs(_, out []graph.Fact) int64 {
	return flops(2*mathWork, out[0].Shape.Elems())
}

func (w windowFunction) Compile(_, out []graph.Fact) (graph.Kernel, error) {
	steps := out[0].Shape[0]
	if !w.periodic {
		steps--
	}
	return filled(out[0], 2*mathTime, func(i int) float64 {
		if steps == 0 {
			return 1
		}
		t := 2 * math.Pi * float64(i) / float64(steps)
		return w.factors[0] + float64(w.factors[1]*math.Cos(t)) + float64(w.factors[2]*math.Cos(2*t))
	}), nil
}

// filled is the kernel that sets each element i of the result to f(i), which
// takes about ns nanoseconds.
func filled(out graph.Fact, ns float64, f func(i int) float64) graph.Kernel {
	store := floatTo(out.DType)
	return perElement("generic go", out, ns, func(_, out []*tensor.Tensor, lo, hi int) error {
		for i := lo; i < hi; i++ {
			store(out[0].Raw, i, f(i))
		}
		return nil
	})
}

// floatTo returns what stores a number as element i of elements of type d:
// integers drop the fraction.
func floatTo(d tensor.DType) func(raw []byte, i int, v float64) {
	switch d {
	case tensor.Float32:
		return func(raw []byte, i int, v float64) { tensor.Cast[float32](raw)[i] = float32(v) }
	case tensor.Float64:
		return func(raw []byte, i int, v float64) { tensor.Cast[float64](raw)[i] = v }
	case tensor.Int8, tensor.Uint8, tensor.Bool:
		return func(raw []byte, i int, v float64) { raw[i] = byte(toInt32(v)) }
	case tensor.Int16, tensor.Uint16:
		return func(raw []byte, i int, v float64) { tensor.Cast[uint16](raw)[i] = uint16(toInt32(v)) }
	case tensor.Int32, tensor.Uint32:
		return func(raw []byte, i int, v float64) { tensor.Cast[uint32](raw)[i] = uint32(toInt64(v)) }
	case tensor.Int64:
		return func(raw []byte, i int, v float64) { tensor.Cast[int64](raw)[i] = toInt64(v) }
	case tensor.Uint64:
		return func(raw []byte, i int, v float64) { tensor.Cast[uint64](raw)[i] = toUint64(v) }
	}
	h := halfOf(d)
	return func(raw []byte, i int, v float64) { tensor.Cast[uint16](raw)[i] = h.store(toOdd(v)) }
}

// oneInt returns the value of an input that is one integer, a constant.
func oneInt(f graph.Fact, name string) (int, error) {
	list, err := integers(f, name)
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("%s is %v, want one integer", name, f.Type)
	}
	if err != nil {
		return 0, err
	}
	return list[0], nil
}

// melWeights is the matrix that makes a mel spectrum of one of linear
// frequencies: triangles over the frequencies, which have the same distance on the
// mel scale, 2595*log10(1 + f/700).
//
//	bands, length of the Fourier transform, sample rate: one i64 or i32 each
//	lower, upper edge: one f32, f64, f16 or bf16 each, Hz
//	y: [length/2 + 1, bands] of a numeric type
//
// All inputs are constants.
//
// Source: ONNX MelWeightMatrix-17.
type melWeights struct{ dtype tensor.DType }

func (melWeights) String() string { return "MelWeightMatrix" }

// points returns the shape of the result and the rows at which the triangles
// begin: triangle i begins at point i, is highest at point i+1 and ends before
// point i+2.
func (melWeights) points(in []graph.Fact) (tensor.Shape, []int, error) {
	if err := checkInputs(in, 5, 5); err != nil {
		return nil, nil, err
	}
	var n [3]int
	var edges [2]float64
	for i, name := range []string{"num_mel_bins", "dft_length", "sample_rate"} {
		var err error
		if n[i], err = oneInt(in[i], name); err != nil {
			return nil, nil, err
		}
		if n[i] < 1 || n[i] > maxTransform {
			return nil, nil, fmt.Errorf("%s is %d, want 1 to %d", name, n[i], maxTransform)
		}
	}
	for i, f := range in[3:] {
		if err := checkType("the edge", f.DType, realTypes...); err != nil {
			return nil, nil, err
		}
		if f.Shape.Elems() != 1 {
			return nil, nil, fmt.Errorf("the edge is %v, want one number", f.Type)
		}
		if f.Const == nil {
			return nil, nil, late("the edge")
		}
		edges[i] = floatAt(f.DType)(f.Const.Raw, 0)
	}
	mel := func(f float64) float64 { return 2595 * math.Log1p(f/700) / math.Ln10 }
	low, high := mel(edges[0]), mel(edges[1])
	shape := tensor.Shape{n[1]/2 + 1, n[0]}
	points := make([]int, n[0]+2)
	for i := range points {
		hertz := 700 * math.Expm1((low+float64(i)*(high-low)/float64(len(points)))/2595*math.Ln10)
		row := math.Floor(float64(n[1]+1) * hertz / float64(n[2]))
		if !(row >= 0 && row <= float64(shape[0])) || i > 0 && int(row) < points[i-1] {
			return nil, nil, fmt.Errorf("band %d of %v to %v Hz lies outside of the %d frequencies", i, edges[0], edges[1], shape[0])
		}
		points[i] = int(row)
	}
	return shape, points, nil
}

func (m melWeights) Infer(in []graph.Fact) ([]graph.Fact, error) {
	shape, _, err := m.points(in)
	return []graph.Fact{{Type: tensor.Type{DType: m.dtype, Shape: shape}}}, err
}

func (m melWeights) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	shape, points, err := m.points(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	rows, bands := shape[0], shape[1]
	return filled(out[0], scalarTime, func(i int) float64 {
		row, band := i/bands, i%bands
		from, top, to := points[band], points[band+1], points[band+2]
		switch {
		case row >= rows || row < from || row > top && row >= to:
			return 0
		case row == top:
			return 1
		case row < top:
			return float64(row-from) / float64(top-from)
		}
		return float64(to-row) / float64(to-top)
	}), nil
}

// dft is the discrete Fourier transform of x along an axis, cut or filled up
// with zeros to a length n. The inverse one is divided by n.
//
//	x: floating point, [..., 1] real or [..., 2] complex
//	length: one i64 or i32, a constant, optional: n
//	axis: the same, since opset 20; before it is an attribute
//	y: [..., 2]
//
// A half transform gives the first n/2+1 elements along the axis of that of a
// real x, and its inverse [..., 1] from such elements, of which it takes n to be
// 2(m-1) for m of them. It is computed in float64.
//
// Source: ONNX DFT-17, -20.
type dft struct {
	inverse, half bool
	axis, inputs  int
}

func (dft) String() string { return "DFT" }

// plan returns the axis, the length of the transform and the result's type.
func (d dft) plan(in []graph.Fact) (at, n int, t tensor.Type, err error) {
	if err := checkInputs(in, 1, d.inputs); err != nil {
		return 0, 0, t, err
	}
	x := in[0]
	if err := checkType("x", x.DType, floatTypes...); err != nil {
		return 0, 0, t, err
	}
	r := len(x.Shape)
	if r < 2 || x.Shape[r-1] != 1 && x.Shape[r-1] != 2 || d.half && !d.inverse && x.Shape[r-1] != 1 {
		return 0, 0, t, fmt.Errorf("x has shape %v, want [... 1] or [... 2], the first one for half of a transform", x.Shape)
	}
	at = d.axis
	if f := input(in, 2); !f.Missing() {
		if at, err = oneInt(f, "axis"); err != nil {
			return 0, 0, t, err
		}
	}
	if at, err = axis(at, r); err != nil {
		return 0, 0, t, err
	}
	if at == r-1 {
		return 0, 0, t, fmt.Errorf("axis is %d, which is that of real and imaginary parts", at)
	}
	n = x.Shape[at]
	if d.half && d.inverse {
		n = 2 * (n - 1)
	}
	if f := input(in, 1); !f.Missing() {
		if n, err = oneInt(f, "length"); err != nil {
			return 0, 0, t, err
		}
	}
	if n < 1 || n > maxTransform {
		return 0, 0, t, fmt.Errorf("%w length %d, want 1 to %d", ErrUnsupported, n, maxTransform)
	}
	shape := x.Shape.Clone()
	shape[at], shape[r-1] = n, 2
	switch {
	case d.half && d.inverse:
		shape[r-1] = 1
	case d.half:
		shape[at] = n/2 + 1
	}
	return at, n, tensor.Type{DType: x.DType, Shape: shape}, nil
}

func (d dft) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if h := halfType(in); h.Valid() {
		return inferHalf(d, h, in)
	}
	_, _, t, err := d.plan(in)
	return []graph.Fact{{Type: t}}, err
}

func (d dft) FLOPs(in, out []graph.Fact) int64 { return transformWork(out[0].Shape.Elems()) }

// transformWork is about the work of Fourier transforms with so many results.
func transformWork(n int) int64 { return flops(2*mathWork, bits.Len(maxTransform), n) }

func (d dft) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if h := halfType(in); h.Valid() {
		return compileHalf(d, h, in, out)
	}
	at, n, t, err := d.plan(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	x, y, f := in[0].Shape, t.Shape, newFourier(n)
	parts, made, last := x[len(x)-1], y[len(y)-1], len(x)-1
	inner := x[at+1 : last].Elems()
	lines := y[:at].Elems() * inner
	count := chunks(lines, float64(n)*mathTime)
	return graph.Kernel{Info: "fft", Scratch: f.scratch(), Steps: []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		load, store := floatAt(t.DType), floatTo(t.DType)
		line, work := f.split(e.Scratch)
		lo, hi := span(lines, count, i, 1)
		for l := lo; l < hi; l++ {
			from, to := l/inner*x[at]*inner+l%inner, l/inner*y[at]*inner+l%inner
			clear(line)
			for k := range min(n, x[at]) {
				p := (from + k*inner) * parts
				im := 0.0
				if parts == 2 {
					im = load(in[0].Raw, p+1)
				}
				line[k] = complex(load(in[0].Raw, p), im)
			}
			if d.half && d.inverse {
				for k := n/2 + 1; k < n; k++ {
					line[k] = cmplx.Conj(line[n-k])
				}
			}
			f.run(line, work, d.inverse)
			for k := range y[at] {
				p := (to + k*inner) * made
				store(out[0].Raw, p, real(line[k]))
				if made == 2 {
					store(out[0].Raw, p+1, imag(line[k]))
				}
			}
		}
		return nil
	}}}}, nil
}

// stft is the Fourier transforms of pieces of a signal, each times a window.
//
//	x: [N, length, 1 or 2] floating point, real or complex
//	step: one i64 or i32, a constant: from a piece to the next
//	window: [n] of x's type, optional, ones if omitted
//	piece: one i64 or i32, a constant, optional: the length n of a piece, by
//	       default that of the window, or of x
//	y: [N, pieces, n, 2] of x's type; with half, the default, n/2+1 instead of n
//
// Source: ONNX STFT-17.
type stft struct{ half bool }

func (stft) String() string { return "STFT" }

func (s stft) plan(in []graph.Fact) (step, n int, t tensor.Type, err error) {
	if err := checkInputs(in, 2, 4); err != nil {
		return 0, 0, t, err
	}
	x, window := in[0], input(in, 2)
	if err := checkType("x", x.DType, floatTypes...); err != nil {
		return 0, 0, t, err
	}
	if len(x.Shape) != 3 || x.Shape[2] != 1 && (x.Shape[2] != 2 || s.half) {
		return 0, 0, t, fmt.Errorf("x has shape %v, want [N length 1], or [N length 2] for whole transforms", x.Shape)
	}
	if step, err = oneInt(in[1], "step"); err != nil {
		return 0, 0, t, err
	}
	n = x.Shape[1]
	if !window.Missing() {
		if window.DType != x.DType || len(window.Shape) != 1 {
			return 0, 0, t, fmt.Errorf("window is %v, want a list of %v", window.Type, x.DType)
		}
		n = window.Shape[0]
	}
	if f := input(in, 3); !f.Missing() {
		if n, err = oneInt(f, "the length of a piece"); err != nil {
			return 0, 0, t, err
		}
		if !window.Missing() && n != window.Shape[0] {
			return 0, 0, t, fmt.Errorf("the window has %d elements, want %d", window.Shape[0], n)
		}
	}
	if step < 1 || n < 1 || n > min(x.Shape[1], maxTransform) {
		return 0, 0, t, fmt.Errorf("pieces of %d elements every %d of %d, limit is %d", n, step, x.Shape[1], maxTransform)
	}
	bins := n
	if s.half {
		bins = n/2 + 1
	}
	return step, n, tensor.Type{DType: x.DType, Shape: tensor.Shape{x.Shape[0], (x.Shape[1]-n)/step + 1, bins, 2}}, nil
}

func (s stft) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if h := halfType(in); h.Valid() {
		return inferHalf(s, h, in)
	}
	_, _, t, err := s.plan(in)
	return []graph.Fact{{Type: t}}, err
}

func (s stft) FLOPs(_, out []graph.Fact) int64 { return transformWork(out[0].Shape.Elems()) }

func (s stft) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if h := halfType(in); h.Valid() {
		return compileHalf(s, h, in, out)
	}
	step, n, t, err := s.plan(in)
	if err != nil {
		return graph.Kernel{}, err
	}
	length, parts, f := in[0].Shape[1], in[0].Shape[2], newFourier(n)
	perSignal, bins := t.Shape[1], t.Shape[2]
	pieces := t.Shape[0] * perSignal
	count := chunks(pieces, float64(n)*mathTime)
	return graph.Kernel{Info: "fft", Scratch: f.scratch(), Steps: []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		load, store := floatAt(t.DType), floatTo(t.DType)
		line, work := f.split(e.Scratch)
		lo, hi := span(pieces, count, i, 1)
		for p := lo; p < hi; p++ {
			from := p/perSignal*length + p%perSignal*step
			for k := range line {
				weight, im := 1.0, 0.0
				if w := operand(in, 2); w != nil {
					weight = load(w.Raw, k)
				}
				if parts == 2 {
					im = load(in[0].Raw, (from+k)*parts+1)
				}
				line[k] = complex(load(in[0].Raw, (from+k)*parts)*weight, im*weight)
			}
			f.run(line, work, false)
			for k := range bins {
				store(out[0].Raw, (p*bins+k)*2, real(line[k]))
				store(out[0].Raw, (p*bins+k)*2+1, imag(line[k]))
			}
		}
		return nil
	}}}}, nil
}
