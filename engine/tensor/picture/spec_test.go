package picture

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"scission/engine/tensor"
)

// plain is a picture of one colour.
func plain(w, h int, r, g, b uint8) *Picture {
	p := &Picture{Width: w, Height: h}
	for range w * h {
		p.Pix = append(p.Pix, r, g, b)
	}
	return p
}

// parse is a spec that must be right.
func parse(t testing.TB, text string) Spec {
	t.Helper()
	s, err := Spec{}.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The numbers are reckoned by hand: (255/255-0.485)/0.229 and so on.
func TestNumbersOfWellKnownPreprocessings(t *testing.T) {
	imagenet := "mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], scale: 1/255, "
	half := tensor.New(tensor.Float16, 1, 3, 1, 1)
	copy(tensor.View[uint16](half), []uint16{0x3c00, 0x3800, 0}) // 1, 1/2, 0
	brain := tensor.New(tensor.BFloat16, 1, 3, 1, 1)
	copy(tensor.View[uint16](brain), []uint16{0x3f80, 0x3f00, 0})
	for _, c := range []struct {
		spec    string
		r, g, b uint8
		want    *tensor.Tensor
	}{
		{"", 255, 0, 51, tensor.Of([]float32{1, 0, 0.2}, 1, 3, 1, 1)},
		{imagenet, 255, 255, 255, tensor.Of([]float32{2.2489083, 2.4285715, 2.64}, 1, 3, 1, 1)},
		{imagenet + "layout: CHW", 0, 0, 0, tensor.Of([]float32{-2.1179039, -2.0357144, -1.8044444}, 3, 1, 1)},
		{"color: BGR, scale: 1, mean: [103.939, 116.779, 123.68]", 255, 128, 0, tensor.Of([]float32{-103.939, 11.221, 131.32}, 1, 3, 1, 1)},
		{"layout: NHWC, scale: 1/127.5, mean: 1", 255, 0, 51, tensor.Of([]float32{1, -1, -0.6}, 1, 1, 1, 3)},
		{"layout: HWC, type: uint8, color: BGR", 1, 2, 3, tensor.Of([]uint8{3, 2, 1}, 1, 1, 3)},
		{"type: int8", 255, 128, 0, tensor.Of([]int8{127, 0, -128}, 1, 3, 1, 1)},
		{"type: int8, scale: 1", 255, 128, 7, tensor.Of([]int8{127, 127, 7}, 1, 3, 1, 1)},
		{"type: int8, scale: 1, mean: 0, std: -1", 255, 128, 7, tensor.Of([]int8{-128, -128, -7}, 1, 3, 1, 1)},
		{"type: uint16, scale: 1000, mean: 1", 255, 0, 3, tensor.Of([]uint16{65535, 0, 2999}, 1, 3, 1, 1)},
		{"type: int32, scale: 0.5", 1, 3, 5, tensor.Of([]int32{0, 2, 2}, 1, 3, 1, 1)}, // ties to even
		{"type: int64, scale: 1e20, mean: 1e21", 255, 10, 0, tensor.Of([]int64{math.MaxInt64, 0, math.MinInt64}, 1, 3, 1, 1)},
		{"type: float64, scale: 1/3", 3, 6, 9, tensor.Of([]float64{1, 2, 3}, 1, 3, 1, 1)},
		{"type: float16, scale: 1/2", 2, 1, 0, half},
		{"type: bfloat16, scale: 1/2", 2, 1, 0, brain},
		{"color: grey, scale: 1", 10, 200, 30, tensor.Of([]float32{124}, 1, 1, 1, 1)},
		{"color: grey, scale: 1, layout: HW", 10, 200, 30, tensor.Of([]float32{124}, 1, 1)},
	} {
		got, err := parse(t, c.spec).Tensor(plain(1, 1, c.r, c.g, c.b))
		if err != nil || !got.Type.Equal(c.want.Type) {
			t.Errorf("%s: got %v, error %v, want %v", c.spec, got, err, c.want.Type)
			continue
		}
		if got.DType == tensor.Float32 {
			for i, v := range got.F32() {
				if w := c.want.F32()[i]; math.Abs(float64(v-w)) > 1e-6*max(1, math.Abs(float64(w))) {
					t.Errorf("%s: element %d is %v, want %v", c.spec, i, v, w)
				}
			}
		} else if !got.Identical(c.want) {
			t.Errorf("%s: got % x, want % x", c.spec, got.Raw, c.want.Raw)
		}
	}
}

// The picture counts its pixels; each layout puts number 10*y+x+100*channel at
// its place.
func TestEveryLayoutPutsPixelsAtTheirPlaces(t *testing.T) {
	const w, h = 3, 2
	p := &Picture{Width: w, Height: h}
	for y := range h {
		for x := range w {
			v := uint8(10*y + x)
			p.Pix = append(p.Pix, v, v+100, v+200)
		}
	}
	for _, c := range []struct {
		spec string
		want *tensor.Tensor
	}{
		{"layout: NCHW", tensor.Of([]uint8{0, 1, 2, 10, 11, 12, 100, 101, 102, 110, 111, 112, 200, 201, 202, 210, 211, 212}, 1, 3, 2, 3)},
		{"layout: NHWC", tensor.Of([]uint8{0, 100, 200, 1, 101, 201, 2, 102, 202, 10, 110, 210, 11, 111, 211, 12, 112, 212}, 1, 2, 3, 3)},
		{"layout: CHW, color: BGR", tensor.Of([]uint8{200, 201, 202, 210, 211, 212, 100, 101, 102, 110, 111, 112, 0, 1, 2, 10, 11, 12}, 3, 2, 3)},
		// the second row: 10, 110, 210 has the luma 10*.299+110*.587+210*.114 = 91.5
		{"layout: HW, color: grey", tensor.Of([]uint8{82, 83, 84, 92, 93, 94}, 2, 3)},
		{"layout: NHW, color: grey", tensor.Of([]uint8{82, 83, 84, 92, 93, 94}, 1, 2, 3)},
	} {
		got, err := parse(t, c.spec+", type: uint8").Tensor(p)
		if err != nil || !got.Identical(c.want) {
			t.Errorf("%s: got %v, error %v, want %v", c.spec, got, err, c.want)
		}
	}
}

func TestSizesOfResizedPictures(t *testing.T) {
	for _, c := range []struct {
		spec string
		w, h int
		want tensor.Shape // height and width
	}{
		{"", 640, 480, tensor.Shape{480, 640}},
		{"size: [100, 50]", 640, 480, tensor.Shape{100, 133}}, // covers: by height, 640*100/480 = 133.3
		{"resize: stretch, size: [100, 50]", 640, 480, tensor.Shape{100, 50}},
		{"resize: shorter, size: 256", 640, 480, tensor.Shape{256, 341}}, // torchvision: int(256*640/480)
		{"resize: shorter, size: 256", 500, 375, tensor.Shape{256, 341}},
		{"resize: shorter, size: 256", 333, 500, tensor.Shape{384, 256}},
		{"resize: shorter, size: 256, crop: 224", 500, 375, tensor.Shape{224, 224}},
		{"resize: shorter, size: 256, crop: [224, 0]", 500, 375, tensor.Shape{224, 341}},
		{"resize: letterbox, size: 640", 1280, 719, tensor.Shape{640, 640}},
		{"resize: letterbox, size: [320, 640]", 100, 100, tensor.Shape{320, 640}},
		{"size: [48, 0]", 100, 32, tensor.Shape{48, 150}},
		{"resize: letterbox, size: [48, 0]", 100, 33, tensor.Shape{48, 145}}, // 145.45
		{"resize: stretch, size: [0, 50]", 100, 33, tensor.Shape{17, 50}},    // 16.5
		{"resize: none, crop: 10", 30, 20, tensor.Shape{10, 10}},
		{"crop: 10", 30, 20, tensor.Shape{10, 10}},
		{"resize: stretch, size: 1", 1, 5000, tensor.Shape{1, 1}},
		{"resize: letterbox, size: 8", 1, 5000, tensor.Shape{8, 8}},
	} {
		got, err := parse(t, "layout: HW, type: uint8, "+c.spec).Tensor(plain(c.w, c.h, 1, 2, 3))
		if err == nil && !got.Shape.Equal(c.want) {
			err = errors.New(got.Shape.String())
		}
		if err != nil {
			t.Errorf("%q of %d x %d: %v, want %v", c.spec, c.w, c.h, err, c.want)
		}
	}
}

// A white picture of 4 x 2 in a box of 8 x 8 has two rows of padding above and
// below; of 2 x 5 scaled to 3 x 8, two columns on the left and three on the right.
func TestLetterboxPadsBothSides(t *testing.T) {
	for _, c := range []struct{ w, h, top, bottom, left, right int }{{4, 2, 2, 2, 0, 0}, {2, 5, 0, 0, 2, 3}} {
		s := parse(t, "resize: letterbox, size: 8, pad: [1, 2, 3], color: BGR, layout: HWC, type: uint8")
		x, err := s.Tensor(plain(c.w, c.h, 255, 254, 253))
		if err != nil || !x.Shape.Equal(tensor.Shape{8, 8, 3}) {
			t.Fatalf("got %v, error %v", x, err)
		}
		for row := range 8 {
			for col := range 8 {
				want := []uint8{253, 254, 255}
				if row < c.top || row >= 8-c.bottom || col < c.left || col >= 8-c.right {
					want = []uint8{1, 2, 3}
				}
				if got := x.Raw[3*(8*row+col):][:3]; !slices.Equal(got, want) {
					t.Errorf("%d x %d: row %d, column %d is %v, want %v", c.w, c.h, row, col, got, want)
				}
			}
		}
	}
}

// torchvision's CenterCrop: the corner is at half of what is left, ties to even.
func TestCropIsInTheMiddle(t *testing.T) {
	p := &Picture{Width: 7, Height: 5}
	for i := range uint8(35) {
		p.Pix = append(p.Pix, i, i, i)
	}
	for _, c := range []struct {
		spec string
		want *tensor.Tensor
	}{
		{"crop: [1, 3]", tensor.Of([]uint8{16, 17, 18}, 1, 3)},
		{"crop: [2, 2]", tensor.Of([]uint8{7*2 + 2, 7*2 + 3, 7*3 + 2, 7*3 + 3}, 2, 2)}, // at 1.5 and 2.5, both 2
		{"crop: [4, 1]", tensor.Of([]uint8{3, 10, 17, 24}, 4, 1)},                      // at 0.5, so 0
	} {
		got, err := parse(t, "resize: none, layout: HW, type: uint8, "+c.spec).Tensor(p)
		if err != nil || !got.Identical(c.want) {
			t.Errorf("%s: got %v, error %v, want %v", c.spec, got, err, c.want)
		}
	}
	if _, err := parse(t, "resize: none, crop: 6").Tensor(p); !errors.Is(err, ErrSpec) {
		t.Errorf("7 x 5 cropped to 6 x 6: error %v", err)
	}
}

func TestDefaultsComeFromTheInput(t *testing.T) {
	const unit = ", scale: 1/255, mean: 0, std: 1, type: "
	for _, c := range []struct {
		spec string
		d    tensor.DType
		dims []int
		want string // the whole spec
	}{
		{"", tensor.Float32, []int{1, 3, 224, 224}, "resize: shorter, size: 224, filter: bilinear, crop: 224, layout: NCHW, color: RGB" + unit + "float32"},
		{"", tensor.Uint8, []int{-1, 240, 320, 3}, "resize: shorter, size: [240, 320], filter: bilinear, crop: [240, 320], layout: NHWC, color: RGB, scale: 1, mean: 0, std: 1, type: uint8"},
		{"", tensor.Float16, []int{1, 1, 28, 28}, "resize: shorter, size: 28, filter: bilinear, crop: 28, layout: NCHW, color: grey" + unit + "float16"},
		{"", tensor.Int8, []int{1, 96, 96, 1}, "resize: shorter, size: 96, filter: bilinear, crop: 96, layout: NHWC, color: grey, scale: 1, mean: 128, std: 1, type: int8"},
		{"", tensor.Float32, []int{-1, 3, -1, -1}, "resize: none, filter: bilinear, layout: NCHW, color: RGB" + unit + "float32"},
		{"", tensor.Float32, []int{-1, 3, 48, -1}, "resize: shorter, size: [48, 0], filter: bilinear, crop: [48, 0], layout: NCHW, color: RGB" + unit + "float32"},
		{"", tensor.Float32, nil, "resize: none, filter: bilinear, layout: NCHW, color: RGB" + unit + "float32"},
		{"", tensor.Float32, []int{3, 32, 32}, "resize: shorter, size: 32, filter: bilinear, crop: 32, layout: CHW, color: RGB" + unit + "float32"},
		{"", tensor.Float32, []int{32, 32, 3}, "resize: shorter, size: 32, filter: bilinear, crop: 32, layout: HWC, color: RGB" + unit + "float32"},
		{"", tensor.Float32, []int{8, 32, 32}, "resize: shorter, size: 32, filter: bilinear, crop: 32, layout: NHW, color: grey" + unit + "float32"},
		{"", tensor.Float32, []int{32, 64}, "resize: shorter, size: [32, 64], filter: bilinear, crop: [32, 64], layout: HW, color: grey" + unit + "float32"},
		{"layout: NHWC", tensor.Float32, []int{1, 3, 3, 3}, "resize: shorter, size: 3, filter: bilinear, crop: 3, layout: NHWC, color: RGB" + unit + "float32"},
		{"size: 256", tensor.Float32, []int{1, 3, 224, 224}, "resize: shorter, size: 256, filter: bilinear, crop: 224, layout: NCHW, color: RGB" + unit + "float32"},
		{"resize: none", tensor.Float32, []int{1, 3, 224, 224}, "resize: none, filter: bilinear, crop: 224, layout: NCHW, color: RGB" + unit + "float32"},
		{"crop: 64, scale: 1, mean: 127", tensor.Float32, []int{1, -1, -1, -1}, "resize: shorter, size: 64, filter: bilinear, crop: 64, layout: NCHW, color: RGB, scale: 1, mean: 127, std: 1, type: float32"},
		{"resize: letterbox, pad: 114, filter: bicubic, aliased: true", tensor.Float32, []int{1, 3, 640, 640}, "resize: letterbox, size: 640, filter: bicubic, aliased: true, crop: 640, pad: 114, layout: NCHW, color: RGB" + unit + "float32"},
	} {
		s, err := parse(t, c.spec).For(c.d, c.dims)
		if err != nil || s.String() != c.want {
			t.Errorf("%q for %v%v: got %q, error %v, want %q", c.spec, c.d, c.dims, s, err, c.want)
			continue
		}
		again, err := s.For(c.d, c.dims)
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Errorf("%q: completed once more: %v, error %v", s, again, err)
		}
		if back, err := (Spec{}).Parse(s.String()); err != nil || !reflect.DeepEqual(s, back) {
			t.Errorf("%q: read back: %v, error %v", s, back, err)
		}
	}
}

func TestSpecsThatContradictThemselvesOrTheInputAreErrors(t *testing.T) {
	image := []int{1, 3, 224, 224}
	for _, c := range []struct {
		spec string
		d    tensor.DType
		dims []int
		says string
	}{
		{"sise: 3", tensor.Float32, image, "field sise not found"},
		{"size: 3, size: 4", tensor.Float32, image, "already defined"},
		{"size: [1, 2, 3]", tensor.Float32, image, "a size of 3 numbers"},
		{"size: many", tensor.Float32, image, "many"},
		{"size: -1", tensor.Float32, image, "size -1 x -1, want 0 to 65536"},
		{"size: 70000", tensor.Float32, image, "want 0 to 65536"},
		{"resize: bigger", tensor.Float32, image, `resize is "bigger", want one of`},
		{"filter: magic", tensor.Float32, image, `filter is "magic"`},
		{"color: rgb", tensor.Float32, image, `color is "rgb"`},
		{"layout: CNHW", tensor.Float32, image, `layout is "CNHW"`},
		{"type: float8", tensor.Float32, image, `type is "float8"`},
		{"mean: x", tensor.Float32, image, `got "x", want a number`},
		{"mean: 1/0", tensor.Float32, image, `got "1/0", want a number`},
		{"mean: .nan", tensor.Float32, image, "want a number"},
		{"mean: [1, 2]", tensor.Float32, image, "mean has 2 values"},
		{"std: 0", tensor.Float32, image, "std is 0"},
		{"pad: 256", tensor.Float32, image, "pad is 256"},
		{"resize: none, size: 5", tensor.Float32, image, "but resize is none"},
		{"layout: HW, color: RGB", tensor.Float32, []int{2, 2}, "layout HW is for grey"},
		{"color: grey, mean: [1, 2, 3]", tensor.Float32, nil, "mean has 3 values"},
		{"scale: 1, mean: [1, 2, 3]", tensor.Float32, []int{1, 1, 8, 8}, "mean has 3 values"},
		{"mean: 127.5", tensor.Float32, image, "without a scale"},
		{"std: [58, 57, 57]", tensor.Float32, image, "without a scale"},
		{"crop: 192", tensor.Float32, image, "crop gives a height of 192, but the input's is 224"},
		{"color: grey", tensor.Float32, image, "color grey has 1 channels, but the input has 3"},
		{"layout: NHWC", tensor.Float32, image, "color RGB has 3 channels, but the input has 224"},
		{"layout: CHW", tensor.Float32, image, "layout CHW for an input of shape [1 3 224 224]"},
		{"", tensor.Float32, []int{1, 4, 224, 224}, "is no picture"},
		{"", tensor.Float32, []int{1000}, "is no picture"},
		{"", tensor.Bool, image, "cannot be of type bool"},
		{"}{", tensor.Float32, image, ""},
		{"size: 3\n---\nsize: 4", tensor.Float32, image, ""},
		{strings.Repeat("#", maxSpec+1), tensor.Float32, image, "bytes, want at most"},
	} {
		s, err := (Spec{}).Parse(c.spec)
		if err == nil {
			s, err = s.For(c.d, c.dims)
		}
		if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q for %v%v: got %q, error %v, want %q", c.spec, c.d, c.dims, s, err, c.says)
		}
	}
}

func TestParseKeepsWhatTheTextDoesNotName(t *testing.T) {
	base := parse(t, "size: 256, mean: [0.1, 0.2, 0.3], color: BGR")
	got, err := base.Parse("mean: 0.5, crop: 224 # and no more")
	if want := "size: 256, crop: 224, color: BGR, mean: 0.5"; err != nil || got.String() != want {
		t.Errorf("got %q, error %v, want %q", got, err, want)
	}
	if want := "size: 256, color: BGR, mean: [0.1, 0.2, 0.3]"; base.String() != want {
		t.Errorf("the base has become %q, want %q", base, want)
	}
}

func TestResizingBeyondTheLimitIsRefused(t *testing.T) {
	for _, c := range []struct {
		spec string
		p    *Picture
	}{
		{"resize: stretch, size: 65536", plain(1, 1, 0, 0, 0)},
		{"size: 224", plain(1, 60000, 0, 0, 0)},                         // 224 x 13440000
		{"resize: stretch, size: [1, 60000]", plain(1, 60000, 0, 0, 0)}, // 60000 x 60000 in between
		{"resize: letterbox, size: 65536", plain(1, 1, 0, 0, 0)},
	} {
		n := allocated(func() {
			if x, err := parse(t, c.spec).Tensor(c.p); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s: got %v, error %v", c.spec, x, err)
			}
		})
		if n > 1<<20 {
			t.Errorf("%s: %d bytes are allocated", c.spec, n)
		}
	}
}

// A spec is read, completed and used, or refused.
func FuzzSpec(f *testing.F) {
	f.Add("resize: shorter, size: 256, crop: 224, mean: [0.485, 0.456, 0.406]", uint8(tensor.Float32), uint32(0x010320ff), uint16(0x1020))
	f.Add("resize: letterbox, size: [40, 0], pad: [1, 2, 3], color: BGR, layout: NHWC, type: int8", uint8(tensor.Int8), uint32(0xff_ff_ff_03), uint16(0x0301))
	f.Add("color: grey, layout: HW, scale: 1/3, std: 4, filter: lanczos, aliased: true", uint8(tensor.Float16), uint32(0x2020), uint16(0x0909))
	f.Add("a: &a [*a, *a], mean: *a", uint8(1), uint32(0), uint16(0x0101))
	f.Add("? {a: b}\n: [}", uint8(1), uint32(0), uint16(0x0101))
	f.Fuzz(func(t *testing.T, text string, d uint8, packed uint32, size uint16) {
		s, err := (Spec{}).Parse(text)
		if err != nil {
			if !errors.Is(err, ErrSpec) {
				t.Fatalf("error %v", err)
			}
			return
		}
		var dims []int // 255 is open
		for ; packed > 0; packed >>= 8 {
			dims = slices.Insert(dims, 0, int(int8(packed)))
		}
		s, err = s.For(tensor.DType(d), dims)
		if err != nil {
			if !errors.Is(err, ErrSpec) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if back, err := (Spec{}).Parse(s.String()); err != nil || !reflect.DeepEqual(s, back) {
			t.Fatalf("%q is read back as %q, error %v", s, back, err)
		}
		// What is made is bounded by MaxPixels; here by what is quick.
		if max(s.Size.Width, s.Size.Height) > 1000 {
			return
		}
		p := pattern(int(size>>8&31)+1, int(size&31)+1)
		x, err := s.Tensor(p)
		switch {
		case err != nil && !errors.Is(err, ErrSpec) && !errors.Is(err, ErrTooLarge):
			t.Fatalf("error %v", err)
		case err == nil && (len(x.Raw) != x.Bytes() || x.DType.String() != s.Type || len(x.Shape) != len(s.Layout)):
			t.Fatalf("%v of %d bytes for %q", x.Type, len(x.Raw), s)
		}
	})
}
