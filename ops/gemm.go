package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/gemm"
)

func init() {
	register("Gemm", 7, func(a *Attrs) graph.Op {
		return matrixProduct{
			alpha: a.Float("alpha", 1), beta: a.Float("beta", 1),
			transA: a.Int("transA", 0) != 0, transB: a.Int("transB", 0) != 0,
		}
	})
}

// matrixProduct is y = alpha*a*b + beta*c, Gemm.
//
//	a: [M K], or [K M] if transA; floating point, or 32 or 64-bit integers
//	b: [K N], or [N K] if transB
//	c: any shape that broadcasts to [M N], optional
//	y: [M N]
//
// Integers are multiplied and added with wrap-around; alpha and beta must then
// be integers.
//
// Source: ONNX Gemm-7, Gemm-9, Gemm-11, Gemm-13.
type matrixProduct struct {
	alpha, beta    float32
	transA, transB bool
}

func (g matrixProduct) String() string {
	name := "Gemm"
	if g.transA {
		name += "[aT]"
	}
	if g.transB {
		name += "[bT]"
	}
	return name
}

// sizes returns M, N and the K of each operand.
func (g matrixProduct) sizes(in []graph.Fact) (m, n, ka, kb int) {
	m, ka = in[0].Shape[0], in[0].Shape[1]
	if g.transA {
		m, ka = ka, m
	}
	kb, n = in[1].Shape[0], in[1].Shape[1]
	if g.transB {
		kb, n = n, kb
	}
	return m, n, ka, kb
}

func (g matrixProduct) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if d := halfType(in); d.Valid() {
		return inferHalf(g, d, in)
	}
	if err := checkInputs(in, 2, 3); err != nil {
		return nil, err
	}
	d := in[0].DType
	if err := checkType("a", d, productTypes...); err != nil {
		return nil, err
	}
	for _, f := range in[1:] {
		if !f.Missing() && f.DType != d {
			return nil, fmt.Errorf("inputs have element types %v and %v, want one type", d, f.DType)
		}
	}
	if len(in[0].Shape) != 2 || len(in[1].Shape) != 2 {
		return nil, fmt.Errorf("a and b have shapes %v and %v, want 2 dimensions each", in[0].Shape, in[1].Shape)
	}
	m, n, ka, kb := g.sizes(in)
	if ka != kb {
		return nil, fmt.Errorf("a%v has inner length %d and b%v has %d, want the same", in[0].Shape, ka, in[1].Shape, kb)
	}
	y := tensor.Shape{m, n}
	if c := input(in, 2); !c.Missing() {
		if s, err := broadcastShapes(c.Shape, y); err != nil || !s.Equal(y) {
			return nil, fmt.Errorf("c has shape %v, want one that broadcasts to %v", c.Shape, y)
		}
	}
	if !d.IsFloat() && (g.alpha != float32(int32(g.alpha)) || g.beta != float32(int32(g.beta))) {
		return nil, fmt.Errorf("%w alpha %g and beta %g for %v, want integers", ErrUnsupported, g.alpha, g.beta, d)
	}
	return []graph.Fact{{Type: tensor.Type{DType: d, Shape: y}}}, nil
}

func (g matrixProduct) FLOPs(in, out []graph.Fact) int64 {
	_, _, k, _ := g.sizes(in)
	each := 2 * k
	if !input(in, 2).Missing() {
		each++
	}
	return flops(out[0].Shape.Elems(), each)
}

func (g matrixProduct) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if d := halfType(in); d.Valid() {
		return compileHalf(g, d, in, out)
	}
	m, n, k, _ := g.sizes(in)
	a, b := matrix{k, 1}, matrix{n, 1}
	if g.transA {
		a = matrix{1, m}
	}
	if g.transB {
		b = matrix{1, k}
	}
	switch out[0].DType {
	case tensor.Float32:
		return g.kernelF32(in, out[0], m, n, k), nil
	case tensor.Float64:
		return gemmKernel[float64](g, in, out[0], m, n, k, a, b), nil
	case tensor.Int32:
		return gemmKernel[int32](g, in, out[0], m, n, k, a, b), nil
	case tensor.Int64:
		return gemmKernel[int64](g, in, out[0], m, n, k, a, b), nil
	case tensor.Uint32:
		return gemmKernel[uint32](g, in, out[0], m, n, k, a, b), nil
	}
	return gemmKernel[uint64](g, in, out[0], m, n, k, a, b), nil
}

// gemmKernel is the kernel in plain Go.
func gemmKernel[T number](g matrixProduct, in []graph.Fact, out graph.Fact, m, n, k int, a, b matrix) graph.Kernel {
	w := newBroadcast(input(in, 2).Shape, out.Shape, out.Shape)
	alpha, beta := T(g.alpha), T(g.beta)
	steps := []graph.Step{productStep[T](m, n, k, a, b, func(int) (int, int) { return 0, 0 }, 1)}
	steps = append(steps, perElement("", out, scalarTime, func(in, out []*tensor.Tensor, lo, hi int) error {
		y := tensor.View[T](out[0])
		if alpha != 1 {
			for i := lo; i < hi; i++ {
				y[i] *= alpha
			}
		}
		if t := operand(in, 2); t != nil {
			addScaled(y, tensor.View[T](t), beta, &w, lo, hi)
		}
		return nil
	}).Steps...)
	return graph.Kernel{Info: "generic go", Steps: steps}
}

// addScaled adds beta*c, broadcast as operand 0 of w, to elements lo to hi of y.
func addScaled[T number](y, c []T, beta T, w *broadcast, lo, hi int) {
	step, _ := w.steps()
	w.walk(lo, hi, func(at, from, _, n int) {
		for i := range n {
			y[at+i] += T(c[from+i*step] * beta)
		}
	})
}

// kernelF32 is the kernel for float32. Constants are scaled ahead. A constant
// c that has one row starts the sums; any other c is added to them.
func (g matrixProduct) kernelF32(in []graph.Fact, out graph.Fact, m, n, k int) graph.Kernel {
	e := gemm.NoClamp()
	w := newBroadcast(input(in, 2).Shape, out.Shape, out.Shape)
	alphaLater, addLater := g.alpha != 1, false
	var packed []int
	constantB := in[1].Const != nil && !g.transA
	if constantB {
		alphaLater = false
		packed = append(packed, 1)
	}
	residual := false
	if c := input(in, 2); !c.Missing() {
		rows := len(c.Shape) == 2 && c.Shape[0] != 1
		switch {
		case c.Const != nil && !rows && !alphaLater:
			e.Bias = make([]float32, n)
			addScaled(e.Bias, c.Const.F32(), g.beta, rowOf(c.Shape, n), 0, n)
			packed = append(packed, 2)
		case g.beta == 1 && !alphaLater && c.Shape.Equal(out.Shape):
			residual = true
		default:
			addLater = true
		}
	}
	e.Residual = residual
	var kernel graph.Kernel
	if constantB {
		kernel = constantProduct(packedProduct(m, n, k, in[1], g.alpha, g.transB, e), residual)
	} else {
		kernel = dynamicProduct(gemm.NewDynamic(1, m, n, k, g.transA, g.transB, 0, 0, e), residual)
	}
	kernel.Packed = packed
	if alphaLater || addLater {
		kernel.Steps = append(kernel.Steps, perElement("", out, scalarTime, func(in, out []*tensor.Tensor, lo, hi int) error {
			y := floats(out[0])
			if alphaLater {
				for i := lo; i < hi; i++ {
					y[i] *= g.alpha
				}
			}
			if addLater {
				addScaled(y, floats(in[2]), g.beta, &w, lo, hi)
			}
			return nil
		}).Steps...)
	}
	return kernel
}

// rowOf returns the walk of a value of shape s over a row of n elements.
func rowOf(s tensor.Shape, n int) *broadcast {
	w := newBroadcast(s, tensor.Shape{n}, tensor.Shape{1, n})
	return &w
}

// scaledBy returns v times f, v itself if f is 1.
func scaledBy(v []float32, f float32) []float32 {
	if f == 1 {
		return v
	}
	s := make([]float32, len(v))
	for i, x := range v {
		s[i] = x * f
	}
	return s
}

// packedProduct is the kernel of gemm for the constant b times alpha.
func packedProduct(m, n, k int, b graph.Fact, alpha float32, transB bool, e gemm.Epilogue) *gemm.Kernel {
	if alpha != 1 || b.Forget == nil {
		return gemm.New(m, n, k, scaledBy(b.Const.F32(), alpha), transB, e)
	}
	const size = 4 // bytes of a float32
	return gemm.NewForgetting(m, n, k, b.Const.F32(), transB, e, func(lo, hi int) { b.Forget(b.Const.Raw[size*lo : size*hi]) })
}

// constantProduct is the kernel of k, with input 2 as residual if so.
func constantProduct(k *gemm.Kernel, residual bool) graph.Kernel {
	return kernelOf(k, func(step, chunk int, temp, scratch []float32, in, out []*tensor.Tensor) {
		k.Run(step, chunk, temp, scratch, floats(in[0]), floatsAt(in, 2, residual), floats(out[0]))
	})
}

// dynamicProduct is constantProduct for a b that comes with the run.
func dynamicProduct(k *gemm.Dynamic, residual bool) graph.Kernel {
	return kernelOf(k, func(step, chunk int, temp, scratch []float32, in, out []*tensor.Tensor) {
		k.Run(step, chunk, temp, scratch, floats(in[0]), floats(in[1]), floatsAt(in, 2, residual), floats(out[0]))
	})
}
