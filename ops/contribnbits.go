package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// MatMulNBits is a product with a matrix of blocks of integers of few bits, each
// block with a scale and a zero point:
//
//	a:      [... K] floating point
//	b:      [N, ceil(K/block), block*bits/8] uint8: the rows of the transposed matrix;
//	        the first integer lies in the low bits
//	scales: as many as blocks, a's type
//	zeros:  likewise, of a's type, or uint8 with those of a row packed as b is;
//	        2^(bits-1) if omitted
//	bias:   [N], input 5, optional
//	y:      [... N]
//
// accuracy_level allows what it need not: the product is that of float32.
//
// Source: ONNX Runtime, docs/ContribOperators.md.
func init() {
	registerFused("MatMulNBits", 3, 6, func(a *Attrs) func(c *composer) []term {
		m := matMulNBits{k: a.Int("K", 0), n: a.Int("N", 0), bits: a.Int("bits", 4), block: a.Int("block_size", 0)}
		a.Int("accuracy_level", 0)
		if a.Int("weight_prepacked", 0) != 0 {
			a.Fail("%w weight_prepacked", ErrUnsupported)
		}
		if m.bits != 2 && m.bits != 4 && m.bits != 8 {
			a.Fail("%w bits %d, want 2, 4 or 8", ErrUnsupported, m.bits)
		}
		if m.k < 1 || m.n < 1 || m.block < 1 || m.block > 1<<20 || m.block*m.bits%8 != 0 {
			a.Fail("K is %d, N %d, bits %d and block_size %d, which do not make a matrix", m.k, m.n, m.bits, m.block)
		}
		return m.compose
	})
}

type matMulNBits struct{ k, n, bits, block int }

func (m matMulNBits) compose(c *composer) []term {
	x, b := c.input(0), c.input(1)
	if c.input(4) != 0 {
		c.fail("%w g_idx", ErrUnsupported)
		return nil
	}
	blocks := ceil(m.k, m.block)
	if want := (tensor.Shape{m.n, blocks, m.block * m.bits / 8}); !c.shape(b).Equal(want) {
		c.fail("b has shape %v, want %v", c.shape(b), want)
		return nil
	}
	weights := c.slice(c.apply(bitSpread{m.bits, blocks * m.block}, c.reshape(b, m.n, blocks*m.block*m.bits/8)), 0, m.k)
	scales := c.reshape(c.input(2), m.n, blocks)
	dequantised := func(zeros term) term {
		return c.op("DequantizeLinear", []any{"axis", 1, "block_size", m.block}, weights, scales, zeros)
	}
	var w term
	switch zeros := c.input(3); {
	case zeros == 0:
		middle := &tensor.Tensor{Type: tensor.Type{DType: tensor.Uint8, Shape: tensor.Shape{1, 1}}, Raw: []byte{1 << (m.bits - 1)}}
		w = dequantised(c.op("Expand", nil, c.constant(middle), c.constant(tensor.Of([]int64{int64(m.n), int64(blocks)}, 2))))
	case c.fact(zeros).DType == tensor.Uint8:
		row := ceil(blocks*m.bits, 8)
		w = dequantised(c.slice(c.apply(bitSpread{m.bits, row * 8 / m.bits}, c.reshape(zeros, m.n, row)), 0, blocks))
	default: // (q - zero) * scale is q*scale - zero*scale
		shift := c.op("Mul", nil, c.reshape(zeros, m.n, blocks), scales)
		ones := &tensor.Tensor{Type: tensor.Type{DType: tensor.Uint8, Shape: tensor.Shape{1, 1}}, Raw: []byte{1}}
		all := c.op("Expand", nil, c.constant(ones), c.constant(tensor.Of([]int64{int64(m.n), int64(m.k)}, 2)))
		w = c.op("Sub", nil, dequantised(0), c.op("DequantizeLinear", []any{"axis", 1, "block_size", m.block}, all, shift))
	}
	y := c.op("MatMul", nil, x, c.transpose(w, 1, 0))
	if bias := c.input(5); bias != 0 {
		y = c.op("Add", nil, y, bias)
	}
	return []term{y}
}

// bitSpread gives each integer of less than 8 bits in the rows of x a byte of its own.
//
//	x: [N, per*bits/8] uint8
//	y: [N, per] uint8
type bitSpread struct{ bits, per int }

func (s bitSpread) String() string { return fmt.Sprintf("spread[%d bits]", s.bits) }

func (s bitSpread) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkType("x", in[0].DType, tensor.Uint8); err != nil {
		return nil, err
	}
	t, err := tensor.CheckType(tensor.Uint8, tensor.Shape{in[0].Shape[0], s.per}, graph.DefaultLimit)
	return []graph.Fact{{Type: t}}, err
}

func (s bitSpread) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	if s.bits == 8 {
		return view, nil
	}
	from := tensor.Uint4
	if s.bits == 2 {
		from = tensor.Uint2
	}
	n := in[0].Shape.Elems()
	each := 8 / s.bits
	count := chunks(n, moveTime*float64(each))
	return graph.Kernel{Info: "generic go", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(n, count, i, tensor.Align)
		from.Expand(out[0].Raw[lo*each:hi*each], in[0].Raw[lo:hi])
		return nil
	}}}}, nil
}
