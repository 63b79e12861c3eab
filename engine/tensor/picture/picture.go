// Package picture reads JPEG, PNG and WebP files and makes of them the tensors
// that networks take.
//
// Decode gives 8-bit RGB, upright. A Spec says how that becomes a tensor: how it
// is resized and cropped, the order of axes and channels, the numbers' scale and
// type. Spec.For fills in what a spec leaves open from the type of a network's
// input. The package imports engine/tensor and knows no graph and no network.
//
// Files may come from anyone: whatever they hold, the result is a picture or an
// error, and memory is bounded by MaxPixels.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

// ErrFormat is in every error that says that a file is no picture of a kind that
// this package reads.
var ErrFormat = errors.New("not a readable JPEG, PNG or WebP file")

// ErrTooLarge is in every error that says that a picture, or what a Spec would
// make of it, exceeds MaxSide or MaxPixels.
var ErrTooLarge = errors.New("picture too large")

const (
	// MaxSide is the largest width and height of a picture.
	MaxSide = 1 << 16
	// MaxPixels is the largest number of pixels of a picture, and of what it is
	// resized to. While a picture is decoded, up to 24 bytes a pixel are in use:
	// that many by a progressive JPEG of four full components.
	MaxPixels = 1 << 26
)

// checkSize refuses a picture of w x h pixels where it exceeds MaxSide or limit.
func checkSize(w, h, limit int) error {
	if w < 1 || h < 1 || w > MaxSide || h > MaxSide || int64(w)*int64(h) > int64(limit) {
		return fmt.Errorf("picture: %w: %d x %d pixels, want 1 to %d on each side and at most %d in all", ErrTooLarge, w, h, MaxSide, limit)
	}
	return nil
}

// Picture is an 8-bit RGB picture.
type Picture struct {
	Width, Height int
	Pix           []uint8 // red, green and blue of each pixel, row by row from the top left
}

// kind is a format that Decode reads.
type kind struct {
	is     func(b []byte) bool
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

var kinds = []kind{
	{func(b []byte) bool { return bytes.HasPrefix(b, []byte("\xff\xd8\xff")) }, jpeg.DecodeConfig, jpeg.Decode},
	{func(b []byte) bool { return bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")) }, png.DecodeConfig, png.Decode},
	{isWebP, webp.DecodeConfig, decodeWebP},
}

// Decode reads a JPEG, PNG or WebP file, which it tells by its content. The
// picture is turned as the EXIF orientation of a JPEG file says; that of other
// formats is not looked at. Transparency is ignored: the colour that a
// transparent pixel has is taken as it is, as Pillow's convert("RGB") and OpenCV
// do. Of 16 bits the upper 8 are taken. Colour profiles are not applied.
//
// PNG and WebP files give the bits that Pillow gives; JPEG files differ from
// libjpeg by rounding, which bench/pictures/pillow.py measured as 3 of 255 at most.
//
// Size is checked before memory for pixels is allocated.
func Decode(b []byte) (*Picture, error) { return decode(b, MaxPixels) }

func decode(b []byte, limit int) (*Picture, error) {
	for _, k := range kinds {
		if !k.is(b) {
			continue
		}
		c, err := k.config(bytes.NewReader(b))
		if err == nil && isWebP(b) {
			err = checkWebP(b)
		}
		if err != nil {
			return nil, fmt.Errorf("picture: %w: %w", ErrFormat, err)
		}
		if err := checkSize(c.Width, c.Height, limit); err != nil {
			return nil, err
		}
		m, err := k.decode(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("picture: %w: %w", ErrFormat, err)
		}
		if s := m.Bounds().Size(); s.X != c.Width || s.Y != c.Height {
			return nil, fmt.Errorf("picture: %w: %d x %d pixels, its head says %d x %d", ErrFormat, s.X, s.Y, c.Width, c.Height)
		}
		return rgb(m).upright(orientation(b)), nil
	}
	return nil, fmt.Errorf("picture: %w: it begins with %.12q", ErrFormat, b)
}

// rgb converts m.
func rgb(m image.Image) *Picture {
	r := m.Bounds()
	p := &Picture{Width: r.Dx(), Height: r.Dy(), Pix: make([]uint8, 3*r.Dx()*r.Dy())}
	at := func(x, y int) (r, g, b uint8) {
		c := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
		return c.R, c.G, c.B
	}
	switch m := m.(type) {
	case *image.YCbCr:
		at = colours(m, color.YCbCrToRGB)
	case studio:
		at = colours(m.YCbCr, studioRGB)
	case *image.RGBA: // without transparency, or it were NRGBA
		at = func(x, y int) (r, g, b uint8) {
			c := m.Pix[m.PixOffset(x, y):]
			return c[0], c[1], c[2]
		}
	case *image.NRGBA64:
		at = func(x, y int) (r, g, b uint8) {
			c := m.Pix[m.PixOffset(x, y):] // the upper byte of each comes first
			return c[0], c[2], c[4]
		}
	case *image.NRGBA:
		at = func(x, y int) (r, g, b uint8) {
			c := m.Pix[m.PixOffset(x, y):]
			return c[0], c[1], c[2]
		}
	case *image.Gray:
		at = func(x, y int) (r, g, b uint8) {
			c := m.Pix[m.PixOffset(x, y)]
			return c, c, c
		}
	}
	i := 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			p.Pix[i], p.Pix[i+1], p.Pix[i+2] = at(x, y)
			i += 3
		}
	}
	return p
}

// grey returns one byte a pixel, the luma of ITU-R BT.601 as Pillow's
// convert("L") rounds it.
func (p *Picture) grey() []uint8 {
	const red, green, blue, half, bits = 19595, 38470, 7471, 1 << 15, 16
	g := make([]uint8, p.Width*p.Height)
	for i := range g {
		c := p.Pix[3*i : 3*i+3]
		g[i] = uint8((uint32(c[0])*red + uint32(c[1])*green + uint32(c[2])*blue + half) >> bits)
	}
	return g
}
