package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/qconv"
)

func init() {
	for _, since := range []int{10, 13, 19, 21, 23} {
		register("QuantizeLinear", since, func(a *Attrs) graph.Op {
			q := quantizeLinear{axis: 1}
			if since >= 13 {
				q.axis = a.Int("axis", 1)
			}
			if since >= 19 {
				q.overflow = a.Int("saturate", 1) == 0
			}
			if since >= 21 {
				q.block = blockSize(a)
				q.to = typeAttr(a, "output_dtype")
			}
			if since >= 23 {
				q.precision = typeAttr(a, "precision")
			}
			return q
		})
	}
}

// blockSize reads the attribute block_size.
func blockSize(a *Attrs) int {
	n := a.Int("block_size", 0)
	if n < 0 {
		a.Fail("attribute %q is %d, want at least 0", "block_size", n)
	}
	return n
}

// typeAttr reads an attribute that names an element type, Undefined if it is
// not given or 0.
func typeAttr(a *Attrs, name string) tensor.DType {
	d := a.Int(name, 0)
	if d != 0 && (d < 0 || d > 255 || !tensor.DType(d).Valid()) {
		a.Fail("%w element type %d in attribute %q", ErrUnsupported, d, name)
		return tensor.Undefined
	}
	return tensor.DType(d)
}

// quantizeLinear is y = saturate(round(x / scale) + zero), ties rounded to even.
//
//	x:     float32, float16, bfloat16 or int32, any shape
//	scale: floating point: one element, one for each place along axis, or of
//	       x's shape with the dimension axis divided by block_size
//	zero:  y's type, scale's shape; optional
//	y:     int8, uint8, int16, uint16, an integer of 2 or 4 bits, or floating point
//	       of at most 8 bits: zero's type, else output_dtype, else uint8
//
// The quotient is rounded to the type precision, or else scale's. A NaN gives
// the smallest integer. Floating point is rounded as Cast does, with its attribute
// saturate (since opset 19).
//
// Source: ONNX QuantizeLinear-10, -13, -19, -21, -23, -24, -25.
type quantizeLinear struct {
	axis, block   int
	to, precision tensor.DType // Undefined if not given
	overflow      bool         // saturate is 0
}

func (q quantizeLinear) String() string { return "QuantizeLinear" }

func (q quantizeLinear) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 3); err != nil {
		return nil, err
	}
	x, scale, zero := in[0], in[1], input(in, 2)
	if err := checkType("x", x.DType, append([]tensor.DType{tensor.Int32}, scaleTypes...)...); err != nil {
		return nil, err
	}
	if err := checkType("the scale", scale.DType, scaleTypes...); err != nil {
		return nil, err
	}
	to := q.to
	switch {
	case !zero.Missing() && to != tensor.Undefined && to != zero.DType:
		return nil, fmt.Errorf("zero point is %v, want %v like output_dtype", zero.DType, to)
	case !zero.Missing():
		to = zero.DType
	case to == tensor.Undefined:
		to = tensor.Uint8
	}
	if err := checkType("the result", to, storedTypes...); err != nil {
		return nil, err
	}
	if q.precision != tensor.Undefined {
		if err := checkType("the quotient", q.precision, scaleTypes...); err != nil {
			return nil, err
		}
	}
	if _, err := granularityOf(x.Shape, scale, zero, q.axis, q.block); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: to, Shape: x.Shape}}}, nil
}

// Layouts keeps NCHW16c values in blocks, and lets images of few channels lie
// as a convolution reads them.
func (q quantizeLinear) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, len(in)), make([]graph.Layout, len(out))
	_, zero, ok := oneScale(in, out[0].DType)
	if !ok || in[0].DType != tensor.Float32 || q.precision > tensor.Float32 || !quantisable(out[0].Type) {
		return want, give
	}
	switch l := in[0].Layout; {
	case l == nchw16c{}:
		want[0], give[0] = l, quantised{lanes, zero}
	case l == nil && out[0].Shape[1] <= qconv.Few && in[0].Const == nil:
		give[0] = quantised{qconv.Few, zero}
	}
	return want, give
}

// Rewrite makes one node of n and an Add or Mul of dequantised values in front of it.
func (q quantizeLinear) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	return newQuantBinary(e, n, q), nil
}

// step returns the scale and the zero point, if the Epilogue of package qconv
// quantises y as the node does.
func (q quantizeLinear) step(n *graph.Node, y *graph.Value) (scale float32, zero int32, ok bool) {
	scale, zero, ok = oneScale(graph.Facts(n.In), n.Out[0].DType)
	lo, hi := quantisedRange(n.Out[0].DType)
	return scale, zero, ok && q.precision <= tensor.Float32 && n.In[0] == y && qconv.AcceptsStep(scale, int(lo-zero), int(hi-zero))
}

func (q quantizeLinear) FLOPs(in, out []graph.Fact) int64 { return flops(3, out[0].Shape.Elems()) }

// quantiseTime is about how many nanoseconds the quantisation of one element
// takes in plain Go.
const quantiseTime = 4

func (q quantizeLinear) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	g, err := granularityOf(in[0].Shape, in[1], input(in, 2), q.axis, q.block)
	if err != nil {
		return graph.Kernel{}, err
	}
	if l, ok := out[0].Layout.(quantised); ok {
		scale, zero, _ := oneScale(in, out[0].DType)
		return quantiseLaid(in, out, l, scale, zero), nil
	}
	from := in[0].DType
	widen := widener(from)
	if from == tensor.Int32 {
		widen = convertTo[float32, int32]
	}
	precision := q.precision
	if precision == tensor.Undefined {
		precision = in[1].DType
	}
	n := out[0].Shape.Elems()
	count := chunks(n, vectorTime)
	if q.precision > tensor.Float32 || in[1].DType != tensor.Float32 || g.block > 0 || g.inner > 0 && g.inner < qconv.Block {
		count = chunks(n, quantiseTime)
	}
	lo, hi := quantisedRange(out[0].DType)
	mini := miniOf(out[0].DType)
	return graph.Kernel{Info: qconv.Info(), Scratch: quantiseScratch, Steps: []graph.Step{{N: count, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
		wide, narrow := tensor.Cast[float32](x.Scratch[:4*castBlock]), tensor.Cast[int16](x.Scratch[4*castBlock:])
		from, to := span(n, count, i, castBlock)
		for ; from < to; from += castBlock {
			end := min(from+castBlock, to)
			var values []float32
			if widen == nil {
				values = floats(in[0])[from:end]
			} else {
				values = wide[:end-from]
				size := in[0].DType.Size()
				widen(x.Scratch[:4*len(values)], in[0].Raw[from*size:end*size])
			}
			g.walk(from, end, func(at, n, param int) {
				scale := scaleAt(in[1], param)
				v := values[at-from:][:n]
				if mini != nil {
					q.mini(mini, precision, out[0], at, v, scale, operand(in, 2), param)
					return
				}
				zero := zeroAt(operand(in, 2), param)
				if precision == tensor.Float32 {
					quantiseTo(out[0], at, v, scale, zero, narrow)
					return
				}
				h := halfOf(precision)
				for j, x := range v {
					setQuantised(out[0], at+j, quantum(h.load(h.store(x/scale)), zero, lo, hi))
				}
			})
		}
		return nil
	}}}}, nil
}

// quantiseScratch is the bytes of a block of float32s and one of int16s.
const quantiseScratch = 6 * castBlock

// setQuantised sets an element of a quantised tensor.
func setQuantised(t *tensor.Tensor, i int, v int32) {
	if t.DType.Size() == 1 {
		t.Raw[i] = byte(v)
	} else {
		tensor.Cast[uint16](t.Raw)[i] = uint16(v)
	}
}

// mini is QuantizeLinear of v, with one scale and element param of zero, which may be
// nil, to elements from at on of floating point with the given values.
func (q quantizeLinear) mini(m *mini, precision tensor.DType, y *tensor.Tensor, at int, v []float32, scale float32, zero *tensor.Tensor, param int) {
	z := float32(0)
	if zero != nil {
		z = m[zero.Raw[param]]
	}
	for i, x := range v {
		x /= scale
		if precision != tensor.Float32 {
			h := halfOf(precision)
			x = h.load(h.store(x))
		}
		y.Raw[at+i] = y.DType.Mini(float64(x+z), !q.overflow)
	}
}
