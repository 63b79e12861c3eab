package onnximport

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"scission/engine/tensor"
	. "scission/onnximport/internal/pbtest"
)

// bigFile writes a model with 500 MB of constants: 100 nodes with 5 MB each.
func bigFile(b *testing.B) string {
	path := filepath.Join(b.TempDir(), "big.onnx")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const nodes, elems = 100, 5 << 20 / 4
	zeros := make([]byte, 4*elems)
	var graph []byte
	for i := range nodes {
		graph = append(graph, node("Add", "", names(fmt.Sprint("v", i), fmt.Sprint("w", i)), names(fmt.Sprint("v", i+1)))...)
		graph = append(graph, initializer(fmt.Sprint("w", i), tensor.Float32, []int64{elems}, Bytes(9, zeros))...)
	}
	if _, err := f.Write(model(graph, input("v0", tensor.Float32, elems), output(fmt.Sprint("v", nodes)))); err != nil {
		b.Fatal(err)
	}
	return path
}

func BenchmarkOpen500MB(b *testing.B) {
	path := bigFile(b)
	b.ReportAllocs()
	for b.Loop() {
		m, err := Open(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGraph500MB(b *testing.B) {
	path := bigFile(b)
	b.ReportAllocs()
	for b.Loop() {
		m, err := Open(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Graph(nil); err != nil {
			b.Fatal(err)
		}
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSave500MB(b *testing.B) {
	g, err := LoadFile(bigFile(b))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := Save(io.Discard, g); err != nil {
			b.Fatal(err)
		}
	}
}
