package ops

import (
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// An operator that calculates in float32 does so for 16-bit floating point too:
// its inputs are widened before a run and its results rounded after it, so what
// lies between two nodes is 16 bits wide. Such an operator begins Infer and
// Compile with
//
//	if d := halfType(in); d.Valid() {
//		return inferHalf(op, d, in)
//	}

// halfType returns the 16-bit floating-point type of the inputs if there is one
// among them.
func halfType(in []graph.Fact) tensor.DType {
	for _, f := range in {
		if slices.Contains(halfTypes, f.DType) {
			return f.DType
		}
	}
	return tensor.Undefined
}

// inferredHalf bounds the elements of a constant that Infer may read.
const inferredHalf = 1 << 12

// inferHalf is Infer of op for inputs of which some have the 16-bit type d.
func inferHalf(op graph.Op, d tensor.DType, in []graph.Fact) ([]graph.Fact, error) {
	in = slices.Clone(in)
	for i, f := range in {
		if f.DType == d {
			in[i] = widened(f, inferredHalf)
		}
	}
	out, err := op.Infer(in)
	for i := range out {
		out[i] = narrowed(out[i], d)
	}
	return out, err
}

// widened returns f as float32, without its constant if that has more elements
// than most.
func widened(f graph.Fact, most int) graph.Fact {
	wide := graph.Fact{Type: tensor.Type{DType: tensor.Float32, Shape: f.Shape}}
	if f.Const != nil && f.Shape.Elems() <= most {
		wide.Const = tensor.New(tensor.Float32, f.Shape...)
		widen(halfOf(f.DType), wide.Const.F32(), tensor.View[uint16](f.Const))
	}
	return wide
}

// inSingle returns the facts of which a kernel for 16-bit floating point is made.
func inSingle(facts []graph.Fact) []graph.Fact {
	wide := slices.Clone(facts)
	for i, f := range facts {
		if slices.Contains(halfTypes, f.DType) {
			wide[i] = widened(f, math.MaxInt)
		}
	}
	return wide
}

// narrowed returns f with the type d if it is float32.
func narrowed(f graph.Fact, d tensor.DType) graph.Fact {
	if f.DType == tensor.Float32 {
		f = graph.Fact{Type: tensor.Type{DType: d, Shape: f.Shape}}
	}
	return f
}

func widen(h half, dst []float32, src []uint16) {
	for i, v := range src {
		dst[i] = h.load(v)
	}
}

func narrow(h half, dst []uint16, src []float32) {
	for i, v := range src {
		dst[i] = h.store(v)
	}
}

// halfKernel is a kernel for float32 with what surrounds it.
type halfKernel struct {
	half
	inner   graph.Kernel
	in, out []halfValue
	runs    spares[halfRun]
}

// halfValue is an input or output of the inner kernel.
type halfValue struct {
	fact    graph.Fact // as the inner kernel has it
	changed bool       // it lies in Temp
	plain   int        // its place there, row-major
	at      int        // its place there, in its layout
}

// halfRun is what one call of the inner kernel works with.
type halfRun struct {
	exec    graph.Exec
	in, out []*tensor.Tensor
	made    []tensor.Tensor // what in and out point to, inputs first
}

// compileHalf is Compile of op for inputs of which some have the 16-bit type d.
func compileHalf(op graph.Op, d tensor.DType, in, out []graph.Fact) (graph.Kernel, error) {
	facts := slices.Clone(in)
	for i, f := range facts {
		if f.DType == d {
			facts[i] = widened(f, math.MaxInt)
		}
	}
	outs, err := op.Infer(facts)
	if err != nil {
		return graph.Kernel{}, err
	}
	outs = slices.Clone(outs[:len(out)])
	if l, ok := op.(graph.Layouter); ok {
		want, give := l.Layouts(facts, outs)
		for i := range facts {
			if facts[i].Const == nil {
				facts[i].Layout = want[i]
			}
		}
		for i := range outs {
			outs[i].Layout = give[i]
		}
	}
	k := &halfKernel{half: halfOf(d)}
	if k.inner, err = op.Compile(facts, outs); err != nil || k.inner.View {
		return k.inner, err
	}
	g := graph.Kernel{Info: "float32 " + k.inner.Info, Temp: alignedBytes(k.inner.Temp), Scratch: k.inner.Scratch, Packed: k.inner.Packed}
	k.in, k.out = k.values(&g, facts, in), k.values(&g, outs, out)
	k.runs = sparesOf(func() *halfRun {
		return &halfRun{
			in: make([]*tensor.Tensor, len(in)), out: make([]*tensor.Tensor, len(out)), made: make([]tensor.Tensor, len(in)+len(out)),
		}
	})
	for i, v := range k.in {
		if v.changed {
			g.Steps = append(g.Steps, k.convert(v, true, func(in, _ []*tensor.Tensor) *tensor.Tensor { return in[i] })...)
			if l := v.fact.Layout; l != nil {
				g.Steps = append(g.Steps, k.relay(v, l.Pack(v.fact.Type), true)...)
			}
		}
	}
	for _, s := range k.inner.Steps {
		g.Steps = append(g.Steps, graph.Step{N: s.N, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
			r := k.runs.get()
			defer k.runs.put(r)
			r.exec = graph.Exec{Scratch: x.Scratch, Temp: x.Temp[:k.inner.Temp]}
			fillHalf(r.in, r.made, k.in, in, x.Temp)
			fillHalf(r.out, r.made[len(in):], k.out, out, x.Temp)
			return s.Do(&r.exec, r.in, r.out, i)
		}})
	}
	for i, v := range k.out {
		if v.changed {
			if l := v.fact.Layout; l != nil {
				g.Steps = append(g.Steps, k.relay(v, l.Unpack(v.fact.Type), false)...)
			}
			g.Steps = append(g.Steps, k.convert(v, false, func(_, out []*tensor.Tensor) *tensor.Tensor { return out[i] })...)
		}
	}
	return g, nil
}

func alignedBytes(n int) int { return ceil(n, tensor.Align) * tensor.Align }

// values returns what lies outside as it is inside, and makes room for it in g.
func (k *halfKernel) values(g *graph.Kernel, inside, outside []graph.Fact) []halfValue {
	list := make([]halfValue, len(inside))
	reserve := func(bytes int) int {
		g.Temp += alignedBytes(bytes)
		return g.Temp - alignedBytes(bytes)
	}
	for i, f := range inside {
		v := halfValue{fact: f, changed: f.Const == nil && !f.Missing() && (f.DType != outside[i].DType || f.Layout != nil)}
		if v.changed {
			v.plain = reserve(f.Type.Bytes())
			if v.at = v.plain; f.Layout != nil && !f.Layout.Pack(f.Type).View {
				v.at = reserve(f.Bytes())
			}
		}
		list[i] = v
	}
	return list
}

// fillHalf makes list what the inner kernel has for the given tensors.
func fillHalf(list []*tensor.Tensor, made []tensor.Tensor, values []halfValue, given []*tensor.Tensor, temp []byte) {
	for i, v := range values {
		switch list[i] = given[i]; {
		case given[i] == nil:
		case v.changed:
			made[i] = tensor.Tensor{Type: v.fact.Type, Raw: temp[v.at:][:v.fact.Bytes()]}
			list[i] = &made[i]
		case v.fact.Const != nil:
			list[i] = v.fact.Const
		}
	}
}

// convert returns the step that brings a value from outside to its plain place
// in Temp, or from there to the outside.
func (k *halfKernel) convert(v halfValue, inwards bool, outside func(in, out []*tensor.Tensor) *tensor.Tensor) []graph.Step {
	n := v.fact.Shape.Elems()
	count := chunks(n, scalarTime)
	return []graph.Step{{N: count, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(n, count, i, tensor.Align)
		t, wide := outside(in, out), x.Temp[v.plain:][:v.fact.Type.Bytes()]
		switch f := tensor.Cast[float32](wide); {
		case t == nil:
		case t.DType == v.fact.DType && inwards: // only its layout is another
			copy(wide[4*lo:4*hi], t.Raw[4*lo:])
		case t.DType == v.fact.DType:
			copy(t.Raw[4*lo:4*hi], wide[4*lo:])
		case inwards:
			widen(k.half, f[lo:hi], tensor.View[uint16](t)[lo:hi])
		default:
			narrow(k.half, tensor.View[uint16](t)[lo:hi], f[lo:hi])
		}
		return nil
	}}}
}

// relay returns the steps of c, which brings a value from its plain place to
// that of its layout, or back.
func (k *halfKernel) relay(v halfValue, c graph.Kernel, inwards bool) []graph.Step {
	var steps []graph.Step
	for _, s := range c.Steps {
		steps = append(steps, graph.Step{N: s.N, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
			r := k.runs.get()
			defer k.runs.put(r)
			plain := &r.made[0]
			*plain = tensor.Tensor{Type: v.fact.Type, Raw: x.Temp[v.plain:][:v.fact.Type.Bytes()]}
			laid := &r.made[1]
			*laid = tensor.Tensor{Type: v.fact.Type, Raw: x.Temp[v.at:][:v.fact.Bytes()]}
			r.in[0], r.out[0] = plain, laid
			if !inwards {
				r.in[0], r.out[0] = laid, plain
			}
			return s.Do(x, r.in[:1], r.out[:1], i)
		}})
	}
	return steps
}
