package picture

import (
	"encoding/binary"
	"fmt"
	"math"

	"scission/engine/tensor"
)

// Tensor makes a tensor of a picture as s says; what s leaves open is as For
// has it for a float32 input of which nothing is known. Where the layout has an N
// it is 1. Errors have ErrSpec or ErrTooLarge.
func (s Spec) Tensor(p *Picture) (*tensor.Tensor, error) {
	d := tensor.Float32
	if t, ok := types[s.Type]; ok {
		d = t
	}
	s, err := s.For(d, nil)
	if err != nil {
		return nil, err
	}
	c := s.Color.channels()
	r := raster{p.Width, p.Height, c, p.Pix}
	if s.Color == Grey {
		r.pix = p.grey()
	}
	if r, err = r.resize(s); err != nil {
		return nil, err
	}
	top, left, h, w, err := s.window(r)
	if err != nil {
		return nil, fmt.Errorf("picture: %w: %w", ErrSpec, err)
	}
	length := map[byte]int{'N': 1, 'C': c, 'H': h, 'W': w}
	shape := make(tensor.Shape, len(s.Layout))
	stride := map[byte]int{}
	elems := 1
	for i := len(shape) - 1; i >= 0; i-- {
		axis := s.Layout[i]
		shape[i], stride[axis] = length[axis], elems
		elems *= length[axis]
	}
	t := tensor.New(types[s.Type], shape...)
	size := t.DType.Size()
	step := stride['W'] * size
	for k := range c {
		from := k // the channel of the picture
		if s.Color == BGR {
			from = c - 1 - k
		}
		numbers := s.numbers(k)
		for y := range h {
			row := r.pix[c*((top+y)*r.w+left)+from:]
			at := (k*stride['C'] + y*stride['H']) * size
			for x := range w {
				copy(t.Raw[at:at+size], numbers[row[c*x]][:])
				at += step
			}
		}
	}
	return t, nil
}

// maxElement is the size of the largest element.
const maxElement = 8

// numbers is what becomes of each value of channel c, as the tensor's bytes.
func (s Spec) numbers(c int) *[256][maxElement]byte {
	var table [256][maxElement]byte
	for x := range table {
		f := (float64(x)*s.Scale.of(c) - s.Mean.of(c)) / s.Std.of(c)
		b := &table[x]
		switch d := types[s.Type]; d {
		case tensor.Float32:
			binary.LittleEndian.PutUint32(b[:], math.Float32bits(float32(f)))
		case tensor.Float64:
			binary.LittleEndian.PutUint64(b[:], math.Float64bits(f))
		case tensor.Float16:
			binary.LittleEndian.PutUint16(b[:], tensor.Float32ToFloat16(float32(f)))
		case tensor.BFloat16:
			binary.LittleEndian.PutUint16(b[:], tensor.Float32ToBFloat16(float32(f)))
		default:
			binary.LittleEndian.PutUint64(b[:], uint64(integer(f, d)))
		}
	}
	return &table
}

// integer rounds f to a number of type d.
func integer(f float64, d tensor.DType) int64 {
	bits := 8 * d.Size()
	low, high := -math.Ldexp(1, bits-1), math.Ldexp(1, bits-1)-1
	if d == tensor.Uint8 || d == tensor.Uint16 {
		low, high = 0, math.Ldexp(1, bits)-1
	}
	f = math.RoundToEven(f)
	switch {
	case f <= low:
		return int64(low)
	case f < high:
		return int64(f)
	case d == tensor.Int64: // high is not a float64
		return math.MaxInt64
	}
	return int64(high)
}

// raster is a picture of c channels.
type raster struct {
	w, h, c int
	pix     []uint8
}

// resize gives r the size that s says, and the padding of a letterbox.
func (r raster) resize(s Spec) (raster, error) {
	w, h := s.Size.scaled(r.w, r.h, s.Resize)
	// In between, the rows have their new length already.
	if err := checkSize(w, r.h, MaxPixels); err != nil {
		return r, err
	}
	if err := checkSize(w, h, MaxPixels); err != nil {
		return r, err
	}
	r = raster{w, h, r.c, resize(r.pix, r.c, r.w, r.h, w, h, s.Filter, s.Aliased)}
	if s.Resize != Letterbox {
		return r, nil
	}
	box := raster{w: max(s.Size.Width, w), h: max(s.Size.Height, h), c: r.c}
	if err := checkSize(box.w, box.h, MaxPixels); err != nil {
		return r, err
	}
	box.pix = make([]uint8, box.w*box.h*box.c)
	if s.Pad != nil {
		for k := range box.c {
			from := k
			if s.Color == BGR {
				from = box.c - 1 - k
			}
			v := uint8(s.Pad.of(k))
			for i := from; i < len(box.pix); i += box.c {
				box.pix[i] = v
			}
		}
	}
	top, left := (box.h-h)/2, (box.w-w)/2
	for y := range h {
		copy(box.pix[box.c*((top+y)*box.w+left):], r.pix[r.c*w*y:r.c*w*(y+1)])
	}
	return box, nil
}

// scaled is the size that a picture of w x h gets, without padding. A side that
// follows from the other's is rounded down to whole pixels when the picture
// covers z, as torchvision does, and to nearest otherwise.
func (z Size) scaled(w, h int, how Resize) (int, int) {
	if how == Keep || z == (Size{}) {
		return w, h
	}
	byWidth := z.Height == 0 // the width decides
	if z.Height > 0 && z.Width > 0 {
		if how == Stretch {
			return z.Width, z.Height
		}
		wider := int64(z.Width)*int64(h) > int64(z.Height)*int64(w) // the width needs the larger factor
		byWidth = wider == (how == Shorter)
	}
	follow := func(side, of, by int) int {
		n := int64(side) * int64(by)
		if how == Letterbox || z.Height == 0 || z.Width == 0 {
			n += int64(of) / 2
		}
		return int(min(max(n/int64(of), 1), MaxSide+1))
	}
	if byWidth {
		return z.Width, follow(z.Width, w, h)
	}
	return follow(z.Height, h, w), z.Height
}

// window is the part of r that s crops, in the middle.
func (s Spec) window(r raster) (top, left, h, w int, err error) {
	h, w = s.Crop.Height, s.Crop.Width
	if h == 0 {
		h = r.h
	}
	if w == 0 {
		w = r.w
	}
	if h > r.h || w > r.w {
		return 0, 0, 0, 0, fmt.Errorf("a picture of %d x %d pixels (width x height) cannot be cropped to %d x %d: resize it to a larger size", r.w, r.h, w, h)
	}
	middle := func(n int) int { return int(math.RoundToEven(float64(n) / 2)) } // as torchvision does
	return middle(r.h - h), middle(r.w - w), h, w, nil
}
