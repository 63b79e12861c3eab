package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// The stages on a worker have the shapes of each run too.
func TestDynamicRunsEveryShapeAndKeepsTheLastUsedOpen(t *testing.T) {
	edge := worker(t, "edge", nil, func(n *Node) {
		n.Load = func(_ string, shapes map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
			return residualOf(0, shapes["x"]), nil, nil
		}
	})
	n := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	opened := map[string]int{}
	d := NewDynamic(func(ctx context.Context, in []tensor.Type) (*Execution, error) {
		opened[fmt.Sprint(in[0].Shape)]++
		m := testModel(residualOf(0, in[0].Shape))
		m.Shapes = map[string]tensor.Shape{"x": in[0].Shape}
		return n.Open(ctx, Deployment{Model: m, Stages: parse(t, "device:0-2,edge:3-5")})
	}, 2)
	defer d.Close()
	for i, shape := range []tensor.Shape{{1, 4}, {3, 4}, {1, 4}, {3, 4}, {1, 4}, {7}, {1, 4}, {3, 4}} {
		x := tensortest.Random(uint64(i), shape...)
		want, err := graph.Interpret(residualOf(0, shape), []*tensor.Tensor{x})
		if err != nil {
			t.Fatal(err)
		}
		out, spans, err := d.Run(context.Background(), []*tensor.Tensor{x})
		if err != nil || !out[0].Identical(want[0]) || len(spans) < 2 {
			t.Fatalf("shape %v: got %v, %v, %v, want %v", shape, out, spans, err, want)
		}
	}
	if want := map[string]int{"[1 4]": 1, "[3 4]": 2, "[7]": 1}; fmt.Sprint(opened) != fmt.Sprint(want) {
		t.Errorf("opened %v, want %v", opened, want)
	}
}

func TestDynamicOpensAnewWhatFailed(t *testing.T) {
	refused := errors.New("refused")
	opened := 0
	d := NewDynamic(func(ctx context.Context, in []tensor.Type) (*Execution, error) {
		if opened++; opened == 1 {
			return nil, refused
		}
		n := &Node{Name: "device", Threads: 1}
		return n.Open(ctx, Deployment{Model: testModel(residual(0)), Stages: parse(t, "device:0-5")})
	}, 0)
	defer d.Close()
	ended, end := context.WithCancel(context.Background())
	end()
	if _, _, err := d.Run(context.Background(), input(1)); !errors.Is(err, refused) {
		t.Errorf("got %v, want what open says", err)
	}
	if _, _, err := d.Run(ended, input(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if _, _, err := d.Run(context.Background(), []*tensor.Tensor{nil}); err == nil {
		t.Error("a missing input is no error")
	}
	for range 2 {
		if out, _, err := d.Run(context.Background(), input(1)); err != nil || !out[0].Identical(whole(t, residual(0), input(1))) {
			t.Errorf("got %v, %v after the failures", out, err)
		}
	}
	if opened != 3 {
		t.Errorf("opened %d times, want 3", opened)
	}
}
