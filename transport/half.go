package transport

import (
	"fmt"
	"math"

	"scission/engine/tensor"
	"scission/transport/internal/plane"
)

// half is the codecs F16 and BF16. SPEC.md describes what they write.
type half struct {
	id   uint8
	name string
	to   plane.Half
}

func (c half) ID() uint8    { return c.id }
func (c half) Name() string { return c.name }
func (half) Lossless() bool { return false }

// The first byte of an encoding of a codec that is not lossless.
const (
	asIs    byte = iota // what follows is the tensor with ZerosHuff0
	reduced             // what follows is the codec's own
)

// errors of rounding, as parts of the number and as numbers
var halfBounds = [...]struct{ relative, absolute float64 }{
	plane.Float16:  {0x1p-11, 0x1p-25},
	plane.BFloat16: {0x1p-8, 0x1p-134},
}

func (c half) Bound(x *tensor.Tensor) float64 {
	if x.DType != tensor.Float32 || len(x.Raw) == 0 {
		return 0
	}
	h := getHuff(0)
	defer putHuff(h)
	if !h.narrow(x.Raw, c.to) {
		return 0
	}
	largest := 0.0
	for i := 0; i < len(x.Raw); i += 4 {
		if v := math.Abs(float64(math.Float32frombits(le.Uint32(x.Raw[i:])))); v <= math.MaxFloat32 {
			largest = max(largest, v)
		}
	}
	b := halfBounds[c.to]
	return max(largest*b.relative, b.absolute)
}

func (c half) Encode(dst, src []byte, t tensor.Type) ([]byte, error) {
	if err := checkType(src, t); err != nil {
		return dst, err
	}
	h := getHuff(len(src) / t.DType.Size())
	defer putHuff(h)
	if t.DType != tensor.Float32 || len(src) == 0 || !h.narrow(src, c.to) {
		return h.encodeZeros(append(dst, asIs), src, t.DType.Size())
	}
	return h.encodeZeros(append(dst, reduced), h.words, halfSize)
}

const halfSize = 2 // bytes of a float16 and of a bfloat16

func (c half) Decode(dst, src []byte, t tensor.Type) error {
	if err := checkType(dst, t); err != nil {
		return err
	}
	h := getHuff(len(dst) / t.DType.Size())
	defer putHuff(h)
	src, whole, err := h.begin(dst, src, t)
	if whole || err != nil {
		return err
	}
	h.reserveWords(len(dst) / 2)
	if err := h.decodeZeros(h.words, src, halfSize); err != nil {
		return err
	}
	plane.Widen(dst, h.words, c.to)
	return nil
}

// narrow sets h.words to the float32s of src in 16 bits, or reports false.
func (h *huffState) narrow(src []byte, to plane.Half) bool {
	h.reserveWords(len(src) / 2)
	_, _, magnitude := plane.Range(src)
	return plane.Narrow(h.words, src, to, magnitude)
}

// begin reads what the encodings of codecs that are not lossless begin with,
// and decodes a tensor that was not changed. Otherwise it returns the rest.
func (h *huffState) begin(dst, src []byte, t tensor.Type) (rest []byte, whole bool, err error) {
	switch {
	case len(src) == 0:
		return nil, false, fmt.Errorf("%w: no bytes, want a mode", ErrFormat)
	case src[0] == asIs:
		return nil, true, h.decodeZeros(dst, src[1:], t.DType.Size())
	case src[0] != reduced || t.DType != tensor.Float32 || len(dst) == 0:
		return nil, false, fmt.Errorf("%w: mode %d for %v", ErrFormat, src[0], t)
	}
	return src[1:], false, nil
}
