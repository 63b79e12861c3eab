package run

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/split"
	"scission/transport/simnet"
)

// simulated is device, edge and cloud on a network with a clock of its own, where
// nothing takes time but the layers and the wires.
type simulated struct {
	layers    []time.Duration
	bandwidth map[string]float64 // from or to host and host, in alphabetical order
	latency   time.Duration
	chained   bool
	op        func(slow time.Duration) graph.Op // of a layer; nil means mix
	batch     int                               // of the nodes
}

func wire(a, b string) string { return min(a, b) + "-" + max(a, b) }

// open starts the workers and opens the stages on the device. The function that
// it returns ends all.
func (w simulated) open(t *testing.T, stages split.Partition) (*Execution, func()) {
	g := &graph.Graph{Name: "timed"}
	v := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{5000}})
	for i, slow := range w.layers {
		var op graph.Op = mix{slow}
		if w.op != nil {
			op = w.op(slow)
		}
		out, err := g.Add(fmt.Sprint("layer", i), op, nil, []*graph.Value{v}, fmt.Sprint("v", i))
		if err != nil {
			t.Fatal(err)
		}
		v = out[0]
	}
	g.Outputs = []*graph.Value{v}

	var network simnet.Network
	node := func(name string, peers ...string) *Node {
		store, err := OpenStore(t.TempDir(), 0)
		if err != nil {
			t.Fatal(err)
		}
		n := &Node{Name: name, Threads: 1, Store: store, Peers: map[string]string{}, Batch: w.batch}
		n.Load = func(string, map[string]tensor.Shape) (*graph.Graph, io.Closer, error) { return g, nil, nil }
		n.DialConn = func(ctx context.Context, host, _ string) (net.Conn, error) {
			return network.Dial(ctx, host, simnet.Link{Latency: w.latency, Bandwidth: w.bandwidth[wire(name, host)]})
		}
		for _, p := range peers {
			n.Peers[p] = p
		}
		return n
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	edge := node("edge")
	if w.chained {
		edge.Peers["cloud"] = "cloud"
	}
	workers := []*Node{edge, node("cloud")}
	for _, n := range workers {
		l, err := network.Listen(n.Name)
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- n.ServeAll(ctx, l) }()
	}
	e, err := node("device", "edge", "cloud").Open(ctx, Deployment{Model: testModel(g), Stages: stages})
	if err != nil {
		t.Fatal(err)
	}
	return e, func() {
		e.Close()
		stop()
		for range workers {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
}

// slowest is the time that the busiest host or wire needs for a run with the
// given spans, reckoned from the layers' times and the bytes.
func (w simulated) slowest(stages split.Partition, spans []Span) time.Duration {
	var most time.Duration
	hosts := map[string]time.Duration{}
	for _, s := range stages {
		for _, d := range w.layers[s.Segment.From:s.Segment.To] {
			hosts[s.Host] += d
		}
		most = max(most, hosts[s.Host])
	}
	for _, s := range spans {
		if s.What == Travel {
			most = max(most, time.Duration(float64(s.Bytes)/w.bandwidth[wire(s.Hop.From, s.Hop.To)]*1e9))
		}
	}
	return most
}

func TestStreamReachesItsSlowestPart(t *testing.T) {
	for seed := range uint64(16) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := simulated{bandwidth: map[string]float64{}, chained: seed%2 == 0}
		for range layers {
			w.layers = append(w.layers, time.Duration(1+r.IntN(10))*time.Millisecond)
		}
		for _, pair := range []string{wire("device", "edge"), wire("device", "cloud"), wire("edge", "cloud")} {
			w.bandwidth[pair] = 5e5 * float64(1+r.IntN(40)) // 20 KB take 1 to 40 ms
		}
		stages := randomStages(r)
		var o StreamOptions
		if seed%4 > 1 { // where the data is long on its way, more of it must be
			w.latency, o.Depth = time.Duration(r.IntN(10))*time.Millisecond, 16
		}
		synctest.Test(t, func(t *testing.T) {
			e, end := w.open(t, stages)
			defer end()
			s, err := e.Stream(o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			in := [][]*tensor.Tensor{{tensortest.Random(1, 5000)}, {tensortest.Random(2, 5000)}}
			got, err := MeasureStream(context.Background(), s, in, 2*s.Depth(), 30, nil)
			if err != nil {
				t.Fatal(err)
			}
			slowest := w.slowest(stages, got.Samples[0].Spans)
			if share := slowest.Seconds() / got.Interval().Seconds(); share < 0.95 {
				t.Errorf("seed %d: %v, depth %d: an answer every %v, of which the slowest part needs %v, %.0f %%, want 95 %%",
					seed, stages, s.Depth(), got.Interval(), slowest, 100*share)
			}
			if busiest := Parts(got.Samples)[0].Busy; busiest < slowest*9/10 {
				t.Errorf("seed %d: %v: the busiest part is said to be busy for %v, want %v", seed, stages, busiest, slowest)
			}
		})
	}
}
