package ops

import (
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Mod", 10, func(a *Attrs) graph.Op { return mod{a.Int("fmod", 0) != 0} })
}

// mod is z = the remainder of a / b, element by element with broadcasting. It
// has the sign of b, or with fmod that of a.
//
//	a, b: numbers of one type; shapes that broadcast
//	z:    the same type, the shape to which they broadcast
//
// An integer division by zero is an error of the run.
//
// Source: ONNX Mod-10, Mod-13, Mod-28.
type mod struct{ fmod bool }

func (m mod) String() string {
	if m.fmod {
		return "Mod[fmod]"
	}
	return "Mod"
}

func (mod) Infer(in []graph.Fact) ([]graph.Fact, error) { return inferPair(in, numericTypes) }

func (mod) FLOPs(in, out []graph.Fact) int64 { return flops(out[0].Shape...) }

func (m mod) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	w := newBroadcast(in[0].Shape, in[1].Shape, out[0].Shape)
	switch d := out[0].DType; d {
	case tensor.Float32:
		return pairKernel(out[0], w, func(a, b float32) float32 { return float32(m.float(float64(a), float64(b))) }), nil
	case tensor.Float64:
		return pairKernel(out[0], w, m.float), nil
	case tensor.Float16, tensor.BFloat16:
		h := halfOf(d)
		return pairKernel(out[0], w, func(a, b uint16) uint16 {
			return h.store(float32(m.float(float64(h.load(a)), float64(h.load(b)))))
		}), nil
	case tensor.Int8:
		return modKernel[int8](m, out[0], w), nil
	case tensor.Int16:
		return modKernel[int16](m, out[0], w), nil
	case tensor.Int32:
		return modKernel[int32](m, out[0], w), nil
	case tensor.Int64:
		return modKernel[int64](m, out[0], w), nil
	case tensor.Uint8:
		return modKernel[uint8](m, out[0], w), nil
	case tensor.Uint16:
		return modKernel[uint16](m, out[0], w), nil
	case tensor.Uint32:
		return modKernel[uint32](m, out[0], w), nil
	}
	return modKernel[uint64](m, out[0], w), nil
}

// float is the remainder of floating-point numbers, which is rounded only
// where b is added.
func (m mod) float(a, b float64) float64 {
	r := math.Mod(a, b)
	switch {
	case m.fmod:
	case r == 0:
		r = math.Copysign(0, b)
	case (r < 0) != (b < 0):
		r += b
	}
	return r
}

func modKernel[T integer](m mod, out graph.Fact, w broadcast) graph.Kernel {
	return perElement("generic go", out, 2*scalarTime, func(in, out []*tensor.Tensor, lo, hi int) error {
		x, y, z := tensor.View[T](in[0]), tensor.View[T](in[1]), tensor.View[T](out[0])
		for i := lo; i < hi; i++ {
			a, b := w.element(i)
			if y[b] == 0 {
				return errDivide
			}
			r := x[a] % y[b]
			if !m.fmod && r != 0 && (r < 0) != (y[b] < 0) {
				r += y[b]
			}
			z[i] = r
		}
		return nil
	})
}
