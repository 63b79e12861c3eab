package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Not", 1, func(*Attrs) graph.Op {
		return predicate{"Not", []tensor.DType{tensor.Bool}, func(out graph.Fact, _ tensor.DType) graph.Kernel {
			return mapKernel(out, scalarTime, func(x bool) bool { return !x })
		}}
	})
}

// predicate is y = whether x has a property, element by element: Not, IsNaN
// and IsInf.
//
//	x: one of types, any shape
//	y: bool, x's shape
//
// Source: ONNX Not-1; IsNaN-9, -13, -20; IsInf-10, -20.
type predicate struct {
	name   string
	types  []tensor.DType
	kernel func(out graph.Fact, x tensor.DType) graph.Kernel
}

func (p predicate) String() string { return p.name }

func (p predicate) Infer(in []graph.Fact) ([]graph.Fact, error) {
	out, err := inferSame(in, p.types...)
	if err != nil {
		return nil, err
	}
	out[0].DType = tensor.Bool
	return out, nil
}

func (p predicate) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return p.kernel(out[0], in[0].DType), nil
}

func (predicate) FLOPs(in, out []graph.Fact) int64 { return flops(out[0].Shape...) }

// floatPredicate returns the kernel of a property of floating-point numbers.
func floatPredicate(is func(x float64) bool) func(out graph.Fact, x tensor.DType) graph.Kernel {
	return func(out graph.Fact, x tensor.DType) graph.Kernel {
		switch x {
		case tensor.Float32:
			return mapKernel(out, scalarTime, func(x float32) bool { return is(float64(x)) })
		case tensor.Float64:
			return mapKernel(out, scalarTime, is)
		}
		h := halfOf(x)
		return mapKernel(out, scalarTime, func(x uint16) bool { return is(float64(h.load(x))) })
	}
}
