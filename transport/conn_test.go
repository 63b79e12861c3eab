package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"scission/engine/tensor"
	"scission/transport/simnet"
)

// bubble runs f with two connected Conns on a clock of their own.
func bubble(t *testing.T, l Limits, link simnet.Link, f func(t *testing.T, a, b *Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := simnet.Pipe(link, link)
		ca, cb := NewConn(a, l), NewConn(b, l)
		defer ca.Close()
		defer cb.Close()
		f(t, ca, cb)
	})
}

func elapsed(t *testing.T, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Errorf("took %v, want %v", got, want)
	}
}

// Tensors larger than what is read or written under one deadline pass over a
// real socket, in both directions at once, to several senders and receivers.
func TestConnIsFullDuplex(t *testing.T) {
	a, b := tcp(t, Limits{})
	large := tensor.New(tensor.Uint8, 3<<20+5)
	copy(large.Raw, randomBytes(1, len(large.Raw)))
	m := &Message{Kind: 1, Meta: []byte("m"), Tensors: []*tensor.Tensor{relu(1 << 18), large, relu(3)}}
	var wg sync.WaitGroup
	for _, c := range []*Conn{a, b} {
		for i := range 4 {
			wg.Go(func() {
				if _, err := c.Send(t.Context(), m, always(codecs[i%len(codecs)])); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			for range 4 {
				got, st, err := c.Receive(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if st.RawBytes != 1<<20+3<<20+5+12 {
					t.Errorf("received %d bytes", st.RawBytes)
				}
				sameMessage(t, got, m)
			}
		})
	}
	wg.Wait()
}

// At 10 MB/s 1,000,000 bytes take 100 ms; their decoding is not part of that.
func TestReceiveTimesTheTransfer(t *testing.T) {
	bubble(t, Limits{}, simnet.Link{Latency: 50 * time.Millisecond, Bandwidth: 10e6}, func(t *testing.T, a, b *Conn) {
		m := &Message{Tensors: []*tensor.Tensor{tensor.New(tensor.Uint8, 1_000_000)}}
		go a.Send(t.Context(), m, nil)
		_, st, err := b.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st.Transfer < 98*time.Millisecond || st.Transfer > 102*time.Millisecond {
			t.Errorf("transfer took %v, want 100 ms within 2 ms", st.Transfer)
		}
		if want := 1_000_000 + preludeSize + entrySize + dimSize; st.WireBytes != want || st.RawBytes != 1_000_000 {
			t.Errorf("%d wire and %d raw bytes, want %d and 1000000", st.WireBytes, st.RawBytes, want)
		}
	})
}

// The peer sends a byte a second: alive, but below the minimum rate.
func TestSlowSenderIsCutOff(t *testing.T) {
	frame := encode(t, &Message{Meta: make([]byte, 100), Tensors: []*tensor.Tensor{relu(1000)}}, Raw)
	for _, start := range []int{1, preludeSize, preludeSize + 20, preludeSize + 32 + 50, preludeSize + 32 + 100 + 7} {
		synctest.Test(t, func(t *testing.T) {
			a, b := simnet.Pipe(simnet.Link{}, simnet.Link{})
			c := NewConn(b, Limits{Grace: 5 * time.Second, MinRate: 1000})
			var peer sync.WaitGroup
			defer peer.Wait()
			defer c.Close()
			peer.Go(func() {
				a.Write(frame[:start])
				for i := start; i < len(frame); i++ {
					time.Sleep(time.Second)
					if _, err := a.Write(frame[i : i+1]); err != nil {
						return
					}
				}
			})
			began := time.Now()
			_, _, err := c.Receive(t.Context())
			if !errors.Is(err, ErrTimeout) {
				t.Errorf("from byte %d: %v, want %v", start, err, ErrTimeout)
			}
			if took, most := time.Since(began), 5*time.Second+time.Duration(len(frame))*time.Millisecond; took > most {
				t.Errorf("from byte %d: took %v, want at most %v", start, took, most)
			}
			if _, _, err := c.Receive(t.Context()); !errors.Is(err, ErrTimeout) {
				t.Errorf("a second Receive: %v, want the same error", err)
			}
		})
	}
}

// A frame just above the minimum rate takes long and arrives.
func TestFrameAtTheMinimumRatePasses(t *testing.T) {
	l := Limits{Grace: time.Second, MinRate: 1000}
	bubble(t, l, simnet.Link{Bandwidth: 1001}, func(t *testing.T, a, b *Conn) {
		m := &Message{Tensors: []*tensor.Tensor{tensor.New(tensor.Uint8, 1_000_000)}}
		go a.Send(t.Context(), m, nil)
		if _, st, err := b.Receive(t.Context()); err != nil || st.Transfer < 990*time.Second {
			t.Errorf("Receive: %v after %v, want no error after about 1000 s", err, st.Transfer)
		}
	})
}

// The peer holds the connection open and reads nothing.
func TestSlowReaderIsCutOff(t *testing.T) {
	l := Limits{Grace: 2 * time.Second, MinRate: 1 << 20}
	bubble(t, l, simnet.Link{}, func(t *testing.T, a, b *Conn) {
		m := &Message{Tensors: []*tensor.Tensor{tensor.New(tensor.Uint8, 8<<20)}}
		start := time.Now()
		if _, err := a.Send(t.Context(), m, nil); !errors.Is(err, ErrTimeout) {
			t.Errorf("Send: %v, want %v", err, ErrTimeout)
		}
		// The first MiB was taken by buffers, the second was not in its time.
		if took := time.Since(start); took < 3*time.Second || took > 4*time.Second+time.Millisecond {
			t.Errorf("took %v, want grace and 1 to 2 s", took)
		}
		if _, err := a.Send(t.Context(), &Message{}, nil); !errors.Is(err, ErrTimeout) {
			t.Errorf("a Send after half a frame: %v, want the same error", err)
		}
	})
}

// A frame has its time, and an idle connection any, whatever deadline an earlier
// frame had, when receiving and when sending.
func TestTheDeadlineOfAFrameEndsNoOther(t *testing.T) {
	const grace, pause = 10 * time.Second, 7 * time.Second
	l := Limits{Grace: grace, MinRate: 1 << 30, Beat: -1}
	m := &Message{Tensors: []*tensor.Tensor{relu(20_000)}}
	frame := encode(t, m, Raw)
	half := len(frame) / 2
	check := func(t *testing.T, do func() error, from time.Time, ok bool) {
		t.Helper()
		err := do()
		if ok && err != nil || !ok && !errors.Is(err, ErrTimeout) {
			t.Fatalf("got error %v, want none: %v", err, ok)
		}
		if took := time.Since(from); !ok && (took < grace || took > grace+time.Millisecond) {
			t.Errorf("failed after %v, want %v", took, grace)
		}
	}
	// pieces moves a whole frame, one that pauses, one after an idle time, and half of one.
	pieces := func(move func(from, to int)) {
		move(0, len(frame))
		time.Sleep(pause)
		move(0, half)
		time.Sleep(pause)
		move(half, len(frame))
		time.Sleep(time.Hour)
		move(0, len(frame))
		time.Sleep(pause)
		move(0, half)
	}
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		c := NewConn(here, l)
		defer c.Close()
		go pieces(func(from, to int) { there.Write(frame[from:to]) })
		var began time.Time
		for i := range 4 {
			if err := c.Await(t.Context()); err != nil {
				t.Fatal(err)
			}
			began = time.Now()
			check(t, func() error { _, _, err := c.Receive(t.Context()); return err }, began, i < 3)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		c := NewConn(here, l)
		c.out.resumes = true // as over TCP
		defer c.Close()
		go pieces(func(from, to int) { io.ReadFull(there, make([]byte, to-from)) })
		for i := range 4 {
			time.Sleep([]time.Duration{0, pause, time.Hour, pause}[i])
			check(t, func() error { _, err := c.Send(t.Context(), m, nil); return err }, time.Now(), i < 3)
		}
	})
}

func TestIdlePeerIsCutOff(t *testing.T) {
	bubble(t, Limits{Idle: time.Minute}, simnet.Link{}, func(t *testing.T, a, b *Conn) {
		start := time.Now()
		if _, _, err := b.Receive(t.Context()); !errors.Is(err, ErrTimeout) || !errors.Is(err, ErrIdle) {
			t.Errorf("Receive: %v, want %v", err, ErrIdle)
		}
		elapsed(t, start, time.Minute)
		if _, err := a.Send(t.Context(), &Message{ID: 5}, nil); err != nil {
			t.Fatal(err)
		}
		if m, _, err := b.Receive(t.Context()); err != nil || m.ID != 5 {
			t.Errorf("Receive after an idle time: %v", err)
		}
	})
}

// A context ends Receive at once, before a frame and within one; only before
// one can the connection go on.
func TestContextEndsReceive(t *testing.T) {
	for _, within := range []bool{false, true} {
		for _, deadline := range []bool{false, true} {
			bubble(t, Limits{}, simnet.Link{}, func(t *testing.T, a, b *Conn) {
				frame := encode(t, &Message{ID: 7}, Raw)
				if within {
					a.nc.Write(frame[:10])
				}
				ctx, cancel := context.WithCancel(t.Context())
				if deadline {
					ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				} else {
					time.AfterFunc(time.Second, cancel)
				}
				defer cancel()
				start := time.Now()
				_, _, err := b.Receive(ctx)
				if !errors.Is(err, ctx.Err()) || errors.Is(err, ErrTimeout) != deadline {
					t.Errorf("Receive: %v, want %v", err, ctx.Err())
				}
				elapsed(t, start, time.Second)
				if _, _, err := b.Receive(ctx); !errors.Is(err, ctx.Err()) {
					t.Errorf("Receive under an ended context: %v", err)
				}
				if !within {
					a.nc.Write(frame)
				} else {
					a.nc.Write(frame[10:])
				}
				m, _, err := b.Receive(t.Context())
				if ok := err == nil && m.ID == 7; ok == within {
					t.Errorf("within a frame: %v; the next Receive: %v", within, err)
				}
			})
		}
	}
}

func TestContextEndsSend(t *testing.T) {
	bubble(t, Limits{}, simnet.Link{}, func(t *testing.T, a, b *Conn) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		time.AfterFunc(time.Second, cancel)
		m := &Message{Tensors: []*tensor.Tensor{tensor.New(tensor.Uint8, 8<<20)}}
		if _, err := a.Send(ctx, m, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("Send: %v, want %v", err, context.Canceled)
		}
		elapsed(t, start, time.Second)
		if _, err := b.Send(ctx, &Message{}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("Send under an ended context: %v", err)
		}
		if _, err := b.Send(t.Context(), &Message{}, nil); err != nil {
			t.Errorf("the Send after it: %v", err)
		}
	})
}

// A call that waits for its turn gives up when its context ends.
func TestContextEndsTheWaitForATurn(t *testing.T) {
	bubble(t, Limits{}, simnet.Link{}, func(t *testing.T, a, b *Conn) {
		go b.Receive(t.Context())
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, _, err := b.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Receive: %v, want %v", err, context.DeadlineExceeded)
		}
		elapsed(t, start, time.Second)
		if _, err := a.Send(t.Context(), &Message{}, nil); err != nil {
			t.Error(err) // what ends the first Receive
		}
	})
}

// A context that ends after its call does not disturb the calls after it.
func TestEndedContextLeavesLaterCallsAlone(t *testing.T) {
	a, b := tcp(t, Limits{})
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := a.Send(ctx, &Message{}, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.Receive(ctx); err != nil {
			t.Fatal(err)
		}
		go cancel()
		if _, err := a.Send(t.Context(), &Message{}, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseEndsCalls(t *testing.T) {
	a, b := tcp(t, Limits{})
	errs := make(chan error, 2)
	go func() {
		_, _, err := a.Receive(t.Context())
		errs <- err
	}()
	go func() {
		for {
			if _, err := a.Send(t.Context(), &Message{Tensors: []*tensor.Tensor{relu(1 << 20)}}, nil); err != nil {
				errs <- err
				return
			}
		}
	}()
	time.Sleep(5 * time.Millisecond)
	a.Close()
	for range 2 {
		if err := <-errs; !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v, want %v", err, net.ErrClosed)
		}
	}
	b.Close()
}

// The connection breaks behind each of a frame's bytes: the receiver never
// gives half a message, the sender never hangs.
func TestBrokenConnectionIsAnError(t *testing.T) {
	m := &Message{Meta: []byte("meta"), Tensors: []*tensor.Tensor{relu(4)}}
	frame := encode(t, m, Raw)
	for n := 1; n <= len(frame); n++ {
		a, b := simnet.Pipe(simnet.Link{Cut: int64(n)}, simnet.Link{})
		sender, receiver := NewConn(a, Limits{}), NewConn(b, Limits{})
		_, err := sender.Send(t.Context(), m, nil)
		if whole := n == len(frame); (err == nil) != whole || err != nil && !errors.Is(err, simnet.ErrCut) {
			t.Errorf("Send cut at byte %d: %v", n, err)
		}
		got, _, err := receiver.Receive(t.Context())
		if whole := n == len(frame); (err == nil) != whole || err != nil && !errors.Is(err, simnet.ErrCut) {
			t.Errorf("Receive cut at byte %d: %v, %v", n, got, err)
		}
		sender.Close()
		receiver.Close()
	}
}

func TestConnectingAndClosingLeavesNothing(t *testing.T) {
	l, err := Listen("127.0.0.1:0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const cycles = 300
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range cycles {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			conn := NewConn(c, Limits{})
			if _, err := conn.Handshake(t.Context(), Hello{}); err != nil {
				t.Error(err)
			}
			for {
				m, _, err := conn.Receive(t.Context())
				if err != nil {
					break
				}
				if _, err := conn.Send(t.Context(), m, always(ShuffleZstd)); err != nil {
					t.Error(err)
				}
			}
			conn.Close()
		}
	}()
	goroutines := runtime.NumGoroutine()
	m := &Message{Tensors: []*tensor.Tensor{relu(100)}}
	for range cycles {
		ctx, cancel := context.WithCancel(t.Context())
		c, err := Dial(ctx, l.Addr().String(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Handshake(ctx, Hello{}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(ctx, m, nil); err != nil {
			t.Fatal(err)
		}
		got, _, err := c.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		sameMessage(t, got, m)
		c.Close()
		cancel()
	}
	<-done
	if n := runtime.NumGoroutine(); n > goroutines+2 {
		t.Errorf("%d goroutines, were %d before", n, goroutines)
	}
}

// Where there is no writev, a small frame is one write, and so are the first
// 16 KiB of a large one.
func TestSmallFramesAreOneWrite(t *testing.T) {
	for _, c := range []struct {
		elems int
		want  []int
	}{{10, []int{preludeSize + 2*(entrySize+dimSize) + 4 + 80}}, {10000, []int{joinSize}}} {
		var w writes
		conn := NewConn(&w, Limits{})
		x := relu(c.elems)
		if _, err := conn.Send(t.Context(), &Message{Meta: []byte("meta"), Tensors: []*tensor.Tensor{x, x}}, nil); err != nil {
			t.Fatal(err)
		}
		if len(w.sizes) > 3 || w.sizes[0] != c.want[0] || len(c.want) == len(w.sizes) != (c.elems == 10) {
			t.Errorf("%d elements: writes of %v bytes, want %v first", c.elems, w.sizes, c.want)
		}
	}
}

// writes notes the sizes of writes.
type writes struct {
	stream
	sizes []int
}

func (w *writes) Write(p []byte) (int, error) {
	w.sizes = append(w.sizes, len(p))
	return w.stream.Write(p)
}

// Frames over a real socket allocate nothing once the buffers have grown,
// under a context that can be cancelled. The compression library has pools, which
// the garbage collector empties, and the race detector at random.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	a, b := tcp(t, Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for {
			m, _, err := b.Receive(ctx)
			if err != nil {
				return
			}
			m.Tensors = nil
			if _, err := b.Send(ctx, m, nil); err != nil {
				return
			}
		}
	}()
	x := relu(1 << 15)
	m := &Message{Meta: []byte("meta"), Tensors: []*tensor.Tensor{x, relu(10), relu(1000)}}
	most := map[Codec]float64{Raw: 0, ShuffleZstd: 10, S2: 2, ZerosHuff0: 2, F16: 2, BF16: 2, U8: 2, U8Channel: 2, U4: 2}
	for _, c := range Codecs() {
		pick := always(c)
		send := func() {
			if _, err := a.Send(ctx, m, pick); err != nil {
				t.Fatal(err)
			}
			if _, _, err := a.Receive(ctx); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			send()
		}
		// The average is rounded down: less than one allocation in 20 frames.
		if n := testing.AllocsPerRun(20, send); n > most[c] {
			t.Errorf("%s: %v allocations a frame, want at most %v", c.Name(), n, most[c])
		}
	}
}

func TestHandshakeTellsLimitsAndCodecs(t *testing.T) {
	a, b := net.Pipe() // unbuffered: neither side may wait to write
	small, large := Limits{Meta: 10, Tensor: 100, Tensors: 200, Count: 2}, Limits{}
	ca, cb := NewConn(a, small), NewConn(b, large)
	defer ca.Close()
	defer cb.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		h, err := ca.Handshake(t.Context(), Hello{Meta: []byte("a"), Codecs: []uint8{}})
		if err != nil || string(h.Meta) != "b" || len(h.Codecs) != len(codecs) || h.Limits.Tensor != DefaultLimits.Tensor {
			t.Errorf("a: %+v, %v", h, err)
		}
	})
	h, err := cb.Handshake(t.Context(), Hello{Meta: []byte("b")})
	if err != nil || string(h.Meta) != "a" || !bytes.Equal(h.Codecs, []uint8{0}) || h.MinVersion != 1 || h.MaxVersion != 1 ||
		h.Limits != small {
		t.Errorf("b: %+v, %v", h, err)
	}
	wg.Wait()
	x := tensor.New(tensor.Uint8, 101)
	if _, err := cb.Send(t.Context(), &Message{Tensors: []*tensor.Tensor{x}}, nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("past the peer's limit: %v, want %v", err, ErrTooLarge)
	}
	y := tensor.New(tensor.Uint8, 100)
	if _, err := cb.Send(t.Context(), &Message{Tensors: []*tensor.Tensor{y}}, always(ShuffleZstd)); !errors.Is(err, ErrCodec) {
		t.Errorf("a codec that the peer does not take: %v, want %v", err, ErrCodec)
	}
	go b.Write(encode(t, &Message{Tensors: []*tensor.Tensor{y}}, ShuffleZstd))
	if _, _, err := ca.Receive(t.Context()); !errors.Is(err, ErrCodec) {
		t.Errorf("a codec that was not announced: %v, want %v", err, ErrCodec)
	}
}

func TestHandshakeRefusesAnotherVersion(t *testing.T) {
	bubble(t, Limits{}, simnet.Link{}, func(t *testing.T, a, b *Conn) {
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := a.Handshake(t.Context(), Hello{MinVersion: 2, MaxVersion: 3}); !errors.Is(err, ErrVersion) {
				t.Errorf("the newer side: %v, want %v", err, ErrVersion)
			}
		})
		_, err := b.Handshake(t.Context(), Hello{})
		if !errors.Is(err, ErrVersion) {
			t.Errorf("the older side: %v, want %v", err, ErrVersion)
		}
		if want := "transport: handshake: protocol version mismatch: peer speaks 2 to 3, want 1 to 1"; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		wg.Wait()
	})
	bubble(t, Limits{}, simnet.Link{}, func(t *testing.T, a, b *Conn) {
		var wg sync.WaitGroup
		for _, c := range []*Conn{a, b} {
			wg.Go(func() {
				h := Hello{MinVersion: 1, MaxVersion: 1}
				if c == a {
					h.MaxVersion = 2
				}
				if _, err := c.Handshake(t.Context(), h); err != nil {
					t.Errorf("1 to 2 with 1 to 1: %v", err)
				}
			})
		}
		wg.Wait()
	})
}

// The peer is none of ours, or is silent, or trickles.
func TestHandshakeGivesUp(t *testing.T) {
	hello := Hello{MinVersion: 1, MaxVersion: 1, Meta: []byte("meta")}.append(nil, 1)
	flipped := bytes.Clone(hello)
	flipped[9] ^= 1
	long := bytes.Clone(hello)
	le.PutUint16(long[6:], MaxHelloMeta+1)
	for _, c := range []struct {
		name  string
		sends []byte
		pause time.Duration // before each byte
		close bool
		want  error
		takes time.Duration
	}{
		{"silent", nil, 0, false, ErrTimeout, 5 * time.Second},
		{"a hello and no more", hello, 0, false, nil, 0},
		{"trickles", hello, time.Second, false, ErrTimeout, 5 * time.Second},
		{"truncated", hello[:20], 0, true, io.ErrUnexpectedEOF, 0},
		{"closes", nil, 0, true, io.EOF, 0},
		{"speaks HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), 0, false, ErrFormat, 0},
		{"flipped bit", flipped, 0, false, ErrChecksum, 0},
		{"meta too long", long, 0, false, ErrTooLarge, 0},
		{"a frame", encode(t, &Message{}, Raw), 0, false, ErrFormat, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, b := simnet.Pipe(simnet.Link{}, simnet.Link{})
			conn := NewConn(b, Limits{})
			var peer sync.WaitGroup
			defer peer.Wait()
			defer conn.Close()
			peer.Go(func() {
				for _, x := range c.sends {
					time.Sleep(c.pause)
					if _, err := a.Write([]byte{x}); err != nil {
						return
					}
				}
				if c.close {
					a.Close()
				}
			})
			start := time.Now()
			if _, err := conn.Handshake(t.Context(), Hello{}); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
			elapsed(t, start, c.takes)
		})
	}
}

func TestHandshakeChecksItsOwnHello(t *testing.T) {
	c := NewConn(&stream{}, Limits{})
	if _, err := c.Handshake(t.Context(), Hello{Meta: make([]byte, MaxHelloMeta+1)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("long meta: %v, want %v", err, ErrTooLarge)
	}
	if _, err := c.Handshake(t.Context(), Hello{Codecs: []uint8{9}}); !errors.Is(err, ErrCodec) {
		t.Errorf("unknown codec: %v, want %v", err, ErrCodec)
	}
}

func TestPlaintextStaysOnLoopback(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0"} {
		if l, err := Listen(addr, Options{}); !errors.Is(err, ErrPlaintext) {
			t.Errorf("Listen %s: %v, want %v", addr, err, ErrPlaintext)
			if err == nil {
				l.Close()
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // with Insecure, Dial would go as far as the context allows
	for _, addr := range []string{"192.0.2.1:9", "[2001:db8::1]:9", "[::ffff:192.0.2.1]:9"} {
		if _, err := Dial(t.Context(), addr, Options{}); !errors.Is(err, ErrPlaintext) {
			t.Errorf("Dial %s: %v, want %v", addr, err, ErrPlaintext)
		}
		if _, err := Dial(ctx, addr, Options{Insecure: true}); errors.Is(err, ErrPlaintext) {
			t.Errorf("insecure Dial %s: %v", addr, err)
		}
	}
	for addr, ok := range map[string]bool{
		"127.0.0.1:1": true, "127.8.9.1:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		"10.0.0.1:1": false, "[fe80::1%eth0]:1": false, "0.0.0.0:1": false, "localhost:1": false, "": false,
	} {
		if err := (Options{}).allow(addr); (err == nil) != ok {
			t.Errorf("%q: %v, want allowed %v", addr, err, ok)
		}
	}
	l, err := Listen(":0", Options{Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// outside is an address of this machine that is not loopback, or "".
func outside() string {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			return ip.IP.String()
		}
	}
	return ""
}

// What counts is the address that a name stands for.
func TestNamesThatLeaveLoopbackAreRefused(t *testing.T) {
	l, err := Listen("localhost:0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	c, err := Dial(t.Context(), net.JoinHostPort("localhost", port), Options{})
	if err != nil {
		t.Fatalf("localhost: %v", err)
	}
	c.Close()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		a, b := net.Pipe()
		go answerA(b, [4]byte{192, 0, 2, 1})
		return a, nil
	}}
	defer func() { net.DefaultResolver = &net.Resolver{} }()
	if _, err := Dial(t.Context(), "edge.example.:9", Options{}); !errors.Is(err, ErrPlaintext) {
		t.Errorf("a name for 192.0.2.1: %v, want %v", err, ErrPlaintext)
	}
}

// answerA answers each DNS query on c, in the stream form of RFC 1035, 4.2.2:
// ip for type A, nothing for others.
func answerA(c net.Conn, ip [4]byte) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		q := make([]byte, int(size[0])<<8|int(size[1]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		end := 12 + bytes.IndexByte(q[12:], 0) + 5
		r := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
		if q[end-3] == 1 { // type A
			r[7] = 1
			r = append(r, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ip[0], ip[1], ip[2], ip[3])
		}
		if _, err := c.Write(append([]byte{byte(len(r) >> 8), byte(len(r))}, r...)); err != nil {
			return
		}
	}
}

// A peer with another address reaches a loopback listener from this machine
// only, and is closed without being accepted.
func TestListenerClosesPeersOffLoopback(t *testing.T) {
	ip := outside()
	if ip == "" {
		t.Skip("this machine has no address off loopback")
	}
	l, err := Listen("127.0.0.1:0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	stranger, err := d.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Skipf("the system does not route from %s to loopback", ip)
	}
	defer stranger.Close()
	friend, err := Dial(t.Context(), l.Addr().String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer friend.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, want := c.RemoteAddr().String(), friend.LocalAddr().String(); got != want {
		t.Errorf("accepted %s, want %s", got, want)
	}
	if _, err := stranger.Read(make([]byte, 1)); err == nil {
		t.Error("the stranger can read")
	}
}

func TestSealGivesTheMetaAfterEncoding(t *testing.T) {
	a, b := net.Pipe()
	send, receive := NewConn(a, Limits{Meta: 8}), NewConn(b, Limits{Meta: 8})
	defer send.Close()
	defer receive.Close()
	sealed := func(meta string) error {
		var took time.Duration = -1
		_, err := send.Send(context.Background(), &Message{Meta: []byte("no"), Seal: func(code time.Duration) []byte {
			took = code
			return []byte(meta)
		}}, nil)
		if took < 0 {
			t.Errorf("Seal was given %v", took)
		}
		return err
	}
	if err := sealed("too large"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("meta past the limit: got error %v", err)
	}
	go sealed("at limit")
	m, _, err := receive.Receive(context.Background())
	if err != nil || string(m.Meta) != "at limit" {
		t.Errorf("got %q, error %v", m.Meta, err)
	}
}

func TestAwaitTellsOfAFrameAndOfTheEndAndLeavesTheRest(t *testing.T) {
	a, b := tcp(t, Limits{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Await(ctx) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("context ends: got error %v", err)
	}
	ctx = context.Background()
	if _, err := a.Send(ctx, &Message{Kind: 1, ID: 7}, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Await(ctx); err != nil {
		t.Errorf("frame is there: got error %v", err)
	}
	if m, _, err := b.Receive(ctx); err != nil || m.ID != 7 {
		t.Errorf("got message %+v, error %v, want the one of id 7", m, err)
	}
	a.Close()
	if err := b.Await(ctx); !errors.Is(err, io.EOF) {
		t.Errorf("peer has closed: got error %v, want %v", err, io.EOF)
	}
}
