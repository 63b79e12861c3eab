package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

func init() {
	register("PRelu", 7, func(*Attrs) graph.Op { return prelu{} })
}

// prelu is y = x where x >= 0, slope*x elsewhere.
//
//	x, y:  floating point or integers, any shape
//	slope: x's type, a shape that broadcasts to x's
//
// In NCHW16c x has constant slopes, one for each channel or one in all.
//
// Source: ONNX PRelu-7, PRelu-9, PRelu-16.
type prelu struct{}

func (prelu) String() string { return "PRelu" }

func (prelu) Infer(in []graph.Fact) ([]graph.Fact, error) {
	out, err := inferPair(in, numericTypes)
	if err == nil && !out[0].Shape.Equal(in[0].Shape) {
		return nil, fmt.Errorf("slope has shape %v, which does not broadcast to x%v", in[1].Shape, in[0].Shape)
	}
	return out, err
}

func (prelu) FLOPs(in, out []graph.Fact) int64 { return flops(out[0].Shape...) }

// channelSlopes returns the slope of each channel of x, if each has one.
func (prelu) channelSlopes(in []graph.Fact) []float32 {
	if f := in[1]; f.Const != nil && f.DType == tensor.Float32 && f.Shape.Elems() == 1 && len(in[0].Shape) > 1 {
		return splat(f.Const.F32()[0], in[0].Shape[1])
	}
	return channelValues(in[1], in[0].Shape)
}

func (p prelu) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	want, give = make([]graph.Layout, 2), make([]graph.Layout, 1)
	if in[0].Layout == (nchw16c{}) && p.channelSlopes(in) != nil {
		want[0], give[0] = in[0].Layout, in[0].Layout
	}
	return want, give
}

// Tile computes rows from the same rows of the inputs.
func (p prelu) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	return tileRows(p, in, out, rows)
}

func (p prelu) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	k := p.kernel(in, out[0])
	k.InPlace = []int{0}
	return k, nil
}

func (p prelu) kernel(in []graph.Fact, out graph.Fact) graph.Kernel {
	if out.Layout != nil {
		return p.blocked(in, out)
	}
	w := newBroadcast(in[0].Shape, in[1].Shape, out.Shape)
	switch out.DType {
	case tensor.Float32:
		return perElement("vector", out, vectorTime+rowTime/float64(w.inner), func(in, out []*tensor.Tensor, lo, hi int) error {
			x, slope, y := floats(in[0]), floats(in[1]), floats(out[0])
			w.walk(lo, hi, func(at, a, b, n int) {
				if w.scalar[1] {
					vec.LeakyRelu(y[at:at+n], x[a:a+n], slope[b])
					return
				}
				for i := range n {
					y[at+i] = leak(x[a+i], slope[b+i])
				}
			})
			return nil
		})
	case tensor.Float64:
		return pairKernel(out, w, sloped[float64])
	case tensor.Int8:
		return pairKernel(out, w, sloped[int8])
	case tensor.Int16:
		return pairKernel(out, w, sloped[int16])
	case tensor.Int32:
		return pairKernel(out, w, sloped[int32])
	case tensor.Int64:
		return pairKernel(out, w, sloped[int64])
	case tensor.Float16, tensor.BFloat16:
		h := halfOf(out.DType)
		return pairKernel(out, w, func(a, b uint16) uint16 { return h.store(sloped(h.load(a), h.load(b))) })
	}
	return perElement("copy", out, vectorTime, func(in, out []*tensor.Tensor, lo, hi int) error {
		size := out[0].DType.Size()
		copy(out[0].Raw[lo*size:hi*size], in[0].Raw[lo*size:])
		return nil
	})
}

func sloped[T number](x, slope T) T {
	if x < 0 {
		return x * slope
	}
	return x
}

// leak is slope*x where x has its sign bit set, as vec.LeakyRelu has it.
func leak(x, slope float32) float32 {
	if math.Signbit(float64(x)) {
		return x * slope
	}
	return x
}

// blocked is the kernel for NCHW16c.
func (p prelu) blocked(in []graph.Fact, out graph.Fact) graph.Kernel {
	n, c, hw := planes(out.Shape)
	perImage := ceil(c, lanes)
	slopes := make([]float32, perImage*lanes)
	copy(slopes, p.channelSlopes(in))
	blocks := n * perImage
	count := chunks(blocks, scalarTime*float64(lanes*hw))
	return graph.Kernel{Info: "generic go per channel", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := floats(in[0]), floats(out[0])
		lo, hi := span(blocks, count, i, 1)
		for block := lo; block < hi; block++ {
			slope := slopes[block%perImage*lanes:][:lanes]
			for at := block * lanes * hw; at < (block+1)*lanes*hw; at += lanes {
				from, to := x[at:][:lanes], y[at:][:lanes]
				for l, v := range from {
					to[l] = leak(v, slope[l])
				}
			}
		}
		return nil
	}}}}
}
