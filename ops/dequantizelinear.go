package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/qconv"
)

func init() {
	for _, since := range []int{10, 13, 19, 21, 23} {
		register("DequantizeLinear", since, func(a *Attrs) graph.Op {
			q := dequantizeLinear{axis: 1}
			if since >= 13 {
				q.axis = a.Int("axis", 1)
			}
			if since >= 21 {
				q.block = blockSize(a)
			}
			if since >= 23 {
				q.to = typeAttr(a, "output_dtype")
			}
			return q
		})
	}
}

// dequantizeLinear is y = (x - zero) * scale.
//
//	x:     int8, uint8, int16, uint16, int32, integers of 2 or 4 bits, or floating
//	       point of at most 8 bits; any shape
//	scale: floating point of 16 or 32 bits or float8e8m0: one element, one for each place along axis, or of
//	       x's shape with the dimension axis divided by block_size
//	zero:  x's type, scale's shape; optional
//	y:     output_dtype, or else scale's type
//
// The product is rounded once to float32 and then to y's type.
//
// Source: ONNX DequantizeLinear-10, -13, -19, -21, -23, -24, -25.
type dequantizeLinear struct {
	axis, block int
	to          tensor.DType // Undefined if not given
}

func (q dequantizeLinear) String() string { return "DequantizeLinear" }

func (q dequantizeLinear) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 3); err != nil {
		return nil, err
	}
	x, scale, zero := in[0], in[1], input(in, 2)
	if err := checkType("x", x.DType, append([]tensor.DType{tensor.Int32}, storedTypes...)...); err != nil {
		return nil, err
	}
	if err := checkType("the scale", scale.DType, append([]tensor.DType{tensor.Float8E8M0}, scaleTypes...)...); err != nil {
		return nil, err
	}
	if !zero.Missing() && zero.DType != x.DType {
		return nil, fmt.Errorf("zero point is %v, want %v like x", zero.DType, x.DType)
	}
	to := scale.DType
	if q.to != tensor.Undefined {
		to = q.to
	}
	if err := checkType("the result", to, scaleTypes...); err != nil {
		return nil, err
	}
	if _, err := granularityOf(x.Shape, scale, zero, q.axis, q.block); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: to, Shape: x.Shape}}}, nil
}

// KeepsOperands makes the integers of constant weights known to rewrites.
func (dequantizeLinear) KeepsOperands() {}

// JoinsReaders keeps the node with those that read its result: they may
// calculate with its integers.
func (dequantizeLinear) JoinsReaders() {}

// Rewrite lets a convolution or a product of matrices that reads the result, and
// whose weights are integers too, calculate with these, and removes the node when nobody reads
// it any more.
func (q dequantizeLinear) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	y := n.Out[0]
	if len(e.Users(y)) == 0 && !e.IsOutput(y) { // it would still be a reader of x
		e.Remove(n, n.In[0])
		return true, nil
	}
	for _, user := range e.Users(y) {
		if c, ok := user.Op.(*convolution); ok && newQuantConv(e, n, user, c) || newQuantProduct(e, user) {
			return true, nil
		}
	}
	return false, nil
}

// Layouts keeps NCHW16c values in blocks.
func (q dequantizeLinear) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, len(in)), make([]graph.Layout, len(out))
	_, zero, ok := oneScale(in, in[0].DType)
	if l := (quantised{lanes, zero}); ok && in[0].Layout == l && out[0].DType == tensor.Float32 {
		want[0], give[0] = l, nchw16c{}
	}
	return want, give
}

func (q dequantizeLinear) FLOPs(in, out []graph.Fact) int64 { return flops(2, out[0].Shape.Elems()) }

func (q dequantizeLinear) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	g, err := granularityOf(in[0].Shape, in[1], input(in, 2), q.axis, q.block)
	if err != nil {
		return graph.Kernel{}, err
	}
	if out[0].Layout != nil {
		scale, _, _ := oneScale(in, in[0].DType)
		return dequantiseLaid(out, scale), nil
	}
	var narrow func(dst, src []byte)
	if to := out[0].DType; to != tensor.Float32 {
		narrow = converter(tensor.Float32, to)
	}
	mini := miniOf(in[0].DType)
	n := out[0].Shape.Elems()
	count := chunks(n, vectorTime)
	if in[0].DType.Size() > 1 || narrow != nil || mini != nil || g.block > 0 || g.inner > 0 && g.inner < qconv.Block {
		count = chunks(n, scalarTime)
	}
	return graph.Kernel{Info: qconv.Info(), Scratch: quantiseScratch, Steps: []graph.Step{{N: count, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
		from, to := span(n, count, i, castBlock)
		for ; from < to; from += castBlock {
			end := min(from+castBlock, to)
			values, wide := tensor.Cast[float32](x.Scratch)[:end-from], tensor.Cast[int16](x.Scratch[4*castBlock:])
			if narrow == nil {
				values = floats(out[0])[from:end]
			}
			g.walk(from, end, func(at, n, param int) {
				if mini != nil {
					mini.dequantise(values[at-from:][:n], in[0].Raw[at:], scaleAt(in[1], param), operand(in, 2), param)
					return
				}
				dequantiseFrom(values[at-from:][:n], in[0], at, scaleAt(in[1], param), zeroAt(operand(in, 2), param), wide)
			})
			if narrow != nil {
				size := out[0].DType.Size()
				narrow(out[0].Raw[from*size:end*size], x.Scratch[:4*len(values)])
			}
		}
		return nil
	}}}}, nil
}

// mini is the values of a type of floating point of at most 8 bits.
type mini [256]float32

// miniOf returns the values of d, nil if it is no such type.
func miniOf(d tensor.DType) *mini {
	if !d.IsMini() {
		return nil
	}
	return (*mini)(d.MiniValues())
}

// dequantise is DequantizeLinear with one scale and element param of zero, which may
// be nil.
func (m *mini) dequantise(dst []float32, x []byte, scale float32, zero *tensor.Tensor, param int) {
	z := float32(0)
	if zero != nil {
		z = m[zero.Raw[param]]
	}
	for i := range dst {
		dst[i] = (m[x[i]] - z) * scale
	}
}
