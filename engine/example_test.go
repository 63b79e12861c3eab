package engine_test

import (
	"context"
	"fmt"

	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops"
)

// A network of one layer: built, compiled and run.
func Example() {
	g := &graph.Graph{Name: "example"}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 4}})
	relu, err := ops.New("", "Relu", 14, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if g.Outputs, err = g.Add("relu", relu, nil, []*graph.Value{x}, "y"); err != nil {
		fmt.Println(err)
		return
	}
	plan, err := engine.Compile(g, engine.Options{Threads: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := plan.NewSession().Run(context.Background(), []*tensor.Tensor{tensor.Of([]float32{-1, 2, -3, 4}, 1, 4)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(plan.Outputs()[0].Name, out[0].Type, out[0].F32())
	// Output: y float32[1 4] [0 2 0 4]
}

// Batches of two sizes: each has a plan, which later runs find again.
func ExampleDynamic() {
	relu, err := ops.New("", "Relu", 14, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	// For a file this is the method GraphFor of onnximport.Model.
	build := func(in []tensor.Type) (*graph.Graph, error) {
		g := &graph.Graph{Name: "example"}
		var err error
		g.Outputs, err = g.Add("relu", relu, nil, []*graph.Value{g.Input("x", in[0])}, "y")
		return g, err
	}
	s := engine.NewDynamic(build, engine.Options{Threads: 1}, 0).NewSession()
	for _, x := range []*tensor.Tensor{tensor.Of([]float32{-1, 2}, 1, 2), tensor.Of([]float32{-1, 2, 3, -4}, 2, 2)} {
		out, err := s.Run(context.Background(), []*tensor.Tensor{x})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(out[0].Type, out[0].F32())
	}
	// Output:
	// float32[1 2] [0 2]
	// float32[2 2] [0 2 3 0]
}
