package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/conv"
	"scission/ops/internal/qconv"
)

// quantConv is a Conv whose x and w are results of DequantizeLinear, with these
// and with what it has absorbed from the nodes around it, in integers.
//
//	x:            [N C H W] or [N C W], int8 or uint8
//	w:            [M C/groups K1 K2] int16, constant: the integers less their zero point
//	mul, add:     [M] constants: the product of the scales of x and w, and the bias
//	start:        [M] int32 constant, optional
//	scale, shift: [M] constants, if conv.scaled
//	residual:     float32, of the result's shape, if conv.residual
//	y:            [N M O1 O2] float32, or int8 or uint8 if it quantises
//
// y is clamp((sum*mul + add) * scale + shift + residual, lo, hi), quantised with
// step and zero, each part only if it was absorbed. The sum, which begins with
// start, is exact; each part
// is calculated as the absorbed node would, so that it does not matter which
// of them are absorbed. It does matter that x and w come from DequantizeLinear,
// since the sum of rounded products would be another: no cut goes between.
type quantConv struct {
	conv      convolution
	xZero     int32
	quantised bool
	step      float32
	zero      int32
	to        tensor.DType // of y, if quantised
}

// Inputs of a quantConv are those of a convolution but for these.
const (
	quantConvMul    = convBias
	quantConvAdd    = convInputs
	quantConvStart  = convInputs + 1
	quantConvInputs = convInputs + 2
)

func (q *quantConv) String() string { return "Quant" + q.conv.String() }

func (q *quantConv) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, quantConvMul+1, quantConvInputs); err != nil {
		return nil, err
	}
	x, w := in[convX], in[convW]
	slides, err := q.conv.window.slides(x.Shape[2:], w.Shape[2:])
	if err != nil {
		return nil, err
	}
	y := tensor.Type{DType: tensor.Float32, Shape: windowShape(x.Shape[0], w.Shape[0], slides)}
	if q.quantised {
		y.DType = q.to
	}
	return []graph.Fact{{Type: y}}, nil
}

func (q *quantConv) FLOPs(in, out []graph.Fact) int64 {
	return flops(2, out[0].Shape.Elems(), in[convW].Shape[1:].Elems())
}

// shape returns the shape and the lanes of x for package qconv.
func (q *quantConv) shape(x, w tensor.Shape) (s conv.Shape, lanes int, ok bool) {
	if len(x) > 4 || slices.Contains(x, 0) {
		return s, 0, false
	}
	slides, err := q.conv.window.slides(x[2:], w[2:])
	if err != nil {
		return s, 0, false
	}
	if len(slides) == 1 {
		slides = []slide{{in: 1, out: 1, kernel: 1, stride: 1, dilation: 1}, slides[0]}
	}
	h, v := slides[0], slides[1]
	s = conv.Shape{
		N: x[0], IC: x[1], IH: h.in, IW: v.in, OC: w[0], OH: h.out, OW: v.out,
		KH: h.kernel, KW: v.kernel, StrideH: h.stride, StrideW: v.stride,
		DilationH: h.dilation, DilationW: v.dilation, PadTop: h.before, PadLeft: v.before,
		Groups: q.conv.groups,
	}
	if qconv.Accepts(s, qconv.Few) {
		return s, qconv.Few, true
	}
	return s, qconv.Block, qconv.Accepts(s, qconv.Block)
}

func (q *quantConv) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, len(in)), make([]graph.Layout, len(out))
	_, lanes, _ := q.shape(in[convX].Shape, in[convW].Shape)
	want[convX] = quantised{lanes, q.xZero}
	if q.conv.residual {
		want[convResidual] = nchw16c{}
	}
	give[0] = nchw16c{}
	if q.quantised {
		give[0] = quantised{qconv.Block, q.zero}
	}
	return want, give
}

func (q *quantConv) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	s, lanes, ok := q.shape(in[convX].Shape, in[convW].Shape)
	if !ok {
		return graph.Kernel{}, fmt.Errorf("%w shape %+v of a quantised convolution", ErrUnsupported, s)
	}
	e := qconv.Epilogue{Mul: in[quantConvMul].Const.F32(), Residual: q.conv.residual, Lo: -inf, Hi: inf}
	e.Add = in[quantConvAdd].Const.F32()
	if q.conv.scaled {
		e.Scale, e.Shift = in[convScale].Const.F32(), in[convShift].Const.F32()
	}
	if q.conv.clamped {
		e.Lo, e.Hi = q.conv.lo, q.conv.hi
	}
	if q.quantised {
		lo, hi := quantisedRange(q.to)
		e.Step, e.Min, e.Max = q.step, int(lo-q.zero), int(hi-q.zero)
	}
	if start := input(in, quantConvStart); start.Const != nil {
		e.Start = tensor.View[int32](start.Const)
	}
	k := qconv.New(s, lanes, tensor.View[int16](in[convW].Const), e)
	g := graph.Kernel{Info: k.Info(), Temp: 2 * k.Temp(), Scratch: 2 * k.Scratch(), Packed: []int{convW, quantConvMul, quantConvAdd}}
	if q.conv.scaled {
		g.Packed = append(g.Packed, convScale, convShift)
	}
	if e.Start != nil {
		g.Packed = append(g.Packed, quantConvStart)
	}
	if q.conv.residual && !q.quantised {
		g.InPlace = []int{convResidual}
	}
	for step := range k.Steps() {
		g.Steps = append(g.Steps, graph.Step{N: k.Chunks(step), Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
			var y qconv.Out
			if q.quantised {
				y.Narrow = tensor.Cast[int16](out[0].Raw)
			} else {
				y.Wide = floats(out[0])
			}
			k.Run(step, i, tensor.Cast[int16](x.Temp), tensor.Cast[int16](x.Scratch), tensor.Cast[int16](in[convX].Raw),
				floatsAt(in, convResidual, q.conv.residual), y)
			return nil
		}})
	}
	return g, nil
}

// newQuantConv makes a quantConv of the convolution c of node n, whose x is the
// result of the node from, a DequantizeLinear; it reports whether that can be.
func newQuantConv(e *graph.Editor, from, n *graph.Node, c *convolution) bool {
	x, w := from.In[0], n.In[convW]
	scale, zero, ok := oneScale(graph.Facts(from.In), x.DType)
	if !ok || len(c.absorbed) > 0 || n.In[convX] != from.Out[0] || from.Out[0].DType != tensor.Float32 || w.Made == nil {
		return false
	}
	values, scales, ok := integerWeights(w.Made)
	if !ok {
		return false
	}
	q := &quantConv{conv: *c, xZero: zero}
	if _, _, ok := q.shape(x.Shape, w.Shape); !ok {
		return false
	}
	m := w.Shape[0]
	mul, add := make([]float32, m), make([]float32, m)
	for i := range mul {
		mul[i] = scale * scales[spread(i, len(scales))]
	}
	if b := input(graph.Facts(n.In), convBias); b.Const != nil {
		copy(add, b.Const.F32())
	} else if !b.Missing() {
		return false
	}
	in := make([]*graph.Value, quantConvInputs)
	in[convX], in[convW] = x, graph.Constant(w.Name, values)
	in[quantConvMul] = graph.Constant(n.Name+".mul", tensor.Of(mul, m))
	in[quantConvAdd] = graph.Constant(n.Name+".add", tensor.Of(add, m))
	e.Set(n, q, in)
	return true
}

// integerWeights returns the integers, less their zero point, and the scales
// of the weights of a convolution that made, a DequantizeLinear, gives: one
// scale, or one for each output channel.
func integerWeights(made *graph.Node) (values *tensor.Tensor, scales []float32, ok bool) {
	op, ok := made.Op.(dequantizeLinear)
	if !ok {
		return nil, nil, false
	}
	in := graph.Facts(made.In)
	w, s, z := in[0], in[1], input(in, 2)
	if w.DType != tensor.Int8 && w.DType != tensor.Uint8 || s.DType != tensor.Float32 || made.Out[0].DType != tensor.Float32 {
		return nil, nil, false
	}
	g, err := granularityOf(w.Shape, s, z, op.axis, op.block)
	if err != nil || g.block > 0 || g.inner > 0 && (g.length != w.Shape[0] || g.inner*g.length != w.Shape.Elems()) {
		return nil, nil, false
	}
	values = tensor.New(tensor.Int16, w.Shape...)
	to := tensor.View[int16](values)
	g.walk(0, len(to), func(at, n, param int) {
		shifted16(to[at:][:n], w.Const, at, zeroAt(z.Const, param))
	})
	return values, s.Const.F32(), true
}

// Rewrite absorbs one neighbour of n: a Pad of zeros in front of the
// QuantizeLinear that gives x, or behind it what a convolution absorbs, or a
// QuantizeLinear.
func (q *quantConv) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	if q.absorbPad(e, n) || widenPool(e, n.In[convX], q.xZero) {
		return true, nil
	}
	user := e.OnlyUser(n.Out[0])
	if user == nil || q.quantised {
		return false, nil
	}
	in := slices.Clone(n.In)
	next := *q
	c := &next.conv
	name := user.Op.String()
	switch op := user.Op.(type) {
	case quantizeLinear:
		scale, zero, ok := op.step(user, n.Out[0])
		if !ok {
			return false, nil
		}
		next.quantised, next.step, next.zero, next.to = true, scale, zero, user.Out[0].DType
	case batchNormalization:
		scale, shift, ok := op.factors(graph.Facts(user.In))
		if !ok || c.scaled || c.residual || c.clamped || user.In[0] != n.Out[0] {
			return false, nil
		}
		name = "BN" + op.clamp
		c.scaled, c.clamped, c.lo, c.hi = true, op.clamped, op.lo, op.hi
		in[convScale], in[convShift] = constants(n, scale, shift)
	case binary:
		if c.clamped || !c.absorbBinary(e, n, user, op, in) || c.residual && c.groups > 1 {
			return false, nil
		}
	case clamper:
		lo, hi, ok := op.bounds(graph.Facts(user.In))
		if !ok || c.clamped || user.In[0] != n.Out[0] {
			return false, nil
		}
		c.clamped, c.lo, c.hi = true, lo, hi
	default:
		return false, nil
	}
	c.absorbed = append(slices.Clone(c.absorbed), name)
	e.Absorb(n, user, &next, in)
	return true, nil
}

// absorbPad lets n do the padding of the value that is quantised to x: zeros
// become the zero point, with which the convolution pads. The QuantizeLinear
// then reads what was padded.
func (q *quantConv) absorbPad(e *graph.Editor, n *graph.Node) bool {
	x := n.In[convX]
	quantise := e.Producer(x)
	if quantise == nil || e.OnlyUser(x) != n || !slices.Contains([]string{"NOTSET", "VALID"}, q.conv.window.autoPad) {
		return false
	}
	if _, ok := quantise.Op.(quantizeLinear); !ok {
		return false
	}
	_, zero, ok := oneScale(graph.Facts(quantise.In), x.DType)
	p := e.Producer(quantise.In[0])
	if !ok || zero != q.xZero || p == nil || e.OnlyUser(p.Out[0]) != quantise {
		return false
	}
	op, ok := p.Op.(pad)
	if !ok {
		return false
	}
	before, behind, ok := op.spatialZeros(graph.Facts(p.In))
	if !ok || slices.Min(before) < 0 || slices.Min(behind) < 0 {
		return false
	}
	next := *q
	w := &next.conv.window
	w.autoPad, w.pads = "NOTSET", append(before, behind...)
	if old := q.conv.window.pads; q.conv.window.autoPad == "NOTSET" && old != nil {
		if len(old) != len(w.pads) {
			return false
		}
		for i, v := range old {
			w.pads[i] += v
		}
	}
	if _, _, ok := next.shape(p.In[0].Shape, n.In[convW].Shape); !ok {
		return false
	}
	next.conv.absorbed = append(slices.Clone(q.conv.absorbed), "Pad")
	x.Shape = p.In[0].Shape
	e.Set(quantise, quantise.Op, append([]*graph.Value{p.In[0]}, quantise.In[1:]...))
	e.Remove(p, p.In[0]) // it would still be a reader of its input
	e.Set(n, &next, n.In)
	return true
}

// widenPool lets the MaxPool of bytes that gives x, if one does, work on the
// numbers that they stand for in steps of 1, which lie in blocks as the
// convolution reads them.
func widenPool(e *graph.Editor, x *graph.Value, zero int32) bool {
	p := e.Producer(x)
	if p == nil || p.Out[0] != x || slices.ContainsFunc(p.Out[1:], func(v *graph.Value) bool { return v != nil }) {
		return false
	}
	op, ok := p.Op.(*maxPool)
	if !ok {
		return false
	}
	numbers := func(v *graph.Value) tensor.Type { return tensor.Type{DType: tensor.Float32, Shape: v.Shape} }
	zeroPoint := tensor.New(x.DType)
	zeroPoint.Raw[0] = byte(zero)
	step, from := graph.Constant(p.Name+".step", tensor.Scalar(float32(1))), graph.Constant(p.Name+".zero", zeroPoint)
	wide := e.Insert(p, p.Name+".wide", dequantizeLinear{axis: 1}, p.Layers, []*graph.Value{p.In[0], step, from}, numbers(p.In[0]))
	most := e.Insert(p, p.Name+".max", op, p.Layers, []*graph.Value{wide}, numbers(x))
	e.Set(p, quantizeLinear{axis: 1}, []*graph.Value{most, step, from})
	return true
}
