package onnximport

import (
	"os"
	"path/filepath"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	. "scission/onnximport/internal/pbtest"
)

// The functions of this file write models byte by byte from the field numbers of
// onnx.proto, without package pb.

// model is a ModelProto with opset 13 and the given fields of its graph.
func model(graph ...[]byte) []byte {
	return Msg(Int(1, 8), Bytes(2, "test"), Bytes(3, "1.2"), Bytes(7, Msg(graph...)), Sub(8, Int(2, 13)))
}

// node is a node of a graph; attrs are encoded attributes.
func node(op, name string, in, out []string, attrs ...[]byte) []byte {
	var f []byte
	for _, s := range in {
		f = append(f, Bytes(1, s)...)
	}
	for _, s := range out {
		f = append(f, Bytes(2, s)...)
	}
	if name != "" {
		f = append(f, Bytes(3, name)...)
	}
	f = append(f, Bytes(4, op)...)
	for _, a := range attrs {
		f = append(f, Bytes(5, a)...)
	}
	return Bytes(1, f)
}

func names(s ...string) []string { return s }

// tensorOf is a TensorProto.
func tensorOf(name string, dtype tensor.DType, dims []int64, data ...[]byte) []byte {
	return Msg(Ints(1, dims...), Int(2, int64(dtype)), Bytes(8, name), Msg(data...))
}

func initializer(name string, dtype tensor.DType, dims []int64, data ...[]byte) []byte {
	return Bytes(5, tensorOf(name, dtype, dims, data...))
}

// valueInfo is a ValueInfoProto; a dimension is an int, an int64, a string or nil.
func valueInfo(name string, dtype tensor.DType, dims ...any) []byte {
	var shape []byte
	for _, d := range dims {
		switch d := d.(type) {
		case int:
			shape = append(shape, Sub(1, Int(1, int64(d)))...)
		case int64:
			shape = append(shape, Sub(1, Int(1, d))...)
		case string:
			shape = append(shape, Sub(1, Bytes(2, d))...)
		default:
			shape = append(shape, Sub(1)...)
		}
	}
	return Msg(Bytes(1, name), Sub(2, Sub(1, Int(1, int64(dtype)), Bytes(2, shape))))
}

func input(name string, dtype tensor.DType, dims ...any) []byte {
	return Bytes(11, valueInfo(name, dtype, dims...))
}

func output(name string) []byte { return Sub(12, Bytes(1, name)) }

// small is x [N 3] -> Add w -> Relu -> y.
func small() []byte {
	return model(Bytes(2, "small"),
		node("Add", "sum", names("x", "w"), names("s")), node("Relu", "", names("s"), names("y")),
		initializer("w", tensor.Float32, []int64{3}, Floats(4, 1, -2, 3)),
		input("x", tensor.Float32, "N", 3), output("y"))
}

func mustParse(t testing.TB, data []byte) *Model {
	t.Helper()
	m, err := Parse(data, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustLoad(t testing.TB, data []byte) *graph.Graph {
	t.Helper()
	g, err := Load(data)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// shared returns the folder of real models, which only the project's own
// machines have.
func shared(t testing.TB) string {
	dir := filepath.Join("..", "..", "shared", "models")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no shared models: %v", err)
	}
	return dir
}
