package tensor

import (
	"errors"
	"math"
	"testing"
	"unsafe"
)

func TestCheckTypeRefusesBeforeAllocation(t *testing.T) {
	for _, c := range []struct {
		name  string
		d     DType
		s     Shape
		limit int
		ok    bool
	}{
		{"at the limit", Float32, Shape{4}, 16, true},
		{"one past the limit", Float32, Shape{4}, 15, false},
		{"scalar", Float64, nil, 8, true},
		{"zero length", Float32, Shape{0, 3}, 0, true},
		{"negative", Float32, Shape{-1}, 100, false},
		{"overflow", Float32, Shape{math.MaxInt / 2, 3}, math.MaxInt, false},
		{"overflow behind a zero", Float32, Shape{0, math.MaxInt / 2, 3}, math.MaxInt, false},
		{"unknown type", 8, Shape{1}, 100, false},
		{"rank", Uint8, make(Shape, MaxRank+1), 100, false},
	} {
		_, err := CheckType(c.d, c.s, c.limit)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrType) {
			t.Errorf("%s: CheckType = %v, want ok = %v", c.name, err, c.ok)
		}
	}
}

func TestAllocIsAligned(t *testing.T) {
	for n := range 300 {
		b := Alloc(n)
		if len(b) != n || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%Align != 0 && n > 0 {
			t.Fatalf("Alloc(%d): length %d at %p", n, len(b), unsafe.SliceData(b))
		}
	}
}

// Every binary16 number is rebuilt from its definition, sign * 2^e * m.
func TestFloat16IsExactForAllValues(t *testing.T) {
	for h := range 1 << 16 {
		exp, man := h>>10&31, h&1023
		want := math.Ldexp(float64(1024+man), exp-25)
		switch {
		case exp == 0:
			want = math.Ldexp(float64(man), -24)
		case exp == 31 && man == 0:
			want = math.Inf(1)
		case exp == 31:
			want = math.NaN()
		}
		if h>>15 == 1 {
			want = -want
		}
		got := Float16ToFloat32(uint16(h))
		if float64(got) != want && !(math.IsNaN(want) && math.IsNaN(float64(got))) {
			t.Fatalf("Float16ToFloat32(%#04x) = %v, want %v", h, got, want)
		}
		if back := Float32ToFloat16(got); back != uint16(h) && !math.IsNaN(want) {
			t.Fatalf("Float32ToFloat16(%v) = %#04x, want %#04x", got, back, h)
		}
	}
}

func TestFloat16RoundsToNearestEven(t *testing.T) {
	for h := range uint16(0x7bff) {
		lo, hi := Float16ToFloat32(h), Float16ToFloat32(h+1)
		mid := lo + (hi-lo)/2
		even := h + h&1
		for f, want := range map[float32]uint16{
			mid:                       even,
			math.Nextafter32(mid, lo): h,
			math.Nextafter32(mid, float32(math.Inf(1))): h + 1,
		} {
			if got := Float32ToFloat16(f); got != want {
				t.Fatalf("Float32ToFloat16(%v) = %#04x, want %#04x", f, got, want)
			}
		}
	}
	if got := Float32ToFloat16(65520); got != 0x7c00 {
		t.Errorf("Float32ToFloat16(65520) = %#04x, want infinity", got)
	}
}

func TestBFloat16RoundsToNearestEven(t *testing.T) {
	for bits, want := range map[uint32]uint16{
		0x3f800000: 0x3f80, 0x3f808000: 0x3f80, 0x3f808001: 0x3f81, 0x3f818000: 0x3f82, 0x7f800000: 0x7f80,
	} {
		if got := Float32ToBFloat16(math.Float32frombits(bits)); got != want {
			t.Errorf("Float32ToBFloat16(%#x) = %#04x, want %#04x", bits, got, want)
		}
	}
	if got := BFloat16ToFloat32(Float32ToBFloat16(float32(math.NaN()))); got == got {
		t.Errorf("a NaN became %v", got)
	}
}

func TestViewRefusesAnotherType(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an int64 tensor was viewed as float32")
		}
	}()
	New(Int64, 1).F32()
}
