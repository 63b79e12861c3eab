package keys

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func authority(t testing.TB) *Authority {
	t.Helper()
	a, err := NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestFilesGiveBackWhatWasIssued(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	a := authority(t)
	root := filepath.Join(dir, "authority.pem")
	if err := a.Write(root); err != nil {
		t.Fatal(err)
	}
	again, err := ReadAuthority(root)
	if err != nil || again.Name != a.Name {
		t.Fatalf("got %+v, error %v", again, err)
	}
	if err := a.Write(root); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an authority over another: error %v, want ErrExist", err)
	}
	for _, roles := range []Roles{Serve, Run, Run | Upload, All} {
		id, err := again.Issue("edge-1", roles, now, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, roles.String()+".pem")
		if err := id.Write(path); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if got.Peer != (Peer{"edge-1", roles}) || got.Authority != a.Name || got.NotAfter.Sub(now).Round(time.Minute) != 24*time.Hour {
			t.Errorf("read %+v until %v, want edge-1, %v", got.Peer, got.NotAfter, roles)
		}
		if st, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, error %v", st.Mode(), err)
		}
		if err := id.Write(path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("keys over others: error %v, want ErrExist", err)
		}
		// The certificate is what other programs think that it is.
		c := got.Certificate().Leaf
		if c.IsCA || c.Version != 3 || c.URIs[0].String() != "scission://host/edge-1" || c.Subject.CommonName != "edge-1" {
			t.Errorf("certificate %v, %v", c.Subject, c.URIs)
		}
		p, err := got.Verify([]*x509.Certificate{c}, roles.Has(Serve), "edge-1", now)
		if err != nil || p != got.Peer {
			t.Errorf("its own certificate: %v, error %v", p, err)
		}
	}
}

func TestACertificateEndsWithItsAuthority(t *testing.T) {
	a := authority(t)
	id, err := a.Issue("x", Run, time.Now(), 100*365*24*time.Hour)
	if err != nil || !id.NotAfter.Equal(a.NotAfter) {
		t.Errorf("valid until %v, error %v, want %v", id.NotAfter, err, a.NotAfter)
	}
}

func TestNamesAndRolesAreChecked(t *testing.T) {
	a := authority(t)
	for _, name := range []string{"", "-x", "a b", "a/b", "a\n", "é", strings.Repeat("a", 64), "a?role=admin", "a%2fb"} {
		if _, err := a.Issue(name, Run, time.Now(), time.Hour); err == nil {
			t.Errorf("name %q: no error", name)
		}
	}
	for _, name := range []string{"a", "A.b-c_9", "10.0.0.1", strings.Repeat("a", 63)} {
		if _, err := a.Issue(name, Run, time.Now(), time.Hour); err != nil {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for _, roles := range []Roles{0, All + 1, 255} {
		if _, err := a.Issue("x", roles, time.Now(), time.Hour); err == nil {
			t.Errorf("roles %d: no error", roles)
		}
	}
	if _, err := a.Issue("x", Run, time.Now(), 0); err == nil {
		t.Error("valid for no time: no error")
	}
	for text, want := range map[string]Roles{"run": Run, "run,upload": Run | Upload, "admin,serve,run,upload": All} {
		if got, err := ParseRoles(text); err != nil || got != want {
			t.Errorf("%s: got %v, error %v", text, got, err)
		}
	}
	for _, text := range []string{"", "root", "run,", "run upload"} {
		if _, err := ParseRoles(text); err == nil {
			t.Errorf("roles %q: no error", text)
		}
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	a := authority(t)
	id, err := a.Issue("edge", All, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	other, err := a.Issue("other", All, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, mode fs.FileMode, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := filepath.Join(dir, "good.pem")
	if err := id.Write(good); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	key, rest := pem.Decode(text)
	leaf, rest := pem.Decode(rest)
	root, _ := pem.Decode(rest)
	join := func(blocks ...*pem.Block) (b []byte) {
		for _, p := range blocks {
			b = append(b, pem.EncodeToMemory(p)...)
		}
		return b
	}
	foreign := &pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Leaf.Raw}
	many := []*pem.Block{key, leaf}
	for range maxRoots + 1 {
		many = append(many, root)
	}
	for name, c := range map[string]struct {
		b    []byte
		says string
	}{
		"empty":                   {nil, "want a private key"},
		"no key":                  {join(leaf, root), "want a private key"},
		"no certificate":          {join(key), "want a private key and certificates"},
		"no authority":            {join(key, leaf), "0 authorities"},
		"too many authorities":    {join(many...), "17 authorities"},
		"key of another":          {join(key, foreign, root), "not that of the private key"},
		"a host as authority":     {join(key, leaf, foreign), "not an authority's"},
		"two keys":                {join(key, key, leaf, root), "PEM block"},
		"another block":           {join(key, leaf, root, &pem.Block{Type: "DH PARAMETERS"}), "DH PARAMETERS"},
		"a key that is none":      {join(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")}, leaf, root), "bad private key"},
		"a certificate that none": {join(key, &pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}, root), "malformed"},
		"large":                   {append(make([]byte, maxFile), text...), "more than"},
	} {
		if _, err := Read(file(name, 0o600, c.b)); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want one with %q", name, err, c.says)
		}
	}
	if _, err := ReadAuthority(good); err == nil {
		t.Error("a host's file as an authority's: no error")
	}
	if _, err := Read(file("as many as allowed", 0o600, join(many[:2+maxRoots]...))); err != nil {
		t.Errorf("%d authorities: %v", maxRoots, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(file("open.pem", 0o600, text), 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(filepath.Join(dir, "open.pem")); err == nil || !strings.Contains(err.Error(), "everybody can read") {
		t.Errorf("a file for everybody: error %v", err)
	}
}

// Any file is read or refused.
func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	a := authority(f)
	id, err := a.Issue("edge", All, time.Now(), time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(a.Write(filepath.Join(dir, "a")), id.Write(filepath.Join(dir, "h"))); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"a", "h"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		key, certificates, err := parse(b)
		if err == nil && (key == nil || len(certificates) == 0) {
			t.Fatalf("key %v and %d certificates", key, len(certificates))
		}
	})
}

// Any certificate, signed by nobody we know, is refused.
func FuzzVerify(f *testing.F) {
	a := authority(f)
	id, err := a.Issue("edge", All, time.Now(), time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	foreign, err := authority(f).Issue("edge", All, time.Now(), time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	own := id.Certificate().Leaf.Raw
	f.Add(own)
	f.Add(foreign.Certificate().Leaf.Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		if _, err := id.Verify([]*x509.Certificate{c}, false, "", time.Now()); err == nil && string(c.RawTBSCertificate) != string(id.Certificate().Leaf.RawTBSCertificate) {
			t.Fatalf("accepted %v of %v", c.Subject, c.Issuer)
		}
	})
}
