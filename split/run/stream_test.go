package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/split"
	"scission/transport"
)

// openStream opens stages and a stream over them.
func openStream(t *testing.T, n *Node, g *graph.Graph, stages split.Partition, o StreamOptions) (*Execution, *Stream) {
	t.Helper()
	e, err := n.Open(context.Background(), Deployment{Model: testModel(g), Stages: stages})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	s, err := e.Stream(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return e, s
}

// chain starts a cloud and an edge that knows it if chained, and returns a device
// that knows both.
func chain(t *testing.T, g *graph.Graph, chained bool, change func(n *Node)) *Node {
	cloud := worker(t, "cloud", g, change)
	edge := worker(t, "edge", g, func(n *Node) {
		if chained {
			n.Peers = map[string]string{"cloud": cloud}
		}
		if change != nil {
			change(n)
		}
	})
	return &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge, "cloud": cloud}}
}

// randomStages puts the layers on random hosts, cut at random.
func randomStages(r *rand.Rand) split.Partition {
	var p split.Partition
	for at := 0; at < layers; {
		to := at + 1 + r.IntN(layers-at)
		host := []string{"device", "edge", "cloud"}[r.IntN(3)]
		p = append(p, split.Stage{Host: host, Segment: split.Segment{From: at, To: to}})
		at = to
	}
	return p
}

func TestStreamedRunsEqualTheWholeInOrder(t *testing.T) {
	const requests = 25
	g := residual(0)
	var want [requests]*tensor.Tensor
	for i := range want {
		want[i] = whole(t, g, input(uint64(i)))
	}
	for _, chained := range []bool{true, false} {
		device := chain(t, g, chained, nil)
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 7))
			stages, depth := randomStages(r), r.IntN(9)
			e, s := openStream(t, device, g, stages, StreamOptions{Depth: depth})
			depth = s.Depth()
			go func() {
				for i := range requests {
					in := input(uint64(i))
					if err := s.Submit(context.Background(), Request{ID: uint64(i) + 100, Epoch: seed, Inputs: in}); err != nil {
						t.Errorf("%v: submit %d: %v", stages, i, err)
					}
					clear(in[0].Raw) // they are the caller's again
					if n, _ := s.InFlight(); n > depth {
						t.Errorf("%v: %d in flight, want at most %d", stages, n, depth)
					}
				}
				s.End()
			}()
			for i := range requests {
				a, err := s.Receive(context.Background())
				if err != nil || a.Err != nil {
					t.Fatalf("%v: answer %d: %v, %v", stages, i, err, a.Err)
				}
				if a.ID != uint64(i)+100 || a.Epoch != seed || !a.Outputs[0].Identical(want[i]) {
					t.Fatalf("%v, depth %d: answer %d is of request %d, epoch %d, and differs", stages, depth, i, a.ID, a.Epoch)
				}
				checkTimes(t, stages, e, a)
			}
			if _, err := s.Receive(context.Background()); err != io.EOF {
				t.Errorf("%v: after the last answer: got error %v, want EOF", stages, err)
			}
			s.Close()
			// What a stream leaves can be run, and streamed again.
			out, _, err := e.Run(context.Background(), input(3))
			if err != nil || !out[0].Identical(want[3]) {
				t.Errorf("%v: run after a stream: error %v, or another result", stages, err)
			}
			if s, err = e.Stream(StreamOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := s.Submit(context.Background(), Request{Inputs: input(4)}); err != nil {
				t.Error(err)
			}
			if a, err := s.Receive(context.Background()); err != nil || a.Err != nil || !a.Outputs[0].Identical(want[4]) {
				t.Errorf("%v: second stream: errors %v, %v, or another result", stages, err, a.Err)
			}
			s.Close()
			e.Close()
		}
	}
}

// checkTimes checks that the spans of an answer are those of the stages and
// hops, and lie within the run.
func checkTimes(t *testing.T, stages split.Partition, e *Execution, a Answer) {
	t.Helper()
	var stage, hop int
	for _, s := range a.Spans {
		if s.At < 0 || s.Skew < 0 || s.Transfer < 0 || s.Transfer > s.Took || s.At+s.Took > a.Total+s.Skew {
			t.Errorf("%v: span %+v is not within a run of %v", stages, s, a.Total)
		}
		switch s.What {
		case Compute:
			if got := (split.Stage{Host: s.Host, Segment: *s.Segment}); got != stages[stage] {
				t.Errorf("%v: span of %v, want %v", stages, got, stages[stage])
			}
			stage++
		case Travel:
			if *s.Hop != e.Hops[hop] {
				t.Errorf("%v: travelled %v, want %v", stages, s.Hop, e.Hops[hop])
			}
			hop++
		}
	}
	if stage != len(stages) || hop != len(e.Hops) {
		t.Errorf("%v: spans of %d stages and %d hops, want %d and %d", stages, stage, hop, len(stages), len(e.Hops))
	}
}

// Three hosts that take 12 ms each take 36 ms for one run, and a little over 12
// for each of many.
func TestHostsOfAStreamWorkAtTheSameTime(t *testing.T) {
	g := residual(6 * time.Millisecond)
	for _, chained := range []bool{true, false} {
		device := chain(t, g, chained, nil)
		e, s := openStream(t, device, g, parse(t, "device:0-1,edge:2-3,cloud:4-5"), StreamOptions{})
		one, err := Measure(context.Background(), e, input(1), 1, 3, nil)
		if err != nil {
			t.Fatal(err)
		}
		many, err := MeasureStream(context.Background(), s, [][]*tensor.Tensor{input(1), input(2)}, s.Depth(), 30, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, limit := many.Interval(), one[1].Total*6/10; got > limit {
			t.Errorf("chained %v: an answer every %v, want less than %v, six tenths of a run by itself", chained, got, limit)
		}
		if busiest := Parts(many.Samples)[0]; busiest.Busy < 12*time.Millisecond {
			t.Errorf("chained %v: %+v is busy for %v of %v", chained, busiest, busiest.Busy, many.Interval())
		}
	}
}

// gatedGraph is a row of layers, of which one waits in each run until it is let
// through.
func gatedGraph(at int, op gated) *graph.Graph {
	g := &graph.Graph{Name: "gated"}
	v := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{50}})
	for i := range layers {
		var o graph.Op = mix{}
		if i == at {
			o = op
		}
		out, err := g.Add(fmt.Sprint("layer", i), o, nil, []*graph.Value{v}, fmt.Sprint("v", i))
		if err != nil {
			panic(err)
		}
		v = out[0]
	}
	g.Outputs = []*graph.Value{v}
	return g
}

func newGate() gated { return gated{runs: new(atomic.Int32), gate: make(chan struct{})} }

func TestSubmitWaitsForRoomInRequestsAndBytes(t *testing.T) {
	const size = 200 // bytes of an input
	for _, c := range []struct {
		o    StreamOptions
		room int
	}{{StreamOptions{Depth: 3}, 3}, {StreamOptions{Depth: 9, Bytes: 2*size + 1}, 2}, {StreamOptions{Depth: 9, Bytes: 1}, 1}} {
		op := newGate()
		g := gatedGraph(3, op)
		device := chain(t, g, true, nil)
		_, s := openStream(t, device, g, parse(t, "device:0-1,edge:2-3,cloud:4-5"), c.o)
		for i := range c.room {
			if err := s.Submit(context.Background(), Request{ID: uint64(i), Inputs: input(1)}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		if err := s.Submit(ctx, Request{Inputs: input(1)}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%+v: request %d: got error %v, want the deadline's", c.o, c.room, err)
		}
		cancel()
		if n, b := s.InFlight(); n != c.room || b != n*size {
			t.Errorf("%+v: %d requests and %d bytes in flight, want %d of %d", c.o, n, b, c.room, size)
		}
		submitted := make(chan error)
		go func() { submitted <- s.Submit(context.Background(), Request{ID: 77, Inputs: input(1)}) }()
		close(op.gate)
		for range c.room {
			if a, err := s.Receive(context.Background()); err != nil || a.Err != nil {
				t.Fatal(err, a.Err)
			}
		}
		if err := <-submitted; err != nil {
			t.Error(err)
		}
		if a, err := s.Receive(context.Background()); err != nil || a.ID != 77 {
			t.Errorf("got answer to %d, error %v", a.ID, err)
		}
	}
}

// The request whose context ends is answered with that, though a worker is at
// it, and those around it are answered right.
func TestARequestCanBeGivenUpWithoutTheOthers(t *testing.T) {
	op := newGate()
	g := gatedGraph(4, op)
	for _, stages := range []string{"device:0-1,edge:2-3,cloud:4-5", "edge:0-5", "device:0-5", "device:0-4,edge:5-5"} {
		device := chain(t, g, true, nil)
		_, s := openStream(t, device, g, parse(t, stages), StreamOptions{Depth: 4})
		ctx, cancel := context.WithCancel(context.Background())
		late, stop := context.WithTimeout(context.Background(), 30*time.Millisecond)
		op.runs.Store(0)
		for i, c := range []context.Context{context.Background(), ctx, late, context.Background()} {
			if err := s.Submit(c, Request{ID: uint64(i), Inputs: input(1)}); err != nil {
				t.Fatal(err)
			}
		}
		op.gate <- struct{}{} // request 0
		for op.runs.Load() < 2 {
			time.Sleep(time.Millisecond)
		}
		cancel()
		<-late.Done()
		for i, want := range []error{nil, context.Canceled, context.DeadlineExceeded} {
			a, err := s.Receive(context.Background())
			if err != nil || a.ID != uint64(i) || !errors.Is(a.Err, want) || want == nil && a.Err != nil {
				t.Errorf("%s: got answer to %d with errors %v, %v, want %v", stages, a.ID, err, a.Err, want)
			}
		}
		stop()
		done := make(chan struct{})
		var pusher sync.WaitGroup
		pusher.Go(func() {
			for {
				select {
				case op.gate <- struct{}{}:
				case <-done:
					return
				}
			}
		})
		if a, err := s.Receive(context.Background()); err != nil || a.ID != 3 || a.Err != nil {
			t.Errorf("%s: got answer to %d with errors %v, %v, want that to 3", stages, a.ID, err, a.Err)
		}
		s.Close()
		close(done)
		pusher.Wait()
	}
}

// opens answers the request to open one stage, and hands on the others.
func opens(depth int, run func(m *transport.Message) *transport.Message) func(m *transport.Message) *transport.Message {
	return func(m *transport.Message) *transport.Message {
		if m.Kind == kindOpen {
			return &transport.Message{Kind: kindOK, Meta: encodeMeta(opened{Taken: 1, Depth: depth, Bytes: 1 << 20})}
		}
		return run(m)
	}
}

func TestRequestsThatNobodyAnswersEndAtTheirDeadlines(t *testing.T) {
	var withdrawn atomic.Int32
	edge := impostor(t, opens(2, func(m *transport.Message) *transport.Message {
		if m.Kind == kindCancel {
			withdrawn.Add(1)
		}
		return nil
	}))
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	_, s := openStream(t, device, residual(0), parse(t, "edge:0-5"), StreamOptions{Depth: 4})
	for i := range uint64(4) { // two of which are never sent
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		defer cancel()
		if err := s.Submit(ctx, Request{ID: i, Inputs: input(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(4) {
		if a, err := s.Receive(context.Background()); err != nil || a.ID != i || !errors.Is(a.Err, context.DeadlineExceeded) {
			t.Errorf("got answer to %d, errors %v, %v, want that to %d, its deadline's", a.ID, err, a.Err, i)
		}
	}
	for withdrawn.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	if n, b := s.InFlight(); n != 0 || b != 0 {
		t.Errorf("%d requests of %d bytes are in flight, want none", n, b)
	}
	// The hosts keep what they were given, so that there is no room any more.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	for err := error(nil); err == nil; {
		err = s.Submit(ctx, Request{Inputs: input(1)})
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want the deadline's", err)
		}
	}
}

func TestAnswersOutOfTurnBreakTheStream(t *testing.T) {
	const requests = 3
	for name, reply := range map[string]transport.Message{
		"id":       {Kind: kindOK, ID: 99, Meta: report{}.encode()},
		"kind":     {Kind: kindOpen},
		"progress": {Kind: kindProgress},
	} {
		edge := impostor(t, opens(requests, func(m *transport.Message) *transport.Message { return &reply }))
		device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
		_, s := openStream(t, device, residual(0), parse(t, "edge:0-5"), StreamOptions{Depth: requests})
		n := uint64(0)
		for ; n < requests; n++ {
			if err := s.Submit(context.Background(), Request{ID: n, Inputs: input(n)}); err != nil {
				break
			}
		}
		for i := range n {
			if a, err := s.Receive(context.Background()); err != nil || a.ID != i || !errors.Is(a.Err, ErrBroken) || !errors.Is(a.Err, ErrRemote) {
				t.Errorf("%s: got answer to %d with errors %v, %v, want that to %d and ErrBroken", name, a.ID, err, a.Err, i)
			}
		}
		if err := s.Submit(context.Background(), Request{Inputs: input(1)}); !errors.Is(err, ErrBroken) {
			t.Errorf("%s: submit afterwards: got error %v, want ErrBroken", name, err)
		}
	}
}

// Whenever a worker ends, each request that was taken has one answer: the right
// one, or an error.
func TestWorkerThatEndsLosesNoRequest(t *testing.T) {
	g := residual(200 * time.Microsecond)
	var want [3]*tensor.Tensor
	for i := range want {
		want[i] = whole(t, g, input(uint64(i)))
	}
	for moment := range 30 {
		ctx, stop := context.WithCancel(context.Background())
		store, err := OpenStore(t.TempDir(), 0)
		if err != nil {
			t.Fatal(err)
		}
		cloud := &Node{Name: "cloud", Threads: 1, Store: store, Load: func(string, map[string]tensor.Shape) (*graph.Graph, io.Closer, error) { return g, nil, nil }}
		l, err := transport.Listen("127.0.0.1:0", transport.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cloud.ServeAll(ctx, l) }()
		peers := map[string]string{"cloud": l.Addr().String()}
		stages := "device:0-1,cloud:2-5"
		if moment%2 == 1 { // behind another one
			peers["edge"] = worker(t, "edge", g, func(n *Node) { n.Peers = map[string]string{"cloud": l.Addr().String()} })
			stages = "device:0-1,edge:2-3,cloud:4-5"
		}
		_, s := openStream(t, &Node{Name: "device", Threads: 1, Peers: peers}, g, parse(t, stages), StreamOptions{Depth: 5})
		var taken atomic.Int32
		go func() {
			defer s.End()
			for i := range uint64(200) {
				if err := s.Submit(context.Background(), Request{ID: i, Inputs: input(i % 3)}); err != nil {
					if !errors.Is(err, ErrBroken) {
						t.Error(err)
					}
					return
				}
				taken.Add(1)
			}
		}()
		time.AfterFunc(time.Duration(moment)*700*time.Microsecond, stop)
		answers, failed := 0, 0
		for {
			a, err := s.Receive(context.Background())
			if err == io.EOF {
				break
			}
			if err != nil || a.ID != uint64(answers) {
				t.Fatalf("got answer to %d, error %v, want that to %d", a.ID, err, answers)
			}
			answers++
			if a.Err != nil {
				failed++
				if !errors.Is(a.Err, ErrBroken) {
					t.Errorf("got error %v, want ErrBroken", a.Err)
				}
			} else if failed > 0 {
				t.Errorf("request %d is answered after another one failed", a.ID)
			} else if !a.Outputs[0].Identical(want[a.ID%3]) {
				t.Errorf("request %d has a wrong answer", a.ID)
			}
		}
		if answers != int(taken.Load()) || failed == 0 && answers < 200 {
			t.Errorf("%d answers, %d of them errors, to %d requests", answers, failed, taken.Load())
		}
		s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		stop()
	}
}

func TestCloseGivesUpWhatIsInFlight(t *testing.T) {
	op := newGate()
	g := gatedGraph(2, op)
	device := chain(t, g, true, nil)
	_, s := openStream(t, device, g, parse(t, "device:0-1,edge:2-3,cloud:4-5"), StreamOptions{Depth: 3})
	for i := range uint64(3) {
		if err := s.Submit(context.Background(), Request{ID: i, Inputs: input(1)}); err != nil {
			t.Fatal(err)
		}
	}
	blocked := make(chan error)
	go func() { blocked <- s.Submit(context.Background(), Request{Inputs: input(1)}) }()
	for op.runs.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Close()
	if err := <-blocked; !errors.Is(err, ErrClosed) {
		t.Errorf("submit during Close: got error %v, want ErrClosed", err)
	}
	for i := range uint64(3) {
		if a, err := s.Receive(context.Background()); err != nil || a.ID != i || a.Err == nil {
			t.Errorf("got answer to %d, errors %v, %v, want that to %d, an error", a.ID, err, a.Err, i)
		}
	}
	if _, err := s.Receive(context.Background()); err != io.EOF {
		t.Errorf("got error %v, want EOF", err)
	}
	close(op.gate)
}

// faulty is a layer that panics at numbers below zero.
type faulty struct{ mix }

func (faulty) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return graph.Kernel{Steps: []graph.Step{{N: 1, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, _ int) error {
		if in[0].F32()[0] < 0 {
			panic("below zero")
		}
		copy(out[0].Raw, in[0].Raw)
		return nil
	}}}}, nil
}

func TestAPanicOfOneRequestIsItsError(t *testing.T) {
	g := &graph.Graph{Name: "faulty"}
	v := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1}})
	for i := range layers {
		out, err := g.Add(fmt.Sprint("layer", i), faulty{}, nil, []*graph.Value{v}, fmt.Sprint("v", i))
		if err != nil {
			t.Fatal(err)
		}
		v = out[0]
	}
	g.Outputs = []*graph.Value{v}
	for _, stages := range []string{"device:0-5", "edge:0-5", "edge:0-2,cloud:3-5"} {
		_, s := openStream(t, chain(t, g, true, nil), g, parse(t, stages), StreamOptions{Depth: 3})
		for i, x := range []float32{1, -1, 2} {
			if err := s.Submit(context.Background(), Request{ID: uint64(i), Inputs: []*tensor.Tensor{tensor.Of([]float32{x}, 1)}}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			a, err := s.Receive(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if bad := i == 1; bad != (a.Err != nil) || bad && !strings.Contains(a.Err.Error(), "below zero") || errors.Is(a.Err, ErrBroken) {
				t.Errorf("%s: request %d: got error %v", stages, i, a.Err)
			}
		}
	}
}

// byHand opens all layers of g on a host, by hand.
func byHand(t *testing.T, addr string, g *graph.Graph) *peer {
	t.Helper()
	p, o := openByHand(t, &Node{Name: "device", Peers: map[string]string{"edge": addr}}, g)
	if o.Depth != 2 || o.Bytes != 1000 {
		t.Fatalf("open: got %+v", o)
	}
	return p
}

// openByHand is byHand for a device that knows the worker, with what it says.
func openByHand(t *testing.T, n *Node, g *graph.Graph) (p *peer, o opened) {
	t.Helper()
	p, err := n.dial(context.Background(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.conn.Close() })
	d := Deployment{Model: testModel(g), Stages: parse(t, "edge:0-5")}
	err = n.withModel(context.Background(), p, d.Model, n.Name, nil, func() error {
		o, err = p.open(context.Background(), d, d.Stages)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, o
}

func TestClientsBeyondTheirCreditAreRefused(t *testing.T) {
	op := newGate()
	defer close(op.gate)
	g := gatedGraph(2, op)
	edge := worker(t, "edge", g, func(n *Node) { n.InFlight, n.InFlightBytes = 2, 1000 })
	for name, c := range map[string]struct{ sizes []int }{
		"requests": {[]int{50, 50, 50}},
		"bytes":    {[]int{50, 201}}, // 200 and 804 bytes
	} {
		p := byHand(t, edge, g)
		for i, n := range c.sizes {
			m := &transport.Message{Kind: kindRun, ID: uint64(i + 1), Tensors: []*tensor.Tensor{tensor.New(tensor.Float32, n)}}
			if _, err := p.conn.Send(context.Background(), m, nil); err != nil {
				t.Fatal(err)
			}
		}
		if m, _, err := p.conn.Receive(context.Background()); err == nil {
			t.Errorf("%s: got an answer of kind %d, want the connection ended", name, m.Kind)
		}
	}
}

// A message of any kind is answered in its turn, also to a client that cancels
// what was never sent and calls all its runs the same.
func TestOtherRequestsWaitForRuns(t *testing.T) {
	g := residual(time.Millisecond)
	edge := worker(t, "edge", g, func(n *Node) { n.InFlight, n.InFlightBytes = 2, 1000 })
	p := byHand(t, edge, g)
	in := input(1)
	for range 5 {
		for _, m := range []*transport.Message{
			{Kind: kindRun, ID: 7, Tensors: in}, {Kind: kindRun, ID: 7, Tensors: in},
			{Kind: kindCancel, ID: 1 << 60}, {Kind: kindEcho, ID: 8, Meta: encodeMeta(echoRequest{3})},
		} {
			if _, err := p.conn.Send(context.Background(), m, nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []uint64{7, 7, 8} {
			m, _, err := p.conn.Receive(context.Background())
			if err != nil || m.ID != want || m.Kind != kindOK {
				t.Fatalf("got %v, error %v, want the answer to %d", m, err, want)
			}
		}
	}
}

func TestACancelledRunIsAnsweredAtOnce(t *testing.T) {
	op := newGate()
	defer close(op.gate)
	g := gatedGraph(2, op)
	edge := worker(t, "edge", g, func(n *Node) { n.InFlight, n.InFlightBytes = 2, 1000 })
	p := byHand(t, edge, g)
	for _, m := range []*transport.Message{{Kind: kindRun, ID: 9, Tensors: input(1)}, {Kind: kindCancel, ID: 9}} {
		if _, err := p.conn.Send(context.Background(), m, nil); err != nil {
			t.Fatal(err)
		}
	}
	m, _, err := p.conn.Receive(context.Background())
	if err != nil || m.ID != 9 || m.Kind != kindError || !bytes.Contains(m.Meta, []byte("canceled")) {
		t.Errorf("got %v, error %v", m, err)
	}
}

// A client that is idle is told so, but not one that waits for its answers.
func TestWaitingForAnswersIsNotIdling(t *testing.T) {
	g := residual(70 * time.Millisecond)
	edge := worker(t, "edge", g, func(n *Node) { n.Transport.Limits.Idle = 200 * time.Millisecond })
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	e, s := openStream(t, device, g, parse(t, "edge:0-5"), StreamOptions{Depth: 2})
	many, err := MeasureStream(context.Background(), s, [][]*tensor.Tensor{input(1)}, 0, 2, nil)
	if err != nil || len(many.Samples) != 2 {
		t.Fatalf("%d samples, error %v", len(many.Samples), err)
	}
	s.Close()
	for err == nil {
		time.Sleep(300 * time.Millisecond)
		_, _, err = e.Run(context.Background(), input(1))
	}
	if !errors.Is(err, ErrBroken) {
		t.Errorf("after idling: got error %v, want ErrBroken", err)
	}
}

func TestASlowedHostComputesOneStageAtATime(t *testing.T) {
	g := residual(time.Millisecond)
	device := chain(t, g, true, nil)
	device.Slowdown = 4
	_, s := openStream(t, device, g, parse(t, "device:0-1,edge:2-3,device:4-5"), StreamOptions{})
	many, err := MeasureStream(context.Background(), s, [][]*tensor.Tensor{input(1)}, s.Depth(), 80, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Parts(many.Samples) {
		if p.Host == "device" && p.Busy > many.Interval()*21/20 {
			t.Errorf("device is busy for %v of each %v", p.Busy, many.Interval())
		}
	}
}

func TestMeasureStreamEndsWithTheFirstError(t *testing.T) {
	device := chain(t, residual(0), true, nil)
	_, s := openStream(t, device, residual(0), parse(t, "edge:0-5"), StreamOptions{})
	wrong := []*tensor.Tensor{tensortest.Random(1, 49)}
	if _, err := MeasureStream(context.Background(), s, [][]*tensor.Tensor{input(1), wrong}, 2, 10, nil); !errors.Is(err, ErrRemote) {
		t.Errorf("got error %v, want ErrRemote", err)
	}
	_, s = openStream(t, device, residual(0), parse(t, "edge:0-5"), StreamOptions{})
	s.End()
	if _, err := MeasureStream(context.Background(), s, [][]*tensor.Tensor{input(1)}, 2, 10, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("got error %v, want ErrClosed", err)
	}
}

func TestPartsAddUpWhatEachHostAndWireDid(t *testing.T) {
	there := split.Hop{From: "a", To: "b", Position: 1}
	run := []Span{
		{What: Compute, Host: "a", Took: 4}, {What: Encode, Host: "a", Took: 2, Hop: &there},
		{What: Travel, Took: 90, Transfer: 7, Hop: &there}, {What: Decode, Host: "b", Took: 1, Hop: &there}, {What: Compute, Host: "b", Took: 3},
	}
	got, _ := json.Marshal(Parts([]Sample{{Spans: run}, {Spans: run}}))
	want, _ := json.Marshal([]Part{{Hop: &there, Busy: 7}, {Host: "a", Busy: 6}, {Host: "b", Busy: 4}})
	if !bytes.Equal(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}
