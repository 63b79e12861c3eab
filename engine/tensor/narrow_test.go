package tensor

import (
	"bytes"
	"math"
	"testing"
)

// The values are those of the tables of "Float stored in 8 bits" and "Float stored in
// 4 bits" in ONNX's technical documents.
func TestCodesOfSmallFloatsMeanWhatONNXSays(t *testing.T) {
	nan := float32(math.NaN())
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		d    DType
		code byte
		want float32
	}{
		{Float8E4M3FN, 0x01, 1.0 / 512}, {Float8E4M3FN, 0x08, 1.0 / 64}, {Float8E4M3FN, 0x38, 1}, {Float8E4M3FN, 0x7e, 448},
		{Float8E4M3FN, 0xfe, -448}, {Float8E4M3FN, 0x7f, nan}, {Float8E4M3FN, 0xff, nan},
		{Float8E4M3FNUZ, 0x7f, 240}, {Float8E4M3FNUZ, 0x80, nan}, {Float8E4M3FNUZ, 0x01, 1.0 / 1024}, {Float8E4M3FNUZ, 0x40, 1},
		{Float8E5M2, 0x7b, 57344}, {Float8E5M2, 0x7c, inf}, {Float8E5M2, 0xfc, -inf}, {Float8E5M2, 0x7d, nan}, {Float8E5M2, 0x3c, 1},
		{Float8E5M2FNUZ, 0x7f, 57344}, {Float8E5M2FNUZ, 0x80, nan}, {Float8E5M2FNUZ, 0x40, 1},
		{Float4E2M1, 0x1, 0.5}, {Float4E2M1, 0x3, 1.5}, {Float4E2M1, 0x7, 6}, {Float4E2M1, 0xf, -6}, {Float4E2M1, 0x17, 6},
		{Float8E8M0, 127, 1}, {Float8E8M0, 0, 0x1p-127}, {Float8E8M0, 254, 0x1p127}, {Float8E8M0, 255, nan},
	} {
		got := c.d.MiniValues()[c.code]
		if got != c.want && !(got != got && c.want != c.want) {
			t.Errorf("%v: code %#x is %v, want %v", c.d, c.code, got, c.want)
		}
	}
}

func TestSmallFloatsRoundToTheNearestCode(t *testing.T) {
	for d := range minifloats {
		values := d.MiniValues()
		for code, v := range values[:1<<d.Bits()] {
			if got := d.Mini(float64(v), false); v == v && got != byte(code) {
				t.Errorf("%v: %v is code %#x, want %#x", d, v, got, code)
			}
		}
		// Halfway between two neighbours lies what goes to the even code, and beside it not.
		for code := range 1<<(d.Bits()-1) - 1 {
			lo, hi := float64(values[code]), float64(values[code+1])
			if math.IsInf(hi, 0) || hi != hi || lo != lo {
				break
			}
			for _, c := range []struct {
				v    float64
				want int
			}{{(lo + hi) / 2, code + code&1}, {math.Nextafter((lo+hi)/2, lo), code}, {math.Nextafter((lo+hi)/2, hi), code + 1}} {
				if got := d.Mini(c.v, true); int(got) != c.want {
					t.Errorf("%v: %v is code %#x, want %#x", d, c.v, got, c.want)
				}
			}
		}
	}
}

// The two tables of ONNX Cast-19.
func TestSmallFloatsSaturateAsCastSays(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		d              DType
		v              float64
		saturated, not byte
	}{
		{Float8E4M3FN, inf, 0x7e, 0x7f}, {Float8E4M3FN, -inf, 0xfe, 0xff}, {Float8E4M3FN, 465, 0x7e, 0x7f}, {Float8E4M3FN, nan, 0x7f, 0x7f},
		{Float8E4M3FN, math.Copysign(0, -1), 0x80, 0x80}, {Float8E4M3FN, 463, 0x7e, 0x7e},
		{Float8E4M3FNUZ, inf, 0x7f, 0x80}, {Float8E4M3FNUZ, -1e9, 0xff, 0x80}, {Float8E4M3FNUZ, math.Copysign(0, -1), 0, 0},
		{Float8E4M3FNUZ, -1e-9, 0, 0}, {Float8E4M3FNUZ, nan, 0x80, 0x80},
		{Float8E5M2, inf, 0x7b, 0x7c}, {Float8E5M2, -1e9, 0xfb, 0xfc}, {Float8E5M2, nan, 0x7f, 0x7f},
		{Float8E5M2FNUZ, inf, 0x7f, 0x80}, {Float8E5M2FNUZ, -inf, 0xff, 0x80},
		{Float4E2M1, inf, 7, 7}, {Float4E2M1, -100, 15, 15},
	} {
		if got := c.d.Mini(c.v, true); got != c.saturated {
			t.Errorf("%v, saturated: %v is code %#x, want %#x", c.d, c.v, got, c.saturated)
		}
		if got := c.d.Mini(c.v, false); got != c.not {
			t.Errorf("%v: %v is code %#x, want %#x", c.d, c.v, got, c.not)
		}
	}
}

func TestPowersOfTwoRoundAsAsked(t *testing.T) {
	for _, c := range []struct {
		v                 float32
		up, down, nearest byte
	}{{1, 127, 127, 127}, {1.25, 128, 127, 127}, {1.5, 128, 127, 128}, {3, 129, 128, 129}, {0, 0, 0, 0}, {3e38, 254, 254, 254}} {
		for r, want := range map[Rounding]byte{RoundUp: c.up, RoundDown: c.down, RoundNearest: c.nearest} {
			if got := E8M0(c.v, r, true); got != want {
				t.Errorf("%v with rounding %d is %d, want %d", c.v, r, got, want)
			}
		}
	}
	if got := E8M0(3e38, RoundUp, false); got != 255 {
		t.Errorf("3e38 without saturation is %d, want 255, a NaN", got)
	}
}

// The first element lies in the low bits: TensorProto.raw_data of onnx.proto.
func TestNarrowElementsShareBytes(t *testing.T) {
	for _, c := range []struct {
		d     DType
		file  []byte
		elems []byte
	}{
		{Uint4, []byte{0x21, 0xf3, 0x0a}, []byte{1, 2, 3, 15, 10}},
		{Int4, []byte{0x81, 0x0f}, []byte{1, 0xf8, 0xff}},
		{Uint2, []byte{0xe4, 0x01}, []byte{0, 1, 2, 3, 1}},
		{Int2, []byte{0xe4}, []byte{0, 1, 0xfe, 0xff}},
		{Float4E2M1, []byte{0xf7}, []byte{7, 15}},
		{Int4, []byte{}, []byte{}},
	} {
		got := make([]byte, len(c.elems))
		c.d.Expand(got, c.file)
		if !bytes.Equal(got, c.elems) {
			t.Errorf("%v: % x is % x, want % x", c.d, c.file, got, c.elems)
		}
		if back := c.d.Condense(c.elems); !bytes.Equal(back, c.file) {
			t.Errorf("%v: % x lies as % x, want % x", c.d, c.elems, back, c.file)
		}
	}
}
