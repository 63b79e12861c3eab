package transport

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scission/engine/tensor"
	"scission/transport/keys"
	"scission/transport/simnet"
)

func newAuthority(t testing.TB) *keys.Authority {
	t.Helper()
	a, err := keys.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes keys that are valid from an hour before the given time from now,
// for two hours.
func issue(t testing.TB, a *keys.Authority, name string, roles keys.Roles, from time.Duration) *keys.Identity {
	t.Helper()
	id, err := a.Issue(name, roles, time.Now().Add(from), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// greet connects a client with the one to a server with the other options.
func greet(t *testing.T, dial, listen Options) (client, server *Conn, clientErr, serverErr error) {
	t.Helper()
	l, err := Listen("127.0.0.1:0", listen)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			serverErr = err
			return
		}
		server = NewConn(c, Limits{})
		if _, serverErr = server.Handshake(t.Context(), Hello{}); serverErr != nil {
			server.Close()
		}
	}()
	client, err = Dial(t.Context(), l.Addr().String(), dial)
	if err != nil {
		t.Fatal(err)
	}
	if _, clientErr = client.Handshake(t.Context(), Hello{}); clientErr != nil {
		client.Close()
	}
	<-done
	return client, server, clientErr, serverErr
}

func TestHostsWithKeysKnowEachOtherAndExchangeTensors(t *testing.T) {
	a := newAuthority(t)
	device, edge := issue(t, a, "device", keys.Run|keys.Upload, 0), issue(t, a, "edge", keys.Serve, 0)
	for _, want := range []string{"edge", ""} {
		client, server, err, serverErr := greet(t, Options{Keys: device, Peer: want}, Options{Keys: edge})
		if err != nil || serverErr != nil {
			t.Fatalf("errors %v and %v", err, serverErr)
		}
		if p, ok := server.Peer(); !ok || p != (keys.Peer{Name: "device", Roles: keys.Run | keys.Upload}) {
			t.Errorf("the server's peer is %v", p)
		}
		if p, ok := client.Peer(); !ok || p != (keys.Peer{Name: "edge", Roles: keys.Serve}) {
			t.Errorf("the client's peer is %v", p)
		}
		if v := client.tls.ConnectionState().Version; v != tls.VersionTLS13 {
			t.Errorf("TLS version %#x, want %#x", v, tls.VersionTLS13)
		}
		m := &Message{ID: 1, Meta: []byte("meta"), Tensors: []*tensor.Tensor{relu(1 << 18), relu(10)}}
		sent := make(chan error, 1)
		go func() {
			_, err := client.Send(context.Background(), m, nil)
			sent <- err
		}()
		got, _, err := server.Receive(t.Context())
		if err != nil || <-sent != nil {
			t.Fatal(err)
		}
		sameMessage(t, got, m)
		client.Close()
		if _, _, err := server.Receive(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: error %v, want EOF", err)
		}
		server.Close()
	}
}

// Every pair of which one does not accept the other fails on both sides, with a
// reason that says what was got and what is wanted on the side that refuses.
func TestHandshakesThatMustFail(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	good, edge := issue(t, a, "device", keys.Run, 0), issue(t, a, "edge", keys.Serve, 0)
	const year = 365 * 24 * time.Hour
	with := func(id *keys.Identity) Options { return Options{Keys: id, Peer: "edge"} }
	const refused = "the peer refused this side's"
	for name, c := range map[string]struct {
		dial, listen   Options
		client, server string // in the errors
		is             error
	}{
		"unknown authority of the client": {with(issue(t, foreign, "device", keys.Run, 0)), with(edge),
			`unknown authority "` + a.Name, refused, keys.ErrUntrusted}, // it sees the server's first
		"unknown authority of the server": {with(good), with(issue(t, foreign, "edge", keys.Serve, 0)),
			`unknown authority "` + foreign.Name + `", want "` + a.Name, refused, keys.ErrUntrusted},
		"client expired":         {with(issue(t, a, "device", keys.Run, -year)), with(edge), refused, `"device" expired at`, keys.ErrUntrusted},
		"server expired":         {with(good), with(issue(t, a, "edge", keys.Serve, -year)), `"edge" expired at`, refused, keys.ErrUntrusted},
		"client not yet valid":   {with(issue(t, a, "device", keys.Run, year)), with(edge), refused, `"device" is not valid before`, keys.ErrUntrusted},
		"server not yet valid":   {with(good), with(issue(t, a, "edge", keys.Serve, year)), `"edge" is not valid before`, refused, keys.ErrUntrusted},
		"wrong name":             {with(good), with(issue(t, a, "cloud", keys.Serve, 0)), `that of "cloud", want "edge"`, refused, keys.ErrUntrusted},
		"a client's certificate": {with(good), with(issue(t, a, "edge", keys.Run|keys.Upload|keys.Admin, 0)), "want the role serve", refused, keys.ErrUntrusted},
		"plaintext to TLS":       {Options{}, with(edge), "the peer speaks TLS, and this side does not", "the peer does not encrypt, and this side does", ErrEncryption},
		"TLS to plaintext":       {with(good), Options{}, "the peer does not encrypt, and this side does", "the peer speaks TLS, and this side does not", ErrEncryption},
	} {
		t.Run(name, func(t *testing.T) {
			_, server, clientErr, serverErr := greet(t, c.dial, c.listen)
			for side, got := range map[string]struct {
				err  error
				says string
			}{"client": {clientErr, c.client}, "server": {serverErr, c.server}} {
				if !errors.Is(got.err, c.is) || !strings.Contains(got.err.Error(), got.says) {
					t.Errorf("%s: error %v, want %v with %q", side, got.err, c.is, got.says)
				}
			}
			// A client may have accepted a server that refuses it.
			if p, ok := server.Peer(); ok {
				t.Errorf("the peer of a handshake that failed is %v", p)
			}
		})
	}
}

// What other programs may try on a server.
func TestServersWithKeysRefuseOtherTLS(t *testing.T) {
	a := newAuthority(t)
	edge, device := issue(t, a, "edge", keys.Serve, 0), issue(t, a, "device", keys.Run, 0)
	// A host must not be able to vouch for another.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := url.Parse("scission://role/admin")
	if err != nil {
		t.Fatal(err)
	}
	forged := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "boss"}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, URIs: []*url.URL{{Scheme: "scission", Host: "host", Path: "/boss"}, admin},
	}
	own := device.Certificate()
	der, err := x509.CreateCertificate(rand.Reader, forged, own.Leaf, &key.PublicKey, own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config *tls.Config
		says   string
	}{
		"no certificate":     {&tls.Config{}, "didn't provide a certificate"},
		"TLS 1.2":            {&tls.Config{Certificates: []tls.Certificate{own}, MaxVersion: tls.VersionTLS12}, "unsupported versions"},
		"another protocol":   {&tls.Config{Certificates: []tls.Certificate{own}, NextProtos: []string{"h2"}}, "unsupported application protocols"},
		"no protocol":        {&tls.Config{Certificates: []tls.Certificate{own}, NextProtos: nil}, `peer speaks "", want "scission"`},
		"signed by a host":   {&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der, own.Certificate[0]}, PrivateKey: key}}}, "unknown authority"},
		"key of another one": {&tls.Config{Certificates: []tls.Certificate{{Certificate: own.Certificate, PrivateKey: key}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Listen("127.0.0.1:0", Options{Keys: edge})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			config := c.config.Clone()
			config.InsecureSkipVerify = true
			if config.NextProtos == nil && name != "no protocol" {
				config.NextProtos = []string{protocol}
			}
			done := make(chan error, 1)
			go func() {
				tc, err := tls.Dial("tcp", l.Addr().String(), config)
				if err == nil {
					// The server's verdict arrives after the client's own part.
					_, err = io.Copy(io.Discard, tc)
					tc.Close()
				}
				done <- err
			}()
			nc, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			server := NewConn(nc, Limits{})
			defer server.Close()
			if _, err := server.Handshake(t.Context(), Hello{}); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the server's error is %v, want one with %q", err, c.says)
			}
			server.Close()
			if err := <-done; err == nil {
				t.Error("the client was not refused")
			}
		})
	}
}

// A server of TLS 1.2, or without a certificate that we believe, gets no request.
func TestClientsWithKeysRefuseOldTLS(t *testing.T) {
	a := newAuthority(t)
	edge, device := issue(t, a, "edge", keys.Serve, 0), issue(t, a, "device", keys.Run, 0)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{edge.Certificate()}, MaxVersion: tls.VersionTLS12, NextProtos: []string{protocol}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan []byte, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- nil
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		got <- b
	}()
	conn, err := Dial(t.Context(), l.Addr().String(), Options{Keys: device, Peer: "edge"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Handshake(t.Context(), Hello{Meta: []byte("secret")})
	conn.Close()
	if err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("error %v, want one about the protocol's version", err)
	}
	if b := <-got; len(b) > 0 {
		t.Errorf("the server received %q", b)
	}
}

func TestKeysOfTheConfigurationLeaveLoopbackAsItIs(t *testing.T) {
	a := newAuthority(t)
	o := Options{Keys: issue(t, a, "edge", keys.All, 0), PlainLoopback: true}
	client, server, err, serverErr := greet(t, o, o)
	if err != nil || serverErr != nil {
		t.Fatalf("errors %v and %v", err, serverErr)
	}
	defer client.Close()
	defer server.Close()
	if _, ok := server.Peer(); ok || client.tls != nil {
		t.Error("a connection over loopback is encrypted")
	}
	for addr, want := range map[string]bool{"127.0.0.1:1": false, "[::1]:1": false, "10.0.0.1:1": true, "[::]:1": true, "0.0.0.0:1": true, "edge": true} {
		if got := o.Encrypts(addr); got != want {
			t.Errorf("%s: encrypts %v, want %v", addr, got, want)
		}
		if (Options{Keys: o.Keys}).Encrypts(addr) != true || (Options{}).Encrypts(addr) {
			t.Errorf("%s: with keys and without", addr)
		}
	}
}

// A peer that stops after any byte of what it has to say first, in plaintext and
// in TLS, is cut off.
func TestPeersThatStopWithinTheHandshakeAreCutOff(t *testing.T) {
	a := newAuthority(t)
	edge := issue(t, a, "edge", keys.Serve, 0)
	hello := Hello{MinVersion: Version, MaxVersion: Version, Limits: DefaultLimits, Meta: []byte("meta")}.append(nil, allCodecs())
	first := clientHello(t)
	for name, c := range map[string]struct {
		bytes []byte
		step  int
		conn  func(net.Conn) *Conn
	}{
		"hello": {hello, 1, func(c net.Conn) *Conn { return NewConn(c, Limits{}) }},
		"TLS":   {first, 7, func(c net.Conn) *Conn { return NewConn(tls.Server(c, tlsConfig(edge, false, "")), Limits{}) }},
	} {
		for n := 0; n < len(c.bytes); n += c.step {
			synctest.Test(t, func(t *testing.T) {
				near, far := simnet.Pipe(simnet.Link{}, simnet.Link{})
				defer far.Close()
				go io.Copy(io.Discard, far) // reads what it is told and says no more
				far.Write(c.bytes[:n])
				conn := c.conn(near)
				defer conn.Close()
				start := time.Now()
				if _, err := conn.Handshake(context.Background(), Hello{}); !errors.Is(err, ErrTimeout) {
					t.Errorf("%s: after %d bytes: error %v, want ErrTimeout", name, n, err)
				}
				if took := time.Since(start); took > DefaultLimits.Handshake+lingerTime {
					t.Errorf("%s: after %d bytes: took %v, want %v", name, n, took, DefaultLimits.Handshake)
				}
			})
		}
	}
}

// clientHello is what a client of TLS sends first.
func clientHello(t *testing.T) []byte {
	t.Helper()
	s := &stream{in: bytes.NewReader(nil)}
	a := newAuthority(t)
	c := tls.Client(s, tlsConfig(issue(t, a, "device", keys.Run, 0), true, ""))
	if err := c.Handshake(); err == nil || s.out.Len() == 0 {
		t.Fatalf("wrote %d bytes, error %v", s.out.Len(), err)
	}
	return s.out.Bytes()
}

// A sender that stops after any byte of a frame, its header or its body, is cut
// off.
func TestSendersThatStopWithinAFrameAreCutOff(t *testing.T) {
	frame := encode(t, &Message{Meta: []byte("meta"), Tensors: []*tensor.Tensor{relu(8)}}, Raw)
	for n := range frame {
		synctest.Test(t, func(t *testing.T) {
			near, far := simnet.Pipe(simnet.Link{}, simnet.Link{})
			defer far.Close()
			far.Write(frame[:n])
			conn := NewConn(near, Limits{Idle: time.Minute})
			defer conn.Close()
			if _, _, err := conn.Receive(context.Background()); !errors.Is(err, ErrTimeout) {
				t.Errorf("after %d of %d bytes: error %v, want ErrTimeout", n, len(frame), err)
			}
		})
	}
}

// The end of a connection is not delayed by a peer that does not read.
func TestCloseOfTLSDoesNotWaitForThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		near, far := net.Pipe()
		client := NewConn(tls.Client(near, tlsConfig(issue(t, a, "device", keys.Run, 0), true, "")), Limits{})
		server := NewConn(tls.Server(far, tlsConfig(issue(t, a, "edge", keys.Serve, 0), false, "")), Limits{})
		done := make(chan error, 1)
		go func() {
			_, err := server.Handshake(context.Background(), Hello{})
			done <- err
		}()
		if _, err := client.Handshake(context.Background(), Hello{}); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		client.Close() // crypto/tls alone waits 5 s
		if took := time.Since(start); took > closeTime {
			t.Errorf("took %v, want at most %v", took, closeTime)
		}
		server.Close()
	})
}
