package simnet

import (
	"net"
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
// This is an emulation: the bytes also cross the connection below, at its own
// speed.
func Shape(c net.Conn, latency time.Duration, bandwidth float64) net.Conn {
	s := &shaped{c, newLine(Link{Latency: latency, Bandwidth: bandwidth}, newState())}
	go s.deliver()
	return s
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
	return s.Conn.SetWriteDeadline(last.Add(linger))
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
