package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
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
//	y:      [... M N] int32, without M or N where the operand has one dimension
//
// Source: ONNX MatMulInteger-10.
type matMulInteger struct{}

var integerInputs = integerProduct{a: 0, b: 1, aZero: 2, bZero: 3}

func (matMulInteger) String() string { return "MatMulInteger" }

func (matMulInteger) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 2, 4); err != nil {
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
	return []graph.Fact{{Type: tensor.Type{DType: tensor.Int32, Shape: y}}}, nil
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

func (matMulInteger) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return integerInputs.kernel(in[0].Shape, in[1].Shape, func(_, out []*tensor.Tensor, sums []int32, l productLine) {
		copy(tensor.View[int32](out[0])[l.line*len(sums):], sums)
	})
}
