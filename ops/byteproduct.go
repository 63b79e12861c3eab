package ops

import (
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops/internal/qconv"
)

// byteProduct is products of matrices of bytes by package qconv.
//
//	a: [... M K] or [K]
//	b: [... K N] or [K]; if constant, bytes or int16 less their zero point, and packed
type byteProduct struct {
	kernel       *qconv.Product
	a, b         int // operands
	aZero, bZero func(in []*tensor.Tensor) int32
	packed       []int
	quantised    bool
	yZero        int32
	sums         bool
	// factors returns the Epilogue's Mul of a run, one for each column or one
	// for all, in memory of so many floats; nil leaves what the Epilogue has.
	factors func(in []*tensor.Tensor, memory []float32) []float32
	columns int
}

// zeroOfRun returns the zero point that is operand i.
func zeroOfRun(i int) func(in []*tensor.Tensor) int32 {
	return func(in []*tensor.Tensor) int32 { return zeroOf(operand(in, i), 0) }
}

// sizes returns the products of in[q.a] and in[q.b] as package qconv sees them,
// if it takes them: the rows of operands that share b are those of one matrix.
// Zero points have one element, or one for each column of a b that is a constant
// and one matrix.
func (q integerProduct) sizes(in []graph.Fact) (batch, m, n, k int, ok bool) {
	p, err := productsOf(in[q.a].Shape, in[q.b].Shape)
	az, bz := input(in, q.aZero), input(in, q.bZero)
	if err != nil || az.Shape.Elems() != 1 {
		return 0, 0, 0, 0, false
	}
	batch, m, n, k = p.batch.Elems(), p.m, p.n, p.k
	one := p.batchB.Elems() == 1
	if one {
		batch, m = 1, m*batch
	}
	known := in[q.b].Const != nil && (bz.Missing() || bz.Const != nil)
	zeros := bz.Shape.Elems() == 1 || known && one && bz.Shape.Elems() == n
	ok = zeros && qconv.AcceptsProduct(batch, m, n, k) && p.batchA.Elems() == p.batch.Elems() && (one || p.batchB.Elems() == batch)
	return batch, m, n, k, ok
}

// packs reports whether packProduct takes the product.
func (q integerProduct) packs(in []graph.Fact) bool {
	_, _, _, _, ok := q.sizes(in)
	return ok
}

// packProduct prepares the product, if package qconv takes it. It packs a b that is one constant matrix.
func packProduct(q integerProduct, in []graph.Fact, e qconv.Epilogue) (byteProduct, bool) {
	p := byteProduct{a: q.a, b: q.b, aZero: zeroOfRun(q.aZero), bZero: zeroOfRun(q.bZero), quantised: e.Step != 0, sums: e.Sums}
	batch, m, n, k, ok := q.sizes(in)
	if !ok {
		return p, false
	}
	var fixed []int16
	b, zero := in[q.b].Const, input(in, q.bZero)
	if b != nil && b.Shape.Elems() == n*k && (zero.Missing() || zero.Const != nil) {
		p.packed = []int{q.b}
		if b.DType == tensor.Int16 {
			fixed = tensor.View[int16](b)
		} else {
			fixed = make([]int16, k*n)
			shifted16(fixed, b, 0, 0)
		}
		if zero.Const != nil {
			fixed = slices.Clone(fixed)
			for i := range fixed {
				fixed[i] -= int16(zeroOf(zero.Const, i%n))
			}
			p.packed = append(p.packed, q.bZero)
		}
	}
	p.kernel, p.columns = qconv.NewProduct(batch, m, n, k, fixed, e), n
	return p, true
}

// bytesOf returns the matrices that a run brings, none if they were packed.
func bytesOf(t *tensor.Tensor, zero int32) qconv.Bytes {
	if t == nil {
		return qconv.Bytes{}
	}
	return qconv.Bytes{Of: t.Raw, Signed: t.DType == tensor.Int8, Zero: int(zero)}
}

// compile returns the kernel.
func (b byteProduct) compile() graph.Kernel {
	p := b.kernel
	channels, factors := 0, 0
	if b.factors != nil {
		channels, factors = alignedBytes(4*p.Channels()), alignedBytes(4*b.columns)
	}
	values := alignedBytes(2 * p.Values())
	results := p.Results() * tensor.Float32.Size()
	g := graph.Kernel{Info: p.Info(), Temp: channels + factors + values + results, Packed: b.packed}
	for step := range p.Steps() {
		g.Steps = append(g.Steps, graph.Step{N: p.Chunks(step), Do: func(x *graph.Exec, in, out []*tensor.Tensor, i int) error {
			var epi []float32
			temp := x.Temp
			if b.factors != nil {
				epi = tensor.Cast[float32](temp[:channels])[:p.Channels()]
				if step == 0 && i == 0 {
					p.SetChannels(epi, b.factors(in, tensor.Cast[float32](temp[channels:][:factors])[:b.columns]))
				}
				temp = temp[channels+factors:]
			}
			y := qconv.ProductOut{Zero: int(b.yZero)}
			switch blocks := temp[values:][:results]; {
			case b.sums:
				y.Blocks.Sums, y.Sums = tensor.Cast[int32](blocks), tensor.View[int32](out[0])
			case b.quantised:
				y.Blocks.Narrow, y.Bytes = tensor.Cast[int16](blocks), out[0].Raw
			default:
				y.Blocks.Wide, y.Wide = tensor.Cast[float32](blocks), out[0].F32()
			}
			p.Run(step, i, tensor.Cast[int16](temp[:values]), epi, bytesOf(in[b.a], b.aZero(in)), bytesOf(in[b.b], b.bZero(in)), &y)
			return nil
		}})
	}
	return g
}
