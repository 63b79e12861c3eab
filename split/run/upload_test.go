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
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
)

// The file of the network of weights: some structure around one weight for each
// layer, of which the first bytes are what the layer adds to its input.
const (
	weightSize = 5 << 19 // 2.5 chunks
	weightGap  = 700
)

func weightOf(layer int) Range {
	return Range{weightGap + int64(layer)*(weightSize+weightGap), weightSize}
}

var weightsFile = sync.OnceValue(func() []byte {
	b := make([]byte, weightOf(layers).Offset)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	for i := range layers {
		w := b[weightOf(i).Offset:][:200]
		for k := 3; k < len(w); k += 4 {
			w[k] = 0x3f // a number between 0.5 and 2
		}
	}
	return b
})

// structureSize is the number of bytes of weightsFile that are no weight.
const structureSize = (layers + 1) * weightGap

func weightRanges() (l []Range) {
	for i := range layers {
		l = append(l, weightOf(i))
	}
	return l
}

// weighted is the network of weights, as it is in the bytes of a file.
func weighted(b []byte) *graph.Graph {
	g := &graph.Graph{Name: "weighted"}
	v := []*graph.Value{g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{50}})}
	for i := range layers {
		w := tensor.New(tensor.Float32, 50)
		copy(w.Raw, b[weightOf(i).Offset:])
		in := []*graph.Value{v[i], graph.Constant(fmt.Sprint("w", i), w)}
		if i == 4 {
			in = append(in, v[2])
		}
		out, err := g.Add(fmt.Sprint("layer", i), mix{}, nil, in, fmt.Sprint("v", i))
		if err != nil {
			panic(err)
		}
		v = append(v, out[0])
	}
	g.Outputs = v[layers:]
	return g
}

// spared is the closer of a network of weights.
type spared struct{}

func (spared) Close() error { return nil }

func (spared) Spare(use func(layer int) bool) (l []Range) {
	for i := range layers {
		if !use(i) {
			l = append(l, weightOf(i))
		}
	}
	return l
}

// loadWeighted is Node.Load. It fails if bytes are neither those of the file nor zero,
// or the structure is not complete.
func loadWeighted(path string, _ map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	want := weightsFile()
	if len(b) != len(want) {
		return nil, nil, errors.New("the file has another size")
	}
	zero := make([]byte, chunkSize)
	for at := 0; at < len(b); {
		// From one boundary of a chunk to the next: the same, or zeros within a weight.
		n := len(b) - at
		inWeight := false
		for i := range layers {
			if w := weightOf(i); int64(at) < w.Offset {
				n = min(n, int(w.Offset)-at)
			} else if in := int64(at) - w.Offset; in < w.Length {
				n, inWeight = int(min(chunkSize, w.Length-in)), true
			}
		}
		if !bytes.Equal(b[at:at+n], want[at:at+n]) && !(inWeight && bytes.Equal(b[at:at+n], zero[:n])) {
			return nil, nil, fmt.Errorf("bytes %d to %d of the file are wrong", at, at+n)
		}
		at += n
	}
	return weighted(b), spared{}, nil
}

// weightedModel is the model as its owner has it.
func weightedModel() Model {
	b := weightsFile()
	return Model{Name: "weighted", Digest: "digest of the network of weights", Graph: weighted(b), Content: NewContent(bytes.NewReader(b), int64(len(b)), weightRanges())}
}

// weightedWorker starts a worker for the network of weights.
func weightedWorker(t *testing.T, name string, store *Store, change func(n *Node)) (addr string) {
	t.Helper()
	return worker(t, name, nil, func(n *Node) {
		n.Load = loadWeighted
		if store != nil {
			n.Store = store
		}
		if change != nil {
			change(n)
		}
	})
}

// sent counts the bytes that a node sends to each host.
type sent struct {
	mu sync.Mutex
	to map[string]int64
}

func (s *sent) count(n *Node) {
	s.to = map[string]int64{}
	n.Progress = func(what string, done, _ int64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, host, _ := strings.Cut(what, " to ")
		s.to[host] = done
	}
}

// checkWeighted runs the stages and compares the result with that of the whole.
func checkWeighted(t *testing.T, n *Node, stages string) {
	t.Helper()
	m := weightedModel()
	e, err := n.Open(context.Background(), Deployment{Model: m, Stages: parse(t, stages)})
	if err != nil {
		t.Fatalf("%s: %v", stages, err)
	}
	defer e.Close()
	out, _, err := e.Run(context.Background(), input(1))
	if err != nil {
		t.Fatalf("%s: %v", stages, err)
	}
	got := out[0].Clone()
	want, err := graph.Interpret(m.Graph, input(1))
	if err != nil {
		t.Fatal(err)
	}
	if !got.Identical(want[0]) {
		t.Errorf("%s: got %v, want %v", stages, got.F32(), want[0].F32())
	}
}

func TestWorkersAreSentOnlyTheirParts(t *testing.T) {
	for _, chained := range []bool{true, false} {
		cloud := weightedWorker(t, "cloud", nil, nil)
		edge := weightedWorker(t, "edge", nil, func(n *Node) {
			if chained {
				n.Peers = map[string]string{"cloud": cloud}
			}
		})
		device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge, "cloud": cloud}}
		var s sent
		for _, c := range []struct {
			stages      string
			edge, cloud int64 // weights that are sent
		}{
			{"device:0-2,edge:3-3,cloud:4-5", 1, 2},
			{"device:0-2,edge:3-3,cloud:4-5", -1, -1}, // nothing
			{"device:0-1,edge:2-3,cloud:4-5", 1, -1},  // layer 2 more
			{"edge:0-0,device:1-4,cloud:5-5", 1, -1},
			{"device:0-1,edge:2-4,cloud:5-5", 1, -1},
			{"edge:0-5", 2, -1},
			{"cloud:0-3,device:4-5", -1, 4},
		} {
			s.count(device)
			checkWeighted(t, device, c.stages)
			for host, weights := range map[string]int64{"edge": c.edge, "cloud": c.cloud} {
				want := weights * weightSize
				if weights < 0 {
					want = 0
				}
				got, asked := s.to[host]
				if asked && got >= want+structureSize { // the first time
					want += structureSize
				}
				if got != want {
					t.Errorf("%s, chained %v: %d bytes are sent to %s, want %d", c.stages, chained, got, host, want)
				}
			}
		}
	}
}

// The device does not know the cloud, so the edge is sent what the cloud needs, too,
// and sends it on.
func TestPartOfAHostOutOfReachGoesThroughTheOneBefore(t *testing.T) {
	cloud := weightedWorker(t, "cloud", nil, nil)
	var s, on sent
	edge := weightedWorker(t, "edge", nil, func(n *Node) {
		n.Peers = map[string]string{"cloud": cloud}
		on.count(n)
	})
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	s.count(device)
	checkWeighted(t, device, "device:0-1,edge:2-2,cloud:3-5")
	if got, want := s.to["edge"], int64(structureSize+4*weightSize); got != want || len(s.to) != 1 {
		t.Errorf("the device sends %v, want %d to the edge", s.to, want)
	}
	on.mu.Lock()
	defer on.mu.Unlock()
	if got, want := on.to["cloud"], int64(structureSize+3*weightSize); got != want {
		t.Errorf("the edge sends %d bytes to the cloud, want %d", got, want)
	}
}

// Where the edge's cloud is another than the device's, the edge gets its part as well.
func TestPartGoesThroughTheHostBeforeIfThatKnowsAnother(t *testing.T) {
	cloud, other := weightedWorker(t, "cloud", nil, nil), weightedWorker(t, "cloud", nil, nil)
	edge := weightedWorker(t, "edge", nil, func(n *Node) { n.Peers = map[string]string{"cloud": cloud} })
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge, "cloud": other}}
	checkWeighted(t, device, "device:0-1,edge:2-2,cloud:3-5")
}

func TestProfileOfAPartlySentModelSendsTheRest(t *testing.T) {
	edge := weightedWorker(t, "edge", nil, nil)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	checkWeighted(t, device, "device:0-3,edge:4-5")
	var s sent
	s.count(device)
	if _, err := device.Profile(context.Background(), weightedModel(), "edge", ProfileOptions{Inputs: input(1), Runs: 1, Codecs: []string{"raw"}}); err != nil {
		t.Fatal(err)
	}
	if got, want := s.to["edge"], int64(4*weightSize); got != want {
		t.Errorf("%d bytes are sent, want %d", got, want)
	}
}

func TestStagesOutsideOfThePartAreRefused(t *testing.T) {
	edge := weightedWorker(t, "edge", nil, nil)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	checkWeighted(t, device, "device:0-2,edge:3-5")
	p, err := device.dial(context.Background(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	defer p.conn.Close()
	m := weightedModel()
	for stages, refused := range map[string]bool{"edge:3-5": false, "edge:4-4": false, "edge:2-5": true, "edge:0-0": true, "edge:0-5": true} {
		var p2 split.Partition
		var from, to int
		if _, err := fmt.Sscanf(stages, "edge:%d-%d", &from, &to); err != nil {
			t.Fatal(err)
		}
		p2 = split.Partition{{Host: "edge", Segment: split.Segment{From: from, To: to + 1}}}
		if _, err := p.open(context.Background(), Deployment{Model: m}, p2); refused != errors.Is(err, ErrNoModel) || !refused && err != nil {
			t.Errorf("%s: got error %v, want it refused: %v", stages, err, refused)
		}
	}
}

// tearing is a connection that ends when so many bytes have been written.
type tearing struct {
	net.Conn
	left *atomic.Int64
}

func (c tearing) Write(b []byte) (int, error) {
	if left := c.left.Add(-int64(len(b))); left < 0 {
		n, _ := c.Conn.Write(b[:max(0, len(b)+int(left))])
		c.Conn.Close()
		return n, io.ErrClosedPipe
	}
	return c.Conn.Write(b)
}

// However often the connection ends, and the worker starts anew, no chunk that was
// taken is sent again: what is lost each time is less than one, but for what was on
// its way.
func TestBrokenUploadGoesOnWhereItWas(t *testing.T) {
	dir := t.TempDir()
	const piece = 3<<20 + 12345
	total := int64(0)
	cuts := 0
	for ; ; cuts++ {
		store, err := OpenStore(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		edge := weightedWorker(t, "edge", store, nil)
		device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
		var left atomic.Int64
		left.Store(piece)
		device.DialConn = func(ctx context.Context, _, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			return tearing{c, &left}, err
		}
		e, err := device.Open(context.Background(), Deployment{Model: weightedModel(), Stages: parse(t, "device:0-0,edge:1-5")})
		total += piece - max(0, left.Load())
		if err == nil {
			e.Close()
			device.DialConn = nil
			checkWeighted(t, device, "device:0-0,edge:1-5")
			break
		}
		if !errors.Is(err, ErrRemote) {
			t.Fatalf("got error %v, want ErrRemote", err)
		}
		for len(store.using()) > 0 {
			time.Sleep(time.Millisecond)
		}
	}
	need := int64(structureSize + 5*weightSize)
	if least := int(need / piece); cuts < least {
		t.Fatalf("the connection ended %d times, want %d at least", cuts, least)
	}
	const overhead = 32 << 10 // hello, manifest and so on, each time
	if most := need + int64(cuts+1)*(chunkSize+overhead); total > most {
		t.Errorf("%d bytes are sent in %d pieces, want at most %d", total, cuts+1, most)
	}
}

// using lists the models that are in use.
func (s *Store) using() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.models {
		ids = append(ids, id)
	}
	return ids
}

func TestManyClientsSendOneModelAtOnce(t *testing.T) {
	store, err := OpenStore(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	store.Bound(int64(len(weightsFile())) + 1<<16) // room for it once
	edge := weightedWorker(t, "edge", store, nil)
	var wg sync.WaitGroup
	for i := range 2 * layers {
		wg.Go(func() {
			device := &Node{Name: fmt.Sprint("device", i), Threads: 1, Peers: map[string]string{"edge": edge}}
			var stages split.Partition
			for _, s := range []split.Stage{
				{Host: device.Name, Segment: split.Segment{From: 0, To: i / 2}},
				{Host: "edge", Segment: split.Segment{From: i / 2, To: i/2 + 1}},
				{Host: device.Name, Segment: split.Segment{From: i/2 + 1, To: layers}},
			} {
				if s.Segment.Len() > 0 {
					stages = append(stages, s)
				}
			}
			m := weightedModel()
			e, err := device.Open(context.Background(), Deployment{Model: m, Stages: stages})
			if err != nil {
				t.Error(err)
				return
			}
			defer e.Close()
			out, _, err := e.Run(context.Background(), input(1))
			want, wantErr := graph.Interpret(m.Graph, input(1))
			if err != nil || wantErr != nil || !out[0].Identical(want[0]) {
				t.Errorf("%v: errors %v, %v, or another result", stages, err, wantErr)
			}
		})
	}
	wg.Wait()
	for len(store.using()) > 0 {
		time.Sleep(time.Millisecond)
	}
	id, err := weightedModel().request()
	if err != nil {
		t.Fatal(err)
	}
	h, err := store.use(id.Model)
	if err != nil {
		t.Fatal(err)
	}
	defer h.release()
	if h.bytes != int64(len(weightsFile())) || h.claimed != 0 || len(h.claims) != 0 {
		t.Errorf("there are %d bytes, %d claimed, and %d claims, want %d, 0 and 0", h.bytes, h.claimed, len(h.claims), len(weightsFile()))
	}
}

// What arrives while a graph is built may have been read before as zeros, so that
// graph is not run.
func TestWhatComesWhileAGraphIsBuiltIsTooLateForIt(t *testing.T) {
	store, err := OpenStore(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	m := weightedModel()
	man, err := m.Content.manifest()
	if err != nil {
		t.Fatal(err)
	}
	h, err := store.take(man)
	if err != nil {
		t.Fatal(err)
	}
	defer h.release()
	arrive := func(want func(i int) bool) {
		chunks := h.missing().only(want).list()
		if err := h.claim(chunks); err != nil {
			t.Fatal(err)
		}
		for _, i := range chunks {
			b := make([]byte, man.length(i))
			if err := errors.Join(man.read(m.Content.file, i, b), h.write(i, b)); err != nil {
				t.Fatal(err)
			}
		}
		h.unclaim(chunks)
	}
	arrive(func(i int) bool { return i < man.structureChunks() })
	r, err := m.request()
	if err != nil {
		t.Fatal(err)
	}
	late := &Node{Load: func(path string, shapes map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
		g, c, err := loadWeighted(path, shapes)
		arrive(func(int) bool { return true })
		return g, c, err
	}}
	part := []split.Segment{{From: 2, To: 3}}
	if l, missing, err := late.build(h, r, part); l != nil || missing.count() == 0 || err != nil {
		t.Errorf("with weights that came too late: graph %v, %d chunks missing, error %v, want none, some and none", l, missing.count(), err)
	}
	l, missing, err := late.build(h, r, part)
	if l == nil || missing.count() != 0 || err != nil {
		t.Fatalf("with weights that were there: graph %v, %d chunks missing, error %v, want one, none and none", l, missing.count(), err)
	}
	l.model.Close()
}

// A byte that is wrong ends the upload; what came before it is kept, nothing is run,
// and a client that has the right bytes need only send the rest.
func TestWrongByteIsRefused(t *testing.T) {
	edge := weightedWorker(t, "edge", nil, nil)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	m := weightedModel()
	b := bytes.Clone(weightsFile())
	m.Content = NewContent(bytes.NewReader(b), int64(len(b)), weightRanges())
	if _, err := m.Content.manifest(); err != nil {
		t.Fatal(err)
	}
	b[weightOf(1).Offset+2*chunkSize] ^= 0x10
	for range 2 {
		_, err := device.Open(context.Background(), Deployment{Model: m, Stages: parse(t, "edge:0-5")})
		if !errors.Is(err, ErrRemote) || !strings.Contains(err.Error(), "digest mismatch") {
			t.Errorf("got error %v, want that of the digest", err)
		}
	}
	var s sent
	s.count(device)
	checkWeighted(t, device, "edge:0-5")
	if got, want := s.to["edge"], int64(5*weightSize-2*chunkSize); got != want {
		t.Errorf("%d bytes are sent, want %d", got, want)
	}
}

// A client cannot put chunks under a name that is not that of their manifest.
func TestManifestOfAnotherNameIsRefused(t *testing.T) {
	edge := weightedWorker(t, "edge", nil, nil)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	p, err := device.dial(context.Background(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	defer p.conn.Close()
	mine, err := weightedModel().Content.manifest()
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string][]*tensor.Tensor{
		"digest mismatch": {rawTensor(rawManifest(10, nil, 1))}, "bad manifest": {rawTensor([]byte("scission"))}, "want the manifest": nil,
	} {
		_, err := p.call(context.Background(), kindPut, encodeMeta(putRequest{modelRequest{Model: mine.id}, nil}), in, nil)
		if !errors.Is(err, ErrRemote) || !strings.Contains(err.Error(), name) {
			t.Errorf("got error %v, want %q", err, name)
		}
	}
}

// A host whose graph of the model is another does not run it, even if it has all of it.
func TestGraphsThatDifferAreNotRunTogether(t *testing.T) {
	edge := weightedWorker(t, "edge", nil, func(n *Node) {
		n.Load = func(path string, shapes map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
			g, closer, err := loadWeighted(path, shapes)
			if err == nil {
				g.Nodes[4].In = g.Nodes[4].In[:2]
			}
			return g, closer, err
		}
	})
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	_, err := device.Open(context.Background(), Deployment{Model: weightedModel(), Stages: parse(t, "device:0-4,edge:5-5")})
	if !errors.Is(err, ErrRemote) || !strings.Contains(err.Error(), "another here") {
		t.Errorf("got error %v, want that the graph is another", err)
	}
}

// A model whose graph cannot be built, or is another, while weights are zeros, is sent
// as a whole.
func TestModelWhoseGraphDependsOnWeightsIsSentWhole(t *testing.T) {
	for name, disturb := range map[string]func(g *graph.Graph) error{
		"an error":      func(*graph.Graph) error { return errors.New("division by zero") },
		"another graph": func(g *graph.Graph) error { g.Nodes[0].Out[0].Type.Shape = tensor.Shape{25, 2}; return nil },
	} {
		edge := weightedWorker(t, "edge", nil, func(n *Node) {
			n.Load = func(path string, shapes map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
				g, closer, err := loadWeighted(path, shapes)
				if err == nil && g.Nodes[0].In[1].Const.F32()[0] == 0 {
					err = disturb(g)
				}
				return g, closer, err
			}
		})
		device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
		var s sent
		s.count(device)
		checkWeighted(t, device, "device:0-4,edge:5-5")
		if got, want := s.to["edge"], int64(len(weightsFile())); got != want {
			t.Errorf("%s: %d bytes are sent, want all %d", name, got, want)
		}
	}
}
