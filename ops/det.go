package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Det", 11, func(*Attrs) graph.Op { return det{} })
}

// det is the determinant of each matrix, calculated in float64 by elimination
// with the largest pivot of a column. That of a matrix without rows is 1.
//
//	x: [... M M] floating point
//	y: [...]
//
// Source: ONNX Det-11, -22.
type det struct{}

func (det) String() string { return "Det" }

func (d det) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if t := halfType(in); t.Valid() {
		return inferHalf(d, t, in)
	}
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	x := in[0]
	if err := checkType("x", x.DType, floatTypes...); err != nil {
		return nil, err
	}
	r := len(x.Shape)
	if r < 2 || x.Shape[r-1] != x.Shape[r-2] {
		return nil, fmt.Errorf("x has shape %v, want square matrices", x.Shape)
	}
	return []graph.Fact{{Type: tensor.Type{DType: x.DType, Shape: x.Shape[:r-2].Clone()}}}, nil
}

func (det) FLOPs(in, out []graph.Fact) int64 {
	return flops(in[0].Shape.Elems(), in[0].Shape[len(in[0].Shape)-1])
}

func (d det) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if t := halfType(in); t.Valid() {
		return compileHalf(d, t, in, out)
	}
	n := in[0].Shape[len(in[0].Shape)-1]
	count := out[0].Shape.Elems()
	double := in[0].DType == tensor.Float64
	return graph.Kernel{Info: "generic go", Scratch: 8 * n * n, Steps: []graph.Step{{N: count, Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
		a := tensor.Cast[float64](x.Scratch)[:n*n]
		if double {
			copy(a, tensor.View[float64](in[0])[i*n*n:])
			tensor.View[float64](out[0])[i] = determinant(a, n)
			return nil
		}
		for j, v := range floats(in[0])[i*n*n:][:n*n] {
			a[j] = float64(v)
		}
		floats(out[0])[i] = float32(determinant(a, n))
		return nil
	}}}}, nil
}

// determinant returns the determinant of a, [n n], which it changes.
func determinant(a []float64, n int) float64 {
	d := 1.0
	for col := range n {
		pivot := col
		for r := col; r < n; r++ {
			if math.Abs(a[r*n+col]) > math.Abs(a[pivot*n+col]) {
				pivot = r
			}
		}
		v := a[pivot*n+col]
		if v == 0 {
			return 0
		}
		if d *= v; pivot != col {
			d = -d
			for j := range n {
				a[pivot*n+j], a[col*n+j] = a[col*n+j], a[pivot*n+j]
			}
		}
		for r := col + 1; r < n; r++ {
			f := a[r*n+col] / v
			for j := col + 1; j < n; j++ {
				a[r*n+j] -= float64(f * a[col*n+j])
			}
		}
	}
	return d
}
