package transport

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"scission/engine/tensor"
)

var update = flag.Bool("update", false, "rewrite the golden frames")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stream is a connection on which in arrives and to which out was written.
type stream struct {
	in  io.Reader
	out bytes.Buffer
}

func (s *stream) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *stream) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *stream) Close() error                     { return nil }
func (s *stream) LocalAddr() net.Addr              { return nil }
func (s *stream) RemoteAddr() net.Addr             { return nil }
func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

// always picks c for each tensor.
func always(c Codec) func(int, *tensor.Tensor) Codec {
	return func(int, *tensor.Tensor) Codec { return c }
}

// encode is the frame of m.
func encode(t testing.TB, m *Message, c Codec) []byte {
	t.Helper()
	var s stream
	if _, err := NewConn(&s, Limits{}).Send(context.Background(), m, always(c)); err != nil {
		t.Fatal(err)
	}
	return s.out.Bytes()
}

// receive reads the first message in b.
func receive(b []byte, l Limits) (*Message, error) {
	m, _, err := NewConn(&stream{in: bytes.NewReader(b)}, l).Receive(context.Background())
	return m, err
}

// tcp is a pair of Conns over loopback, closed when the test ends.
func tcp(t testing.TB, l Limits) (a, b *Conn) {
	t.Helper()
	ln, err := Listen("127.0.0.1:0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a, err = Dial(context.Background(), ln.Addr().String(), Options{Limits: l}); err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	b = NewConn(c, l)
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

// sameMessage reports the first difference of got from want.
func sameMessage(t testing.TB, got, want *Message) {
	t.Helper()
	if got.Kind != want.Kind || got.ID != want.ID || got.Deadline != want.Deadline || !bytes.Equal(got.Meta, want.Meta) {
		t.Fatalf("got kind %d, id %d, deadline %v, meta %q, want %d, %d, %v, %q",
			got.Kind, got.ID, got.Deadline, got.Meta, want.Kind, want.ID, want.Deadline, want.Meta)
	}
	if len(got.Tensors) != len(want.Tensors) {
		t.Fatalf("got %d tensors, want %d", len(got.Tensors), len(want.Tensors))
	}
	for i, w := range want.Tensors {
		if !got.Tensors[i].Identical(w) {
			t.Fatalf("tensor %d: got %v, want %v, or their bytes differ", i, got.Tensors[i].Type, w.Type)
		}
		if !tensor.Aligned(got.Tensors[i].Raw, tensor.Align) {
			t.Fatalf("tensor %d does not start on a multiple of %d", i, tensor.Align)
		}
	}
}
