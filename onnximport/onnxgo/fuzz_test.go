//go:build !riscv64

package onnxgo

import (
	"testing"

	"github.com/owulveryck/onnx-go/backend/testbackend"
	gorgonia "gorgonia.org/tensor"

	"scission/engine"
	"scission/engine/tensor"
)

// fuzzMemory bounds what a fuzzed model may compute, and how long that takes.
const fuzzMemory = 1 << 16

// FuzzUnmarshal lets onnx-go decode any bytes, and runs what it decodes with ones
// as inputs.
func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte("spam"))
	f.Add(model(op("Add", "x w", "s"), op("Relu", "s", "y"), weight("w", []int64{2}, 1, -1),
		declare(inputs, "x", tensor.Float32, -1, 2), declare(outputs, "y", tensor.Float32, -1, 2)))
	for _, c := range testbackend.GetAllRegisteredTests() {
		if data := c().ModelB; len(data) < 1<<12 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, g, err := Unmarshal(data, Options{Engine: engine.Options{Memory: fuzzMemory, Threads: 1}})
		if err != nil {
			if m != nil || g != nil {
				t.Fatal("an error and a model")
			}
			return
		}
		for i, x := range m.GetInputTensors() {
			if x == nil || x.Shape().TotalSize()*8 > fuzzMemory {
				return
			}
			ones := gorgonia.Ones(x.Dtype(), x.Shape()...)
			if err := m.SetInput(i, ones); err != nil {
				t.Fatal(err)
			}
		}
		if g.Run() != nil {
			return
		}
		if _, err := m.GetOutputTensors(); err != nil {
			t.Fatal(err)
		}
	})
}
