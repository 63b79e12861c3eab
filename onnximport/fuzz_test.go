package onnximport

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	. "scission/onnximport/internal/pbtest"
	"scission/ops"
)

// fuzzLimits keep one input of the fuzzer cheap.
var fuzzLimits = Limits{Depth: 20, Name: 100, Value: 1 << 14, Constants: 1 << 18}

func FuzzParse(f *testing.F) {
	f.Add(small())
	f.Add(several())
	f.Add(functions())
	f.Add(branches(node("Slice", "", names("s", "zero", "two"), names("q"))))
	f.Add(externalModel("location", "w.bin", "offset", "4096"))
	ints := func(name string, vs ...int64) []byte { return Msg(Bytes(1, name), Ints(8, vs...), Int(20, 7)) }
	one := func(name string, v int64) []byte { return Msg(Bytes(1, name), Int(3, v), Int(20, 2)) }
	f.Add(model(
		node("Conv", "conv", names("x", "w"), names("a"), ints("kernel_shape", 3, 3), ints("pads", 1, 1, 1, 1), ints("strides", 2, 2), one("group", 1)),
		node("BatchNormalization", "bn", names("a", "k", "k", "k", "k"), names("b"), Msg(Bytes(1, "epsilon"), Float(2, 1e-5), Int(20, 1))),
		node("MaxPool", "pool", names("b"), names("c"), ints("kernel_shape", 2, 2)), node("GlobalAveragePool", "", names("c"), names("d")),
		node("Flatten", "", names("d"), names("e"), one("axis", 1)), node("Gemm", "", names("e", "m"), names("g"), one("transB", 1)),
		node("Softmax", "", names("g"), names("y"), one("axis", -1)),
		initializer("w", tensor.Float32, []int64{2, 1, 3, 3}, Bytes(9, make([]byte, 72))), initializer("k", tensor.Float32, []int64{2}, Floats(4, 1, 2)),
		initializer("m", tensor.Float32, []int64{3, 2}, Bytes(9, make([]byte, 24))), input("x", tensor.Float32, "N", 1, 8, 8), output("y")))
	f.Add(model(
		node("Reshape", "", names("x", "shape"), names("a")), node("Transpose", "", names("a"), names("b"), ints("perm", 1, 0)),
		node("Squeeze", "", names("b"), names("c")), node("Unsqueeze", "", names("c", "axes"), names("d")),
		node("Pad", "", names("d", "pads"), names("e"), Msg(Bytes(1, "mode"), Bytes(4, "constant"), Int(20, 3))),
		node("Concat", "", names("e", "e"), names("g"), one("axis", 0)), node("ReduceMean", "", names("g"), names("h"), ints("axes", 0), one("keepdims", 0)),
		node("Cast", "", names("h"), names("y"), one("to", 11)), node("MatMul", "", names("x", "x"), names("z")),
		initializer("shape", tensor.Int64, []int64{2}, Ints(7, -1, 2)), initializer("axes", tensor.Int64, []int64{1}, Ints(7, 0)),
		initializer("pads", tensor.Int64, []int64{6}, Ints(7, 0, 1, 0, 0, 0, 1)),
		input("x", tensor.Float32, 2, 2), output("y"), output("z")))
	f.Fuzz(checkLoad)
}

// checkLoad verifies that b gives a graph that can be saved and loaded, or an
// error; Save may refuse inputs that are no tensors of numbers.
func checkLoad(t *testing.T, b []byte) {
	m, err := Parse(b, Options{Limits: fuzzLimits})
	if (m == nil) == (err == nil) {
		t.Fatalf("Parse gave %v and %v, want a model or an error", m, err)
	}
	if err != nil {
		return
	}
	g, err := m.Graph(nil)
	if (g == nil) == (err == nil) {
		t.Fatalf("Graph gave %v and %v, want a graph or an error", g, err)
	}
	if err != nil {
		return
	}
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Save(&out, g); err != nil {
		late := func(v *graph.Value) bool { return v.Late }
		if errors.Is(err, ops.ErrUnsupported) && slices.ContainsFunc(g.Inputs, late) {
			return
		}
		t.Fatal(err)
	}
	again, err := Load(out.Bytes())
	if err != nil {
		t.Fatalf("the saved graph cannot be loaded: %v", err)
	}
	if len(again.Nodes) != len(g.Nodes) || len(again.Inputs) != len(g.Inputs) || len(again.Outputs) != len(g.Outputs) {
		t.Fatalf("saved %d nodes, loaded %d", len(g.Nodes), len(again.Nodes))
	}
}

// FuzzGraph builds models of the operators that there are: the fuzzer chooses
// operators, shapes and attributes, and need not find the wire format.
func FuzzGraph(f *testing.F) {
	f.Add([]byte{})
	for i := range 64 {
		b := make([]byte, 40)
		for j := range b {
			b[j] = byte((i + 3) * (j*j + 7) >> (i % 3))
		}
		f.Add(b)
	}
	list := ops.List()
	f.Fuzz(func(t *testing.T, b []byte) { checkLoad(t, (&chooser{b}).model(list)) })
}

// chooser makes choices as its bytes say.
type chooser struct{ b []byte }

func (c *chooser) int(n int) int {
	if len(c.b) == 0 {
		return 0
	}
	v := int(c.b[0]) % n
	c.b = c.b[1:]
	return v
}

func choose[T any](c *chooser, list []T) T { return list[c.int(len(list))] }

// attributes are names of attributes with their types as in AttributeProto:
// 1 float, 2 integer, 3 string, 4 tensor, 7 integers.
var attributes = []struct {
	name string
	kind int64
}{
	{"kernel_shape", 7}, {"strides", 7}, {"pads", 7}, {"dilations", 7}, {"group", 2}, {"auto_pad", 3}, {"ceil_mode", 2},
	{"count_include_pad", 2}, {"axis", 2}, {"axes", 7}, {"perm", 7}, {"keepdims", 2}, {"alpha", 1}, {"beta", 1}, {"transA", 2},
	{"transB", 2}, {"to", 2}, {"epsilon", 1}, {"mode", 3}, {"allowzero", 2}, {"value", 4}, {"value_ints", 7}, {"shape", 7}, {"min", 1},
	{"max", 1}, {"ratio", 1}, {"storage_order", 2}, {"noop_with_empty_axes", 2}, {"saturate", 2}, {"value_float", 1}, {"spatial", 2},
}

func (c *chooser) model(list []ops.Info) []byte {
	types := []tensor.DType{tensor.Float32, tensor.Int64, tensor.Float32, tensor.Float16, tensor.Bool, tensor.Float64, tensor.Uint8, tensor.Int32}
	lengths := []int64{1, 2, 3, 0, 4, 5, 17, 1 << 20, math.MaxInt64}
	numbers := []int64{0, 1, 2, -1, 3, -2, 4, 11, 255, math.MaxInt64, math.MinInt64, math.MaxInt32, -1 << 31}
	texts := names("", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", "constant", "reflect", "edge", "wrap")
	ints := func() []int64 {
		v := make([]int64, c.int(7))
		for i := range v {
			v[i] = choose(c, numbers)
		}
		return v
	}
	// A small tensor of any type; its elements are small numbers.
	constant := func(name string) []byte {
		dims := make([]int64, c.int(5))
		n := int64(1)
		for i := range dims {
			dims[i] = lengths[c.int(5)]
			n *= dims[i]
		}
		dtype := choose(c, types)
		raw := make([]byte, n*int64(dtype.Size()))
		for i := range raw {
			if dtype.Size() == 1 || i%dtype.Size() == 0 {
				raw[i] = byte(c.int(2))
			}
		}
		return tensorOf(name, dtype, dims, Bytes(9, raw))
	}
	var graph []byte
	values := names("")
	for i := range 1 + c.int(2) {
		name := fmt.Sprint("x", i)
		values = append(values, name)
		dims := make([]any, c.int(6))
		for j := range dims {
			dims[j] = choose(c, lengths)
		}
		graph = append(graph, input(name, choose(c, types), dims...)...)
	}
	for i := range c.int(4) {
		name := fmt.Sprint("w", i)
		values = append(values, name)
		graph = append(graph, Bytes(5, constant(name))...)
	}
	for i := range 1 + c.int(5) {
		in := make([]string, c.int(6))
		for j := range in {
			in[j] = choose(c, values)
		}
		out := names(fmt.Sprint("v", i))
		if c.int(8) == 1 {
			out = append(out, fmt.Sprint("second", i))
		}
		var attrs [][]byte
		for range c.int(4) {
			a := choose(c, attributes)
			f := Msg(Bytes(1, a.name), Int(20, a.kind))
			switch a.kind {
			case 1:
				f = append(f, Float(2, float32(choose(c, numbers)))...)
			case 2:
				f = append(f, Int(3, choose(c, numbers))...)
			case 3:
				f = append(f, Bytes(4, choose(c, texts))...)
			case 4:
				f = append(f, Bytes(5, constant(""))...)
			case 7:
				f = append(f, Ints(8, ints()...)...)
			}
			attrs = append(attrs, f)
		}
		graph = append(graph, node(choose(c, list).Name, "", in, out, attrs...)...)
		values = append(values, out...)
	}
	graph = append(graph, output(values[len(values)-1])...)
	return Msg(Int(1, 8), Bytes(7, graph), Sub(8, Int(2, int64(ops.MinOpset+c.int(ops.MaxOpset-ops.MinOpset+1)))))
}

func FuzzReadTensor(f *testing.F) {
	f.Add(tensorOf("w", tensor.Float32, []int64{1, 2}, Bytes(9, twoFloats)))
	f.Add(tensorOf("w", tensor.Float64, []int64{2}, Doubles(10, 1, 2)))
	f.Add(tensorOf("w", tensor.Int8, []int64{3}, Ints(5, 1, -2, 127)))
	f.Add(tensorOf("w", tensor.Uint64, nil, Int(11, 1)))
	f.Add(tensorOf("w", tensor.Bool, []int64{2, 0}))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 16
		x, _, err := ReadTensor(b, limit)
		if (x == nil) == (err == nil) {
			t.Fatalf("got %v and %v, want a tensor or an error", x, err)
		}
		if err == nil && (len(x.Raw) > limit || len(x.Raw) != x.Bytes() || !tensor.Aligned(x.Raw, x.DType.Size())) {
			t.Fatalf("got %d bytes for %v", len(x.Raw), x.Type)
		}
	})
}
