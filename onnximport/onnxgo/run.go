//go:build !riscv64

package onnxgo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/owulveryck/onnx-go"

	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops"
)

// Run computes the model's results from the inputs that are set. The first Run
// compiles the model, and so does one with inputs of other shapes, unless it was
// compiled for them a few shapes ago. The same inputs give the same results each
// time. What package ops does not have gives an *onnx.ErrNotImplemented.
func (g *Graph) Run() error {
	if g.network == nil {
		g.prepare()
	}
	in := make([]*tensor.Tensor, len(g.inputs))
	for i, v := range g.inputs {
		var err error
		if in[i], err = v.input(); err != nil {
			return fmt.Errorf("onnxgo: input %q: %w", v.name, err)
		}
	}
	g.last = in
	return g.run()
}

// input is the tensor that the caller has set.
func (v *value) input() (*tensor.Tensor, error) {
	if !v.fed {
		return nil, errors.New("it is not set")
	}
	t, err := fromGorgonia(v.tensor)
	if err != nil || v.declared == nil {
		return t, err
	}
	if got, want := v.tensor.Dtype(), v.declared.Dtype(); got != want {
		return nil, fmt.Errorf("it is of %v, want %v", got, want)
	}
	// Some of gorgonia's functions make a scalar of a tensor with one element.
	if s := tensor.Shape(v.declared.Shape()); len(t.Shape) == 0 && s.Elems() == 1 {
		t.Shape = s.Clone()
	}
	return t, nil
}

// prepare decides what is to be computed from what.
func (g *Graph) prepare() {
	g.inputs, g.outputs = nil, nil
	for _, v := range g.modelInputs() {
		if v.read {
			g.inputs = append(g.inputs, v)
		}
	}
	var unlisted []*value
	for _, op := range g.ops {
		for _, v := range op.out {
			switch {
			case v.computed && (v.wanted || v.listed && !v.read):
				g.outputs = append(g.outputs, v)
			case v.computed && !v.read:
				unlisted = append(unlisted, v)
			}
		}
	}
	if len(g.outputs) == 0 {
		g.outputs = unlisted
	}
	g.network = engine.NewDynamic(g.build, g.options.Engine, 0).NewSession()
}

// run computes the outputs from the inputs of the last Run.
func (g *Graph) run() error {
	if g.network == nil {
		g.prepare()
	}
	for _, v := range g.outputs {
		v.tensor = nil
	}
	out, err := g.network.Run(context.Background(), g.last)
	if err != nil {
		g.last = nil
		var missing *onnx.ErrNotImplemented
		if errors.As(err, &missing) {
			return missing // as onnx-go's own backends return it: as it is
		}
		return fmt.Errorf("onnxgo: %w", err)
	}
	for i, v := range g.outputs {
		if v.tensor, err = toGorgonia(out[i]); err != nil {
			return fmt.Errorf("onnxgo: output %q: %w", v.name, err)
		}
	}
	return nil
}

// build makes a graph of the model for inputs of the given types.
func (g *Graph) build(in []tensor.Type) (*graph.Graph, error) {
	b := &graph.Graph{Name: "onnx-go", Limit: g.options.Engine.Memory}
	have := map[*value]*graph.Value{}
	for i, v := range g.inputs {
		have[v] = b.Input(v.name, in[i])
	}
	for i, op := range g.ops {
		name := fmt.Sprintf("%s_%d", op.spec.Type, i)
		var ins []*graph.Value
		for _, v := range op.in {
			w := have[v]
			switch {
			case w != nil || v.name == "":
			case v.computed:
				return nil, fmt.Errorf("node %q reads %q, which a later one computes", name, v.name)
			case v.tensor != nil:
				t, err := fromGorgonia(v.tensor)
				if err != nil {
					return nil, fmt.Errorf("initializer %q: %w", v.name, err)
				}
				w = graph.Constant(v.name, t)
				have[v] = w
			case len(op.in) == 1 && strings.HasSuffix(v.name, standIn):
				continue
			default:
				return nil, fmt.Errorf("node %q reads %q, which nothing gives", name, v.name)
			}
			ins = append(ins, w)
		}
		names := make([]string, len(op.out))
		for j, v := range op.out {
			names[j] = v.name
		}
		outs, err := b.Add(name, op.op, op.spec, ins, names...)
		if errors.Is(err, ops.ErrUnsupported) {
			return nil, &onnx.ErrNotImplemented{Operator: op.spec.Type, Message: err.Error()}
		}
		if err != nil {
			return nil, err
		}
		for j, v := range op.out {
			if outs[j] != nil {
				have[v] = outs[j]
			}
		}
	}
	for _, v := range g.outputs {
		b.Outputs = append(b.Outputs, have[v])
	}
	return b, nil
}

// standIn ends the name of the operand that onnx-go makes for an operation that
// has none.
const standIn = "/input"
