package run

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/transport"
)

// briefly has a peer do so many runs one after the other, so that the next one
// is likely to be carried.
func briefly(t *testing.T, p *peer, g *graph.Graph, in []*tensor.Tensor, runs int) {
	t.Helper()
	want := whole(t, g, in)
	for i := range runs {
		x, err := p.call(context.Background(), kindRun, nil, in, nil)
		if err != nil || !x.answer.Tensors[0].Identical(want) {
			t.Fatalf("run %d: error %v, or another result", i, err)
		}
	}
}

// What comes behind a run that was taken for a brief one is read all the same.
func TestARunThatIsNotBriefAfterAllCanBeCancelled(t *testing.T) {
	op := newGate()
	g := gatedGraph(2, op)
	edge := worker(t, "edge", g, func(n *Node) { n.InFlight, n.InFlightBytes = 2, 1000 })
	p := byHand(t, edge, g)
	// open lets all runs through until the function that it returns is called.
	open := func() (shut func()) {
		ended, shutting := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for {
				select {
				case op.gate <- struct{}{}:
				case <-shutting:
					return
				}
			}
		}()
		return func() { close(shutting); <-ended }
	}
	for range 3 {
		shut := open()
		briefly(t, p, g, input(1), 10)
		want := whole(t, g, input(2))
		shut()
		for _, m := range []*transport.Message{
			{Kind: kindRun, ID: 1000, Tensors: input(1)}, {Kind: kindCancel, ID: 1000}, {Kind: kindRun, ID: 1001, Tensors: input(2)},
		} {
			if _, err := p.conn.Send(context.Background(), m, nil); err != nil {
				t.Fatal(err)
			}
		}
		m, _, err := p.conn.Receive(context.Background())
		if err != nil || m.ID != 1000 || m.Kind != kindError || !bytes.Contains(m.Meta, []byte("canceled")) {
			t.Fatalf("got %v, error %v, want run 1000 cancelled", m, err)
		}
		shut = open()
		m, _, err = p.conn.Receive(context.Background())
		if err != nil || m.ID != 1001 || m.Kind != kindOK || !m.Tensors[0].Identical(want) {
			t.Fatalf("got %v, error %v, want the result of run 1001", m, err)
		}
		shut()
	}
}

// A client that sends its next run before it reads the answer to the last one
// gets both, over a connection that holds no bytes.
func TestARunIsReadWhileTheAnswerToACarriedOneIsNot(t *testing.T) {
	const size = 5000 // so that frames are not read ahead
	g := residualOf(0, tensor.Shape{size})
	in := func(seed uint64) []*tensor.Tensor { return []*tensor.Tensor{tensortest.Random(seed, size)} }
	here, there := net.Pipe()
	n := &Node{Name: "edge", Threads: 1, InFlight: 2, InFlightBytes: 4 * 2 * size,
		Load: func(string, map[string]tensor.Shape) (*graph.Graph, io.Closer, error) { return g, nil, nil }}
	store, err := OpenStore(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	n.Store = store
	served := make(chan struct{})
	go func() {
		defer close(served)
		n.Serve(context.Background(), there)
	}()
	dial := func(context.Context, string, string) (net.Conn, error) { return here, nil }
	p, _ := openByHand(t, &Node{Name: "device", Peers: map[string]string{"edge": "pipe"}, DialConn: dial}, g)
	for range 3 {
		briefly(t, p, g, in(1), 10)
		for i := range uint64(2) {
			if _, err := p.conn.Send(context.Background(), &transport.Message{Kind: kindRun, ID: 1000 + i, Tensors: in(i)}, nil); err != nil {
				t.Fatal(err)
			}
		}
		for i := range uint64(2) {
			m, _, err := p.conn.Receive(context.Background())
			if err != nil || m.ID != 1000+i || m.Kind != kindOK || !m.Tensors[0].Identical(whole(t, g, in(i))) {
				t.Fatalf("got %v, error %v, want the result of run %d", m, err, 1000+i)
			}
		}
	}
	p.conn.Close()
	<-served
}
