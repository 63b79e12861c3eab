package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/ops"
)

// sumOf is y = x + x for x of any shape; built counts by the shape.
type sumOf struct {
	mu    sync.Mutex
	built map[string]int
}

var errScalar = errors.New("a scalar")

func (s *sumOf) graph(in []tensor.Type) (*graph.Graph, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.built[fmt.Sprint(in[0])]++
	if len(in[0].Shape) == 0 {
		return nil, errScalar
	}
	op, err := ops.New("", "Add", 13, nil)
	if err != nil {
		return nil, err
	}
	g := &graph.Graph{}
	x := g.Input("x", in[0])
	g.Outputs, err = g.Add("sum", op, nil, []*graph.Value{x, x}, "y")
	return g, err
}

func TestDynamicHasOnePlanForEachTypeAndKeepsTheLastUsed(t *testing.T) {
	s := &sumOf{built: map[string]int{}}
	d := engine.NewDynamic(s.graph, engine.Options{}, 2)
	session := d.NewSession()
	run := func(shape ...int) {
		t.Helper()
		x := tensortest.Random(uint64(len(shape)), shape...)
		out, err := session.Run(context.Background(), []*tensor.Tensor{x})
		if err != nil {
			t.Fatal(err)
		}
		if !out[0].Shape.Equal(shape) {
			t.Fatalf("got shape %v, want %v", out[0].Shape, shape)
		}
		for i, v := range x.F32() {
			if out[0].F32()[i] != v+v {
				t.Fatalf("shape %v: element %d is %v, want %v", shape, i, out[0].F32()[i], v+v)
			}
		}
	}
	for range 3 {
		run(1, 3)
		run(4, 3)
	}
	run(1, 3)
	run(5) // [4 3] was not used for longest
	run(1, 3)
	run(4, 3)
	want := map[string]int{"float32[1 3]": 1, "float32[4 3]": 2, "float32[5]": 1}
	if fmt.Sprint(s.built) != fmt.Sprint(want) {
		t.Errorf("graphs were built %v, want %v", s.built, want)
	}
}

func TestDynamicCompilesOnceForConcurrentSessions(t *testing.T) {
	s := &sumOf{built: map[string]int{}}
	d := engine.NewDynamic(s.graph, engine.Options{Threads: 1}, 0)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			session := d.NewSession()
			for n := range 20 {
				x := tensortest.Random(uint64(i), 1+(i+n)%4)
				out, err := session.Run(context.Background(), []*tensor.Tensor{x})
				if err != nil || out[0].F32()[0] != x.F32()[0]*2 {
					t.Errorf("got %v, %v, want twice %v", out, err, x.F32())
					return
				}
			}
		})
	}
	wg.Wait()
	for shape, n := range s.built {
		if n != 1 {
			t.Errorf("%s was built %d times, want once", shape, n)
		}
	}
}

func TestDynamicRefusesWhatItCannotBuild(t *testing.T) {
	s := &sumOf{built: map[string]int{}}
	session := engine.NewDynamic(s.graph, engine.Options{Memory: 1 << 10}, 0).NewSession()
	if _, err := session.Run(context.Background(), []*tensor.Tensor{tensor.Scalar[float32](1)}); !errors.Is(err, errScalar) {
		t.Errorf("got %v, want the error of the builder", err)
	}
	if _, err := session.Run(context.Background(), []*tensor.Tensor{tensor.New(tensor.Float32, 1<<20)}); !errors.Is(err, engine.ErrMemory) {
		t.Errorf("got %v, want ErrMemory", err)
	}
	if _, err := session.Run(context.Background(), []*tensor.Tensor{nil}); err == nil {
		t.Error("a missing input is no error")
	}
	if out, err := session.Run(context.Background(), []*tensor.Tensor{tensor.Of([]float32{2}, 1)}); err != nil || out[0].F32()[0] != 4 {
		t.Errorf("after the errors: got %v, %v, want 4", out, err)
	}
}
