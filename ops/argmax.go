package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() { registerArg("ArgMax", true) }

func registerArg(name string, largest bool) {
	register(name, 1, func(a *Attrs) graph.Op {
		return arg{name, largest, a.Int("axis", 0), a.Int("keepdims", 1) != 0, a.Version() >= 12 && a.Int("select_last_index", 0) != 0}
	})
}

// arg is y = the index of the largest element of x along an axis, or of the
// smallest: ArgMax and ArgMin. Of equal elements the first counts, or the last
// with select_last_index (since opset 12). A NaN counts as the extreme.
//
//	x: numbers; rank 1 or more
//	y: int64; x's shape with length 1 along the axis, or with keepdims = 0
//	   without it
//
// Source: ONNX ArgMax-1, -11, -12, -13; ArgMin likewise.
type arg struct {
	name    string
	largest bool
	axis    int
	keep    bool
	last    bool
}

func (a arg) String() string { return fmt.Sprintf("%s[%d]", a.name, a.axis) }

func (a arg) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(a, d, in)
	}
	out, err := inferSame(in, numericTypes...)
	if err != nil {
		return nil, err
	}
	at, err := axis(a.axis, len(in[0].Shape))
	if err != nil {
		return nil, err
	}
	x := in[0].Shape
	if x[at] == 0 && x[:at].Elems()*x[at+1:].Elems() > 0 {
		return nil, fmt.Errorf("x%v has no elements along axis %d", x, at)
	}
	shape := x[:at].Clone()
	if a.keep {
		shape = append(shape, 1)
	}
	out[0].Type = tensor.Type{DType: tensor.Int64, Shape: append(shape, x[at+1:]...)}
	return out, nil
}

func (a arg) FLOPs(in, out []graph.Fact) int64 { return flops(in[0].Shape...) }

func (a arg) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(a, d, in, out)
	}
	switch in[0].DType {
	case tensor.Float32:
		return argKernel[float32](a, in[0].Shape), nil
	case tensor.Float64:
		return argKernel[float64](a, in[0].Shape), nil
	case tensor.Int8:
		return argKernel[int8](a, in[0].Shape), nil
	case tensor.Int16:
		return argKernel[int16](a, in[0].Shape), nil
	case tensor.Int32:
		return argKernel[int32](a, in[0].Shape), nil
	case tensor.Int64:
		return argKernel[int64](a, in[0].Shape), nil
	case tensor.Uint8:
		return argKernel[uint8](a, in[0].Shape), nil
	case tensor.Uint16:
		return argKernel[uint16](a, in[0].Shape), nil
	case tensor.Uint32:
		return argKernel[uint32](a, in[0].Shape), nil
	}
	return argKernel[uint64](a, in[0].Shape), nil
}

// alongAxis splits a shape, whose rank is not 0, into the lengths before an
// axis, along it and behind it.
func alongAxis(s tensor.Shape, a int) (before, along, behind int) {
	at, _ := axis(a, len(s))
	return s[:at].Elems(), s[at], s[at+1:].Elems()
}

func argKernel[T number](a arg, x tensor.Shape) graph.Kernel {
	before, along, behind := alongAxis(x, a.axis)
	rows := before * behind
	count := chunks(rows, scalarTime*float64(along))
	better := func(v, best T) bool { return v > best || v != v && best == best }
	if !a.largest {
		better = func(v, best T) bool { return v < best || v != v && best == best }
	}
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y := tensor.View[T](in[0]), out[0].I64()
		lo, hi := span(rows, count, i, 1)
		for r := lo; r < hi; r++ {
			from := r/behind*along*behind + r%behind
			best, at := x[from], 0
			for j := 1; j < along; j++ {
				if v := x[from+j*behind]; better(v, best) || a.last && v == best {
					best, at = v, j
				}
			}
			y[r] = int64(at)
		}
		return nil
	}}}}
}
