package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("Scatter", 9, func(a *Attrs) graph.Op { return scatterElements{a.Int("axis", 0), "none"} })
	register("ScatterElements", 11, func(a *Attrs) graph.Op { return scatterElements{a.Int("axis", 0), "none"} })
	register("ScatterElements", 16, func(a *Attrs) graph.Op { return scatterElements{a.Int("axis", 0), scatterReduction(a)} })
	register("ScatterND", 11, func(*Attrs) graph.Op { return scatterND{"none"} })
	register("ScatterND", 16, func(a *Attrs) graph.Op { return scatterND{scatterReduction(a)} })
}

// scatterReduction reads how an update and what is there become one.
func scatterReduction(a *Attrs) string {
	how := a.String("reduction", "none")
	switch how {
	case "none", "add", "mul":
	case "max", "min":
		const since = 18
		if a.Version() < since {
			a.Fail("attribute %q is %q, which opset %d brings", "reduction", how, since)
		}
	default:
		a.Fail("attribute %q is %q, want none, add, mul, max or min", "reduction", how)
	}
	return how
}

// scatterElements is x with updates put at the places that indices give, as
// GatherElements takes them from there. How an update and what is there, or an
// earlier update, become one is the reduction; without one the last update
// stays.
//
//	x, y: any type, rank r at least 1; numbers for a reduction
//	indices: i64 or i32, rank r
//	updates: x's type, the shape of indices
//
// Source: ONNX Scatter-9, -11, ScatterElements-11, -13, -16, -18.
type scatterElements struct {
	axis      int
	reduction string
}

func (s scatterElements) String() string {
	return fmt.Sprintf("ScatterElements[axis %d,%s]", s.axis, s.reduction)
}

func (s scatterElements) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 3, 3); err != nil {
		return nil, err
	}
	if err := checkElementIndices(in[0].Shape, in[1], s.axis); err != nil {
		return nil, err
	}
	if err := checkUpdates(in, in[1].Shape, s.reduction); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: in[0].Type}}, nil
}

func checkUpdates(in []graph.Fact, want tensor.Shape, reduction string) error {
	if in[2].DType != in[0].DType {
		return fmt.Errorf("updates are %v, want %v as x", in[2].DType, in[0].DType)
	}
	if reduction != "none" {
		if err := checkType("x", in[0].DType, numericTypes...); err != nil {
			return err
		}
	}
	return checkShape("updates", in[2], want...)
}

func (s scatterElements) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	p, err := newElementPlaces(in[0].Shape, in[1].Shape, s.axis)
	if err != nil {
		return graph.Kernel{}, err
	}
	return scatterKernel(in, out, s.reduction, in[1].Shape.Elems(), 1, func(in []*tensor.Tensor, i int) (int, error) {
		return p.at(in[1], i)
	}), nil
}

// scatterND is x with slices updated at the coordinates that indices give, as
// GatherND takes them from there; see scatterElements for the reduction.
//
//	x, y: any type, rank r at least 1
//	indices: i64, [..., k]
//	updates: [indices without the last dimension, x without the first k]
//
// Source: ONNX ScatterND-11, -13, -16, -18.
type scatterND struct{ reduction string }

func (s scatterND) String() string { return fmt.Sprintf("ScatterND[%s]", s.reduction) }

func (s scatterND) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 3, 3); err != nil {
		return nil, err
	}
	x, idx := in[0].Shape, in[1].Shape
	if err := checkCoordinates(x, in[1], 0); err != nil {
		return nil, err
	}
	want := append(idx[:len(idx)-1].Clone(), x[idx[len(idx)-1]:]...)
	if err := checkUpdates(in, want, s.reduction); err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: in[0].Type}}, nil
}

func (s scatterND) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x, idx := in[0].Shape, in[1].Shape
	p := newCoordinatePlaces(x, idx, 0)
	k := idx[len(idx)-1]
	return scatterKernel(in, out, s.reduction, idx[:len(idx)-1].Elems(), x[k:].Elems(), func(in []*tensor.Tensor, i int) (int, error) {
		return p.at(in[1], i)
	}), nil
}

// scatterKernel copies operand 0, and then puts rows of operand 2, each of so
// many elements, at the places of result 0, in rows, that place gives: one after
// the other, since two may be the same.
func scatterKernel(in, out []graph.Fact, reduction string, rows, elems int, place func(in []*tensor.Tensor, i int) (int, error)) graph.Kernel {
	if out[0].Bytes() == 0 {
		return graph.Kernel{Info: "empty"}
	}
	bytes, apply := elems*out[0].DType.Size(), combiner(out[0].DType, reduction)
	return graph.Kernel{Info: "rows", InPlace: []int{0}, Steps: []graph.Step{copyStep(out[0].Type, 0), {N: 1, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, _ int) error {
		for i := range rows {
			to, err := place(in, i)
			if err != nil {
				return err
			}
			apply(out[0].Raw[to*bytes:(to+1)*bytes], in[2].Raw[i*bytes:(i+1)*bytes])
		}
		return nil
	}}}}
}

// combiner returns what brings elements of type d from src to dst: as they are
// for "none", or combined with those in dst.
func combiner(d tensor.DType, how string) func(dst, src []byte) {
	if how == "none" {
		return func(dst, src []byte) { copy(dst, src) }
	}
	switch d {
	case tensor.Float32:
		return combineAs[float32](how)
	case tensor.Float64:
		return combineAs[float64](how)
	case tensor.Int8:
		return combineAs[int8](how)
	case tensor.Int16:
		return combineAs[int16](how)
	case tensor.Int32:
		return combineAs[int32](how)
	case tensor.Int64:
		return combineAs[int64](how)
	case tensor.Uint8:
		return combineAs[uint8](how)
	case tensor.Uint16:
		return combineAs[uint16](how)
	case tensor.Uint32:
		return combineAs[uint32](how)
	case tensor.Uint64:
		return combineAs[uint64](how)
	}
	h, f := halfOf(d), combination[float32](how)
	return func(dst, src []byte) {
		y, x := tensor.Cast[uint16](dst), tensor.Cast[uint16](src)
		for i, v := range x {
			y[i] = h.store(f(h.load(y[i]), h.load(v)))
		}
	}
}

func combineAs[T number](how string) func(dst, src []byte) {
	f := combination[T](how)
	return func(dst, src []byte) {
		y := tensor.Cast[T](dst)
		for i, v := range tensor.Cast[T](src) {
			y[i] = f(y[i], v)
		}
	}
}

// combination is the sum, the product, or the larger or smaller of two numbers,
// which is NaN if one is.
func combination[T number](how string) func(a, b T) T {
	switch how {
	case "add":
		return func(a, b T) T { return a + b }
	case "mul":
		return func(a, b T) T { return a * b }
	case "max":
		return func(a, b T) T { return max(a, b) }
	}
	return func(a, b T) T { return min(a, b) }
}
