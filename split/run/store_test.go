package run

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// pieces is a file with a weight for each chunk of a MiB, behind some structure.
func pieces(t testing.TB, seed byte, n int) (*manifest, []byte) {
	t.Helper()
	b := bytes.Repeat([]byte{seed, 2, 3, seed}, (n<<20+1000)/4)
	var weights []Range
	for i := range n {
		weights = append(weights, Range{int64(1000 + i<<20), 1 << 20})
	}
	m, err := describe(bytes.NewReader(b), int64(len(b)), weights)
	if err != nil {
		t.Fatal(err)
	}
	return m, b
}

// put writes chunks of a model that is in use.
func put(t testing.TB, h *stored, b []byte, chunks ...int) {
	t.Helper()
	if err := h.claim(chunks); err != nil {
		t.Fatal(err)
	}
	defer h.unclaim(chunks)
	for _, i := range chunks {
		chunk := make([]byte, h.length(i))
		if err := h.read(bytes.NewReader(b), i, chunk); err != nil {
			t.Fatal(err)
		}
		if err := h.write(i, chunk); err != nil {
			t.Fatal(err)
		}
	}
}

func take(t testing.TB, s *Store, m *manifest) *stored {
	t.Helper()
	h, err := s.take(m)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func openStore(t testing.TB, dir string, limit, total int64) *Store {
	t.Helper()
	s, err := OpenStore(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	s.Bound(total)
	return s
}

// What counts is the bytes that are there of each model, the manifest included.
func TestStoreRemovesWhatWasNotUsedForLongest(t *testing.T) {
	const mib, slack = 1 << 20, 1 << 16
	dir := t.TempDir()
	s := openStore(t, dir, 0, 5*mib+slack)
	names := []string{}
	hold := map[string]*stored{}
	add := func(seed byte, chunks ...int) string {
		t.Helper()
		m, b := pieces(t, seed, 8)
		h := take(t, s, m)
		put(t, h, b, append([]int{0}, chunks...)...)
		if err := h.save(); err != nil {
			t.Fatal(err)
		}
		hold[m.id] = h
		names = append(names, m.id)
		return m.id
	}
	idle := func(id string, age time.Duration) {
		t.Helper()
		hold[id].release()
		when := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, id, haveFile), when, when); err != nil {
			t.Fatal(err)
		}
	}
	there := func(want ...string) {
		t.Helper()
		for i, id := range names {
			_, err := os.Stat(filepath.Join(dir, id))
			wanted := false
			for _, w := range want {
				wanted = wanted || w == id
			}
			if wanted != (err == nil) {
				t.Errorf("model %d: got error %v, want it there: %v", i, err, wanted)
			}
		}
	}
	first := add(1, 1)
	second := add(2, 1, 2)
	third := add(3, 3)
	idle(first, 3*time.Hour)
	idle(second, 2*time.Hour)
	idle(third, time.Hour)
	there(first, second, third) // of 8 MiB each, but 4 in all
	fourth := add(4, 1, 2)
	there(second, third, fourth) // now the first one had to go
	if h, err := s.use(second); err != nil {
		t.Fatal(err)
	} else {
		h.release() // which is a use
	}
	_, b := pieces(t, 4, 8)
	put(t, hold[fourth], b, 3)
	there(second, fourth)
	idle(fourth, 0)
	m, _ := pieces(t, 2, 8)
	hold[second] = take(t, s, m)
	if err := hold[second].claim([]int{3, 4, 5, 6}); err == nil {
		t.Error("a claim of 4 MiB beside 2 in a store of 5: no error")
	}
	there(second, fourth)
	if _, err := s.use(first); !errors.Is(err, ErrNoModel) {
		t.Errorf("use of a removed model: got error %v", err)
	}
	hold[second].release()
}

// A claim is room that others cannot have, until it is given up.
func TestClaimsAreRoomOfTheStore(t *testing.T) {
	const mib, slack = 1 << 20, 1 << 16
	s := openStore(t, t.TempDir(), 4*mib, 6*mib+slack)
	one, _ := pieces(t, 1, 8)
	two, b := pieces(t, 2, 8)
	h1, h2 := take(t, s, one), take(t, s, two)
	defer h1.release()
	defer h2.release()
	if err := h1.claim([]int{1, 2, 3, 4, 5}); err == nil {
		t.Error("5 MiB of a model where there may be 4: no error")
	}
	for range 2 { // two clients for the same chunks
		if err := h1.claim([]int{1, 2, 3}); err != nil {
			t.Fatal(err)
		}
	}
	if err := h2.claim([]int{1, 2, 3, 4}); err == nil {
		t.Error("4 MiB beside 3 that are claimed where there are 6: no error")
	}
	put(t, h2, b, 1, 2, 3)
	h1.unclaim([]int{1, 2, 3})
	if err := h2.claim([]int{4}); err == nil {
		t.Error("1 MiB beside 6 where there are 6: no error")
	}
	h1.unclaim([]int{1, 2, 3})
	if err := h2.claim([]int{4}); err != nil {
		t.Error(err)
	}
	h2.unclaim([]int{4})
	for _, h := range []*stored{h1, h2} {
		if h.claimed != 0 || len(h.claims) != 0 {
			t.Errorf("after all: %d bytes are claimed by %d", h.claimed, len(h.claims))
		}
	}
}

// What was not saved before a crash is not there, even if its bytes may be.
func TestOnlyWhatIsSavedOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, 0, 0)
	m, b := pieces(t, 1, 4)
	h := take(t, s, m)
	put(t, h, b, 0, 2)
	if err := h.save(); err != nil {
		t.Fatal(err)
	}
	put(t, h, b, 3)
	again := openStore(t, dir, 0, 0) // as a process that starts when the first is killed
	h2, err := again.use(m.id)
	if err != nil {
		t.Fatal(err)
	}
	if got := h2.have.list(); len(got) != 2 || got[0] != 0 || got[1] != 2 || h2.bytes != 1000+1<<20 {
		t.Errorf("there are chunks %v of %d bytes, want 0 and 2", got, h2.bytes)
	}
	// Each sees on disk what both have saved.
	put(t, h2, b, 1)
	if err := errors.Join(h2.save(), h.save()); err != nil {
		t.Fatal(err)
	}
	h.release()
	h2.release()
	h3, err := openStore(t, dir, 0, 0).use(m.id)
	if err != nil {
		t.Fatal(err)
	}
	defer h3.release()
	if h3.have.count() != 4 {
		t.Errorf("there are chunks %v, want 0 to 3", h3.have.list())
	}
}

// A process that still writes to a model which another one has removed and made anew
// does not make that one believe in chunks that it has not.
func TestModelThatWasMadeAnewHasNothingOfTheOldOne(t *testing.T) {
	dir := t.TempDir()
	s, other := openStore(t, dir, 0, 0), openStore(t, dir, 0, 0)
	m, b := pieces(t, 1, 4)
	h := take(t, s, m)
	defer h.release()
	put(t, h, b, 0, 1)
	if err := other.remove(m.id); err != nil {
		t.Skipf("files in use cannot be removed here: %v", err)
	}
	h2 := take(t, other, m)
	put(t, h2, b, 0)
	if err := h.save(); err == nil {
		t.Error("chunks of a model that was removed are saved")
	}
	if err := h2.save(); err != nil {
		t.Fatal(err)
	}
	h2.release()
	if h2, err := other.use(m.id); err != nil || h2.have.count() != 1 {
		t.Errorf("got error %v and chunks %v, want only chunk 0", err, h2.have.list())
	} else {
		h2.release()
	}
}

func TestDamagedModelsAreSentAnew(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"manifest": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, manifestFile), rawManifest(10, nil, 1), 0o600)
		},
		"no manifest": func(dir string) error { return os.Remove(filepath.Join(dir, manifestFile)) },
		"no list":     func(dir string) error { return os.Remove(filepath.Join(dir, haveFile)) },
		"short list":  func(dir string) error { return os.Truncate(filepath.Join(dir, haveFile), 5) },
		"long list":   func(dir string) error { return os.WriteFile(filepath.Join(dir, haveFile), make([]byte, 100), 0o600) },
		"chunk 7 of 5": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, haveFile), append(make([]byte, haveHead), 0x80), 0o600)
		},
		"size":    func(dir string) error { return os.Truncate(filepath.Join(dir, modelFile), 999) },
		"no file": func(dir string) error { return os.Remove(filepath.Join(dir, modelFile)) },
	} {
		dir := t.TempDir()
		s := openStore(t, dir, 0, 0)
		m, b := pieces(t, 1, 4)
		h := take(t, s, m)
		put(t, h, b, 0, 1, 2, 3, 4)
		if err := h.save(); err != nil {
			t.Fatal(err)
		}
		h.release()
		if err := damage(filepath.Join(dir, m.id)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.use(m.id); !errors.Is(err, ErrNoModel) {
			t.Errorf("%s: got error %v, want ErrNoModel", name, err)
		}
		h = take(t, s, m)
		if h.have.count() != 0 {
			t.Errorf("%s: chunks %v are there, want none", name, h.have.list())
		}
		h.release()
	}
}

func TestStoreRemovesOnlyFoldersThatNobodyWorksOn(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-2 * tempStale)
	names := []string{tempPrefix + "old", tempPrefix + "new", "notes"}
	for i, name := range names {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, modelFile), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if i != 1 {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	openStore(t, dir, 0, 0)
	for i, there := range []bool{false, true, true} {
		if _, err := os.Stat(filepath.Join(dir, names[i])); (err == nil) != there {
			t.Errorf("%s: error %v, want it there: %v", names[i], err, there)
		}
	}
}
