package run_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops"
	"scission/split"
	"scission/split/run"
	"scission/transport"
)

// network is two layers: the larger of 0 and x, and that limited to 1.
func network() (*graph.Graph, error) {
	g := &graph.Graph{Name: "example"}
	v := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 4}})
	for _, op := range []struct {
		name  string
		attrs []graph.Attr
	}{{"Relu", nil}, {"Clip", []graph.Attr{{Name: "max", Value: float32(1)}}}} {
		o, err := ops.New("", op.name, 9, op.attrs)
		if err != nil {
			return nil, err
		}
		out, err := g.Add(op.name, o, nil, []*graph.Value{v}, op.name+"_out")
		if err != nil {
			return nil, err
		}
		v = out[0]
	}
	g.Outputs = []*graph.Value{v}
	return g, nil
}

// The first layer runs here, the second on a worker, which is sent the model.
func ExampleNode_Open() {
	if err := openExample(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// [0 0.5 0 1]
	// compute on device
	// device→edge@1
	// compute on edge
	// edge→device@2 back
}

func openExample() error {
	g, err := network()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := run.OpenStore(dir, 0)
	if err != nil {
		return err
	}
	l, err := transport.Listen("127.0.0.1:0", transport.Options{})
	if err != nil {
		return err
	}
	edge := &run.Node{Name: "edge", Store: store, Load: func(string, map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
		g, err := network() // a program would read the file
		return g, nil, err
	}}
	done := make(chan error)
	go func() { done <- edge.ServeAll(ctx, l) }()

	content := "stands for the bytes of an ONNX file"
	device := &run.Node{Name: "device", Peers: map[string]string{"edge": l.Addr().String()}}
	e, err := device.Open(ctx, run.Deployment{
		Model: run.Model{
			Name: "example", Graph: g, Digest: "ec51dfa11289b6f9954e762d24f794315f77dc6755e74b031fb1e439796974f0",
			Content: run.NewContent(strings.NewReader(content), int64(len(content)), nil),
		},
		Stages: split.Partition{{Host: "device", Segment: split.Segment{From: 0, To: 1}}, {Host: "edge", Segment: split.Segment{From: 1, To: 2}}},
	})
	if err != nil {
		return err
	}
	defer e.Close()
	out, spans, err := e.Run(ctx, []*tensor.Tensor{tensor.Of([]float32{-1, 0.5, -3, 4}, 1, 4)})
	if err != nil {
		return err
	}
	fmt.Println(out[0].F32())
	for _, s := range spans {
		switch s.What {
		case run.Compute:
			fmt.Println("compute on", s.Host)
		case run.Travel:
			fmt.Println(s.Hop)
		}
	}
	stop()
	return <-done
}
