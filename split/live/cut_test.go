package live

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
	"scission/split/run"
	"scission/transport"
	"scission/transport/simnet"
)

// weighted is a sum of its inputs with different weights.
type weighted struct{}

func (weighted) String() string { return "weighted" }

func (weighted) Infer(in []graph.Fact) ([]graph.Fact, error) {
	return []graph.Fact{{Type: in[0].Type}}, nil
}

func (weighted) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return graph.Kernel{Steps: []graph.Step{{N: out[0].Shape.Elems(), Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		s := float32(0)
		for k, t := range in {
			s = s*0.7 + float32(k+1)*t.F32()[i]
		}
		out[0].F32()[i] = s
		return nil
	}}}}, nil
}

// anyModel is a row of layers, each of which may also read an earlier value.
func anyModel(t *rapid.T) run.Model {
	g := &graph.Graph{Name: "any"}
	size := rapid.SampledFrom([]int{1, 50, 5000}).Draw(t, "size")
	v := []*graph.Value{g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{size}})}
	for i := range rapid.IntRange(2, 6).Draw(t, "layers") {
		in := []*graph.Value{v[i]}
		if skip := rapid.IntRange(0, i).Draw(t, "skip"); skip < i {
			in = append(in, v[skip])
		}
		out, err := g.Add(fmt.Sprint("layer", i), weighted{}, nil, in, fmt.Sprint("v", i))
		if err != nil {
			t.Fatal(err)
		}
		v = append(v, out[0])
	}
	g.Outputs = v[len(v)-1:]
	sum := sha256.Sum256(content)
	return run.Model{Name: g.Name, Digest: hex.EncodeToString(sum[:]), Graph: g, Content: run.NewContent(bytes.NewReader(content), int64(len(content)), nil)}
}

// content stands for the file of a model.
var content = bytes.Repeat([]byte("model"), 200)

// anyDeployment puts the layers on device, edge and cloud with lossless codecs.
func anyDeployment(t *rapid.T, m run.Model) run.Deployment {
	n := len(m.Graph.Nodes)
	a := rapid.IntRange(0, n-1).Draw(t, "first cut")
	b := rapid.IntRange(a+1, n).Draw(t, "second cut")
	d := run.Deployment{Model: m, Codecs: map[split.Hop]string{}}
	for _, s := range []split.Stage{
		{Host: "device", Segment: split.Segment{From: 0, To: a}},
		{Host: "edge", Segment: split.Segment{From: a, To: b}},
		{Host: "cloud", Segment: split.Segment{From: b, To: n}},
	} {
		if s.Segment.Len() > 0 {
			d.Stages = append(d.Stages, s)
		}
	}
	var names []string
	for _, c := range transport.Codecs() {
		if c.Lossless() {
			names = append(names, c.Name())
		}
	}
	for _, h := range split.Hops(d.Stages, "device", nil) {
		d.Codecs[h] = rapid.SampledFrom(names).Draw(t, h.String())
	}
	return d
}

// wire is the connections of one run of the test. The first to a host breaks
// behind so many bytes; all others hold.
type wire struct {
	ctx     context.Context
	workers map[string]*run.Node
	breaks  map[string]simnet.Link // by host and direction, as in "edge there"
	wg      sync.WaitGroup

	mu   sync.Mutex
	ends map[string][]int64 // behind which byte each write of a first connection ends
	used map[string]bool
}

// written is a connection that notes where its writes end, which is where frames
// do, and some pieces of large ones.
type written struct {
	net.Conn
	w    *wire
	way  string
	sent int64
}

func (c *written) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.sent += int64(n)
	c.w.ends[c.way] = append(c.w.ends[c.way], c.sent)
	return n, err
}

func (w *wire) dial(_ context.Context, host, _ string) (net.Conn, error) {
	w.mu.Lock()
	first := !w.used[host]
	w.used[host] = true
	w.mu.Unlock()
	there, back := host+" there", host+" back"
	var a, b net.Conn
	if first {
		a, b = simnet.Pipe(w.breaks[there], w.breaks[back])
		a, b = &written{Conn: a, w: w, way: there}, &written{Conn: b, w: w, way: back}
	} else {
		a, b = simnet.Pipe(simnet.Link{}, simnet.Link{})
	}
	w.wg.Go(func() { w.workers[host].Serve(w.ctx, b) })
	return a, nil
}

// runs opens a deployment on hosts without models and runs it, with the fallback,
// over connections that break as breaks says. It returns where writes ended.
func runs(t *rapid.T, d run.Deployment, in []*tensor.Tensor, want *tensor.Tensor, breaks map[string]simnet.Link) map[string][]int64 {
	ctx, cancel := context.WithCancel(context.Background())
	w := &wire{ctx: ctx, workers: map[string]*run.Node{}, breaks: breaks, ends: map[string][]int64{}, used: map[string]bool{}}
	defer w.wg.Wait()
	defer cancel()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, host := range []string{"edge", "cloud"} {
		store, err := run.OpenStore(dir+"/"+host, 0)
		if err != nil {
			t.Fatal(err)
		}
		w.workers[host] = &run.Node{Name: host, Threads: 1, Store: store, DialConn: w.dial, Load: func(string, map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
			return d.Model.Graph, nil, nil
		}}
	}
	w.workers["edge"].Peers = map[string]string{"cloud": "cloud"}
	n := &run.Node{Name: "device", Threads: 1, DialConn: w.dial, Peers: map[string]string{"edge": "edge", "cloud": "cloud"}}
	r, err := New(ctx, n, Options{}, d)
	if err != nil {
		t.Fatalf("%v, breaks %v: %v", d.Stages, breaks, err)
	}
	for range 2 {
		out, _, err := r.Run(ctx, in)
		if err != nil {
			t.Fatalf("%v, breaks %v: %v", d.Stages, breaks, err)
		}
		if len(out) != 1 || !out[0].Identical(want) {
			t.Fatalf("%v, breaks %v: the answer differs from the unsplit run's", d.Stages, breaks)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ends
}

// Over random graphs, cuts and lossless codecs: wherever a connection breaks, at
// every end of a frame and within each, from the handshake over the upload to the
// last answer, every run has the bits of the unsplit one.
func TestEveryAnswerIsRightWhereverAConnectionBreaks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyModel(t)
		d := anyDeployment(t, m)
		x := tensor.New(m.Graph.Inputs[0].DType, m.Graph.Inputs[0].Shape...)
		for i := range x.F32() {
			x.F32()[i] = float32((i*7)%13)/13 - 0.3
		}
		in := []*tensor.Tensor{x}
		want, err := graph.Interpret(m.Graph, in)
		if err != nil {
			t.Fatal(err)
		}
		whole := runs(t, d, in, want[0], nil)
		for _, way := range slices.Sorted(maps.Keys(whole)) {
			last := int64(0)
			for _, end := range slices.Compact(whole[way]) {
				within := last + 1 + rapid.Int64Range(0, end-last-1).Draw(t, "within")
				for _, at := range slices.Compact([]int64{within, end}) {
					runs(t, d, in, want[0], map[string]simnet.Link{way: {Cut: at}})
				}
				last = end
			}
		}
	})
}
