package ops

import (
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/pool"
)

func init() {
	register("MaxPool", 1, func(a *Attrs) graph.Op {
		return &maxPool{pooling: poolingOf(a), columnMajor: a.Int("storage_order", 0) != 0}
	})
}

// maxPool is the largest element under a sliding window; padding is never the
// largest. Of zeros of both signs the last counts; a NaN is the result if it is
// the last element, and otherwise hides those before it.
//
//	x:       [N C D1 D2 ...] floating point, int8 or uint8
//	y:       [N C O1 O2 ...]
//	indices: int64, like y: where in x, seen as a flat list, each element of
//	         y stands first; with storage_order 1 the last spatial dimensions
//	         of x count as if they were in reverse order
//
// Source: ONNX MaxPool-1, -8, -10, -11, -12, -22.
type maxPool struct {
	pooling
	columnMajor bool
}

func (p *maxPool) String() string { return p.describe("MaxPool") }

func (p *maxPool) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(p, d, in)
	}
	y, err := p.infer(in, tensor.Float32, tensor.Float64, tensor.Int8, tensor.Uint8)
	if err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: y}, {Type: tensor.Type{DType: tensor.Int64, Shape: y.Shape}}}, nil
}

// Rewrite takes in a Pad of zeros, and merges alike nodes.
func (p *maxPool) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	pooling, x, ok := p.absorbPad(e, n)
	if !ok {
		return mergeAlike(e, n), nil
	}
	e.Set(n, &maxPool{pooling, p.columnMajor}, []*graph.Value{x})
	return true, nil
}

// Tile computes rows from those that their windows meet. Indices are those of the
// whole.
func (p *maxPool) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	next, reads, ok := p.tile(in, out, rows)
	return graph.Tile{Op: &maxPool{next, p.columnMajor}, Reads: []graph.Rows{reads}, Makes: rows, Good: rows}, ok
}

func (p *maxPool) FLOPs(in, out []graph.Fact) int64 { return p.flops(out) }

func (p *maxPool) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(p, d, in, out)
	}
	slides, err := p.slides(in[0].Shape)
	if err != nil {
		return graph.Kernel{}, err
	}
	kind := pool.Max
	if p.outer != nil {
		kind = pool.MaxWithZeros
	}
	if s, ok := p.packed(in, out); ok {
		return poolKernel(pool.New(s, kind, out[0].Layout != nil)), nil
	}
	g := newGenericPool(in[0].Shape, slides)
	switch out[0].DType {
	case tensor.Float32:
		return maxPoolKernel(p, g, float32(math.Inf(-1))), nil
	case tensor.Float64:
		return maxPoolKernel(p, g, math.Inf(-1)), nil
	case tensor.Int8:
		return maxPoolKernel[int8](p, g, math.MinInt8), nil
	}
	return maxPoolKernel[uint8](p, g, 0), nil
}

// maxPoolKernel is the kernel in plain Go; nothing is less than least.
func maxPoolKernel[T number](p *maxPool, g *genericPool, least T) graph.Kernel {
	return g.kernel(func(in, out []*tensor.Tensor, plane int) {
		x := tensor.View[T](in[0])[plane*g.inSize:][:g.inSize]
		y := tensor.View[T](out[0])[plane*g.outSize:][:g.outSize]
		var indices []int64
		if t := operand(out, 1); t != nil {
			indices = t.I64()[plane*g.outSize:]
		}
		for o := range y {
			best, where := least, -1
			g.window(o, func(at int) {
				v := x[at]
				if where < 0 || v > best {
					where = at
				}
				if !(best > v) {
					best = v
				}
			})
			y[o] = best
			if indices != nil {
				indices[o] = int64(plane*g.inSize + p.flat(g, max(where, 0)))
			}
		}
	})
}

// flat returns the place in a plane as storage_order counts it.
func (p *maxPool) flat(g *genericPool, at int) int {
	if !p.columnMajor {
		return at
	}
	place, step := 0, 1
	for d := range g.slides {
		place += at / g.inStep[d] * step
		at %= g.inStep[d]
		step *= g.slides[d].in
	}
	return place
}
