package run

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// rawManifest encodes a manifest by hand.
func rawManifest(size uint64, weights [][2]uint64, chunks int) []byte {
	b := append([]byte("scission model 1"), make([]byte, 12)...)
	binary.LittleEndian.PutUint64(b[16:], size)
	binary.LittleEndian.PutUint32(b[24:], uint32(len(weights)))
	for _, w := range weights {
		b = binary.LittleEndian.AppendUint64(b, w[0])
		b = binary.LittleEndian.AppendUint64(b, w[1])
	}
	return append(b, make([]byte, 32*chunks)...)
}

func TestHostileManifestsAreRefused(t *testing.T) {
	const mib = 1 << 20
	lying := rawManifest(10, nil, 1)
	binary.LittleEndian.PutUint32(lying[24:], math.MaxUint32)
	for name, c := range map[string]struct {
		raw  []byte
		says string // "" is none
	}{
		"right":                    {rawManifest(3*mib+9, [][2]uint64{{5, mib}, {mib + 5, 1}, {mib + 7, 2 * mib}}, 1+1+1+2), ""},
		"no structure":             {rawManifest(mib, [][2]uint64{{0, mib}}, 1), ""},
		"empty":                    {nil, "got 0 bytes"},
		"short":                    {rawManifest(10, nil, 1)[:27], "got 27 bytes"},
		"magic":                    {append([]byte("scission model 2"), rawManifest(10, nil, 1)[16:]...), "begin with"},
		"too large":                {make([]byte, maxManifest+1), "bytes, want"},
		"no file":                  {rawManifest(0, nil, 0), "a file of 0 bytes"},
		"file too large":           {rawManifest(1<<48+1, nil, 1), "a file of 281474976710657 bytes"},
		"negative size":            {rawManifest(1<<63, nil, 1), "a file of"},
		"more weights than bytes":  {lying, "4294967295 weights"},
		"empty weight":             {rawManifest(10, [][2]uint64{{3, 0}}, 1), "weight 0"},
		"weight beyond the end":    {rawManifest(10, [][2]uint64{{3, 8}}, 2), "weight 0"},
		"weight at the end":        {rawManifest(10, [][2]uint64{{10, 1}}, 2), "weight 0"},
		"overflow":                 {rawManifest(10, [][2]uint64{{3, math.MaxUint64}}, 2), "weight 0"},
		"overlap":                  {rawManifest(10, [][2]uint64{{3, 3}, {5, 2}}, 3), "weight 1"},
		"out of order":             {rawManifest(10, [][2]uint64{{5, 2}, {3, 2}}, 3), "weight 1"},
		"too few digests":          {rawManifest(mib+1, nil, 1), "32 bytes of digests, want 64"},
		"too many digests":         {rawManifest(mib, nil, 2), "64 bytes of digests, want 32"},
		"half a digest":            {append(rawManifest(mib, nil, 1), 0), "33 bytes"},
		"size of 256 TiB, no more": {rawManifest(1<<48, nil, 1), "268435456 chunks"},
	} {
		m, err := readManifest(c.raw)
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if m != nil || !errors.Is(err, errManifest) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.says)
		}
	}
}

// Whatever the weights, each byte of the file is in exactly one chunk, of at most
// chunkSize bytes, and the bytes of a weight are in none of the structure's.
func TestChunksCoverTheFileOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var weights []Range
		at := int64(0)
		for range rapid.IntRange(0, 3).Draw(t, "weights") {
			at += rapid.Int64Range(0, 3*chunkSize/2).Draw(t, "gap")
			n := rapid.Int64Range(1, 5*chunkSize/2).Draw(t, "length")
			weights = append(weights, Range{at, n})
			at += n
		}
		size := at + rapid.Int64Range(0, 2).Draw(t, "tail")
		if size == 0 {
			size = 1
		}
		l := newLayout(size, weights)
		seen := make([]byte, size)
		for i := range l.chunks() {
			n := l.length(i)
			if n < 1 || n > chunkSize {
				t.Fatalf("chunk %d has %d bytes", i, n)
			}
			total := int64(0)
			l.each(i, make([]byte, n), func(b []byte, offset int64) error {
				for k := range b {
					seen[offset+int64(k)]++
				}
				total += int64(len(b))
				for _, w := range weights {
					if i < l.structureChunks() && offset < w.Offset+w.Length && w.Offset < offset+int64(len(b)) {
						t.Fatalf("chunk %d of the structure has bytes of weight %v", i, w)
					}
				}
				return nil
			})
			if total != n {
				t.Fatalf("chunk %d has %d bytes in the file, want %d", i, total, n)
			}
		}
		if i := bytes.IndexFunc(seen, func(r rune) bool { return r != 1 }); i >= 0 {
			t.Fatalf("byte %d is in %d chunks, want 1", i, seen[i])
		}
	})
}

func TestManifestDependsOnEveryByte(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	file := make([]byte, 3<<20)
	for i := range file {
		file[i] = byte(r.Uint32())
	}
	weights := []Range{{100, 1<<20 + 7}, {2 << 20, 50000}}
	ids := map[string]bool{}
	id := func() {
		m, err := describe(bytes.NewReader(file), int64(len(file)), weights)
		if err != nil {
			t.Fatal(err)
		}
		ids[m.id] = true
	}
	id()
	id()
	if len(ids) != 1 {
		t.Error("the same file has two names")
	}
	for i, at := range []int{0, 99, 100, 1 << 20, 2 << 20, len(file) - 1} {
		file[at] ^= 1
		if id(); len(ids) != i+2 {
			t.Errorf("a file that differs in byte %d has the same name", at)
		}
		file[at] ^= 1
	}
	if _, err := describe(bytes.NewReader(file), int64(len(file))+1, nil); err == nil {
		t.Error("a file that is shorter than its size: no error")
	}
	if _, err := describe(bytes.NewReader(nil), 0, nil); err == nil {
		t.Error("an empty file: no error")
	}
}

func TestBitsetFitsOnlyWithoutNumbersBeyondItsEnd(t *testing.T) {
	for _, c := range []struct {
		b    bitset
		n    int
		fits bool
	}{{bitset{0xff}, 8, true}, {bitset{0x7f}, 7, true}, {bitset{0x80}, 7, false}, {bitset{1, 0}, 8, false}, {nil, 0, true}, {nil, 1, false}, {bitset{0, 1}, 9, true}, {bitset{0, 2}, 9, false}} {
		if c.b.fits(c.n) != c.fits {
			t.Errorf("%v fits %d: got %v", c.b, c.n, !c.fits)
		}
	}
}

func FuzzReadManifest(f *testing.F) {
	f.Add(rawManifest(10, [][2]uint64{{3, 2}}, 2))
	f.Add(rawManifest(3<<20, [][2]uint64{{5, 1 << 20}, {1<<20 + 7, 1 << 20}}, 3))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := readManifest(raw)
		if err != nil {
			return
		}
		// What is read is a layout of the whole file, whose digests are there.
		sum := int64(0)
		for i := range m.chunks() {
			n := m.length(i)
			if n < 1 || n > chunkSize || len(m.hash(i)) != 32 {
				t.Fatalf("chunk %d has %d bytes", i, n)
			}
			sum += n
		}
		if sum != m.size {
			t.Fatalf("chunks have %d bytes, want %d", sum, m.size)
		}
	})
}
