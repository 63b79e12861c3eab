package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("AffineGrid", 20, func(a *Attrs) graph.Op { return affineGrid{a.Int("align_corners", 0) != 0} })
}

// affineGrid is the grid for GridSample that an affine map makes of images of r
// dimensions.
//
//	theta: [N, r, r+1] floating point, r 2 or 3
//	size: [r+2] i64, N, C and the lengths of the dimensions
//	grid: [N, lengths..., r] theta's type, the last dimension's coordinate first
//
// Source: ONNX AffineGrid-20.
type affineGrid struct{ align bool }

func (affineGrid) String() string { return "AffineGrid" }

func (a affineGrid) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(a, d, in)
	}
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	if err := checkType("theta", in[0].DType, floatTypes...); err != nil {
		return nil, err
	}
	size, err := integers(in[1], "size")
	if err != nil {
		return nil, err
	}
	r, theta := len(size)-2, in[0].Shape
	if r < 2 || r > 3 || !theta.Equal(tensor.Shape{size[0], r, r + 1}) {
		return nil, fmt.Errorf("got theta%v for size %v, want [N 2 3] for 4 lengths or [N 3 4] for 5", theta, size)
	}
	shape := append(append(tensor.Shape{size[0]}, size[2:]...), r)
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: shape}}}, nil
}

func (a affineGrid) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(a, d, in, out)
	}
	if in[0].DType == tensor.Float64 {
		return affineKernel[float64](a, out), nil
	}
	return affineKernel[float32](a, out), nil
}

func affineKernel[T float32 | float64](a affineGrid, out []graph.Fact) graph.Kernel {
	shape := out[0].Shape
	r := len(shape) - 2
	lengths := shape[1 : r+1]
	points := lengths.Elems()
	all := shape[0] * points
	count := chunks(all, scalarTime*float64(r*r))
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		theta, grid := tensor.View[T](in[0]), tensor.View[T](out[0])
		lo, hi := span(all, count, i, 1)
		for p := lo; p < hi; p++ {
			var at [3]float64 // the last dimension's coordinate first
			rest := p % points
			for k := range r {
				n := lengths[r-1-k]
				at[k] = a.coordinate(rest%n, n)
				rest /= n
			}
			for j := range r {
				row := theta[(p/points*r+j)*(r+1):][:r+1]
				sum := float64(row[r])
				for k := range r {
					sum += float64(float64(row[k]) * at[k])
				}
				grid[p*r+j] = T(sum)
			}
		}
		return nil
	}}}}
}

// coordinate is that of element i of n, from -1 to 1.
func (a affineGrid) coordinate(i, n int) float64 {
	switch {
	case !a.align:
		return float64(2*i+1)/float64(n) - 1
	case n == 1:
		return -1
	}
	return 2*float64(i)/float64(n-1) - 1
}
