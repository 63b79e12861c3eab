package run

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

// Store keeps models, or as much of them as was sent, in a folder. Each model is a
// folder under the SHA-256 of its manifest, with the manifest, a sparse file of what
// is there of the model, and a list of that, which is written only after it. When the
// Store needs room it removes models that were not used for longest. It is safe for
// concurrent use, also by several processes; each sees to the bound on the folder for
// what it takes itself.
type Store struct {
	dir   string
	limit int64
	total int64

	mu     sync.Mutex
	models map[string]*stored // those in use
}

// DefaultModelLimit bounds the bytes that a Store takes of a model, and
// DefaultStoreLimit those of all its models together.
const (
	DefaultModelLimit = 4 << 30
	DefaultStoreLimit = 16 << 30
)

// ErrDigest: the content is not what its digest says.
var ErrDigest = errors.New("digest mismatch")

// OpenStore returns the store in dir, which it makes if needed. Of a model it takes at
// most limit bytes; 0 means DefaultModelLimit.
func OpenStore(dir string, limit int64) (*Store, error) {
	dir, err := filepath.Abs(dir) // as its files' names have it, so that errors can be told without it
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("run: store: %w", err)
	}
	if err := sweep(dir); err != nil {
		return nil, err
	}
	return &Store{dir: dir, limit: cmp.Or(limit, DefaultModelLimit), total: DefaultStoreLimit, models: map[string]*stored{}}, nil
}

// Bound sets how many bytes all models together may have; 0 means
// DefaultStoreLimit. It is not to be called while the store is in use.
func (s *Store) Bound(total int64) { s.total = cmp.Or(total, DefaultStoreLimit) }

// Folders that begin with tempPrefix are not yet models, or not any more. A process
// that ends while it works on one leaves it behind.
const (
	tempPrefix = "scission-temp-"
	tempStale  = 24 * time.Hour // without a change
)

// Files of a model.
const (
	manifestFile = "manifest"
	modelFile    = "model.onnx"
	haveFile     = "have" // number of bytes, 8 bytes, and the chunks that are there, a bitset; its time is that of the last use
	haveHead     = 8
)

// sweep removes folders in dir that nobody works on any more.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("run: store: %w", err)
	}
	for _, e := range entries {
		if st, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), tempPrefix) && st.IsDir() && time.Since(st.ModTime()) > tempStale {
			os.RemoveAll(filepath.Join(dir, e.Name())) // or another process does
		}
	}
	return nil
}

// isID reports whether name is that of a model.
func isID(name string) bool {
	b, err := hex.DecodeString(name)
	return err == nil && len(b) == sha256.Size && hex.EncodeToString(b) == name
}

// stored is a model of a store that is in use. It is safe for concurrent use.
type stored struct {
	*manifest
	store *Store
	// root is this very folder: should another process remove it and make another
	// model of the same name, nothing of this one is taken for that one's.
	root  *os.Root
	file  *os.File
	users int // guarded by store.mu

	saving  sync.Mutex // is held by whoever writes the list of what is there
	mu      sync.Mutex
	have    bitset
	bytes   int64       // of the chunks in have
	unsaved int64       // those of them that the list does not have
	claims  map[int]int // how many uploads under way will have a chunk
	claimed int64       // bytes of the claimed chunks that are not in have
}

// use returns a model that is there, in part at least; it must be released. It fails
// with ErrNoModel if there is none.
func (s *Store) use(id string) (*stored, error) {
	if !isID(id) {
		return nil, fmt.Errorf("run: model %.80q, want %d hexadecimal digits", id, 2*sha256.Size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(id)
}

// take returns the model that m describes, of which nothing need be there yet.
func (s *Store) take(m *manifest) (*stored, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := s.get(m.id)
	if !errors.Is(err, ErrNoModel) {
		return h, err
	}
	if err := s.room(int64(len(m.raw))); err != nil {
		return nil, err
	}
	if err := s.add(m); err != nil {
		return nil, fmt.Errorf("run: store: %w", err)
	}
	return s.get(m.id)
}

// get is use for who holds s.mu.
func (s *Store) get(id string) (*stored, error) {
	h := s.models[id]
	if h == nil {
		var err error
		h, err = s.open(id)
		if errors.Is(err, errDamaged) || errors.Is(err, fs.ErrNotExist) {
			// What is damaged makes room for what is sent.
			if err := s.remove(id); err == nil || errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("run: %w: %s", ErrNoModel, id)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("run: store: %w", err)
		}
		s.models[id] = h
	}
	h.users++
	h.touch()
	return h, nil
}

// errDamaged says that a model's files are not what was written.
var errDamaged = errors.New("damaged model")

// open reads what is there of a model.
func (s *Store) open(id string) (*stored, error) {
	root, err := os.OpenRoot(filepath.Join(s.dir, id))
	if err != nil {
		return nil, err
	}
	h := &stored{store: s, root: root, claims: map[int]int{}}
	if err := h.readAll(id); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// readAll reads the files of model id.
func (h *stored) readAll(id string) error {
	raw, err := readFile(h.root, manifestFile, maxManifest)
	if err != nil {
		return err
	}
	if h.manifest, err = readManifest(raw); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if h.id != id {
		return fmt.Errorf("%w: its manifest is that of %s", errDamaged, h.id)
	}
	if h.have, err = h.saved(); err != nil {
		return err
	}
	for _, i := range h.have.list() {
		h.bytes += h.length(i)
	}
	if h.file, err = h.root.OpenFile(modelFile, os.O_RDWR, 0); err != nil {
		return err
	}
	st, err := h.file.Stat()
	if err == nil && st.Size() != h.size {
		err = fmt.Errorf("%w: it has %d bytes, want %d", errDamaged, st.Size(), h.size)
	}
	return err
}

// saved reads the list of the chunks that are there.
func (h *stored) saved() (bitset, error) {
	n := haveHead + len(newBitset(h.chunks()))
	b, err := readFile(h.root, haveFile, n)
	if err != nil {
		return nil, err
	}
	if set := bitset(b[min(haveHead, len(b)):]); len(b) == n && set.fits(h.chunks()) {
		return set, nil
	}
	return nil, fmt.Errorf("%w: a list of %d bytes of what is there, want %d", errDamaged, len(b), n)
}

// readFile reads a file of at most limit bytes.
func readFile(root *os.Root, name string, limit int) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err == nil && len(b) > limit {
		err = fmt.Errorf("%w: its %s has more than %d bytes", errDamaged, name, limit)
	}
	return b, err
}

// writeFile writes a file that must outlast a crash.
func writeFile(root *os.Root, name string, b []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// add makes the folder of a model of which nothing is there.
func (s *Store) add(m *manifest) (err error) {
	temp, err := os.MkdirTemp(s.dir, tempPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(temp)
		}
	}()
	if err := fill(temp, m); err != nil {
		return err
	}
	err = os.Rename(temp, filepath.Join(s.dir, m.id))
	if _, statErr := os.Stat(filepath.Join(s.dir, m.id)); err != nil && statErr == nil {
		os.RemoveAll(temp) // another process was faster
		return nil
	}
	return err
}

// fill writes the files of a model of which nothing is there.
func fill(dir string, m *manifest) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := root.Create(modelFile)
	if err != nil {
		return err
	}
	if err := errors.Join(makeSparse(f), f.Truncate(m.size), f.Close()); err != nil {
		return err
	}
	have := make([]byte, haveHead+len(newBitset(m.chunks())))
	return errors.Join(writeFile(root, manifestFile, m.raw), writeFile(root, haveFile, have))
}

// remove removes a model that is not in use. Whoever has its files open, as a stage
// that runs it, keeps what it needs; Windows then removes nothing.
func (s *Store) remove(id string) error {
	temp := filepath.Join(s.dir, tempPrefix+rand.Text())
	if err := os.Rename(filepath.Join(s.dir, id), temp); err != nil {
		return err
	}
	os.RemoveAll(temp) // or sweep does
	return nil
}

// kept is a model that the store has.
type kept struct {
	id    string
	bytes int64     // that are there or on their way, and those of the manifest
	used  time.Time // when it last was; zero if it is in use
}

// list lists the models. s.mu is held.
func (s *Store) list() ([]kept, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("run: store: %w", err)
	}
	var models []kept
	for _, e := range entries {
		k := kept{id: e.Name()}
		if !isID(k.id) || !e.IsDir() {
			continue
		}
		if h := s.models[k.id]; h != nil {
			k.bytes = h.taken()
		} else {
			k.bytes, k.used = s.idle(k.id)
		}
		models = append(models, k)
	}
	return models, nil
}

// holds is how many models the store has, in part at least, and their bytes.
func (s *Store) holds() (models int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := s.list()
	if err != nil {
		return 0, 0
	}
	for _, k := range list {
		bytes += k.bytes
	}
	return len(list), bytes
}

// room makes room for size bytes more. s.mu is held.
func (s *Store) room(size int64) error {
	models, err := s.list()
	if err != nil {
		return err
	}
	sort.Slice(models, func(i, j int) bool { return models[i].used.Before(models[j].used) })
	busy, sum := int64(0), int64(0)
	for _, k := range models {
		if sum += k.bytes; s.models[k.id] != nil {
			busy += k.bytes
		}
	}
	if size > s.total-busy {
		return fmt.Errorf("run: store: no room for %d bytes more: %d of %d are in use", size, busy, s.total)
	}
	for _, k := range models {
		if size <= s.total-sum {
			return nil
		}
		if s.models[k.id] != nil {
			continue
		}
		if err := s.remove(k.id); err == nil || errors.Is(err, fs.ErrNotExist) {
			sum -= k.bytes
		}
	}
	if size > s.total-sum {
		return fmt.Errorf("run: store: no room for %d bytes more: models of %d bytes cannot be removed", size, sum-busy)
	}
	return nil
}

// idle is how many bytes a model has that this process does not use, and when a
// process last did.
func (s *Store) idle(id string) (n int64, used time.Time) {
	root, err := os.OpenRoot(filepath.Join(s.dir, id))
	if err != nil {
		return 0, used
	}
	defer root.Close()
	if st, err := root.Stat(manifestFile); err == nil {
		n = st.Size()
	}
	f, err := root.Open(haveFile)
	if err != nil {
		return n, used
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil {
		used = st.ModTime()
	}
	head := make([]byte, haveHead)
	if _, err := io.ReadFull(f, head); err == nil {
		n += int64(binary.LittleEndian.Uint64(head))
	}
	return n, used
}

// taken is how many bytes the model has, or will have when the uploads under way are done.
func (h *stored) taken() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int64(len(h.raw)) + h.bytes + h.claimed
}

// touch notes a use. Where it fails, the model counts as old.
func (h *stored) touch() {
	now := time.Now()
	h.root.Chtimes(haveFile, now, now)
}

// release ends what use or take began.
func (h *stored) release() {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	if h.users--; h.users == 0 {
		h.touch()
		delete(h.store.models, h.id)
		h.close()
	}
}

func (h *stored) close() {
	if h.file != nil {
		h.file.Close()
	}
	h.root.Close()
}

// path is the model's file.
func (h *stored) path() string { return filepath.Join(h.store.dir, h.id, modelFile) }

// content is what is there, for sending it on.
func (h *stored) content() *Content {
	return &Content{file: h.file, manifest: func() (*manifest, error) { return h.manifest, nil }, has: func(i int) bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.have.has(i)
	}}
}

// missing returns the chunks that are not there.
func (h *stored) missing() bitset {
	h.mu.Lock()
	defer h.mu.Unlock()
	lacks := newBitset(h.chunks())
	for i := range h.chunks() {
		if !h.have.has(i) {
			lacks.add(i)
		}
	}
	return lacks
}

// claim makes room for chunks that are to be sent; the claim must be given up.
func (h *stored) claim(chunks []int) error {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	h.mu.Lock()
	more := int64(0)
	for _, i := range chunks {
		if !h.have.has(i) && h.claims[i] == 0 {
			more += h.length(i)
		}
	}
	taken := h.bytes + h.claimed
	h.mu.Unlock()
	if limit := h.store.limit; more > limit-taken {
		return fmt.Errorf("run: %d bytes of a model, want at most %d", taken+more, limit)
	}
	if err := h.store.room(more); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range chunks {
		if h.claims[i]++; h.claims[i] == 1 && !h.have.has(i) {
			h.claimed += h.length(i)
		}
	}
	return nil
}

// unclaim gives up a claim.
func (h *stored) unclaim(chunks []int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range chunks {
		if h.claims[i]--; h.claims[i] > 0 {
			continue
		}
		delete(h.claims, i)
		if !h.have.has(i) {
			h.claimed -= h.length(i)
		}
	}
}

// saveEvery is how many bytes may be lost if the process is killed.
const saveEvery = 32 << 20

// write takes chunk i, which is claimed, if it is what its digest says.
func (h *stored) write(i int, b []byte) error {
	if int64(len(b)) != h.length(i) {
		return fmt.Errorf("run: chunk %d of a model has %d bytes, want %d", i, len(b), h.length(i))
	}
	if sum := sha256.Sum256(b); !bytes.Equal(sum[:], h.hash(i)) {
		return fmt.Errorf("run: %w: chunk %d of a model has %x, want %x", ErrDigest, i, sum, h.hash(i))
	}
	h.mu.Lock()
	there := h.have.has(i)
	h.mu.Unlock()
	if there {
		return nil // from another upload, and perhaps it is in use
	}
	if err := h.each(i, b, func(b []byte, offset int64) error {
		_, err := h.file.WriteAt(b, offset)
		return err
	}); err != nil {
		return fmt.Errorf("run: store: %w", err)
	}
	h.mu.Lock()
	if !h.have.has(i) {
		h.have.add(i)
		h.bytes += int64(len(b))
		h.claimed -= int64(len(b))
		h.unsaved += int64(len(b))
	}
	save := h.unsaved >= saveEvery
	h.mu.Unlock()
	if save {
		return h.save()
	}
	return nil
}

// save lets what is there outlast a crash. It is not read again to be checked, so the
// list of it is written only when the chunks are.
func (h *stored) save() error {
	h.saving.Lock()
	defer h.saving.Unlock()
	h.mu.Lock()
	have, n := h.have.clone(), h.unsaved
	h.mu.Unlock()
	if n == 0 {
		return nil
	}
	if err := h.file.Sync(); err != nil {
		return fmt.Errorf("run: store: %w", err)
	}
	// Another process may have taken others.
	if other, err := h.saved(); err == nil {
		have.or(other)
	}
	sum := uint64(0)
	for _, i := range have.list() {
		sum += uint64(h.length(i))
	}
	temp := haveFile + "-" + rand.Text()
	err := writeFile(h.root, temp, append(binary.LittleEndian.AppendUint64(nil, sum), have...))
	if err == nil {
		err = h.root.Rename(temp, haveFile)
	}
	if err != nil {
		return fmt.Errorf("run: store: %w", err)
	}
	h.mu.Lock()
	h.unsaved -= n
	h.mu.Unlock()
	return nil
}
