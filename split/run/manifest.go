package run

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"runtime"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// Range is a range of bytes of a model's file.
type Range struct{ Offset, Length int64 }

// layout divides a file into its structure, which is all that is no weight, and its
// weights, and both into chunks: the structure as if it were one piece, and then each
// weight, as they lie in the file. Only the last chunk of each piece may be shorter
// than chunkSize.
type layout struct {
	size    int64
	weights []Range // ascending, without overlap, none empty
	gaps    []Range // what lies between: the structure
	starts  []int64 // of each gap in the structure, and the structure's length
	first   []int   // chunk of the structure and of each weight, and the number of chunks
}

const (
	chunkSize   = 1 << 20
	maxFileSize = 1 << 48 // so that chunks can be counted by an int of 32 bits
)

// newLayout returns the layout of a file of 1 to maxFileSize bytes.
func newLayout(size int64, weights []Range) layout {
	l := layout{size: size, weights: weights, starts: []int64{0}}
	gap := func(from, to int64) {
		if from < to {
			l.gaps = append(l.gaps, Range{from, to - from})
			l.starts = append(l.starts, l.structure()+to-from)
		}
	}
	end := int64(0)
	for _, w := range weights {
		gap(end, w.Offset)
		end = w.Offset + w.Length
	}
	gap(end, size)
	l.first = append(make([]int, 1, len(weights)+2), chunksOf(l.structure()))
	for i, w := range weights {
		l.first = append(l.first, l.first[i+1]+chunksOf(w.Length))
	}
	return l
}

func chunksOf(length int64) int { return int((length + chunkSize - 1) / chunkSize) }

// structure is the number of bytes of the structure.
func (l *layout) structure() int64 { return l.starts[len(l.starts)-1] }

// chunks is the number of chunks, of which the first structureChunks are those of the
// structure.
func (l *layout) chunks() int { return l.first[len(l.first)-1] }

func (l *layout) structureChunks() int { return l.first[1] }

// weight is the place of chunk i, which is not of the structure, in the file.
func (l *layout) weight(i int) Range {
	w := sort.Search(len(l.weights), func(w int) bool { return l.first[w+2] > i })
	from := int64(i-l.first[w+1]) * chunkSize
	return Range{l.weights[w].Offset + from, min(chunkSize, l.weights[w].Length-from)}
}

// length is the number of bytes of chunk i.
func (l *layout) length(i int) int64 {
	if i < l.structureChunks() {
		return min(chunkSize, l.structure()-int64(i)*chunkSize)
	}
	return l.weight(i).Length
}

// each calls f for the parts of b, the bytes of chunk i, with their places in the file.
func (l *layout) each(i int, b []byte, f func(b []byte, offset int64) error) error {
	if i >= l.structureChunks() {
		return f(b, l.weight(i).Offset)
	}
	from := int64(i) * chunkSize
	for g := sort.Search(len(l.gaps), func(g int) bool { return l.starts[g+1] > from }); len(b) > 0; g++ {
		in := from - l.starts[g] // only the first gap may have begun before
		n := min(int64(len(b)), l.gaps[g].Length-in)
		if err := f(b[:n], l.gaps[g].Offset+in); err != nil {
			return err
		}
		b, from = b[n:], from+n
	}
	return nil
}

// A manifest says what a model's file holds: its layout and the SHA-256 of each chunk.
// Its own SHA-256 is the name that hosts have for the model, so that whoever sends
// chunks cannot make others believe in wrong ones.
//
// Encoded, little-endian: the magic; the size of the file, 8 bytes; the number of
// weights, 4 bytes; offset and length of each, 8 bytes each; and the chunks' digests.
type manifest struct {
	layout
	raw    []byte
	hashes []byte // the last part of raw
	id     string // SHA-256 of raw, in hexadecimal
}

const (
	manifestMagic = "scission model 1"
	manifestHead  = len(manifestMagic) + 8 + 4
	manifestRange = 8 + 8

	// maxManifest bounds the bytes of a manifest, and so the weights and chunks;
	// maxWeights bounds the weights of those that are made here.
	maxManifest = 16 << 20
	maxWeights  = 1 << 16
)

// errManifest says that a manifest is not well formed.
var errManifest = errors.New("bad manifest")

// readManifest checks and decodes a manifest, which it keeps.
func readManifest(raw []byte) (*manifest, error) {
	if len(raw) < manifestHead || len(raw) > maxManifest || string(raw[:len(manifestMagic)]) != manifestMagic {
		return nil, fmt.Errorf("run: %w: got %d bytes, want %d to %d that begin with %q", errManifest, len(raw), manifestHead, maxManifest, manifestMagic)
	}
	size := binary.LittleEndian.Uint64(raw[len(manifestMagic):])
	count := binary.LittleEndian.Uint32(raw[manifestHead-4:])
	rest := raw[manifestHead:]
	if size < 1 || size > maxFileSize || int64(count)*manifestRange > int64(len(rest)) {
		return nil, fmt.Errorf("run: %w: a file of %d bytes and %d weights in %d bytes, want 1 to %d, and %d for each weight",
			errManifest, size, count, len(rest), int64(maxFileSize), manifestRange)
	}
	weights := make([]Range, count)
	end := uint64(0)
	for i := range weights {
		offset, length := binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
		if offset < end || offset >= size || length < 1 || length > size-offset {
			return nil, fmt.Errorf("run: %w: weight %d has %d bytes from %d on, want at least 1 within %d to %d", errManifest, i, length, offset, end, size)
		}
		weights[i] = Range{int64(offset), int64(length)}
		end, rest = offset+length, rest[manifestRange:]
	}
	m := &manifest{layout: newLayout(int64(size), weights), raw: raw, hashes: rest}
	if want := int64(m.chunks()) * sha256.Size; int64(len(rest)) != want {
		return nil, fmt.Errorf("run: %w: %d bytes of digests, want %d for %d chunks", errManifest, len(rest), want, m.chunks())
	}
	sum := sha256.Sum256(raw)
	m.id = hex.EncodeToString(sum[:])
	return m, nil
}

// hash is the SHA-256 of chunk i.
func (m *manifest) hash(i int) []byte { return m.hashes[i*sha256.Size:][:sha256.Size] }

// describe makes the manifest of a file. Beyond maxWeights, weights count as structure.
func describe(r io.ReaderAt, size int64, weights []Range) (*manifest, error) {
	if size < 1 || size > maxFileSize {
		return nil, fmt.Errorf("run: model of %d bytes, want 1 to %d", size, int64(maxFileSize))
	}
	l := newLayout(size, weights[:min(len(weights), maxWeights)])
	raw := make([]byte, manifestHead, manifestHead+len(l.weights)*manifestRange+l.chunks()*sha256.Size)
	copy(raw, manifestMagic)
	binary.LittleEndian.PutUint64(raw[len(manifestMagic):], uint64(size))
	binary.LittleEndian.PutUint32(raw[manifestHead-4:], uint32(len(l.weights)))
	for _, w := range l.weights {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(w.Offset))
		raw = binary.LittleEndian.AppendUint64(raw, uint64(w.Length))
	}
	head := len(raw)
	raw = raw[:cap(raw)]
	errs := make([]error, min(runtime.GOMAXPROCS(0), l.chunks()))
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			buf := make([]byte, chunkSize)
			for errs[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= l.chunks() {
					return
				}
				b := buf[:l.length(i)]
				if errs[w] = l.read(r, i, b); errs[w] == nil {
					sum := sha256.Sum256(b)
					copy(raw[head+i*sha256.Size:], sum[:])
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("run: read model: %w", err)
	}
	return readManifest(raw)
}

// read reads chunk i, which has len(b) bytes, of the file r.
func (l *layout) read(r io.ReaderAt, i int, b []byte) error {
	return l.each(i, b, func(b []byte, offset int64) error {
		if n, err := r.ReadAt(b, offset); n < len(b) {
			return err
		}
		return nil
	})
}

// Content is the file of a model, for workers that lack it. It is safe for
// concurrent use.
type Content struct {
	file     io.ReaderAt
	manifest func() (*manifest, error)
	has      func(chunk int) bool
}

// NewContent returns the content of a file of size bytes, which must stay as it is
// while the Content is used. weights are the places of large constants in it,
// ascending and without overlap: a worker need not have those that its stages do not
// read, see Sparer. The file is read, to compute digests, when it is first needed.
func NewContent(file io.ReaderAt, size int64, weights []Range) *Content {
	return &Content{
		file:     file,
		manifest: sync.OnceValues(func() (*manifest, error) { return describe(file, size, weights) }),
		has:      func(int) bool { return true },
	}
}

// bitset is a set of numbers, chunks of a model, bit i%8 of byte i/8 for number i.
type bitset []byte

func newBitset(n int) bitset { return make(bitset, (n+7)/8) }

func (b bitset) has(i int) bool { return b[i/8]>>(i%8)&1 != 0 }
func (b bitset) add(i int)      { b[i/8] |= 1 << (i % 8) }

func (b bitset) count() (n int) {
	for _, x := range b {
		n += bits.OnesCount8(x)
	}
	return n
}

// fits reports whether b is a set of numbers below n.
func (b bitset) fits(n int) bool {
	return len(b) == (n+7)/8 && (n%8 == 0 || b[len(b)-1]>>(n%8) == 0)
}

// list returns the numbers in order.
func (b bitset) list() (l []int) {
	for i := range 8 * len(b) {
		if b.has(i) {
			l = append(l, i)
		}
	}
	return l
}

// only returns the numbers that keep holds for.
func (b bitset) only(keep func(i int) bool) bitset {
	kept := make(bitset, len(b))
	for _, i := range b.list() {
		if keep(i) {
			kept.add(i)
		}
	}
	return kept
}

// or adds the numbers of other, a set of the same size.
func (b bitset) or(other bitset) {
	for i := range b {
		b[i] |= other[i]
	}
}

func (b bitset) clone() bitset { return slices.Clone(b) }
