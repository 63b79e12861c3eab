package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/gemm"
)

func init() {
	register("MatMul", 1, func(*Attrs) graph.Op { return matMul{} })
}

// matMul is y = a*b of matrices in the last two dimensions, for each of the
// others, which broadcast.
//
//	a: [... M K] or [K]; floating point, or 32 or 64-bit integers
//	b: [... K N] or [K]
//	y: [... M N], without M or N where the operand has one dimension
//
// Integers are multiplied and added with wrap-around.
//
// Source: ONNX MatMul-1, MatMul-9, MatMul-13; numpy.matmul.
type matMul struct{}

var productTypes = []tensor.DType{tensor.Float32, tensor.Float64, tensor.Int32, tensor.Int64, tensor.Uint32, tensor.Uint64}

func (matMul) String() string { return "MatMul" }

// products is a batch of matrix products.
type products struct {
	m, n, k    int
	batchA     tensor.Shape // of the operand's batch dimensions
	batchB     tensor.Shape
	batch      tensor.Shape // of the result's
	vecA, vecB bool         // the operand has one dimension
}

// productsOf returns the products of a and b.
func productsOf(a, b tensor.Shape) (products, error) {
	p := products{m: 1, n: 1}
	if len(a) == 0 || len(b) == 0 {
		return p, fmt.Errorf("shapes are %v and %v, want at least one dimension each", a, b)
	}
	p.k = a[len(a)-1]
	if p.vecA = len(a) == 1; !p.vecA {
		p.m, p.batchA = a[len(a)-2], a[:len(a)-2]
	}
	inner := b[0]
	if p.vecB = len(b) == 1; !p.vecB {
		inner, p.n, p.batchB = b[len(b)-2], b[len(b)-1], b[:len(b)-2]
	}
	if inner != p.k {
		return p, fmt.Errorf("a%v has inner length %d and b%v has %d, want the same", a, p.k, b, inner)
	}
	var err error
	p.batch, err = broadcastShapes(p.batchA, p.batchB)
	return p, err
}

func (m matMul) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(m, d, in)
	}
	if err := checkInputs(in, 2, 2); err != nil {
		return nil, err
	}
	d := in[0].DType
	if err := checkType("a", d, productTypes...); err != nil {
		return nil, err
	}
	if in[1].DType != d {
		return nil, fmt.Errorf("inputs have element types %v and %v, want one type", d, in[1].DType)
	}
	p, err := productsOf(in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	y := p.batch.Clone()
	if !p.vecA {
		y = append(y, p.m)
	}
	if !p.vecB {
		y = append(y, p.n)
	}
	return []graph.Fact{{Type: tensor.Type{DType: d, Shape: y}}}, nil
}

func (matMul) FLOPs(in, out []graph.Fact) int64 {
	return flops(2, out[0].Shape.Elems(), in[0].Shape[len(in[0].Shape)-1])
}

// maxBroadcastSteps is the largest number of times that a kernel is run one
// after the other for batches that broadcast in several dimensions.
const maxBroadcastSteps = 256

func (m matMul) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(m, d, in, out)
	}
	p, err := productsOf(in[0].Shape, in[1].Shape)
	if err != nil {
		return graph.Kernel{}, err
	}
	w := newBroadcast(p.batchA, p.batchB, p.batch)
	switch out[0].DType {
	case tensor.Float32:
		if w.rows <= maxBroadcastSteps {
			return p.kernelF32(in, &w), nil
		}
		return productKernel[float32](p, &w), nil
	case tensor.Float64:
		return productKernel[float64](p, &w), nil
	case tensor.Int32:
		return productKernel[int32](p, &w), nil
	case tensor.Int64:
		return productKernel[int64](p, &w), nil
	case tensor.Uint32:
		return productKernel[uint32](p, &w), nil
	}
	return productKernel[uint64](p, &w), nil
}

// kernelF32 is the kernel for float32: one with packed weights if b is one
// constant matrix.
func (p products) kernelF32(in []graph.Fact, w *broadcast) graph.Kernel {
	m, n, k, batch := p.m, p.n, p.k, p.batch.Elems()
	if p.batchB.Elems() == 1 && p.batchA.Elems() == batch {
		m, batch = m*batch, 1 // rows of one tall matrix
		if in[1].Const != nil {
			g := constantProduct(packedProduct(m, n, k, in[1], 1, false, gemm.NoClamp()), false)
			g.Packed = []int{1}
			return g
		}
	}
	if batch == 1 || batch == 0 {
		return dynamicProduct(gemm.NewDynamic(batch, m, n, k, false, false, 0, 0, gemm.NoClamp()), false)
	}
	strideA, strideB := w.steps()
	d := gemm.NewDynamic(w.inner, m, n, k, false, false, strideA*m*k, strideB*k*n, gemm.NoClamp())
	g := graph.Kernel{Info: d.Info()}
	for row := range w.rows {
		fromA, fromB := w.at(row)
		one := kernelOf(d, func(step, chunk int, temp, scratch []float32, in, out []*tensor.Tensor) {
			a, b, y := floats(in[0])[fromA*m*k:], floats(in[1])[fromB*k*n:], floats(out[0])[row*w.inner*m*n:]
			d.Run(step, chunk, temp, scratch, a, b, nil, y)
		})
		g.Steps, g.Temp, g.Scratch = append(g.Steps, one.Steps...), one.Temp, one.Scratch
	}
	return g
}

// productKernel is the kernel in plain Go.
func productKernel[T number](p products, w *broadcast) graph.Kernel {
	at := func(batch int) (a, b int) {
		a, b = w.element(batch)
		return a * p.m * p.k, b * p.k * p.n
	}
	step := productStep[T](p.m, p.n, p.k, matrix{p.k, 1}, matrix{p.n, 1}, at, p.batch.Elems())
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{step}}
}

// matrix is how far the next row and the next column of a matrix are.
type matrix struct{ row, col int }

// productStep multiplies matrices in plain Go: input 0, m by k, with input 1,
// k by n. Those of each product begin where at says; the results follow each
// other. A sum goes from the first product to the last, each rounded before it
// is added.
func productStep[T number](m, n, k int, a, b matrix, at func(batch int) (a, b int), batch int) graph.Step {
	rows := batch * m
	count := chunks(rows, productTime*float64(k)*float64(n))
	return graph.Step{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		x, y, z := tensor.View[T](in[0]), tensor.View[T](in[1]), tensor.View[T](out[0])
		lo, hi := span(rows, count, i, 1)
		for r := lo; r < hi; r++ {
			atA, atB := at(r / m)
			atA += r % m * a.row
			row := z[r*n:][:n]
			clear(row)
			for p := range k {
				v := x[atA+p*a.col]
				from := atB + p*b.row
				for j := range row {
					row[j] += T(v * y[from+j*b.col])
				}
			}
		}
		return nil
	}}
}
