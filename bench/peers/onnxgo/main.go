// Onnxgo runs models in onnx-go with its Gorgonia backend: a worker of bench/peers.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend/x/gorgonnx"
	gorgonia "gorgonia.org/tensor"

	"scission/bench/peers/worker"
	"scission/engine/tensor"
)

func main() {
	worker.Engine{Version: worker.ModuleVersion("github.com/owulveryck/onnx-go"), Load: load}.Main()
}

func load(path string, threads int, inputs map[string]*tensor.Tensor) (func() ([]*tensor.Tensor, error), error) {
	runtime.GOMAXPROCS(threads)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	backend := gorgonnx.NewGraph()
	model := onnx.NewModel(backend)
	if err := model.UnmarshalBinary(data); err != nil {
		return nil, err
	}
	// onnx-go numbers the inputs and does not tell their names.
	if len(inputs) != 1 {
		return nil, fmt.Errorf("got %d inputs, want 1", len(inputs))
	}
	for _, t := range inputs {
		x := gorgonia.New(gorgonia.WithShape(t.Shape...), gorgonia.WithBacking(t.F32()))
		if err := model.SetInput(0, x); err != nil {
			return nil, err
		}
	}
	return func() ([]*tensor.Tensor, error) {
		if err := backend.Run(); err != nil {
			return nil, err
		}
		outputs, err := model.GetOutputTensors()
		if err != nil {
			return nil, err
		}
		var ts []*tensor.Tensor
		for _, y := range outputs {
			values, ok := y.Data().([]float32)
			if !ok {
				return nil, fmt.Errorf("output is %T, want []float32", y.Data())
			}
			ts = append(ts, tensor.Of(values, y.Shape()...))
		}
		return ts, nil
	}, nil
}
