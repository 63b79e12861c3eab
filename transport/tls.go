package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"scission/transport/keys"
)

// protocol is what both sides of a TLS connection say they speak (ALPN).
const protocol = "scission"

// tlsConfig is for both sides, each of which shows a certificate. want is the
// name of a peer that is dialed; empty is any.
func tlsConfig(id *keys.Identity, dialed bool, want string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{protocol},
		Certificates: []tls.Certificate{id.Certificate()},

		// Names are not those of the DNS, which is all that crypto/tls checks.
		// VerifyConnection checks them and the chain on both sides, before
		// anything of ours is sent.
		InsecureSkipVerify: true,
		ClientAuth:         tls.RequireAnyClientCert,
		VerifyConnection: func(state tls.ConnectionState) error {
			if state.NegotiatedProtocol != protocol {
				return fmt.Errorf("peer speaks %.80q, want %q", state.NegotiatedProtocol, protocol)
			}
			_, err := id.Verify(state.PeerCertificates, dialed, want, time.Now())
			return err
		},

		// With a ticket a peer could return after its certificate has expired;
		// connections live long enough to do without.
		SessionTicketsDisabled: true,
		// Small records at first are for web pages.
		DynamicRecordSizingDisabled: true,
	}
}

// Client returns a Conn on c, a connection to addr, "ip:port", that this side
// has made: over TLS where o wants that. Dial is a TCP connection and Client.
func Client(c net.Conn, addr string, o Options) *Conn {
	if o.Encrypts(addr) {
		c = tls.Client(c, tlsConfig(o.Keys, true, o.Peer))
	}
	return NewConn(c, o.Limits)
}

// secure makes the TLS connection.
func (c *Conn) secure(ctx context.Context) error {
	err := c.tls.HandshakeContext(ctx)
	if err == nil {
		// A *tls.Conn that is not of this package may have other certificates.
		if shown := c.tls.ConnectionState().PeerCertificates; len(shown) > 0 {
			c.peerKeys, _ = keys.PeerOf(shown[0])
		}
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("transport: handshake: TLS: %w: %w", ErrTimeout, ctx.Err())
	}
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header) && bytes.HasPrefix(header.RecordHeader[:], []byte(helloMagic)):
		c.tls.NetConn().Write(encryptionWanted)
		err = fmt.Errorf("%w: the peer does not encrypt, and this side does", ErrEncryption)
	case refused(err) != nil:
		err = refused(err)
	}
	linger(ctx, c.tls.NetConn())
	return fmt.Errorf("transport: handshake: TLS: %w", err)
}

// refused is what err, if it is an alert from the peer, says; otherwise nil.
func refused(err error) error {
	var alert *net.OpError
	if errors.As(err, &alert) && alert.Op == "remote error" {
		return fmt.Errorf("%w: the peer refused this side's: %w", keys.ErrUntrusted, alert.Err)
	}
	return nil
}

// First bytes of records of TLS.
const (
	tlsAlert     = 21
	tlsHandshake = 22
	tlsMajor     = 3
)

// encryptionWanted is a TLS alert, fatal, protocol_version, for a peer that
// sends plaintext.
var encryptionWanted = []byte{tlsAlert, tlsMajor, 3, 0, 2, 2, 70}

// speaksTLS reports whether a peer that begins with b speaks TLS.
func speaksTLS(b []byte) bool { return (b[0] == tlsAlert || b[0] == tlsHandshake) && b[1] == tlsMajor }

// What linger waits for.
const (
	lingerTime  = 250 * time.Millisecond
	lingerBytes = 64 << 10
)

// linger gives the peer time to read why it was refused: a connection that is
// closed while bytes wait to be read is reset, and what was sent is lost.
func linger(ctx context.Context, c net.Conn) {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	deadline := time.Now().Add(lingerTime)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if c.SetReadDeadline(deadline) == nil {
		io.CopyN(io.Discard, c, lingerBytes)
	}
}

// closeTime is how long telling the peer of the end may take.
const closeTime = 100 * time.Millisecond

// closeTLS closes the connection, and tells the peer if it takes that at once.
func (c *Conn) closeTLS() error {
	t := time.AfterFunc(closeTime, func() { c.tls.NetConn().Close() })
	defer t.Stop()
	return c.tls.Close()
}

// Peer is what the peer's certificate says of it, once Handshake has found it to
// be good; without TLS ok is false.
func (c *Conn) Peer() (p keys.Peer, ok bool) { return c.peerKeys, c.peerKeys.Name != "" }
