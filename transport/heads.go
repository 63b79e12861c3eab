package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"sync"

	"github.com/klauspost/compress/huff0"
)

// zerosHuff0 is the codec ZerosHuff0. SPEC.md describes what it writes.
type zerosHuff0 struct{}

func (zerosHuff0) ID() uint8      { return 2 }
func (zerosHuff0) Name() string   { return "zeros+huff0" }
func (zerosHuff0) Lossless() bool { return true }

// Ways to write a tensor: all elements, or a bit for each and those that are
// not zero.
const (
	headsOfAll byte = iota
	headsOfNonzero
)

const (
	headsBlock   = 1 << 16 // heads that are encoded together
	headsPrefix  = 3       // bytes that state the length of their encoding
	headsSlack   = 8       // bytes behind the elements that are written and read at once
	headsRun     = 1       // the length of a block of one head, repeated
	elementsByte = 8       // elements of a byte of the bitmap
)

// Encode writes the elements' heads, which in activations are of few values,
// apart from the rest of them, which is as good as random.
func (zerosHuff0) Encode(dst, src []byte, elem int) ([]byte, error) {
	if err := checkElem(src, elem); err != nil {
		return dst, err
	}
	n := len(src) / elem
	h := getHeads(n)
	defer putHeads(h)
	mode, mapped := headsOfAll, 0
	if zeros := countZeros(src, elem); zeros*elem*elementsByte > n {
		mode, mapped = headsOfNonzero, (n+elementsByte-1)/elementsByte
	}
	at := len(dst)
	need := at + 1 + binary.MaxVarintLen64 + mapped + len(src) + headsSlack + (n/headsBlock+1)*headsPrefix
	if cap(dst) < need {
		dst = append(make([]byte, 0, need), dst...)
	}
	dst = binary.AppendUvarint(append(dst, mode), uint64(n))
	fixed := len(dst)
	var bitmap []byte
	if mode == headsOfNonzero {
		bitmap = dst[fixed : fixed+mapped]
	}
	rest := dst[fixed+mapped : fixed+mapped+len(src)+headsSlack]
	var m int
	if elem == 4 {
		m = split4(h.heads, rest, bitmap, src)
	} else {
		m = split(h.heads, rest, bitmap, src, elem)
	}
	dst = dst[:fixed+mapped+m*(elem-1)]
	for heads := h.heads[:m]; len(heads) > 0; {
		block := heads[:min(headsBlock, len(heads))]
		heads = heads[len(block):]
		h.scratch.Out = h.out[:0]
		coded, _, err := huff0.Compress4X(block, &h.scratch)
		switch {
		case errors.Is(err, huff0.ErrUseRLE):
			coded = block[:headsRun]
		case errors.Is(err, huff0.ErrIncompressible):
			coded = block
		case err != nil:
			return dst[:at], fmt.Errorf("transport: huff0: %w", err)
		}
		dst = append(dst, byte(len(coded)), byte(len(coded)>>8), byte(len(coded)>>16))
		dst = append(dst, coded...)
	}
	return dst, nil
}

func (zerosHuff0) Decode(dst, src []byte, elem int) error {
	if err := checkElem(dst, elem); err != nil {
		return err
	}
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
		mapped := (n + elementsByte - 1) / elementsByte
		if len(src) < mapped {
			return fmt.Errorf("%w: bitmap of %d bytes, want %d", ErrFormat, len(src), mapped)
		}
		bitmap, src = src[:mapped], src[mapped:]
		m = 0
		for _, b := range bitmap {
			m += bits.OnesCount8(b)
		}
		if last := n % elementsByte; last != 0 && bitmap[mapped-1]>>last != 0 {
			return fmt.Errorf("%w: bitmap has bits behind its %d elements", ErrFormat, n)
		}
	default:
		return fmt.Errorf("%w: mode %d, want %d or %d", ErrFormat, mode, headsOfAll, headsOfNonzero)
	}
	if len(src) < m*(elem-1) {
		return fmt.Errorf("%w: %d bytes, want %d elements without their heads", ErrFormat, len(src), m)
	}
	rest, src := src[:m*(elem-1)], src[m*(elem-1):]
	h := getHeads(m)
	defer putHeads(h)
	src, err := h.decode(src, m)
	if err != nil {
		return err
	}
	if len(src) > 0 {
		return fmt.Errorf("%w: %d bytes behind the last element", ErrFormat, len(src))
	}
	if elem == 4 {
		join4(dst, h.heads, rest, bitmap)
	} else {
		join(dst, h.heads, rest, bitmap, elem)
	}
	return nil
}

// countZeros returns how many elements have no bit set.
func countZeros(src []byte, elem int) (zeros int) {
	switch elem {
	case 4:
		for ; len(src) >= 4; src = src[4:] {
			v := le.Uint32(src)
			zeros += int(1 ^ (v|-v)>>31)
		}
	default:
		for ; len(src) >= elem; src = src[elem:] {
			if load(src, elem) == 0 {
				zeros++
			}
		}
	}
	return zeros
}

// load reads an element, and store writes one.
func load(src []byte, elem int) (v uint64) {
	for k := range elem {
		v |= uint64(src[k]) << (8 * k)
	}
	return v
}

func store(dst []byte, v uint64, elem int) {
	for k := range elem {
		dst[k] = byte(v >> (8 * k))
	}
}

// rotation is by how many bits elements are turned to the left, so that the sign
// of a float goes to the end and its exponent to the head.
func rotation(elem int) int { return min(1, elem-1) }

// split writes the heads of the elements of src, or of those that are not zero
// if there is a bitmap, to heads, and their other bytes to rest. It returns how
// many there are.
func split(heads, rest, bitmap, src []byte, elem int) (m int) {
	clear(bitmap)
	width, r := 8*elem, rotation(elem)
	for i := range len(src) / elem {
		v := load(src[i*elem:], elem)
		if bitmap != nil {
			if v == 0 {
				continue
			}
			bitmap[i/elementsByte] |= 1 << (i % elementsByte)
		}
		v = v<<r | v>>(width-r)
		heads[m] = byte(v >> (width - 8))
		store(rest[m*(elem-1):], v, elem-1)
		m++
	}
	return m
}

// join is the inverse of split.
func join(dst, heads, rest, bitmap []byte, elem int) {
	m, width, r := 0, 8*elem, rotation(elem)
	for i := range len(dst) / elem {
		if bitmap != nil && bitmap[i/elementsByte]>>(i%elementsByte)&1 == 0 {
			clear(dst[i*elem:][:elem])
			continue
		}
		v := load(rest[m*(elem-1):], elem-1) | uint64(heads[m])<<(width-8)
		store(dst[i*elem:], v>>r|v<<(width-r), elem)
		m++
	}
}

// split4 is split for elements of 4 bytes, with at least as much space in rest as in src.
func split4(heads, rest, bitmap, src []byte) (m int) {
	m = len(src) / 4
	if bitmap != nil {
		m = pack4(rest, bitmap, src)
		src = rest[:4*m]
	}
	i := 0
	for ; i+4 <= m; i += 4 {
		s, h, r := src[4*i:][:16], heads[i:][:4], rest[3*i:][:16]
		a, b := bits.RotateLeft32(le.Uint32(s), 1), bits.RotateLeft32(le.Uint32(s[4:]), 1)
		c, d := bits.RotateLeft32(le.Uint32(s[8:]), 1), bits.RotateLeft32(le.Uint32(s[12:]), 1)
		h[0], h[1], h[2], h[3] = byte(a>>24), byte(b>>24), byte(c>>24), byte(d>>24)
		le.PutUint64(r, uint64(a&low24)|uint64(b&low24)<<24|uint64(c)<<48)
		le.PutUint32(r[8:], c>>16&0xff|d<<8)
	}
	for ; i < m; i++ {
		v := bits.RotateLeft32(le.Uint32(src[4*i:]), 1)
		heads[i] = byte(v >> 24)
		store(rest[3*i:], uint64(v), 3)
	}
	return m
}

const low24 = 1<<24 - 1

// pack4 writes the elements of src that are not zero to dst, sets their bits, and returns how many there are. It has no
// branch that depends on the data: where an element is zero the next is written over it.
func pack4(dst, bitmap, src []byte) (m int) {
	for b := range bitmap {
		set := uint32(0)
		if len(src) >= 4*elementsByte {
			s := src[:4*elementsByte]
			for i := 0; i < elementsByte; i += 2 {
				two := le.Uint64(s[4*i:])
				v, w := uint32(two), uint32(two>>32)
				le.PutUint32(dst[4*m:], v)
				nv := (v | -v) >> 31
				m += int(nv)
				le.PutUint32(dst[4*m:], w)
				nw := (w | -w) >> 31
				m += int(nw)
				set = set>>2 | nv<<6 | nw<<7
			}
			src = src[4*elementsByte:]
		} else {
			for i := 0; len(src) >= 4; i++ {
				v := le.Uint32(src)
				src = src[4:]
				le.PutUint32(dst[4*m:], v)
				n := (v | -v) >> 31
				m += int(n)
				set |= n << (i & 7)
			}
		}
		bitmap[b] = byte(set)
	}
	return m
}

// join4 is the inverse of split4. heads has slack behind its last element.
func join4(dst, heads, rest, bitmap []byte) {
	m, i, n := 0, 0, len(dst)/4
	if bitmap == nil {
		for ; 3*i+4 <= len(rest); i++ {
			v := le.Uint32(rest[3*i:])&low24 | uint32(heads[i])<<24
			le.PutUint32(dst[4*i:], bits.RotateLeft32(v, -1))
		}
		m = i
	} else {
		for ; i < n && 3*m+4 <= len(rest); i++ {
			set := uint32(bitmap[i/elementsByte]) >> (i % elementsByte) & 1
			v := le.Uint32(rest[3*m:])&low24 | uint32(heads[m])<<24
			le.PutUint32(dst[4*i:], bits.RotateLeft32(v, -1)&-set)
			m += int(set)
		}
	}
	for ; i < n; i++ {
		v := uint32(0)
		if bitmap == nil || bitmap[i/elementsByte]>>(i%elementsByte)&1 != 0 {
			v = uint32(load(rest[3*m:], 3)) | uint32(heads[m])<<24
			m++
		}
		le.PutUint32(dst[4*i:], bits.RotateLeft32(v, -1))
	}
}

// headsState is what one encoding or decoding works with.
type headsState struct {
	scratch huff0.Scratch
	out     []byte // for a block's encoding: what the library allocates it gives up if it finds nothing to shrink
	heads   []byte
}

// decode reads m heads from src and returns what is behind them.
func (h *headsState) decode(src []byte, m int) ([]byte, error) {
	for heads := h.heads[:m]; len(heads) > 0; {
		block := heads[:min(headsBlock, len(heads))]
		heads = heads[len(block):]
		if len(src) < headsPrefix {
			return nil, fmt.Errorf("%w: %d bytes, want the length of a block of heads", ErrFormat, len(src))
		}
		n := int(src[0]) | int(src[1])<<8 | int(src[2])<<16
		src = src[headsPrefix:]
		if n < 1 || n > len(block) || n > len(src) {
			return nil, fmt.Errorf("%w: block of heads of %d bytes, want 1 to %d", ErrFormat, n, min(len(block), len(src)))
		}
		coded := src[:n]
		src = src[n:]
		switch {
		case n == len(block):
			copy(block, coded)
		case n == headsRun:
			for i := range block {
				block[i] = coded[0]
			}
		default:
			s, data, err := huff0.ReadTable(coded, &h.scratch)
			if err != nil {
				return nil, fmt.Errorf("%w: huff0: %v", ErrFormat, err)
			}
			got, err := s.Decoder().Decompress4X(block[:0:len(block)], data)
			if err != nil {
				return nil, fmt.Errorf("%w: huff0: %v", ErrFormat, err)
			}
			if len(got) != len(block) {
				return nil, fmt.Errorf("%w: huff0 gave %d heads, want %d", ErrFormat, len(got), len(block))
			}
		}
	}
	return src, nil
}

// idleHeads holds the states not in use, see idle.
var idleHeads struct {
	sync.Mutex
	states []*headsState
}

// getHeads returns a state for n heads.
func getHeads(n int) *headsState {
	idleHeads.Lock()
	var h *headsState
	if n := len(idleHeads.states); n > 0 {
		h = idleHeads.states[n-1]
		idleHeads.states = idleHeads.states[:n-1]
	}
	idleHeads.Unlock()
	if h == nil {
		h = &headsState{scratch: huff0.Scratch{Reuse: huff0.ReusePolicyNone}, out: make([]byte, 0, 2*headsBlock)}
	}
	if cap(h.heads) < n+headsSlack {
		h.heads = make([]byte, n+headsSlack)
	}
	h.heads = h.heads[:n+headsSlack]
	return h
}

func putHeads(h *headsState) {
	if cap(h.heads) > retain {
		h.heads = nil
	}
	idleHeads.Lock()
	if len(idleHeads.states) < runtime.GOMAXPROCS(0) {
		idleHeads.states = append(idleHeads.states, h)
	}
	idleHeads.Unlock()
}
