package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// read returns a file of testdata, which make.py has made.
func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// encode returns m as a PNG file.
func encode(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// smooth is the picture of testdata as make.py reckons it.
func smooth(w, h int) []float64 {
	var pix []float64
	for y := range h {
		for x := range w {
			pix = append(pix, 255*float64(x)/float64(w-1), 255*float64(y)/float64(h-1), 255-127*float64(x+y)/float64(w+h-2))
		}
	}
	return pix
}

// Lossy files may be off by as much as when Pillow reads them: by 4.0, 8.0, 8.8
// and 10.0 at most and by 0.9, 1.1, 1.7 and 1.7 on average.
func TestEveryFormatGivesThePictureThatPillowWrote(t *testing.T) {
	const w, h = 48, 32
	want := smooth(w, h)
	for _, c := range []struct {
		file        string
		worst, mean float64
	}{
		{"smooth.png", 0.5, 0.5}, {"lossless.webp", 0.5, 0.5},
		{"smooth.jpg", 5, 1}, {"progressive.jpg", 9, 1.2}, {"lossy.webp", 10, 1.8}, {"alpha.webp", 11, 1.8},
	} {
		p, err := Decode(read(t, c.file))
		if err != nil || p.Width != w || p.Height != h {
			t.Fatalf("%s: %v, error %v", c.file, p, err)
		}
		worst, mean := 0.0, 0.0
		for i, v := range p.Pix {
			d := math.Abs(float64(v) - want[i])
			worst, mean = max(worst, d), mean+d/float64(len(want))
		}
		t.Logf("%s: off by %.1f at most, %.2f on average", c.file, worst, mean)
		if worst > c.worst+1e-9 || mean > c.mean {
			t.Errorf("%s: off by %v at most and %v on average, want %v and %v", c.file, worst, mean, c.worst, c.mean)
		}
	}
}

// What the kinds of PNG hold: transparent pixels keep their colour, of 16 bits
// the upper 8 count.
func TestEveryKindOfPNG(t *testing.T) {
	r := image.Rect(0, 0, 1, 1)
	rgba := image.NewRGBA(r)
	rgba.Set(0, 0, color.RGBA{1, 2, 3, 255})
	nrgba := image.NewNRGBA(r)
	nrgba.Set(0, 0, color.NRGBA{4, 5, 6, 0})
	nrgba64 := image.NewNRGBA64(r)
	nrgba64.Set(0, 0, color.NRGBA64{0x07ff, 0x0801, 0x0980, 0})
	rgba64 := image.NewRGBA64(r)
	rgba64.Set(0, 0, color.RGBA64{0x10ff, 0x1101, 0x1280, 0xffff})
	gray := image.NewGray(r)
	gray.Set(0, 0, color.Gray{77})
	gray16 := image.NewGray16(r)
	gray16.Set(0, 0, color.Gray16{0x4eff})
	paletted := image.NewPaletted(r, color.Palette{color.NRGBA{9, 9, 9, 255}, color.NRGBA{20, 21, 22, 3}})
	paletted.SetColorIndex(0, 0, 1)
	for _, c := range []struct {
		m    image.Image
		want [3]uint8
	}{
		{rgba, [3]uint8{1, 2, 3}}, {nrgba, [3]uint8{4, 5, 6}}, {nrgba64, [3]uint8{7, 8, 9}}, {rgba64, [3]uint8{0x10, 0x11, 0x12}},
		{gray, [3]uint8{77, 77, 77}}, {gray16, [3]uint8{0x4e, 0x4e, 0x4e}}, {paletted, [3]uint8{20, 21, 22}},
	} {
		p, err := Decode(encode(t, c.m))
		if err != nil || !bytes.Equal(p.Pix, c.want[:]) {
			t.Errorf("%T: got %v, error %v, want %v", c.m, p, err, c.want)
		}
	}
}

func TestGreyIsTheLumaOfPillow(t *testing.T) {
	p := &Picture{Width: 7, Height: 1, Pix: []uint8{0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 200, 30, 1, 2, 3}}
	// PIL.Image.convert("L") of these
	if got, want := p.grey(), []uint8{0, 255, 76, 150, 29, 124, 2}; !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// withOrientation puts an EXIF segment behind the first two bytes of a JPEG file.
func withOrientation(file []byte, order binary.AppendByteOrder, o uint16) []byte {
	mark := "II*\x00"
	if order == binary.AppendByteOrder(binary.BigEndian) {
		mark = "MM\x00*"
	}
	tiff := order.AppendUint32([]byte(mark), 8)
	tiff = order.AppendUint16(tiff, 2)                                // entries
	tiff = append(tiff, make([]byte, 12)...)                          // one of another kind
	tiff = order.AppendUint16(order.AppendUint16(tiff, 0x0112), 3)    // orientation, a short
	tiff = order.AppendUint16(order.AppendUint32(tiff, 1), o)         // one of them
	tiff = order.AppendUint32(append(tiff, 0, 0), 0)                  // no further directory
	b := append([]byte{0xff, 0xd8, 0xff, 0xe0, 0, 4, 'x', 'x'}, 0xff) // a segment of another kind, a fill byte
	b = append(b, 0xff, 0xe1)
	b = binary.BigEndian.AppendUint16(b, uint16(len(tiff)+8))
	b = append(append(b, "Exif\x00\x00"...), tiff...)
	return append(b, file[2:]...)
}

// The stored picture has a red corner at the start of its first row and a green
// one at that row's end. EXIF says at which sides of the upright picture its
// first row and first column are.
func TestJPEGsAreTurnedUpright(t *testing.T) {
	const w, h, corner = 48, 32, 16
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{0, 0, 0, 255}
			if y < corner && x < corner {
				c.R = 255
			}
			if y < corner && x >= w-corner {
				c.G = 255
			}
			m.Set(x, y, c)
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, m, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	type place struct{ top, left bool }
	for o, c := range map[uint16]struct{ red, green place }{
		0: {place{true, true}, place{true, false}}, // not defined
		1: {place{true, true}, place{true, false}}, // row 0 is the top, column 0 the left side
		2: {place{true, false}, place{true, true}}, // top, right
		3: {place{false, false}, place{false, true}},
		4: {place{false, true}, place{false, false}},
		5: {place{true, true}, place{false, true}}, // row 0 is the left side, column 0 the top
		6: {place{true, false}, place{false, false}},
		7: {place{false, false}, place{true, false}},
		8: {place{false, true}, place{true, true}},
		9: {place{true, true}, place{true, false}},
	} {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			p, err := Decode(withOrientation(file.Bytes(), order, o))
			if err != nil {
				t.Fatal(err)
			}
			if turned := o >= 5 && o <= 8; turned != (p.Width == h && p.Height == w) || !turned != (p.Width == w && p.Height == h) {
				t.Errorf("orientation %d: %d x %d pixels", o, p.Width, p.Height)
			}
			at := func(q place) []uint8 {
				x, y := p.Width-corner/2, p.Height-corner/2
				if q.left {
					x = corner / 2
				}
				if q.top {
					y = corner / 2
				}
				return p.Pix[3*(y*p.Width+x):][:3]
			}
			if red, green := at(c.red), at(c.green); red[0] < 200 || red[1] > 50 || green[1] < 200 || green[0] > 50 {
				t.Errorf("orientation %d, %v: red corner is %v, green corner %v", o, order, red, green)
			}
		}
	}
}

// pattern is the picture that make.py resizes.
func pattern(w, h int) *Picture {
	p := &Picture{Width: w, Height: h}
	for y := range h {
		for x := range w {
			for c := range 3 {
				p.Pix = append(p.Pix, uint8((x*x*7+y*31+x*y*3+c*83)%251))
			}
		}
	}
	return p
}

// The checksums are of what Pillow 13.0 makes (testdata/make.py).
func TestResizingGivesThePixelsOfPillow(t *testing.T) {
	p := pattern(61, 47)
	for _, c := range []struct {
		f         Filter
		w, h      int
		rgb, grey uint32
	}{
		{Nearest, 20, 15, 0xf9522608, 0xb55a9552},
		{Nearest, 61, 30, 0x631fce3b, 0xc06f8626},
		{Nearest, 130, 47, 0x1f49d775, 0x0391d257},
		{Nearest, 97, 113, 0x9231111d, 0x4225ac38},
		{Nearest, 7, 90, 0xec520ada, 0xfa915760},
		{Nearest, 1, 1, 0x335c045d, 0x1b0ecf0b},
		{Box, 20, 15, 0x7513c6c2, 0x01bc7722},
		{Box, 61, 30, 0xfc437228, 0x5d1df59e},
		{Box, 130, 47, 0x1f49d775, 0x0391d257},
		{Box, 97, 113, 0x9231111d, 0x4225ac38},
		{Box, 7, 90, 0xde133260, 0xd13a1963},
		{Box, 1, 1, 0x8f8613a6, 0xfcb6e20c},
		{Bilinear, 20, 15, 0x79623730, 0xe3b985aa},
		{Bilinear, 61, 30, 0xc7e40ccb, 0x14281960},
		{Bilinear, 130, 47, 0xf0922965, 0x827e55ff},
		{Bilinear, 97, 113, 0xb7ada682, 0x2329ab8c},
		{Bilinear, 7, 90, 0x2524b331, 0xd03af9b5},
		{Bilinear, 1, 1, 0xe19a1271, 0xfcb6e20c},
		{Bicubic, 20, 15, 0x712688cf, 0xb7fb86ac},
		{Bicubic, 61, 30, 0x870a833d, 0x5be39126},
		{Bicubic, 130, 47, 0x95c3b00d, 0x79485ac9},
		{Bicubic, 97, 113, 0xea178660, 0x1dc16a36},
		{Bicubic, 7, 90, 0x582648de, 0xd817ecca},
		{Bicubic, 1, 1, 0xe19a1271, 0xfcb6e20c},
		{Lanczos, 20, 15, 0x06f5963e, 0xc2d46f5d},
		{Lanczos, 61, 30, 0xb638a25f, 0x3b856b79},
		{Lanczos, 130, 47, 0xcbeaa092, 0x9b72a55d},
		{Lanczos, 97, 113, 0xd5a1be40, 0x1c1c4d4c},
		{Lanczos, 7, 90, 0xa0b11db7, 0x10865e61},
		{Lanczos, 1, 1, 0xf8812330, 0xfcb6e20c},
	} {
		rgb := crc32.ChecksumIEEE(resize(p.Pix, 3, p.Width, p.Height, c.w, c.h, c.f, false))
		grey := crc32.ChecksumIEEE(resize(p.grey(), 1, p.Width, p.Height, c.w, c.h, c.f, false))
		if rgb != c.rgb || grey != c.grey {
			t.Errorf("%s to %d x %d: got %#x and %#x, want %#x and %#x", c.f, c.w, c.h, rgb, grey, c.rgb, c.grey)
		}
	}
}

// Without widening, a bilinear pixel halfway between two is their mean; with it,
// shrinking to a third weighs five pixels 1, 2, 3, 2, 1.
func TestAliasedLooksAtNeighboursOnly(t *testing.T) {
	row := []uint8{0, 90, 0, 0, 0, 0, 0, 200, 0, 0, 0, 90}
	if got := resize(row, 1, 12, 1, 6, 1, Bilinear, true); !bytes.Equal(got, []uint8{45, 0, 0, 100, 0, 45}) {
		t.Errorf("halved: %v", got)
	}
	if got, want := resize(row, 1, 12, 1, 4, 1, Bilinear, true), []uint8{90, 0, 200, 0}; !bytes.Equal(got, want) {
		t.Errorf("aliased: %v, want %v", got, want)
	}
	// 90*3/(2+3+2+1), 0, 200*3/9, 90*2/8
	if got, want := resize(row, 1, 12, 1, 4, 1, Bilinear, false), []uint8{34, 0, 67, 23}; !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// bombs are small files that ask for much memory.
func bombs(t testing.TB) map[string][]byte {
	pngHead := func(w, h uint32) []byte {
		chunk := append([]byte("IHDR"), binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)...)
		chunk = append(chunk, 16, 6, 0, 0, 0) // bits, RGBA
		b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), chunk...)
		return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(chunk))
	}
	huge := bytes.Clone(read(t, "smooth.jpg"))
	at := bytes.Index(huge, []byte{0xff, 0xc0}) // start of frame: length, bits, height, width
	binary.BigEndian.PutUint32(huge[at+5:], 0xffff_ffff)
	lossless := bytes.Clone(read(t, "lossless.webp"))
	at = bytes.Index(lossless, []byte("VP8L"))
	binary.LittleEndian.PutUint32(lossless[at+9:], 1<<28-1) // both sides less one in 14 bits each
	extended := append([]byte("RIFF\x20\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x10\x00\x00\x00"), 0xff, 0x7f, 0, 0xff, 0x7f, 0)
	return map[string][]byte{
		"PNG of 65536 x 65536": pngHead(1<<16, 1<<16), "PNG of 2^31-1": pngHead(1<<31-1, 1), "PNG of 65537 x 1": pngHead(1<<16+1, 1),
		"JPEG of 65535 x 65535": huge, "WebP of 16384 x 16384": lossless, "WebP of 32768 x 32768": extended,
	}
}

func TestLargePicturesAreRefusedBeforeTheyAreAllocated(t *testing.T) {
	for name, b := range bombs(t) {
		n := allocated(func() {
			p, err := Decode(b)
			// Sizes beyond an int are no format to the decoder.
			if !errors.Is(err, ErrTooLarge) && !(strconv.IntSize == 32 && errors.Is(err, ErrFormat)) {
				t.Errorf("%s: got %v, error %v", name, p, err)
			}
		})
		if n > 1<<20 {
			t.Errorf("%s: %d bytes are allocated", name, n)
		}
	}
}

// The length of a VP8 chunk is allocated by the decoder.
func TestChunksLongerThanTheFileAreRefused(t *testing.T) {
	b := bytes.Clone(read(t, "lossy.webp"))
	binary.LittleEndian.PutUint32(b[4:], 1<<31-2)
	binary.LittleEndian.PutUint32(b[16:], 1<<31-20)
	n := allocated(func() {
		if _, err := Decode(b); !errors.Is(err, ErrFormat) {
			t.Errorf("error %v", err)
		}
	})
	if n > 1<<20 {
		t.Errorf("%d bytes are allocated", n)
	}
}

func TestWhatIsNoPictureIsRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing": nil, "text": []byte("hello"), "GIF": []byte("GIF89a\x01\x00\x01\x00"), "cut JPEG": read(t, "smooth.jpg")[:100],
		"cut PNG": read(t, "smooth.png")[:80], "cut WebP": read(t, "lossy.webp")[:60], "empty WebP": []byte("RIFF\x04\x00\x00\x00WEBP"),
	} {
		if p, err := Decode(b); !errors.Is(err, ErrFormat) || p != nil {
			t.Errorf("%s: got %v, error %v", name, p, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"smooth.png", "smooth.jpg", "progressive.jpg", "lossy.webp", "lossless.webp", "alpha.webp"} {
		f.Add(read(f, name))
	}
	f.Add(withOrientation(read(f, "smooth.jpg"), binary.BigEndian, 6))
	for _, b := range bombs(f) {
		f.Add(b)
	}
	const limit = 1 << 14
	f.Fuzz(func(t *testing.T, b []byte) {
		var p *Picture
		var err error
		// Tables of WebP come on top, of at most 2600 groups of codes.
		if n := allocated(func() { p, err = decode(b, limit) }); n > 64<<20 {
			t.Fatalf("%d bytes are allocated for a file of %d", n, len(b))
		}
		switch {
		case err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTooLarge):
			t.Fatalf("error %v", err)
		case (err == nil) != (p != nil):
			t.Fatalf("got %v, error %v", p, err)
		case p != nil && (len(p.Pix) != 3*p.Width*p.Height || p.Width*p.Height > limit):
			t.Fatalf("%d x %d pixels in %d bytes", p.Width, p.Height, len(p.Pix))
		}
	})
}
