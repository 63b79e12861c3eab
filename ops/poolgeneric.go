package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// genericPool is a pool in plain Go for any number of spatial dimensions.
// Everything lies row-major.
type genericPool struct {
	planes          int // images times channels
	slides          []slide
	inSize, outSize int // positions of a plane
	inStep, outStep []int
}

func newGenericPool(x tensor.Shape, slides []slide) *genericPool {
	rank := len(slides)
	g := &genericPool{planes: x[0] * x[1], slides: slides, inSize: 1, outSize: 1, inStep: make([]int, rank), outStep: make([]int, rank)}
	for d := rank - 1; d >= 0; d-- {
		g.inStep[d], g.outStep[d] = g.inSize, g.outSize
		g.inSize *= slides[d].in
		g.outSize *= slides[d].out
	}
	return g
}

// kernel returns the kernel that calls do for planes of the input.
func (g *genericPool) kernel(do func(in, out []*tensor.Tensor, plane int)) graph.Kernel {
	taps := 1.0
	for _, s := range g.slides {
		taps *= float64(min(s.kernel, s.in))
	}
	count := chunks(g.planes, 3*scalarTime*taps*float64(g.outSize))
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(g.planes, count, i, 1)
		for p := lo; p < hi; p++ {
			do(in, out, p)
		}
		return nil
	}}}}
}

// window calls visit with the place in the plane of each element under the
// window at output o, in row-major order, and returns how many places of the
// padded input the window covers.
func (g *genericPool) window(o int, visit func(at int)) (covered float64) {
	var from, to, at [tensor.MaxRank]int
	covered = 1
	place, empty := 0, false
	for d := range g.slides {
		s := &g.slides[d]
		q := o / g.outStep[d]
		o %= g.outStep[d]
		from[d], to[d] = s.taps(q)
		at[d] = from[d]
		first := q*s.stride - s.before
		covered *= float64(min(s.kernel, ceil(s.in+s.behind-first, s.dilation)))
		empty = empty || from[d] == to[d]
		place += (first + from[d]*s.dilation) * g.inStep[d]
	}
	for last := len(g.slides) - 1; !empty; {
		visit(place)
		d := last
		for ; d >= 0; d-- {
			step := g.slides[d].dilation * g.inStep[d]
			at[d]++
			place += step
			if at[d] < to[d] {
				break
			}
			place -= (to[d] - from[d]) * step
			at[d] = from[d]
		}
		if d < 0 {
			break
		}
	}
	return covered
}
