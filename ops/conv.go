package ops

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/conv"
	"scission/ops/internal/dwconv"
	"scission/ops/internal/winograd"
)

func init() {
	register("Conv", 1, func(a *Attrs) graph.Op { return convolutionOf(a) })
}

// convolutionOf reads the attributes of a convolution.
func convolutionOf(a *Attrs) *convolution {
	c := &convolution{window: windowOf(a), kernel: a.Ints("kernel_shape"), groups: a.Int("group", 1)}
	if c.groups < 1 {
		a.Fail("attribute %q is %d, want at least 1", "group", c.groups)
	}
	return c
}

// convolution is Conv, with what it has absorbed from the nodes around it.
//
//	x:            [N C D1 D2 ...] floating point
//	w:            [M C/groups K1 K2 ...]
//	bias:         [M], optional
//	scale, shift: [M], constants, if scaled
//	residual:     like y, if residual
//	y:            [N M O1 O2 ...]
//
// y is clamp((conv(max(x, floor), w) + bias) * scale + shift + residual, lo, hi),
// each part only if it was absorbed, bit for bit as the absorbed nodes would
// give it.
//
// With one or two spatial dimensions and constant weights, x and y lie in
// NCHW16c, but for an x of few channels, such as an image, which is read
// row-major. Which kernel is used, and so every bit, depends on the types
// alone.
//
// Groups of channels that do not fill blocks are calculated together, so that an
// infinity or NaN in one of them spoils those that share its blocks.
//
// Dilated convolutions leave out products with padding where that keeps every bit
// of the sums.
//
// Depthwise and generic convolutions give 0 where a sum is -0, see losesSigns.
// Those by Winograd's and Strassen's algorithms are within 1e-5 of the largest
// output of the layer, and an infinity or NaN in x spoils other positions than
// those that depend on it, up to 4x4 around them or one elsewhere; see package
// winograd and conv.Strassen, and Exact for doing without.
//
// Source: ONNX Conv-1, Conv-11, Conv-22.
type convolution struct {
	window   window
	kernel   []int // kernel_shape; nil means w's
	groups   int
	scaled   bool // inputs 3 and 4 are there
	residual bool // input 5 is there
	clamped  bool
	lo, hi   float32
	floored  bool      // x counts as floor where it is below
	floor    float32   // see absorbFloor
	before   string    // the operator that floors, for String
	absorbed []string  // what String lists
	exact    bool      // no algorithm but summation
	part     *convPart // of the rows of a whole convolution, see Tile; nil for all
}

// Inputs of a convolution.
const (
	convX = iota
	convW
	convBias
	convScale
	convShift
	convResidual
	convInputs
)

// maxImageChannels is the largest number of channels of an input that is read
// row-major: blocks of 16 would be mostly padding.
const maxImageChannels = 4

func (c *convolution) String() string {
	name := "Conv"
	if w := c.window.describe(c.kernel); w != "" {
		name += "[" + w + "]"
	}
	if c.floored {
		name = c.before + "+" + name
	}
	return strings.Join(append([]string{name}, c.absorbed...), "+")
}

func (c *convolution) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(c, d, in)
	}
	most := convScale
	if len(c.absorbed) > 0 {
		most = convInputs
	}
	if err := checkInputs(in, 2, most); err != nil {
		return nil, err
	}
	x, w := in[convX], in[convW]
	if err := checkType("x", x.DType, floatTypes...); err != nil {
		return nil, err
	}
	for _, f := range in[1:] {
		if !f.Missing() && f.DType != x.DType {
			return nil, fmt.Errorf("inputs have element types %v and %v, want one type", x.DType, f.DType)
		}
	}
	if len(x.Shape) < 3 {
		return nil, fmt.Errorf("x has shape %v, want at least 3 dimensions", x.Shape)
	}
	if len(w.Shape) != len(x.Shape) {
		return nil, fmt.Errorf("weight has shape %v, want %d dimensions like x%v", w.Shape, len(x.Shape), x.Shape)
	}
	outC := w.Shape[0]
	if x.Shape[1]%c.groups != 0 || w.Shape[1] != x.Shape[1]/c.groups {
		return nil, fmt.Errorf("weight has %d input channels, want %d/%d (channels of x, groups)", w.Shape[1], x.Shape[1], c.groups)
	}
	if outC%c.groups != 0 {
		return nil, fmt.Errorf("weight has %d output channels, want a multiple of %d groups", outC, c.groups)
	}
	if c.kernel != nil && !slices.Equal(c.kernel, w.Shape[2:]) {
		return nil, fmt.Errorf("weight has kernel %v, want kernel_shape %v", w.Shape[2:], c.kernel)
	}
	for i, name := range []string{convBias: "bias", convScale: "scale", convShift: "shift"} {
		if f := input(in, i); i >= convBias && !f.Missing() {
			if err := checkShape(name, f, outC); err != nil {
				return nil, err
			}
		}
	}
	slides, err := c.window.slides(x.Shape[2:], w.Shape[2:])
	if err != nil {
		return nil, err
	}
	y := tensor.Type{DType: x.DType, Shape: windowShape(x.Shape[0], outC, slides)}
	if f := input(in, convResidual); c.residual && !f.Type.Equal(y) {
		return nil, fmt.Errorf("residual is %v, want %v", f.Type, y)
	}
	return []graph.Fact{{Type: y}}, nil
}

func (c *convolution) FLOPs(in, out []graph.Fact) int64 {
	y := out[0].Shape.Elems()
	each := 2 * in[convW].Shape[1:].Elems()
	for _, part := range []struct {
		there bool
		flops int
	}{{!input(in, convBias).Missing(), 1}, {c.scaled, 2}, {c.residual, 1}, {c.clamped, 1}} {
		if part.there {
			each += part.flops
		}
	}
	if c.floored {
		return flops(y, each) + flops(in[convX].Shape...)
	}
	return flops(y, each)
}

// convKernel is what the packages conv, dwconv and winograd make.
type convKernel interface {
	stepper
	Run(step, chunk int, temp, scratch, in, res, out []float32)
}

// algorithm is how a convolution is computed.
type algorithm uint8

const (
	generic   algorithm = iota // genericConv: everything row-major
	stem                       // package conv, x row-major
	direct                     // package conv
	depthwise                  // package dwconv
	fast                       // package winograd
	pointwise                  // package conv, Strassen
	atrous                     // package conv, tap by tap
)

// choose returns the algorithm for the types, and the shape for its package.
func (c *convolution) choose(in, out []graph.Fact) (algorithm, conv.Shape) {
	if c.part != nil {
		a, s, _ := c.choosePart(in, out)
		return a, s
	}
	x, w, y := in[convX], in[convW], out[0]
	if x.Const != nil || w.Const == nil || !blockable(x.Type) || !blockable(y.Type) {
		return generic, conv.Shape{}
	}
	if b := input(in, convBias); !b.Missing() && b.Const == nil {
		return generic, conv.Shape{}
	}
	h, v, err := c.plane(x.Shape, w.Shape)
	if err != nil {
		return generic, conv.Shape{}
	}
	skips := c.groups == 1 && max(h.dilation, v.dilation) > 1 && sumsStayAlike(in)
	if skips {
		h, v = h.met(), v.met()
	}
	s := conv.Shape{
		N: x.Shape[0], IC: x.Shape[1], IH: h.in, IW: v.in,
		OC: y.Shape[1], OH: h.out, OW: v.out,
		KH: h.kernel, KW: v.kernel, StrideH: h.stride, StrideW: v.stride,
		DilationH: h.dilation, DilationW: v.dilation, PadTop: h.before, PadLeft: v.before,
		Groups: c.groups,
	}
	switch {
	case dwconv.Accepts(s):
		return depthwise, s
	case s.IC <= maxImageChannels && conv.Accepts(s, true):
		return stem, s
	case !c.exact && winograd.Pays(s):
		return fast, s
	case !c.exact && conv.StrassenPays(s):
		return pointwise, s
	case skips && conv.TapsPay(s):
		return atrous, s
	case conv.Accepts(s, false):
		return direct, s
	}
	if wide := joinGroups(s); conv.Accepts(wide, false) {
		return direct, wide
	}
	return generic, s
}

// plane returns the window over the two spatial dimensions, of which the first has
// length 1 if there is one only.
func (c *convolution) plane(x, w tensor.Shape) (h, v slide, err error) {
	slides, err := c.window.slides(x[2:], w[2:])
	if err != nil {
		return h, v, err
	}
	if len(slides) == 1 {
		return slide{in: 1, out: 1, kernel: 1, stride: 1, dilation: 1}, slides[0], nil
	}
	return slides[0], slides[1], nil
}

// sumsStayAlike reports whether the sums keep every bit where products with zeros
// are left out: the weights are finite, and no bias is a -0.
func sumsStayAlike(in []graph.Fact) bool {
	finite := !slices.ContainsFunc(in[convW].Const.F32(), func(v float32) bool { return !isFinite(v) })
	b := input(in, convBias)
	return finite && (b.Missing() || !slices.ContainsFunc(b.Const.F32(), func(v float32) bool { return v == 0 && math.Signbit(float64(v)) }))
}

// met returns the window of the part of the kernel that meets the input at some
// output: where a kernel is dilated beyond a small input, that may be its middle
// alone.
func (s slide) met() slide {
	first, last := s.kernel, 0
	for o := range s.out {
		if from, to := s.taps(o); from < to {
			first, last = min(first, from), max(last, to)
		}
	}
	if first >= last || first*s.dilation > s.before {
		return s
	}
	s.before -= first * s.dilation
	s.kernel = last - first
	if s.kernel == 1 {
		s.dilation = 1
	}
	return s
}

// metWeights returns the weights of the part of the kernel that s, made of the
// windows h and v by met, has.
func metWeights(weights []float32, h, v slide, s conv.Shape) []float32 {
	if s.KH == h.kernel && s.KW == v.kernel {
		return weights
	}
	top, left := (h.before-s.PadTop)/h.dilation, (v.before-s.PadLeft)/v.dilation
	part := make([]float32, 0, len(weights)/(h.kernel*v.kernel)*s.KH*s.KW)
	for at := 0; at < len(weights); at += h.kernel * v.kernel {
		for y := range s.KH {
			part = append(part, weights[at+(top+y)*v.kernel+left:][:s.KW]...)
		}
	}
	return part
}

// maxGroupsJoined bounds the products with zeros, and the memory for them: a
// multiple of those that count.
const maxGroupsJoined = 16

// joinGroups returns s with as few groups joined to one as make its channels fill
// blocks, or all of them. Where the last group has fewer left, pad lanes count as
// channels.
func joinGroups(s conv.Shape) conv.Shape {
	for n := 1; n <= min(s.Groups, maxGroupsJoined); n++ {
		wide := s
		wide.Groups = ceil(s.Groups, n)
		if n < s.Groups {
			ic, oc := s.IC/s.Groups*n, s.OC/s.Groups*n
			if ic%lanes != 0 || oc%lanes != 0 {
				continue
			}
			wide.IC, wide.OC = wide.Groups*ic, wide.Groups*oc
		}
		if ceil(wide.IC, lanes) == ceil(s.IC, lanes) && ceil(wide.OC, lanes) == ceil(s.OC, lanes) {
			return wide
		}
	}
	return s
}

// joinWeights returns the weights of a convolution in so many groups as those of
// the shape that joinGroups made of it: zeros for the channels of other groups.
func joinWeights(weights []float32, outC, groups int, wide conv.Shape) []float32 {
	own := len(weights) / outC // weights of an output channel
	of := wide.IC / wide.Groups * wide.KH * wide.KW
	if own == of {
		return weights
	}
	joined := make([]float32, wide.OC*of)
	for o := range outC {
		group := o / (outC / groups) % (of / own)
		copy(joined[o*of+group*own:], weights[o*own:][:own])
	}
	return joined
}

func (c *convolution) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, len(in)), make([]graph.Layout, len(out))
	a, _ := c.choose(in, out)
	if a == generic {
		return want, give
	}
	give[0] = nchw16c{}
	if a != stem {
		want[convX] = nchw16c{}
	}
	if c.residual {
		want[convResidual] = nchw16c{}
	}
	return want, give
}

func (c *convolution) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(c, d, in, out)
	}
	a, s := c.choose(in, out)
	if a == generic || out[0].Layout == nil {
		if c.floored {
			return graph.Kernel{}, fmt.Errorf("%s is for depthwise convolutions in %v", c.before, nchw16c{})
		}
		return c.generic(in)
	}
	e := conv.Epilogue{Residual: c.residual, Lo: -inf, Hi: inf}
	if c.clamped {
		e.Lo, e.Hi = c.lo, c.hi
	}
	if b := input(in, convBias); !b.Missing() {
		e.Bias = padded(b.Const.F32(), s.OC)
	}
	switch {
	case c.scaled:
		e.Scale, e.Shift = padded(in[convScale].Const.F32(), s.OC), padded(in[convShift].Const.F32(), s.OC)
	case a.losesSigns():
		e.Scale, e.Shift = splat(1, s.OC), splat(0, s.OC)
	}
	h, v, err := c.plane(in[convX].Shape, in[convW].Shape)
	if err != nil {
		return graph.Kernel{}, err
	}
	weights := joinWeights(metWeights(in[convW].Const.F32(), h, v, s), out[0].Shape[1], c.groups, s)
	var k convKernel
	switch a {
	case depthwise:
		floor := -inf
		if c.floored {
			floor = c.floor
		}
		k = dwconv.New(s, weights, floor, e)
	case fast, pointwise:
		k = c.fastKernel(a, s, in, out, weights, e)
	case atrous:
		k = conv.NewTaps(s, weights, e)
	default:
		k = conv.New(s, weights, a == stem, e)
	}
	return c.packed(k, len(in)), nil
}

// fastKernel returns the kernel of an algorithm whose results depend on where in
// the image they are.
func (c *convolution) fastKernel(a algorithm, s conv.Shape, in, out []graph.Fact, weights []float32, e conv.Epilogue) convKernel {
	whole, first := s, 0
	if c.part != nil {
		_, _, whole = c.choosePart(in, out)
		first = c.part.first
	}
	if a == fast {
		return winograd.NewPart(whole, s, weights, e)
	}
	return conv.NewStrassenPart(whole, s, first, weights, e)
}

// padded returns v with zeros up to n values.
func padded(v []float32, n int) []float32 {
	return append(v[:len(v):len(v)], make([]float32, n-len(v))...)
}

// Exact returns a convolution that sums products of inputs and weights, each
// output for itself.
func (c *convolution) Exact() graph.Op {
	next := *c
	next.exact = true
	return &next
}

// packed makes a kernel of k, for a node with so many inputs.
func (c *convolution) packed(k convKernel, inputs int) graph.Kernel {
	g := kernelOf(k, func(step, chunk int, temp, scratch []float32, in, out []*tensor.Tensor) {
		k.Run(step, chunk, temp, scratch, floats(in[convX]), floatsAt(in, convResidual, c.residual), floats(out[0]))
	})
	for i := convW; i < min(inputs, convResidual); i++ {
		g.Packed = append(g.Packed, i)
	}
	if c.residual {
		g.InPlace = []int{convResidual}
	}
	return g
}

// generic returns the kernel for types that no other accepts.
func (c *convolution) generic(in []graph.Fact) (graph.Kernel, error) {
	x, w := in[convX].Shape, in[convW].Shape
	slides, err := c.window.slides(x[2:], w[2:])
	if err != nil {
		return graph.Kernel{}, err
	}
	g := newGenericConv(x, w, c.groups, slides)
	if in[convX].DType == tensor.Float64 {
		return genericConvKernel[float64](g, nil), nil
	}
	return genericConvKernel(g, c.finish), nil
}
