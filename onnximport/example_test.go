package onnximport_test

import (
	"bytes"
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/onnximport"
	"scission/ops"
)

func Example() {
	// A graph with one node, as an ONNX file.
	op, err := ops.New("", "Relu", 13, nil)
	if err != nil {
		panic(err)
	}
	g := &graph.Graph{Name: "example"}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 3}})
	out, err := g.Add("relu", op, &graph.Spec{Type: "Relu", Version: 13}, []*graph.Value{x}, "y")
	if err != nil {
		panic(err)
	}
	g.Outputs = out
	var file bytes.Buffer
	if err := onnximport.Save(&file, g); err != nil {
		panic(err)
	}

	// Reading it again.
	m, err := onnximport.Parse(file.Bytes(), onnximport.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(m.Inputs()[0].Name, m.Inputs()[0].DType, m.Inputs()[0].Dims)
	g, err = m.Graph(nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(g.Nodes[0].Name, g.Outputs[0].Type)
	// Output:
	// x float32 [1 3]
	// relu float32[1 3]
}
