package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/qconv"
)

// quantBinary is an Add or Mul of the results of two nodes DequantizeLinear and
// a QuantizeLinear behind it, bit for bit as the separate nodes give it.
//
//	a, b: int8 or uint8, any shape, the same for both
//	y:    int8 or uint8, the same shape
type quantBinary struct {
	op             binary
	aScale, bScale float32
	aZero, bZero   int32
	step           float32
	zero           int32
	to             tensor.DType
}

func (q *quantBinary) String() string { return "Quant" + q.op.String() + "+QuantizeLinear" }

func (q *quantBinary) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: q.to, Shape: in[0].Shape}}}, nil
}

func (q *quantBinary) FLOPs(in, out []graph.Fact) int64 { return flops(6, out[0].Shape.Elems()) }

// Layouts keeps blocks where one input lies in them.
func (q *quantBinary) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, len(in)), make([]graph.Layout, len(out))
	a, b := quantised{lanes, q.aZero}, quantised{lanes, q.bZero}
	if in[0].Layout == a || in[1].Layout == b {
		want[0], want[1], give[0] = a, b, quantised{lanes, q.zero}
	}
	return want, give
}

// bounds returns the numbers between which a result is quantised.
func (q *quantBinary) bounds() (lo, hi float32) {
	least, most := quantisedRange(q.to)
	lo, hi = float32(least-q.zero)*q.step, float32(most-q.zero)*q.step
	if q.op.clamped {
		lo = max(lo, q.op.lo)
		hi = max(min(hi, q.op.hi), lo)
	}
	return lo, hi
}

func (q *quantBinary) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	op := qconv.Add
	if q.op.op == opMul {
		op = qconv.Mul
	}
	lo, hi := q.bounds()
	if l, ok := out[0].Layout.(quantised); ok {
		n := l.elems(out[0].Shape)
		count := chunks(n, vectorTime)
		return graph.Kernel{Info: qconv.Info(), InPlace: []int{0, 1}, Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
			from, to := span(n, count, i, lanes)
			part := func(t *tensor.Tensor) []int16 { return tensor.Cast[int16](t.Raw)[from:to] }
			qconv.Combine(op, part(out[0]), part(in[0]), part(in[1]), q.aScale, q.bScale, q.step, lo, hi)
			return nil
		}}}}, nil
	}
	n := out[0].Shape.Elems()
	count := chunks(n, vectorTime)
	return graph.Kernel{Info: qconv.Info(), Scratch: 4 * castBlock, Steps: []graph.Step{{N: count, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
		from, to := span(n, count, i, castBlock)
		for ; from < to; from += castBlock {
			size := min(castBlock, to-from)
			a, b := tensor.Cast[int16](x.Scratch)[:size], tensor.Cast[int16](x.Scratch)[castBlock:][:size]
			qconv.Widen(a, in[0].Raw[from:][:size], in[0].DType == tensor.Int8, int(q.aZero))
			qconv.Widen(b, in[1].Raw[from:][:size], in[1].DType == tensor.Int8, int(q.bZero))
			qconv.Combine(op, a, a, b, q.aScale, q.bScale, q.step, lo, hi)
			qconv.Narrow(out[0].Raw[from:][:size], a, int(q.zero))
		}
		return nil
	}}}}, nil
}

// newQuantBinary makes a quantBinary of n, a QuantizeLinear, and of the node in
// front of it, if that alone reads what two nodes DequantizeLinear give.
func newQuantBinary(e *graph.Editor, n *graph.Node, q quantizeLinear) bool {
	p := e.Producer(n.In[0])
	if p == nil || e.OnlyUser(p.Out[0]) != n {
		return false
	}
	op, ok := p.Op.(binary)
	if !ok || op.op != opAdd && op.op != opMul || !p.In[0].Shape.Equal(p.In[1].Shape) {
		return false
	}
	a, aScale, aZero, okA := dequantised(e, p.In[0])
	b, bScale, bZero, okB := dequantised(e, p.In[1])
	step, zero, ok := oneScale(graph.Facts(n.In), n.Out[0].DType)
	if !okA || !okB || !ok || q.precision > tensor.Float32 {
		return false
	}
	e.Absorb(p, n, &quantBinary{
		op: op, aScale: aScale, bScale: bScale, aZero: aZero, bZero: bZero, step: step, zero: zero, to: n.Out[0].DType,
	}, []*graph.Value{a, b})
	return true
}
