package run

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scission/bench/zoo"
	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/ops"
	"scission/split"
	"scission/split/tile"
	"scission/transport"
)

// images is a network over 21 rows: two convolutions, a pool, and a residual block.
func images() *graph.Graph {
	g := &graph.Graph{Name: "images"}
	add := func(name string, attrs []graph.Attr, in ...*graph.Value) *graph.Value {
		op, err := ops.New("", name, 13, attrs)
		if err != nil {
			panic(err)
		}
		out, err := g.Add(fmt.Sprint(name, len(g.Nodes)), op, nil, in, fmt.Sprint("v", len(g.Nodes)))
		if err != nil {
			panic(err)
		}
		return out[0]
	}
	conv := func(x *graph.Value, channels int) *graph.Value {
		w := graph.Constant("w", tensortest.Random(uint64(len(g.Nodes)), channels, x.Shape[1], 3, 3))
		return add("Conv", []graph.Attr{{Name: "pads", Value: []int64{1, 1, 1, 1}}}, x, w)
	}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 3, 21, 18}})
	y := conv(conv(x, 16), 16)
	y = add("MaxPool", []graph.Attr{{Name: "kernel_shape", Value: []int64{2, 2}}}, y)
	g.Outputs = []*graph.Value{add("Add", nil, add("Relu", nil, conv(y, 16)), y)}
	return g
}

// sorted is hops in the order of their texts: workers work at once.
func sorted(hops []split.Hop) (texts []string) {
	for _, h := range hops {
		texts = append(texts, h.String())
	}
	slices.Sort(texts)
	return texts
}

// tiledEqualsWhole runs stages twice and compares results and hops.
func tiledEqualsWhole(t *testing.T, device *Node, g *graph.Graph, p split.Partition) {
	t.Helper()
	e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: p, Layers: true})
	if err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	defer e.Close()
	plan, err := engine.Compile(g, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	s := plan.NewSession()
	for seed := range uint64(2) {
		var in []*tensor.Tensor
		for _, v := range g.Inputs {
			in = append(in, tensortest.Random(seed, v.Shape...))
		}
		want, err := s.Run(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		out, spans, err := e.Run(context.Background(), in)
		if err != nil {
			t.Fatalf("%v: %v", p, err)
		}
		for i := range want {
			if !out[i].Identical(want[i]) {
				t.Errorf("%v: %v", p, tensortest.Diff(out[i], want[i], 0, 0))
			}
		}
		hops := sorted(split.Hops(p, device.Name, func(string, string) bool { return !e.Relayed }))
		if got := sorted(travelled(spans)); !slices.Equal(got, hops) || !slices.Equal(sorted(e.Hops), hops) {
			t.Errorf("%v: travelled %v, announced %v, want %v", p, got, e.Hops, hops)
		}
		for _, st := range p {
			hosts := []string{st.Host}
			if st.Tiled() {
				hosts = nil
				for _, w := range st.Workers() {
					hosts = append(hosts, w.Host)
				}
			}
			for _, host := range hosts {
				if !slices.ContainsFunc(spans, func(s Span) bool {
					return s.What == Compute && s.Host == host && *s.Segment == st.Segment && len(s.Layers) == st.Segment.Len()
				}) {
					t.Errorf("%v: no span of %s for layers %v", p, host, st.Segment)
				}
			}
		}
	}
}

func TestTiledStagesOverSocketsEqualTheWhole(t *testing.T) {
	g := images()
	a := worker(t, "a", g, nil)
	b := worker(t, "b", g, nil)
	c := worker(t, "c", g, func(n *Node) { n.Peers = map[string]string{"b": b} })
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"a": a, "b": b, "c": c}}
	for _, stages := range []string{
		"a+b:0-5", "a*3+b*2:0-5", "a+b*5+c*2:0-5", "a+device:0-5", "device:0-0,a+b:1-2,device:3-5", "a+b:0-2,c:3-5",
		"c:0-0,b:1-1,a+b:2-5", "a+b:0-1,b+c:2-3,device*2+a:4-5", "device:0-1,a:2-2,device:3-3,a+b:4-5",
	} {
		p, err := split.ParsePartition(stages, len(g.Nodes))
		if err != nil {
			t.Fatal(err)
		}
		tiledEqualsWhole(t, device, g, p)
	}
}

func TestHeadsOfNetworksOverTiledWorkersEqualTheWhole(t *testing.T) {
	if testing.Short() {
		t.Skip("two networks of the zoo take minutes on an emulated processor")
	}
	for _, name := range []string{"mobilenetv2", "resnet50"} {
		g, err := zoo.Build(name)
		if err != nil {
			t.Fatal(err)
		}
		device := &Node{Name: "device", Threads: 1, Peers: map[string]string{}}
		for _, w := range []string{"a", "b", "c"} {
			device.Peers[w] = worker(t, w, g, nil)
		}
		n := len(g.Nodes)
		for _, stages := range []string{"a*3+b*2:0-%d,device:%d-%d", "a+b*2+c:0-%d,a:%d-%d"} {
			p, err := split.ParsePartition(fmt.Sprintf(stages, n/3, n/3+1, n-1), n)
			if err != nil {
				t.Fatal(err)
			}
			tiledEqualsWhole(t, device, g, p)
		}
	}
}

// Each worker waits until the other one is at work, too.
func TestWorkersOfATiledStageWorkAtOnce(t *testing.T) {
	g := images()
	var dialled atomic.Int32
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"a": worker(t, "a", g, nil), "b": worker(t, "b", g, nil)}}
	both := make(chan struct{})
	open := make(chan struct{})
	device.DialConn = func(ctx context.Context, _, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return &meeting{Conn: c, open: open, arrive: func() {
			if dialled.Add(1) == 2 {
				close(both)
			}
			<-both
		}}, nil
	}
	p, err := split.ParsePartition("a+b:0-5", len(g.Nodes))
	if err != nil {
		t.Fatal(err)
	}
	e, err := device.Open(context.Background(), Deployment{Model: testModel(g), Stages: p})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	close(open)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, _, err := e.Run(ctx, []*tensor.Tensor{tensortest.Random(1, 1, 3, 21, 18)}); err != nil {
		t.Fatal(err)
	}
}

// meeting is a connection that calls arrive before its first write once it is open.
type meeting struct {
	net.Conn
	open   chan struct{}
	arrive func()
	met    bool
}

func (m *meeting) Write(b []byte) (int, error) {
	select {
	case <-m.open:
		if !m.met {
			m.met = true
			m.arrive()
		}
	default:
	}
	return m.Conn.Write(b)
}

func TestAWorkerThatFailsEndsTheTiledStage(t *testing.T) {
	g := images()
	n := len(g.Nodes)
	a := worker(t, "a", g, nil)
	gone := impostor(t, func(m *transport.Message) *transport.Message {
		if m.Kind == kindOpen {
			return &transport.Message{Kind: kindOK, Meta: encodeMeta(opened{Taken: 1})}
		}
		return &transport.Message{Kind: kindError, Meta: encodeMeta(failure{Code: "failed", Text: "out of order"})}
	})
	greedy := impostor(t, func(*transport.Message) *transport.Message {
		return &transport.Message{Kind: kindOK, Meta: encodeMeta(opened{Taken: 2})}
	})
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"a": a, "gone": gone, "greedy": greedy}}
	open := func(stages string) (*Execution, error) {
		p, err := split.ParsePartition(stages, n)
		if err != nil {
			t.Fatal(err)
		}
		return device.Open(context.Background(), Deployment{Model: testModel(g), Stages: p})
	}
	if _, err := open("a+nowhere:0-5"); !errors.Is(err, ErrUnknownHost) {
		t.Errorf("an unknown worker: got %v", err)
	}
	if _, err := open("a+greedy:0-5"); err == nil || !strings.Contains(err.Error(), "took 2 of 1 stages") {
		t.Errorf("a worker that takes two stages: got %v", err)
	}
	if _, err := open("a*1000+device:0-5"); err == nil || !strings.Contains(err.Error(), "no row") {
		t.Errorf("a worker without rows: got %v", err)
	}
	e, err := open("a+gone:0-5")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, _, err := e.Run(context.Background(), []*tensor.Tensor{tensortest.Random(1, 1, 3, 21, 18)}); !errors.Is(err, ErrRemote) || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("a worker that fails: got %v", err)
	}
	if _, _, err := e.Run(context.Background(), []*tensor.Tensor{tensortest.Random(1, 1, 3, 20, 18)}); err == nil || !strings.Contains(err.Error(), "input 0") {
		t.Errorf("an input of another shape: got %v", err)
	}
}

func TestRequestsForTilesThatThereAreNotAreRefused(t *testing.T) {
	g := images()
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"a": worker(t, "a", g, nil)}}
	d := Deployment{Model: testModel(g)}
	one := split.Partition{{Host: "a", Segment: split.Segment{From: 0, To: 3}}}
	two := split.Partition{one[0], {Host: "a", Segment: split.Segment{From: 3, To: 6}}}
	p, err := device.dial(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer p.conn.Close()
	if err := device.send(context.Background(), p, d.Model, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stages split.Partition
		part   *tileRequest
		want   string
	}{
		{one, &tileRequest{[]int{1, 1}, 2}, "worker 2"},
		{one, &tileRequest{[]int{1, 1}, -1}, "worker -1"},
		{one, &tileRequest{nil, 0}, "0 workers"},
		{one, &tileRequest{[]int{1, split.MaxShare + 1}, 0}, "share"},
		{one, &tileRequest{slices.Repeat([]int{1}, split.MaxWorkers+1), 0}, "17 workers"},
		{two, &tileRequest{[]int{1, 1}, 0}, "2 stages with a tile"},
		{split.Partition{{Host: "a+b", Segment: split.Segment{From: 0, To: 3}}}, nil, "want one host"},
		{one, &tileRequest{[]int{2, 1}, 1}, ""},
	} {
		_, err := p.openPart(context.Background(), d, c.stages, c.part)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v with %+v: got %v, want %q", c.stages, c.part, err, c.want)
		}
	}
}

// What the planner prices is what travels: the bytes of a raw codec are those of
// the rows and the frame around them.
func TestPlannerKnowsTheBytesThatWorkersTake(t *testing.T) {
	g := images()
	works, err := tile.NewTiling(g).Walk(6, []int{3, 2})
	if err != nil {
		t.Fatal(err)
	}
	for from := range 5 {
		p, err := tile.New(g, split.Segment{From: from, To: 6}, []int{3, 2})
		if err != nil {
			t.Fatal(err)
		}
		for w := range works {
			in, out := p.Types(w)
			var there, back int64
			for _, ty := range in {
				there += int64(ty.Bytes())
			}
			for _, ty := range out {
				back += int64(ty.Bytes())
			}
			if works[w].In[from] != there || works[w].Out[from] != back {
				t.Errorf("from layer %d worker %d takes %d bytes and gives %d, priced are %d and %d", from, w, there, back, works[w].In[from], works[w].Out[from])
			}
			for l, work := range p.Tiles[w].Work {
				if works[w].Work[from+l] != work {
					t.Errorf("layer %d: worker %d computes %v, priced is %v", from+l, w, work, works[w].Work[from+l])
				}
			}
		}
	}
}
