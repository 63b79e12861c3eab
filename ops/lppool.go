package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("LpPool", 2, func(a *Attrs) graph.Op { return &lpPool{poolingOf(a), normOf(a)} })
}

// lpPool is the Lp norm of the elements under a sliding window.
//
//	x: [N C D1 D2 ...] floating point
//	y: [N C O1 O2 ...]
//
// Source: ONNX LpPool-2, -11, -18, -22.
type lpPool struct {
	pooling
	p lpNorm
}

func (l *lpPool) String() string { return l.describe(fmt.Sprintf("LpPool[%d]", int(l.p))) }

func (l *lpPool) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(l, d, in)
	}
	y, err := l.infer(in, floatTypes...)
	if err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: y}}, nil
}

func (l *lpPool) FLOPs(in, out []graph.Fact) int64 { return l.flops(out) }

// Layouts keeps everything row-major.
func (l *lpPool) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	return make([]graph.Layout, len(in)), make([]graph.Layout, len(out))
}

func (l *lpPool) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(l, d, in, out)
	}
	slides, err := l.slides(in[0].Shape)
	if err != nil {
		return graph.Kernel{}, err
	}
	g := newGenericPool(in[0].Shape, slides)
	if out[0].DType == tensor.Float64 {
		return lpPoolKernel[float64](l.p, g), nil
	}
	return lpPoolKernel[float32](l.p, g), nil
}

func lpPoolKernel[T float32 | float64](p lpNorm, g *genericPool) graph.Kernel {
	return g.kernel(func(in, out []*tensor.Tensor, plane int) {
		x := tensor.View[T](in[0])[plane*g.inSize:][:g.inSize]
		y := tensor.View[T](out[0])[plane*g.outSize:][:g.outSize]
		for o := range y {
			sum := 0.0
			g.window(o, func(at int) { sum = p.add(sum, float64(x[at])) })
			y[o] = T(p.root(sum))
		}
	})
}
