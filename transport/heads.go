package transport

import (
	"encoding/binary"
	"fmt"

	"scission/engine/tensor"
	"scission/transport/internal/plane"
)

// zerosHuff0 is the codec ZerosHuff0. SPEC.md describes what it writes.
type zerosHuff0 struct{ exact }

func (zerosHuff0) ID() uint8    { return 2 }
func (zerosHuff0) Name() string { return "zeros+huff0" }

// Ways to write a tensor: all elements, or a bit for each and those that are
// not zero.
const (
	headsOfAll byte = iota
	headsOfNonzero
)

const headsBlock = 1 << 16 // heads that are compressed together

func (zerosHuff0) Encode(dst, src []byte, t tensor.Type) ([]byte, error) {
	if err := checkType(src, t); err != nil {
		return dst, err
	}
	elem := t.DType.Size()
	h := getHuff(len(src) / elem)
	defer putHuff(h)
	return h.encodeZeros(dst, src, elem)
}

func (zerosHuff0) Decode(dst, src []byte, t tensor.Type) error {
	if err := checkType(dst, t); err != nil {
		return err
	}
	elem := t.DType.Size()
	h := getHuff(len(dst) / elem)
	defer putHuff(h)
	return h.decodeZeros(dst, src, elem)
}

// encodeZeros appends elements of elem bytes, as many as h has heads, to dst:
// their heads, which in activations are of few values, apart from the rest of
// them, which is as good as random.
func (h *huffState) encodeZeros(dst, src []byte, elem int) ([]byte, error) {
	n := len(src) / elem
	groups := (n + plane.Group - 1) / plane.Group
	dst = reserve(dst, 1+binary.MaxVarintLen64+groups+len(src)+plane.Slack+(n/headsBlock+1)*blockPrefix)
	at := len(dst)
	dst = binary.AppendUvarint(append(dst, headsOfNonzero), uint64(n))
	bitmap := dst[len(dst) : len(dst)+groups]
	m := plane.Mark(bitmap, src, elem)
	if (n-m)*elem > groups {
		dst = dst[:len(dst)+groups]
	} else {
		dst[at] = headsOfAll
		m, bitmap = n, nil
	}
	rest := dst[len(dst) : len(dst)+len(src)+plane.Slack]
	plane.Split(h.heads, rest, bitmap, src, elem)
	return h.appendBlocks(dst[:len(dst)+m*(elem-1)], h.heads[:m], headsBlock)
}

// decodeZeros fills dst, of as many elements as h has heads.
func (h *huffState) decodeZeros(dst, src []byte, elem int) error {
	if len(src) == 0 {
		return fmt.Errorf("%w: no bytes, want a mode", ErrFormat)
	}
	mode, src := src[0], src[1:]
	n := len(dst) / elem
	if count, k := binary.Uvarint(src); k <= 0 || count != uint64(n) {
		return fmt.Errorf("%w: %d elements, want %d", ErrFormat, count, n)
	} else {
		src = src[k:]
	}
	m := n
	var bitmap []byte
	switch mode {
	case headsOfAll:
	case headsOfNonzero:
		groups := (n + plane.Group - 1) / plane.Group
		if len(src) < groups {
			return fmt.Errorf("%w: bitmap of %d bytes, want %d", ErrFormat, len(src), groups)
		}
		bitmap, src = src[:groups], src[groups:]
		m = plane.Count(bitmap)
		if last := n % plane.Group; last != 0 && bitmap[groups-1]>>last != 0 {
			return fmt.Errorf("%w: bitmap has bits behind its %d elements", ErrFormat, n)
		}
	default:
		return fmt.Errorf("%w: mode %d, want %d or %d", ErrFormat, mode, headsOfAll, headsOfNonzero)
	}
	if len(src) < m*(elem-1) {
		return fmt.Errorf("%w: %d bytes, want %d elements without their heads", ErrFormat, len(src), m)
	}
	rest := src
	src, err := h.decodeBlocks(h.heads[:m], src[m*(elem-1):], headsBlock)
	if err != nil {
		return err
	}
	if len(src) > 0 {
		return fmt.Errorf("%w: %d bytes behind the last element", ErrFormat, len(src))
	}
	plane.Join(dst, h.heads, rest, bitmap, elem)
	return nil
}
