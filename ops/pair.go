package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// pairing is z = f(a, b), element by element with broadcasting, where the
// result may have another type than the operands: comparisons, logic, BitShift
// and Mod.
//
//	a, b: one of types, the same in both; shapes that broadcast
//	z:    that type, or bool for a comparison; the shape to which they broadcast
type pairing struct {
	name    string
	types   []tensor.DType
	compare bool // gives bool
	kernel  func(d tensor.DType, out graph.Fact, w broadcast) graph.Kernel
}

func (p pairing) String() string { return p.name }

func (p pairing) Infer(in []graph.Fact) ([]graph.Fact, error) {
	out, err := inferPair(in, p.types)
	if err == nil && p.compare {
		out[0].DType = tensor.Bool
	}
	return out, err
}

// Tile computes rows from the same rows of the inputs.
func (p pairing) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	return tileRows(p, in, out, rows)
}

func (p pairing) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return p.kernel(in[0].DType, out[0], newBroadcast(in[0].Shape, in[1].Shape, out[0].Shape)), nil
}

func (pairing) FLOPs(in, out []graph.Fact) int64 { return flops(out[0].Shape...) }

// pairKernel is the kernel that applies f.
func pairKernel[X, Z tensor.Elem](out graph.Fact, w broadcast, f func(a, b X) Z) graph.Kernel {
	stepA, stepB := w.steps()
	return perElement("generic go", out, 2*scalarTime+rowTime/float64(w.inner), func(in, out []*tensor.Tensor, lo, hi int) error {
		x, y, z := tensor.Cast[X](in[0].Raw), tensor.Cast[X](in[1].Raw), tensor.Cast[Z](out[0].Raw)
		w.walk(lo, hi, func(at, a, b, n int) {
			for i := range n {
				z[at+i] = f(x[a], y[b])
				a, b = a+stepA, b+stepB
			}
		})
		return nil
	})
}

// comparison returns the comparison called name. A NaN is neither equal to
// anything nor less nor greater.
func comparison(name string, types ...tensor.DType) pairing {
	return pairing{name, types, true, func(d tensor.DType, out graph.Fact, w broadcast) graph.Kernel {
		switch d {
		case tensor.Float32:
			return pairKernel(out, w, comparing[float32](name))
		case tensor.Float64:
			return pairKernel(out, w, comparing[float64](name))
		case tensor.Int8:
			return pairKernel(out, w, comparing[int8](name))
		case tensor.Int16:
			return pairKernel(out, w, comparing[int16](name))
		case tensor.Int32:
			return pairKernel(out, w, comparing[int32](name))
		case tensor.Int64:
			return pairKernel(out, w, comparing[int64](name))
		case tensor.Uint8, tensor.Bool:
			return pairKernel(out, w, comparing[uint8](name))
		case tensor.Uint16:
			return pairKernel(out, w, comparing[uint16](name))
		case tensor.Uint32:
			return pairKernel(out, w, comparing[uint32](name))
		case tensor.Uint64:
			return pairKernel(out, w, comparing[uint64](name))
		}
		h, f := halfOf(d), comparing[float32](name)
		return pairKernel(out, w, func(a, b uint16) bool { return f(h.load(a), h.load(b)) })
	}}
}

func comparing[T number](name string) func(a, b T) bool {
	switch name {
	case "Equal":
		return func(a, b T) bool { return a == b }
	case "Less":
		return func(a, b T) bool { return a < b }
	case "LessOrEqual":
		return func(a, b T) bool { return a <= b }
	case "Greater":
		return func(a, b T) bool { return a > b }
	}
	return func(a, b T) bool { return a >= b }
}

// bitwise returns the operator that combines the bits of a and b.
func bitwise(name string, types []tensor.DType, f func(a, b uint64) uint64) pairing {
	return pairing{name, types, false, func(d tensor.DType, out graph.Fact, w broadcast) graph.Kernel {
		switch d.Size() {
		case 1:
			return pairKernel(out, w, func(a, b uint8) uint8 { return uint8(f(uint64(a), uint64(b))) })
		case 2:
			return pairKernel(out, w, func(a, b uint16) uint16 { return uint16(f(uint64(a), uint64(b))) })
		case 4:
			return pairKernel(out, w, func(a, b uint32) uint32 { return uint32(f(uint64(a), uint64(b))) })
		}
		return pairKernel(out, w, f)
	}}
}

func and(a, b uint64) uint64 { return a & b }
func or(a, b uint64) uint64  { return a | b }
func xor(a, b uint64) uint64 { return a ^ b }
