package ops

import (
	"fmt"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func init() {
	register("SequenceConstruct", 11, func(*Attrs) graph.Op {
		return &onValues{name: "SequenceConstruct", need: 1, most: maxItems, run: packList, infer: func(in []graph.Fact) ([]graph.Fact, error) {
			if err := countInputs(in, len(in), maxItems); err != nil {
				return nil, err
			}
			return nil, late("the items")
		}}
	})
	register("SequenceEmpty", 11, func(a *Attrs) graph.Op {
		a.Int("dtype", int(tensor.Float32)) // any sequence may follow
		return &onValues{name: "SequenceEmpty", run: func([]*tensor.Tensor) ([]*tensor.Tensor, error) { return packList(nil) }}
	})
	register("SequenceLength", 11, func(*Attrs) graph.Op {
		return &onValues{name: "SequenceLength", need: 1, most: 1,
			infer: func(in []graph.Fact) ([]graph.Fact, error) {
				return scalarFact(tensor.Int64), checkType("the sequence", in[0].DType, tensor.Packed)
			},
			run: func(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
				s, err := unpack("the sequence", in[0], tensor.Sequence)
				return []*tensor.Tensor{tensor.Scalar(int64(len(s.Items)))}, err
			}}
	})
	register("SequenceAt", 11, func(*Attrs) graph.Op {
		return &onValues{name: "SequenceAt", need: 2, most: 2, run: sequenceAt}
	})
	register("SequenceErase", 11, func(*Attrs) graph.Op {
		return &onValues{name: "SequenceErase", need: 1, most: 2, run: sequenceErase}
	})
	register("SequenceInsert", 11, func(*Attrs) graph.Op {
		return &onValues{name: "SequenceInsert", need: 2, most: 3, run: sequenceInsert}
	})
	register("SplitToSequence", 11, func(a *Attrs) graph.Op { return splitToSequence(a.Int("axis", 0), a.Int("keepdims", 1) != 0) })
	register("ConcatFromSequence", 11, func(a *Attrs) graph.Op {
		if !a.Has("axis") {
			a.Fail("attribute %q is missing", "axis")
		}
		return concatFromSequence(a.Int("axis", 0), a.Int("new_axis", 0) != 0)
	})
}

// maxItems is the number of inputs that an operator may have at most which takes
// any number.
const maxItems = 1 << 20

// position returns the place of a sequence of n items that input i means: a
// negative one counts from the end, and without the input it is missing. It must
// be less than n, or with the end included at most n.
func position(in []*tensor.Tensor, i, n, missing int, end bool) (int, error) {
	t := operand(in, i)
	if t == nil {
		return missing, nil
	}
	p, err := scalarInt("the position", t)
	if err != nil {
		return 0, err
	}
	most := int64(n) - 1
	if end {
		most++
	}
	if p < -int64(n) || p > most {
		return 0, fmt.Errorf("position %d, want %d to %d", p, -n, most)
	}
	if p < 0 {
		p += int64(n)
	}
	return int(p), nil
}

// sequenceAt is the item of a sequence at a position.
//
// Source: ONNX SequenceAt-11.
func sequenceAt(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	s, err := unpack("the sequence", in[0], tensor.Sequence)
	if err != nil {
		return nil, err
	}
	p, err := position(in, 1, len(s.Items), 0, false)
	if err != nil {
		return nil, err
	}
	return s.Items[p : p+1], nil
}

// sequenceErase is a sequence without the item at a position, that is the last
// one if none is given.
//
// Source: ONNX SequenceErase-11.
func sequenceErase(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	s, err := unpack("the sequence", in[0], tensor.Sequence)
	if err != nil {
		return nil, err
	}
	p, err := position(in, 1, len(s.Items), len(s.Items)-1, false)
	if err != nil {
		return nil, err
	}
	if p < 0 {
		return nil, fmt.Errorf("the sequence is empty")
	}
	return packList(slices.Delete(s.Items, p, p+1))
}

// sequenceInsert is a sequence with an item put before the one at a position, or
// behind all if none is given.
//
// Source: ONNX SequenceInsert-11.
func sequenceInsert(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	s, err := unpack("the sequence", in[0], tensor.Sequence)
	if err != nil {
		return nil, err
	}
	p, err := position(in, 2, len(s.Items), len(s.Items), true)
	if err != nil {
		return nil, err
	}
	return packList(slices.Insert(s.Items, p, in[1]))
}

// splitToSequence is the slices of x along axis, as a sequence.
//
//	x: any type, also strings
//	split: i64 or i32, optional: the lengths of the slices, or as a scalar that of
//	       each, the last one being shorter where it must be; 1 if omitted, and
//	       then without keepdims the slices have no such dimension
//
// Source: ONNX SplitToSequence-11, -24.
func splitToSequence(at int, keep bool) graph.Op {
	return &onValues{name: "SplitToSequence", need: 1, most: 2, run: func(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		shape, err := shapeOfValue(in[0])
		if err != nil {
			return nil, err
		}
		d, err := axis(at, len(shape))
		if err != nil {
			return nil, err
		}
		lengths, err := partLengths(operand(in, 1), shape[d])
		if err != nil {
			return nil, err
		}
		parts, err := graph.Apply(split{axis: d, input: true}, 0, in[0], tensor.Of(lengths, len(lengths)))
		if err != nil {
			return nil, err
		}
		if operand(in, 1) == nil && !keep {
			axes := tensor.Of([]int64{int64(d)}, 1)
			for i := range parts {
				squeezed, err := graph.Apply(squeeze{axesParam{input: true}}, 0, parts[i], axes)
				if err != nil {
					return nil, err
				}
				parts[i] = squeezed[0]
			}
		}
		return packList(parts)
	}}
}

// partLengths returns the lengths into which split, see splitToSequence, cuts n.
func partLengths(split *tensor.Tensor, n int) ([]int64, error) {
	each := int64(1)
	if split != nil {
		if len(split.Shape) > 0 {
			return longs(graph.Constant("", split).Fact, "split")
		}
		var err error
		if each, err = scalarInt("split", split); err != nil {
			return nil, err
		}
	}
	if each < 1 {
		return nil, fmt.Errorf("split is %d, want at least 1", each)
	}
	if int64(n)/each >= maxItems {
		return nil, fmt.Errorf("%d slices, limit is %d", int64(n)/each, maxItems)
	}
	var lengths []int64
	for left := int64(n); left > 0; left -= each {
		lengths = append(lengths, min(left, each))
	}
	return lengths, nil
}

// concatFromSequence is the items of a sequence put together along axis, which
// may be a new one.
//
// Source: ONNX ConcatFromSequence-11.
func concatFromSequence(at int, fresh bool) graph.Op {
	return &onValues{name: "ConcatFromSequence", need: 1, most: 1, run: func(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		s, err := unpack("the sequence", in[0], tensor.Sequence)
		if err != nil {
			return nil, err
		}
		if len(s.Items) == 0 {
			return nil, fmt.Errorf("the sequence is empty")
		}
		shape, err := shapeOfValue(s.Items[0])
		if err != nil {
			return nil, err
		}
		rank := len(shape)
		if fresh {
			rank++
		}
		d, err := axis(at, rank)
		if err != nil {
			return nil, err
		}
		if fresh {
			axes := tensor.Of([]int64{int64(d)}, 1)
			for i, t := range s.Items {
				out, err := graph.Apply(unsqueeze{axesParam{input: true}}, 0, t, axes)
				if err != nil {
					return nil, err
				}
				s.Items[i] = out[0]
			}
		}
		return graph.Apply(concat{d}, 0, s.Items...)
	}}
}

// shapeOfValue is the shape of a tensor of numbers or strings.
func shapeOfValue(t *tensor.Tensor) (tensor.Shape, error) {
	if t.DType != tensor.Packed {
		return t.Shape, nil
	}
	v, err := unpack("the value", t, tensor.Strings)
	return v.Shape, err
}
