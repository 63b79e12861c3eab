package ops

import (
	"fmt"
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// integerConv is what convolutions of quantised values have in common: the
// exact sums of products of x - zero of x and w - zero of w, as int32.
//
//	x: [N C D1 D2 ...] int8 or uint8
//	w: [M C/groups K1 K2 ...] int8 or uint8
type integerConv struct {
	window window
	kernel []int // kernel_shape; nil means w's
	groups int
}

func integerConvOf(a *Attrs) integerConv {
	c := integerConv{window: windowOf(a), kernel: a.Ints("kernel_shape"), groups: a.Int("group", 1)}
	if c.groups < 1 {
		a.Fail("attribute %q is %d, want at least 1", "group", c.groups)
	}
	return c
}

func (c *integerConv) describe(name string) string {
	if w := c.window.describe(c.kernel); w != "" {
		name += "[" + w + "]"
	}
	return name
}

// infer returns the shape of the result.
func (c *integerConv) infer(x, w tensor.Shape) (tensor.Shape, error) {
	if len(x) < 3 {
		return nil, fmt.Errorf("x has shape %v, want at least 3 dimensions", x)
	}
	if len(w) != len(x) {
		return nil, fmt.Errorf("weight has shape %v, want %d dimensions like x%v", w, len(x), x)
	}
	if x[1]%c.groups != 0 || w[1] != x[1]/c.groups {
		return nil, fmt.Errorf("weight has %d input channels, want %d/%d (channels of x, groups)", w[1], x[1], c.groups)
	}
	if w[0]%c.groups != 0 {
		return nil, fmt.Errorf("weight has %d output channels, want a multiple of %d groups", w[0], c.groups)
	}
	if c.kernel != nil && !slices.Equal(c.kernel, w[2:]) {
		return nil, fmt.Errorf("weight has kernel %v, want kernel_shape %v", w[2:], c.kernel)
	}
	slides, err := c.window.slides(x[2:], w[2:])
	if err != nil {
		return nil, err
	}
	return windowShape(x[0], w[0], slides), nil
}

// operands are the places of a convolution's inputs.
type convOperands struct{ x, xZero, w, wZero int }

// kernelOf returns the kernel in plain Go. finish is given the sums of one
// output channel of one image, which begin at the element at of the output.
func (c *integerConv) kernelOf(x, w tensor.Shape, at convOperands, finish func(in, out []*tensor.Tensor, sums []int32, channel, at int)) (graph.Kernel, error) {
	slides, err := c.window.slides(x[2:], w[2:])
	if err != nil {
		return graph.Kernel{}, err
	}
	g := newGenericConv(x, w, c.groups, slides)
	n, m := x.Elems(), w.Elems()
	if err := checkWide(n, m); err != nil {
		return graph.Kernel{}, err
	}
	widenX, widenW := chunks(n, scalarTime), chunks(m, scalarTime)
	channels := g.groups * g.outC
	planes := g.batch * channels
	count := chunks(planes, productTime*float64(g.weights)*float64(g.outSize))
	return graph.Kernel{Info: "generic go", Temp: 4 * (n + m), Scratch: 4 * g.outSize, Steps: []graph.Step{
		{N: widenX, Do: func(e *graph.Exec, in, _ []*tensor.Tensor, i int) error {
			lo, hi := span(n, widenX, i, 1)
			widenBytes(tensor.Cast[int32](e.Temp)[lo:hi], in[at.x], lo, zeroOf(operand(in, at.xZero), 0))
			return nil
		}},
		{N: widenW, Do: func(e *graph.Exec, in, _ []*tensor.Tensor, i int) error {
			lo, hi := span(channels, widenW, i, 1)
			for o := lo; o < hi; o++ {
				dst := tensor.Cast[int32](e.Temp)[n+o*g.weights:][:g.weights]
				widenBytes(dst, in[at.w], o*g.weights, zeroOf(operand(in, at.wZero), o))
			}
			return nil
		}},
		{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
			x, w := tensor.Cast[int32](e.Temp)[:n], tensor.Cast[int32](e.Temp)[n:]
			sums := tensor.Cast[int32](e.Scratch)[:g.outSize]
			lo, hi := span(planes, count, i, 1)
			for p := lo; p < hi; p++ {
				image, channel := p/channels, p%channels
				clear(sums)
				group := image*g.groups + channel/g.outC
				convolve(g, x[group*g.inC*g.inSize:][:g.inC*g.inSize], w[channel*g.weights:][:g.weights], sums)
				finish(in, out, sums, channel, p*g.outSize)
			}
			return nil
		}},
	}}, nil
}

// checkWide verifies that there is room for so many elements as int32.
func checkWide(elems ...int) error {
	total := 0.0
	for _, n := range elems {
		total += float64(n)
	}
	if total > math.MaxInt32/4 {
		return fmt.Errorf("%w operands of %.0f elements, want at most %d", ErrUnsupported, total, math.MaxInt32/4)
	}
	return nil
}

// widenBytes writes the bytes of x from the element at on, less zero.
func widenBytes(dst []int32, x *tensor.Tensor, at int, zero int32) {
	if x.DType == tensor.Int8 {
		for i, v := range tensor.View[int8](x)[at:][:len(dst)] {
			dst[i] = int32(v) - zero
		}
		return
	}
	for i, v := range x.Raw[at:][:len(dst)] {
		dst[i] = int32(v) - zero
	}
}
