// Gomlx runs models in GoMLX's pure Go backend: a worker of bench/peers.
package main

import (
	"fmt"
	"runtime"

	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/onnx-gomlx/onnx"

	"scission/bench/peers/worker"
	"scission/engine/tensor"
)

func main() {
	worker.Engine{Version: worker.ModuleVersion("github.com/gomlx/gomlx"), Load: load}.Main()
}

func load(path string, threads int, inputs map[string]*tensor.Tensor) (func() ([]*tensor.Tensor, error), error) {
	// The backend's own option for threads is a number of goroutines beside the caller's.
	runtime.GOMAXPROCS(threads)
	backend, err := simplego.New("")
	if err != nil {
		return nil, err
	}
	model, err := onnx.ReadFile(path)
	if err != nil {
		return nil, err
	}
	weights := context.New()
	if err := model.VariablesToContext(weights); err != nil {
		return nil, err
	}
	var in []any
	for _, name := range model.InputsNames {
		t := inputs[name]
		if t == nil {
			return nil, fmt.Errorf("no input %q", name)
		}
		in = append(in, tensors.FromFlatDataAndDimensions(t.F32(), t.Shape...))
	}
	exec, err := context.NewExec(backend, weights, func(ctx *context.Context, xs []*graph.Node) []*graph.Node {
		named := map[string]*graph.Node{}
		for i, x := range xs {
			named[model.InputsNames[i]] = x
		}
		return model.CallGraph(ctx, xs[0].Graph(), named)
	})
	if err != nil {
		return nil, err
	}
	return func() ([]*tensor.Tensor, error) {
		outputs, err := exec.Exec(in...)
		if err != nil {
			return nil, err
		}
		var ts []*tensor.Tensor
		for _, y := range outputs {
			values, err := tensors.CopyFlatData[float32](y)
			if err != nil {
				return nil, err
			}
			ts = append(ts, tensor.Of(values, y.Shape().Dimensions...))
			y.FinalizeAll()
		}
		return ts, nil
	}, nil
}
