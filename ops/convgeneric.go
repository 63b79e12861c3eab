package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

// genericConv is a convolution in plain Go for any number of spatial
// dimensions and groups, with weights that may come with the run. Everything
// lies row-major.
//
// The sum of an output starts from its bias; the products are added in the
// order of input channels, then of places in the kernel, each rounded before it
// is added. Places in the padding add nothing.
type genericConv struct {
	batch, groups   int
	inC, outC       int // channels of one group
	slides          []slide
	inSize, outSize int // positions of one channel
	weights         int // of one output channel
	inStep, tapStep []int
	outStep         []int
	taps            int // places of the kernel
}

func newGenericConv(x, w tensor.Shape, groups int, slides []slide) *genericConv {
	g := &genericConv{batch: x[0], groups: groups, inC: w[1], outC: w[0] / groups, slides: slides, inSize: 1, outSize: 1, taps: 1}
	rank := len(slides)
	g.inStep, g.outStep, g.tapStep = make([]int, rank), make([]int, rank), make([]int, rank)
	for d := rank - 1; d >= 0; d-- {
		g.inStep[d], g.outStep[d], g.tapStep[d] = g.inSize, g.outSize, g.taps
		g.inSize *= slides[d].in
		g.outSize *= slides[d].out
		g.taps *= slides[d].kernel
	}
	g.weights = g.inC * g.taps
	return g
}

// productTime is about how many nanoseconds one product takes.
const productTime = 1.0

// genericConvKernel computes one output channel of one image an iteration.
// finish, which may be nil, completes that channel: z is its part of the output
// and at where it begins there.
func genericConvKernel[T float32 | float64](g *genericConv, finish func(in []*tensor.Tensor, z []T, channel, at int)) graph.Kernel {
	channels := g.groups * g.outC
	planes := g.batch * channels
	count := chunks(planes, productTime*float64(g.weights)*float64(g.outSize))
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, w, y := tensor.View[T](in[0]), tensor.View[T](in[1]), tensor.View[T](out[0])
		lo, hi := span(planes, count, i, 1)
		for p := lo; p < hi; p++ {
			image, channel := p/channels, p%channels
			bias := T(0)
			if b := operand(in, 2); b != nil {
				bias = tensor.View[T](b)[channel]
			}
			z := y[p*g.outSize:][:g.outSize]
			for j := range z {
				z[j] = bias
			}
			group := image*g.groups + channel/g.outC
			convolve(g, x[group*g.inC*g.inSize:][:g.inC*g.inSize], w[channel*g.weights:][:g.weights], z)
			if finish != nil {
				finish(in, z, channel, p*g.outSize)
			}
		}
		return nil
	}}}}
}

// convolve adds to z the products of x, the input channels of a group, and w,
// the weights of one output channel.
func convolve[T float32 | float64 | int32](g *genericConv, x, w, z []T) {
	last := len(g.slides) - 1
	var from, to, at [tensor.MaxRank]int
	for c := range g.inC {
		plane := x[c*g.inSize:][:g.inSize]
		for tap := range g.taps {
			k := tap
			weight := w[c*g.taps+tap]
			src, dst, empty := 0, 0, false
			for d := range g.slides {
				s := &g.slides[d]
				place := k / g.tapStep[d]
				k %= g.tapStep[d]
				from[d], to[d] = s.outputs(place)
				at[d] = from[d]
				empty = empty || from[d] == to[d]
				src += (from[d]*s.stride + place*s.dilation - s.before) * g.inStep[d]
				dst += from[d] * g.outStep[d]
			}
			if empty {
				continue
			}
			n, stride := to[last]-from[last], g.slides[last].stride
			for {
				multiplyAdd(z[dst:dst+n], plane[src:], stride, weight)
				d := last - 1
				for ; d >= 0; d-- {
					at[d]++
					dst += g.outStep[d]
					src += g.slides[d].stride * g.inStep[d]
					if at[d] < to[d] {
						break
					}
					moved := to[d] - from[d]
					at[d] = from[d]
					dst -= moved * g.outStep[d]
					src -= moved * g.slides[d].stride * g.inStep[d]
				}
				if d < 0 {
					break
				}
			}
		}
	}
}

// multiplyAdd adds w times every stride-th element of x to z.
func multiplyAdd[T float32 | float64 | int32](z, x []T, stride int, w T) {
	if stride == 1 {
		x = x[:len(z)]
		for i := range z {
			z[i] += T(x[i] * w)
		}
		return
	}
	for i := range z {
		z[i] += T(x[i*stride] * w)
	}
}

// finish completes z, the part of the output from at on, which is of one
// channel, by the very functions of the operators that c has absorbed.
func (c *convolution) finish(in []*tensor.Tensor, z []float32, channel, at int) {
	if c.scaled {
		vec.ScaleShift(z, z, floats(in[convScale])[channel], floats(in[convShift])[channel])
	} else {
		vec.AddScalar(z, z, 0) // see losesSigns
	}
	if c.residual {
		vec.Add(z, z, floats(in[convResidual])[at:][:len(z)])
	}
	if c.clamped {
		vec.Clamp(z, z, c.lo, c.hi)
	}
}
