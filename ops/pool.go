package ops

import (
	"fmt"
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/pool"
)

// pooling is what MaxPool and AveragePool share.
type pooling struct {
	window window
	shape  []int // of the kernel
	// outer is the rows of zeros, taken from Pads, before each spatial dimension
	// and then behind each. Unlike the window's padding they are values. Less
	// than none are rows of x that are not read. It is nil for no rows.
	outer []int
}

func poolingOf(a *Attrs) pooling {
	p := pooling{window: windowOf(a), shape: a.Ints("kernel_shape")}
	p.window.ceilMode = a.Int("ceil_mode", 0) != 0
	if len(p.shape) == 0 {
		a.Fail("attribute %q is missing", "kernel_shape")
	}
	return p
}

// describe returns the operator's String.
func (p *pooling) describe(name string) string {
	s := fmt.Sprintf("%s[%s]", name, p.window.describe(p.shape))
	if p.outer != nil {
		s += "+Pad"
	}
	return s
}

// infer returns the type of y for the only input x.
func (p *pooling) infer(in []graph.Fact, types ...tensor.DType) (tensor.Type, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return tensor.Type{}, err
	}
	x := in[0]
	if err := checkType("x", x.DType, types...); err != nil {
		return tensor.Type{}, err
	}
	if len(x.Shape) < 3 {
		return tensor.Type{}, fmt.Errorf("x has shape %v, want at least 3 dimensions", x.Shape)
	}
	slides, err := p.slides(x.Shape)
	if err != nil {
		return tensor.Type{}, err
	}
	return tensor.Type{DType: x.DType, Shape: windowShape(x.Shape[0], x.Shape[1], slides)}, nil
}

// minBlockChannels is the number of channels from which pooling in NCHW16c is
// worth the pad lanes.
const minBlockChannels = lanes / 2

// Layouts asks for NCHW16c or not as the types say, whatever comes, since sums
// in another layout may have another order.
func (p *pooling) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	_, ok := p.packed(in, out)
	return poolLayouts(in, out, ok)
}

// poolLayouts returns NCHW16c, if the pool can work in it, where that is worth it.
func poolLayouts(in, out []graph.Fact, can bool) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, len(in)), make([]graph.Layout, len(out))
	if x := in[0]; can && x.Const == nil && blockable(x.Type) && blockable(out[0].Type) && x.Shape[1] >= minBlockChannels {
		want[0], give[0] = nchw16c{}, nchw16c{}
	}
	return want, give
}

// maxPoolOutputs is the largest number of rows or columns for each of which
// package pool may keep something.
const maxPoolOutputs = 1 << 20

// packed returns the shape for package pool, and ok if it can be used: for one
// float32 output in one or two dimensions, of sizes whose products are within
// an int everywhere. A pool that has taken in a Pad has one output.
func (p *pooling) packed(in, out []graph.Fact) (s pool.Shape, ok bool) {
	x := in[0].Shape
	slides, err := p.slides(x)
	if err != nil || out[0].DType != tensor.Float32 || len(slides) > 2 || len(out) > 1 && p.outer == nil {
		return s, false
	}
	if len(slides) == 1 {
		slides = []slide{{in: 1, out: 1, kernel: 1, stride: 1, dilation: 1}, slides[0]}
	}
	h, v := slides[0], slides[1]
	if flops(lanes, h.out, v.out, h.kernel, v.kernel) >= math.MaxInt32 || max(h.out, v.out) > maxPoolOutputs {
		return s, false
	}
	return pool.Shape{
		N: x[0], C: x[1], IH: h.in, IW: v.in, OH: h.out, OW: v.out,
		KH: h.kernel, KW: v.kernel, StrideH: h.stride, StrideW: v.stride, DilationH: h.dilation, DilationW: v.dilation,
		PadTop: h.before, PadLeft: v.before, PadBottom: h.behind, PadRight: v.behind,
	}, true
}

// poolKernel makes a kernel of k.
func poolKernel(k *pool.Kernel) graph.Kernel {
	return kernelOf(k, func(step, chunk int, temp, scratch []float32, in, out []*tensor.Tensor) {
		k.Run(step, chunk, temp, scratch, floats(in[0]), floats(out[0]))
	})
}

// slides returns the window's movement over x.
func (p *pooling) slides(x tensor.Shape) ([]slide, error) {
	if p.outer != nil {
		return p.paddedSlides(x[2:])
	}
	slides, err := p.window.slides(x[2:], p.shape)
	if err != nil {
		return nil, err
	}
	for i := range slides {
		if s := &slides[i]; max(s.before, s.behind) >= s.extent() {
			return nil, fmt.Errorf("spatial dimension %d: pads are %d and %d, want less than the %d places that the kernel spans",
				i, s.before, s.behind, s.extent())
		}
	}
	return slides, nil
}

// paddedSlides is slides where there are rows of zeros.
func (p *pooling) paddedSlides(x []int) ([]slide, error) {
	rank := len(x)
	padded := slices.Clone(x)
	for i := range padded {
		padded[i] += p.outer[i] + p.outer[rank+i]
	}
	all, err := p.window.slides(padded, p.shape)
	for i := range all {
		all[i].in, all[i].before, all[i].behind = x[i], p.outer[i], p.outer[rank+i]
	}
	return all, err
}

// tile returns the pooling that gives rows of the only output, and the rows of x
// that it reads.
func (p *pooling) tile(in, out []graph.Fact, rows graph.Rows) (next pooling, reads graph.Rows, ok bool) {
	in, out = inSingle(in), inSingle(out)
	x := in[0]
	if len(x.Shape) != 4 || p.outer != nil || len(out) > 1 && !out[1].Missing() {
		return next, reads, false
	}
	slides, err := p.slides(x.Shape)
	if err != nil {
		return next, reads, false
	}
	part, first, end, ok := slides[0].part(rows.From, rows.To)
	if !ok {
		return next, reads, false
	}
	next, reads = *p, graph.Rows{From: first, To: end}
	next.window = p.window.of([]slide{part, slides[1]})
	tx, ty := graph.Fact{Type: reads.Of(x.Type)}, graph.Fact{Type: rows.Of(out[0].Type)}
	if got, err := next.slides(tx.Shape); err != nil || !windowShape(x.Shape[0], x.Shape[1], got).Equal(ty.Shape) {
		return next, reads, false
	}
	// The sums of all packages and layouts are alike only where the same are used.
	_, whole := p.packed(in, out[:1])
	_, tiled := next.packed([]graph.Fact{tx}, []graph.Fact{ty})
	return next, reads, whole == tiled && blockable(x.Type) == blockable(tx.Type) && blockable(out[0].Type) == blockable(ty.Type)
}

// maxPaddedWindow is the largest length of a window that takes in a Pad.
const maxPaddedWindow = 16

// absorbPad returns p with the zeros of the Pad that gives the input of n,
// whose operator it is part of, and the Pad's input. It is for windows without
// padding, as package pool calculates them.
func (p pooling) absorbPad(e *graph.Editor, n *graph.Node) (next pooling, x *graph.Value, ok bool) {
	from := e.Producer(n.In[0])
	if from == nil || p.window.autoPad != "NOTSET" && p.window.autoPad != "VALID" || p.window.ceilMode ||
		p.window.autoPad == "NOTSET" && slices.ContainsFunc(p.window.pads, func(v int) bool { return v != 0 }) ||
		slices.Max(p.shape) > maxPaddedWindow {
		return p, nil, false
	}
	op, ok := from.Op.(pad)
	if !ok {
		return p, nil, false
	}
	x = from.In[0]
	before, behind, ok := op.spatialZeros(graph.Facts(from.In))
	if !ok || len(before) > 2 || len(n.Out) != 1 || x.DType != tensor.Float32 {
		return p, nil, false
	}
	next = p
	next.outer = append(before, behind...)
	for i, v := range p.outer {
		if v > 0 && next.outer[i] < 0 { // zeros in the place of what was taken away
			return p, nil, false
		}
		next.outer[i] += v
	}
	if _, ok := next.packed([]graph.Fact{x.Fact}, graph.Facts(n.Out)); !ok {
		return p, nil, false
	}
	return next, x, true
}

// flops counts one operation for each place of the kernel.
func (p *pooling) flops(out []graph.Fact) int64 {
	return flops(append([]int{out[0].Shape.Elems()}, p.shape...)...)
}
