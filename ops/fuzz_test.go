package ops

import (
	"strings"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// attribute names and the kinds of values that they have, for fuzzing.
var fuzzAttrs = []struct {
	name string
	kind byte // i: integer, l: list of them, f: float, s: string
}{
	{"kernel_shape", 'l'}, {"strides", 'l'}, {"dilations", 'l'}, {"pads", 'l'}, {"group", 'i'}, {"auto_pad", 's'},
	{"ceil_mode", 'i'}, {"count_include_pad", 'i'}, {"storage_order", 'i'}, {"axis", 'i'}, {"axes", 'l'}, {"perm", 'l'},
	{"alpha", 'f'}, {"beta", 'f'}, {"transA", 'i'}, {"transB", 'i'}, {"epsilon", 'f'}, {"min", 'f'}, {"max", 'f'},
	{"keepdims", 'i'}, {"to", 'i'}, {"mode", 's'}, {"value", 'f'}, {"ratio", 'f'}, {"allowzero", 'i'},
	{"noop_with_empty_axes", 'i'}, {"direction", 's'}, {"layout", 'i'}, {"output_padding", 'l'}, {"output_shape", 'l'},
	{"num_heads", 'i'}, {"q_num_heads", 'i'}, {"kv_num_heads", 'i'}, {"is_causal", 'i'}, {"equation", 's'}, {"value_ints", 'l'}, {"value_float", 'f'}, {"saturate", 'i'},
	{"block_size", 'i'}, {"output_dtype", 'i'}, {"precision", 'i'},
	{"start", 'i'}, {"end", 'i'}, {"starts", 'l'}, {"ends", 'l'}, {"split", 'l'}, {"num_outputs", 'i'}, {"k", 'i'}, {"dtype", 'i'},
	{"upper", 'i'}, {"blocksize", 'i'}, {"batch_axis", 'i'}, {"time_axis", 'i'}, {"batch_dims", 'i'}, {"reduction", 's'}, {"sorted", 'i'},
	{"align_corners", 'i'}, {"padding_mode", 's'}, {"center_point_box", 'i'}, {"output_height", 'i'}, {"output_width", 'i'},
	{"detect_positive", 'i'}, {"detect_negative", 'i'}, {"fmod", 'i'}, {"direction", 's'}, {"approximate", 's'}, {"gamma", 'f'},
	{"lambd", 'f'}, {"bias", 'f'}, {"select_last_index", 'i'}, {"exclusive", 'i'}, {"reverse", 'i'}, {"largest", 'i'},
	{"num_groups", 'i'}, {"stash_type", 'i'}, {"size", 'i'}, {"p", 'i'}, {"antialias", 'i'}, {"exclude_outside", 'i'},
	{"cubic_coeff_a", 'f'}, {"extrapolation_value", 'f'}, {"nearest_mode", 's'}, {"keep_aspect_ratio_policy", 's'}, {"scales", 'f'},
	{"ignore_index", 'i'}, {"sample_size", 'i'}, {"shape", 'l'}, {"onesided", 'i'}, {"inverse", 'i'}, {"periodic", 'i'}, {"output_datatype", 'i'},
	{"training_mode", 'i'}, {"offset_group", 'i'}, {"kernel_shape", 'l'}, {"new_axis", 'i'}, {"maxsplit", 'i'}, {"threshold", 'f'}, {"seed", 'f'},
	{"sampling_ratio", 'i'}, {"spatial_scale", 'f'}, {"coordinate_transformation_mode", 's'},
	{"pooled_shape", 'l'}, {"update_rule", 's'}, {"activation", 's'}, {"channels_last", 'i'}, {"opset", 'i'},
}

var fuzzStrings = []string{"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", "constant", "edge", "reflect", "wrap", "",
	"none", "add", "mul", "max", "min", "DCR", "CRD", "linear", "circular", "cubic", "nearest", "zeros", "border", "reflection", "avg",
	"half_pixel", "output_half_pixel", "LEFT", "RIGHT", "tanh", "align_corners", "asymmetric", "tf_crop_and_resize", "floor",
	"round_prefer_ceil", "stretch", "not_larger", "not_smaller", "sum", "mean", "UPPER", "standard", "nesterov",
	"gated", "delta", "gated_delta", "silu"}

// fuzzTypes are the element types of inputs, float32 more often than others.
var fuzzTypes = []tensor.DType{
	tensor.Float32, tensor.Float32, tensor.Float32, tensor.Float32, tensor.Float32, tensor.Int64, tensor.Int64,
	tensor.Float64, tensor.Float16, tensor.BFloat16, tensor.Int32, tensor.Uint8, tensor.Int8, tensor.Uint64, tensor.Bool,
}

// dice takes decisions from the fuzzer's bytes; it gives zeros when they end.
type dice struct{ data []byte }

func (d *dice) n(sides int) int {
	if len(d.data) == 0 {
		return 0
	}
	v := int(d.data[0])
	d.data = d.data[1:]
	return v % sides
}

// integer is a small number mostly, and else one to overflow with.
func (d *dice) integer() int64 {
	switch v := d.n(40); {
	case v < 32:
		return int64(v) - 3
	case v < 36:
		return 1 << (15 + 4*uint(v-32))
	default:
		return []int64{1<<31 - 1, -1 << 31, 1 << 62, -1 << 63}[v-36]
	}
}

func (d *dice) attr() graph.Attr {
	a := fuzzAttrs[d.n(len(fuzzAttrs))]
	var v any
	switch a.kind {
	case 'i':
		v = d.integer()
	case 'f':
		v = float32(d.integer()) / 4
	case 's':
		v = fuzzStrings[d.n(len(fuzzStrings))]
	default:
		list := make([]int64, d.n(7))
		for i := range list {
			list[i] = d.integer()
		}
		v = list
	}
	return graph.Attr{Name: a.name, Value: v}
}

// fact is a small input, a constant or not.
func (d *dice) fact() graph.Fact {
	if d.n(12) == 11 {
		return graph.Fact{}
	}
	shape := make(tensor.Shape, d.n(6))
	for i := range shape {
		shape[i] = d.n(9)
		if shape[i] == 8 {
			shape[i] = 17
		}
	}
	t := tensor.New(fuzzTypes[d.n(len(fuzzTypes))], shape...)
	if d.n(3) == 0 {
		return graph.Fact{Type: t.Type}
	}
	for i := range min(64, t.Shape.Elems()) {
		switch t.DType {
		case tensor.Int64:
			t.I64()[i] = d.integer()
		case tensor.Bool:
			t.Raw[i] = byte(d.n(2))
		default:
			set(t, i, float64(d.n(16)-4))
		}
	}
	return graph.Fact{Type: t.Type, Const: t}
}

// fuzzSize bounds the elements of what the fuzzer computes.
const fuzzSize = 1 << 14

// No attribute, shape or value makes an operator panic, hang or read outside
// of its inputs: it gives an error, or a type and then a value of that type, in
// every layout the same.
func FuzzInfer(f *testing.F) {
	list := List()
	for i := range list {
		for seed := range 4 {
			data := []byte{byte(i), 13}
			r := source(uint64(seed))
			for range 120 {
				data = append(data, byte(r.IntN(256)))
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &dice{data}
		info := list[d.n(len(list))]
		version := MinOpset + d.n(MaxOpset-MinOpset+1)
		var attrs []graph.Attr
		for range d.n(5) {
			attrs = append(attrs, d.attr())
		}
		op, err := New(info.Domain, info.Name, version, attrs)
		if err != nil {
			return
		}
		in := make([]graph.Fact, d.n(6))
		for i := range in {
			in[i] = d.fact()
		}
		fuzzOp(t, op, in)
	})
}

// refusesValues reports whether some values of the inputs are an error of the
// run: a division by zero, or an index beyond a dimension.
func refusesValues(op graph.Op, in []graph.Fact) bool {
	name, _, _ := strings.Cut(op.String(), "[")
	switch name {
	case "Div":
		return !in[0].DType.IsFloat()
	case "Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "ReverseSequence", "TensorScatter", "RoiAlign", "MaxUnpool", "LSTM", "GRU", "RNN",
		"EmbedLayerNormalization", "RotaryEmbedding", "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss", "TreeEnsemble", "SequenceLength", "MaxRoiPool":
		return true
	}
	return false
}

func fuzzOp(t *testing.T, op graph.Op, in []graph.Fact) {
	out, err := op.Infer(in)
	if err != nil {
		return
	}
	_ = op.String()
	for i, o := range out {
		if _, err := tensor.CheckType(o.DType, o.Shape, graph.DefaultLimit); err != nil || o.Shape.Elems() > fuzzSize {
			return
		}
		if o.Const != nil && !o.Const.Type.Equal(o.Type) {
			t.Fatalf("%s: output %d is %v and its constant %v", op, i, o.Type, o.Const.Type)
		}
	}
	if c, ok := op.(graph.Coster); ok && c.FLOPs(in, out) < 0 {
		t.Fatalf("%s: negative FLOPs", op)
	}
	g := &graph.Graph{}
	values, tensors := make([]*graph.Value, len(in)), []*tensor.Tensor(nil)
	for i, f := range in {
		switch {
		case f.Missing():
		case f.Const != nil:
			values[i] = graph.Constant("", f.Const)
		default:
			values[i] = g.Input("", f.Type)
			x := tensor.New(f.DType, f.Shape...)
			for j := range x.Shape.Elems() {
				if f.DType != tensor.Bool {
					set(x, j, float64(j%5+1))
				}
			}
			tensors = append(tensors, x)
		}
	}
	if len(g.Inputs) == 0 {
		facts := graph.Facts(values)
		if _, err := graph.Eval(op, facts, out); err != nil && !refusesValues(op, in) {
			t.Fatalf("%s: %v", op, err)
		}
		return
	}
	if refusesValues(op, in) {
		return
	}
	vs, err := g.Add("n", op, nil, values, "y")
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	g.Outputs = vs
	if len(vs) == 0 || vs[0].Const != nil {
		return
	}
	plain, packed := runGraph(t, g, tensors)[0], runGraphFrom(t, g, tensors, true)[0]
	if !plain.Identical(packed) && (plain.DType != tensor.Float32 || !sameBits(plain, packed)) {
		t.Fatalf("%s of %v: the bits depend on the layout", op, in)
	}
}
