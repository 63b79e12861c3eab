package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/pool"
)

func init() {
	register("AveragePool", 7, func(a *Attrs) graph.Op {
		return &averagePool{pooling: poolingOf(a), countPads: a.Int("count_include_pad", 0) != 0}
	})
}

// averagePool is the mean of the elements under a sliding window. With
// count_include_pad zeros in the padding count as elements; what lies beyond
// the padding, where ceil_mode lets the window reach, never does. The mean of
// no elements is 0.
//
//	x: [N C D1 D2 ...] floating point
//	y: [N C O1 O2 ...]
//
// Source: ONNX AveragePool-7, -10, -11, -19, -22.
type averagePool struct {
	pooling
	countPads bool
}

func (p *averagePool) String() string { return p.describe("AveragePool") }

func (p *averagePool) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(p, d, in)
	}
	y, err := p.infer(in, floatTypes...)
	if err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: y}}, nil
}

// Rewrite takes in a Pad of zeros, and merges alike nodes. Zeros count, but need
// not be added: a sum begins with 0, so it is never -0.
func (p *averagePool) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	pooling, x, ok := p.absorbPad(e, n)
	if !ok {
		return mergeAlike(e, n), nil
	}
	e.Set(n, &averagePool{pooling, p.countPads}, []*graph.Value{x})
	return true, nil
}

// Tile computes rows from those that their windows meet.
func (p *averagePool) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	next, reads, ok := p.tile(in, out, rows)
	return graph.Tile{Op: &averagePool{next, p.countPads}, Reads: []graph.Rows{reads}, Makes: rows, Good: rows}, ok
}

func (p *averagePool) FLOPs(in, out []graph.Fact) int64 { return p.flops(out) }

func (p *averagePool) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(p, d, in, out)
	}
	slides, err := p.slides(in[0].Shape)
	if err != nil {
		return graph.Kernel{}, err
	}
	kind := pool.Avg
	if p.countPads || p.outer != nil {
		kind = pool.AvgIncludePad
	}
	if s, ok := p.packed(in, out); ok {
		return poolKernel(pool.New(s, kind, out[0].Layout != nil)), nil
	}
	g := newGenericPool(in[0].Shape, slides)
	if out[0].DType == tensor.Float64 {
		return averagePoolKernel[float64](p, g), nil
	}
	return averagePoolKernel[float32](p, g), nil
}

// averagePoolKernel is the kernel in plain Go. It adds in float64.
func averagePoolKernel[T float32 | float64](p *averagePool, g *genericPool) graph.Kernel {
	return g.kernel(func(in, out []*tensor.Tensor, plane int) {
		x := tensor.View[T](in[0])[plane*g.inSize:][:g.inSize]
		y := tensor.View[T](out[0])[plane*g.outSize:][:g.outSize]
		for o := range y {
			sum, n := 0.0, 0.0
			covered := g.window(o, func(at int) {
				sum += float64(x[at])
				n++
			})
			if p.countPads {
				n = covered
			}
			y[o] = T(sum / max(n, 1))
		}
	})
}
