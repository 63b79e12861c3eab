package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"os"
	"runtime"
	"time"
)

// Clocks of small devices are often behind: a certificate is valid since before
// it was made.
const skew = time.Hour

// authorityLife is how long an authority signs.
const authorityLife = 10 * 365 * 24 * time.Hour

// DefaultLife is how long a certificate is valid if nobody says otherwise.
const DefaultLife = 365 * 24 * time.Hour

const (
	maxFile  = 64 << 10 // bytes of a file of keys
	maxRoots = 16       // authorities that an identity believes
)

// Types of PEM blocks.
const (
	keyBlock         = "PRIVATE KEY" // PKCS #8
	certificateBlock = "CERTIFICATE"
)

// Authority signs certificates.
type Authority struct {
	Name        string // such as "scission 1f2e3d4c"
	NotAfter    time.Time
	certificate *x509.Certificate
	key         crypto.Signer
}

// NewAuthority makes an authority with a key of its own.
func NewAuthority(now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	sum := sha256.Sum256(public)
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "scission " + hex.EncodeToString(sum[:4])},
		NotBefore: now.Add(-skew), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	c, err := sign(template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &Authority{c.Subject.CommonName, c.NotAfter, c, key}, nil
}

// sign makes a certificate with a serial number of its own.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return c, nil
}

// Issue makes an identity with a key of its own, valid from some time before
// now for the given time, but not longer than the authority.
func (a *Authority) Issue(name string, roles Roles, now time.Time, life time.Duration) (*Identity, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if roles&All == none || roles&^All != none {
		return nil, fmt.Errorf("keys: roles %q, want some of %q", roles, All)
	}
	if life <= 0 {
		return nil, fmt.Errorf("keys: valid for %v, want a positive time", life)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: now.Add(-skew), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, // workers call workers
		URIs:        []*url.URL{uri(hostPart, name)},
	}
	if template.NotAfter.After(a.NotAfter) {
		template.NotAfter = a.NotAfter
	}
	for i, name := range roleNames {
		switch one := Roles(1 << i); {
		case !roles.Has(one):
		case one == Serve:
			template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		default:
			template.URIs = append(template.URIs, uri(rolePart, name))
		}
	}
	c, err := sign(template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return newIdentity(key, c, []*x509.Certificate{a.certificate})
}

func newIdentity(key crypto.Signer, c *x509.Certificate, roots []*x509.Certificate) (*Identity, error) {
	p, err := PeerOf(c)
	if err != nil {
		return nil, err
	}
	id := &Identity{
		Peer: p, NotAfter: c.NotAfter, Authority: c.Issuer.CommonName, roots: x509.NewCertPool(),
		certificate: tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c},
	}
	for _, root := range roots {
		id.roots.AddCert(root)
		id.believed = append(id.believed, root)
	}
	return id, nil
}

// Write writes the identity's file.
func (id *Identity) Write(path string) error {
	return write(path, id.certificate.PrivateKey, append([]*x509.Certificate{id.certificate.Leaf}, id.believed...))
}

// Write writes the authority's file.
func (a *Authority) Write(path string) error {
	return write(path, a.key, []*x509.Certificate{a.certificate})
}

// write makes a file that only its owner can read. It does not replace one.
func write(path string, key crypto.PrivateKey, certificates []*x509.Certificate) (err error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("keys: %s is there already, and keys are not replaced: %w", path, os.ErrExist)
	}
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	errs := []error{pem.Encode(f, &pem.Block{Type: keyBlock, Bytes: der})}
	for _, c := range certificates {
		errs = append(errs, pem.Encode(f, &pem.Block{Type: certificateBlock, Bytes: c.Raw}))
	}
	if err := errors.Join(append(errs, f.Sync(), f.Close())...); err != nil {
		os.Remove(path)
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// Read reads an identity's file: a private key, its certificate, and those of
// the authorities that the host believes, 1 to 16. Where files have modes, it
// refuses one that everybody can read.
func Read(path string) (*Identity, error) {
	key, certificates, err := read(path)
	if err != nil {
		return nil, err
	}
	roots := certificates[1:]
	if len(roots) < 1 || len(roots) > maxRoots {
		return nil, fmt.Errorf("keys: %s has the certificates of %d authorities, want 1 to %d", path, len(roots), maxRoots)
	}
	for _, root := range roots {
		if !root.IsCA {
			return nil, fmt.Errorf("keys: %s: certificate of %q is not an authority's", path, root.Subject.CommonName)
		}
	}
	id, err := newIdentity(key, certificates[0], roots)
	if err != nil {
		return nil, fmt.Errorf("keys: %s: %w", path, err)
	}
	return id, nil
}

// ReadAuthority reads an authority's file.
func ReadAuthority(path string) (*Authority, error) {
	key, certificates, err := read(path)
	if err != nil {
		return nil, err
	}
	c := certificates[0]
	if len(certificates) != 1 || !c.IsCA {
		return nil, fmt.Errorf("keys: %s is not the file of an authority, which has a key and its certificate", path)
	}
	return &Authority{c.Subject.CommonName, c.NotAfter, c, key}, nil
}

// everybody is the permissions of everybody.
const everybody = 0o007

// read reads a private key and at least one certificate, the first of which is
// the key's.
func read(path string) (crypto.Signer, []*x509.Certificate, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	if mode := st.Mode(); mode.IsRegular() && mode&everybody != 0 && runtime.GOOS != "windows" {
		return nil, nil, fmt.Errorf("keys: %s has the mode %v: everybody can read the private key; chmod 600 it, and if others may have read it, issue another", path, mode)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	if len(b) > maxFile {
		return nil, nil, fmt.Errorf("keys: %s has more than %d bytes", path, maxFile)
	}
	key, certificates, err := parse(b)
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %s: %w", path, err)
	}
	return key, certificates, nil
}

func parse(b []byte) (key crypto.Signer, certificates []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		switch {
		case block.Type == keyBlock && key == nil:
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, errors.New("bad private key") // and nothing of it in a log
			}
			signer, ok := k.(crypto.Signer)
			if !ok {
				return nil, nil, fmt.Errorf("private key is a %T, want one that signs", k)
			}
			key = signer
		case block.Type == certificateBlock:
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			certificates = append(certificates, c)
		default:
			return nil, nil, fmt.Errorf("PEM block %.80q, want one private key and certificates", block.Type)
		}
	}
	if key == nil || len(certificates) == 0 {
		return nil, nil, errors.New("want a private key and certificates in PEM")
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(certificates[0].PublicKey) {
		return nil, nil, fmt.Errorf("the first certificate, of %q, is not that of the private key", certificates[0].Subject.CommonName)
	}
	return key, certificates, nil
}
