package ops

import "scission/engine/tensor"

// GatherBlockQuantized is Gather of what blocks of integers stand for:
//
//	data:    [d...] int4 or uint4, or uint8 of integers of some bits, the first of each
//	         byte in the low ones, along the last dimension
//	indices: int32 or int64
//	scales:  data's shape with one for each block of block_size along quantize_axis
//	zeros:   likewise, of data's type and packed as data is; 0 if omitted, or 2^(bits-1) for
//	         uint8
//
// For uint8, gather_axis is 0.
//
// Source: ONNX Runtime, docs/ContribOperators.md.
func init() {
	registerFused("GatherBlockQuantized", 3, 4, func(a *Attrs) func(c *composer) []term {
		g := gatherBlocks{bits: a.Int("bits", 4), block: a.Int("block_size", 128), gather: a.Int("gather_axis", 0), axis: a.Int("quantize_axis", 1)}
		if g.bits != 2 && g.bits != 4 && g.bits != 8 || g.block < 1 {
			a.Fail("bits is %d and block_size %d, want 2, 4 or 8 and a positive one", g.bits, g.block)
		}
		return g.compose
	})
}

type gatherBlocks struct{ bits, block, gather, axis int }

func (g gatherBlocks) compose(c *composer) []term {
	rank := len(c.shape(c.input(0)))
	along, err := axis(g.gather, rank)
	blocks, other := axis(g.axis, rank)
	if err != nil || other != nil {
		c.fail("gather_axis is %d and quantize_axis %d, want dimensions of data%v", g.gather, g.axis, c.shape(c.input(0)))
		return nil
	}
	bytes := c.fact(c.input(0)).DType == tensor.Uint8
	if along == blocks || bytes && along != 0 {
		c.fail("%w gather_axis %d with quantize_axis %d for %v", ErrUnsupported, along, blocks, c.fact(c.input(0)).DType)
		return nil
	}
	pick := func(i int) term {
		if c.input(i) == 0 {
			return 0
		}
		return c.op("Gather", []any{"axis", along}, c.input(i), c.input(1))
	}
	data, scales, zeros := pick(0), pick(2), pick(3)
	if c.err != nil {
		return nil
	}
	if bytes && g.bits < 8 {
		data = c.bitsSpread(data, g.bits, 0)
		if s := c.shape(scales); zeros != 0 && len(s) > 0 {
			zeros = c.bitsSpread(zeros, g.bits, s[len(s)-1])
		}
	}
	if bytes && zeros == 0 {
		middle := &tensor.Tensor{Type: tensor.Type{DType: tensor.Uint8}, Raw: []byte{1 << (g.bits - 1)}}
		shape := wideInts(c.shape(scales))
		zeros = c.op("Expand", nil, c.constant(middle), c.constant(tensor.Of(shape, len(shape))))
	}
	if along < blocks {
		blocks += len(c.shape(data)) - rank
	}
	return []term{c.op("DequantizeLinear", []any{"axis", blocks, "block_size", g.block}, data, scales, zeros)}
}

// bitsSpread gives each integer of the last dimension of x a byte of its own, and
// keeps the first ones, all for 0.
func (c *composer) bitsSpread(x term, bits, keep int) term {
	s := c.shape(x)
	if c.err != nil || len(s) == 0 {
		return c.fail("bytes of several integers have shape %v, want a dimension", s)
	}
	lead, last := s[:len(s)-1], s[len(s)-1]*8/bits
	y := c.apply(bitSpread{bits, last}, c.reshape(x, lead.Elems(), s[len(s)-1]))
	y = c.reshape(y, append(lead.Clone(), last)...)
	if keep > 0 && keep < last {
		y = c.slice(y, 0, keep)
	}
	return y
}
