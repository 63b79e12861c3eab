package ops

import (
	"fmt"
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/gemm"
	"scission/ops/internal/reorder"
	"scission/ops/internal/vec"
)

func init() {
	register("ConvTranspose", 1, func(a *Attrs) graph.Op {
		c := &transposedConvolution{
			window: windowOf(a), kernel: a.Ints("kernel_shape"), groups: a.Int("group", 1),
			outputPadding: a.Ints("output_padding"), outputShape: a.Ints("output_shape"),
		}
		if c.groups < 1 {
			a.Fail("attribute %q is %d, want at least 1", "group", c.groups)
		}
		return c
	})
}

// transposedConvolution is ConvTranspose: what a convolution with the same
// window does to the gradient of its input. Each input adds its products with
// the kernel to the outputs under the window.
//
//	x:    [N C D1 D2 ...] floating point
//	w:    [C M/groups K1 K2 ...]
//	bias: [M], optional
//	y:    [N M O1 O2 ...]
//
// A dimension O is stride*(D-1) + output_padding + (K-1)*dilation + 1 - pads, or
// what output_shape says; or D*stride with auto_pad SAME_UPPER and SAME_LOWER.
// The padding is then what makes it so, at least 0, and if it is odd has the
// larger half behind with SAME_UPPER, else before.
//
// Source: ONNX ConvTranspose-1, -11, -22.
type transposedConvolution struct {
	window                     window
	kernel                     []int // kernel_shape; nil means w's
	groups                     int
	outputPadding, outputShape []int // nil where not given
}

func (c *transposedConvolution) String() string {
	name := "ConvTranspose"
	if w := c.window.describe(c.kernel); w != "" {
		name += "[" + w + "]"
	}
	return name
}

// slides returns the window over the output, whose steps are the inputs: in is
// a length of y and out one of x.
func (c *transposedConvolution) slides(x, w tensor.Shape) ([]slide, error) {
	rank := len(x) - 2
	lists := make([][]int, 5)
	for i, l := range []struct {
		name                 string
		values               []int
		want, missing, least int
	}{
		{"kernel_shape", w[2:], rank, 1, 1}, {"strides", c.window.strides, rank, 1, 1}, {"dilations", c.window.dilations, rank, 1, 1},
		{"output_padding", c.outputPadding, rank, 0, 0}, {"pads", c.window.pads, 2 * rank, 0, 0},
	} {
		if l.name == "pads" && (c.window.autoPad != "NOTSET" || c.outputShape != nil) {
			l.values = nil
		}
		var err error
		if lists[i], err = windowList(l.name, l.values, l.want, l.missing, l.least); err != nil {
			return nil, err
		}
	}
	kernel, strides, dilations, extra, pads := lists[0], lists[1], lists[2], lists[3], lists[4]
	shape := c.outputShape
	if len(shape) == rank+2 {
		shape = shape[2:] // as some exporters write it
	}
	if shape != nil && len(shape) != rank {
		return nil, fmt.Errorf("output_shape has %d values, want %d", len(c.outputShape), rank)
	}
	slides := make([]slide, rank)
	for i := range slides {
		n, stride, step := int64(x[2+i]), int64(strides[i]), int64(dilations[i])
		if n < 1 || n > math.MaxInt32 {
			return nil, fmt.Errorf("x has shape %v, want spatial dimensions of 1 to %d", x, math.MaxInt32)
		}
		reach := (n-1)*stride + (int64(kernel[i])-1)*step + 1
		if reach > math.MaxInt32 {
			return nil, fmt.Errorf("spatial dimension %d: window reaches over %d elements, want at most %d", i, reach, math.MaxInt32)
		}
		all := reach + int64(extra[i])
		size, before, behind := int64(0), int64(0), int64(0)
		switch same := c.window.autoPad == "SAME_UPPER" || c.window.autoPad == "SAME_LOWER"; {
		case shape != nil || same:
			if size = n * stride; shape != nil {
				size = int64(shape[i])
			}
			pads := max(0, all-size)
			before, behind = pads-pads/2, pads/2
			if c.window.autoPad == "SAME_UPPER" {
				before, behind = behind, before
			}
		case c.window.autoPad == "NOTSET":
			before, behind = int64(pads[i]), int64(pads[rank+i])
			size = all - before - behind
		default: // VALID
			size = all
		}
		if size < 1 || size > math.MaxInt32 {
			return nil, fmt.Errorf("spatial dimension %d of y has length %d, want 1 to %d", i, size, math.MaxInt32)
		}
		slides[i] = slide{
			in: int(size), out: x[2+i], kernel: kernel[i], stride: strides[i], dilation: dilations[i], before: int(before), behind: int(behind),
		}
	}
	return slides, nil
}

func (c *transposedConvolution) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(c, d, in)
	}
	if err := checkInputs(in, 2, convBias+1); err != nil {
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
	if len(x.Shape) < 3 || len(w.Shape) != len(x.Shape) {
		return nil, fmt.Errorf("x and weight have shapes %v and %v, want as many dimensions, at least 3", x.Shape, w.Shape)
	}
	if w.Shape[0] != x.Shape[1] || x.Shape[1]%c.groups != 0 {
		return nil, fmt.Errorf("weight has %d input channels and x %d, want the same, a multiple of %d groups", w.Shape[0], x.Shape[1], c.groups)
	}
	if c.kernel != nil && !slices.Equal(c.kernel, w.Shape[2:]) {
		return nil, fmt.Errorf("weight has kernel %v, want kernel_shape %v", w.Shape[2:], c.kernel)
	}
	if c.groups > math.MaxInt32 || int64(w.Shape[1])*int64(c.groups) > math.MaxInt32 {
		return nil, fmt.Errorf("y has %d channels in each of %d groups, want at most %d", w.Shape[1], c.groups, math.MaxInt32)
	}
	outC := w.Shape[1] * c.groups
	if b := input(in, convBias); !b.Missing() {
		if err := checkShape("bias", b, outC); err != nil {
			return nil, err
		}
	}
	slides, err := c.slides(x.Shape, w.Shape)
	if err != nil {
		return nil, err
	}
	y := tensor.Shape{x.Shape[0], outC}
	for _, s := range slides {
		y = append(y, s.in)
	}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: y}}}, nil
}

func (c *transposedConvolution) FLOPs(in, out []graph.Fact) int64 {
	return flops(2, in[convX].Shape.Elems(), in[convW].Shape[1:].Elems())
}

func (c *transposedConvolution) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(c, d, in, out)
	}
	x, w := in[convX].Shape, in[convW].Shape
	slides, err := c.slides(x, w)
	if err != nil {
		return graph.Kernel{}, err
	}
	// The convolution whose transpose it is has y as its input.
	g := newGenericConv(out[0].Shape, tensor.Shape(append([]int{w[0], w[1]}, w[2:]...)), c.groups, slides)
	if in[convX].DType == tensor.Float64 {
		return plainTransposed[float64](g, x[0]), nil
	}
	if in[convX].Shape.Elems() == 0 || out[0].Shape.Elems() == 0 {
		return plainTransposed[float32](g, x[0]), nil
	}
	return transposedKernel(g, in, x[0]), nil
}

// spreadTap adds w times src, what place tap of the kernel meets, to the outputs z.
func spreadTap[T float32 | float64](g *genericConv, z, src []T, tap int, w T) {
	last := len(g.slides) - 1
	var from, to, at [tensor.MaxRank]int
	k, from0, to0 := tap, 0, 0 // places in src and z
	for d := range g.slides {
		s := &g.slides[d]
		place := k / g.tapStep[d]
		k %= g.tapStep[d]
		from[d], to[d] = s.outputs(place)
		at[d] = from[d]
		if from[d] == to[d] {
			return
		}
		to0 += (from[d]*s.stride + place*s.dilation - s.before) * g.inStep[d]
		from0 += from[d] * g.outStep[d]
	}
	n, stride := to[last]-from[last], g.slides[last].stride
	for {
		addSpread(z[to0:], src[from0:from0+n], stride, w)
		d := last - 1
		for ; d >= 0; d-- {
			at[d]++
			from0 += g.outStep[d]
			to0 += g.slides[d].stride * g.inStep[d]
			if at[d] < to[d] {
				break
			}
			moved := to[d] - from[d]
			at[d] = from[d]
			from0 -= moved * g.outStep[d]
			to0 -= moved * g.slides[d].stride * g.inStep[d]
		}
		if d < 0 {
			return
		}
	}
}

// addSpread adds w times the elements of x to every stride-th element of z.
func addSpread[T float32 | float64](z, x []T, stride int, w T) {
	if x, ok := any(x).([]float32); ok && stride == 1 && w == 1 {
		z := any(z).([]float32)
		vec.Add(z[:len(x)], z, x)
		return
	}
	at := 0
	for _, v := range x {
		z[at] += T(v * w)
		at += stride
	}
}

// plainTransposed is the kernel in plain Go: an output channel of one image an
// iteration. The products are added in the order of input channels, then of
// places in the kernel.
func plainTransposed[T float32 | float64](g *genericConv, batch int) graph.Kernel {
	perGroup, inC := g.inC, g.groups*g.outC
	channels := g.groups * perGroup
	planes := batch * channels
	count := chunks(planes, productTime*float64(g.outC*g.taps)*float64(g.outSize))
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, w, y := tensor.View[T](in[convX]), tensor.View[T](in[convW]), tensor.View[T](out[0])
		lo, hi := span(planes, count, i, 1)
		for p := lo; p < hi; p++ {
			image, channel := p/channels, p%channels
			z := y[p*g.inSize:][:g.inSize]
			fillBias(z, in, channel)
			first := channel / perGroup * g.outC
			for c := first; c < first+g.outC; c++ {
				src := x[(image*inC+c)*g.outSize:][:g.outSize]
				taps := w[(c*perGroup+channel%perGroup)*g.taps:][:g.taps]
				for tap, weight := range taps {
					spreadTap(g, z, src, tap, weight)
				}
			}
		}
		return nil
	}}}}
}

// fillBias sets z to the bias of a channel, 0 without one.
func fillBias[T float32 | float64](z []T, in []*tensor.Tensor, channel int) {
	bias := T(0)
	if b := operand(in, convBias); b != nil {
		bias = tensor.View[T](b)[channel]
	}
	for i := range z {
		z[i] = bias
	}
}

const (
	// Channels whose products take about transposedBlock bytes are calculated
	// together, but so many that there are transposedRows rows, which pays for
	// the packing of x.
	transposedBlock = 2 << 20
	transposedRows  = 128
)

// transposedKernel multiplies the weights, turned, by an image: each row of the
// product is what one output channel has at one place of the kernel. Then rows
// are added up where they overlap.
func transposedKernel(g *genericConv, in []graph.Fact, batch int) graph.Kernel {
	t := &transposed{genericConv: g, rows: g.inC * g.taps, depth: g.outC}
	block := max(transposedBlock/(4*g.taps*g.outSize), ceil(transposedRows, g.taps))
	block = ceil(g.inC, ceil(g.inC, block)) // even parts
	k := graph.Kernel{}
	if w := in[convW].Const; w != nil {
		t.weights = make([]float32, g.groups*t.rows*t.depth)
		for i := range g.groups {
			t.turn(t.weights, w.F32(), i)
		}
		k.Packed = []int{convW}
	} else {
		t.room = g.groups * t.rows * t.depth
		k.Steps = []graph.Step{{N: g.groups, Do: func(x *graph.Exec, in, _ []*tensor.Tensor, i int) error {
			t.turn(tensor.Cast[float32](x.Temp), floats(in[convW]), i)
			return nil
		}}}
	}
	for image := range batch {
		for group := range g.groups {
			for first := 0; first < g.inC; first += block {
				t.add(&k, image, group, first, min(block, g.inC-first))
			}
		}
	}
	k.Info = fmt.Sprintf("%d channels at once, %s", min(block, g.inC), k.Info)
	return k
}

// transposed is a transposed convolution by products of matrices. It is named
// from the side of the convolution: inC and inSize are those of y.
type transposed struct {
	*genericConv
	rows, depth int       // of the turned weights of one group
	weights     []float32 // turned, if they are constant
	room        int       // in Temp for the turned weights, if they are not
}

// turn sets dst to the turned weights of a group.
func (t *transposed) turn(dst, w []float32, group int) {
	at := group * t.rows * t.depth
	reorder.Transpose(dst[at:], t.depth, w[at:], t.rows, t.depth, t.rows)
}

// add adds to k the steps for n output channels of a group from first on, and
// makes room for them.
func (t *transposed) add(k *graph.Kernel, image, group, first, n int) {
	m := gemm.NewDynamic(1, n*t.taps, t.outSize, t.depth, false, false, 0, 0, gemm.NoClamp())
	product := t.room                     // its place in Temp
	spare := product + n*t.taps*t.outSize // and that of the product's own memory
	k.Info = m.Info()
	k.Temp, k.Scratch = max(k.Temp, 4*(spare+m.Temp())), max(k.Scratch, 4*m.Scratch())
	for s := range m.Steps() {
		k.Steps = append(k.Steps, graph.Step{N: m.Chunks(s), Do: func(x *graph.Exec, in, _ []*tensor.Tensor, i int) error {
			temp, a := tensor.Cast[float32](x.Temp), t.weights
			if a == nil {
				a = temp
			}
			src := floats(in[convX])[(image*t.groups+group)*t.depth*t.outSize:]
			m.Run(s, i, temp[spare:], tensor.Cast[float32](x.Scratch), a[(group*t.rows+first*t.taps)*t.depth:], src, nil, temp[product:])
			return nil
		}})
	}
	count := chunks(n, scalarTime*float64(t.taps)*float64(t.outSize))
	k.Steps = append(k.Steps, graph.Step{N: count, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
		temp := tensor.Cast[float32](x.Temp)[product:]
		lo, hi := span(n, count, i, 1)
		for c := lo; c < hi; c++ {
			channel := group*t.inC + first + c
			z := floats(out[0])[(image*t.groups*t.inC+channel)*t.inSize:][:t.inSize]
			fillBias(z, in, channel)
			for tap := range t.taps {
				spreadTap(t.genericConv, z, temp[(c*t.taps+tap)*t.outSize:][:t.outSize], tap, 1)
			}
		}
		return nil
	}})
}
