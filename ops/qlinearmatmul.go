package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/qconv"
)

func init() {
	register("QLinearMatMul", 10, func(*Attrs) graph.Op { return qLinearMatMul{} })
}

// qLinearMatMul is y = saturate(round((a - a_zero) * (b - b_zero) * s) + y_zero)
// with s = a_scale * b_scale / y_scale, ties rounded to even.
//
//	a:               [... M K] or [K] int8 or uint8
//	a_scale, a_zero: one element each, or one for each row
//	b:               [... K N] or [K] int8 or uint8
//	b_scale, b_zero: one element each, or one for each column
//	y_scale, y_zero: one element each
//	y:               [... M N] y_zero's type, without M or N where the operand has one dimension
//
// Scales are float32 or 16-bit floating point, zero points of the type of what they belong to.
//
// Source: ONNX QLinearMatMul-10, -21.
type qLinearMatMul struct{}

// Inputs of a qLinearMatMul.
const (
	qmatA = iota
	qmatAScale
	qmatAZero
	qmatB
	qmatBScale
	qmatBZero
	qmatYScale
	qmatYZero
	qmatInputs
)

var qmatProduct = integerProduct{a: qmatA, b: qmatB, aZero: qmatAZero, bZero: qmatBZero}

func (qLinearMatMul) String() string { return "QLinearMatMul" }

func (q qLinearMatMul) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(q, d, in)
	}
	if err := checkInputs(in, qmatInputs, qmatInputs); err != nil {
		return nil, err
	}
	a, b := in[qmatA].Shape, in[qmatB].Shape
	if err := checkMatrix("a", in[qmatA], in[qmatAScale], in[qmatAZero], b, false); err != nil {
		return nil, err
	}
	if err := checkMatrix("b", in[qmatB], in[qmatBScale], in[qmatBZero], a, true); err != nil {
		return nil, err
	}
	if err := checkQuantised("y", in[qmatYZero], in[qmatYScale], in[qmatYZero], 1); err != nil {
		return nil, err
	}
	y, err := qmatProduct.infer(a, b)
	if err != nil {
		return nil, err
	}
	return []graph.Fact{{Type: tensor.Type{DType: in[qmatYZero].DType, Shape: y}}}, nil
}

func (qLinearMatMul) FLOPs(in, out []graph.Fact) int64 {
	return flops(2, out[0].Shape.Elems(), in[qmatA].Shape[len(in[qmatA].Shape)-1])
}

func (q qLinearMatMul) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(q, d, in, out)
	}
	lo, hi := quantisedRange(out[0].DType)
	if k, ok := packQLinear(in, out[0], lo, hi); ok {
		return k, nil
	}
	return qmatProduct.kernel(in[qmatA].Shape, in[qmatB].Shape, func(in, out []*tensor.Tensor, sums []int32, l productLine) {
		a, b := in[qmatAScale], in[qmatBScale]
		scaleA := scaleAt(a, lineOf(a.Shape.Elems(), l.p.m, l.row, l.atA))
		scaleY, zero := scaleOf(in[qmatYScale], 0), zeroOf(in[qmatYZero], 0)
		n := b.Shape.Elems()
		y := out[0].Raw[l.line*len(sums):]
		for j, s := range sums {
			scale := scaleA * scaleAt(b, lineOf(n, len(sums), j, l.atB)) / scaleY
			y[j] = byte(quantum(float32(s)*scale, zero, lo, hi))
		}
	})
}

// packQLinear returns the kernel by package qconv, if it takes the product: with
// one scale for all rows and a constant zero point of y.
func packQLinear(in []graph.Fact, out graph.Fact, lo, hi int32) (graph.Kernel, bool) {
	scales, columns := in[qmatBScale].Shape.Elems(), 1
	if s := in[qmatB].Shape; len(s) > 1 {
		columns = s[len(s)-1]
	}
	zero := in[qmatYZero].Const
	if in[qmatAScale].Shape.Elems() != 1 || scales != 1 && scales != columns || zero == nil {
		return graph.Kernel{}, false
	}
	y := zeroAt(zero, 0)
	e := qconv.Epilogue{
		Mul: splat(0, columns), Add: splat(0, columns), Lo: -inf, Hi: inf, Step: 1, Min: int(lo - y), Max: int(hi - y),
	}
	p, ok := packProduct(qmatProduct, in, e)
	if !ok {
		return graph.Kernel{}, false
	}
	p.yZero = y
	p.factors = func(in []*tensor.Tensor, memory []float32) []float32 {
		for i := range memory {
			memory[i] = scaleAt(in[qmatAScale], 0) * scaleOf(in[qmatBScale], i) / scaleOf(in[qmatYScale], 0)
		}
		return memory
	}
	return p.compile(), true
}
