package transport

import (
	"fmt"
	"math"

	"scission/engine/tensor"
	"scission/transport/internal/plane"
)

// affine is the codecs U8, U8Channel and U4. SPEC.md describes what they write.
type affine struct {
	id     uint8
	name   string
	bits   int  // of an element: 4 or 8
	sliced bool // steps for each slice of the first two axes
}

func (c affine) ID() uint8    { return c.id }
func (c affine) Name() string { return c.name }
func (affine) Lossless() bool { return false }

const (
	affineBlock  = 1 << 15  // elements that are compressed together
	affineHeader = 8        // bytes of the smallest element and the step
	smallSlice   = 32       // elements of a slice that has steps of its own
	leastRange   = 0x1p-100 // below, a step or its inverse is no normal float32
)

// slice is how many elements of a tensor of type t, with n, have the same steps.
func (c affine) slice(t tensor.Type, n int) int {
	if !c.sliced || len(t.Shape) < 3 {
		return n
	}
	if size := t.Shape[2:].Elems(); size >= smallSlice {
		return size
	}
	return n
}

// most is the largest number of steps.
func (c affine) most() float32 { return float32(int(1)<<c.bits - 1) }

// steps returns the smallest of the float32s in src, and how far one step goes,
// 0 if all are the same; it reports false if they cannot be reduced.
func (c affine) steps(src []byte) (lo, scale float32, hi float32, ok bool) {
	lo, hi, magnitude := plane.Range(src)
	width := hi - lo
	if magnitude > plane.MaxFinite || !(width <= math.MaxFloat32) || width != 0 && width < leastRange {
		return 0, 0, 0, false
	}
	return lo, width / c.most(), hi, true
}

func (c affine) Bound(x *tensor.Tensor) float64 {
	if x.DType != tensor.Float32 || len(x.Raw) == 0 {
		return 0
	}
	worst := 0.0
	size := 4 * c.slice(x.Type, len(x.Raw)/4)
	for src := x.Raw; len(src) > 0; src = src[size:] {
		lo, scale, hi, ok := c.steps(src[:size])
		if !ok {
			return 0
		}
		if scale > 0 {
			width, largest := float64(hi)-float64(lo), math.Max(math.Abs(float64(lo)), math.Abs(float64(hi)))
			worst = max(worst, width/float64(c.most())/2+(width+largest)*0x1p-21)
		}
	}
	return worst
}

func (c affine) Encode(dst, src []byte, t tensor.Type) ([]byte, error) {
	if err := checkType(src, t); err != nil {
		return dst, err
	}
	h := getHuff(len(src) / t.DType.Size())
	defer putHuff(h)
	if t.DType == tensor.Float32 && len(src) > 0 {
		n := len(src) / 4
		size := c.slice(t, n)
		out := reserve(dst, 1+n/size*affineHeader+n+(n/affineBlock+1)*blockPrefix)
		if out, ok := c.quantise(h.heads[:n], append(out, reduced), src, size); ok {
			values := h.heads[:n]
			if c.bits == 4 {
				values = plane.Pack(values)
			}
			return h.appendBlocks(out, values, affineBlock*c.bits/8)
		}
	}
	return h.encodeZeros(append(dst, asIs), src, t.DType.Size())
}

// quantise fills values and appends the smallest element and the step of each
// slice to dst. It reports false if one has none.
func (c affine) quantise(values, dst, src []byte, size int) ([]byte, bool) {
	for ; len(src) > 0; src, values = src[4*size:], values[size:] {
		part := src[:4*size]
		lo, scale, hi, ok := c.steps(part)
		if !ok {
			return dst, false
		}
		dst = le.AppendUint32(dst, math.Float32bits(lo))
		dst = le.AppendUint32(dst, math.Float32bits(scale))
		if scale == 0 {
			clear(values[:size])
		} else {
			plane.Quantise(values[:size], part, lo, c.most()/(hi-lo))
		}
	}
	return dst, true
}

func (c affine) Decode(dst, src []byte, t tensor.Type) error {
	if err := checkType(dst, t); err != nil {
		return err
	}
	n := len(dst) / t.DType.Size()
	h := getHuff(n)
	defer putHuff(h)
	src, whole, err := h.begin(dst, src, t)
	if whole || err != nil {
		return err
	}
	size := c.slice(t, n)
	headers := n / size * affineHeader
	if len(src) < headers {
		return fmt.Errorf("%w: %d bytes, want %d with the steps", ErrFormat, len(src), headers)
	}
	steps, src := src[:headers], src[headers:]
	values := h.heads[:n]
	packed := values[n-(n*c.bits+7)/8:]
	if src, err = h.decodeBlocks(packed, src, affineBlock*c.bits/8); err != nil {
		return err
	}
	if len(src) > 0 {
		return fmt.Errorf("%w: %d bytes behind the last element", ErrFormat, len(src))
	}
	if c.bits == 4 {
		if n%2 != 0 && packed[len(packed)-1]>>4 != 0 {
			return fmt.Errorf("%w: bits behind the last element", ErrFormat)
		}
		plane.Unpack(values)
	}
	for ; len(dst) > 0; dst, values, steps = dst[4*size:], values[size:], steps[affineHeader:] {
		lo, scale := math.Float32frombits(le.Uint32(steps)), math.Float32frombits(le.Uint32(steps[4:]))
		if !(math.Abs(float64(lo)) <= math.MaxFloat32 && scale >= 0 && scale <= math.MaxFloat32) {
			return fmt.Errorf("%w: steps of %g from %g on", ErrFormat, scale, lo)
		}
		plane.Dequantise(dst[:4*size], values[:size], lo, scale)
	}
	return nil
}
