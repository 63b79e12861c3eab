package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Options is how to reach, or to be reached by, a peer over TCP.
type Options struct {
	// Insecure allows addresses that are not loopback. Frames are neither
	// encrypted nor authenticated: anyone on the way can read and change them.
	Insecure bool
	Limits   Limits // of the Conn that Dial returns; of a listener Silence counts, see SPEC.md, section 8
}

// keepAlive finds a peer that vanished within 30 seconds of silence.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// Dial connects to addr, "host:port". It sends nothing to an address that is
// not loopback, not even one that host resolves to, unless o.Insecure: it then
// fails with ErrPlaintext. It gives up after Limits.Handshake. Delays by Nagle's
// algorithm are off.
func Dial(ctx context.Context, addr string, o Options) (*Conn, error) {
	d := net.Dialer{Timeout: o.Limits.withDefaults().Handshake, KeepAliveConfig: keepAlive, ControlContext: o.control}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	if err := o.allow(c.RemoteAddr().String()); err != nil {
		c.Close()
		return nil, fmt.Errorf("transport: dial %s: %w", addr, err)
	}
	return NewConn(c, o.Limits), nil
}

// Listen listens on addr, "host:port". Unless o.Insecure it fails with
// ErrPlaintext if that is not a loopback address, which an empty host is not,
// and closes a connection from any other address instead of accepting it. The
// connections are for NewConn.
func Listen(addr string, o Options) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: func(network, address string, rc syscall.RawConn) error {
		return o.control(context.Background(), network, address, rc)
	}}
	l, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	return listener{l, o}, nil
}

// control is called with each resolved address before the socket uses it.
func (o Options) control(_ context.Context, _, address string, rc syscall.RawConn) error {
	if err := o.allow(address); err != nil {
		return err
	}
	return setUserTimeout(rc, unackedFactor*o.Limits.withDefaults().Silence)
}

// unackedFactor times Limits.Silence is how long the system keeps a connection
// on which the peer does not acknowledge, or does not take, what was sent.
const unackedFactor = 3

// allow returns ErrPlaintext if address, "ip:port", may not carry plaintext.
func (o Options) allow(address string) error {
	if o.Insecure {
		return nil
	}
	ap, err := netip.ParseAddrPort(address)
	if err == nil && ap.Addr().Unmap().IsLoopback() {
		return nil
	}
	return fmt.Errorf("%w: %s; encrypt it, or set Insecure", ErrPlaintext, address)
}

// listener accepts only what its options allow.
type listener struct {
	net.Listener
	o Options
}

func (l listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || l.o.allow(c.RemoteAddr().String()) == nil {
			return c, err
		}
		c.Close()
	}
}
