package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"scission/engine/tensor"
)

// NewConn takes a TLS connection, on which tensors are records and not a writev.
func TestConnOverTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"peer"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:      roots, ServerName: "peer", MinVersion: tls.VersionTLS13,
	}
	a, b := net.Pipe()
	client, server := NewConn(tls.Client(a, config), Limits{}), NewConn(tls.Server(b, config), Limits{})
	m := &Message{ID: 1, Meta: []byte("meta"), Tensors: []*tensor.Tensor{relu(1 << 16), relu(10)}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := server.Handshake(t.Context(), Hello{}); err != nil {
			t.Error(err)
			return
		}
		got, _, err := server.Receive(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		sameMessage(t, got, m)
		server.Close()
	}()
	if _, err := client.Handshake(t.Context(), Hello{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Send(t.Context(), m, nil); err != nil {
		t.Error(err)
	}
	if _, _, err := client.Receive(t.Context()); err == nil {
		t.Error("a message from a peer that sent none")
	}
	client.Close()
	<-done
}
