package ops

import (
	"errors"
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

// binary is z = a op b, element by element with broadcasting: Add, Sub, Mul
// and Div.
//
//	a, b: numbers of one type, shapes that broadcast
//	z:    the same type, the shape to which they broadcast
//
// Integers wrap around; an integer division truncates towards zero, and by
// zero it is an error of the run.
//
// A result in NCHW16c is made where one operand lies so and the other has the
// same shape, one element for each channel, or one element in all.
//
// It may have absorbed the limits of an activation behind it, bit for bit as
// the separate nodes give it.
type binary struct {
	op operation
	limits
}

type operation uint8

const (
	opAdd operation = iota
	opSub
	opMul
	opDiv
	opMax
	opMin
)

func (b binary) String() string {
	return [...]string{"Add", "Sub", "Mul", "Div"}[b.op] + b.clamp
}

// Rewrite absorbs a clamping activation that keeps zeros.
func (b binary) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	user, l, ok := b.absorbClamp(e, n)
	if !ok {
		return false, nil
	}
	b.limits = l
	e.Absorb(n, user, b, n.In)
	return true, nil
}

// Tile computes rows from the same rows of the inputs.
func (b binary) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	return tileRows(b, in, out, rows)
}

// Fuse makes a chain with an operator in front.
func (binary) Fuse(e *graph.Editor, n *graph.Node) (bool, error) { return fuse(e, n) }

func (b binary) Infer(in []graph.Fact) ([]graph.Fact, error) { return inferPair(in, numericTypes) }

// inferPair checks an operator with two inputs of one of the element types,
// the same in both, and gives the type to which they broadcast.
func inferPair(in []graph.Fact, types []tensor.DType) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := checkType("the inputs", in[0].DType, types...); err != nil {
		return nil, err
	}
	if in[0].DType != in[1].DType {
		return nil, fmt.Errorf("inputs have element types %v and %v, want one type", in[0].DType, in[1].DType)
	}
	s, err := broadcastShapes(in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: s}}}, nil
}

func (b binary) FLOPs(in, out []graph.Fact) int64 { return flops(b.flops(1), out[0].Shape.Elems()) }

func (b binary) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	k := b.kernel(in, out[0])
	for i, f := range in {
		if f.Const == nil && f.Type.Equal(out[0].Type) && f.Layout == out[0].Layout {
			k.InPlace = append(k.InPlace, i)
		}
		if isPacked(f, out[0]) {
			k.Packed = append(k.Packed, i)
		}
	}
	return k, nil
}

// isPacked reports whether the kernel keeps the operand f in the layout of the
// result: constants come row-major.
func isPacked(f, out graph.Fact) bool {
	return f.Const != nil && out.Layout != nil && f.Shape.Equal(out.Shape)
}

func (b binary) kernel(in []graph.Fact, out graph.Fact) graph.Kernel {
	if out.Layout != nil && !in[0].Shape.Equal(in[1].Shape) {
		full := b.full(in, out)
		if in[1-full].Shape.Elems() != 1 {
			return b.perChannel(in, out, full)
		}
	}
	w := newBroadcast(in[0].Shape, in[1].Shape, out.Shape)
	if out.Layout != nil {
		w.inner = out.Bytes() / out.DType.Size()
	}
	if out.DType == tensor.Float32 {
		return b.kernelF32(in, out, w)
	}
	return b.generic(out, w, 0, 1)
}

// result stands for the result among the operands of generic.
const result = -1

// generic is the kernel in plain Go that applies the operation to inputs i and
// j, each of which may be the result instead, in row-major layout.
func (b binary) generic(out graph.Fact, w broadcast, i, j int) graph.Kernel {
	switch out.DType {
	case tensor.Float32:
		return binaryKernel[float32](b.op, out, w, i, j)
	case tensor.Float64:
		return binaryKernel[float64](b.op, out, w, i, j)
	case tensor.Int8:
		return binaryKernel[int8](b.op, out, w, i, j)
	case tensor.Int16:
		return binaryKernel[int16](b.op, out, w, i, j)
	case tensor.Int32:
		return binaryKernel[int32](b.op, out, w, i, j)
	case tensor.Int64:
		return binaryKernel[int64](b.op, out, w, i, j)
	case tensor.Uint8:
		return binaryKernel[uint8](b.op, out, w, i, j)
	case tensor.Uint16:
		return binaryKernel[uint16](b.op, out, w, i, j)
	case tensor.Uint32:
		return binaryKernel[uint32](b.op, out, w, i, j)
	case tensor.Uint64:
		return binaryKernel[uint64](b.op, out, w, i, j)
	}
	return b.kernelHalf(out, w, i, j)
}

// rowTime is about how many nanoseconds it takes to start a row.
const rowTime = 15

var errDivide = errors.New("integer division by zero")

// calculate returns the operation in T; ok is false for an integer division by zero.
func calculate[T number](op operation) func(a, b T) (z T, ok bool) {
	switch op {
	case opAdd:
		return func(a, b T) (T, bool) { return a + b, true }
	case opSub:
		return func(a, b T) (T, bool) { return a - b, true }
	case opMul:
		return func(a, b T) (T, bool) { return a * b, true }
	case opMax:
		return func(a, b T) (T, bool) {
			if a > b || a != a {
				return a, true
			}
			return b, true
		}
	case opMin:
		return func(a, b T) (T, bool) {
			if a < b || a != a {
				return a, true
			}
			return b, true
		}
	}
	if one, two := T(1), T(2); one/two != 0 {
		return func(a, b T) (T, bool) { return a / b, true }
	}
	return func(a, b T) (T, bool) {
		if b == 0 {
			return 0, false
		}
		return a / b, true
	}
}

// operandOf returns input i, or the result.
func operandOf(in, out []*tensor.Tensor, i int) *tensor.Tensor {
	if i == result {
		return out[0]
	}
	return in[i]
}

// binaryKernel is generic for any Go type.
func binaryKernel[T number](op operation, out graph.Fact, w broadcast, i, j int) graph.Kernel {
	f := calculate[T](op)
	stepA, stepB := w.steps()
	return perElement("generic go", out, 2*scalarTime+rowTime/float64(w.inner), func(in, out []*tensor.Tensor, lo, hi int) error {
		x, y, z := tensor.View[T](operandOf(in, out, i)), tensor.View[T](operandOf(in, out, j)), tensor.View[T](out[0])
		var err error
		w.walk(lo, hi, func(at, a, b, n int) {
			for i := range n {
				v, ok := f(x[a], y[b])
				if !ok {
					err = errDivide
					return
				}
				z[at+i] = v
				a, b = a+stepA, b+stepB
			}
		})
		return err
	})
}

// kernelHalf is generic for the 16-bit floating-point types; each result is
// rounded from float32.
func (b binary) kernelHalf(out graph.Fact, w broadcast, i, j int) graph.Kernel {
	h := halfOf(out.DType)
	f := calculate[float32](b.op)
	stepA, stepB := w.steps()
	return perElement("generic go", out, 4*scalarTime+rowTime/float64(w.inner), func(in, out []*tensor.Tensor, lo, hi int) error {
		x, y, z := tensor.View[uint16](operandOf(in, out, i)), tensor.View[uint16](operandOf(in, out, j)), tensor.View[uint16](out[0])
		w.walk(lo, hi, func(at, a, b, n int) {
			for i := range n {
				v, _ := f(h.load(x[a]), h.load(y[b]))
				z[at+i] = h.store(v)
				a, b = a+stepA, b+stepB
			}
		})
		return nil
	})
}

// kernelF32 is the kernel for float32, with vector instructions. In another
// layout than row-major w has one row.
func (b binary) kernelF32(in []graph.Fact, out graph.Fact, w broadcast) graph.Kernel {
	var packed [2][]float32
	for i, f := range in {
		if isPacked(f, out) {
			packed[i] = packConstant(f.Const)
		}
	}
	vv := b.vectors()
	stepA, stepB := w.steps()
	return perElement("vector", out, vectorTime+rowTime/float64(w.inner), func(in, out []*tensor.Tensor, lo, hi int) error {
		x, y, z := packed[0], packed[1], floats(out[0])
		if x == nil {
			x = floats(in[0])
		}
		if y == nil {
			y = floats(in[1])
		}
		w.walk(lo, hi, func(at, ia, ib, n int) {
			for n > 0 {
				piece := min(n, pieceLen)
				dst := z[at : at+piece]
				switch {
				case w.scalar[0]:
					b.vectorScalar(dst, y[ib:ib+piece], x[ia], 1)
				case w.scalar[1]:
					b.vectorScalar(dst, x[ia:ia+piece], y[ib], 0)
				default:
					vv(dst, x[ia:ia+piece], y[ib:ib+piece])
				}
				b.limit(dst)
				at, ia, ib, n = at+piece, ia+piece*stepA, ib+piece*stepB, n-piece
			}
		})
		return nil
	})
}

// vectors returns the operation on elements of two operands; dst may be one of
// them.
func (b binary) vectors() func(dst, x, y []float32) {
	return [...]func(dst, x, y []float32){vec.Add, vec.Sub, vec.Mul, vec.Div}[b.op]
}

// vectorScalar applies the operation to the elements of x, which are operand
// full, and s, which is the other one.
func (b binary) vectorScalar(dst, x []float32, s float32, full int) {
	switch {
	case b.op == opAdd:
		vec.AddScalar(dst, x, s)
	case b.op == opMul:
		vec.MulScalar(dst, x, s)
	case b.op == opSub && full == 0:
		vec.SubScalar(dst, x, s)
	case b.op == opSub:
		vec.ScalarSub(dst, s, x)
	case full == 0:
		vec.DivScalar(dst, x, s)
	default:
		vec.ScalarDiv(dst, s, x)
	}
}

// scaleShift returns the numbers with which x*scale + shift, rounded once or
// after each operation, is bit for bit the operation on x, which is operand
// full, and s, which is the other one. There are none for Div.
func (b binary) scaleShift(s float32, full int) (scale, shift float32) {
	switch {
	case b.op == opAdd:
		return 1, s
	case b.op == opMul:
		return s, negativeZero // keeps a product of -0
	case full == 0:
		return 1, -s
	}
	return -1, s
}

var negativeZero = float32(math.Copysign(0, -1))

// full returns which operand has the shape of the result; both may.
func (b binary) full(in []graph.Fact, out graph.Fact) int {
	if in[0].Shape.Equal(out.Shape) {
		return 0
	}
	return 1
}

// channelValues returns the elements of a constant that has one for each
// channel of a result of the given shape, or one for all channels, and nil if f
// is not such a constant.
func channelValues(f graph.Fact, shape tensor.Shape) []float32 {
	switch {
	case f.Const == nil || f.DType != tensor.Float32 || len(shape) < 2:
		return nil
	case f.Shape.Elems() == 1:
		return splat(f.Const.F32()[0], shape[1])
	case !isPerChannel(f.Shape, shape, 1):
		return nil
	}
	return f.Const.F32()
}

// isPerChannel reports whether s broadcasts to shape with one element for each
// channel of each of the given number of images.
func isPerChannel(s, shape tensor.Shape, images int) bool {
	if len(shape) < 2 || len(s) > len(shape) {
		return false
	}
	for i := range shape {
		want := 1
		switch i {
		case 0:
			want = images
		case 1:
			want = shape[1]
		}
		if dim(s, i, len(shape)) != want {
			return false
		}
	}
	return true
}

func (b binary) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, 2), make([]graph.Layout, 1)
	full := b.full(in, out[0])
	if in[full].Layout == nil && in[1-full].Shape.Equal(out[0].Shape) {
		full = 1 - full
	}
	l, other := in[full].Layout, in[1-full]
	if l == nil || !in[full].Shape.Equal(out[0].Shape) {
		return want, give
	}
	whole := fullBlocks(out[0].Shape)
	switch {
	case other.Shape.Equal(out[0].Shape):
		if b.op == opDiv && !whole {
			return want, give
		}
		want[1-full] = l
	case other.Shape.Elems() == 1:
		if !whole {
			return want, give
		}
	case channelValues(other, out[0].Shape) != nil && b.op != opDiv:
	case other.Const == nil && (b.op == opAdd || b.op == opMul) && len(other.Shape) == len(out[0].Shape) &&
		(isPerChannel(other.Shape, out[0].Shape, 1) || isPerChannel(other.Shape, out[0].Shape, out[0].Shape[0])):
		want[1-full] = l
	default:
		return want, give
	}
	want[full], give[0] = l, l
	return want, give
}

// perChannel is the kernel for NCHW16c where the operand other than full has
// one element for each channel. It is a constant, or it lies in NCHW16c itself.
func (b binary) perChannel(in []graph.Fact, out graph.Fact, full int) graph.Kernel {
	n, c, hw := planes(out.Shape)
	perImage := ceil(c, lanes)
	blocks := n * perImage
	period := blocks // of the other operand's blocks
	if other := in[1-full]; other.Const != nil || other.Shape[0] == 1 {
		period = perImage
	}
	factors := b.factors(in[1-full], perImage, full)
	count := chunks(blocks, vectorTime*float64(lanes*hw))
	return graph.Kernel{Info: "vector per channel", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, z := floats(in[full]), floats(out[0])
		lo, hi := span(blocks, count, i, 1)
		for block := lo; block < hi; block++ {
			scale, shift := factors(in[1-full], block%period*lanes)
			b.scaleShift16(z[block*lanes*hw:][:lanes*hw], x[block*lanes*hw:], scale, shift)
		}
		return nil
	}}}}
}

// factors returns the function that gives the factors, see scaleShift, of the
// block of lanes from at on, where s is the operand other than full, of whose
// fact it is made.
func (b binary) factors(other graph.Fact, perImage, full int) func(s *tensor.Tensor, at int) (scale, shift []float32) {
	if other.Const != nil {
		scale, shift := make([]float32, perImage*lanes), make([]float32, perImage*lanes)
		for i, v := range other.Const.F32() {
			scale[i], shift[i] = b.scaleShift(v, full)
		}
		return func(_ *tensor.Tensor, at int) ([]float32, []float32) {
			return scale[at:][:lanes], shift[at:][:lanes]
		}
	}
	scale, shift := b.scaleShift(0, full)
	scales, shifts := splat(scale, lanes), splat(shift, lanes)
	if b.op == opAdd {
		return func(s *tensor.Tensor, at int) ([]float32, []float32) { return scales, floats(s)[at:][:lanes] }
	}
	return func(s *tensor.Tensor, at int) ([]float32, []float32) { return floats(s)[at:][:lanes], shifts }
}

// splat returns n times v.
func splat(v float32, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = v
	}
	return s
}
