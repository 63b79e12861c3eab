// Package simnet is a network in memory, and a wrapper that makes a real
// connection as slow as another: latency, bandwidth and a break at a given
// byte. It is for tests and demonstrations; what it shows of a link is an
// emulation and is to be labelled so. A Pipe uses the time package only, so in a
// testing/synctest bubble it runs on the bubble's clock. It imports nothing of
// the project.
package simnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// ErrCut is the error of both ends, after what is still on its way, once a Link
// has broken at its Cut.
var ErrCut = errors.New("simnet: connection cut")

// Link is one direction of a connection.
type Link struct {
	Latency   time.Duration // from leaving one end to arriving at the other
	Bandwidth float64       // bytes a second; 0 is unlimited
	Cut       int64         // behind this many bytes the connection breaks, both ways; 0 is never
}

// Pipe returns the two ends of a connection: what a writes takes the link ab,
// what b writes the link ba. Unlike net.Pipe it buffers, as sockets do.
func Pipe(ab, ba Link) (a, b net.Conn) {
	s := newState()
	there, back := newLine(ab, s), newLine(ba, s)
	return &end{in: back, out: there, local: "a", remote: "b"}, &end{in: there, out: back, local: "b", remote: "a"}
}

// Addr is the name of an end.
type Addr string

func (Addr) Network() string  { return "simnet" }
func (a Addr) String() string { return string(a) }

// end is one end of a Pipe. A full line holds up Write; Close lets the peer
// read what was written, then gives it io.EOF.
type end struct {
	in, out       *line
	local, remote Addr
}

func (e *end) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *end) Write(p []byte) (int, error) { return e.out.write(p) }
func (e *end) Close() error {
	e.out.closeWriter()
	e.in.closeReader()
	return nil
}
func (e *end) LocalAddr() net.Addr                { return e.local }
func (e *end) RemoteAddr() net.Addr               { return e.remote }
func (e *end) SetReadDeadline(t time.Time) error  { return e.in.setReadDeadline(t) }
func (e *end) SetWriteDeadline(t time.Time) error { return e.out.setWriteDeadline(t) }
func (e *end) SetDeadline(t time.Time) error {
	e.in.setReadDeadline(t)
	return e.out.setWriteDeadline(t)
}

// Network is a set of listeners that Dial reaches by name. Its zero value is
// ready for use, by several goroutines at once.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
}

// Listen opens the name for Dial.
func (n *Network) Listen(name string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[name] != nil {
		return nil, fmt.Errorf("simnet: listen: %q is taken", name)
	}
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	l := &listener{n: n, name: name, conns: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[name] = l
	return l, nil
}

// Dial connects to the listener of the given name; link is both directions. It
// returns when the connection is accepted.
func (n *Network) Dial(ctx context.Context, name string, link Link) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[name]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("simnet: dial: nobody listens on %q", name)
	}
	s := newState()
	there, back := newLine(link, s), newLine(link, s)
	select {
	case l.conns <- &end{in: there, out: back, local: Addr(name), remote: "dialer"}:
		return &end{in: back, out: there, local: "dialer", remote: Addr(name)}, nil
	case <-l.closed:
		return nil, fmt.Errorf("simnet: dial: nobody listens on %q", name)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type listener struct {
	n      *Network
	name   string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.n.mu.Lock()
		defer l.n.mu.Unlock()
		delete(l.n.listeners, l.name)
	})
	return nil
}

func (l *listener) Addr() net.Addr { return Addr(l.name) }
