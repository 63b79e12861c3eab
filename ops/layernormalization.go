package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/vec"
)

func init() {
	register("LayerNormalization", 17, func(a *Attrs) graph.Op {
		return makeLayerNormalization(a, "LayerNormalization", false)
	})
	register("RMSNormalization", 23, func(a *Attrs) graph.Op {
		return makeLayerNormalization(a, "RMSNormalization", true)
	})
}

func makeLayerNormalization(a *Attrs, name string, keepMean bool) graph.Op {
	if stash := tensor.DType(a.Int("stash_type", int(tensor.Float32))); stash != tensor.Float32 {
		a.Fail("%w stash_type %v", ErrUnsupported, stash)
	}
	return layerNormalization{name, a.Int("axis", -1), centering{float64(a.Float("epsilon", 1e-5)), keepMean}}
}

// layerNormalization is y = (x - mean) / sqrt(variance + epsilon) * scale +
// bias, over all dimensions from the axis on: LayerNormalization; and
// RMSNormalization, x / sqrt(mean square + epsilon) * scale.
//
//	x, y:        floating point, rank 1 or more
//	scale, bias: x's type, shapes that broadcast to x's; bias is optional, and
//	             RMSNormalization has none, but any floating-point scale, whose
//	             type is then y's
//	mean:        LayerNormalization only; float32, or float64 like x; x's shape
//	             with length 1 from the axis on
//	inverse:     1 / sqrt(variance + epsilon), likewise
//
// Source: ONNX LayerNormalization-17, RMSNormalization-23.
type layerNormalization struct {
	name string
	axis int
	centering
}

func (l layerNormalization) String() string { return fmt.Sprintf("%s[%d]", l.name, l.axis) }

func (l layerNormalization) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if m := l.mixed(in); m != nil {
		return m.Infer(in)
	}
	if d := halfType(in); d.Valid() {
		out, err := inferHalf(l, d, in)
		for i := 1; i < len(out); i++ {
			out[i].DType = tensor.Float32
		}
		return out, err
	}
	most := 3
	if l.keepMean {
		most = 2
	}
	if err := checkInputs(in, 2, most); err != nil {
		return nil, err
	}
	x := in[0]
	out, err := inferSame(in[:1], floatTypes...)
	if err != nil {
		return nil, err
	}
	a, err := axis(l.axis, len(x.Shape))
	if err != nil {
		return nil, err
	}
	for i, name := range []string{"scale", "bias"} {
		f := input(in, i+1)
		if f.Missing() {
			continue
		}
		if err := checkType(name, f.DType, x.DType); err != nil {
			return nil, err
		}
		if s, err := broadcastShapes(x.Shape, f.Shape); err != nil || !s.Equal(x.Shape) {
			return nil, fmt.Errorf("%s has shape %v, which does not broadcast to x%v", name, f.Shape, x.Shape)
		}
	}
	if l.keepMean {
		return out, nil
	}
	shape := x.Shape.Clone()
	for i := a; i < len(shape); i++ {
		shape[i] = 1
	}
	row := graph.Fact{Type: tensor.Type{DType: tensor.Float32, Shape: shape}}
	return append(out, row, row), nil
}

// mixed returns what RMSNormalization is for a scale of another type than x's.
func (l layerNormalization) mixed(in []graph.Fact) *composition {
	if !l.keepMean {
		return nil
	}
	return mixed(l, in, 1)
}

// normalizationFLOPs is what each element counts for: two sums, a difference, a
// square, and a product and a sum at the end.
const normalizationFLOPs = 6

func (layerNormalization) FLOPs(in, out []graph.Fact) int64 {
	return flops(normalizationFLOPs, in[0].Shape.Elems())
}

func (l layerNormalization) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if m := l.mixed(in); m != nil {
		return m.Compile(in, out)
	}
	if d := halfType(in); d.Valid() {
		return compileHalf(l, d, in, out)
	}
	x := in[0].Shape
	a, err := axis(l.axis, len(x))
	if err != nil {
		return graph.Kernel{}, err
	}
	rows, length := x[:a].Elems(), x[a:].Elems()
	var factors [2]broadcast
	for i := range factors {
		factors[i] = newBroadcast(x, input(in, i+1).Shape, x)
	}
	return l.kernel(in[0].DType, rows, length, func(in, out []*tensor.Tensor, r int, mean, factor float64) {
		for i := range factors {
			if f := operand(in, i+1); f != nil {
				w := &factors[i]
				w.walk(r*length, (r+1)*length, func(at, _, from, n int) { combine(out[0], at, f, from, n, w.scalar[1], i == 0) })
			}
		}
		for i, v := range [...]float64{mean, factor} {
			if len(out) > i+1 && out[i+1] != nil {
				out[i+1].F32()[r] = float32(v)
			}
		}
	}), nil
}

// combine multiplies n elements of y by those of f, or adds them; f may be one
// element for all.
func combine(y *tensor.Tensor, at int, f *tensor.Tensor, from, n int, one, multiply bool) {
	if y.DType == tensor.Float32 {
		part, x := y.F32()[at:at+n], f.F32()[from:]
		switch {
		case one && multiply:
			vec.MulScalar(part, part, x[0])
		case one:
			vec.AddScalar(part, part, x[0])
		case multiply:
			vec.Mul(part, part, x)
		default:
			vec.Add(part, part, x)
		}
		return
	}
	part, x, step := tensor.View[float64](y)[at:at+n], tensor.View[float64](f)[from:], 1
	if one {
		step = 0
	}
	for i := range part {
		if multiply {
			part[i] *= x[i*step]
		} else {
			part[i] += x[i*step]
		}
	}
}
