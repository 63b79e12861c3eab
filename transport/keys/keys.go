// Package keys makes and reads the certificates by which hosts know each other.
//
// An Authority signs; it is a key that stays on one machine. An Identity is
// what a host shows, a certificate with its name and Roles, and whom it
// believes: the hosts whose certificates its Authority has signed. Names are
// those that hosts have in stages, not addresses, so a worker may move.
//
// Authorities and identities are each one PEM file, which holds a private key
// and is for its owner only. Keys are ECDSA P-256, certificates X.509 version 3:
// the name is the URI scission://host/NAME, and each role of a client is a URI
// scission://role/ROLE.
package keys

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// ErrUntrusted is in the errors about a peer's certificate that is not accepted.
var ErrUntrusted = errors.New("certificate not accepted")

// Roles is a set of things that the owner of a certificate may do.
type Roles uint8

// The roles. Serve is proven to those who dial a worker, the others to workers.
const (
	Serve  Roles = 1 << iota // be a worker
	Run                      // run models, and measure a worker and the way to it
	Upload                   // send models
	Admin                    // see a worker's load, and end its work
	none   Roles = 0
	// All is every role.
	All = Serve | Run | Upload | Admin
)

var roleNames = []string{"serve", "run", "upload", "admin"}

// String is the names of the roles, such as "run,upload".
func (r Roles) String() string {
	var names []string
	for i, name := range roleNames {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// Has reports whether r has one of the roles of any.
func (r Roles) Has(any Roles) bool { return r&any != none }

// ParseRoles reads names of roles, separated by commas.
func ParseRoles(s string) (Roles, error) {
	r := none
	for name := range strings.SplitSeq(s, ",") {
		one, ok := role(name)
		if !ok {
			return none, fmt.Errorf("keys: role %.80q, want some of %v", name, All)
		}
		r |= one
	}
	return r, nil
}

func role(name string) (Roles, bool) {
	for i, n := range roleNames {
		if n == name {
			return 1 << i, true
		}
	}
	return none, false
}

// validName is what a host may be called in a certificate.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// CheckName refuses what a certificate cannot name: a name has 1 to 63 letters,
// digits, dots, hyphens and underscores, and begins with a letter or digit.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("keys: name %.80q, want 1 to 63 letters, digits, dots, hyphens and underscores", name)
	}
	return nil
}

// The URIs of a certificate.
const (
	scheme   = "scission"
	hostPart = "host"
	rolePart = "role"
)

func uri(host, path string) *url.URL { return &url.URL{Scheme: scheme, Host: host, Path: "/" + path} }

// Peer is what a certificate says of its owner.
type Peer struct {
	Name  string
	Roles Roles
}

// PeerOf is what a certificate, which it does not verify, says of its owner. Roles
// that are not known are left out: a newer Authority may have more.
func PeerOf(c *x509.Certificate) (Peer, error) {
	var p Peer
	for _, u := range c.URIs {
		if u.Scheme != scheme {
			continue
		}
		value := strings.TrimPrefix(u.Path, "/")
		switch {
		case u.Host == hostPart && p.Name == "" && CheckName(value) == nil:
			p.Name = value
		case u.Host == hostPart:
			return Peer{}, fmt.Errorf("%w: it has the name %.80q, want one valid name", ErrUntrusted, value)
		case u.Host == rolePart:
			one, _ := role(value)
			p.Roles |= one
		}
	}
	if p.Name == "" {
		return Peer{}, fmt.Errorf("%w: it has no name, want %s", ErrUntrusted, uri(hostPart, "NAME"))
	}
	p.Roles &^= Serve
	for _, u := range c.ExtKeyUsage {
		if u == x509.ExtKeyUsageServerAuth {
			p.Roles |= Serve
		}
	}
	return p, nil
}

// Identity is what a host shows and whom it believes. It is immutable and safe
// for concurrent use.
type Identity struct {
	Peer      // what the certificate says of this host
	NotAfter  time.Time
	Authority string // what the authority is called

	certificate tls.Certificate
	roots       *x509.CertPool
	believed    []*x509.Certificate // in roots
}

// Certificate is what the host shows, with its private key.
func (id *Identity) Certificate() tls.Certificate { return id.certificate }

// Verify checks the certificates that a peer shows, its own first, at the given
// time. dialed says that the peer was dialed, so that it has to have the role
// Serve, and the given name unless that is empty. Errors are ErrUntrusted and
// say what was got and what is wanted.
func (id *Identity) Verify(shown []*x509.Certificate, dialed bool, name string, now time.Time) (Peer, error) {
	if len(shown) == 0 {
		return Peer{}, fmt.Errorf("%w: the peer shows none", ErrUntrusted)
	}
	leaf, usage := shown[0], x509.ExtKeyUsageClientAuth
	if dialed {
		usage = x509.ExtKeyUsageServerAuth
	}
	called := fmt.Sprintf("%.80q", leaf.Subject.CommonName)
	_, err := leaf.Verify(x509.VerifyOptions{Roots: id.roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return Peer{}, fmt.Errorf("%w: that of %s is of the unknown authority %.80q, want %q", ErrUntrusted, called, leaf.Issuer.CommonName, id.Authority)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(leaf.NotBefore):
		return Peer{}, fmt.Errorf("%w: that of %s is not valid before %s, and here it is %s", ErrUntrusted, called, stamp(leaf.NotBefore), stamp(now))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.After(leaf.NotAfter):
		return Peer{}, fmt.Errorf("%w: that of %s expired at %s, and here it is %s", ErrUntrusted, called, stamp(leaf.NotAfter), stamp(now))
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage && dialed:
		return Peer{}, fmt.Errorf("%w: that of %s is a client's, want the role serve", ErrUntrusted, called)
	case err != nil:
		return Peer{}, fmt.Errorf("%w: that of %s: %w", ErrUntrusted, called, err)
	}
	p, err := PeerOf(leaf)
	if err == nil && name != "" && p.Name != name {
		err = fmt.Errorf("%w: it is that of %q, want %q", ErrUntrusted, p.Name, name)
	}
	if err != nil {
		return Peer{}, err
	}
	return p, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
