package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/onnximport"
	"scission/ops"
	"scission/split"
	"scission/split/run"
)

// Size of the network: what crosses a cut has channels * side * side * 4 bytes.
const (
	opset    = 13
	layers   = 8
	channels = 16
	side     = 32
)

// network is a row of convolutions with a Relu behind each second one, and
// seeded weights.
func network() (run.Model, error) {
	r := rand.New(rand.NewPCG(1, 1))
	g := &graph.Graph{Name: "chaos"}
	v := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, channels, side, side}})
	for i := range layers {
		kind, attrs, in := "Relu", []graph.Attr(nil), []*graph.Value{v}
		if i%2 == 0 {
			kind = "Conv"
			attrs = []graph.Attr{{Name: "pads", Value: []int64{1, 1, 1, 1}}}
			w := tensor.New(tensor.Float32, channels, channels, 3, 3)
			for k := range w.F32() {
				w.F32()[k] = (r.Float32() - 0.5) / 4
			}
			in = append(in, graph.Constant(fmt.Sprint("w", i), w))
		}
		op, err := ops.New("", kind, opset, attrs)
		if err != nil {
			return run.Model{}, err
		}
		out, err := g.Add(fmt.Sprint("layer", i), op, &graph.Spec{Type: kind, Version: opset, Attrs: attrs}, in, fmt.Sprint("v", i))
		if err != nil {
			return run.Model{}, err
		}
		v = out[0]
	}
	g.Outputs = []*graph.Value{v}
	var file bytes.Buffer
	if err := onnximport.Save(&file, g); err != nil {
		return run.Model{}, err
	}
	sum := sha256.Sum256(file.Bytes())
	return run.Model{
		Name: g.Name, Digest: hex.EncodeToString(sum[:]), Graph: g,
		Shapes:  map[string]tensor.Shape{"x": v.Shape},
		Content: run.NewContent(bytes.NewReader(file.Bytes()), int64(file.Len()), nil),
	}, nil
}

// question is an input and what the unsplit model answers.
type question struct{ in, want []*tensor.Tensor }

// questions asks the unsplit model on this machine.
func questions(m run.Model, n int) ([]question, error) {
	node := &run.Node{Name: device, Threads: 1}
	e, err := node.Open(context.Background(), run.Deployment{Model: m, Stages: split.Partition{{Host: device, Segment: split.Segment{From: 0, To: layers}}}})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	var qs []question
	for i := range n {
		r := rand.New(rand.NewPCG(2, uint64(i)))
		x := tensor.New(tensor.Float32, m.Graph.Inputs[0].Shape...)
		for k := range x.F32() {
			x.F32()[k] = r.Float32() - 0.5
		}
		out, _, err := e.Run(context.Background(), []*tensor.Tensor{x})
		if err != nil {
			return nil, err
		}
		qs = append(qs, question{[]*tensor.Tensor{x}, []*tensor.Tensor{out[0].Clone()}})
	}
	return qs, nil
}
