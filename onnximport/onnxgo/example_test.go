//go:build !riscv64

package onnxgo_test

import (
	"fmt"

	"github.com/owulveryck/onnx-go"
	"gorgonia.org/tensor"

	"scission/onnximport/internal/pbtest"
	"scission/onnximport/onnxgo"
)

// file is a model of opset 13 with one node, Relu, from input x to output y, both
// float32[3].
var file = func() []byte {
	value := func(name string) []byte {
		shape := pbtest.Sub(2, pbtest.Sub(1, pbtest.Int(1, 3)))
		return pbtest.Msg(pbtest.Bytes(1, name), pbtest.Sub(2, pbtest.Sub(1, pbtest.Int(1, 1), shape)))
	}
	node := pbtest.Sub(1, pbtest.Bytes(1, "x"), pbtest.Bytes(2, "y"), pbtest.Bytes(4, "Relu"))
	graph := pbtest.Sub(7, node, pbtest.Bytes(11, value("x")), pbtest.Bytes(12, value("y")))
	return pbtest.Msg(pbtest.Int(1, 8), graph, pbtest.Sub(8, pbtest.Int(2, 13)))
}()

// A program for onnx-go gets this project's engine by one line, that which made the
// backend: backend := gorgonnx.NewGraph().
func Example() {
	backend := onnxgo.NewGraph(onnxgo.Options{Opset: 13})
	model := onnx.NewModel(backend)
	if err := model.UnmarshalBinary(file); err != nil {
		panic(err)
	}
	x := tensor.New(tensor.WithShape(3), tensor.WithBacking([]float32{-1, 2, -3}))
	if err := model.SetInput(0, x); err != nil {
		panic(err)
	}
	if err := backend.Run(); err != nil {
		panic(err)
	}
	outputs, err := model.GetOutputTensors()
	if err != nil {
		panic(err)
	}
	fmt.Println(outputs[0].Data())
	// Output: [0 2 0]
}

// Unmarshal is for files that may come from anyone, and reads their opset.
func ExampleUnmarshal() {
	model, backend, err := onnxgo.Unmarshal(file, onnxgo.Options{})
	if err != nil {
		panic(err)
	}
	x := tensor.New(tensor.WithShape(3), tensor.WithBacking([]float32{-1, 2, -3}))
	if err := model.SetInput(0, x); err != nil {
		panic(err)
	}
	if err := backend.Run(); err != nil {
		panic(err)
	}
	outputs, err := model.GetOutputTensors()
	if err != nil {
		panic(err)
	}
	fmt.Println(outputs[0].Data())

	_, _, err = onnxgo.Unmarshal(file[:20], onnxgo.Options{})
	fmt.Println(err != nil)
	// Output:
	// [0 2 0]
	// true
}
