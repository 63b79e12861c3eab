package ops

import (
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Relu", 6, func(*Attrs) graph.Op { return relu{} })
}

// relu is y = x where x >= 0, 0 elsewhere; -0 and NaN stay.
//
//	x, y: floating point or signed integers, any shape, any layout
//
// Source: ONNX Relu-6, Relu-13, Relu-14.
type relu struct{}

func (relu) String() string { return "Relu" }

func (relu) Infer(in []graph.Fact) ([]graph.Fact, error) {
	return inferSame(in, tensor.Float32, tensor.Float64, tensor.Float16, tensor.BFloat16,
		tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64)
}

func (relu) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	switch out[0].DType {
	case tensor.Float32:
		return clampKernelF32(out[0], always(0, inf)), nil
	case tensor.Float64:
		return clampKernel(out[0], always(0, math.Inf(1))), nil
	case tensor.Int8:
		return clampKernel(out[0], always[int8](0, math.MaxInt8)), nil
	case tensor.Int16:
		return clampKernel(out[0], always[int16](0, math.MaxInt16)), nil
	case tensor.Int32:
		return clampKernel(out[0], always[int32](0, math.MaxInt32)), nil
	case tensor.Int64:
		return clampKernel(out[0], always[int64](0, math.MaxInt64)), nil
	}
	return clampKernelHalf(out[0], always(0, inf)), nil
}

// always returns bounds that do not depend on the inputs.
func always[T number](lo, hi T) func([]*tensor.Tensor) (T, T) {
	return func([]*tensor.Tensor) (T, T) { return lo, hi }
}

func (relu) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	return sameLayouts(in, out, true)
}

// Tile computes rows from the same rows of the inputs.
func (r relu) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	return tileRows(r, in, out, rows)
}

// Rewrite merges alike nodes: several readers of a value often rectify it, each
// for itself.
func (relu) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) { return mergeAlike(e, n), nil }

// Fuse makes a chain with an operator in front.
func (relu) Fuse(e *graph.Editor, n *graph.Node) (bool, error) { return fuse(e, n) }

func (relu) FLOPs(in, out []graph.Fact) int64 { return flops(out[0].Shape...) }

func (relu) bounds([]graph.Fact) (lo, hi float32, ok bool) { return 0, inf, true }
