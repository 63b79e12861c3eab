package run

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Store keeps models in a folder, each under the SHA-256 of its content, and
// removes those that were not used for longest when it needs room. It is safe
// for concurrent use, also by several processes; each sees to the bound on the
// folder for what it takes itself.
type Store struct {
	dir   string
	limit int64
	total int64

	mu        sync.Mutex
	uploading int64 // bytes that uploads under way will have
}

// DefaultModelLimit bounds the bytes of a model that a Store takes, and
// DefaultStoreLimit those of all its models together.
const (
	DefaultModelLimit = 4 << 30
	DefaultStoreLimit = 16 << 30
)

// ErrDigest: the content is not what its digest says.
var ErrDigest = errors.New("digest mismatch")

// OpenStore returns the store in dir, which it makes if needed. A model may
// have at most limit bytes; 0 means DefaultModelLimit.
func OpenStore(dir string, limit int64) (*Store, error) {
	dir, err := filepath.Abs(dir) // as its files' names have it, so that errors can be told without it
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("run: store: %w", err)
	}
	if limit == 0 {
		limit = DefaultModelLimit
	}
	if err := sweep(dir); err != nil {
		return nil, err
	}
	return &Store{dir: dir, limit: limit, total: DefaultStoreLimit}, nil
}

// Bound sets how many bytes all models together may have; 0 means
// DefaultStoreLimit. It is not to be called while the store is in use.
func (s *Store) Bound(total int64) { s.total = cmp.Or(total, DefaultStoreLimit) }

// Files of uploads under way. A process that ends during one leaves it behind.
const (
	uploadPrefix = "scission-upload-"
	uploadStale  = 24 * time.Hour // without a write
)

// sweep removes uploads in dir that nobody works on any more.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("run: store: %w", err)
	}
	for _, e := range entries {
		if st, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), uploadPrefix) && st.Mode().IsRegular() && time.Since(st.ModTime()) > uploadStale {
			os.Remove(filepath.Join(dir, e.Name())) // or another process does
		}
	}
	return nil
}

// Path is the file of the model with the given digest, 64 lower-case
// hexadecimal digits. It fails with ErrNoModel if the store lacks it.
func (s *Store) Path(digest string) (string, error) {
	path, err := s.path(digest)
	if err != nil {
		return "", err
	}
	if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() {
		return "", fmt.Errorf("run: %w: %s", ErrNoModel, digest)
	}
	now := time.Now()
	os.Chtimes(path, now, now) // where that fails, the model counts as old
	return path, nil
}

func (s *Store) path(digest string) (string, error) {
	if b, err := hex.DecodeString(digest); err != nil || len(b) != sha256.Size || hex.EncodeToString(b) != digest {
		return "", fmt.Errorf("run: digest %.80q, want %d hexadecimal digits", digest, 2*sha256.Size)
	}
	return filepath.Join(s.dir, digest+modelExtension), nil
}

const modelExtension = ".onnx"

// reserve makes room for an upload of size bytes.
func (s *Store) reserve(size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size > s.total-s.uploading {
		return fmt.Errorf("run: store: no room for a model of %d bytes: %d of %d are taken by uploads under way", size, s.uploading, s.total)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("run: store: %w", err)
	}
	var models []os.FileInfo
	sum := s.uploading + size
	for _, e := range entries {
		if st, err := e.Info(); err == nil && filepath.Ext(e.Name()) == modelExtension && st.Mode().IsRegular() {
			models = append(models, st)
			sum += st.Size()
		}
	}
	slices.SortFunc(models, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, st := range models {
		if sum <= s.total {
			break
		}
		// A stage that runs the model keeps what it needs. Windows does not remove a file in use.
		if err := os.Remove(filepath.Join(s.dir, st.Name())); err == nil || errors.Is(err, os.ErrNotExist) {
			sum -= st.Size()
		}
	}
	if sum > s.total {
		return fmt.Errorf("run: store: no room for a model of %d bytes: the others are in use", size)
	}
	s.uploading += size
	return nil
}

// holds is how many models the store has, and their bytes.
func (s *Store) holds() (models int, bytes int64) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, 0
	}
	for _, e := range entries {
		if st, err := e.Info(); err == nil && filepath.Ext(e.Name()) == modelExtension && st.Mode().IsRegular() {
			models++
			bytes += st.Size()
		}
	}
	return models, bytes
}

// release ends what reserve began.
func (s *Store) release(size int64) {
	s.mu.Lock()
	s.uploading -= size
	s.mu.Unlock()
}

// upload is a model on its way into a store.
type upload struct {
	store  *Store
	size   int64
	path   string
	digest string
	left   int64
	file   *os.File
	hash   hash.Hash
}

// create starts an upload of size bytes.
func (s *Store) create(digest string, size int64) (*upload, error) {
	path, err := s.path(digest)
	if err != nil {
		return nil, err
	}
	if size < 1 || size > s.limit {
		return nil, fmt.Errorf("run: model of %d bytes, want 1 to %d", size, s.limit)
	}
	if err := s.reserve(size); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.dir, uploadPrefix+"*")
	if err != nil {
		s.release(size)
		return nil, fmt.Errorf("run: store: %w", err)
	}
	return &upload{s, size, path, digest, size, f, sha256.New()}, nil
}

// write appends b. The last byte ends the upload: the digest is checked, and
// only then the model is in the store.
func (u *upload) write(b []byte) (done bool, err error) {
	if int64(len(b)) > u.left || len(b) == 0 {
		return false, fmt.Errorf("run: %d bytes more of a model, want 1 to %d", len(b), u.left)
	}
	u.hash.Write(b)
	if _, err := u.file.Write(b); err != nil {
		return false, fmt.Errorf("run: store: %w", err)
	}
	if u.left -= int64(len(b)); u.left > 0 {
		return false, nil
	}
	if got := hex.EncodeToString(u.hash.Sum(nil)); got != u.digest {
		return false, fmt.Errorf("run: %w: content has %s, want %s", ErrDigest, got, u.digest)
	}
	// The model is not read again to be checked, so it must outlast a crash.
	if err := errors.Join(u.file.Sync(), u.file.Close()); err != nil {
		return false, fmt.Errorf("run: store: %w", err)
	}
	if err := os.Rename(u.file.Name(), u.path); err != nil {
		// Windows does not replace a file in use, which has the same content.
		if st, statErr := os.Stat(u.path); statErr != nil || !st.Mode().IsRegular() {
			return false, fmt.Errorf("run: store: %w", err)
		}
		os.Remove(u.file.Name())
	}
	u.file = nil
	u.store.release(u.size)
	return true, nil
}

// abandon removes what an unfinished upload has left.
func (u *upload) abandon() {
	if u.file != nil {
		u.file.Close()
		os.Remove(u.file.Name())
		u.file = nil
		u.store.release(u.size)
	}
}

// content opens a model of the store for sending it on.
func (s *Store) content(digest string) func() (io.ReadCloser, int64, error) {
	return func() (io.ReadCloser, int64, error) {
		path, err := s.Path(digest)
		if err != nil {
			return nil, 0, err
		}
		return OpenContent(path)
	}
}

// OpenContent opens a model's file for Model.Content.
func OpenContent(path string) (io.ReadCloser, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size(), nil
}
