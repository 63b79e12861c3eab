package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Clip", 6, func(a *Attrs) graph.Op {
		return clip{fixed: true, lo: a.Float("min", -math.MaxFloat32), hi: a.Float("max", math.MaxFloat32)}
	})
	register("Clip", 11, func(*Attrs) graph.Op { return clip{} })
}

// clip is y = min(max(x, lo), hi): where lo > hi, everything becomes hi. A
// bound that is not given is the least or the largest finite number of the type.
//
//	x, y:   numbers, any shape, any layout
//	lo, hi: attributes (Clip-6, floating point), or optional scalars of x's type
//
// Source: ONNX Clip-6, Clip-11, Clip-12, Clip-13.
type clip struct {
	fixed  bool // the bounds are attributes
	lo, hi float32
}

func (c clip) String() string {
	if c.fixed {
		return fmt.Sprintf("Clip[%g,%g]", c.lo, c.hi)
	}
	return "Clip"
}

func (c clip) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if c.fixed {
		return inferSame(in, tensor.Float32, tensor.Float64, tensor.Float16, tensor.BFloat16)
	}
	if err := checkInputs(in, 1, 3); err != nil {
		return nil, err
	}
	for i, name := range []string{"min", "max"} {
		f := input(in, i+1)
		if !f.Missing() && (f.DType != in[0].DType || f.Shape.Elems() != 1 || len(f.Shape) > 1) {
			return nil, fmt.Errorf("%s is %v, want a scalar %v", name, f.Type, in[0].DType)
		}
	}
	return inferSame(in[:1], numericTypes...)
}

func (c clip) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	k := c.kernel(out[0])
	k.InPlace = []int{0}
	return k, nil
}

func (c clip) kernel(out graph.Fact) graph.Kernel {
	switch out.DType {
	case tensor.Float32:
		return clampKernelF32(out, clipBounds(c, float32(-math.MaxFloat32), math.MaxFloat32))
	case tensor.Float64:
		if c.fixed {
			return clampKernel(out, always(float64(c.lo), float64(c.hi)))
		}
		return clampKernel(out, clipBounds(c, -math.MaxFloat64, math.MaxFloat64))
	case tensor.Int8:
		return clampKernel(out, clipBounds[int8](c, math.MinInt8, math.MaxInt8))
	case tensor.Int16:
		return clampKernel(out, clipBounds[int16](c, math.MinInt16, math.MaxInt16))
	case tensor.Int32:
		return clampKernel(out, clipBounds[int32](c, math.MinInt32, math.MaxInt32))
	case tensor.Int64:
		return clampKernel(out, clipBounds[int64](c, math.MinInt64, math.MaxInt64))
	case tensor.Uint8:
		return clampKernel(out, clipBounds[uint8](c, 0, math.MaxUint8))
	case tensor.Uint16:
		return clampKernel(out, clipBounds[uint16](c, 0, math.MaxUint16))
	case tensor.Uint32:
		return clampKernel(out, clipBounds[uint32](c, 0, math.MaxUint32))
	case tensor.Uint64:
		return clampKernel(out, clipBounds[uint64](c, 0, math.MaxUint64))
	}
	h := halfOf(out.DType)
	if c.fixed {
		return clampKernelHalf(out, always(c.lo, c.hi))
	}
	return clampKernelHalf(out, func(in []*tensor.Tensor) (lo, hi float32) {
		lo, hi = -h.load(h.max), h.load(h.max)
		if t := operand(in, 1); t != nil {
			lo = h.load(tensor.View[uint16](t)[0])
		}
		if t := operand(in, 2); t != nil {
			hi = h.load(tensor.View[uint16](t)[0])
		}
		return lo, hi
	})
}

// clipBounds returns the bounds in T, lo and hi where they are not given.
func clipBounds[T number](c clip, lo, hi T) func([]*tensor.Tensor) (T, T) {
	if c.fixed {
		return always(T(c.lo), T(c.hi))
	}
	return func(in []*tensor.Tensor) (T, T) {
		lo, hi := lo, hi
		if t := operand(in, 1); t != nil {
			lo = tensor.View[T](t)[0]
		}
		if t := operand(in, 2); t != nil {
			hi = tensor.View[T](t)[0]
		}
		return lo, hi
	}
}

func (c clip) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	lo, hi, known := c.bounds(in)
	return sameLayouts(in, out, known && lo <= 0 && hi >= 0)
}

// Tile computes rows from the same rows of the inputs.
func (c clip) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	return tileRows(c, in, out, rows)
}

// Fuse makes a chain with an operator in front.
func (clip) Fuse(e *graph.Editor, n *graph.Node) (bool, error) { return fuse(e, n) }

func (c clip) FLOPs(in, out []graph.Fact) int64 { return flops(out[0].Shape...) }

func (c clip) bounds(in []graph.Fact) (lo, hi float32, ok bool) {
	lo, hi = -math.MaxFloat32, math.MaxFloat32
	if c.fixed {
		lo, hi = c.lo, c.hi
	}
	for i, b := range []*float32{&lo, &hi} {
		f := input(in, i+1)
		if f.Missing() {
			continue
		}
		if f.Const == nil || f.DType != tensor.Float32 {
			return 0, 0, false
		}
		*b = f.Const.F32()[0]
	}
	return min2(lo, hi), hi, lo == lo && hi == hi
}
