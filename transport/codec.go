package transport

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Codec turns a tensor's bytes into fewer and back. It is safe for concurrent
// use.
type Codec interface {
	ID() uint8      // in frames, below 64
	Name() string   // in profiles and on command lines
	Lossless() bool // Decode gives back every bit

	// Encode appends src, encoded, to dst and returns the result. Elements are
	// elem bytes long: 1, 2, 4 or 8. The result may be longer than src.
	Encode(dst, src []byte, elem int) ([]byte, error)
	// Decode fills dst from src or fails, with ErrFormat if src does not
	// encode exactly len(dst) bytes. It never writes or allocates more than a
	// constant beyond a multiple of len(dst). dst and src do not overlap.
	Decode(dst, src []byte, elem int) error
}

// The codecs. Send sends raw what an encoding would not shrink.
var (
	// Raw is the bytes themselves.
	Raw Codec = raw{}
	// ShuffleZstd groups the first bytes of all elements, then the second, and
	// so on, and compresses the result as one Zstandard frame at the fastest
	// level. It suits dense floating-point tensors, whose sign and exponent
	// bytes are alike.
	ShuffleZstd Codec = shuffleZstd{}
	// ZerosHuff0 leaves zeros out, which it marks in a bitmap if there are
	// enough, and compresses of the other elements the byte that holds the
	// exponent, by Huffman's code. It suits floating-point tensors, those behind
	// a Relu above all, and is several times as fast as ShuffleZstd.
	ZerosHuff0 Codec = zerosHuff0{}
)

var codecs = [...]Codec{Raw, ShuffleZstd, ZerosHuff0}

// Codecs returns all codecs, in the order of their ids.
func Codecs() []Codec { return slices.Clone(codecs[:]) }

// CodecByName returns the codec with the given Name, or ErrCodec.
func CodecByName(name string) (Codec, error) {
	var names []string
	for _, c := range codecs {
		if c.Name() == name {
			return c, nil
		}
		names = append(names, c.Name())
	}
	return nil, fmt.Errorf("transport: %w %q, want one of %s", ErrCodec, name, strings.Join(names, ", "))
}

// codecSet has bit i set if codec i is in it.
type codecSet uint64

func (s codecSet) has(id uint8) bool { return s>>id&1 != 0 }

// allCodecs is the set of what Codecs returns.
func allCodecs() (s codecSet) {
	for _, c := range codecs {
		s |= 1 << c.ID()
	}
	return s
}

type raw struct{}

func (raw) ID() uint8      { return 0 }
func (raw) Name() string   { return "raw" }
func (raw) Lossless() bool { return true }

func (raw) Encode(dst, src []byte, _ int) ([]byte, error) { return append(dst, src...), nil }

func (raw) Decode(dst, src []byte, _ int) error {
	if len(src) != len(dst) {
		return fmt.Errorf("%w: %d bytes, want %d", ErrFormat, len(src), len(dst))
	}
	copy(dst, src)
	return nil
}

type shuffleZstd struct{}

func (shuffleZstd) ID() uint8      { return 1 }
func (shuffleZstd) Name() string   { return "shuffle+zstd" }
func (shuffleZstd) Lossless() bool { return true }

func (shuffleZstd) Encode(dst, src []byte, elem int) ([]byte, error) {
	if err := checkElem(src, elem); err != nil {
		return dst, err
	}
	z, err := getZstd()
	if err != nil {
		return dst, err
	}
	defer putZstd(z)
	if elem > 1 {
		z.reserve(len(src))
		shuffle(z.planes, src, elem)
		src = z.planes
	}
	return z.enc.EncodeAll(src, dst), nil
}

func (shuffleZstd) Decode(dst, src []byte, elem int) error {
	if err := checkElem(dst, elem); err != nil {
		return err
	}
	z, err := getZstd()
	if err != nil {
		return err
	}
	defer putZstd(z)
	if err := z.header.Decode(src); err != nil {
		return fmt.Errorf("%w: zstd: %v", ErrFormat, err)
	}
	if n := uint64(len(dst)); z.header.Skippable || !z.header.HasFCS || z.header.FrameContentSize != n {
		return fmt.Errorf("%w: zstd frame of %d bytes, want %d", ErrFormat, z.header.FrameContentSize, n)
	}
	out := dst
	if elem > 1 {
		z.reserve(len(dst))
		out = z.planes
	}
	// The decoder stops at the capacity, which is what the header declared.
	got, err := z.dec.DecodeAll(src, out[:0:len(out)])
	if err != nil {
		return fmt.Errorf("%w: zstd: %v", ErrFormat, err)
	}
	if len(got) != len(dst) {
		return fmt.Errorf("%w: zstd gave %d bytes, want %d", ErrFormat, len(got), len(dst))
	}
	if elem > 1 {
		unshuffle(dst, got, elem)
	}
	return nil
}

func checkElem(b []byte, elem int) error {
	switch elem {
	case 1, 2, 4, 8:
	default:
		return fmt.Errorf("%w: elements of %d bytes, want 1, 2, 4 or 8", ErrFormat, elem)
	}
	if len(b)%elem != 0 {
		return fmt.Errorf("%w: %d bytes are no whole number of elements of %d", ErrFormat, len(b), elem)
	}
	return nil
}

// zstdWindow is how far back a match may reach. The planes of a float tensor
// hold few matches, and the encoder keeps several times this in memory.
const zstdWindow = 256 << 10

// retain is the largest buffer, in bytes, that is kept for the next frame.
const retain = 32 << 20

// zstdState is what one encoding or decoding works with: about 2 MB, and as
// much as the largest tensor so far, if that is within retain.
type zstdState struct {
	enc    *zstd.Encoder
	dec    *zstd.Decoder
	header zstd.Header
	planes []byte
}

// reserve makes z.planes n bytes long; what they hold is lost.
func (z *zstdState) reserve(n int) {
	if cap(z.planes) < n {
		z.planes = make([]byte, n)
	}
	z.planes = z.planes[:n]
}

// idle holds the states not in use, at most one for each processor. A sync.Pool
// would lose them at every other garbage collection.
var idle struct {
	sync.Mutex
	states []*zstdState
}

func getZstd() (*zstdState, error) {
	idle.Lock()
	if n := len(idle.states); n > 0 {
		z := idle.states[n-1]
		idle.states = idle.states[:n-1]
		idle.Unlock()
		return z, nil
	}
	idle.Unlock()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(zstdWindow),
		zstd.WithSingleSegment(true), zstd.WithZeroFrames(true)) // so that a frame always states its size
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, err
	}
	return &zstdState{enc: enc, dec: dec}, nil
}

func putZstd(z *zstdState) {
	if cap(z.planes) > retain {
		z.planes = nil
	}
	idle.Lock()
	if len(idle.states) < runtime.GOMAXPROCS(0) {
		idle.states = append(idle.states, z)
	}
	idle.Unlock()
}
