package run

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/split"
	"scission/transport"
)

// head is a layer that gives the first numbers of its input.
type head struct{ n int }

func (head) String() string { return "head" }

func (o head) Infer(in []graph.Fact) ([]graph.Fact, error) {
	return []graph.Fact{{Type: tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{o.n}}}}, nil
}

func (o head) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return graph.Kernel{Steps: []graph.Step{{N: 1, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, _ int) error {
		copy(out[0].Raw, in[0].Raw)
		return nil
	}}}}, nil
}

// benchWorker starts a worker for g on loopback.
func benchWorker(b *testing.B, name string, g *graph.Graph, peers map[string]string) string {
	store, err := OpenStore(b.TempDir(), 0)
	if err != nil {
		b.Fatal(err)
	}
	n := &Node{Name: name, Threads: 1, Store: store, Peers: peers,
		Load: func(string, map[string]tensor.Shape) (*graph.Graph, io.Closer, error) { return g, nil, nil }}
	l, err := transport.Listen("127.0.0.1:0", transport.Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.ServeAll(ctx, l) }()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	return l.Addr().String()
}

// BenchmarkHop runs 600 KB to a worker, which gives 4 KB back, over one and over
// two hosts in a row. It reports what a hop costs beyond the layers and beyond
// the bare way of that many bytes over a socket and back, a plain write and a
// plain read on each side: of both the median, in turns of a few.
func BenchmarkHop(b *testing.B) {
	const large, small, turn = 150_000, 1000, 20
	g := &graph.Graph{Name: "hop"}
	v := []*graph.Value{g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{large}})}
	for i, n := range []int{large, small} {
		var err error
		if v, err = g.Add(fmt.Sprint("layer", i), head{n}, nil, v, fmt.Sprint("v", i)); err != nil {
			b.Fatal(err)
		}
	}
	g.Outputs = v
	cloud := benchWorker(b, "cloud", g, nil)
	edge := benchWorker(b, "edge", g, map[string]string{"cloud": cloud})
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge, "cloud": cloud}}
	bare := bareSocket(b, 4*large, 4*small)
	in := []*tensor.Tensor{tensortest.Random(1, large)}
	ctx := context.Background()
	for _, c := range []struct {
		stages string
		hops   int
	}{{"edge:0-1", 1}, {"edge:0-0,cloud:1-1", 2}} {
		p, err := split.ParsePartition(c.stages, len(g.Nodes))
		if err != nil {
			b.Fatal(err)
		}
		e, err := device.Open(ctx, Deployment{Model: testModel(g), Stages: p})
		if err != nil {
			b.Fatal(err)
		}
		measure := func(name string, run func() ([]Span, error)) {
			b.Run(fmt.Sprintf("%s/%d", name, c.hops), func(b *testing.B) {
				var whole, wire split.Samples
				for b.Loop() {
					for range turn {
						start := time.Now()
						spans, err := run()
						took := time.Since(start)
						if err != nil {
							b.Fatal(err)
						}
						for _, s := range spans {
							if s.What == Compute {
								took -= s.Took
							}
						}
						whole = append(whole, took/time.Duration(c.hops))
					}
					for range turn {
						wire = append(wire, bare())
					}
				}
				overhead := whole.Median() - wire.Median()
				b.ReportMetric(float64(overhead.Microseconds()), "overhead-µs/hop")
				b.ReportMetric(float64(wire.Median().Microseconds()), "socket-µs/hop")
			})
		}
		measure("run", func() ([]Span, error) {
			_, spans, err := e.Run(ctx, in)
			return spans, err
		})
		s, err := e.Stream(StreamOptions{})
		if err != nil {
			b.Fatal(err)
		}
		measure("stream", func() ([]Span, error) {
			if err := s.Submit(ctx, Request{Inputs: in}); err != nil {
				return nil, err
			}
			a, err := s.Receive(ctx)
			return a.Spans, err
		})
		s.Close()
		e.Close()
	}
}

// bareSocket returns a function that sends so many bytes over a socket and has
// others come back, and says how long that took.
func bareSocket(b *testing.B, there, back int) func() time.Duration {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		in, out := make([]byte, there), make([]byte, back)
		for {
			if _, err := io.ReadFull(far, in); err != nil {
				return
			}
			far.Write(out)
		}
	}()
	b.Cleanup(func() {
		l.Close()
		c.Close()
		<-ended
		far.Close()
	})
	out, in := make([]byte, there), make([]byte, back)
	return func() time.Duration {
		start := time.Now()
		c.Write(out)
		if _, err := io.ReadFull(c, in); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
}
