package run

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"scission/transport"
	"scission/transport/keys"
)

// issuer makes keys of one authority.
func issuer(t *testing.T) func(name string, roles keys.Roles) *keys.Identity {
	t.Helper()
	a, err := keys.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return func(name string, roles keys.Roles) *keys.Identity {
		id, err := a.Issue(name, roles, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
}

// client is a node that calls a worker at edge with the given keys.
func client(edge string, id *keys.Identity) *Node {
	return &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}, Transport: transport.Options{Keys: id}}
}

func TestASplitRunWithKeysGivesTheBitsOfOneWithout(t *testing.T) {
	g := residual(0)
	issue := issuer(t)
	cloud := worker(t, "cloud", g, func(n *Node) { n.Transport.Keys = issue("cloud", keys.Serve) })
	edge := worker(t, "edge", g, func(n *Node) {
		n.Transport.Keys = issue("edge", keys.Serve|keys.Run|keys.Upload)
		n.Peers = map[string]string{"cloud": cloud}
	})
	want := whole(t, g, input(1))
	for _, peers := range []map[string]string{{"edge": edge}, {"edge": edge, "cloud": cloud}} {
		device := client(edge, issue("laptop", keys.Run|keys.Upload))
		device.Peers = peers
		e, err := device.Open(t.Context(), Deployment{Model: testModel(g), Stages: parse(t, "device:0-1,edge:2-3,cloud:4-5")})
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := e.Run(t.Context(), input(1))
		if err != nil {
			t.Fatal(err)
		}
		if len(out) != 1 || !out[0].Identical(want) {
			t.Error("the results differ")
		}
		e.Close()
	}
}

func TestCertificatesSayWhatClientsMayDo(t *testing.T) {
	g := residual(0)
	issue := issuer(t)
	edge := worker(t, "edge", g, func(n *Node) {
		n.Transport.Keys = issue("edge", keys.Serve)
		n.Allow = nil
	})
	narrow := worker(t, "edge", g, func(n *Node) {
		n.Transport.Keys = issue("edge", keys.Serve)
		n.Allow = map[string]keys.Roles{"laptop": keys.Run | keys.Admin}
	})
	requests := []struct {
		kind uint8
		meta any
		need keys.Roles
	}{
		{kindOpen, openRequest{}, keys.Run},
		{kindRun, nil, keys.Run},
		{kindEcho, echoRequest{1}, keys.Run},
		{kindProfile, profileRequest{}, keys.Run},
		{kindPut, putRequest{}, keys.Upload},
		{kindStatus, nil, keys.Run | keys.Admin},
		{99, nil, keys.Admin},
	}
	for _, c := range []struct {
		edge  string
		name  string
		roles keys.Roles // of the certificate
		may   keys.Roles
	}{
		{edge, "laptop", keys.Run, keys.Run},
		{edge, "laptop", keys.Upload, keys.Upload},
		{edge, "laptop", keys.Admin, keys.Admin},
		{edge, "laptop", keys.Serve, 0},
		{edge, "laptop", keys.All, keys.All},
		{narrow, "laptop", keys.All, keys.Run | keys.Admin},
		{narrow, "laptop", keys.Upload | keys.Run, keys.Run},
		{narrow, "tablet", keys.All, 0},
	} {
		p, err := client(c.edge, issue(c.name, c.roles)).dial(t.Context(), "edge")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range requests {
			var meta []byte
			if r.meta != nil {
				meta = encodeMeta(r.meta)
			}
			_, err := p.call(t.Context(), r.kind, meta, nil, nil)
			if got, want := errors.Is(err, ErrForbidden), !c.may.Has(r.need); got != want {
				t.Errorf("%s with %v: request of kind %d gives error %v, want it forbidden: %v", c.name, c.roles, r.kind, err, want)
			}
		}
		p.conn.Close()
	}
}

// A client that may run, but not upload, runs what others have sent.
func TestWhoMayNotUploadRunsWhatIsThere(t *testing.T) {
	g := residual(0)
	issue := issuer(t)
	edge := worker(t, "edge", g, func(n *Node) { n.Transport.Keys = issue("edge", keys.Serve) })
	d := Deployment{Model: testModel(g), Stages: parse(t, "device:0-1,edge:2-5")}
	open := func(roles keys.Roles) error {
		e, err := client(edge, issue("laptop", roles)).Open(t.Context(), d)
		if err == nil {
			_, _, err = e.Run(t.Context(), input(1))
			e.Close()
		}
		return err
	}
	if err := open(keys.Run); !errors.Is(err, ErrForbidden) || !errors.Is(err, ErrRemote) || !strings.Contains(err.Error(), `"laptop" may do "run" here, not "upload"`) {
		t.Errorf("error %v, want ErrForbidden", err)
	}
	if err := open(keys.Run | keys.Upload); err != nil {
		t.Error(err)
	}
	if err := open(keys.Run); err != nil {
		t.Error(err)
	}
}

func TestAHostIsNoOtherHost(t *testing.T) {
	g := residual(0)
	issue := issuer(t)
	edge := worker(t, "edge", g, func(n *Node) { n.Transport.Keys = issue("moon", keys.All) })
	d := Deployment{Model: testModel(g), Stages: parse(t, "device:0-1,edge:2-5")}
	if _, err := client(edge, issue("device", keys.All)).Open(t.Context(), d); !errors.Is(err, keys.ErrUntrusted) || !strings.Contains(err.Error(), `that of "moon", want "edge"`) {
		t.Errorf("error %v, want one about the name", err)
	}
	byAddress := &Node{Name: "device", Peers: map[string]string{edge: edge}, Transport: transport.Options{Keys: issue("device", keys.All)}}
	if _, err := byAddress.MeasureLink(t.Context(), edge, time.Microsecond); err != nil {
		t.Errorf("a host that is called by its address: %v", err)
	}
}

// echoes reports whether the worker answers on p.
func echoes(ctx context.Context, p *peer) error {
	_, _, err := p.echo(ctx, 1, 1)
	return err
}

func TestConnectionsAreBoundedInAllAndForEachCertificate(t *testing.T) {
	issue := issuer(t)
	edge := worker(t, "edge", nil, func(n *Node) {
		n.Transport.Keys = issue("edge", keys.Serve)
		n.MaxConns, n.MaxPeerConns = 3, 2
	})
	dial := func(name string) *peer {
		t.Helper()
		p, err := client(edge, issue(name, keys.Run)).dial(t.Context(), "edge")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.conn.Close() })
		return p
	}
	a1, a2 := dial("a"), dial("a")
	for _, p := range []*peer{a1, a2} {
		if err := echoes(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if err := echoes(t.Context(), dial("a")); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), `2 connections of "a"`) {
		t.Errorf("a third of one name: error %v, want ErrBusy", err)
	}
	if err := echoes(t.Context(), dial("b")); err != nil {
		t.Errorf("the first of another name: %v", err)
	}
	if err := echoes(t.Context(), dial("c")); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "3 connections") {
		t.Errorf("a fourth in all: error %v, want ErrBusy", err)
	}
	a1.conn.Close()
	for {
		err := echoes(t.Context(), dial("a"))
		if err == nil {
			break // when the worker has noticed the end
		}
		if !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
	}
}

// A connection that has not said who it is counts, up to the limit, and one more
// is closed at once.
func TestConnectionsThatSayNothingAreBounded(t *testing.T) {
	edge := worker(t, "edge", nil, func(n *Node) { n.MaxHandshakes = 2 })
	silent := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", edge)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var open []net.Conn
	for range 2 {
		c := silent()
		defer c.Close()
		open = append(open, c)
		if _, err := c.Read(make([]byte, 1)); err != nil { // the worker greets it
			t.Fatal(err)
		}
	}
	past := silent()
	defer past.Close()
	if b, err := io.ReadAll(past); len(b) > 0 || err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("one too many is told %q, error %v, want the end", b, err)
	}
	for _, c := range open {
		c.Close()
	}
	device := &Node{Name: "device", Peers: map[string]string{"edge": edge}}
	for {
		if p, err := device.dial(t.Context(), "edge"); err == nil { // when the worker has noticed the ends
			p.conn.Close()
			return
		}
	}
}

func TestARequestEndsAtTheWorkersLimit(t *testing.T) {
	g := residual(300 * time.Millisecond)
	edge := worker(t, "edge", g, func(n *Node) { n.MaxTime = time.Second })
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	e, err := device.Open(t.Context(), Deployment{Model: testModel(g), Stages: parse(t, "edge:0-5")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, _, err := e.Run(t.Context(), input(1)); err == nil {
		t.Error("a request of 1.8 s where there is one: no error")
	}
	for d, want := range map[time.Duration]time.Duration{0: time.Minute, time.Second: time.Second, time.Minute: time.Minute, time.Minute + 1: time.Minute} {
		if got := (&Node{MaxTime: time.Minute}).allowed(d); got != want {
			t.Errorf("a request with %v has %v, want %v", d, got, want)
		}
	}
}

func TestAnIdleConnectionIsEnded(t *testing.T) {
	edge := worker(t, "edge", nil, func(n *Node) { n.Transport.Limits.Idle = 100 * time.Millisecond })
	p, err := (&Node{Name: "device", Peers: map[string]string{"edge": edge}}).dial(t.Context(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	defer p.conn.Close()
	if _, _, err := p.conn.Receive(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want EOF", err)
	}
}

func TestStatusTellsTheLoadEvenOfABusyWorker(t *testing.T) {
	g := residual(0)
	issue := issuer(t)
	edge := worker(t, "edge", g, func(n *Node) {
		n.Transport.Keys = issue("edge", keys.Serve)
		n.MaxConns = 1
	})
	device := client(edge, issue("laptop", keys.Run|keys.Upload))
	e, err := device.Open(t.Context(), Deployment{Model: testModel(g), Stages: parse(t, "edge:0-5")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for range 3 {
		if _, _, err := e.Run(t.Context(), input(1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := e.Run(t.Context(), nil); err == nil {
		t.Fatal("a run without inputs: no error")
	}
	for roles, named := range map[keys.Roles]bool{keys.Run: false, keys.Admin: true} {
		s, took, err := client(edge, issue("boss", roles)).Status(t.Context(), "edge")
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != "edge" || s.Connections != 1 || s.Max != 1 || s.Deployments != 1 || s.Models != 1 || s.ModelBytes < int64(len(content)) ||
			s.Running != 0 || s.Failed < 1 || s.Requests < 4 || s.Up <= 0 || s.Memory <= 0 || s.Processors < 1 || took <= 0 {
			t.Errorf("got %+v after %v", s, took)
		}
		if (s.Of["laptop"] == 1) != named {
			t.Errorf("with %v: connections of %v, want names: %v", roles, s.Of, named)
		}
	}
}
