package ops

import (
	"scission/engine/graph"
	"scission/engine/tensor"
)

// Normalisations of ONNX Runtime, along the last dimension:
//
//	LayerNormalization                what ONNX has under this name
//	SimplifiedLayerNormalization      x / sqrt(mean(x^2) + epsilon) * gamma
//	SkipLayerNormalization            the first of x + skip + bias
//	SkipSimplifiedLayerNormalization  the second of it
//	EmbedLayerNormalization           the first of the sum of embeddings of words,
//	                                  places and, optionally, segments
//
// The two with Skip give the sum as output 3, the last one as output 2.
func init() {
	simplified := func(a *Attrs) graph.Op {
		axis, epsilon := a.Int("axis", -1), a.Float("epsilon", 1e-5)
		a.Int("stash_type", 1)
		return &composition{"SimplifiedLayerNormalization", 2, 2, func(c *composer) []term {
			return []term{c.op("RMSNormalization", []any{"axis", axis, "epsilon", epsilon}, c.input(0), c.input(1))}
		}}
	}
	registerContrib("SimplifiedLayerNormalization", simplified)
	register("SimplifiedLayerNormalization", 1, simplified)
	registerFused("LayerNormalization", 2, 3, func(a *Attrs) func(c *composer) []term {
		axis, epsilon := a.Int("axis", -1), a.Float("epsilon", 1e-5)
		a.Int("stash_type", 1)
		return func(c *composer) []term {
			return c.ops("LayerNormalization", []any{"axis", axis, "epsilon", epsilon}, c.input(0), c.input(1), c.input(2))
		}
	})
	registerFused("SkipLayerNormalization", 3, 5, func(a *Attrs) func(c *composer) []term {
		epsilon := a.Float("epsilon", 1e-12)
		return func(c *composer) []term {
			x := c.skip(4)
			y := c.ops("LayerNormalization", []any{"axis", -1, "epsilon", epsilon}, x, c.input(2), c.input(3))
			return []term{y[0], y[1], y[2], x}
		}
	})
	registerFused("SkipSimplifiedLayerNormalization", 3, 4, func(a *Attrs) func(c *composer) []term {
		epsilon := a.Float("epsilon", 1e-12)
		return func(c *composer) []term {
			x := c.skip(3)
			y := c.op("RMSNormalization", []any{"axis", -1, "epsilon", epsilon}, x, c.input(2))
			last := c.constant(tensor.Of([]int64{-1}, 1))
			mean := c.op("ReduceMean", nil, x, last)
			square := c.op("ReduceMean", nil, c.op("Mul", nil, x, x), last)
			inverse := c.op("Reciprocal", nil, c.op("Sqrt", nil, c.op("Add", nil, square, c.scalar(x, float64(epsilon)))))
			return []term{y, mean, inverse, x}
		}
	})
	registerFused("EmbedLayerNormalization", 1, 9, func(a *Attrs) func(c *composer) []term {
		epsilon := a.Float("epsilon", 1e-12)
		if a.Int("mask_index_type", 0) != 0 {
			a.Fail("%w mask_index_type", ErrUnsupported)
		}
		return func(c *composer) []term {
			in := make([]term, embedInputs)
			for i := range in {
				in[i] = c.input(i)
			}
			return embedded(c, in, epsilon)
		}
	})
}

// skip returns the sum of inputs 0 and 1, and of the bias at the given input if
// there is one.
func (c *composer) skip(bias int) term {
	x := c.op("Add", nil, c.input(0), c.input(1))
	if b := c.input(bias); b != 0 {
		x = c.op("Add", nil, x, b)
	}
	return x
}

// Inputs of EmbedLayerNormalization.
const (
	embedWords = iota
	embedSegments
	embedWordTable
	embedPlaceTable
	embedSegmentTable
	embedGamma
	embedBeta
	embedMask
	embedPlaces
	embedInputs
)

// embedded is EmbedLayerNormalization of its inputs.
func embedded(c *composer, in []term, epsilon float32) []term {
	words := in[embedWords]
	if !c.rank("input_ids", words, 2) || !c.rank("position_embedding", in[embedPlaceTable], 2) {
		return nil
	}
	batch, length := c.shape(words)[0], c.shape(words)[1]
	gather := func(table, rows int) term { return c.op("Gather", nil, in[table], in[rows]) }
	x := gather(embedWordTable, embedWords)
	if in[embedPlaces] != 0 {
		x = c.op("Add", nil, x, gather(embedPlaceTable, embedPlaces))
	} else {
		one := func(v int) term { return c.constant(tensor.Of([]int64{int64(v)}, 1)) }
		x = c.op("Add", nil, x, c.op("Slice", nil, in[embedPlaceTable], one(0), one(length), one(0)))
	}
	if in[embedSegments] != 0 && in[embedSegmentTable] != 0 {
		x = c.op("Add", nil, x, gather(embedSegmentTable, embedSegments))
	}
	y := c.ops("LayerNormalization", []any{"axis", -1, "epsilon", epsilon}, x, in[embedGamma], in[embedBeta])
	var counts term
	if mask := in[embedMask]; mask != 0 {
		counts = c.op("ReduceSum", []any{"keepdims", 0}, mask, c.constant(tensor.Of([]int64{1}, 1)))
	} else {
		counts = c.op("Expand", nil, c.constant(tensor.Of([]int32{0}, 1)), c.constant(tensor.Of([]int64{int64(batch)}, 1)))
	}
	return []term{y[0], counts, x}
}
