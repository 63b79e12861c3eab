package ops

import (
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

// centering is how rows are normalized: y = (x - mean) / sqrt(variance +
// epsilon), or x / sqrt(mean square + epsilon) if the mean stays.
type centering struct {
	epsilon  float64
	keepMean bool
}

// normalizeTime is about how many nanoseconds an element takes.
const normalizeTime = 1

// row normalizes x to dst, which may not be x, and returns the mean, 0 if it
// stays, and the factor. squares has the length of x.
func (c centering) row(dst, x, squares []float32) (mean, factor float32) {
	if c.keepMean {
		copy(dst, x)
	} else {
		mean = vec.Sum(x) / float32(len(x))
		vec.SubScalar(dst, x, mean)
	}
	vec.Mul(squares, dst, dst)
	factor = float32(1 / math.Sqrt(float64(vec.Sum(squares))/float64(len(x))+c.epsilon))
	vec.MulScalar(dst, dst, factor)
	return mean, factor
}

// rowF64 is row for float64.
func (c centering) rowF64(dst, x []float64) (mean, factor float64) {
	if !c.keepMean {
		for _, v := range x {
			mean += v
		}
		mean /= float64(len(x))
	}
	sum := 0.0
	for i, v := range x {
		dst[i] = v - mean
		sum += float64(dst[i] * dst[i])
	}
	factor = 1 / math.Sqrt(sum/float64(len(x))+c.epsilon)
	for i := range dst {
		dst[i] *= factor
	}
	return mean, factor
}

// kernel normalizes rows of the given length; then finish does what is left to
// do for row r of the result.
func (c centering) kernel(d tensor.DType, rows, length int, finish func(in, out []*tensor.Tensor, r int, mean, factor float64)) graph.Kernel {
	if rows*length == 0 {
		return graph.Kernel{Info: "empty"}
	}
	count := chunks(rows, normalizeTime*float64(length))
	k := graph.Kernel{Info: "vector", Scratch: 4 * length}
	k.Steps = []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(rows, count, i, 1)
		for r := lo; r < hi; r++ {
			mean, factor := c.row(floats(out[0])[r*length:][:length], floats(in[0])[r*length:][:length], tensor.Cast[float32](e.Scratch)[:length])
			finish(in, out, r, float64(mean), float64(factor))
		}
		return nil
	}}}
	if d == tensor.Float64 {
		k.Info, k.Scratch = "generic go", 0
		k.Steps[0].Do = func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
			x, y := tensor.View[float64](in[0]), tensor.View[float64](out[0])
			lo, hi := span(rows, count, i, 1)
			for r := lo; r < hi; r++ {
				mean, factor := c.rowF64(y[r*length:][:length], x[r*length:][:length])
				finish(in, out, r, mean, factor)
			}
			return nil
		}
	}
	return k
}

// scaleRow multiplies n elements of y from at on by element j of scale and
// adds that of shift.
func scaleRow(y *tensor.Tensor, at, n int, scale, shift *tensor.Tensor, j int) {
	if y.DType == tensor.Float32 {
		part := y.F32()[at : at+n]
		vec.MulScalar(part, part, scale.F32()[j])
		vec.AddScalar(part, part, shift.F32()[j])
		return
	}
	s, t := tensor.View[float64](scale)[j], tensor.View[float64](shift)[j]
	part := tensor.View[float64](y)[at : at+n]
	for i, v := range part {
		part[i] = float64(v*s) + t
	}
}

// inferChannels checks an operator with an input x of [N C ...] and a scale and
// a shift of the length that is given for the shape of x, all of one type.
func inferChannels(in []graph.Fact, length func(x tensor.Shape) (int, error)) ([]graph.Fact, error) {
	if err := checkInputs(in, 3, 3); err != nil {
		return nil, err
	}
	out, err := inferSame(in[:1], floatTypes...)
	if err != nil {
		return nil, err
	}
	if err := checkRank(in[0]); err != nil {
		return nil, err
	}
	n, err := length(in[0].Shape)
	if err != nil {
		return nil, err
	}
	for i, name := range []string{"scale", "bias"} {
		if err := checkShape(name, in[i+1], n); err != nil {
			return nil, err
		}
		if err := checkType(name, in[i+1].DType, in[0].DType); err != nil {
			return nil, err
		}
	}
	return out, nil
}
