package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
	"scission/transport"
)

// impostor is a host that answers each request with what answer says, or not
// at all if it says nothing. It closes the connection after its answer to a part of a model.
func impostor(t *testing.T, answer func(m *transport.Message) *transport.Message) (addr string) {
	t.Helper()
	l, err := transport.Listen("127.0.0.1:0", transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conn := transport.NewConn(c, transport.Limits{})
			conn.Handshake(context.Background(), transport.Hello{Meta: []byte("{}")})
			for {
				m, _, err := conn.Receive(context.Background())
				if err != nil {
					break
				}
				reply := answer(m)
				if reply == nil {
					continue
				}
				if reply.ID == 0 {
					reply.ID = m.ID
				}
				conn.Send(context.Background(), reply, nil)
				if m.Kind == kindChunk {
					break
				}
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

func TestAnswersThatDoNotFitTheRunAreErrors(t *testing.T) {
	answers := make(chan *transport.Message, 1)
	edge := impostor(t, func(m *transport.Message) *transport.Message {
		if m.Kind == kindOpen {
			return &transport.Message{Kind: kindOK, Meta: encodeMeta(opened{Taken: 1})}
		}
		return <-answers
	})
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	e, err := device.Open(context.Background(), Deployment{Model: testModel(residual(0)), Stages: parse(t, "edge:0-5")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	segment := split.Segment{From: 0, To: layers}
	right := Span{What: Compute, Host: "edge", Took: 1, Segment: &segment}
	good := []*tensor.Tensor{tensor.New(tensor.Float32, 50)}
	for _, c := range []struct {
		says   string
		result []*tensor.Tensor
		rep    report
	}{
		{"", good, report{Spans: []Span{right}}},
		{"0 results, want 1", nil, report{Spans: []Span{right}}},
		{"2 results, want 1", append(good, good...), report{Spans: []Span{right}}},
		{"int32[50], want float32[50]", []*tensor.Tensor{tensor.New(tensor.Int32, 50)}, report{Spans: []Span{right}}},
		{"0 spans, want 1", good, report{}},
		{"2 spans, want 1", good, report{Spans: []Span{right, right}}},
		{"in order", good, report{Spans: []Span{{What: Compute, Host: "edge"}}}},
		{"in order", good, report{Spans: []Span{{What: Compute, Host: "moon", Segment: &segment}}}},
		{"one of a hop", good, report{Spans: []Span{{What: Travel}}}},
		{"one of a hop", good, report{Spans: []Span{{What: "nap", Hop: &split.Hop{}}}}},
		{"no span is of stage", good, report{Spans: []Span{{What: Travel, Hop: &split.Hop{}}}}},
		{"takes -1ns", good, report{Spans: []Span{{What: Compute, Host: "edge", Took: -1, Segment: &segment}}}},
		{"times of 2 layers", good, report{Spans: []Span{{What: Compute, Host: "edge", Segment: &segment, Layers: make([]time.Duration, 2)}}}},
		{"a time of -1ns", good, report{Held: -1, Spans: []Span{right}}},
		{"a time of", good, report{Transfer: 1 << 62, Spans: []Span{right}}},
	} {
		answers <- &transport.Message{Kind: kindOK, Meta: c.rep.encode(), Tensors: c.result}
		_, _, err := e.Run(context.Background(), input(1))
		if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, ErrRemote) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("got error %v, want one with %q", err, c.says)
		}
	}
}

func TestReasonForABrokenUploadIsTold(t *testing.T) {
	const size = 64 << 20
	edge := impostor(t, func(m *transport.Message) *transport.Message {
		switch m.Kind {
		case kindOpen:
			return &transport.Message{Kind: kindError, Meta: encodeMeta(failureOf(ErrNoModel))}
		case kindPut:
			all := newBitset(size / chunkSize)
			for i := range size / chunkSize {
				all.add(i)
			}
			return &transport.Message{Kind: kindOK, Tensors: []*tensor.Tensor{rawTensor(all)}}
		}
		return &transport.Message{Kind: kindError, Meta: encodeMeta(failure{Code: "failed", Text: "disk\x1b[2J full"})}
	})
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	m := testModel(residual(0))
	m.Content = NewContent(bytes.NewReader(make([]byte, size)), size, nil)
	_, err := device.Open(context.Background(), Deployment{Model: m, Stages: parse(t, "edge:0-5")})
	if !errors.Is(err, ErrRemote) || !strings.Contains(err.Error(), "disk [2J full") {
		t.Errorf("got error %v, want the worker's", err)
	}
}

func TestMeasureRefusesMoreRunsThanItCanKeep(t *testing.T) {
	for _, n := range [][2]int{{0, maxRuns + 1}, {maxRuns + 1, 1}, {0, int(^uint(0) >> 1)}, {1, int(^uint(0) >> 1)}} {
		if _, err := Measure(context.Background(), pipeline{}, nil, n[0], n[1], nil); err == nil {
			t.Errorf("%d runs after %d: no error", n[1], n[0])
		}
	}
}

// A worker whose store is the current folder tells neither its path nor the
// stack of a panic, and leaves the rest of the text as it is.
func TestFailuresTellNoPathsAndNoStacks(t *testing.T) {
	t.Chdir(t.TempDir())
	store, err := OpenStore(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	load := func(path string, _ map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
		return nil, nil, fmt.Errorf("bad file %s: version 1.2", path)
	}
	panics := func(string, map[string]tensor.Shape) (*graph.Graph, io.Closer, error) { panic("oops") }
	for want, load := range map[string]func(string, map[string]tensor.Shape) (*graph.Graph, io.Closer, error){
		"version 1.2": load, "oops": panics,
	} {
		edge := worker(t, "edge", nil, func(n *Node) { n.Store, n.Load = store, load })
		device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
		_, err = device.Open(context.Background(), Deployment{Model: testModel(residual(0)), Stages: parse(t, "edge:0-5")})
		if !errors.Is(err, ErrRemote) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), store.dir) || strings.Contains(err.Error(), "goroutine") {
			t.Errorf("got error %v, want one with %q and without paths and stacks", err, want)
		}
	}
}

// flaky is a listener whose Accept fails now and then.
type flaky struct {
	net.Listener
	errs chan error // for the next calls; nil is none
}

func (l flaky) Accept() (net.Conn, error) {
	select {
	case err := <-l.errs:
		if err != nil {
			return nil, err
		}
	default:
	}
	return l.Listener.Accept()
}

func TestServeAllOutlivesALackOfDescriptorsAndEndsItsConnectionsOtherwise(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	errs := make(chan error, 4)
	for _, err := range []error{&net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}, nil, gone} {
		errs <- err
	}
	done := make(chan error)
	go func() { done <- (&Node{Name: "edge"}).ServeAll(context.Background(), flaky{l, errs}) }()
	device := &Node{Name: "device", Peers: map[string]string{"edge": l.Addr().String()}}
	p, err := device.dial(context.Background(), "edge")
	if err == nil {
		defer p.conn.Close()
	}
	// The connection is open; ServeAll does not wait for its end.
	if err := <-done; !errors.Is(err, gone) {
		t.Errorf("got error %v, want %v", err, gone)
	}
}

func TestConnectionsBeyondTheLimitAreEnded(t *testing.T) {
	edge := worker(t, "edge", residual(0), func(n *Node) {
		n.MaxConns, n.Transport.Limits.Handshake = -1, 200*time.Millisecond
	})
	device := &Node{Name: "device", Peers: map[string]string{"edge": edge}}
	p, err := device.dial(context.Background(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	defer p.conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, _, err := p.conn.Receive(ctx); !errors.Is(err, io.EOF) {
		t.Errorf("a connection that asks for nothing: got error %v, want EOF", err)
	}
}

func TestErrorsDoNotTellAddressesOfOtherHosts(t *testing.T) {
	g := residual(0)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	edge := worker(t, "edge", g, func(n *Node) { n.Peers = map[string]string{"cloud": gone.Addr().String()} })
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	_, err = device.Open(context.Background(), Deployment{Model: testModel(g), Stages: parse(t, "edge:0-2,cloud:3-5")})
	if err == nil || !strings.Contains(err.Error(), "cloud") || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("got error %v, want one about the host and not its address", err)
	}
}

// gated is a layer that tells that it runs and waits until it may end.
type gated struct {
	mix
	runs *atomic.Int32
	gate chan struct{}
}

func (o gated) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return graph.Kernel{Steps: []graph.Step{{N: 1, Do: func(*graph.Exec, []*tensor.Tensor, []*tensor.Tensor, int) error {
		o.runs.Add(1)
		<-o.gate
		return nil
	}}}}, nil
}

// lines is a log that can be waited for.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func TestWorkerStopsWhenItsClientIsGone(t *testing.T) {
	op := gated{runs: new(atomic.Int32), gate: make(chan struct{})}
	g := &graph.Graph{Name: "gated"}
	v := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{50}})
	for i := range layers {
		out, err := g.Add(fmt.Sprint("layer", i), op, nil, []*graph.Value{v}, fmt.Sprint("v", i))
		if err != nil {
			t.Fatal(err)
		}
		v = out[0]
	}
	g.Outputs = []*graph.Value{v}
	logged := make(lines, 100)
	edge := worker(t, "edge", g, func(n *Node) {
		n.Log = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: parse(t, "edge:0-5")})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error)
	go func() {
		_, _, err := e.Run(context.Background(), input(1))
		ran <- err
	}()
	for op.runs.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	e.Close()
	if err := <-ran; err == nil {
		t.Error("a run whose connection is closed: no error")
	}
	// The layers end slowly, so that the worker has time to notice.
	slow := time.NewTicker(200 * time.Millisecond)
	defer slow.Stop()
	for left := true; left; {
		select {
		case line := <-logged:
			left = !strings.Contains(line, "msg=disconnected")
		case <-slow.C:
			select {
			case op.gate <- struct{}{}:
			default:
			}
		}
	}
	if n := op.runs.Load(); n == layers {
		t.Errorf("all %d layers ran though the client was gone after the first had begun", n)
	}
}

func TestStagesOfADeploymentShareTheMemory(t *testing.T) {
	g := residual(0)
	one, err := (&Node{Threads: 1}).compile(g, split.Segment{From: 0, To: 3}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	edge := worker(t, "edge", g, func(n *Node) { n.Memory = one.Memory() })
	device := &Node{Name: "device", Threads: 1, Memory: one.Memory(), Peers: map[string]string{"edge": edge}}
	for stages, fits := range map[string]bool{
		"edge:0-2,device:3-5": true, "edge:0-2,edge:3-5": false, "device:0-2,device:3-5": false,
	} {
		e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: parse(t, stages)})
		if fits != (err == nil) || !fits && !strings.Contains(err.Error(), "memory") {
			t.Errorf("%s: got error %v", stages, err)
		}
		if err == nil {
			e.Close()
		}
	}
}
