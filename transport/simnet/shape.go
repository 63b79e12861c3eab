package simnet

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// linger is how long after its last byte should have left a closed shaped
// connection waits for the connection below to take it.
const linger = 5 * time.Second

// Shape returns c with what is written to it delayed as on a link of the given
// latency and bandwidth, in bytes a second; 0 is unlimited. Reading is as
// before, so both ends are shaped to emulate both directions. Write returns
// once its bytes are in a queue, of 1 MiB beyond what is on its way, and Close
// at once: what was written is still delivered.
//
// On a socket what arrives does so to about 0.1 ms, in a synctest bubble by the
// bubble's clock.
//
// This is an emulation: the bytes also cross the connection below, at its own
// speed.
func Shape(c net.Conn, latency time.Duration, bandwidth float64) net.Conn {
	return shape(c, newLine(Link{Latency: latency, Bandwidth: bandwidth}, newState()))
}

func shape(c net.Conn, out *line) *shaped {
	_, out.exact = c.(syscall.Conn)
	s := &shaped{c, out}
	go s.deliver()
	return s
}

// Shaper emulates a link between two hosts, both ways, at one end of its
// connections, which share it. It can be changed while they are in use. It is
// safe for concurrent use.
type Shaper struct {
	*state
	there, back *road
}

// NewShaper returns a link that carries what is written there and what is read
// back. Cut does not count.
func NewShaper(there, back Link) *Shaper {
	return &Shaper{newState(), &road{link: there}, &road{link: back}}
}

// Set changes the link. What has not left its end by now takes the new one.
func (s *Shaper) Set(there, back Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.there.change(there)
	s.back.change(back)
	s.changed.Broadcast()
}

// Conn returns c with the link in its way. As with Shape, Write and Close do not
// wait until what was written is delivered.
func (s *Shaper) Conn(c net.Conn) net.Conn {
	s.mu.Lock()
	out, in := s.there.line(s.state), s.back.line(s.state)
	s.mu.Unlock()
	b := &bothWays{shape(c, out), in, make(chan struct{})}
	in.exact = out.exact
	go b.take()
	return b
}

// bothWays is shaped for what is written, and reads what has come through in.
type bothWays struct {
	*shaped
	in    *line
	taken chan struct{} // closed when nothing more is read from the connection below
}

// take reads the connection below to its end.
func (b *bothWays) take() {
	defer close(b.taken)
	defer b.in.closeWriter()
	data := make([]byte, maxBurst)
	for {
		n, err := b.shaped.Read(data)
		if _, full := b.in.write(data[:n]); err != nil || full != nil {
			return
		}
	}
}

func (b *bothWays) Read(p []byte) (int, error) { return b.in.read(p) }

func (b *bothWays) Close() error {
	b.in.closeReader()
	err := b.shaped.Close()
	<-b.taken
	return err
}

func (b *bothWays) SetReadDeadline(t time.Time) error { return b.in.setReadDeadline(t) }

func (b *bothWays) SetDeadline(t time.Time) error {
	b.out.setWriteDeadline(t)
	return b.in.setReadDeadline(t)
}

type shaped struct {
	net.Conn
	out *line
}

// deliver writes to the connection below what has arrived, to the end.
func (s *shaped) deliver() {
	defer s.Conn.Close()
	defer s.out.closeReader()
	b := make([]byte, maxBurst)
	for {
		n, err := s.out.read(b)
		if err != nil {
			return
		}
		if _, err := s.Conn.Write(b[:n]); err != nil {
			return
		}
	}
}

func (s *shaped) Write(p []byte) (int, error) { return s.out.write(p) }

func (s *shaped) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil && s.closed() {
		err = net.ErrClosed
	}
	return n, err
}

func (s *shaped) closed() bool {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	return s.out.writerClosed
}

func (s *shaped) Close() error {
	s.out.closeWriter()
	s.Conn.SetReadDeadline(time.Unix(1, 0))
	s.out.mu.Lock()
	last := s.out.free.Add(s.out.link.Latency)
	s.out.mu.Unlock()
	if now := time.Now(); last.Before(now) {
		last = now
	}
	if err := s.Conn.SetWriteDeadline(last.Add(linger)); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil // all is delivered already
}

func (s *shaped) SetWriteDeadline(t time.Time) error { return s.out.setWriteDeadline(t) }

func (s *shaped) SetReadDeadline(t time.Time) error {
	if s.closed() {
		return net.ErrClosed
	}
	return s.Conn.SetReadDeadline(t)
}

func (s *shaped) SetDeadline(t time.Time) error {
	s.out.setWriteDeadline(t)
	return s.SetReadDeadline(t)
}
