package plane

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"scission/engine/tensor"
)

// eachImpl runs f as a subtest with every implementation.
func eachImpl(t *testing.T, f func(t *testing.T)) {
	was := best
	defer func() { best = was }()
	for i := range impls {
		best = &impls[i]
		t.Run(best.name, f)
	}
}

// sizes are numbers of elements around the rounds of kernels.
var sizes = []int{0, 1, 2, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 63, 64, 65, 200, 1027}

// guarded returns n bytes of which the test checks that nothing is written outside.
func guarded(t *testing.T, n int) []byte {
	const guard, sentinel = 64, 0xa5
	b := bytes.Repeat([]byte{sentinel}, n+2*guard)
	t.Cleanup(func() {
		for i, v := range b {
			if (i < guard || i >= guard+n) && v != sentinel {
				t.Errorf("byte %d of %d was written", i-guard, n)
				return
			}
		}
	})
	return b[guard : guard+n : guard+n]
}

// sparse returns n elements of which about a part are zero.
func sparse(r *rand.Rand, n, elem int, zero float64) []byte {
	b := make([]byte, n*elem)
	for i := range n {
		if r.Float64() >= zero {
			for k := range elem {
				b[i*elem+k] = byte(r.Uint32())
			}
		}
	}
	return b
}

func TestElementsAreTakenApartAndPutTogether(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, elem := range []int{1, 2, 4, 8} {
			for _, n := range sizes {
				for _, zero := range []float64{0, 0.3, 0.9, 1} {
					apart(t, sparse(r, n, elem, zero), elem)
				}
			}
		}
	})
}

func apart(t *testing.T, src []byte, elem int) {
	n := len(src) / elem
	bitmap := guarded(t, (n+7)/8)
	rand.NewChaCha8([32]byte{}).Read(bitmap)
	set := Mark(bitmap, src, elem)
	want := 0
	for i := range 8 * len(bitmap) {
		nonzero := i < n && !bytes.Equal(src[i*elem:][:elem], make([]byte, elem))
		if got := bitmap[i/8]>>(i%8)&1 != 0; got != nonzero {
			t.Fatalf("%d elements of %d bytes: bit %d is %v, want %v", n, elem, i, got, nonzero)
		}
		if nonzero {
			want++
		}
	}
	if set != want {
		t.Fatalf("%d elements of %d bytes: %d are set, want %d", n, elem, set, want)
	}
	for _, marks := range [][]byte{nil, bitmap} {
		var wantHeads, wantRest []byte
		for i := range n {
			if marks != nil && bitmap[i/8]>>(i%8)&1 == 0 {
				continue
			}
			var v uint64
			for k := range elem {
				v |= uint64(src[i*elem+k]) << (8 * k)
			}
			switch elem {
			case 2:
				v = uint64(bits.RotateLeft16(uint16(v), 1))
			case 4:
				v = uint64(bits.RotateLeft32(uint32(v), 1))
			case 8:
				v = bits.RotateLeft64(v, 1)
			}
			wantHeads = append(wantHeads, byte(v>>(8*(elem-1))))
			wantRest = append(wantRest, binary.LittleEndian.AppendUint64(nil, v)[:elem-1]...)
		}
		heads, rest := guarded(t, n+Slack), guarded(t, n*elem+Slack)
		Split(heads, rest, marks, src, elem)
		if !bytes.Equal(heads[:len(wantHeads)], wantHeads) || !bytes.Equal(rest[:len(wantRest)], wantRest) {
			t.Fatalf("%d elements of %d bytes, marks %v: got heads % x and rest % x, want % x and % x", n, elem, marks != nil,
				heads[:len(wantHeads)], rest[:len(wantRest)], wantHeads, wantRest)
		}
		for _, behind := range []int{0, 5, 100} {
			back := guarded(t, len(src))
			Join(back, heads, append(slices.Clone(wantRest), make([]byte, behind)...), marks, elem)
			if !bytes.Equal(back, src) {
				t.Fatalf("%d elements of %d bytes, marks %v, %d bytes behind: joined to % x, want % x", n, elem, marks != nil, behind, back, src)
			}
		}
	}
}

// floats is the bytes of float32s.
func floats(x []float32) []byte {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func TestRangeFindsTheExtremes(t *testing.T) {
	negativeZero := float32(math.Copysign(0, -1))
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, n := range sizes[1:] {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(r.NormFloat64())
			}
			lo, hi, magnitude := Range(floats(x))
			if lo != slices.Min(x) || hi != slices.Max(x) || math.Float32frombits(magnitude) != max(-lo, hi) {
				t.Fatalf("%d: got %v, %v, %#x", n, lo, hi, magnitude)
			}
			for i := range x {
				x[i] = []float32{0, negativeZero}[r.IntN(2)]
			}
			if lo, hi, magnitude := Range(floats(x)); math.Float32bits(lo) != 0 || math.Float32bits(hi) != 0 || magnitude != 0 {
				t.Fatalf("%d zeros: got %v, %v, %#x", n, lo, hi, magnitude)
			}
			for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
				x[r.IntN(n)] = bad
				if _, _, magnitude := Range(floats(x)); magnitude <= MaxFinite {
					t.Fatalf("%d with %v: magnitude %#x", n, bad, magnitude)
				}
			}
		}
	})
}

// rounded is the integer next to x, the even one if there are two.
func rounded(x float32) byte { return byte(math.RoundToEven(float64(x))) }

func TestQuantiseRoundsAsItsDefinition(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, n := range sizes {
			x, lo, inverse := make([]float32, n), float32(-1.5), float32(64)
			for i := range x {
				// Ties among them: multiples of 1/128.
				x[i] = lo + float32(r.IntN(510))/128
				if r.IntN(2) == 0 {
					x[i] = lo + r.Float32()*3.98
				}
			}
			q := guarded(t, n)
			Quantise(q, floats(x), lo, inverse)
			back := guarded(t, 4*n)
			Dequantise(back, q, lo, 1/inverse)
			for i, v := range x {
				difference := v - lo
				if want := rounded(difference * inverse); q[i] != want {
					t.Fatalf("%d of %d: %v became %d, want %d", i, n, v, q[i], want)
				}
				product := float32(float32(q[i]) * (1 / inverse))
				if got, want := math.Float32frombits(binary.LittleEndian.Uint32(back[4*i:])), product+lo; got != want {
					t.Fatalf("%d of %d: %d became %v, want %v", i, n, q[i], got, want)
				}
			}
		}
	})
}

// Neither addition nor multiplication is fused into one rounding: values for which that would show.
func TestDequantiseRoundsTwice(t *testing.T) {
	exact := func(q byte, lo, scale float32) float32 { // by arithmetic without rounding, then float32 twice
		p := new(big.Float).SetPrec(100).Mul(big.NewFloat(float64(q)), big.NewFloat(float64(scale)))
		product, _ := p.Float32()
		s, _ := new(big.Float).SetPrec(200).Add(big.NewFloat(float64(product)), big.NewFloat(float64(lo))).Float32()
		return s
	}
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for range 100 {
			q := make([]byte, 33)
			lo, scale := float32(r.NormFloat64()), float32(math.Abs(r.NormFloat64()))
			for i := range q {
				q[i] = byte(r.Uint32())
			}
			got := make([]byte, 4*len(q))
			Dequantise(got, q, lo, scale)
			for i, v := range q {
				if x, want := math.Float32frombits(binary.LittleEndian.Uint32(got[4*i:])), exact(v, lo, scale); x != want {
					t.Fatalf("%v + %d·%v: got %v, want %v", lo, v, scale, x, want)
				}
			}
		}
	})
}

func TestNarrowRoundsToNearestEven(t *testing.T) {
	// Each with its neighbours: the bits of float16s and bfloat16s and of what lies between, subnormal ones among them.
	var x []float32
	r := rand.New(rand.NewPCG(9, 10))
	for h := 0; h < 0x7c00; h += 1 + r.IntN(7) {
		a, b := tensor.Float16ToFloat32(uint16(h)), tensor.Float16ToFloat32(uint16(h)+1)
		x = append(x, a, -a, (a+b)/2, -(a+b)/2, math.Nextafter32((a+b)/2, 0), math.Nextafter32((a+b)/2, b))
	}
	for range 2000 {
		x = append(x, math.Float32frombits(r.Uint32N(0x7f7f8000)|r.Uint32N(2)<<31))
	}
	special := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.Float32frombits(0xff800001)}
	eachImpl(t, func(t *testing.T) {
		for to, convert := range []func(float32) uint16{tensor.Float32ToFloat16, tensor.Float32ToBFloat16} {
			for _, with := range [][]float32{nil, special} {
				src := slices.DeleteFunc(slices.Concat(x, with), func(v float32) bool {
					b := math.Float32bits(v) &^ signBit
					return b <= MaxFinite && b >= infinite[to]
				})
				_, _, magnitude := Range(floats(src))
				dst := guarded(t, 2*len(src))
				if !Narrow(dst, floats(src), Half(to), magnitude) {
					t.Fatal("not done")
				}
				back := guarded(t, 4*len(src))
				Widen(back, dst, Half(to))
				for i, v := range src {
					h := binary.LittleEndian.Uint16(dst[2*i:])
					if want := convert(v); h != want {
						t.Fatalf("type %d: %v (%#x) became %#04x, want %#04x", to, v, math.Float32bits(v), h, want)
					}
					want := []func(uint16) float32{tensor.Float16ToFloat32, tensor.BFloat16ToFloat32}[to](h)
					if got := binary.LittleEndian.Uint32(back[4*i:]); got != math.Float32bits(want) {
						t.Fatalf("type %d: %#04x became %#x, want %#x", to, h, got, math.Float32bits(want))
					}
				}
			}
			for _, size := range sizes[1:] {
				src := make([]float32, size)
				src[size-1] = -math.Float32frombits(infinite[to])
				_, _, magnitude := Range(floats(src))
				if Narrow(make([]byte, 2*size), floats(src), Half(to), magnitude) {
					t.Errorf("type %d: %v would become infinite, and does", to, src[size-1])
				}
				src[0] = float32(math.NaN())
				_, _, magnitude = Range(floats(src))
				if size > 1 && Narrow(make([]byte, 2*size), floats(src), Half(to), magnitude) {
					t.Errorf("type %d: %v beside a NaN would become infinite, and does", to, src[size-1])
				}
				src[0], src[size-1] = 0, math.Nextafter32(-math.Float32frombits(infinite[to]), 0)
				_, _, magnitude = Range(floats(src))
				if !Narrow(make([]byte, 2*size), floats(src), Half(to), magnitude) {
					t.Errorf("type %d: %v would not become infinite, and is refused", to, src[size-1])
				}
			}
		}
	})
}

// Whatever a peer sends as 16 bits becomes the same float32 everywhere, signalling NaNs among it.
func TestWidenIsTheSameForAllBits(t *testing.T) {
	all := make([]byte, 0, 1<<17)
	for h := range 1 << 16 {
		all = binary.LittleEndian.AppendUint16(all, uint16(h))
	}
	for from := range halves {
		var first []byte
		eachImpl(t, func(t *testing.T) {
			got := make([]byte, 2*len(all))
			Widen(got, all, from)
			if first == nil {
				first = got
			}
			if !bytes.Equal(got, first) {
				t.Errorf("type %d differs from %s", from, impls[0].name)
			}
		})
	}
}

func TestUnpackIsTheInverseOfPack(t *testing.T) {
	for n := range 100 {
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(rand.Uint32N(16))
		}
		packed := slices.Clone(Pack(slices.Clone(want)))
		for i, v := range want {
			if got := packed[i/2] >> (i % 2 * 4) & 15; got != v {
				t.Fatalf("%d of %d: packed as %d, want %d", i, n, got, v)
			}
		}
		got := make([]byte, n)
		copy(got[n-len(packed):], packed)
		if Unpack(got); !bytes.Equal(got, want) {
			t.Fatalf("%d: got %v, want %v", n, got, want)
		}
	}
}

func BenchmarkKernels(b *testing.B) {
	const n = 600 << 10 / 4
	r := rand.New(rand.NewPCG(1, 1))
	src := sparse(r, n, 4, 0.5)
	for i := range n { // finite, and not large
		src[4*i+3] &= 0x3f
	}
	bitmap, heads, rest, dst := make([]byte, n/8), make([]byte, n+Slack), make([]byte, 4*n+Slack), make([]byte, 4*n)
	Mark(bitmap, src, 4)
	for _, k := range []struct {
		name string
		f    func()
	}{
		{"mark", func() { Mark(bitmap, src, 4) }},
		{"split", func() { Split(heads, rest, bitmap, src, 4) }},
		{"join", func() { Join(dst, heads, rest, bitmap, 4) }},
		{"range", func() { Range(src) }},
		{"quantise", func() { Quantise(heads[:n], src, 0, 1) }},
		{"dequantise", func() { Dequantise(dst, heads[:n], 0, 1) }},
		{"float16", func() { Narrow(dst[:2*n], src, Float16, 0) }},
		{"widen16", func() { Widen(dst, rest[:2*n], Float16) }},
	} {
		for i := range impls {
			b.Run(fmt.Sprintf("%s/%s", k.name, impls[i].name), func(b *testing.B) {
				was := best
				defer func() { best = was }()
				best = &impls[i]
				b.SetBytes(4 * n)
				for b.Loop() {
					k.f()
				}
			})
		}
	}
}
