package transport

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"scission/engine/tensor"
)

// drawTensor draws a tensor of any type and rank, zero-length ones included.
func drawTensor(t *rapid.T) *tensor.Tensor {
	shape := rapid.SliceOfN(rapid.IntRange(0, 4), 0, MaxRank).Draw(t, "shape")
	x := tensor.New(rapid.SampledFrom(dtypes).Draw(t, "dtype"), shape...)
	mask := byte(rapid.SampledFrom([]int{255, 1}).Draw(t, "mask"))
	if x.DType == tensor.Bool {
		mask = 1
	}
	for i, b := range randomBytes(rapid.Uint64().Draw(t, "seed"), len(x.Raw)) {
		x.Raw[i] = b & mask
	}
	return x
}

func drawMessage(t *rapid.T) *Message {
	return &Message{
		Kind:     rapid.Uint8().Draw(t, "kind"),
		ID:       rapid.Uint64().Draw(t, "id"),
		Deadline: time.Duration(rapid.Int64Min(0).Draw(t, "deadline")),
		Meta:     rapid.SliceOfN(rapid.Byte(), 0, 6000).Draw(t, "meta"),
		Tensors:  rapid.SliceOfN(rapid.Custom(drawTensor), 0, 5).Draw(t, "tensors"),
	}
}

// Several messages pass over one connection, whose memory each reuses, in
// pieces that need not fit the frames.
func TestReceiveGivesWhatWasSent(t *testing.T) {
	for _, c := range Codecs() {
		t.Run(c.Name(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				messages := rapid.SliceOfN(rapid.Custom(drawMessage), 1, 4).Draw(t, "messages")
				var s stream
				conn := NewConn(&s, Limits{})
				wire := 0
				for _, m := range messages {
					st, err := conn.Send(context.Background(), m, always(c))
					if err != nil {
						t.Fatal(err)
					}
					if wire += st.WireBytes; wire != s.out.Len() {
						t.Fatalf("Send counted %d bytes and wrote %d", wire, s.out.Len())
					}
				}
				s.in = rapid.SampledFrom([]func(io.Reader) io.Reader{
					func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
				}).Draw(t, "reader")(bytes.NewReader(s.out.Bytes()))
				for _, m := range messages {
					got, st, err := conn.Receive(context.Background())
					if err != nil {
						t.Fatal(err)
					}
					wire -= st.WireBytes
					if len(got.Tensors) != len(m.Tensors) || !bytes.Equal(got.Meta, m.Meta) ||
						got.Kind != m.Kind || got.ID != m.ID || got.Deadline != m.Deadline {
						t.Fatalf("got %+v, want %+v", got, m)
					}
					for i, x := range m.Tensors {
						if x.DType == tensor.Float32 && !c.Lossless() {
							if err := checkBound(got.Tensors[i], x, c.Bound(x)); err != nil {
								t.Fatalf("tensor %d: %v", i, err)
							}
						} else if !got.Tensors[i].Identical(x) {
							t.Fatalf("tensor %d: got %v, want %v", i, got.Tensors[i], x)
						}
					}
				}
				if _, _, err := conn.Receive(context.Background()); !errors.Is(err, io.EOF) || wire != 0 {
					t.Fatalf("after the last message: %v with %d bytes not counted, want %v and 0", err, wire, io.EOF)
				}
			})
		})
	}
}

// specFrame is SPEC.md's example, built by hand from its tables.
func specFrame(t *testing.T) []byte {
	t.Helper()
	dump := func(s string) []byte {
		b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// Bitwise, as RFC 3720 defines it: not the library's table.
	crc32c := func(b []byte) []byte {
		crc := ^uint32(0)
		for _, x := range b {
			crc ^= uint32(x)
			for range 8 {
				crc = crc>>1 ^ 0x82f63b78&-(crc&1)
			}
		}
		crc = ^crc
		return []byte{byte(crc), byte(crc >> 8), byte(crc >> 16), byte(crc >> 24)}
	}
	wire := dump(`28 b5 2f fd  60  00 0f  03 80 00  00`)
	table := slices.Concat(dump(`01 01 01 00`), crc32c(wire),
		dump(`00 10 00 00 00 00 00 00  0b 00 00 00 00 00 00 00  00 04 00 00 00 00 00 00`))
	meta := dump(`68 69`)
	prelude := slices.Concat(dump(`53 43 49 46  01  07  00 00
		08 07 06 05 04 03 02 01
		40 42 0f 00 00 00 00 00
		20 00 00 00  02 00 00 00  01 00 00 00`), crc32c(slices.Concat(table, meta)))
	return slices.Concat(prelude, crc32c(prelude), table, meta, wire)
}

func specMessage() *Message {
	return &Message{Kind: 7, ID: 0x0102030405060708, Deadline: time.Millisecond, Meta: []byte("hi"),
		Tensors: []*tensor.Tensor{tensor.New(tensor.Float32, 1024)}}
}

func TestReaderFollowsTheSpec(t *testing.T) {
	got, err := receive(specFrame(t), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	sameMessage(t, got, specMessage())
}

// The writer agrees with the frame by hand on all that is not Zstandard's
// choice, which is the wire length, the wire bytes and the checksums.
func TestWriterFollowsTheSpec(t *testing.T) {
	got, want := encode(t, specMessage(), ShuffleZstd), specFrame(t)
	const table = 44
	for _, r := range []struct{ from, to int }{{0, 36}, {table, table + 4}, {table + 8, table + 16}, {table + 24, table + 34}} {
		if !bytes.Equal(got[r.from:r.to], want[r.from:r.to]) {
			t.Errorf("bytes %d to %d: got % x, want % x", r.from, r.to, got[r.from:r.to], want[r.from:r.to])
		}
	}
}

// goldenMessages are those of testdata/wire.
func goldenMessages() map[string]struct {
	m     *Message
	codec Codec
} {
	bits := tensor.New(tensor.Uint32, 4)
	// Of lossy codecs, what they keep: multiples of the step, which is 1 in each channel.
	steps := func(most, channels int) *tensor.Tensor {
		x := tensor.New(tensor.Float32, 1, channels, 16, 20)
		for i := range x.F32() {
			x.F32()[i] = float32(i*7%(most+1) + i/320)
		}
		return x
	}
	with := func(x *tensor.Tensor) []*tensor.Tensor {
		return []*tensor.Tensor{x, tensor.New(tensor.Float32, 1000), bits, tensor.Scalar(float32(math.Inf(1)))}
	}
	coded := func(id uint64, tensors ...*tensor.Tensor) *Message {
		return &Message{Kind: 2, ID: id, Tensors: tensors}
	}
	copy(tensor.View[uint32](bits), []uint32{0x7fc00001, 0x7f800001, 0xff800000, 0x80000000})
	return map[string]struct {
		m     *Message
		codec Codec
	}{
		"empty": {&Message{}, Raw},
		"meta":  {&Message{Kind: 1, ID: 1, Meta: []byte(`{"model":"sha256:0"}`)}, Raw},
		"raw": {&Message{Kind: 255, ID: math.MaxUint64, Deadline: math.MaxInt64, Meta: []byte{0}, Tensors: []*tensor.Tensor{
			tensor.Of([]float32{0, 1, -1, float32(math.Inf(1)), 0.5, math.MaxFloat32}, 1, 2, 3),
			tensor.Scalar(int64(-2)),
			tensor.New(tensor.Float16, 3, 0, 5),
			tensor.Of([]bool{true, false, true}, 3),
			bits,
			tensor.Of([]uint8{1, 2, 3, 4}, 1, 1, 1, 2, 1, 1, 2, 1),
		}}, Raw},
		"shuffle+zstd": {&Message{Kind: 2, ID: 3, Tensors: []*tensor.Tensor{
			relu(256), tensor.Scalar(float32(1)), tensor.New(tensor.Float64, 100),
		}}, ShuffleZstd},
		"zeros+huff0": {coded(4, relu(600), tensor.New(tensor.Float64, 100), bits), ZerosHuff0},
		"s2":          {coded(5, tensor.New(tensor.Float32, 5000), steps(3, 1)), S2},
		"f16":         {coded(6, with(steps(255, 1))...), F16},
		"bf16":        {coded(7, with(steps(255, 1))...), BF16},
		"u8":          {coded(8, with(steps(255, 1))...), U8},
		"u8-channel":  {coded(9, with(steps(255, 2))...), U8Channel},
		"u4":          {coded(10, with(steps(15, 3))...), U4},
	}
}

func TestGoldenFrames(t *testing.T) {
	for name, g := range goldenMessages() {
		file := filepath.Join("..", "testdata", "wire", name+".bin")
		if *update {
			if err := os.WriteFile(file, encode(t, g.m, g.codec), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := receive(want, Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sameMessage(t, got, g.m)
		// What a Zstandard encoder writes is its own choice.
		if b := encode(t, g.m, g.codec); g.codec == Raw && !bytes.Equal(b, want) {
			t.Errorf("%s:\n got % x\nwant % x", name, b, want)
		}
	}
}

func TestFlippedBitsAreFound(t *testing.T) {
	for name, g := range goldenMessages() {
		frame := encode(t, g.m, g.codec)
		for i := range 8 * len(frame) {
			frame[i/8] ^= 1 << (i % 8)
			if m, err := receive(frame, Limits{}); err == nil {
				t.Fatalf("%s: with bit %d of byte %d flipped Receive gave %+v", name, i%8, i/8, m)
			}
			frame[i/8] ^= 1 << (i % 8)
		}
	}
}

func TestTruncatedFramesAreFound(t *testing.T) {
	for name, g := range goldenMessages() {
		frame := encode(t, g.m, g.codec)
		for n := range frame {
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			if _, err := receive(frame[:n], Limits{}); !errors.Is(err, want) {
				t.Fatalf("%s: %d of %d bytes: %v, want %v", name, n, len(frame), err, want)
			}
		}
	}
}

// seal writes the checksums of a frame anew: that of the prelude, of table and
// meta, and of a single tensor.
func seal(b []byte) []byte {
	table, meta, count := le.Uint32(b[24:]), le.Uint32(b[28:]), le.Uint32(b[32:])
	if end := uint64(preludeSize) + uint64(table) + uint64(meta); end <= uint64(len(b)) {
		if count == 1 && table >= entrySize {
			le.PutUint32(b[preludeSize+4:], crc32.Checksum(b[end:], castagnoli))
		}
		le.PutUint32(b[36:], crc32.Checksum(b[preludeSize:end], castagnoli))
	}
	le.PutUint32(b[40:], crc32.Checksum(b[:40], castagnoli))
	return b
}

// Each frame is whole and its checksums fit: what is wrong with it is one field.
func TestFieldsAreChecked(t *testing.T) {
	const entry = preludeSize
	message := &Message{Meta: []byte("meta"), Tensors: []*tensor.Tensor{tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 2, 3)}}
	boolean := &Message{Tensors: []*tensor.Tensor{tensor.Of([]bool{true, false}, 2)}}
	for _, c := range []struct {
		name   string
		m      *Message
		change func(b []byte)
		want   error
	}{
		{"nothing", message, func([]byte) {}, nil},
		{"magic", message, func(b []byte) { b[0] = 'X' }, ErrFormat},
		{"hello's magic", message, func(b []byte) { copy(b, helloMagic) }, ErrFormat},
		{"version 0", message, func(b []byte) { b[4] = 0 }, ErrVersion},
		{"version 2", message, func(b []byte) { b[4] = 2 }, ErrVersion},
		{"flags", message, func(b []byte) { b[7] = 1 }, ErrFormat},
		{"negative deadline", message, func(b []byte) { b[23] = 0x80 }, ErrFormat},
		{"table too short", message, func(b []byte) { le.PutUint32(b[24:], entrySize-1) }, ErrFormat},
		{"table too long", message, func(b []byte) { le.PutUint32(b[24:], 89) }, ErrFormat},
		{"table longer than its entries", message, func(b []byte) { le.PutUint32(b[24:], 44); le.PutUint32(b[28:], 0) }, ErrFormat},
		{"table without its dimensions", message, func(b []byte) { le.PutUint32(b[24:], 32); le.PutUint32(b[28:], 12) }, ErrFormat},
		{"meta of 4 GiB", message, func(b []byte) { le.PutUint32(b[28:], math.MaxUint32) }, ErrTooLarge},
		{"4 G tensors", message, func(b []byte) { le.PutUint32(b[32:], math.MaxUint32) }, ErrTooLarge},
		{"a tensor too many", message, func(b []byte) { le.PutUint32(b[32:], 2) }, ErrFormat},
		{"a tensor too few", message, func(b []byte) { le.PutUint32(b[32:], 0) }, ErrFormat},
		{"no element type", message, func(b []byte) { b[entry] = 0 }, ErrFormat},
		{"string elements", message, func(b []byte) { b[entry] = 8 }, ErrFormat},
		{"wider elements", message, func(b []byte) { b[entry] = byte(tensor.Float64) }, ErrFormat},
		{"rank 9", message, func(b []byte) { b[entry+1] = 9 }, ErrFormat},
		{"rank 1", message, func(b []byte) { b[entry+1] = 1 }, ErrFormat},
		{"unknown codec", message, func(b []byte) { b[entry+2] = uint8(len(codecs)) }, ErrCodec},
		{"codec 200", message, func(b []byte) { b[entry+2] = 200 }, ErrCodec},
		{"codec that does not shrink", message, func(b []byte) { b[entry+2] = 1 }, ErrFormat},
		{"reserved byte", message, func(b []byte) { b[entry+3] = 1 }, ErrFormat},
		{"raw length", message, func(b []byte) { b[entry+8]++; b[entry+16]++ }, ErrFormat},
		{"raw length of 2^64-1", message, func(b []byte) { le.PutUint64(b[entry+8:], math.MaxUint64) }, ErrTooLarge},
		{"wire length", message, func(b []byte) { b[entry+16]++ }, ErrFormat},
		{"wire length of 2^64-1", message, func(b []byte) { le.PutUint64(b[entry+16:], math.MaxUint64) }, ErrFormat},
		{"dimension", message, func(b []byte) { b[entry+24]++ }, ErrFormat},
		{"negative dimensions", message, func(b []byte) {
			le.PutUint64(b[entry+24:], math.MaxUint64-1)
			le.PutUint64(b[entry+32:], math.MaxUint64-2)
		}, ErrFormat},
		{"dimensions whose product overflows to the length", message, func(b []byte) {
			le.PutUint64(b[entry+24:], 1<<62+2)
			le.PutUint64(b[entry+32:], 4)
			le.PutUint64(b[entry+8:], 32)
			le.PutUint64(b[entry+16:], 32)
		}, ErrFormat},
		{"overflow behind a zero", message, func(b []byte) {
			le.PutUint64(b[entry+24:], 0)
			le.PutUint64(b[entry+32:], 1<<62)
			le.PutUint64(b[entry+8:], 0)
			le.PutUint64(b[entry+16:], 0)
		}, ErrFormat},
		{"more than 32768 times the wire length", message, func(b []byte) {
			b[entry+2] = 1
			le.PutUint64(b[entry+8:], 24<<15)
			le.PutUint64(b[entry+16:], 23)
			le.PutUint64(b[entry+24:], 2<<15)
		}, ErrFormat},
		{"no encoding", message, func(b []byte) {
			b[entry+2] = 1
			le.PutUint64(b[entry+8:], 48)
			le.PutUint64(b[entry+24:], 4)
		}, ErrFormat},
		{"a bool of 2", boolean, func(b []byte) { b[len(b)-1] = 2 }, ErrFormat},
	} {
		b := encode(t, c.m, Raw)
		c.change(b)
		m, err := receive(seal(b), Limits{})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if (m == nil) != (err != nil) {
			t.Errorf("%s: message %v and error %v, want one of them", c.name, m, err)
		}
	}
}

// The limits hold for the reader and for a writer that knows them; at the
// limit a message passes, one past it does not.
func TestLimitsAreSharp(t *testing.T) {
	x := tensor.New(tensor.Uint8, 100)
	m := &Message{Meta: make([]byte, 10), Tensors: []*tensor.Tensor{x, x, x}}
	for _, c := range []struct {
		name string
		l    Limits
		want error
	}{
		{"at all limits", Limits{Meta: 10, Tensor: 100, Tensors: 300, Count: 3}, nil},
		{"meta", Limits{Meta: 9}, ErrTooLarge},
		{"no meta", Limits{Meta: -1}, ErrTooLarge},
		{"tensor", Limits{Tensor: 99}, ErrTooLarge},
		{"tensors", Limits{Tensors: 299}, ErrTooLarge},
		{"count", Limits{Count: 2}, ErrTooLarge},
	} {
		for _, codec := range Codecs() {
			if _, err := receive(encode(t, m, codec), c.l); !errors.Is(err, c.want) {
				t.Errorf("Receive, %s, %s: %v, want %v", c.name, codec.Name(), err, c.want)
			}
			if _, err := NewConn(&stream{}, c.l).Send(t.Context(), m, always(codec)); !errors.Is(err, c.want) {
				t.Errorf("Send, %s, %s: %v, want %v", c.name, codec.Name(), err, c.want)
			}
		}
	}
}

func TestSendRefusesWhatIsNoFrame(t *testing.T) {
	good := tensor.New(tensor.Float32, 2)
	for name, m := range map[string]*Message{
		"rank 9":            {Tensors: []*tensor.Tensor{good, tensor.New(tensor.Float32, 1, 1, 1, 1, 1, 1, 1, 1, 1)}},
		"no type":           {Tensors: []*tensor.Tensor{{}}},
		"too few bytes":     {Tensors: []*tensor.Tensor{{Type: good.Type, Raw: make([]byte, 7)}}},
		"too many bytes":    {Tensors: []*tensor.Tensor{{Type: good.Type, Raw: make([]byte, 9)}}},
		"negative deadline": {Deadline: -1},
	} {
		var s stream
		conn := NewConn(&s, Limits{})
		if _, err := conn.Send(t.Context(), m, nil); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want %v", name, err, ErrFormat)
		}
		if _, err := conn.Send(t.Context(), &Message{Tensors: []*tensor.Tensor{good}}, nil); err != nil {
			t.Errorf("a good message after %s: %v", name, err)
		}
	}
}

// A header that announces much makes the reader allocate for what arrives.
func TestMemoryGrowsWithWhatArrives(t *testing.T) {
	const size, arrives = 200 << 20, 3 << 20
	b := seal(slices.Concat(prelude{table: 32, count: 1}.append(nil),
		(&entry{dtype: tensor.Uint8, raw: size, wire: size, shape: tensor.Shape{size}}).append(nil)))
	s := &stream{in: io.MultiReader(bytes.NewReader(b), bytes.NewReader(make([]byte, arrives)))}
	c := NewConn(s, Limits{})
	if _, _, err := c.Receive(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("Receive: %v, want %v", err, io.ErrUnexpectedEOF)
	}
	if got := cap(c.own.arena); got > 2*(arrives+readStep) {
		t.Errorf("%d bytes allocated for %d that arrived", got, arrives)
	}
}

// A connection's memory for large frames is let go before the next frame.
func TestLargeBuffersAreLetGo(t *testing.T) {
	large := &Message{Tensors: []*tensor.Tensor{tensor.New(tensor.Uint8, retain+1)}}
	small := &Message{Tensors: []*tensor.Tensor{tensor.New(tensor.Uint8, 1)}}
	frames := slices.Concat(encode(t, large, Raw), encode(t, small, Raw))
	c := NewConn(&stream{in: bytes.NewReader(frames)}, Limits{})
	for _, want := range []*Message{large, small} {
		got, _, err := c.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sameMessage(t, got, want)
	}
	if cap(c.own.arena) > retain {
		t.Errorf("the connection still holds %d bytes", cap(c.own.arena))
	}
}

// A hello that is accepted is within bounds and, written again, has the
// versions and the meta that were read.
func FuzzHandshake(f *testing.F) {
	f.Add(Hello{MinVersion: 1, MaxVersion: 1, Limits: DefaultLimits, Meta: []byte("meta")}.append(nil, allCodecs()), false)
	f.Add(Hello{MinVersion: 0, MaxVersion: 255, Limits: fuzzLimits}.append(nil, math.MaxUint64), true)
	f.Fuzz(func(t *testing.T, b []byte, fix bool) {
		if n := len(b); fix && n >= helloSize {
			crc := crc32.Update(crc32.Checksum(b[:helloSize-4], castagnoli), castagnoli, b[helloSize:])
			le.PutUint32(b[helloSize-4:], crc)
		}
		h, err := NewConn(&stream{in: bytes.NewReader(b)}, Limits{}).Handshake(context.Background(), Hello{})
		if err != nil {
			if h.Meta != nil || h.Codecs != nil {
				t.Fatalf("hello %+v and error %v, want one of them", h, err)
			}
			return
		}
		if h.MinVersion > Version || h.MaxVersion < Version || len(h.Meta) > MaxHelloMeta || h.Limits != h.Limits.clamp() {
			t.Fatalf("accepted %+v", h)
		}
		again := h.append(nil, codecSet(le.Uint64(b[40:])))
		if !bytes.Equal(again[:8], b[:8]) || !bytes.Equal(again[helloSize:], b[helloSize:len(again)]) {
			t.Fatalf("read % x, wrote % x", b, again)
		}
	})
}

// fuzzLimits keep a fuzzing process small.
var fuzzLimits = Limits{Meta: 1 << 12, Tensor: 1 << 16, Tensors: 1 << 17, Count: 8}

func FuzzReceive(f *testing.F) {
	for _, g := range goldenMessages() {
		f.Add(encode(f, g.m, g.codec), false)
		f.Add(encode(f, g.m, g.codec), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, fix bool) {
		if fix && len(b) >= preludeSize {
			seal(b) // lets changed fields past the checksums
		}
		in := bytes.NewReader(b)
		c := NewConn(&stream{in: in}, fuzzLimits)
		m, st, err := c.Receive(context.Background())
		if (m == nil) != (err != nil) {
			t.Fatalf("message %v and error %v, want one of them", m, err)
		}
		most := maxExpansion*len(b) + firstGrow
		if got := cap(c.own.arena) + cap(c.wire) + cap(c.own.meta) + cap(c.table); got > min(most, fuzzLimits.Tensors*2+fuzzLimits.Meta+1<<12) {
			t.Fatalf("%d bytes allocated for %d", got, len(b))
		}
		if err != nil {
			return
		}
		raw := true
		for i, x := range m.Tensors {
			raw = raw && c.own.slots[i].codec == Raw.ID()
			if len(x.Raw) != x.Bytes() {
				t.Fatalf("tensor %d: %d bytes for %v", i, len(x.Raw), x.Type)
			}
		}
		again := encode(t, m, Raw)
		if raw && !bytes.Equal(again, b[:st.WireBytes]) {
			t.Fatalf("a frame has two encodings:\n% x\n% x", b[:st.WireBytes], again)
		}
		back, err := receive(again, fuzzLimits)
		if err != nil {
			t.Fatalf("received, but not what was sent again: %v", err)
		}
		sameMessage(t, back, m)
	})
}
