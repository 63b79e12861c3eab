package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"scission/engine/tensor"
)

// floats is the type of n float32s in a row.
func floats(n int) tensor.Type {
	return tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{n}}
}

// bytesType is the type of n bytes.
func bytesType(n int) tensor.Type {
	return tensor.Type{DType: tensor.Uint8, Shape: tensor.Shape{n}}
}

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

// lossy are the codecs that change float32s.
func lossy() []Codec { return slices.DeleteFunc(Codecs(), Codec.Lossless) }

// recode is x after Encode, behind something that stands before, and Decode.
func recode(t interface{ Fatalf(string, ...any) }, c Codec, x *tensor.Tensor) *tensor.Tensor {
	prefix := []byte("what stands before")
	wire, err := c.Encode(slices.Clone(prefix), x.Raw, x.Type)
	if err != nil {
		t.Fatalf("%s: %v: %v", c.Name(), x.Type, err)
	}
	if !bytes.HasPrefix(wire, prefix) {
		t.Fatalf("%s: Encode changed what stood in dst", c.Name())
	}
	got := tensor.New(x.DType, x.Shape...)
	if err := c.Decode(got.Raw, wire[len(prefix):], x.Type); err != nil {
		t.Fatalf("%s: %v: %v", c.Name(), x.Type, err)
	}
	return got
}

// drawElements draws a tensor of 0 to 5000 elements, in up to four dimensions.
func drawElements(t *rapid.T, dtype tensor.DType) *tensor.Tensor {
	shape := []int{rapid.IntRange(0, 5000).Draw(t, "elements")}
	if rapid.Bool().Draw(t, "image") {
		shape = []int{rapid.IntRange(1, 2).Draw(t, "n"), rapid.IntRange(1, 9).Draw(t, "c"), rapid.IntRange(1, 16).Draw(t, "h"), rapid.IntRange(0, 16).Draw(t, "w")}
	}
	x := tensor.New(dtype, shape...)
	seed := rapid.Uint64().Draw(t, "seed")
	kind := rapid.SampledFrom([]string{"random", "few values", "half zero", "special", "constant"}).Draw(t, "bytes")
	for i, b := range randomBytes(seed, len(x.Raw)) {
		switch kind {
		case "random":
			x.Raw[i] = b
		case "few values":
			x.Raw[i] = b & 3
		case "half zero":
			if i/dtype.Size()*int(seed|1)>>4&1 == 0 {
				x.Raw[i] = b
			}
		case "special":
			x.Raw[i] = special[i%len(special)]
		case "constant":
			x.Raw[i] = special[i%dtype.Size()+4*int(seed%uint64(len(special)/4-1))]
		}
		if dtype == tensor.Bool {
			x.Raw[i] &= 1
		}
	}
	return x
}

// special are the bytes of float32s that kernels may treat wrongly.
var special = tensor.Of([]float32{
	0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), math.SmallestNonzeroFloat32,
	math.Float32frombits(0x7fc00001), math.Float32frombits(0x7f800001), math.Float32frombits(0xffffffff), // NaNs
}, 8).Raw

// A codec that is lossless changes nothing, and the others nothing but float32s.
func TestCodecsAreLossless(t *testing.T) {
	for _, c := range Codecs() {
		t.Run(c.Name(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				x := drawElements(t, rapid.SampledFrom(dtypes).Draw(t, "dtype"))
				if !c.Lossless() && x.DType == tensor.Float32 {
					return
				}
				if b := c.Bound(x); b != 0 {
					t.Fatalf("%v: bound %g, want 0", x.Type, b)
				}
				if !recode(t, c, x).Identical(x) {
					t.Fatalf("%v: decode(encode(x)) is not x", x.Type)
				}
			})
		})
	}
}

// checkBound reports elements of got that are further from want than bound
// says, or a NaN or an infinity that is not one any more.
func checkBound(got, want *tensor.Tensor, bound float64) error {
	for i, w := range want.F32() {
		g := got.F32()[i]
		nan, infinite := w != w, math.IsInf(float64(w), 0)
		if nan && g == g || infinite && g != w || !nan && !infinite && !(math.Abs(float64(g)-float64(w)) <= bound) {
			return fmt.Errorf("%v: element %d is %v, want %v within %g", want.Type, i, g, w, bound)
		}
	}
	return nil
}

// drawFloats draws float32s as they occur, and as they should not.
func drawFloats(t *rapid.T) *tensor.Tensor {
	shape := rapid.SampledFrom([][]int{{1}, {7}, {4097}, {1, 1000}, {2, 3, 7, 7}, {1, 5, 6, 6}, {3, 4, 31}, {2, 2, 40, 3}, {70000}}).Draw(t, "shape")
	x := tensor.New(tensor.Float32, shape...)
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 5))
	scale := rapid.SampledFrom([]float64{1, 1e-3, 70000, 1e-6, 1e-37, 1e-42, 1e30, 3e38}).Draw(t, "scale")
	offset := rapid.SampledFrom([]float64{0, 0, 1, -1000, 1e20}).Draw(t, "offset")
	kind := rapid.SampledFrom([]string{"normal", "relu", "constant", "two values", "zeros of both signs"}).Draw(t, "kind")
	for i := range x.F32() {
		v := r.NormFloat64()
		switch kind {
		case "relu":
			v = max(v, 0)
		case "constant":
			v = 1
		case "two values":
			v = float64(r.IntN(2))
		case "zeros of both signs":
			v = math.Copysign(0, v)
		}
		x.F32()[i] = float32(max(-math.MaxFloat32, min(math.MaxFloat32, v*scale+offset)))
	}
	if rapid.IntRange(0, 5).Draw(t, "not finite") == 0 {
		x.F32()[r.IntN(len(x.F32()))] = rapid.SampledFrom([]float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}).Draw(t, "what")
	}
	return x
}

func TestLossyCodecsKeepTheirBound(t *testing.T) {
	for _, c := range lossy() {
		t.Run(c.Name(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				x := drawFloats(t)
				got := recode(t, c, x)
				if err := checkBound(got, x, c.Bound(x)); err != nil {
					t.Fatal(err)
				}
				// What was decoded may travel on: over a hop more it does not wander.
				if c == F16 || c == BF16 {
					if again := recode(t, c, got); !again.Identical(got) {
						t.Fatal("encoding what was decoded changes it")
					}
				}
			})
		})
	}
}

// The bounds are what the codecs' documentation says, reckoned by hand.
func TestBoundsAreThoseOfTheDocumentation(t *testing.T) {
	x := tensor.New(tensor.Float32, 1, 2, 8, 8)
	for i := range x.F32() {
		x.F32()[i] = float32(i%64) / 63 // 0 to 1
		if i >= 64 {
			x.F32()[i] *= -100 // -100 to 0
		}
	}
	for _, c := range []struct {
		codec Codec
		want  float64
	}{
		{F16, 100. / 2048}, {BF16, 100. / 256}, {U8, 101. / 255 / 2}, {U8Channel, 100. / 255 / 2}, {U4, 100. / 15 / 2},
	} {
		if got := c.codec.Bound(x); !(got >= c.want && got <= c.want*1.001) {
			t.Errorf("%s: bound %g, want %g and rounding", c.codec.Name(), got, c.want)
		}
	}
	// Only the slice with steps of its own matters to its elements.
	got := recode(t, U8Channel, x)
	first := tensor.Of(x.F32()[:64], 64)
	if err := checkBound(tensor.Of(got.F32()[:64], 64), first, 1./255/2*1.001); err != nil {
		t.Errorf("the channel from 0 to 1: %v", err)
	}
}

// What lossy codecs cannot reduce comes back bit for bit.
func TestLossyCodecsSendTheRestAsItIs(t *testing.T) {
	nan, inf := math.Float32frombits(0x7fc12345), float32(math.Inf(-1))
	for _, c := range []struct {
		codec  Codec
		values []float32
	}{
		{F16, []float32{1, 65520, 1.0001}}, {BF16, []float32{1, math.MaxFloat32, 1.0001}},
		{U8, []float32{1, nan, 1.0001}}, {U8Channel, []float32{1, inf, 1.0001}}, {U4, []float32{1, nan, inf}},
		{U8, []float32{-math.MaxFloat32, math.MaxFloat32, 1}}, {U8, []float32{0, 1e-40, 2e-40}},
	} {
		x := tensor.New(tensor.Float32, 300)
		copy(x.F32()[100:], c.values)
		if got, bound := recode(t, c.codec, x), c.codec.Bound(x); !got.Identical(x) || bound != 0 {
			t.Errorf("%s: %v came back as %v, with bound %g", c.codec.Name(), c.values, got.F32()[100:103], bound)
		}
	}
}

// A constant is one step from nowhere to nowhere.
func TestConstantsComeBack(t *testing.T) {
	for _, c := range []Codec{U8, U8Channel, U4} {
		for _, v := range []float32{0, 1, -3.14159, 1e-41, math.MaxFloat32, -math.MaxFloat32} {
			x := tensor.New(tensor.Float32, 1, 3, 50)
			for i := range x.F32() {
				x.F32()[i] = v
			}
			if !recode(t, c, x).Identical(x) {
				t.Errorf("%s: %v became %v", c.Name(), v, recode(t, c, x).F32()[0])
			}
		}
	}
}

// The bits that codecs make are the same on every machine: a digest of them,
// reckoned on one.
func TestDecodedBitsAreThoseOfOtherMachines(t *testing.T) {
	x := tensor.New(tensor.Float32, 1, 16, 33, 31)
	state := uint32(1)
	for i := range x.F32() {
		state = state*1664525 + 1013904223
		x.F32()[i] = float32(max(int32(state>>8)-1<<23, 0)) * (0x1p-22 / 3)
	}
	want := map[Codec]uint32{F16: 0x6e34cf18, BF16: 0x37d34f12, U8: 0x6fe753d1, U8Channel: 0xf51b19a4, U4: 0x17d4f8a3}
	for _, c := range lossy() {
		if got := crc32.Checksum(recode(t, c, x).Raw, castagnoli); got != want[c] {
			t.Errorf("%s: decoded bytes have crc32c %#08x, want %#08x", c.Name(), got, want[c])
		}
	}
}

func TestCodecsRefuseAnotherLength(t *testing.T) {
	src := relu(1000).Raw
	for _, c := range Codecs() {
		wire, err := c.Encode(nil, src, floats(1000))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, 998, 1001} {
			if err := c.Decode(make([]byte, 4*n), wire, floats(n)); !errors.Is(err, ErrFormat) {
				t.Errorf("%s: 1000 elements decoded into %d: %v, want %v", c.Name(), n, err, ErrFormat)
			}
		}
		for _, typ := range []tensor.Type{floats(999), floats(1001), {DType: tensor.Float64, Shape: tensor.Shape{1000}}, {}} {
			if _, err := c.Encode(nil, src, typ); !errors.Is(err, ErrFormat) {
				t.Errorf("%s: Encode %d bytes as %v: %v, want %v", c.Name(), len(src), typ, err, ErrFormat)
			}
			if err := c.Decode(src, wire, typ); !errors.Is(err, ErrFormat) {
				t.Errorf("%s: Decode %d bytes as %v: %v, want %v", c.Name(), len(src), typ, err, ErrFormat)
			}
		}
	}
}

// Nothing that a peer changes in an encoding makes a codec panic, nor allocate
// more than a multiple of what the tensor takes.
func TestChangedEncodingsDoNoHarm(t *testing.T) {
	x := relu(3000)
	x.Shape = tensor.Shape{1, 30, 100}
	r := rand.New(rand.NewPCG(1, 9))
	dst := make([]byte, len(x.Raw))
	for _, c := range Codecs() {
		wire, err := c.Encode(nil, x.Raw, x.Type)
		if err != nil {
			t.Fatal(err)
		}
		try := func(what string, b []byte) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := c.Decode(dst, b, x.Type)
			runtime.ReadMemStats(&after)
			if err != nil && !errors.Is(err, ErrFormat) {
				t.Errorf("%s: %s: %v, want %v or nothing", c.Name(), what, err, ErrFormat)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
				t.Errorf("%s: %s: allocated %d bytes for a tensor of %d", c.Name(), what, got, len(dst))
			}
		}
		try("as it is", wire)
		for range 100 {
			n := r.IntN(len(wire))
			try(fmt.Sprintf("%d of %d bytes", n, len(wire)), wire[:n:n])
			if err := c.Decode(dst, wire[:n:n], x.Type); err == nil {
				t.Errorf("%s: %d of %d bytes decode", c.Name(), n, len(wire))
			}
		}
		for range 300 {
			b := slices.Clone(wire)
			for range 1 + r.IntN(3) {
				b[min(r.IntN(len(b)), r.IntN(len(b)), r.IntN(len(b)))] ^= 1 << r.IntN(8) // rather at the begin
			}
			try("changed bits", b)
		}
		if err := c.Decode(dst, append(slices.Clone(wire), 0), x.Type); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: a byte more: %v, want %v", c.Name(), err, ErrFormat)
		}
	}
}

// Whatever a tensor holds, its encoding is one that a reader takes: the rule
// that a few bytes may not stand for too many is the writer's, too.
func TestConstantTensorsTravel(t *testing.T) {
	for _, c := range Codecs() {
		for _, n := range []int{1, 100, 32768, 32769, 131072, 1 << 20} {
			for _, v := range []float32{0, 1} {
				x := tensor.New(tensor.Float32, n)
				for i := range x.F32() {
					x.F32()[i] = v
				}
				m := &Message{Tensors: []*tensor.Tensor{x}}
				got, err := receive(encode(t, m, c), Limits{})
				if err != nil {
					t.Errorf("%s: %d times %v: %v", c.Name(), n, v, err)
					continue
				}
				sameMessage(t, got, m)
			}
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
		ShuffleZstd.Decode(dst, zeros(512<<10, 512<<10), floats(len(dst)/4)) // lets the codec allocate what it keeps
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := ShuffleZstd.Decode(dst, bomb, floats(len(dst)/4))
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s (%d bytes): %v, want %v", name, len(bomb), err, ErrFormat)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
			t.Errorf("%s (%d bytes): allocated %d bytes for a tensor of 512 KiB", name, len(bomb), got)
		}
	}
}

// A block of S2 says in its first bytes how long it becomes, and may lie.
func TestS2BombsStopAtTheDeclaredLength(t *testing.T) {
	src := make([]byte, 1000)
	block := s2.Encode(nil, src)
	for name, bomb := range map[string][]byte{
		"2 GiB in 6 bytes":     {6, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x07, 0},
		"a byte more":          appendBlock(nil, s2.Encode(nil, make([]byte, 1001))),
		"a byte less":          appendBlock(nil, s2.Encode(nil, make([]byte, 999))),
		"64 MiB":               appendBlock(nil, s2.Encode(nil, make([]byte, 64<<20))),
		"two blocks":           append(appendBlock(nil, block), appendBlock(nil, block)...),
		"half a block":         appendBlock(nil, block)[:blockPrefix+len(block)/2],
		"a block of nothing":   {0, 0, 0},
		"nothing":              {},
		"a length and no more": {5, 0, 0},
	} {
		dst := make([]byte, len(src))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := S2.Decode(dst, bomb, bytesType(len(dst)))
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want %v", name, err, ErrFormat)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
			t.Errorf("%s: allocated %d bytes for a tensor of %d", name, got, len(dst))
		}
	}
}

// What U8 refuses, each with one thing wrong in an encoding by SPEC.md.
func TestU8RefusesWhatDoesNotFit(t *testing.T) {
	// Three elements from 1 in steps of 1/2: 0, 1 and 255 of them; one block, as it is.
	good := slices.Concat([]byte{1}, le.AppendUint32(nil, math.Float32bits(1)), le.AppendUint32(nil, math.Float32bits(0.5)), []byte{3, 0, 0, 0, 1, 255})
	dst := tensor.New(tensor.Float32, 3)
	if err := U8.Decode(dst.Raw, good, dst.Type); err != nil {
		t.Fatal(err)
	}
	if want := []float32{1, 1.5, 128.5}; !slices.Equal(dst.F32(), want) {
		t.Fatalf("got %v, want %v", dst.F32(), want)
	}
	with := func(at int, b ...byte) []byte {
		c := slices.Clone(good)
		copy(c[at:], b)
		return c
	}
	for name, bad := range map[string][]byte{
		"nothing":               {},
		"another mode":          with(0, 2),
		"half of the steps":     good[:5],
		"no elements":           good[:9],
		"smallest of NaN":       with(1, 0, 0, 0xc0, 0x7f),
		"smallest of infinity":  with(1, 0, 0, 0x80, 0xff),
		"steps of infinity":     with(5, 0, 0, 0x80, 0x7f),
		"steps below 0":         with(5, 0, 0, 0x80, 0xbf),
		"elements missing":      with(9, 2)[:14],
		"more than there are":   append(with(9, 4), 0),
		"something behind":      append(slices.Clone(good), 0),
		"elements of huff0":     with(9, 2),
		"as it is, but nothing": {0},
	} {
		if err := U8.Decode(dst.Raw, bad, dst.Type); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want %v", name, err, ErrFormat)
		}
	}
	half := tensor.Type{DType: tensor.Float16, Shape: tensor.Shape{3}}
	if err := U8.Decode(make([]byte, 6), good, half); !errors.Is(err, ErrFormat) {
		t.Errorf("float16s in steps: %v, want %v", err, ErrFormat)
	}
}

func TestCodecByNameKnowsEachCodec(t *testing.T) {
	for _, c := range LosslessCodecs() {
		if !c.Lossless() {
			t.Errorf("%s is among the lossless codecs", c.Name())
		}
	}
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
	dst, typ := make([]byte, 20), tensor.Type{DType: tensor.Uint16, Shape: tensor.Shape{10}}
	if err := ZerosHuff0.Decode(dst, good, typ); err != nil {
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
		if err := ZerosHuff0.Decode(dst, bad, typ); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want %v", name, err, ErrFormat)
		}
	}
}

// How much smaller activations become of which half are zero: the exponents of
// the others take 3 bits.
func TestCodecsShrinkActivations(t *testing.T) {
	src := relu(200000)
	for c, least := range map[Codec]float64{ShuffleZstd: 1.5, ZerosHuff0: 2, S2: 1.3, F16: 3, BF16: 4, U8: 6, U8Channel: 6, U4: 12} {
		wire, err := c.Encode(nil, src.Raw, src.Type)
		if err != nil {
			t.Fatal(err)
		}
		if got := float64(len(src.Raw)) / float64(len(wire)); got < least {
			t.Errorf("%s: %d bytes encoded as %d, %.2f times fewer, want at least %v", c.Name(), len(src.Raw), len(wire), got, least)
		}
	}
}

// fuzzTypes are the types that FuzzDecode tries, by the size of an element.
var fuzzTypes = [...]tensor.DType{1: tensor.Int8, 2: tensor.Float16, 4: tensor.Float32, 8: tensor.Float64}

func FuzzDecode(f *testing.F) {
	src := relu(64)
	for _, c := range Codecs() {
		wire, err := c.Encode(nil, src.Raw, src.Type)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, uint16(64), uint8(4))
		image := relu(2 * 3 * 64)
		image.Shape = tensor.Shape{2, 3, 64}
		if wire, err = c.Encode(nil, image.Raw, image.Type); err != nil {
			f.Fatal(err)
		}
		f.Add(wire, uint16(2*3*64), uint8(4))
	}
	f.Add(zeros(4096, 4096), uint16(1024), uint8(4))
	f.Add(zeros(4096, 1<<30), uint16(1024), uint8(1))
	f.Fuzz(func(t *testing.T, wire []byte, n uint16, elem uint8) {
		typ := tensor.Type{DType: fuzzTypes[int(elem)%len(fuzzTypes)], Shape: tensor.Shape{int(n)}}
		if n%64 == 0 {
			typ.Shape = tensor.Shape{1, int(n) / 64, 64}
		}
		for _, c := range Codecs() {
			x := &tensor.Tensor{Type: typ, Raw: tensor.Alloc(typ.Bytes())}
			if err := c.Decode(x.Raw, wire, typ); err != nil {
				if !errors.Is(err, ErrFormat) {
					t.Fatalf("%s: %v, want %v", c.Name(), err, ErrFormat)
				}
				continue
			}
			again, err := c.Encode(nil, x.Raw, typ)
			if err != nil {
				t.Fatalf("%s: decoded, but does not encode: %v", c.Name(), err)
			}
			back := &tensor.Tensor{Type: typ, Raw: tensor.Alloc(typ.Bytes())}
			if err := c.Decode(back.Raw, again, typ); err != nil {
				t.Fatalf("%s: decoded and encoded, but does not decode: %v", c.Name(), err)
			}
			if c.Bound(x) == 0 && typ.DType != tensor.Float32 || c.Lossless() {
				if !back.Identical(x) {
					t.Fatalf("%s: decoded, encoded and decoded differs", c.Name())
				}
			} else if err := checkBound(back, x, c.Bound(x)); err != nil {
				t.Fatalf("%s: %v", c.Name(), err)
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

// BenchmarkCodecs is about activations behind a Relu, and without one. MB/s are
// of float32.
func BenchmarkCodecs(b *testing.B) {
	dense := tensor.New(tensor.Float32, benchElems)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range dense.F32() {
		dense.F32()[i] = float32(r.NormFloat64())
	}
	for _, data := range []struct {
		name string
		x    *tensor.Tensor
	}{{"relu", relu(benchElems)}, {"dense", dense}} {
		src, typ := data.x.Raw, data.x.Type
		for _, c := range Codecs()[1:] {
			wire, err := c.Encode(nil, src, typ)
			if err != nil {
				b.Fatal(err)
			}
			dst := make([]byte, 2*len(src))
			b.Run(data.name+"/"+c.Name()+"/encode", func(b *testing.B) {
				b.SetBytes(int64(len(src)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.Encode(dst[:0], src, typ); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(src))/float64(len(wire)), "ratio")
			})
			b.Run(data.name+"/"+c.Name()+"/decode", func(b *testing.B) {
				b.SetBytes(int64(len(src)))
				b.ReportAllocs()
				for b.Loop() {
					if err := c.Decode(dst[:len(src)], wire, typ); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
