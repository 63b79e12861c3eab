package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"scission/transport/keys"
)

// Options is how to reach, or to be reached by, a peer over TCP.
type Options struct {
	// Keys, if not nil, makes every connection one of mutual TLS 1.3: both
	// sides show a certificate that one of the other's authorities has signed.
	Keys *keys.Identity
	// PlainLoopback leaves TLS out where the address is loopback, that which
	// is dialed or listened on.
	PlainLoopback bool
	// Peer is the name that the certificate of a peer that is dialed has to
	// have. If it is empty, any with the role Serve will do.
	Peer string
	// Insecure allows addresses that are not loopback without Keys. Frames are
	// neither encrypted nor authenticated then: anyone on the way can read and
	// change them.
	Insecure bool
	Limits   Limits // of the Conn that Dial returns; of a listener Silence counts, see SPEC.md, section 8
}

// keepAlive finds a peer that vanished within 30 seconds of silence.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// Dial connects to addr, "host:port". Without o.Keys it sends nothing to an
// address that is not loopback, not even one that host resolves to, unless
// o.Insecure: it then fails with ErrPlaintext. With them, the Conn's Handshake
// makes sure of the peer. It gives up after Limits.Handshake. Delays by Nagle's
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
	return Client(c, c.RemoteAddr().String(), o), nil
}

// Listen listens on addr, "host:port". Without o.Keys, and unless o.Insecure, it
// fails with ErrPlaintext if that is not a loopback address, which an empty host
// is not, and closes a connection from any other address instead of accepting
// it. With them its connections use TLS, and the Handshake of a Conn on one makes
// sure of the peer. The connections are for NewConn.
func Listen(addr string, o Options) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: func(network, address string, rc syscall.RawConn) error {
		return o.control(context.Background(), network, address, rc)
	}}
	l, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	if o.Encrypts(l.Addr().String()) {
		return tls.NewListener(l, tlsConfig(o.Keys, false, "")), nil
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
	if o.Insecure || o.Keys != nil || loopback(address) {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrPlaintext, address)
}

// Encrypts reports whether connections use TLS whose address, "ip:port", that is
// dialed or listened on, is the given one.
func (o Options) Encrypts(address string) bool {
	return o.Keys != nil && !(o.PlainLoopback && loopback(address))
}

func loopback(address string) bool {
	ap, err := netip.ParseAddrPort(address)
	return err == nil && ap.Addr().Unmap().IsLoopback()
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
