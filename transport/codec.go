package transport

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"scission/engine/tensor"
	"scission/transport/internal/plane"
)

// Codec turns a tensor's bytes into fewer and back. It is safe for concurrent
// use.
type Codec interface {
	ID() uint8    // in frames, below 64
	Name() string // in profiles and on command lines

	// Lossless says that Decode gives back every bit of every tensor. A codec
	// that is not lossless changes elements of float32 tensors only.
	Lossless() bool
	// Bound is the most by which an element of x differs after Encode and
	// Decode: 0 where x comes back bit for bit. It is about finite elements;
	// a NaN stays one and an infinity stays as it is. x has the bytes that its
	// type takes.
	Bound(x *tensor.Tensor) float64

	// Encode appends src, a tensor of type t, encoded, to dst and returns the
	// result. It may be longer than src. It fails with ErrFormat if src does
	// not have the bytes that t takes. src and dst do not overlap.
	Encode(dst, src []byte, t tensor.Type) ([]byte, error)
	// Decode fills dst from src, the encoding of a tensor of type t, or fails,
	// with ErrFormat if src does not encode exactly len(dst) bytes and those
	// are what t takes. It never writes or allocates more than a constant
	// beyond a multiple of len(dst). dst and src do not overlap.
	Decode(dst, src []byte, t tensor.Type) error
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
	// S2 finds bytes that were there before, which suits integers and tensors
	// with long runs of zeros.
	S2 Codec = s2Blocks{}

	// F16 rounds float32s to float16, to nearest, ties to even, and goes on as
	// ZerosHuff0. Bound: 2^-11 of the largest magnitude, and at least 2^-25.
	// A tensor with a finite element that would become infinite, of 65520 or
	// more, comes back bit for bit. A NaN comes back as a quiet one of its sign.
	F16 Codec = half{4, "f16", plane.Float16}
	// BF16 is like F16 with bfloat16. Bound: 2^-8 of the largest magnitude, and
	// at least 2^-134.
	BF16 Codec = half{5, "bf16", plane.BFloat16}

	// U8 replaces float32s by the nearest of 256 equal steps from the smallest
	// to the largest of the tensor, and compresses those bytes by Huffman's
	// code. Bound: half a step, (largest - smallest) / 255 / 2, and rounding, of
	// at most 2^-21 times the sum of that difference and the largest magnitude.
	// A constant comes back as it is; a zero has no sign. A tensor
	// with a NaN or an infinity, or whose elements differ by less than 2^-100
	// or by more than a float32 can say, comes back bit for bit.
	U8 Codec = affine{id: 6, name: "u8", bits: 8}
	// U8Channel is like U8 with steps for each of the slices that the first two
	// axes make, if there are more axes and at least 32 elements in a slice. Of
	// images those are the channels.
	U8Channel Codec = affine{id: 7, name: "u8-channel", bits: 8, sliced: true}
	// U4 is like U8Channel with 16 steps, or 15 times the distance between two.
	U4 Codec = affine{id: 8, name: "u4", bits: 4, sliced: true}
)

var codecs = [...]Codec{Raw, ShuffleZstd, ZerosHuff0, S2, F16, BF16, U8, U8Channel, U4}

// Codecs returns all codecs, in the order of their ids.
func Codecs() []Codec { return slices.Clone(codecs[:]) }

// LosslessCodecs returns the codecs that change no tensor, in the order of
// their ids.
func LosslessCodecs() []Codec {
	return slices.DeleteFunc(Codecs(), func(c Codec) bool { return !c.Lossless() })
}

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

// exact is what lossless codecs have in common.
type exact struct{}

func (exact) Lossless() bool               { return true }
func (exact) Bound(*tensor.Tensor) float64 { return 0 }

type raw struct{ exact }

func (raw) ID() uint8    { return 0 }
func (raw) Name() string { return "raw" }

func (raw) Encode(dst, src []byte, t tensor.Type) ([]byte, error) {
	if err := checkType(src, t); err != nil {
		return dst, err
	}
	return append(dst, src...), nil
}

func (raw) Decode(dst, src []byte, t tensor.Type) error {
	if err := checkType(dst, t); err != nil {
		return err
	}
	if len(src) != len(dst) {
		return fmt.Errorf("%w: %d bytes, want %d", ErrFormat, len(src), len(dst))
	}
	copy(dst, src)
	return nil
}

type shuffleZstd struct{ exact }

func (shuffleZstd) ID() uint8    { return 1 }
func (shuffleZstd) Name() string { return "shuffle+zstd" }

func (shuffleZstd) Encode(dst, src []byte, t tensor.Type) ([]byte, error) {
	elem := t.DType.Size()
	if err := checkType(src, t); err != nil {
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

func (shuffleZstd) Decode(dst, src []byte, t tensor.Type) error {
	elem := t.DType.Size()
	if err := checkType(dst, t); err != nil {
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

// checkType reports why b is no tensor of type t.
func checkType(b []byte, t tensor.Type) error {
	if !t.DType.Valid() || t.Bytes() != len(b) {
		return fmt.Errorf("%w: %d bytes are no %v", ErrFormat, len(b), t)
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
