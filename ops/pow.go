package ops

import (
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

func init() {
	register("Pow", 7, func(*Attrs) graph.Op { return pow{} })
}

// pow is z = a^b, element by element with broadcasting.
//
//	a, z: numbers; b: numbers, maybe of another type; shapes that broadcast
//
// An integer to the power of an integer that is not negative wraps around;
// other powers of integers are computed in floating point and drop the
// fraction, with the smallest integer for what does not fit.
//
// Source: ONNX Pow-7, Pow-12, Pow-13, Pow-15.
type pow struct{}

func (pow) String() string { return "Pow" }

func (pow) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	for i, name := range []string{"the base", "the exponent"} {
		if err := checkType(name, in[i].DType, numericTypes...); err != nil {
			return nil, err
		}
	}
	s, err := broadcastShapes(in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: s}}}, nil
}

// Tile computes rows from the same rows of the inputs.
func (p pow) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	return tileRows(p, in, out, rows)
}

// Fuse makes a chain with an operator in front.
func (pow) Fuse(e *graph.Editor, n *graph.Node) (bool, error) { return fuse(e, n) }

func (pow) FLOPs(in, out []graph.Fact) int64 { return flops(mathWork, out[0].Shape.Elems()) }

func (p pow) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	w := newBroadcast(in[0].Shape, in[1].Shape, out[0].Shape)
	exponent := floatAt(in[1].DType)
	switch d := out[0].DType; d {
	case tensor.Float32:
		if in[1].DType == tensor.Float32 {
			return p.kernelF32(out[0], w), nil
		}
		return powKernel(out[0], w, exponent, func(a float32, b float64) float32 { return float32(math.Pow(float64(a), b)) }), nil
	case tensor.Float64:
		return powKernel(out[0], w, exponent, math.Pow), nil
	case tensor.Int8:
		return powKernel(out[0], w, exponent, powInteger[int8]), nil
	case tensor.Int16:
		return powKernel(out[0], w, exponent, powInteger[int16]), nil
	case tensor.Int32:
		return powKernel(out[0], w, exponent, powInteger[int32]), nil
	case tensor.Int64:
		return powKernel(out[0], w, exponent, powInteger[int64]), nil
	case tensor.Uint8:
		return powKernel(out[0], w, exponent, powInteger[uint8]), nil
	case tensor.Uint16:
		return powKernel(out[0], w, exponent, powInteger[uint16]), nil
	case tensor.Uint32:
		return powKernel(out[0], w, exponent, powInteger[uint32]), nil
	case tensor.Uint64:
		return powKernel(out[0], w, exponent, powInteger[uint64]), nil
	default:
		h := halfOf(d)
		return powKernel(out[0], w, exponent, func(a uint16, b float64) uint16 {
			return h.store(toOdd(math.Pow(float64(h.load(a)), b)))
		}), nil
	}
}

// kernelF32 knows the powers for which there are vector instructions; they
// give what math.Pow, rounded to float32, does.
func (pow) kernelF32(out graph.Fact, w broadcast) graph.Kernel {
	stepA, stepB := w.steps()
	return perElement("vector", out, mathTime, func(in, out []*tensor.Tensor, lo, hi int) error {
		x, y, z := floats(in[0]), floats(in[1]), floats(out[0])
		w.walk(lo, hi, func(at, a, b, n int) {
			switch dst := z[at : at+n]; {
			case stepB == 0 && stepA == 1 && y[b] == 1:
				copy(dst, x[a:a+n])
			case stepB == 0 && stepA == 1 && y[b] == 2:
				vec.Mul(dst, x[a:a+n], x[a:a+n])
			default:
				for i := range dst {
					dst[i] = float32(math.Pow(float64(x[a]), float64(y[b])))
					a, b = a+stepA, b+stepB
				}
			}
		})
		return nil
	})
}

func powKernel[T tensor.Elem](out graph.Fact, w broadcast, exponent func(raw []byte, i int) float64, f func(a T, b float64) T) graph.Kernel {
	return perElement("generic go", out, mathTime, func(in, out []*tensor.Tensor, lo, hi int) error {
		x, z := tensor.Cast[T](in[0].Raw), tensor.Cast[T](out[0].Raw)
		for i := lo; i < hi; i++ {
			a, b := w.element(i)
			z[i] = f(x[a], exponent(in[1].Raw, b))
		}
		return nil
	})
}

func powInteger[T integer](a T, b float64) T {
	if b < 0 || b != math.Trunc(b) || b > math.MaxInt64/2 {
		return T(toInt64(math.Pow(float64(a), b)))
	}
	z := T(1)
	for n := int64(b); n > 0; n >>= 1 {
		if n&1 == 1 {
			z *= a
		}
		a *= a
	}
	return z
}

// floatAt returns what reads element i of a tensor's bytes as float64.
func floatAt(d tensor.DType) func(raw []byte, i int) float64 {
	switch d {
	case tensor.Float32:
		return readAs[float32]
	case tensor.Float64:
		return readAs[float64]
	case tensor.Int8:
		return readAs[int8]
	case tensor.Int16:
		return readAs[int16]
	case tensor.Int32:
		return readAs[int32]
	case tensor.Int64:
		return readAs[int64]
	case tensor.Uint8, tensor.Bool:
		return readAs[uint8]
	case tensor.Uint16:
		return readAs[uint16]
	case tensor.Uint32:
		return readAs[uint32]
	case tensor.Uint64:
		return readAs[uint64]
	}
	h := halfOf(d)
	return func(raw []byte, i int) float64 { return float64(h.load(tensor.Cast[uint16](raw)[i])) }
}

func readAs[T number](raw []byte, i int) float64 { return float64(tensor.Cast[T](raw)[i]) }
