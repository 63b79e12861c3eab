package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

func init() { registerRows(softmax{name: "Softmax", f32: vec.Softmax, f64: softmaxRow}) }

// registerRows registers an operator that works on rows along an axis.
func registerRows(s softmax) {
	register(s.name, 1, func(a *Attrs) graph.Op {
		s.axis, s.flat = a.Int("axis", 1), true
		return s
	})
	register(s.name, 13, func(a *Attrs) graph.Op {
		s.axis, s.flat = a.Int("axis", -1), false
		return s
	})
}

// softmax is exp(x) / sum(exp(x)) along an axis, or another function of rows:
// LogSoftmax and Hardmax; until opset 12 along all dimensions from the axis on.
//
//	x, y: floating point, any shape
//
// The largest element is taken off first, so no exponential overflows. The
// arithmetic of a sum depends on its length alone.
//
// Source: ONNX Softmax-1, -11, -13; LogSoftmax and Hardmax likewise.
type softmax struct {
	name  string
	axis  int
	flat  bool
	f32   func(dst, x []float32) // of one row
	f64   func(dst, x []float64)
	apart bool // dst may not be x
}

// softmaxFLOPs is what each element counts for: the maximum, a subtraction, an
// exponential, an addition and a division.
const softmaxFLOPs = 5

func (s softmax) String() string { return fmt.Sprintf("%s[%d]", s.name, s.axis) }

// sizes returns the lengths of the dimensions before the axis, along it and
// behind it.
func (s softmax) sizes(x tensor.Shape) (before, along, behind int, err error) {
	if len(x) == 0 {
		return 1, 1, 1, nil
	}
	if s.flat && s.axis == len(x) {
		return x.Elems(), 1, 1, nil
	}
	a, err := axis(s.axis, len(x))
	if err != nil {
		return 0, 0, 0, err
	}
	if s.flat {
		return x[:a].Elems(), x[a:].Elems(), 1, nil
	}
	return x[:a].Elems(), x[a], x[a+1:].Elems(), nil
}

func (s softmax) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(s, d, in)
	}
	out, err := inferSame(in, floatTypes...)
	if err != nil {
		return nil, err
	}
	_, _, _, err = s.sizes(in[0].Shape)
	return out, err
}

func (s softmax) FLOPs(in, out []graph.Fact) int64 {
	return flops(softmaxFLOPs, out[0].Shape.Elems())
}

func (s softmax) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(s, d, in, out)
	}
	before, along, behind, err := s.sizes(out[0].Shape)
	if err != nil {
		return graph.Kernel{}, err
	}
	if out[0].DType == tensor.Float64 {
		return softmaxKernel("generic go", before, along, behind, mathTime, s.apart, s.f64), nil
	}
	return softmaxKernel("vector", before, along, behind, scalarTime, s.apart, s.f32), nil
}

// softmaxKernel applies row to each of the before*behind rows of along
// elements. Rows that do not lie together are brought together first.
func softmaxKernel[T float32 | float64](info string, before, along, behind int, ns float64, apart bool, row func(dst, x []T)) graph.Kernel {
	rows := before * behind
	count := chunks(rows, ns*float64(along))
	k := graph.Kernel{Info: info}
	if !apart {
		k.InPlace = []int{0}
	}
	if rows*along == 0 {
		return k
	}
	if behind > 1 {
		k.Scratch = 2 * 8 * along
	}
	k.Steps = []graph.Step{{N: count, Do: func(e *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := tensor.View[T](in[0]), tensor.View[T](out[0])
		lo, hi := span(rows, count, i, 1)
		for r := lo; r < hi; r++ {
			if behind == 1 {
				row(y[r*along:][:along], x[r*along:][:along])
				continue
			}
			together := tensor.Cast[T](e.Scratch)[:along]
			from := r/behind*along*behind + r%behind
			for j := range together {
				together[j] = x[from+j*behind]
			}
			result := together
			if apart {
				result = tensor.Cast[T](e.Scratch)[along:][:along]
			}
			row(result, together)
			for j, v := range result {
				y[from+j*behind] = v
			}
		}
		return nil
	}}}
	return k
}

// softmaxRow is the softmax of one row; dst may be x.
func softmaxRow(dst, x []float64) {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	sum := 0.0
	for i, v := range x {
		dst[i] = math.Exp(v - top)
		sum += dst[i]
	}
	for i := range dst {
		dst[i] /= sum
	}
}
