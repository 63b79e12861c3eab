package run

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
	"scission/transport"
	"scission/transport/keys"
)

// silent is a connection that swallows what is sent and says nothing.
type silent struct{ net.Conn }

func (silent) Read([]byte) (int, error)         { return 0, io.EOF }
func (silent) Write(b []byte) (int, error)      { return len(b), nil }
func (silent) Close() error                     { return nil }
func (silent) SetReadDeadline(time.Time) error  { return nil }
func (silent) SetWriteDeadline(time.Time) error { return nil }

// FuzzRequests makes two requests of a worker that has a model: of any kind, with
// any meta and tensor. None makes it panic, and what it tells of a failure has no
// path and no control over a terminal.
func FuzzRequests(f *testing.F) {
	g := residual(0)
	store, err := OpenStore(f.TempDir(), 0)
	if err != nil {
		f.Fatal(err)
	}
	m := testModel(g)
	name, err := m.request()
	if err != nil {
		f.Fatal(err)
	}
	manifest, err := m.Content.manifest()
	if err != nil {
		f.Fatal(err)
	}
	h := take(f, store, manifest)
	put(f, h, content, 0, 1, 2)
	if err := h.save(); err != nil {
		f.Fatal(err)
	}
	h.release()
	node := &Node{
		Name: "edge", Threads: 1, Store: store, Memory: 1 << 20, Peers: map[string]string{"cloud": "127.0.0.1:1"},
		DialConn: func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrClosedPipe },
		Load:     func(string, map[string]tensor.Shape) (*graph.Graph, io.Closer, error) { return g, nil, nil },
	}
	open := openRequest{modelRequest: name, Stages: []split.Stage{{Host: "edge", Segment: split.Segment{From: 2, To: 6}}}}
	row := open
	row.Stages = []split.Stage{{Host: "edge", Segment: split.Segment{From: 0, To: 3}}, {Host: "cloud", Segment: split.Segment{From: 3, To: 6}}}
	profile := profileRequest{modelRequest: name, Host: "edge", Runs: 1, MaxWidth: 1, Codecs: []string{"raw"}, CodecRuns: 1, CutRuns: 1}
	values := input(1)[0].Raw
	for _, seed := range []struct {
		first, second         uint8
		firstMeta, secondMeta any
	}{
		{kindOpen, kindRun, open, nil},
		{kindOpen, kindOpen, row, open},
		{kindPut, kindEcho, putRequest{modelRequest: name}, echoRequest{100}},
		{kindPut, kindChunk, putRequest{name, []split.Segment{{From: 1, To: 2}}}, nil},
		{kindProfile, kindStatus, profile, nil},
		{kindChunk, 99, nil, greeting{Name: "x"}},
	} {
		in := values
		if seed.first == kindPut {
			in = manifest.raw
		}
		f.Add(seed.first, encodeMeta(seed.firstMeta), seed.second, encodeMeta(seed.secondMeta), in)
	}
	f.Fuzz(func(t *testing.T, first uint8, firstMeta []byte, second uint8, secondMeta, raw []byte) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s := node.newSession(transport.NewConn(silent{}, transport.Limits{}))
		s.roles = keys.All
		defer s.close()
		in := tensor.New(tensor.Float32, len(raw)/4)
		copy(in.Raw, raw)
		for _, m := range []*transport.Message{{Kind: first, Meta: firstMeta}, {Kind: second, Meta: secondMeta}} {
			m.Tensors = []*tensor.Tensor{in}
			if m.Kind == kindPut {
				m.Tensors[0] = rawTensor(raw)
			}
			if m.Kind == kindRun && s.runner != nil && s.credits.try(len(raw)) {
				s.take(ctx, m, transport.Stats{})
				continue
			}
			_, err := s.handle(ctx, m)
			if err == nil {
				continue
			}
			if strings.Contains(err.Error(), "panicked") {
				t.Fatal(err)
			}
			text := s.failure(err).Text
			if strings.Contains(text, store.dir) || strings.Contains(text, "127.0.0.1") || len(text) > maxTextError || strings.ContainsRune(text, '\n') {
				t.Fatalf("tells %q", text)
			}
		}
	})
}

// FuzzGreeting serves a client that greets with anything.
func FuzzGreeting(f *testing.F) {
	f.Add(encodeMeta(greeting{Name: "device", Peers: []string{"edge"}}))
	f.Add([]byte(`{"name":"\u001b[2J","machine":{"memory":-1},"slowdown":1e999}`))
	f.Fuzz(func(t *testing.T, meta []byte) {
		if len(meta) > transport.MaxHelloMeta {
			return
		}
		a, b := net.Pipe()
		defer a.Close()
		done := make(chan error, 1)
		go func() { done <- (&Node{Name: "edge"}).Serve(context.Background(), b) }()
		c := transport.NewConn(a, transport.Limits{})
		if _, err := c.Handshake(context.Background(), transport.Hello{Meta: meta}); err != nil {
			t.Fatal(err)
		}
		c.Close()
		<-done
	})
}
