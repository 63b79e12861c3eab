package reorder

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"scission/ops/internal/isa"
	"scission/ops/internal/kerneltest"
)

// eachImpl runs f as a subtest for every implementation, skipping those this processor lacks.
func eachImpl(t *testing.T, f func(t *testing.T, im *impl)) {
	for i := range impls {
		im := &impls[i]
		t.Run(im.name, func(t *testing.T) {
			if !isa.Have(im.level) {
				t.Skipf("%s needs %s, this processor or build has %s", im.name, im.level, isa.Best())
			}
			f(t, im)
		})
	}
}

// random returns n values of any bits, signalling NaNs among them, the last at the end of a page.
func random(t *testing.T, r *rand.Rand, n int) []float32 {
	x := kerneltest.PageEnd(t, n)
	for i := range x {
		x[i] = math.Float32frombits(r.Uint32())
	}
	return x
}

func bits(x []float32) []uint32 {
	b := make([]uint32, len(x))
	for i, v := range x {
		b[i] = math.Float32bits(v)
	}
	return b
}

func TestTransposeOfEverySizeAroundTheTiles(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, rows := range []int{0, 1, 2, 7, 8, 9, 15, 16, 17, tileRows, tileRows + 11, 2*tileRows + 1} {
			for _, cols := range []int{0, 1, 3, 7, 8, 9, 16, 17, tileCols + 13, 2*tileCols + 1} {
				gap := r.IntN(4)
				ss, ds := cols+gap, rows+r.IntN(4)
				src := random(t, r, max(0, (rows-1)*ss+cols))
				dst := kerneltest.Out(t, max(0, (cols-1)*ds+rows))
				im.run(dst, ds, src, ss, rows, cols)
				for at, v := range dst {
					j, i := at/ds, at%ds
					if i >= rows {
						if !kerneltest.Untouched(v) {
							t.Fatalf("%dx%d: wrote between rows, at row %d column %d", rows, cols, j, i)
						}
					} else if want := src[i*ss+j]; math.Float32bits(v) != math.Float32bits(want) {
						t.Fatalf("%dx%d: element %d,%d is %v, want %v", rows, cols, j, i, v, want)
					}
				}
			}
		}
	})
}

func TestPackAndUnpack(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, c := range []int{1, 3, 8, 15, 16, 17, 24, 32, 40} {
			for _, hw := range []int{1, 4, 9, 49, 64, 150} {
				src := random(t, r, c*hw)
				back := kerneltest.Out(t, c*hw)
				for cb := range (c + Lanes - 1) / Lanes {
					packed := kerneltest.Out(t, hw*Lanes)
					im.pack(packed, src, c, hw, cb)
					for at, v := range packed {
						want := float32(0)
						if ch := cb*Lanes + at%Lanes; ch < c {
							want = src[ch*hw+at/Lanes]
						}
						if math.Float32bits(v) != math.Float32bits(want) {
							t.Fatalf("c=%d hw=%d block %d: value %d is %v, want %v", c, hw, cb, at, v, want)
						}
					}
					im.unpack(back, packed, c, hw, cb)
				}
				if !slices.Equal(bits(back), bits(src)) {
					t.Fatalf("c=%d hw=%d: unpacked differs from what was packed", c, hw)
				}
			}
		}
	})
}

// cases are permutations of every kind: of one dimension, with sizes 0 and 1, with dimensions that stay together, with
// the innermost dimension kept and not, and large enough for several chunks.
var cases = []struct{ shape, perm []int }{
	{nil, nil},
	{[]int{5}, []int{0}},
	{[]int{3, 0, 2}, []int{2, 1, 0}},
	{[]int{1, 1}, []int{1, 0}},
	{[]int{4, 1, 7}, []int{2, 1, 0}},
	{[]int{17, 19}, []int{1, 0}},
	{[]int{2, 3, 4}, []int{0, 1, 2}},
	{[]int{2, 3, 4}, []int{1, 0, 2}},
	{[]int{2, 3, 4}, []int{2, 0, 1}},
	{[]int{2, 9, 11, 3}, []int{0, 3, 1, 2}},
	{[]int{2, 3, 9, 11}, []int{0, 2, 3, 1}},
	{[]int{3, 2, 5, 4, 2}, []int{4, 2, 0, 3, 1}},
	{[]int{2, 2, 2, 2, 2, 2, 2}, []int{6, 4, 2, 0, 1, 3, 5}},
	{[]int{40, 70, 60}, []int{1, 0, 2}},
	{[]int{3, 200, 350}, []int{0, 2, 1}},
	{[]int{700, 300}, []int{1, 0}},
	{[]int{210000}, []int{0}},
}

func TestJoinTakesEachLaneFromItsPiece(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(7, 8))
		piece := func(from, to int) Piece {
			return Piece{from, to, to - Lanes + r.IntN(Lanes-to+from+1)}
		}
		for split := range Lanes + 1 {
			for range kerneltest.Count(20) {
				n := r.IntN(4) * Lanes
				from, to := r.IntN(split+1), split+r.IntN(Lanes-split+1)
				pieces := [2]Piece{piece(from, split), piece(split, to)}
				src := [2][]float32{random(t, r, n), random(t, r, n)}
				dst := kerneltest.Out(t, n)
				im.runJoin(dst, src[0], src[1], pieces[0], pieces[1])
				for i, v := range dst {
					var want float32
					for j, p := range pieces {
						if l := i % Lanes; l >= p.From && l < p.To {
							want = src[j][i-p.Shift]
						}
					}
					if math.Float32bits(v) != math.Float32bits(want) {
						t.Fatalf("pieces %v: value %d is %v, want %v", pieces, i, v, want)
					}
				}
			}
		}
	})
}

func TestKernelPermutes(t *testing.T) {
	eachImpl(t, func(t *testing.T, im *impl) {
		r := rand.New(rand.NewPCG(5, 6))
		sizes := []int{4, 12, 1, 2, 8, 16}
		if testing.Short() {
			sizes = sizes[:2]
		}
		for _, c := range cases {
			for _, size := range sizes {
				k := newKernel(im, c.shape, c.perm, size)
				n := size
				for _, d := range c.shape {
					n *= d
				}
				in, out := words(n), words(n)
				for i := range in {
					in[i] = byte(r.Uint32())
				}
				for _, chunk := range r.Perm(k.Chunks(0)) {
					k.Run(0, chunk, nil, nil, in, out)
				}
				checkPermuted(t, c.shape, c.perm, size, in, out)
			}
		}
	})
}

// words returns n bytes aligned for any element.
func words(n int) []byte {
	b, err := binary.Append(nil, binary.NativeEndian, make([]uint64, n/8+1))
	if err != nil {
		panic(err)
	}
	return b[:n]
}

// checkPermuted compares out element by element with the definition.
func checkPermuted(t *testing.T, shape, perm []int, size int, in, out []byte) {
	t.Helper()
	index := make([]int, len(shape)) // of the output
	for at := 0; at < len(out); at += size {
		rest := at / size
		for d := len(perm) - 1; d >= 0; d-- {
			index[d] = rest % shape[perm[d]]
			rest /= shape[perm[d]]
		}
		from := 0
		for d, n := range shape {
			from = from*n + index[slices.Index(perm, d)]
		}
		if got, want := out[at:at+size], in[from*size:][:size]; !slices.Equal(got, want) {
			t.Fatalf("%v of %v, %d bytes: element %v is %x, want %x", perm, shape, size, index, got, want)
		}
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	k := New([]int{20, 70, 60}, []int{2, 0, 1}, 4)
	in, out := words(20*70*60*4), words(20*70*60*4)
	if n := testing.AllocsPerRun(3, func() {
		for c := range k.Chunks(0) {
			k.Run(0, c, nil, nil, in, out)
		}
	}); n != 0 {
		t.Errorf("a run makes %v allocations, want 0", n)
	}
}

func TestBadArgumentsPanic(t *testing.T) {
	b := words(16)
	x := make([]float32, 16)
	for name, f := range map[string]func(){
		"perm too short":      func() { New([]int{2, 2}, []int{0}, 4) },
		"perm twice":          func() { New([]int{2, 2}, []int{0, 0}, 4) },
		"negative dimension":  func() { New([]int{-2, -2}, []int{0, 1}, 4) },
		"size 0":              func() { New([]int{2}, []int{0}, 0) },
		"short input":         func() { New([]int{4}, []int{0}, 4).Run(0, 0, nil, nil, b[:15], b) },
		"short output":        func() { New([]int{4}, []int{0}, 4).Run(0, 0, nil, nil, b, b[:15]) },
		"short source":        func() { Transpose(x, 4, x[:15], 4, 4, 4) },
		"short destination":   func() { Transpose(x[:15], 4, x, 4, 4, 4) },
		"no such block":       func() { Pack(x, x, 16, 1, 1) },
		"pack too short":      func() { Pack(x[:15:15], x, 16, 1, 0) },
		"unpack from nothing": func() { Unpack(x, x[:0:0], 16, 1, 0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic for %s", name)
				}
			}()
			f()
		}()
	}
}

// Constants of a file that is mapped lie at any address.
func TestMisalignedBytesAreMovedOrRefused(t *testing.T) {
	in, out := words(17)[1:], words(16)
	for i := range in {
		in[i] = byte(i)
	}
	defer func() {
		if r := recover(); (r == nil) != anyAlignment {
			t.Errorf("any alignment is %v, got panic %v", anyAlignment, r)
		}
	}()
	New([]int{2, 2}, []int{1, 0}, 4).Run(0, 0, nil, nil, in, out)
	if want := []byte{0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15}; !bytes.Equal(out, want) {
		t.Errorf("got %v, want %v", out, want)
	}
}

// benchmark reports the bytes read and written by the best run of f, which moves n values.
func benchmark(b *testing.B, name string, n int, f func(*impl) func()) {
	for i := range impls {
		im := &impls[i]
		b.Run(name+"/"+im.name, func(b *testing.B) {
			if !isa.Have(im.level) {
				b.Skipf("needs %s", im.level)
			}
			run, best := f(im), math.Inf(1)
			for b.Loop() {
				start := time.Now()
				run()
				best = min(best, time.Since(start).Seconds())
			}
			b.ReportMetric(8*float64(n)/best/1e9, "GB/s")
		})
	}
}

func BenchmarkPack(b *testing.B) {
	for _, s := range [][2]int{{64, 56 * 56}, {256, 14 * 14}, {512, 7 * 7}} {
		c, hw := s[0], s[1]
		x, y := make([]float32, c*hw), make([]float32, c*hw)
		benchmark(b, fmt.Sprintf("pack %dx%d", c, hw), c*hw, func(im *impl) func() {
			return func() {
				for cb := range c / Lanes {
					im.pack(y[cb*Lanes*hw:], x, c, hw, cb)
				}
			}
		})
		benchmark(b, fmt.Sprintf("unpack %dx%d", c, hw), c*hw, func(im *impl) func() {
			return func() {
				for cb := range c / Lanes {
					im.unpack(y, x[cb*Lanes*hw:], c, hw, cb)
				}
			}
		})
	}
}

func BenchmarkKernel(b *testing.B) {
	for _, c := range []struct{ shape, perm []int }{
		{[]int{512, 512}, []int{1, 0}}, {[]int{128, 12, 64}, []int{1, 0, 2}}, {[]int{12, 128, 64}, []int{0, 2, 1}},
		{[]int{1, 224, 224, 3}, []int{0, 3, 1, 2}}, {[]int{1, 3, 224, 224}, []int{0, 2, 3, 1}},
	} {
		n := 1
		for _, d := range c.shape {
			n *= d
		}
		in, out := words(4*n), words(4*n)
		benchmark(b, fmt.Sprint(c.shape, c.perm), n, func(im *impl) func() {
			k := newKernel(im, c.shape, c.perm, 4)
			return func() {
				for chunk := range k.Chunks(0) {
					k.Run(0, chunk, nil, nil, in, out)
				}
			}
		})
	}
}
