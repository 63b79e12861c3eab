package zoo_test

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"scission/bench/zoo"
	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/onnximport"
	"scission/split"
	"scission/split/run"
	"scission/transport"
)

// serving starts a worker on a loopback socket that computes so many requests of g
// together at most, and returns a device that knows it as edge, and the deployment of
// all of g there.
func serving(t testing.TB, g *graph.Graph, batch int) (*run.Node, run.Deployment) {
	t.Helper()
	store, err := run.OpenStore(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	worker := &run.Node{Name: "edge", Store: store, Batch: batch, Load: func(string, map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
		return g, nil, nil
	}}
	l, err := transport.Listen("127.0.0.1:0", transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.ServeAll(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	content := []byte(g.Name) // Load has the graph already
	return &run.Node{Name: "device", Peers: map[string]string{"edge": l.Addr().String()}}, run.Deployment{
		Model:  run.Model{Name: g.Name, Digest: g.Name, Graph: g, Content: run.NewContent(bytes.NewReader(content), int64(len(content)), nil)},
		Stages: split.Partition{{Host: "edge", Segment: split.Segment{From: 0, To: len(g.Nodes)}}},
	}
}

// stream opens a deployment for so many requests in flight.
func stream(t testing.TB, device *run.Node, d run.Deployment, depth int) *run.Stream {
	t.Helper()
	e, err := device.Open(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Stream(run.StreamOptions{Depth: depth})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		e.Close()
	})
	return s
}

// BenchmarkLoadedWorker has 16 requests in flight to a worker that computes up to 8
// of them together and, in turns, to one that computes them one by one. It reports
// the time from answer to answer of each.
func BenchmarkLoadedWorker(b *testing.B) {
	const depth, turn = 16, 48
	for _, name := range []string{"mobilenet", "mobilenetv2", "nasnetmobile", "densenet121", "resnet50"} {
		b.Run(name, func(b *testing.B) {
			g, err := zoo.Build(name)
			if err != nil {
				b.Fatal(err)
			}
			var streams []*run.Stream
			for _, batch := range []int{1, run.DefaultBatch} {
				device, d := serving(b, g, batch)
				streams = append(streams, stream(b, device, d, depth))
			}
			in := [][]*tensor.Tensor{{tensortest.Random(1, g.Inputs[0].Shape...)}}
			measure := func(s *run.Stream) time.Duration {
				// Nothing is in flight at either end, which is no part of the time.
				t, err := run.MeasureStream(context.Background(), s, in, depth/2, turn, nil)
				if err != nil {
					b.Fatal(err)
				}
				return t.Interval()
			}
			var took [2]split.Samples
			for b.Loop() {
				for i, s := range streams {
					took[i] = append(took[i], measure(s))
				}
			}
			one, together := took[0].Median(), took[1].Median()
			b.ReportMetric(one.Seconds()*1e3, "ms/alone")
			b.ReportMetric(together.Seconds()*1e3, "ms/together")
			b.ReportMetric(one.Seconds()/together.Seconds(), "times")
		})
	}
}

// turned is a copy of inputs with the elements of each float32 tensor moved around it
// by a part of them.
func turned(in []*tensor.Tensor, part int) (out []*tensor.Tensor) {
	for _, x := range in {
		y := x.Clone()
		if v := x.F32; x.DType == tensor.Float32 && len(x.Raw) > 0 {
			at := len(v()) * part / 10
			copy(y.F32()[copy(y.F32(), v()[at:]):], v()[:at])
		}
		out = append(out, y)
	}
	return out
}

// checkTogether runs a plan for several inputs together, in several numbers, and
// compares with the run of each alone.
func checkTogether(t *testing.T, g *graph.Graph, in []*tensor.Tensor) {
	t.Helper()
	p, err := engine.Compile(g, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, alone := context.Background(), p.NewSession()
	var ins, want [][]*tensor.Tensor
	var sessions []*engine.Session
	for i := range 5 {
		ins, sessions = append(ins, turned(in, i)), append(sessions, p.NewSession())
		out, err := alone.Run(ctx, ins[i])
		if err != nil {
			t.Fatal(err)
		}
		var own []*tensor.Tensor
		for _, y := range out {
			own = append(own, y.Clone())
		}
		want = append(want, own)
	}
	for _, n := range []int{2, 3, 5} {
		var runs []engine.Run
		for i := range n {
			runs = append(runs, engine.Run{Session: sessions[i], Context: ctx, In: ins[n-1-i]})
		}
		engine.RunTogether(runs)
		for i, r := range runs {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			for k, y := range r.Out {
				if !y.Identical(want[n-1-i][k]) {
					t.Errorf("output %d of run %d of %d: %v", k, i, n, tensortest.Diff(y, want[n-1-i][k], 0, 0))
				}
			}
		}
	}
}

func TestRunsTogetherGiveTheBitsOfEachAlone(t *testing.T) {
	realModels(t, func(t *testing.T, _ string, m *onnximport.Model, in []*tensor.Tensor) {
		checkTogether(t, graphFor(t, m, in), in)
	})
	for _, name := range []string{"mobilenetv2", "nasnetmobile"} {
		t.Run(name, func(t *testing.T) {
			g, err := zoo.Build(name)
			if err != nil {
				t.Fatal(err)
			}
			checkTogether(t, g, []*tensor.Tensor{tensortest.Random(1, g.Inputs[0].Shape...)})
		})
	}
}

// Two clients have many requests in flight to one worker.
func TestALoadedWorkerGivesTheBitsOfEachAlone(t *testing.T) {
	const depth, requests = 16, 40
	g, err := zoo.Build("mobilenetv2")
	if err != nil {
		t.Fatal(err)
	}
	device, d := serving(t, g, 0)
	ins, want := make([][]*tensor.Tensor, 5), make([]*tensor.Tensor, 5)
	for i := range ins {
		ins[i] = []*tensor.Tensor{tensortest.Random(uint64(i), g.Inputs[0].Shape...)}
		want[i] = runGraph(t, g, ins[i])[0]
	}
	var clients sync.WaitGroup
	defer clients.Wait()
	for range 2 {
		s := stream(t, device, d, depth)
		clients.Go(func() {
			together := false
			var spans []run.Span
			_, err := run.MeasureStream(context.Background(), s, ins, 0, requests, func(i int, a run.Answer) {
				if a.Err == nil && !a.Outputs[0].Identical(want[i%len(ins)]) {
					t.Errorf("request %d: %v", i, tensortest.Diff(a.Outputs[0], want[i%len(ins)], 0, 0))
				}
				spans = append(spans, a.Spans...)
			})
			if err != nil {
				t.Error(err)
			}
			compute := slices.DeleteFunc(spans, func(s run.Span) bool { return s.What != run.Compute })
			for i := 1; i < len(compute); i++ {
				// Of requests that were computed together each has the same part of the time.
				together = together || compute[i].Took == compute[i-1].Took
			}
			if !together {
				t.Errorf("of %d requests, %d in flight, none were computed together", requests, depth)
			}
		})
	}
}
