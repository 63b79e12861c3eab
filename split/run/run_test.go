package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/split"
	"scission/transport"
)

func TestMain(m *testing.M) {
	// The engine's workers sleep for the life of the process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("scission/engine.(*pool).loop"))
}

// mix is a sum of its inputs with different weights, so that an exchange of
// two values shows.
type mix struct{ slow time.Duration }

func (mix) String() string { return "mix" }

func (mix) Infer(in []graph.Fact) ([]graph.Fact, error) {
	return []graph.Fact{{Type: in[0].Type}}, nil
}

func (o mix) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	return graph.Kernel{Steps: []graph.Step{{N: out[0].Shape.Elems(), Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		if i == 0 {
			time.Sleep(o.slow)
		}
		s := float32(0)
		for k, t := range in {
			s = s*0.7 + float32(k+1)*t.F32()[i]
		}
		out[0].F32()[i] = s
		return nil
	}}}}, nil
}

const layers = 6

// residual is a network of six layers with a skip from layer 1 to layer 4.
func residual(slow time.Duration) *graph.Graph { return residualOf(slow, tensor.Shape{50}) }

// residualOf is residual for an input of the given shape.
func residualOf(slow time.Duration, shape tensor.Shape) *graph.Graph {
	g := &graph.Graph{Name: "residual"}
	v := []*graph.Value{g.Input("x", tensor.Type{DType: tensor.Float32, Shape: shape})}
	for i := range layers {
		in := []*graph.Value{v[i]}
		if i == 4 {
			in = append(in, v[2])
		}
		out, err := g.Add(fmt.Sprint("layer", i), mix{slow}, nil, in, fmt.Sprint("v", i))
		if err != nil {
			panic(err)
		}
		v = append(v, out[0])
	}
	g.Outputs = v[layers:]
	return g
}

// content stands for the file of the model: its bytes mean nothing to the
// test's Load, but are checked on their way.
var content = bytes.Repeat([]byte("model"), 600_000)

var testContent = NewContent(bytes.NewReader(content), int64(len(content)), nil)

func testModel(g *graph.Graph) Model {
	return Model{Name: "residual", Digest: "digest of the residual network", Graph: g, Content: testContent}
}

// worker starts a node on a loopback socket.
func worker(t *testing.T, name string, g *graph.Graph, change func(n *Node)) (addr string) {
	t.Helper()
	store, err := OpenStore(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{
		Name: name, Threads: 1, Store: store, Machine: split.Machine{CPU: "test"},
		Load: func(path string, _ map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
			b, err := os.ReadFile(path)
			if err == nil && !bytes.Equal(b, content) {
				err = errors.New("the store's file is not what was sent")
			}
			return g, nil, err
		},
	}
	if change != nil {
		change(n)
	}
	l, err := transport.Listen("127.0.0.1:0", n.Transport)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.ServeAll(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func input(seed uint64) []*tensor.Tensor { return []*tensor.Tensor{tensortest.Random(seed, 50)} }

func whole(t *testing.T, g *graph.Graph, in []*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	n := &Node{Name: "device", Threads: 1}
	stages := split.Partition{{Host: "device", Segment: split.Segment{From: 0, To: layers}}}
	e, err := n.Open(context.Background(), Deployment{Model: testModel(g), Stages: stages})
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := e.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out[0].Clone()
}

func parse(t *testing.T, s string) split.Partition {
	t.Helper()
	p, err := split.ParsePartition(s, layers)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// travelled lists the hops of a run's Travel spans.
func travelled(spans []Span) (hops []split.Hop) {
	for _, s := range spans {
		if s.What == Travel {
			hops = append(hops, *s.Hop)
		}
	}
	return hops
}

// For every way to put six layers on device, edge and cloud, whether the edge
// knows the cloud or not: the result is that of the whole, and the transfers
// made are those that planning prices.
func TestSplitEqualsWholeAndExecutorTravelsTheHopsOfThePlan(t *testing.T) {
	g := residual(0)
	for _, chained := range []bool{true, false} {
		cloud := worker(t, "cloud", g, nil)
		edge := worker(t, "edge", g, func(n *Node) {
			if chained {
				n.Peers = map[string]string{"cloud": cloud}
			}
		})
		device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge, "cloud": cloud}}
		linked := func(from, to string) bool { return chained }
		for a := range layers + 1 {
			for b := a; b <= layers; b++ {
				var p split.Partition
				for _, s := range []split.Stage{
					{Host: "device", Segment: split.Segment{From: 0, To: a}},
					{Host: "edge", Segment: split.Segment{From: a, To: b}},
					{Host: "cloud", Segment: split.Segment{From: b, To: layers}},
				} {
					if s.Segment.Len() > 0 {
						p = append(p, s)
					}
				}
				in := input(uint64(a*10 + b))
				check(t, device, g, p, in, linked)
			}
		}
	}
}

func check(t *testing.T, n *Node, g *graph.Graph, p split.Partition, in []*tensor.Tensor, linked func(from, to string) bool) {
	t.Helper()
	ctx := context.Background()
	e, err := n.Open(ctx, Deployment{Model: testModel(g), Stages: p, Layers: true})
	if err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	defer e.Close()
	want := whole(t, g, in)
	for range 2 {
		out, spans, err := e.Run(ctx, in)
		if err != nil {
			t.Fatalf("%v: %v", p, err)
		}
		if !out[0].Identical(want) {
			t.Errorf("%v: got %v, want %v", p, out[0].F32(), want.F32())
		}
		hops := fmt.Sprint(split.Hops(p, "device", linked))
		if got := fmt.Sprint(travelled(spans)); got != hops || fmt.Sprint(e.Hops) != hops {
			t.Errorf("%v: travelled %v, announced %v, want %v", p, got, e.Hops, hops)
		}
		next := 0
		for _, s := range spans {
			if s.Took < 0 {
				t.Errorf("%v: negative span %+v", p, s)
			}
			if s.What == Compute {
				if s.Segment.From != next || len(s.Layers) != s.Segment.Len() {
					t.Errorf("%v: got compute span of %v with %d layers, want it from layer %d", p, s.Segment, len(s.Layers), next)
				}
				next = s.Segment.To
			}
		}
		if next != layers {
			t.Errorf("%v: compute spans end at layer %d, want %d", p, next, layers)
		}
	}
}

func TestStagesMayReturnToTheSource(t *testing.T) {
	g := residual(0)
	cloud := worker(t, "cloud", g, nil)
	edge := worker(t, "edge", g, func(n *Node) { n.Peers = map[string]string{"cloud": cloud} })
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge, "cloud": cloud}}
	for _, p := range []string{"device:0-1,edge:2-3,device:4-5", "edge:0-0,device:1-2,cloud:3-5", "edge:0-1,edge:2-3,device:4-4,edge:5-5"} {
		check(t, device, g, parse(t, p), input(1), func(string, string) bool { return false })
	}
}

func TestModelIsSentOnceAndOnlyIfItsDigestIsRight(t *testing.T) {
	g := residual(0)
	edge := worker(t, "edge", g, nil)
	sent := 0
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge},
		Progress: func(_ string, done, of int64) {
			if done == of {
				sent++
			}
		}}
	d := Deployment{Model: testModel(g), Stages: parse(t, "edge:0-5")}
	forged := d
	changing := bytes.Clone(content)
	forged.Model.Content = NewContent(bytes.NewReader(changing), int64(len(content)), nil)
	if _, err := forged.Model.Content.manifest(); err != nil {
		t.Fatal(err)
	}
	changing[len(content)/2] ^= 1
	if _, err := device.Open(context.Background(), forged); !errors.Is(err, ErrRemote) || !strings.Contains(err.Error(), "digest") {
		t.Errorf("forged content: got error %v", err)
	}
	sent = 0
	for range 2 {
		e, err := device.Open(context.Background(), d)
		if err != nil {
			t.Fatal(err)
		}
		e.Close()
	}
	if sent != 1 {
		t.Errorf("the model was sent %d times, want once", sent)
	}
}

func TestFailuresNameTheHost(t *testing.T) {
	g := residual(0)
	ctx := context.Background()
	edge := worker(t, "edge", g, func(n *Node) { n.Memory = 10 })
	busy := worker(t, "busy", g, func(n *Node) { n.MaxConns = -1 })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge, "busy": busy, "gone": gone.Addr().String(), "far": "192.0.2.1:9"}}
	for stages, want := range map[string]struct {
		is   error
		text string
	}{
		"device:0-1,nobody:2-5": {ErrUnknownHost, `"nobody"`},
		"device:0-1,edge:2-5":   {ErrRemote, "limit is 10"},
		"device:0-1,busy:2-5":   {ErrBusy, "host busy"},
		"device:0-1,gone:2-5":   {nil, "host gone"},
		"device:0-1,far:2-5":    {transport.ErrPlaintext, "host far"},
	} {
		_, err := device.Open(ctx, Deployment{Model: testModel(g), Stages: parse(t, stages)})
		if err == nil || want.is != nil && !errors.Is(err, want.is) || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: got error %v, want %v and %q", stages, err, want.is, want.text)
		}
	}
	d := Deployment{Model: testModel(g), Stages: parse(t, "device:0-4,edge:5-5")[:1]}
	if _, err := device.Open(ctx, d); err == nil {
		t.Error("stages that end early: no error")
	}
}

func TestWorkerThatDiesIsAnErrorBeforeTheDeadline(t *testing.T) {
	g := residual(200 * time.Millisecond)
	ctx, stop := context.WithCancel(context.Background())
	store, err := OpenStore(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{Name: "edge", Threads: 1, Store: store, Load: func(string, map[string]tensor.Shape) (*graph.Graph, io.Closer, error) { return g, nil, nil }}
	l, err := transport.Listen("127.0.0.1:0", n.Transport)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.ServeAll(ctx, l) }()
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": l.Addr().String()}}
	e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: parse(t, "edge:0-5")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	time.AfterFunc(100*time.Millisecond, stop)
	if _, _, err := e.Run(context.Background(), input(1)); !errors.Is(err, ErrRemote) {
		t.Errorf("got error %v, want ErrRemote", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDeadlineEndsARemoteRun(t *testing.T) {
	g := residual(300 * time.Millisecond)
	edge := worker(t, "edge", g, nil)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: parse(t, "edge:0-5")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := e.Run(ctx, input(1)); err == nil {
		t.Error("the run outlived its deadline without an error")
	}
}

func TestWrongInputsAreRefusedAndTheNextRunIsRight(t *testing.T) {
	g := residual(0)
	edge := worker(t, "edge", g, nil)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: parse(t, "edge:0-5")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, _, err := e.Run(context.Background(), []*tensor.Tensor{tensor.New(tensor.Float32, 49)}); !errors.Is(err, ErrRemote) {
		t.Errorf("got error %v, want ErrRemote", err)
	}
	out, _, err := e.Run(context.Background(), input(1))
	if err != nil || !out[0].Identical(whole(t, g, input(1))) {
		t.Errorf("after a refused run: error %v", err)
	}
}

func TestCodecsOfHopsAreUsed(t *testing.T) {
	g := residual(0)
	edge := worker(t, "edge", g, nil)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	p := parse(t, "device:0-0,edge:1-5")
	zeros := []*tensor.Tensor{tensor.New(tensor.Float32, 50)}
	bytesOf := func(codecs map[split.Hop]string) (wire []int) {
		e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: p, Codecs: codecs})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		_, spans, err := e.Run(context.Background(), zeros)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range spans {
			if s.What == Travel {
				wire = append(wire, s.Bytes)
			}
		}
		return wire
	}
	raw := bytesOf(nil)
	hops := split.Hops(p, "device", nil)
	coded := bytesOf(map[split.Hop]string{hops[0]: "shuffle+zstd", hops[1]: "shuffle+zstd"})
	if len(raw) != 2 || coded[0] >= raw[0]-100 {
		t.Errorf("the way there took %v bytes raw and %v coded, want 100 less", raw, coded)
	}
	if _, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: p, Codecs: map[split.Hop]string{hops[0]: "magic"}}); !errors.Is(err, transport.ErrCodec) {
		t.Errorf("unknown codec: got error %v", err)
	}
}

// The way back from the cloud to the edge, too, has the codec of its hop, by
// whatever name the edge calls itself.
func TestCodecsOfHopsBetweenWorkersAreUsed(t *testing.T) {
	g := residual(0)
	cloud := worker(t, "cloud", g, nil)
	edge := worker(t, "its own name", g, func(n *Node) { n.Peers = map[string]string{"cloud": cloud} })
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	p := parse(t, "edge:0-2,cloud:3-5")
	hops := split.Hops(p, "device", func(string, string) bool { return true })
	zeros := []*tensor.Tensor{tensor.New(tensor.Float32, 50)}
	travel := func(codecs map[split.Hop]string) (spans []Span) {
		e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: p, Codecs: codecs})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		_, spans, err = e.Run(context.Background(), zeros)
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(spans, func(s Span) bool { return s.What != Travel })
	}
	raw := travel(nil)
	for i, hop := range hops {
		s := travel(map[split.Hop]string{hop: "shuffle+zstd"})[i]
		if *s.Hop != hop || s.Codec != "shuffle+zstd" || s.Bytes >= raw[i].Bytes-100 {
			t.Errorf("%v: got %v with codec %q and %d bytes, raw %d, want 100 less", hop, s.Hop, s.Codec, s.Bytes, raw[i].Bytes)
		}
	}
}

func TestProfileHasEveryLayerAndCut(t *testing.T) {
	g := residual(2 * time.Millisecond)
	edge := worker(t, "edge", g, func(n *Node) { n.Slowdown = 3 })
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	o := ProfileOptions{Inputs: input(1), Warmup: 1, Runs: 3, Codecs: []string{"raw", "shuffle+zstd"}}
	for _, host := range []string{"device", "edge"} {
		p, err := device.Profile(context.Background(), testModel(g), host, o)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Layers) != layers || len(p.Whole) != 3 {
			t.Fatalf("%s: got %d layers and %d runs, want %d and 3", host, len(p.Layers), len(p.Whole), layers)
		}
		var at []int
		for _, c := range p.Cuts {
			at = append(at, c.Position)
			if len(c.Codecs) != 2 || c.Bytes != 200 || c.Codecs[0].WireBytes < 200 {
				t.Errorf("%s: cut %d: got %d codecs, %d bytes", host, c.Position, len(c.Codecs), c.Bytes)
			}
		}
		// The skip from layer 1 to layer 4 is alive at positions 3 and 4.
		if got, want := fmt.Sprint(at), "[0 1 2 5 6]"; got != want {
			t.Errorf("%s: cuts at %s, want %s", host, got, want)
		}
		times := 1
		if host == "edge" {
			if times = 3; p.Emulated == "" || p.Slowdown != 3 || p.Machine.CPU != "test" {
				t.Errorf("edge: emulation %q, slowdown %v, machine %+v", p.Emulated, p.Slowdown, p.Machine)
			}
		}
		least := time.Duration(times*2) * time.Millisecond
		for i, l := range p.Layers {
			if l.Samples.Min() < least {
				t.Errorf("%s: layer %d took %v, want at least %v", host, i, l.Samples.Min(), least)
			}
		}
		if sum := p.SegmentTime(split.Segment{From: 0, To: layers}); sum < p.Whole.Min()/2 || sum > 2*p.Whole.Quantile(1) {
			t.Errorf("%s: layers take %v, the whole %v", host, sum, p.Whole)
		}
		if p.Took <= 0 || p.Warmup != 1 || p.Peak < 2*200 {
			t.Errorf("%s: took %v, warmup %d, peak of %d bytes, want more than two values' %d", host, p.Took, p.Warmup, p.Peak, 2*200)
		}
		// Layer 3 reads v3 and gives v4, while the skip v2 is alive.
		if got := p.Layers[3].Live; got != 3*200 {
			t.Errorf("%s: %d bytes are alive in layer 3, want %d", host, got, 3*200)
		}
	}
}

func TestMeasureLinkSeesLatencyAndBandwidth(t *testing.T) {
	g := residual(0)
	edge := worker(t, "edge", g, nil)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	r, err := device.MeasureLink(context.Background(), "edge", 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if r.Host != "edge" || len(r.RoundTrip) != linkPings || r.There.Bandwidth <= 0 || r.Back.Bandwidth <= 0 {
		t.Errorf("got %+v", r)
	}
}

// Whatever a peer sends in place of requests ends in an error or an answer,
// never in a panic, and leaves the worker able to serve.
func TestWorkerSurvivesHostileRequests(t *testing.T) {
	g := residual(0)
	edge := worker(t, "edge", g, nil)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	ctx := context.Background()
	r := rand.New(rand.NewPCG(1, 2))
	name, err := testModel(g).request()
	if err != nil {
		t.Fatal(err)
	}
	digest := name.Model
	metas := []string{
		"", "{", "null", "[]", `{"stages":null}`, `{"model":"../../etc/passwd","stages":[{"host":"edge","segment":{"from":0,"to":6}}]}`,
		`{"model":"` + digest + `","stages":[{"host":"edge","segment":{"from":-1,"to":99999999}}]}`,
		`{"model":"` + digest + `"}`, `{"model":"` + digest + `","segments":[{"from":-1,"to":9000000000000000000}]}`,
		`{"reply":-1}`, `{"reply":999999999999}`, `{"runs":1000000000,"codecs":["raw"]}`,
	}
	for range 300 {
		p, err := device.dial(ctx, "edge")
		if err != nil {
			t.Fatal(err)
		}
		kinds := []uint8{kindOpen, kindPut, kindChunk, kindRun, kindEcho, kindProfile, kindOK, 0, 255}
		m := &transport.Message{Kind: kinds[r.IntN(len(kinds))], Meta: []byte(metas[r.IntN(len(metas))])}
		if r.IntN(2) == 0 {
			m.Tensors = append(m.Tensors, tensortest.Random(1, 50))
		}
		if _, err := p.conn.Send(ctx, m, nil); err != nil {
			t.Fatal(err)
		}
		if answer, _, err := p.conn.Receive(ctx); err == nil && answer.Kind == kindOK && m.Kind != kindPut && m.Kind != kindEcho {
			t.Errorf("kind %d, meta %q: answered as if it were right", m.Kind, m.Meta)
		}
		p.conn.Close()
	}
	check(t, device, g, parse(t, "edge:0-5"), input(3), nil)
}
