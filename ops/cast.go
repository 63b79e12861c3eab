package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Cast", 6, func(a *Attrs) graph.Op {
		c := castAttrs(a)
		if !a.Has("to") {
			a.Fail("attribute %q is missing", "to")
		}
		if a.Int("to", 0) == stringType {
			return castStrings(tensor.Packed)
		}
		c.to = elementType(a, "to")
		return c
	})
}

// castAttrs reads what is about 8-bit floating point alone.
func castAttrs(a *Attrs) cast {
	var c cast
	if a.Version() >= 19 {
		c.overflow = a.Int("saturate", 1) == 0
	}
	if a.Version() >= 24 {
		switch mode := a.String("round_mode", "up"); mode {
		case "up":
		case "down":
			c.rounding = tensor.RoundDown
		case "nearest":
			c.rounding = tensor.RoundNearest
		default:
			a.Fail("attribute %q is %q, want up, down or nearest", "round_mode", mode)
		}
	}
	return c
}

// cast is y = x in another element type.
//
//	x: any type, any shape
//	y: the type to, x's shape
//
// Floating point to floating point rounds to nearest, ties to even. Integers
// to integers keep the low bits. Anything but zero is true; true is one.
//
// Floating point to integers drops the fraction. Where ONNX leaves the result
// open, it is what NumPy and ONNX Runtime give on amd64, on every machine:
// int32 and int64 are the smallest integer when x is out of range or NaN;
// uint32 and narrower types keep the low bits of x as int64 and int32, in that
// order; uint64 keeps x as int64, or x modulo 2^64 from 2^63 on, and 0 from
// 2^64 on.
//
// Floating point of at most 8 bits has the largest number for what is too large, or
// without saturate (since opset 19) infinity or NaN. round_mode (since opset 24) is
// about float8e8m0 alone. Integers of less than 8 bits keep the low bits of int8.
//
// Source: ONNX Cast-6, -9, -13, -19, -21, -23, -24, -25.
type cast struct {
	to       tensor.DType
	overflow bool // saturate is 0
	rounding tensor.Rounding
}

// Packed is the operator for strings.
func (c cast) Packed() graph.Op { return castStrings(c.to) }

func (c cast) String() string { return fmt.Sprintf("Cast[%v]", c.to) }

func (c cast) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: c.to, Shape: in[0].Shape}}}, nil
}

// Rewrite removes the node if x has the type already.
func (c cast) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	return n.In[0].DType == c.to && bypass(e, n), nil
}

// castBlock is the number of elements that go through scratch memory at once.
const castBlock = 1024

// castTime is about how many nanoseconds the conversion of one element takes.
const castTime = 4

// Tile computes rows from the same rows of the inputs.
func (c cast) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	return tileRows(c, in, out, rows)
}

func (c cast) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if in[0].DType == c.to {
		return view, nil
	}
	block, scratch := c.converter(in[0].DType.Base())
	if block == nil {
		return graph.Kernel{}, fmt.Errorf("%w cast of %v to %v", ErrUnsupported, in[0].DType, c.to)
	}
	return castKernel(in, out, scratch, block), nil
}

// converter returns what converts at most castBlock elements from a type to c.to,
// and how many bytes of scratch it needs; nil if there is none.
func (c cast) converter(from tensor.DType) (block func(dst, src, scratch []byte), scratch int) {
	if widen := widener(from); widen != nil {
		if c.to == tensor.Float32 {
			return func(dst, src, _ []byte) { widen(dst, src) }, 0
		}
		convert, more := c.converter(tensor.Float32)
		if convert == nil {
			return nil, 0
		}
		wide, size := castBlock*tensor.Float32.Size(), from.Size()
		return func(dst, src, scratch []byte) {
			values := scratch[:len(src)/size*tensor.Float32.Size()]
			widen(values, src)
			convert(dst, values, scratch[wide:])
		}, wide + more
	}
	switch {
	case c.to.IsMini():
		return through(from, tensor.Float64, func(v float64) byte { return c.to.Mini(v, !c.overflow) })
	case c.to == tensor.Float8E8M0:
		return through(from, tensor.Float32, func(v float32) byte { return tensor.E8M0(v, c.rounding, !c.overflow) })
	}
	convert := converter(from, c.to.Base())
	if convert == nil {
		return nil, 0
	}
	return func(dst, src, _ []byte) {
		convert(dst, src)
		if unused := 8 - c.to.Bits(); unused > 0 {
			signed := c.to.Base() == tensor.Int8
			for i, v := range dst {
				if v <<= unused; signed {
					dst[i] = byte(int8(v) >> unused)
				} else {
					dst[i] = v >> unused
				}
			}
		}
	}, 0
}

// through converts elements of type from with f, of whose argument the type is wide.
func through[T float32 | float64](from, wide tensor.DType, f func(T) byte) (block func(dst, src, scratch []byte), scratch int) {
	convert, size := converter(from, wide), wide.Size()
	if convert == nil {
		return nil, 0
	}
	return func(dst, src, scratch []byte) {
		values := scratch[:len(dst)*size]
		convert(values, src)
		for i, v := range tensor.Cast[T](values) {
			dst[i] = f(v)
		}
	}, castBlock * size
}

// castKernel applies block to castBlock elements at a time, or less at the end.
func castKernel(in, out []graph.Fact, scratch int, block func(dst, src, scratch []byte)) graph.Kernel {
	n, from, to := in[0].Shape.Elems(), in[0].DType.Size(), out[0].DType.Size()
	count := chunks(n, castTime)
	return graph.Kernel{Info: "convert", Scratch: scratch, Steps: []graph.Step{{N: count, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(n, count, i, castBlock)
		for ; lo < hi; lo += castBlock {
			end := min(lo+castBlock, hi)
			block(out[0].Raw[lo*to:end*to], in[0].Raw[lo*from:end*from], x.Scratch)
		}
		return nil
	}}}}
}

// widener returns what makes float32 of floating point of less than 32 bits, nil for
// others.
func widener(d tensor.DType) func(dst, src []byte) {
	if d.IsMini() || d == tensor.Float8E8M0 {
		values := d.MiniValues()
		return each(func(code uint8) float32 { return values[code] })
	}
	switch d {
	case tensor.Float16:
		return each(tensor.Float16ToFloat32)
	case tensor.BFloat16:
		return each(tensor.BFloat16ToFloat32)
	}
	return nil
}

// each returns what applies f to every element.
func each[D, S tensor.Elem](f func(S) D) func(dst, src []byte) {
	return func(dst, src []byte) {
		y := tensor.Cast[D](dst)
		for i, v := range tensor.Cast[S](src) {
			y[i] = f(v)
		}
	}
}

type integer interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}

type number interface{ integer | float32 | float64 }

// converter returns what converts elements of type from, which is not floating
// point of less than 32 bits; nil for such or for integers of less than 8 bits.
func converter(from, to tensor.DType) func(dst, src []byte) {
	switch from {
	case tensor.Float32:
		return fromFloat[float32](to)
	case tensor.Float64:
		return fromFloat[float64](to)
	case tensor.Int8:
		return fromInteger[int8](to)
	case tensor.Int16:
		return fromInteger[int16](to)
	case tensor.Int32:
		return fromInteger[int32](to)
	case tensor.Int64:
		return fromInteger[int64](to)
	case tensor.Uint8, tensor.Bool:
		return fromInteger[uint8](to)
	case tensor.Uint16:
		return fromInteger[uint16](to)
	case tensor.Uint32:
		return fromInteger[uint32](to)
	case tensor.Uint64:
		return fromInteger[uint64](to)
	}
	return nil
}

func fromInteger[S integer](to tensor.DType) func(dst, src []byte) {
	switch to {
	case tensor.Int8:
		return convertTo[int8, S]
	case tensor.Int16:
		return convertTo[int16, S]
	case tensor.Int32:
		return convertTo[int32, S]
	case tensor.Int64:
		return convertTo[int64, S]
	case tensor.Uint8:
		return convertTo[uint8, S]
	case tensor.Uint16:
		return convertTo[uint16, S]
	case tensor.Uint32:
		return convertTo[uint32, S]
	case tensor.Uint64:
		return convertTo[uint64, S]
	}
	return fromNumber[S](to)
}

func fromFloat[S float32 | float64](to tensor.DType) func(dst, src []byte) {
	switch to {
	case tensor.Int8:
		return each(func(v S) int8 { return int8(toInt32(float64(v))) })
	case tensor.Int16:
		return each(func(v S) int16 { return int16(toInt32(float64(v))) })
	case tensor.Int32:
		return each(func(v S) int32 { return toInt32(float64(v)) })
	case tensor.Int64:
		return each(func(v S) int64 { return toInt64(float64(v)) })
	case tensor.Uint8:
		return each(func(v S) uint8 { return uint8(toInt32(float64(v))) })
	case tensor.Uint16:
		return each(func(v S) uint16 { return uint16(toInt32(float64(v))) })
	case tensor.Uint32:
		return each(func(v S) uint32 { return uint32(toInt64(float64(v))) })
	case tensor.Uint64:
		return each(func(v S) uint64 { return toUint64(float64(v)) })
	}
	return fromNumber[S](to)
}

func fromNumber[S number](to tensor.DType) func(dst, src []byte) {
	switch to {
	case tensor.Bool:
		return each(func(v S) bool { return v != 0 })
	case tensor.Float16:
		return each(func(v S) uint16 { return tensor.Float32ToFloat16(toOdd(float64(v))) })
	case tensor.BFloat16:
		return each(func(v S) uint16 { return tensor.Float32ToBFloat16(toOdd(float64(v))) })
	case tensor.Float32:
		return convertTo[float32, S]
	case tensor.Float64:
		return convertTo[float64, S]
	}
	return nil
}

// convertTo converts as Go does; not for floating point to integers.
func convertTo[D, S number](dst, src []byte) {
	y := tensor.Cast[D](dst)
	for i, v := range tensor.Cast[S](src) {
		y[i] = D(v)
	}
}

// Go leaves open what becomes of a number that the integer cannot hold; these
// functions do not.

func toInt32(v float64) int32 {
	if v > math.MinInt32-1 && v < math.MaxInt32+1 {
		return int32(v)
	}
	return math.MinInt32
}

func toInt64(v float64) int64 {
	if v >= -1<<63 && v < 1<<63 {
		return int64(v)
	}
	return math.MinInt64
}

func toUint64(v float64) uint64 {
	switch {
	case v >= 1<<64:
		return 0
	case v >= 1<<63:
		return uint64(int64(v-1<<63)) + 1<<63
	}
	return uint64(toInt64(v))
}

// toOdd returns v as float32 if that is exact, else the neighbour of v whose
// last bit is one. Rounded further to a type with fewer bits, it gives what v
// itself gives: there is no error of rounding twice.
//
// Source: S. Boldo, G. Melquiond, Emulation of FMA and correctly rounded sums:
// proved algorithms using rounding to odd, 2008.
func toOdd(v float64) float32 {
	f := float32(v)
	if float64(f) == v || v != v {
		return f
	}
	b := math.Float32bits(f)
	if math.Abs(float64(f)) > math.Abs(v) {
		b--
	}
	return math.Float32frombits(b | 1)
}
