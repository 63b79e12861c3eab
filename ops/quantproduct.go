package ops

import (
	"slices"
	"strings"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/qconv"
)

// quantProduct is a MatMul or a Gemm whose a and b are results of
// DequantizeLinear, with these and with what it has absorbed from the nodes
// behind it, in integers.
//
//	a:            [... M K] or [K], int8 or uint8
//	b:            [... K N] or [K], int8 or uint8, or [K N] int16, constant: the integers less their zero point
//	mul, add:     [N] constants: the product of the scales of a and b, and Gemm's c
//	scale, shift: [N] constants, if scaled
//	y:            [... M N] float32, or int8 or uint8 if it quantises
//
// y is clamp((sum*mul + add) * scale + shift, lo, hi), quantised with step and
// zero, as in quantConv.
type quantProduct struct {
	name         string
	aZero, bZero int32
	scaled       bool
	clamped      bool
	lo, hi       float32
	quantised    bool
	step         float32
	zero         int32
	to           tensor.DType // of y, if quantised
	absorbed     []string
}

// Inputs of a quantProduct.
const (
	quantProductA = iota
	quantProductB
	quantProductMul
	quantProductAdd
	quantProductScale
	quantProductShift
	quantProductInputs
)

var quantProductOperands = integerProduct{a: quantProductA, b: quantProductB, aZero: quantProductInputs, bZero: quantProductInputs}

func (q *quantProduct) String() string {
	return strings.Join(append([]string{"Quant" + q.name}, q.absorbed...), "+")
}

func (q *quantProduct) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, quantProductAdd+1, quantProductInputs); err != nil {
		return nil, err
	}
	s, err := quantProductOperands.infer(in[quantProductA].Shape, in[quantProductB].Shape)
	if err != nil {
		return nil, err
	}
	y := tensor.Type{DType: tensor.Float32, Shape: s}
	if q.quantised {
		y.DType = q.to
	}
	return []graph.Fact{{Type: y}}, nil
}

func (q *quantProduct) FLOPs(in, out []graph.Fact) int64 {
	a := in[quantProductA].Shape
	return flops(2, out[0].Shape.Elems(), a[len(a)-1])
}

func (q *quantProduct) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	e := qconv.Epilogue{Mul: in[quantProductMul].Const.F32(), Add: in[quantProductAdd].Const.F32(), Lo: -inf, Hi: inf}
	packed := []int{quantProductMul, quantProductAdd}
	if q.scaled {
		e.Scale, e.Shift = in[quantProductScale].Const.F32(), in[quantProductShift].Const.F32()
		packed = append(packed, quantProductScale, quantProductShift)
	}
	if q.clamped {
		e.Lo, e.Hi = q.lo, q.hi
	}
	if q.quantised {
		lo, hi := quantisedRange(q.to)
		e.Step, e.Min, e.Max = q.step, int(lo-q.zero), int(hi-q.zero)
	}
	p, ok := packProduct(quantProductOperands, in, e)
	if !ok {
		return graph.Kernel{}, ErrUnsupported
	}
	p.packed, p.yZero = append(p.packed, packed...), q.zero
	p.aZero = func([]*tensor.Tensor) int32 { return q.aZero }
	p.bZero = func([]*tensor.Tensor) int32 { return q.bZero }
	return p.compile(), nil
}

// newQuantProduct makes a quantProduct of n, a MatMul or Gemm, if it reads
// results of DequantizeLinear and package qconv takes the product.
func newQuantProduct(e *graph.Editor, n *graph.Node) bool {
	if len(n.In) < 2 || n.Out[0].DType != tensor.Float32 {
		return false
	}
	a, aScale, q, ok := dequantised(e, n.In[0])
	if !ok {
		return false
	}
	turned, columns := false, n.Out[0].Shape[len(n.Out[0].Shape)-1:].Elems()
	var c *graph.Value
	product := &quantProduct{name: n.Op.String(), aZero: q}
	switch op := n.Op.(type) {
	case matMul:
		if len(n.In[1].Shape) < 2 {
			columns = 1
		}
	case matrixProduct:
		if len(n.In) > 2 {
			c = n.In[2]
		}
		if op.transA || op.alpha != 1 || c != nil && op.beta != 1 {
			return false
		}
		turned = op.transB
	default:
		return false
	}
	in := make([]*graph.Value, quantProductInputs)
	in[quantProductA] = a
	mul, add := make([]float32, columns), make([]float32, columns)
	if w := n.In[1]; w.Made != nil {
		values, scales, ok := integerMatrix(w.Made, turned)
		if !ok {
			return false
		}
		in[quantProductB] = graph.Constant(w.Name, values)
		for i := range mul {
			mul[i] = aScale * scales[spread(i, len(scales))]
		}
	} else {
		b, bScale, zero, ok := dequantised(e, w)
		if !ok || turned {
			return false
		}
		in[quantProductB], product.bZero = b, zero
		for i := range mul {
			mul[i] = aScale * bScale
		}
	}
	if c != nil {
		if c.Const == nil || c.Shape.Elems() != 1 && (c.Shape.Elems() != columns || c.Shape[len(c.Shape)-1] != columns) {
			return false
		}
		for i := range add {
			add[i] = c.Const.F32()[spread(i, c.Shape.Elems())]
		}
	}
	if !quantProductOperands.packs(graph.Facts(in)) {
		return false
	}
	in[quantProductMul] = graph.Constant(n.Name+".mul", tensor.Of(mul, columns))
	in[quantProductAdd] = graph.Constant(n.Name+".add", tensor.Of(add, columns))
	e.Set(n, product, in)
	return true
}

// dequantised returns the bytes of which v is the numbers, with scale and zero
// point, if a DequantizeLinear with one scale made it.
func dequantised(e *graph.Editor, v *graph.Value) (bytes *graph.Value, scale float32, zero int32, ok bool) {
	p := e.Producer(v)
	if p == nil || v.DType != tensor.Float32 {
		return nil, 0, 0, false
	}
	if _, is := p.Op.(dequantizeLinear); !is {
		return nil, 0, 0, false
	}
	scale, zero, ok = oneScale(graph.Facts(p.In), p.In[0].DType)
	return p.In[0], scale, zero, ok
}

// integerMatrix returns the integers [K N], less their zero point, and the scales
// of a matrix that made, a DequantizeLinear, gives: one scale, or one for each
// column. The matrix is [N K] if turned.
func integerMatrix(made *graph.Node, turned bool) (values *tensor.Tensor, scales []float32, ok bool) {
	op, ok := made.Op.(dequantizeLinear)
	if !ok {
		return nil, nil, false
	}
	in := graph.Facts(made.In)
	w, s, z := in[0], in[1], input(in, 2)
	if w.DType.Size() != 1 || len(w.Shape) != 2 || s.DType != tensor.Float32 || made.Out[0].DType != tensor.Float32 {
		return nil, nil, false
	}
	column := 1
	if turned {
		column = 0
	}
	g, err := granularityOf(w.Shape, s, z, op.axis, op.block)
	k, n := w.Shape[1-column], w.Shape[column]
	inner := []int{k, 1}[column]
	if err != nil || g.block > 0 || g.inner > 0 && (g.length != n || g.inner != inner) {
		return nil, nil, false
	}
	flat := make([]int16, k*n)
	g.walk(0, len(flat), func(at, length, param int) {
		shifted16(flat[at:][:length], w.Const, at, zeroAt(z.Const, param))
	})
	if turned {
		rows := flat
		flat = make([]int16, k*n)
		for i, v := range rows {
			flat[i%k*n+i/k] = v
		}
	}
	return tensor.Of(flat, k, n), s.Const.F32(), true
}

// Rewrite absorbs what alone reads the result: an Add or a Mul of one constant
// for each column, a clamping activation, or a QuantizeLinear.
func (q *quantProduct) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	y := n.Out[0]
	user := e.OnlyUser(y)
	if user == nil || q.quantised {
		return false, nil
	}
	in := slices.Clone(n.In)
	next := *q
	switch op := user.Op.(type) {
	case quantizeLinear:
		scale, zero, ok := op.step(user, y)
		if !ok {
			return false, nil
		}
		next.quantised, next.step, next.zero, next.to = true, scale, zero, user.Out[0].DType
	case binary:
		other := user.In[0]
		if other == y {
			other = user.In[1]
		}
		columns := n.In[quantProductMul].Shape.Elems()
		elems, s := other.Shape.Elems(), other.Shape
		perColumn := len(s) > 0 && s[len(s)-1] == columns && elems == columns
		if q.scaled || q.clamped || other.Const == nil || !user.Out[0].Shape.Equal(y.Shape) || !perColumn && elems != 1 || op.op != opAdd && op.op != opMul {
			return false, nil
		}
		scale, shift := make([]float32, columns), make([]float32, columns)
		for i := range scale {
			scale[i], shift[i] = op.scaleShift(other.Const.F32()[spread(i, elems)], 0)
		}
		next.scaled, next.clamped, next.lo, next.hi = true, op.clamped, op.lo, op.hi
		in[quantProductScale], in[quantProductShift] = constants(n, scale, shift)
	case clamper:
		lo, hi, ok := op.bounds(graph.Facts(user.In))
		if !ok || q.clamped || user.In[0] != y {
			return false, nil
		}
		next.clamped, next.lo, next.hi = true, lo, hi
	default:
		return false, nil
	}
	next.absorbed = append(slices.Clone(q.absorbed), user.Op.String())
	e.Absorb(n, user, &next, in)
	return true, nil
}
