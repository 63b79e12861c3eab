// Package plane has the kernels of the codecs: what takes the elements of a tensor apart and puts them together again,
// and what makes them smaller. Elements are little-endian in slices of bytes, at any address.
//
// It knows neither codecs nor frames. Every kernel gives the same bytes on every processor; the environment variable
// SCISSION_ISA=go and the build tag purego leave only the portable ones.
package plane

import (
	"encoding/binary"
	"math"
	"math/bits"

	"scission/engine/tensor"
)

var le = binary.LittleEndian

const (
	// Group is how many elements a byte of a bitmap is about, and a round of the kernels.
	Group = 8
	// Slack is how many bytes behind the last one Split may write, of heads and of rest, and Join may read.
	Slack = 32
)

// Mark sets bit i%8 of bitmap[i/8] if element i of src, of elem bytes, has a bit that is set, and clears the other bits of
// the bitmap, which has a byte for each Group of elements begun. It returns how many are set.
func Mark(bitmap, src []byte, elem int) (set int) {
	n := len(src) / elem
	bitmap = bitmap[:(n+Group-1)/Group]
	done := 0
	if f := best.mark[elem]; f != nil && n >= Group {
		done = n / Group
		f(&bitmap[0], &src[0], done)
	}
	if elem == 4 {
		mark4(bitmap[done:], src[done*Group*4:])
		return Count(bitmap)
	}
	clear(bitmap[done:])
	for i := done * Group; i < n; i++ {
		v := load(src[i*elem:], elem)
		bitmap[i/Group] |= byte((v|-v)>>63) << (i % Group)
	}
	return Count(bitmap)
}

// Count returns how many bits of a bitmap are set.
func Count(bitmap []byte) (set int) {
	for ; len(bitmap) >= 8; bitmap = bitmap[8:] {
		set += bits.OnesCount64(le.Uint64(bitmap))
	}
	for _, b := range bitmap {
		set += bits.OnesCount8(b)
	}
	return set
}

// Split takes apart the elements of src, of elem bytes, or those alone that bitmap marks if it is not nil. Each is turned
// left by a bit if it has more than one byte, so that a float's sign goes to its end; its highest byte, the head, goes to
// heads and the others to rest. heads has room for Slack bytes behind one for each element of src, and rest behind elem,
// which it works in.
func Split(heads, rest, bitmap, src []byte, elem int) {
	n, m, done := len(src)/elem, 0, 0
	_, _ = heads[:n+Slack], rest[:n*elem+Slack]
	if f := best.split[elem]; f != nil && n >= Group {
		done = n / Group
		var marks *byte
		m = done * Group
		if bitmap != nil {
			marks, m = &bitmap[:done][0], Count(bitmap[:done])
		}
		f(&heads[0], &rest[0], marks, &src[0], done)
	}
	if elem == 4 {
		if bitmap != nil {
			bitmap = bitmap[done:]
		}
		split4(heads[m:], rest[3*m:], bitmap, src[done*Group*4:])
		return
	}
	// Without a branch on the bitmap: where an element is left out the next is written over it.
	width, turn := 8*elem, turn(elem)
	for i := done * Group; i < n; i++ {
		v := load(src[i*elem:], elem)
		v = v<<turn | v>>(width-turn)
		heads[m] = byte(v >> (width - 8))
		store(rest[m*(elem-1):], v, elem-1)
		m += marked(bitmap, i)
	}
}

// marked is 1 if a bitmap marks element i, or is nil, and 0 otherwise.
func marked(bitmap []byte, i int) int {
	if bitmap == nil {
		return 1
	}
	return int(bitmap[i/Group]>>(i%Group)) & 1
}

// Join is the inverse of Split: it fills dst with the elements, and those that bitmap does not mark with zeros. heads has
// Slack bytes behind the last one; rest may go on behind its last element, which makes Join faster.
func Join(dst, heads, rest, bitmap []byte, elem int) {
	n, m, done := len(dst)/elem, 0, 0
	if f := best.join[elem]; f != nil && n >= Group && len(rest) >= Slack {
		groups := n / Group
		var marks *byte
		if bitmap != nil {
			marks = &bitmap[:groups][0]
		}
		// Group by group, heads are read no further than the last element's and Group behind it.
		done = Group * f(&dst[0], &heads[0], &rest[0], &rest[len(rest)-Slack], marks, groups)
	} else if elem == 4 {
		done = join4(dst, heads, rest, bitmap)
	}
	m = done
	if bitmap != nil {
		m = Count(bitmap[:done/Group])
	}
	width, turn := 8*elem, turn(elem)
	for i := done; i < n; i++ {
		if marked(bitmap, i) == 0 {
			clear(dst[i*elem:][:elem])
			continue
		}
		v := load(rest[m*(elem-1):], elem-1) | uint64(heads[m])<<(width-8)
		store(dst[i*elem:], v>>turn|v<<(width-turn), elem)
		m++
	}
}

// turn is by how many bits elements are turned.
func turn(elem int) int { return min(1, elem-1) }

// load reads an element, and store writes one.
func load(src []byte, elem int) (v uint64) {
	switch elem {
	case 2:
		return uint64(le.Uint16(src))
	case 4:
		return uint64(le.Uint32(src))
	case 8:
		return le.Uint64(src)
	}
	for k := range elem {
		v |= uint64(src[k]) << (8 * k)
	}
	return v
}

func store(dst []byte, v uint64, elem int) {
	switch elem {
	case 2:
		le.PutUint16(dst, uint16(v))
	case 4:
		le.PutUint32(dst, uint32(v))
	case 8:
		le.PutUint64(dst, v)
	default:
		for k := range elem {
			dst[k] = byte(v >> (8 * k))
		}
	}
}

// MaxFinite is the largest result of Magnitude and Range for float32s none of which is infinite or no number.
const MaxFinite = 0x7f7fffff

// extremes is what the kernels of Range leave, each lane of its own elements.
type extremes struct {
	lo, hi    [Group]float32
	magnitude [Group]uint32
}

// Range returns the smallest and the largest of the float32s in src, of which there is at least one, a zero being +0; and
// the largest of their bits without sign. If that is above MaxFinite, lo and hi say nothing.
func Range(src []byte) (lo, hi float32, magnitude uint32) {
	var x extremes
	lo = math.Float32frombits(le.Uint32(src))
	hi = lo
	done := 0
	if best.limits && len(src) >= 4*Group {
		done = len(src) / (4 * Group)
		limitsFast(&x, &src[0], done)
		lo, hi = x.lo[0], x.hi[0]
		for i := range x.lo {
			lo, hi, magnitude = min(lo, x.lo[i]), max(hi, x.hi[i]), max(magnitude, x.magnitude[i])
		}
	}
	for src = src[done*4*Group:]; len(src) >= 4; src = src[4:] {
		b := le.Uint32(src)
		v := math.Float32frombits(b)
		magnitude = max(magnitude, b&^signBit)
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	if lo == 0 {
		lo = 0 // without a sign
	}
	if hi == 0 {
		hi = 0
	}
	return lo, hi, magnitude
}

const signBit = 1 << 31

// Quantise sets dst[i] to (x - lo)·inverse, rounded to the nearest integer, ties to even, for each float32 x of src. Each
// of these is to be between 0 and 255.
func Quantise(dst, src []byte, lo, inverse float32) {
	n := len(src) / 4
	dst = dst[:n]
	done := 0
	if best.quantise != nil && n >= wide {
		done = n / wide * wide
		best.quantise(&dst[0], &src[0], done/wide, lo, inverse)
	}
	const round = 0x1.8p23 // x + round has x, rounded to an integer, in its low bits
	for i := done; i < n; i++ {
		x := math.Float32frombits(le.Uint32(src[4*i:]))
		dst[i] = byte(math.Float32bits(float32(float32(x-lo)*inverse) + round))
	}
}

// wide is how many elements a round of the kernels has that quantise and convert.
const wide = 16

// Dequantise sets float32 i of dst to lo + q·scale, rounded after each operation, for each byte q of src.
func Dequantise(dst, src []byte, lo, scale float32) {
	dst = dst[:4*len(src)]
	done := 0
	if best.dequantise != nil && len(src) >= wide {
		done = len(src) / wide * wide
		best.dequantise(&dst[0], &src[0], done/wide, lo, scale)
	}
	for i, q := range src[done:] {
		le.PutUint32(dst[4*(done+i):], math.Float32bits(lo+float32(float32(q)*scale)))
	}
}

// Half is a floating-point type of 16 bits.
type Half uint8

// The types of 16 bits: those of tensor.Float16 and tensor.BFloat16.
const (
	Float16 Half = iota
	BFloat16
	halves
)

// Narrow sets 16-bit element i of dst to float32 i of src, rounded to nearest, ties to even; magnitude is that of Range. A
// NaN becomes a quiet one with its sign. It reports false, with dst undefined, if a finite number would become infinite.
func Narrow(dst, src []byte, to Half, magnitude uint32) bool {
	n := len(src) / 4
	dst = dst[:2*n]
	if magnitude <= MaxFinite && magnitude >= infinite[to] {
		return false
	}
	done := 0
	if f := best.narrow[to]; f != nil && n >= wide && magnitude <= MaxFinite {
		done = n / wide * wide
		f(&dst[0], &src[0], done/wide)
	}
	for i := done; i < n; i++ {
		b := le.Uint32(src[4*i:])
		if m := b &^ signBit; m <= MaxFinite && m >= infinite[to] {
			return false
		}
		x, h := math.Float32frombits(b), uint16(0)
		if to == Float16 {
			h = tensor.Float32ToFloat16(x)
		} else {
			h = tensor.Float32ToBFloat16(x)
		}
		le.PutUint16(dst[2*i:], h)
	}
	return true
}

// infinite are the bits of the smallest positive float32 that becomes infinite.
var infinite = [halves]uint32{Float16: 0x477ff000, BFloat16: 0x7f7f8000}

// Bits of float32s.
const (
	infinity = 0x7f800000
	quiet    = 0x00400000 // of a NaN
)

// Widen sets float32 i of dst to 16-bit element i of src, exactly. A NaN of float16 becomes quiet.
func Widen(dst, src []byte, from Half) {
	n := len(src) / 2
	dst = dst[:4*n]
	done := 0
	if f := best.widen[from]; f != nil && n >= wide {
		done = n / wide * wide
		f(&dst[0], &src[0], done/wide)
	}
	for i := done; i < n; i++ {
		h := le.Uint16(src[2*i:])
		b := uint32(h) << 16
		if from == Float16 {
			if b = math.Float32bits(tensor.Float16ToFloat32(h)); b&^signBit > infinity {
				b |= quiet
			}
		}
		le.PutUint32(dst[4*i:], b)
	}
}

// Pack puts the low halves of the bytes of b, the first of each two lowest, into the first half of b and returns that. A
// last one without a partner has a 0 above it.
func Pack(b []byte) []byte {
	i, n := 0, len(b)
	for ; 2*i+16 <= n; i += 8 {
		var v [2]uint64
		for k := range v {
			w := le.Uint64(b[2*i+8*k:])
			w = (w | w>>4) & 0x00ff00ff00ff00ff
			w = (w | w>>8) & 0x0000ffff0000ffff
			v[k] = (w | w>>16) & 0xffffffff
		}
		le.PutUint64(b[i:], v[0]|v[1]<<32)
	}
	for ; 2*i < n; i++ {
		v := b[2*i]
		if 2*i+1 < n {
			v |= b[2*i+1] << 4
		}
		b[i] = v
	}
	return b[:(n+1)/2]
}

// Unpack is the inverse of Pack: what it packed is at the end of b.
func Unpack(b []byte) {
	n := len(b)
	at, i := n/2, 0
	for ; i+4 <= at; i += 4 {
		w := uint64(le.Uint32(b[at+i:]))
		w = (w | w<<16) & 0x0000ffff0000ffff
		w = (w | w<<8) & 0x00ff00ff00ff00ff
		w = (w | w<<4) & 0x0f0f0f0f0f0f0f0f
		le.PutUint64(b[2*i:], w)
	}
	for ; 2*i < n; i++ {
		v := b[at+i]
		b[2*i] = v & 15
		if 2*i+1 < n {
			b[2*i+1] = v >> 4
		}
	}
}
