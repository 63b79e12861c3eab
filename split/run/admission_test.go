package run

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"scission/engine/graph"
)

// workerAndDevice starts a worker of g with what change says, and returns it and a device that knows it.
func workerAndDevice(t *testing.T, g *graph.Graph, change func(n *Node)) (edge, device *Node) {
	t.Helper()
	addr := worker(t, "edge", g, func(n *Node) {
		edge = n
		change(n)
	})
	return edge, &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": addr}}
}

func TestRunsBeyondTheLimitAreToldBusyAtOnceAndTheRestIsAnswered(t *testing.T) {
	op := newGate()
	g := gatedGraph(0, op)
	const limit, clients = 3, 10
	_, device := workerAndDevice(t, g, func(n *Node) { n.MaxRuns, n.Computing = limit, 1 })
	answers := make(chan error, clients)
	var wg sync.WaitGroup
	for range clients {
		e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: parse(t, "edge:0-5")})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		wg.Go(func() {
			_, _, err := e.Run(context.Background(), input(1))
			answers <- err
		})
	}
	for range clients - limit {
		if err := <-answers; !errors.Is(err, ErrBusy) || Culprit(err) != "edge" {
			t.Errorf("got error %v, want %v", err, ErrBusy)
		}
	}
	if n := op.runs.Load(); n > 1 {
		t.Errorf("%d stages compute at once, want 1", n)
	}
	close(op.gate)
	wg.Wait()
	for range limit {
		if err := <-answers; err != nil {
			t.Errorf("got error %v", err)
		}
	}
}

func TestDrainAnswersWhatIsInHandAndRefusesTheRest(t *testing.T) {
	op := newGate()
	g := gatedGraph(0, op)
	edge, device := workerAndDevice(t, g, func(*Node) {})
	open := func() *Execution {
		t.Helper()
		e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: parse(t, "edge:0-5")})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	working, idle := open(), open()
	defer working.Close()
	defer idle.Close()
	s, err := working.Stream(StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Submit(context.Background(), Request{ID: 1, Inputs: input(1)}); err != nil {
		t.Fatal(err)
	}
	for op.runs.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := edge.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a request in hand: got error %v", err)
	}
	if err := s.Submit(context.Background(), Request{ID: 2, Inputs: input(1)}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := idle.Run(context.Background(), input(1)); !errors.Is(err, ErrBroken) {
		t.Errorf("on an idle connection: got error %v, want %v", err, ErrBroken)
	}
	if _, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: parse(t, "edge:0-5")}); !errors.Is(err, ErrDraining) {
		t.Errorf("on a new connection: got error %v, want %v", err, ErrDraining)
	}
	close(op.gate)
	if err := edge.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	if a, err := s.Receive(context.Background()); err != nil || a.Err != nil || a.ID != 1 {
		t.Errorf("what was in hand: got %+v, error %v", a, err)
	}
	if a, err := s.Receive(context.Background()); err != nil || a.ID != 2 || !errors.Is(a.Err, ErrDraining) && !errors.Is(a.Err, ErrBroken) {
		t.Errorf("what came later: got %+v, error %v", a, err)
	}
}

// A request that another execution began goes on here from the cut.
func TestRequestGoesOnFromTheCutThatWasReached(t *testing.T) {
	g := residual(0)
	gone := worker(t, "edge", g, func(n *Node) { n.MaxRuns = -1 })
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": gone}}
	stream := func(stages string) *Stream {
		t.Helper()
		e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: parse(t, stages)})
		if err != nil {
			t.Fatal(err)
		}
		s, err := e.Stream(StreamOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			s.Close()
			e.Close()
		})
		return s
	}
	ask := func(s *Stream, r Request) Answer {
		t.Helper()
		if err := s.Submit(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		a, err := s.Receive(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := ask(stream("device:0-2,edge:3-5"), Request{Inputs: input(1)})
	if !errors.Is(a.Err, ErrBusy) || a.Layer != 3 || len(a.Held) != 2 {
		t.Fatalf("got error %v, %d tensors before layer %d, want the two that cross before layer 3", a.Err, len(a.Held), a.Layer)
	}
	here := stream("device:0-2,device:3-5")
	b := ask(here, Request{From: a.Layer, Inputs: a.Held})
	if b.Err != nil || !b.Outputs[0].Identical(whole(t, g, input(1))) {
		t.Errorf("got error %v, or another result than that of the whole", b.Err)
	}
	if n := len(b.Spans); n != 1 {
		t.Errorf("%d stages ran, want 1", n)
	}
	if err := here.Submit(context.Background(), Request{From: 2, Inputs: a.Held}); err == nil {
		t.Error("from a layer with which no stage begins: no error")
	}
}
