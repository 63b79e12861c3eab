package ops

import (
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/qconv"
)

func init() {
	register("MatMulInteger", 10, func(*Attrs) graph.Op { return matMulInteger{} })
}

// matMulInteger is y = (a - a_zero) * (b - b_zero) in int32, with wrap-around.
//
//	a:      [... M K] or [K] int8 or uint8
//	b:      [... K N] or [K] int8 or uint8
//	a_zero: a's type; one element, or one for each row; optional
//	b_zero: b's type; one element, or one for each column; optional
//	factor: float32, one element, or one for each column; if scaled
//	bias:   [N] float32, constant; if shifted
//	y:      [... M N] int32, without M or N where the operand has one dimension
//
// It may have absorbed a Cast of y to float32, then a Mul by factor, and then an
// Add of bias, each bit for bit as the separate node gives it.
//
// Source: ONNX MatMulInteger-10.
type matMulInteger struct{ cast, scaled, shifted bool }

// Inputs of a matMulInteger.
const (
	integerA = iota
	integerB
	integerAZero
	integerBZero
	integerFactor
	integerBias
	integerCount
)

var integerInputs = integerProduct{a: integerA, b: integerB, aZero: integerAZero, bZero: integerBZero}

func (m matMulInteger) String() string {
	name := "MatMulInteger"
	for _, part := range []struct {
		is   bool
		name string
	}{{m.cast, "+Cast"}, {m.scaled, "+Mul"}, {m.shifted, "+Add"}} {
		if part.is {
			name += part.name
		}
	}
	return name
}

func (m matMulInteger) Infer(in []graph.Fact) ([]graph.Fact, error) {
	most := integerFactor
	if m.cast {
		most = integerCount
	}
	if err := checkInputs(in, 2, most); err != nil {
		return nil, err
	}
	one := graph.Fact{Type: tensor.Type{DType: tensor.Float32}}
	if err := checkMatrix("a", in[0], one, input(in, 2), in[1].Shape, false); err != nil {
		return nil, err
	}
	if err := checkMatrix("b", in[1], one, input(in, 3), in[0].Shape, true); err != nil {
		return nil, err
	}
	y, err := integerInputs.infer(in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	d := tensor.Int32
	if m.cast {
		d = tensor.Float32
	}
	return []graph.Fact{{Type: tensor.Type{DType: d, Shape: y}}}, nil
}

// checkMatrix verifies an operand of a product with its scale and zero point;
// other is the shape of the other operand.
func checkMatrix(what string, x, scale, zero graph.Fact, other tensor.Shape, second bool) error {
	a, b := x.Shape, other
	if second {
		a, b = other, x.Shape
	}
	p, err := productsOf(a, b)
	if err != nil {
		return err
	}
	lines, matrices := p.m, p.batchA.Elems()
	if second {
		lines, matrices = p.n, p.batchB.Elems()
	}
	for i, f := range []graph.Fact{scale, zero} {
		if err := checkParameter([]string{"scale", "zero point"}[i]+" of "+what, f, lines, matrices); err != nil {
			return err
		}
	}
	plain := func(f graph.Fact) graph.Fact {
		if !f.Missing() {
			f.Shape = nil
		}
		return f
	}
	return checkQuantised(what, x, plain(scale), plain(zero), 1)
}

func (matMulInteger) FLOPs(in, out []graph.Fact) int64 {
	return flops(2, out[0].Shape.Elems(), in[0].Shape[len(in[0].Shape)-1])
}

// Rewrite absorbs the Cast, the Mul or the Add that alone reads the result.
func (m matMulInteger) Rewrite(e *graph.Editor, n *graph.Node) (bool, error) {
	y := n.Out[0]
	user := e.OnlyUser(y)
	if user == nil {
		return false, nil
	}
	in := append(slices.Clone(n.In), make([]*graph.Value, integerCount-len(n.In))...)
	switch op := user.Op.(type) {
	case cast:
		if m.cast || op.to != tensor.Float32 || !m.packs(n) {
			return false, nil
		}
		m.cast = true
	case binary:
		other := user.In[0]
		if other == y {
			other = user.In[1]
		}
		elems := other.Shape.Elems()
		column := len(y.Shape) > 1 && len(other.Shape) > 0 && elems == y.Shape[len(y.Shape)-1] && elems == other.Shape[len(other.Shape)-1]
		switch {
		case !m.cast || op.clamped || other == y || !user.Out[0].Shape.Equal(y.Shape) || !column && elems != 1 || m.shifted:
			return false, nil
		case op.op == opMul && !m.scaled:
			m.scaled, in[integerFactor] = true, other
		case op.op == opAdd && column && other.Const != nil:
			m.shifted, in[integerBias] = true, other
		default:
			return false, nil
		}
	default:
		return false, nil
	}
	e.Absorb(n, user, m, in)
	return true, nil
}

// packs reports whether package qconv takes the product of n.
func (matMulInteger) packs(n *graph.Node) bool {
	in := graph.Facts(n.In)
	return integerInputs.packs(in)
}

func (m matMulInteger) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	columns := 1
	if s := in[integerB].Shape; len(s) > 1 {
		columns = s[len(s)-1]
	}
	e := qconv.Epilogue{Sums: !m.cast, Lo: -inf, Hi: inf}
	if m.cast { // a sum of -0 keeps every product, a factor of 1 every sum
		e.Mul, e.Add = splat(1, columns), splat(negativeZero, columns)
	}
	if m.shifted {
		e.Scale, e.Shift = splat(1, columns), in[integerBias].Const.F32()
	}
	if p, ok := packProduct(integerInputs, in, e); ok {
		if m.shifted {
			p.packed = append(p.packed, integerBias)
		}
		if m.scaled {
			p.factors = func(in []*tensor.Tensor, _ []float32) []float32 { return in[integerFactor].F32() }
		}
		return p.compile(), nil
	}
	return integerInputs.kernel(in[integerA].Shape, in[integerB].Shape, func(_, out []*tensor.Tensor, sums []int32, l productLine) {
		copy(tensor.View[int32](out[0])[l.line*len(sums):], sums)
	})
}
