package onnximport

import (
	"bytes"
	"testing"

	"scission/engine/tensor"
	. "scission/onnximport/internal/pbtest"
)

// fuzzLimits keep one input of the fuzzer cheap.
var fuzzLimits = Limits{Depth: 20, Name: 100, Value: 1 << 14, Constants: 1 << 18}

func FuzzParse(f *testing.F) {
	f.Add(small())
	f.Add(several())
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
	f.Fuzz(func(t *testing.T, b []byte) {
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
			t.Fatal(err)
		}
		again, err := Load(out.Bytes())
		if err != nil {
			t.Fatalf("the saved graph cannot be loaded: %v", err)
		}
		if len(again.Nodes) != len(g.Nodes) || len(again.Inputs) != len(g.Inputs) || len(again.Outputs) != len(g.Outputs) {
			t.Fatalf("saved %d nodes, loaded %d", len(g.Nodes), len(again.Nodes))
		}
	})
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
