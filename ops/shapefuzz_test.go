package ops

import (
	"slices"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// draw takes numbers from the bytes of a fuzz input; they end in zeros.
type draw struct{ b []byte }

func (d *draw) byte() int {
	if len(d.b) == 0 {
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return int(v)
}

func (d *draw) pick(n int) int { return d.byte() % n }

// number is mostly small, sometimes at the ends of the integers.
func (d *draw) number() int {
	const most = int(^uint(0) >> 1)
	if v := int(int8(d.byte())); v > -100 && v < 100 {
		return v % 8
	} else if v > 0 {
		return most - (v - 100)
	} else {
		return -most - 1 + (-100 - v)
	}
}

func (d *draw) numbers() []int {
	list := make([]int, d.pick(9))
	for i := range list {
		list[i] = d.number()
	}
	return list
}

func (d *draw) tensor() *tensor.Tensor {
	shape := make([]int, d.pick(6))
	for i := range shape {
		shape[i] = d.pick(6)
	}
	t := tensor.New(allTypes[d.pick(len(allTypes))], shape...)
	if t.DType != tensor.Bool {
		for i := range t.Raw {
			t.Raw[i] = byte(d.byte())
		}
	}
	return t
}

// packed is strings, or a sequence or an optional of tensors and such values.
func (d *draw) packed(tb testing.TB, depth int) *tensor.Tensor {
	v := tensor.Value{Kind: tensor.Kind(1 + d.pick(3))}
	if v.Kind == tensor.Strings {
		v.Shape = tensor.Shape{d.pick(3), d.pick(3)}[:d.pick(3)]
		for range v.Shape.Elems() {
			v.Strings = append(v.Strings, []string{"", "a", "b a", "1.5", "é"}[d.pick(5)])
		}
		return packValue(tb, v)
	}
	for range d.pick(4) {
		if v.Kind == tensor.Optional && len(v.Items) > 0 {
			break
		}
		if depth > 0 && d.pick(3) == 0 {
			v.Items = append(v.Items, d.packed(tb, depth-1))
		} else {
			v.Items = append(v.Items, d.tensor())
		}
	}
	return packValue(tb, v)
}

// FuzzShapeOps builds an operator that changes shapes or types from random
// attributes and infers its result from random inputs: it gives an error or a
// type, and what can be computed has that type and the same bytes again.
func FuzzShapeOps(f *testing.F) {
	ops := []struct {
		name  string
		attrs []string
	}{
		{"Reshape", []string{"allowzero"}}, {"Flatten", []string{"axis"}}, {"Transpose", []string{"perm"}},
		{"Squeeze", []string{"axes"}}, {"Unsqueeze", []string{"axes"}}, {"Pad", []string{"pads", "mode"}},
		{"Concat", []string{"axis"}}, {"ReduceMean", []string{"axes", "keepdims", "noop_with_empty_axes"}},
		{"Identity", nil}, {"Dropout", []string{"seed"}}, {"Cast", []string{"to"}}, {"Constant", []string{"value_ints"}},
		{"Shape", []string{"start", "end"}}, {"Size", nil}, {"Slice", []string{"starts", "ends", "axes"}}, {"Split", []string{"axis", "split", "num_outputs"}},
		{"Expand", nil}, {"Tile", nil}, {"Gather", []string{"axis"}}, {"GatherElements", []string{"axis"}}, {"GatherND", []string{"batch_dims"}},
		{"ScatterElements", []string{"axis", "reduction"}}, {"ScatterND", []string{"reduction"}}, {"ConstantOfShape", nil}, {"EyeLike", []string{"k", "dtype"}},
		{"Range", nil}, {"OneHot", []string{"axis"}}, {"Trilu", []string{"upper"}}, {"DepthToSpace", []string{"blocksize"}},
		{"SpaceToDepth", []string{"blocksize"}}, {"ReverseSequence", []string{"batch_axis", "time_axis"}}, {"CastLike", nil}, {"BitCast", []string{"to"}},
		{"NonZero", nil}, {"Compress", []string{"axis"}}, {"TensorScatter", []string{"axis"}},
		{"CenterCropPad", []string{"axes"}}, {"Col2Im", []string{"strides", "dilations", "pads"}}, {"AffineGrid", []string{"align_corners"}},
		{"GridSample", []string{"align_corners"}}, {"RoiAlign", []string{"sampling_ratio"}},
		{"TopK", []string{"axis", "k", "largest"}}, {"ArgMax", []string{"axis", "keepdims"}}, {"CumSum", []string{"exclusive", "reverse"}},
		{"Unique", []string{"axis", "sorted"}}, {"NonMaxSuppression", nil}, {"Resize", []string{"axes", "antialias"}}, {"Upsample", nil},
		{"MaxUnpool", []string{"kernel_shape", "strides", "pads"}}, {"LRN", []string{"size"}}, {"GroupNormalization", []string{"num_groups"}},
		{"RotaryEmbedding", []string{"num_heads", "interleaved"}}, {"Attention", []string{"q_num_heads", "kv_num_heads", "is_causal"}},
		{"BatchNormalization", []string{"training_mode"}}, {"NegativeLogLikelihoodLoss", []string{"ignore_index"}},
		{"SoftmaxCrossEntropyLoss", []string{"ignore_index"}}, {"HannWindow", []string{"periodic", "output_datatype"}},
		{"MelWeightMatrix", []string{"output_datatype"}}, {"DFT", []string{"axis", "inverse", "onesided"}}, {"STFT", []string{"onesided"}},
		{"RandomNormal", []string{"shape", "dtype"}}, {"RandomUniformLike", []string{"dtype"}}, {"Bernoulli", []string{"dtype"}},
		{"Multinomial", []string{"sample_size"}}, {"DeformConv", []string{"kernel_shape", "strides", "pads", "dilations", "group", "offset_group"}},
		{"SequenceConstruct", nil}, {"SequenceAt", nil}, {"SequenceInsert", nil}, {"SequenceErase", nil}, {"SequenceLength", nil},
		{"SplitToSequence", []string{"axis", "keepdims"}}, {"ConcatFromSequence", []string{"axis", "new_axis"}}, {"Optional", nil},
		{"OptionalHasElement", nil}, {"OptionalGetElement", nil}, {"StringNormalizer", []string{"is_case_sensitive"}}, {"StringConcat", nil},
		{"StringSplit", []string{"maxsplit"}}, {"RegexFullMatch", nil}, {"Equal", nil}, {"Where", nil},
		{"TfIdfVectorizer", []string{"min_gram_length", "max_gram_length", "max_skip_count", "ngram_counts", "ngram_indexes", "pool_int64s"}},
	}
	for i := range ops {
		for version := range 6 {
			f.Add([]byte{byte(i), byte(3 * version), 3, 2, 1, 0, 3, 3, 1, 2, 3, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &draw{b}
		which := ops[d.pick(len(ops))]
		version := MinOpset + d.pick(MaxOpset-MinOpset+1)
		var attrs []any
		for _, name := range which.attrs {
			switch {
			case d.pick(2) == 0:
			case name == "reduction":
				attrs = append(attrs, name, []string{"none", "add", "mul", "max"}[d.pick(4)])
			case name == "mode":
				attrs = append(attrs, name, []string{"constant", "edge", "reflect", "wrap"}[d.pick(4)])
			case slices.Contains([]string{"perm", "axes", "pads", "value_ints", "starts", "ends", "split", "strides", "dilations", "shape", "kernel_shape",
				"ngram_counts", "ngram_indexes", "pool_int64s"}, name):
				attrs = append(attrs, name, d.numbers())
			default:
				attrs = append(attrs, name, d.number())
			}
		}
		op, err := New("", which.name, version, attrList(attrs...))
		if err != nil {
			return
		}
		in := make([]graph.Fact, d.pick(5))
		for i := range in {
			switch d.pick(5) {
			case 0:
			case 4:
				in[i] = graph.Constant("", d.packed(t, 2)).Fact
			case 1:
				list := d.numbers()
				in[i] = graph.Constant("", tensor.Of(int64s(list), len(list))).Fact
			default:
				in[i] = graph.Constant("", d.tensor()).Fact
			}
		}
		run := func() []*tensor.Tensor {
			if _, ok := op.(graph.Caller); ok || slices.ContainsFunc(in, func(f graph.Fact) bool { return f.DType == tensor.Packed }) {
				ts := make([]*tensor.Tensor, len(in))
				for i, f := range in {
					ts[i] = f.Const
				}
				ts, _ = graph.Apply(op, 1<<20, ts...)
				return ts
			}
			out, err := op.Infer(in)
			if err != nil {
				return nil
			}
			for _, o := range out {
				if _, err := tensor.CheckType(o.DType, o.Shape, 1<<20); err != nil {
					return nil
				}
			}
			ts, err := graph.Eval(op, in, out)
			if err != nil && refusesValues(op, in) {
				return nil
			}
			if err != nil {
				t.Fatalf("%s: Infer accepts %v, Eval says %v", op, in, err)
			}
			for i, o := range out {
				if !ts[i].Type.Equal(o.Type) || len(ts[i].Raw) != o.Type.Bytes() {
					t.Fatalf("%s: output %d is %v with %d bytes, want %v", op, i, ts[i].Type, len(ts[i].Raw), o.Type)
				}
			}
			return ts
		}
		for i, x := range run() {
			if y := run()[i]; !x.Identical(y) {
				t.Fatalf("%s: output %d differs when computed again", op, i)
			}
		}
	})
}
