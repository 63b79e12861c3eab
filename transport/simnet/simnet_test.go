package simnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pattern is n bytes without a short period.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8*7)
	}
	return b
}

func near(t *testing.T, what string, got, want, within time.Duration) {
	t.Helper()
	if math.Abs(float64(got-want)) > float64(within) {
		t.Errorf("%s took %v, want %v within %v", what, got, want, within)
	}
}

// The link is 20 ms long and carries 10 MB/s, so that 2 MB arrive from 20 ms
// to 220 ms after they were written, and intact.
func TestPipeDelaysByLatencyAndBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(Link{Latency: 20 * time.Millisecond, Bandwidth: 10e6}, Link{})
		defer a.Close()
		defer b.Close()
		sent, start := pattern(2_000_000), time.Now()
		go a.Write(sent)
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(b, got[:1]); err != nil {
			t.Fatal(err)
		}
		near(t, "the first byte", time.Since(start), 20*time.Millisecond, 2*burstTime)
		if _, err := io.ReadFull(b, got[1:]); err != nil {
			t.Fatal(err)
		}
		near(t, "the last byte", time.Since(start), 220*time.Millisecond, 2*burstTime)
		if !bytes.Equal(got, sent) {
			t.Error("bytes changed on their way")
		}
	})
}

// A hundred small writes are on the line together: they take one latency and
// not a hundred.
func TestLatencyIsPipelined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(Link{Latency: time.Second}, Link{})
		defer a.Close()
		defer b.Close()
		start := time.Now()
		for range 100 {
			if _, err := a.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		near(t, "writing", time.Since(start), 0, 0)
		if _, err := io.ReadFull(b, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		near(t, "reading", time.Since(start), time.Second, 0)
	})
}

func TestPipeBreaksBothWaysBehindCut(t *testing.T) {
	const cut = 100_000
	a, b := Pipe(Link{Cut: cut}, Link{})
	defer a.Close()
	defer b.Close()
	n, err := a.Write(pattern(2 * cut))
	if n != cut || !errors.Is(err, ErrCut) {
		t.Errorf("Write = %d, %v, want %d, %v", n, err, cut, ErrCut)
	}
	got, err := io.ReadAll(b)
	if !bytes.Equal(got, pattern(2 * cut)[:cut]) || !errors.Is(err, ErrCut) {
		t.Errorf("read %d bytes and %v, want %d and %v", len(got), err, cut, ErrCut)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, ErrCut) {
		t.Errorf("Read of the other direction: %v, want %v", err, ErrCut)
	}
}

func TestDeadlinesInterruptPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(Link{}, Link{})
		defer a.Close()
		defer b.Close()
		start := time.Now()
		a.SetDeadline(start.Add(3 * time.Second))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v, want %v", err, os.ErrDeadlineExceeded)
		}
		a.SetWriteDeadline(start.Add(5 * time.Second))
		n, err := a.Write(pattern(3 * buffer))
		if n != buffer || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write = %d, %v, want %d, %v", n, err, buffer, os.ErrDeadlineExceeded)
		}
		near(t, "both", time.Since(start), 5*time.Second, 0)
	})
}

func TestCloseLetsThePeerReadTheRest(t *testing.T) {
	a, b := Pipe(Link{Latency: time.Millisecond}, Link{})
	a.Write([]byte("rest"))
	a.Close()
	if got, err := io.ReadAll(b); string(got) != "rest" || err != nil {
		t.Errorf("read %q, %v, want \"rest\", nil", got, err)
	}
	if _, err := b.Write([]byte("x")); err == nil {
		t.Error("Write to a closed end succeeded")
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read of a closed end: %v, want %v", err, net.ErrClosed)
	}
}

func TestNetworkConnectsByName(t *testing.T) {
	var n Network
	l, err := n.Listen("edge")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Listen("edge"); err == nil {
		t.Error("a name was taken twice")
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}()
	c, err := n.Dial(t.Context(), "edge", Link{Latency: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c.Write([]byte("echo"))
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "echo" {
		t.Errorf("got %q, %v", got, err)
	}
	c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if _, err := n.Dial(ctx, "edge", Link{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial that nobody accepts: %v, want %v", err, context.Canceled)
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a closed listener: %v", err)
	}
	if _, err := n.Dial(t.Context(), "edge", Link{}); err == nil {
		t.Error("Dial reached a closed listener")
	}
}

// loopback returns both ends of a TCP connection.
func loopback(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// Only the lower bound is sharp on a busy machine.
func TestShapeSlowsARealSocket(t *testing.T) {
	a, b := loopback(t)
	defer b.Close()
	const latency, bandwidth, size = 20 * time.Millisecond, 10e6, 600_000
	s := Shape(a, latency, bandwidth)
	start := time.Now()
	if _, err := s.Write(pattern(size)); err != nil {
		t.Fatal(err)
	}
	s.Close() // what was written is still delivered
	got, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(got, pattern(size)) {
		t.Fatalf("read %d bytes, %v, want %d as written", len(got), err, size)
	}
	if took, least := time.Since(start), latency+60*time.Millisecond-2*burstTime; took < least {
		t.Errorf("%d bytes took %v, want at least %v", size, took, least)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close: %v, want %v", err, net.ErrClosed)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v, want %v", err, net.ErrClosed)
	}
}

// endsFirst is a connection that is closed before its deadline for reading is
// set, as the one below a shaped one may be: what delivers the rest closes it.
type endsFirst struct {
	net.Conn
	closed chan struct{}
}

func (e endsFirst) Close() error {
	defer close(e.closed)
	return e.Conn.Close()
}

func (e endsFirst) SetReadDeadline(t time.Time) error {
	<-e.closed
	return e.Conn.SetReadDeadline(t)
}

func TestCloseOfShapeIsNoErrorWhenAllIsDelivered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := Shape(endsFirst{c, make(chan struct{})}, 0, 0).Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseOfShapeEndsRead(t *testing.T) {
	a, b := loopback(t)
	defer b.Close()
	s := Shape(a, 0, 0)
	done := make(chan error)
	go func() {
		_, err := s.Read(make([]byte, 1))
		done <- err
	}()
	time.Sleep(time.Millisecond)
	s.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read = %v, want %v", err, net.ErrClosed)
	}
}

// 200 kB at 1 MB/s would take 200 ms. After 100 ms the link becomes ten times as fast and loses its latency, so
// that the rest takes 10 ms; the way back becomes a tenth, with which 10 kB take 100 ms.
func TestShaperChangesWhatIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(Link{}, Link{})
		link := Link{Latency: 10 * time.Millisecond, Bandwidth: 1e6}
		s := NewShaper(link, link)
		c := s.Conn(a)
		start := time.Now()
		if _, err := c.Write(pattern(200_000)); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(100*time.Millisecond, func() { s.Set(Link{Bandwidth: 1e7}, Link{Bandwidth: 1e5}) })
		got := make([]byte, 200_000)
		if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, pattern(len(got))) {
			t.Fatalf("read %d bytes, %v, want them as written", len(got), err)
		}
		near(t, "200 kB", time.Since(start), 110*time.Millisecond, 2*burstTime)
		start = time.Now()
		if _, err := b.Write(pattern(10_000)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, got[:10_000]); err != nil || !bytes.Equal(got[:10_000], pattern(10_000)) {
			t.Fatalf("read back: %v", err)
		}
		near(t, "the way back", time.Since(start), 100*time.Millisecond, 2*burstTime)
		c.Close()
		b.Close()
		synctest.Wait()
	})
}

// Two connections of one link each get half of it: 100 kB and 100 kB at 2 MB/s take 100 ms together.
func TestConnectionsOfAShaperShareItsLink(t *testing.T) {
	s := NewShaper(Link{Bandwidth: 2e6}, Link{})
	start := time.Now()
	var wg sync.WaitGroup
	for range 2 {
		a, b := loopback(t)
		c := s.Conn(a)
		wg.Go(func() {
			defer b.Close()
			defer c.Close()
			if _, err := c.Write(pattern(100_000)); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(b, make([]byte, 100_000)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(start); took < 98*time.Millisecond {
		t.Errorf("took %v, want at least 100 ms", took)
	}
}

func TestCloseOfAShapersConnectionEndsReadAndIsSeenByThePeer(t *testing.T) {
	a, b := loopback(t)
	defer b.Close()
	c := NewShaper(Link{Latency: time.Millisecond}, Link{Latency: time.Millisecond}).Conn(a)
	done := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		done <- err
	}()
	time.Sleep(time.Millisecond)
	if _, err := c.Write([]byte("rest")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	c.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read = %v, want %v", err, net.ErrClosed)
	}
	if got, err := io.ReadAll(b); string(got) != "rest" || err != nil {
		t.Errorf("the peer read %q, %v, want \"rest\"", got, err)
	}
	a, b = loopback(t)
	c = NewShaper(Link{}, Link{}).Conn(a)
	defer c.Close()
	b.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("Read after the peer has closed: %v, want %v", err, io.EOF)
	}
}

// Without it a direction is a millisecond late whenever the process has nothing else to do.
func TestBothWaysOfAShapersSocketWaitByTheSystemsClock(t *testing.T) {
	a, b := loopback(t)
	defer b.Close()
	c := NewShaper(Link{}, Link{}).Conn(a).(*bothWays)
	defer c.Close()
	if !c.out.exact || !c.in.exact {
		t.Errorf("exact there: %v, back: %v, want both", c.out.exact, c.in.exact)
	}
}
