package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"scission/engine/tensor"
)

var elemSizes = []int{1, 2, 4, 8}

// dtypes are all the element types that a frame carries.
var dtypes = []tensor.DType{
	tensor.Float32, tensor.Uint8, tensor.Int8, tensor.Uint16, tensor.Int16, tensor.Int32, tensor.Int64,
	tensor.Bool, tensor.Float16, tensor.Float64, tensor.Uint32, tensor.Uint64, tensor.BFloat16,
}

// relu is n float32 values of which half are zero, as activations behind a
// Relu are, and the others the positive half of a normal distribution.
func relu(n int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(1, 2))
	t := tensor.New(tensor.Float32, n)
	for i := range t.F32() {
		t.F32()[i] = float32(max(0, r.NormFloat64()))
	}
	return t
}

// randomBytes is n bytes that no codec shrinks.
func randomBytes(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 3))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestShuffleFollowsItsDefinition(t *testing.T) {
	for _, elem := range []int{2, 4, 8} {
		for n := range 70 {
			src := randomBytes(uint64(n), n*elem)
			want := make([]byte, len(src))
			for i := range n {
				for k := range elem {
					want[k*n+i] = src[i*elem+k]
				}
			}
			got := make([]byte, len(src))
			shuffle(got, src, elem)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d elements of %d bytes: got %x, want %x", n, elem, got, want)
			}
			back := make([]byte, len(src))
			unshuffle(back, got, elem)
			if !bytes.Equal(back, src) {
				t.Fatalf("%d elements of %d bytes: back to %x, want %x", n, elem, back, src)
			}
		}
	}
}

func TestCodecsAreLossless(t *testing.T) {
	special := tensor.Of([]float32{
		0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), math.SmallestNonzeroFloat32,
		math.Float32frombits(0x7fc00001), math.Float32frombits(0x7f800001), math.Float32frombits(0xffffffff), // NaNs
	}, 8).Raw
	for _, c := range Codecs() {
		if !c.Lossless() {
			continue
		}
		for _, elem := range elemSizes {
			t.Run(fmt.Sprintf("%s/%d", c.Name(), elem), func(t *testing.T) {
				rapid.Check(t, func(t *rapid.T) {
					n := rapid.IntRange(0, 5000).Draw(t, "elements")
					src := make([]byte, n*elem)
					switch rapid.SampledFrom([]string{"random", "few values", "special"}).Draw(t, "bytes") {
					case "random":
						src = randomBytes(rapid.Uint64().Draw(t, "seed"), n*elem)
					case "few values":
						for i, b := range randomBytes(rapid.Uint64().Draw(t, "seed"), n*elem) {
							src[i] = b & 3
						}
					case "special":
						for i := range src {
							src[i] = special[i%len(special)]
						}
					}
					prefix := []byte("what stands before")
					wire, err := c.Encode(slices.Clone(prefix), src, elem)
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.HasPrefix(wire, prefix) {
						t.Fatal("Encode changed what stood in dst")
					}
					got := make([]byte, len(src))
					if err := c.Decode(got, wire[len(prefix):], elem); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got, src) {
						t.Fatal("decode(encode(x)) is not x")
					}
				})
			})
		}
	}
}

func TestDecodeRefusesAnotherLength(t *testing.T) {
	src := relu(1000).Raw
	for _, c := range Codecs() {
		wire, err := c.Encode(nil, src, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 4, len(src) - 4, len(src) + 4} {
			if err := c.Decode(make([]byte, n), wire, 4); !errors.Is(err, ErrFormat) {
				t.Errorf("%s: %d bytes decoded into %d: %v, want %v", c.Name(), len(src), n, err, ErrFormat)
			}
		}
	}
}

func TestShuffleZstdRefusesElementsItCannotShuffle(t *testing.T) {
	for _, c := range []struct{ size, elem int }{{12, 3}, {12, 0}, {16, 16}, {6, 4}} {
		b := make([]byte, c.size)
		if _, err := ShuffleZstd.Encode(nil, b, c.elem); !errors.Is(err, ErrFormat) {
			t.Errorf("Encode %d bytes by %d: %v, want %v", c.size, c.elem, err, ErrFormat)
		}
		if err := ShuffleZstd.Decode(b, nil, c.elem); !errors.Is(err, ErrFormat) {
			t.Errorf("Decode %d bytes by %d: %v, want %v", c.size, c.elem, err, ErrFormat)
		}
	}
}

// zeros is a Zstandard frame, by RFC 8878, of blocks that each repeat one zero
// byte. It declares size bytes and holds n, which is not 0.
func zeros(size uint64, n int) []byte {
	const maxBlock = 128 << 10
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0} // magic; single segment, 8 bytes of content size
	b = binary.LittleEndian.AppendUint64(b, size)
	for n > 0 {
		k := min(n, maxBlock)
		n -= k
		h := uint32(k)<<3 | 1<<1
		if n == 0 {
			h |= 1 // the last block
		}
		b = append(b, byte(h), byte(h>>8), byte(h>>16), 0)
	}
	return b
}

// A bomb costs no more than the length that the frame's header declared and
// the limits allowed, whatever it says of itself.
func TestBombsStopAtTheDeclaredLength(t *testing.T) {
	const gib = 1 << 30
	if gib > math.MaxInt/4 {
		t.Skip("the bomb does not fit the address space")
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	unknown := zeros(0, gib)
	unknown[4] = 0 // no content size, but a window descriptor
	unknown = append(unknown[:5:5], append([]byte{0xa0}, unknown[13:]...)...)
	for name, bomb := range map[string][]byte{
		"1 GiB that says so":           zeros(gib, gib),
		"1 GiB that says 512 KiB":      zeros(512<<10, gib),
		"1 GiB that says nothing":      unknown,
		"512 KiB, then 1 GiB":          append(zeros(512<<10, 512<<10), zeros(gib, gib)...),
		"one byte more":                zeros(512<<10, 512<<10+1),
		"one byte less":                zeros(512<<10, 512<<10-1),
		"16 MiB of the library's own":  w.EncodeAll(make([]byte, 16<<20), nil),
		"skippable frame, then 1 GiB":  append([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, zeros(gib, gib)...),
		"nothing":                      {},
		"header without blocks":        zeros(512<<10, 1)[:13],
		"content that is not compress": []byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		dst := make([]byte, 512<<10)
		ShuffleZstd.Decode(dst, zeros(512<<10, 512<<10), 4) // lets the codec allocate what it keeps
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := ShuffleZstd.Decode(dst, bomb, 4)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s (%d bytes): %v, want %v", name, len(bomb), err, ErrFormat)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
			t.Errorf("%s (%d bytes): allocated %d bytes for a tensor of 512 KiB", name, len(bomb), got)
		}
	}
}

func TestCodecByNameKnowsEachCodec(t *testing.T) {
	for i, c := range Codecs() {
		got, err := CodecByName(c.Name())
		if err != nil || got != c || int(c.ID()) != i {
			t.Errorf("CodecByName(%q) = %v, %v with id %d, want id %d", c.Name(), got, err, c.ID(), i)
		}
	}
	if _, err := CodecByName("lzma"); !errors.Is(err, ErrCodec) {
		t.Errorf("CodecByName(lzma): %v, want %v", err, ErrCodec)
	}
}

// What ZerosHuff0 refuses, each with one thing wrong in an encoding by SPEC.md.
func TestZerosHuff0RefusesWhatDoesNotFit(t *testing.T) {
	// Ten elements of 2 bytes, of which the second and the last are not zero; one block of two heads, as they are.
	good := []byte{1, 10, 0b10, 0b10, 0x11, 0x22, 2, 0, 0, 0x33, 0x44}
	dst := make([]byte, 20)
	if err := ZerosHuff0.Decode(dst, good, 2); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 20)
	le.PutUint16(want[2:], bits.RotateLeft16(0x3311, -1))
	le.PutUint16(want[18:], bits.RotateLeft16(0x4422, -1))
	if !bytes.Equal(dst, want) {
		t.Fatalf("got %x, want %x", dst, want)
	}
	for name, bad := range map[string][]byte{
		"nothing":                 {},
		"another mode":            {2, 10, 0b10, 0b10, 0x11, 0x22, 2, 0, 0, 0x33, 0x44},
		"no count":                {1},
		"another count":           {1, 9, 0b10, 0b10, 0x11, 0x22, 2, 0, 0, 0x33, 0x44},
		"half a bitmap":           {1, 10, 0b10},
		"a bit of no element":     {1, 10, 0b10, 0b110, 0x11, 0x22, 0x22, 3, 0, 0, 0x33, 0x44, 0x44},
		"elements missing":        {1, 10, 0b10, 0b10, 0x11},
		"no length of the heads":  {1, 10, 0b10, 0b10, 0x11, 0x22, 2, 0},
		"no heads":                {1, 10, 0b10, 0b10, 0x11, 0x22, 0, 0, 0},
		"more heads than there":   {1, 10, 0b10, 0b10, 0x11, 0x22, 3, 0, 0, 0x33, 0x44, 0x55},
		"heads missing":           {1, 10, 0b10, 0b10, 0x11, 0x22, 2, 0, 0, 0x33},
		"something behind":        {1, 10, 0b10, 0b10, 0x11, 0x22, 2, 0, 0, 0x33, 0x44, 0},
		"all elements, one short": {0, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 0, 0, 0x33, 0x44},
		"a table that is none":    append([]byte{0, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 5, 0, 0, 255, 255, 255, 255, 255),
	} {
		if err := ZerosHuff0.Decode(dst, bad, 2); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want %v", name, err, ErrFormat)
		}
	}
}

// Half of the elements are zero, and the exponents of the others take 3 bits: at most half of the bytes are left.
func TestZerosHuff0HalvesActivations(t *testing.T) {
	src := relu(200000).Raw
	wire, err := ZerosHuff0.Encode(nil, src, 4)
	if err != nil {
		t.Fatal(err)
	}
	if 2*len(wire) > len(src) {
		t.Errorf("%d bytes encoded as %d, want at most half", len(src), len(wire))
	}
}

func FuzzDecode(f *testing.F) {
	src := relu(64).Raw
	for _, c := range Codecs() {
		wire, err := c.Encode(nil, src, 4)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, uint16(64), uint8(4))
	}
	f.Add(zeros(4096, 4096), uint16(1024), uint8(4))
	f.Add(zeros(4096, 1<<30), uint16(1024), uint8(1))
	f.Fuzz(func(t *testing.T, wire []byte, n uint16, elem uint8) {
		for _, c := range []Codec{ShuffleZstd, ZerosHuff0} {
			dst := make([]byte, int(n)*int(elem%9))
			if err := c.Decode(dst, wire, int(elem%9)); err != nil {
				continue
			}
			again, err := c.Encode(nil, dst, int(elem%9))
			if err != nil {
				t.Fatalf("%s: decoded, but does not encode: %v", c.Name(), err)
			}
			back := make([]byte, len(dst))
			if err := c.Decode(back, again, int(elem%9)); err != nil || !bytes.Equal(back, dst) {
				t.Fatalf("%s: decoded, encoded and decoded differs: %v", c.Name(), err)
			}
		}
	})
}

const benchElems = 600 << 10 / 4

func BenchmarkShuffle(b *testing.B) {
	src := randomBytes(1, 600<<10)
	dst := make([]byte, len(src))
	for _, elem := range []int{2, 4, 8} {
		for name, f := range map[string]func(dst, src []byte, elem int){"shuffle": shuffle, "unshuffle": unshuffle} {
			b.Run(fmt.Sprintf("%s/%d", name, elem), func(b *testing.B) {
				b.SetBytes(int64(len(src)))
				for b.Loop() {
					f(dst, src, elem)
				}
			})
		}
	}
}

func BenchmarkCodecs(b *testing.B) {
	src := relu(benchElems).Raw
	for _, c := range []Codec{ShuffleZstd, ZerosHuff0} {
		wire, err := c.Encode(nil, src, 4)
		if err != nil {
			b.Fatal(err)
		}
		dst := make([]byte, 2*len(src))
		b.Run(c.Name()+"/encode", func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Encode(dst[:0], src, 4); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(src))/float64(len(wire)), "ratio")
		})
		b.Run(c.Name()+"/decode", func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Decode(dst[:len(src)], wire, 4); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
