package ops

import (
	"fmt"
	"math"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("ConstantOfShape", 9, func(a *Attrs) graph.Op {
		t := tensor.New(tensor.Float32, 1)
		if a.Has("value") {
			if t = a.Tensor("value"); t == nil || t.Shape.Elems() != 1 {
				a.Fail("attribute %q is no tensor of one element", "value")
				return constantOfShape{}
			}
		}
		return constantOfShape{t}
	})
	register("EyeLike", 9, func(a *Attrs) graph.Op {
		e := eyeLike{k: a.Int("k", 0)}
		if a.Has("dtype") {
			e.dtype = elementType(a, "dtype")
		}
		return e
	})
	register("Range", 11, func(a *Attrs) graph.Op {
		if a.Version() >= 27 {
			a.Int("stash_type", 1)
		}
		return rangeOf{}
	})
}

// elementType reads an attribute that is an element type.
func elementType(a *Attrs, name string) tensor.DType {
	d := a.Int(name, 0)
	if d < 0 || d > math.MaxUint8 || !tensor.DType(d).Valid() {
		a.Fail("%w element type %d in attribute %q", ErrUnsupported, d, name)
	}
	return tensor.DType(d)
}

// constantOfShape is one value everywhere.
//
//	shape: i64 list, the shape of y; none for a scalar
//	y: the type of the attribute value, a zero f32 if it is not given
//
// Source: ONNX ConstantOfShape-9, -20, -21, -23, -24, -25.
type constantOfShape struct{ value *tensor.Tensor }

func (constantOfShape) String() string { return "ConstantOfShape" }

func (c constantOfShape) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	shape, err := integers(in[0], "shape")
	if err != nil {
		return nil, err
	}
	if _, err := tensor.CheckType(c.value.DType, shape, math.MaxInt); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: c.value.DType, Shape: shape}}}, nil
}

func (c constantOfShape) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return graph.Kernel{Info: "fill", Steps: []graph.Step{fillStep(out[0].Type, c.value.Raw, 0)}}, nil
}

// eyeLike is a matrix with ones on the k-th diagonal above the main one and
// zeros elsewhere.
//
//	x: [rows, columns] any type
//	y: x's shape, of type dtype or x's
//
// Source: ONNX EyeLike-9, -22.
type eyeLike struct {
	dtype tensor.DType
	k     int
}

func (eyeLike) String() string { return "EyeLike" }

func (e eyeLike) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	t := in[0].Type
	if e.dtype != tensor.Undefined {
		t.DType = e.dtype
	}
	if len(t.Shape) != 2 {
		return nil, fmt.Errorf("x has shape %v, want a matrix", t.Shape)
	}
	return []graph.Fact{{Type: t}}, nil
}

func (e eyeLike) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	rows, cols, size := out[0].Shape[0], out[0].Shape[1], out[0].DType.Size()
	one, err := oneOf(out[0].DType)
	if err != nil {
		return graph.Kernel{}, err
	}
	return graph.Kernel{Info: "fill", Steps: []graph.Step{fillStep(out[0].Type, make([]byte, size), 0), {N: 1, Do: func(_ *graph.Exec, _, out []*tensor.Tensor, _ int) error {
		for r := range rows {
			// e.k may be any number: compare before adding.
			if e.k >= -r && e.k < cols-r {
				copy(out[0].Raw[(r*cols+r+e.k)*size:][:size], one)
			}
		}
		return nil
	}}}}, nil
}

// oneOf is the number 1 of type d.
func oneOf(d tensor.DType) ([]byte, error) {
	one := graph.Constant("", tensor.Scalar[int32](1)).Fact
	t, err := graph.Eval(cast{to: d}, []graph.Fact{one}, []graph.Fact{{Type: tensor.Type{DType: d}}})
	if err != nil {
		return nil, err
	}
	return t[0].Raw, nil
}

// rangeOf counts from start up to before limit in steps of delta.
//
//	start, limit, delta: scalars of one type, f16, bf16, f32, f64, i16, i32 or i64
//	y: [max(0, ceil((limit-start)/delta))], start + i*delta
//
// 16-bit floating point is calculated with as float32, whatever stash_type says.
//
// Source: ONNX Range-11, -27.
type rangeOf struct{}

func (rangeOf) String() string { return "Range" }

func (r rangeOf) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if d := halfType(in); d.Valid() {
		return inferHalf(r, d, in)
	}
	for i, name := range []string{"start", "limit", "delta"} {
		if in[i].DType != in[0].DType || in[i].Shape.Elems() != 1 {
			return nil, fmt.Errorf("%s is %v, want a scalar %v", name, in[i].Type, in[0].DType)
		}
		if in[i].Const == nil {
			return nil, late(name)
		}
	}
	n, err := 0, error(nil)
	switch d := in[0].DType; d {
	case tensor.Float32:
		n, err = rangeLength(in, func(t *tensor.Tensor) float64 { return float64(t.F32()[0]) })
	case tensor.Float64:
		n, err = rangeLength(in, func(t *tensor.Tensor) float64 { return tensor.View[float64](t)[0] })
	case tensor.Int16:
		n, err = countTo(in, func(t *tensor.Tensor) int64 { return int64(tensor.View[int16](t)[0]) })
	case tensor.Int32:
		n, err = countTo(in, func(t *tensor.Tensor) int64 { return int64(tensor.View[int32](t)[0]) })
	case tensor.Int64:
		n, err = countTo(in, func(t *tensor.Tensor) int64 { return t.I64()[0] })
	default:
		err = checkType("start", d, tensor.Float32, tensor.Float64, tensor.Int16, tensor.Int32, tensor.Int64)
	}
	if err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[0].DType, Shape: tensor.Shape{n}}}}, nil
}

// maxRange is a length that no dimension reaches, small enough to be exact in float64.
const maxRange = 1 << 50

func rangeLength(in []graph.Fact, at func(*tensor.Tensor) float64) (int, error) {
	start, limit, delta := at(in[0].Const), at(in[1].Const), at(in[2].Const)
	n := math.Ceil((limit - start) / delta)
	if !(n < min(maxRange, math.MaxInt)) || delta == 0 {
		return 0, fmt.Errorf("a range from %v to %v by %v has no length", start, limit, delta)
	}
	return int(max(n, 0)), nil
}

func countTo(in []graph.Fact, at func(*tensor.Tensor) int64) (int, error) {
	start, limit, delta := at(in[0].Const), at(in[1].Const), at(in[2].Const)
	var n uint64
	switch {
	case delta == 0:
		return 0, fmt.Errorf("a range by 0 has no length")
	case delta > 0 && start < limit:
		n = (uint64(limit)-uint64(start)-1)/uint64(delta) + 1
	case delta < 0 && start > limit:
		n = (uint64(start)-uint64(limit)-1)/-uint64(delta) + 1
	}
	if n > math.MaxInt {
		return 0, fmt.Errorf("a range from %v to %v by %v is too long", start, limit, delta)
	}
	return int(n), nil
}

func (r rangeOf) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(r, d, in, out)
	}
	switch out[0].DType {
	case tensor.Float32:
		return rangeKernel[float32](out), nil
	case tensor.Float64:
		return rangeKernel[float64](out), nil
	case tensor.Int16:
		return rangeKernel[int16](out), nil
	case tensor.Int32:
		return rangeKernel[int32](out), nil
	}
	return rangeKernel[int64](out), nil
}

func rangeKernel[T float32 | float64 | int16 | int32 | int64](out []graph.Fact) graph.Kernel {
	return perElement("range", out[0], scalarTime, func(in, out []*tensor.Tensor, lo, hi int) error {
		start, delta := tensor.View[T](in[0])[0], tensor.View[T](in[2])[0]
		y := tensor.View[T](out[0])
		for i := lo; i < hi; i++ {
			y[i] = start + T(T(i)*delta) // rounded twice on every machine
		}
		return nil
	})
}
