package transport

// shuffle writes byte k of element i of src to dst[k*n+i], where n is the
// number of elements of elem bytes: 2, 4 or 8. dst is as long as src and does
// not overlap it.
//
// Eight elements at a time are a matrix of 8 x elem bytes, transposed in
// registers by exchanging ever larger blocks (Warren, Hacker's Delight, 7-3).
func shuffle(dst, src []byte, elem int) {
	n := len(src) / elem
	switch elem {
	case 2:
		d0, d1 := dst[:n], dst[n:2*n]
		for ; len(src) >= 16 && len(d0) >= 8 && len(d1) >= 8; src, d0, d1 = src[16:], d0[8:], d1[8:] {
			a, b := deal2(le.Uint64(src)), deal2(le.Uint64(src[8:]))
			a, b = swap32(a, b)
			le.PutUint64(d0, a)
			le.PutUint64(d1, b)
		}
		shuffleTail(src, d0, d1)
	case 4:
		d0, d1, d2, d3 := dst[:n], dst[n:2*n], dst[2*n:3*n], dst[3*n:4*n]
		for len(src) >= 32 && len(d0) >= 8 && len(d1) >= 8 && len(d2) >= 8 && len(d3) >= 8 {
			a, b := deal4(le.Uint64(src)), deal4(le.Uint64(src[8:]))
			c, d := deal4(le.Uint64(src[16:])), deal4(le.Uint64(src[24:]))
			a, b = swap16(a, b)
			c, d = swap16(c, d)
			a, c = swap32(a, c)
			b, d = swap32(b, d)
			le.PutUint64(d0, a)
			le.PutUint64(d1, b)
			le.PutUint64(d2, c)
			le.PutUint64(d3, d)
			src, d0, d1, d2, d3 = src[32:], d0[8:], d1[8:], d2[8:], d3[8:]
		}
		shuffleTail(src, d0, d1, d2, d3)
	case 8:
		i := 0
		for ; i+8 <= n; i += 8 {
			var w [8]uint64
			s := src[i*8 : i*8+64]
			for k := range w {
				w[k] = le.Uint64(s[k*8:])
			}
			transpose8(&w)
			for k := range w {
				le.PutUint64(dst[k*n+i:], w[k])
			}
		}
		for ; i < n; i++ {
			for k := range 8 {
				dst[k*n+i] = src[i*8+k]
			}
		}
	}
}

// unshuffle is the inverse of shuffle.
func unshuffle(dst, src []byte, elem int) {
	n := len(src) / elem
	switch elem {
	case 2:
		s0, s1 := src[:n], src[n:2*n]
		for ; len(dst) >= 16 && len(s0) >= 8 && len(s1) >= 8; dst, s0, s1 = dst[16:], s0[8:], s1[8:] {
			a, b := swap32(le.Uint64(s0), le.Uint64(s1))
			le.PutUint64(dst, gather2(a))
			le.PutUint64(dst[8:], gather2(b))
		}
		unshuffleTail(dst, s0, s1)
	case 4:
		s0, s1, s2, s3 := src[:n], src[n:2*n], src[2*n:3*n], src[3*n:4*n]
		for len(dst) >= 32 && len(s0) >= 8 && len(s1) >= 8 && len(s2) >= 8 && len(s3) >= 8 {
			a, c := swap32(le.Uint64(s0), le.Uint64(s2))
			b, d := swap32(le.Uint64(s1), le.Uint64(s3))
			a, b = swap16(a, b)
			c, d = swap16(c, d)
			le.PutUint64(dst, gather4(a))
			le.PutUint64(dst[8:], gather4(b))
			le.PutUint64(dst[16:], gather4(c))
			le.PutUint64(dst[24:], gather4(d))
			dst, s0, s1, s2, s3 = dst[32:], s0[8:], s1[8:], s2[8:], s3[8:]
		}
		unshuffleTail(dst, s0, s1, s2, s3)
	case 8:
		i := 0
		for ; i+8 <= n; i += 8 {
			var w [8]uint64
			for k := range w {
				w[k] = le.Uint64(src[k*n+i:])
			}
			transpose8(&w)
			d := dst[i*8 : i*8+64]
			for k := range w {
				le.PutUint64(d[k*8:], w[k])
			}
		}
		for ; i < n; i++ {
			for k := range 8 {
				dst[i*8+k] = src[k*n+i]
			}
		}
	}
}

func shuffleTail(src []byte, planes ...[]byte) {
	for k, p := range planes {
		for i := range p {
			p[i] = src[i*len(planes)+k]
		}
	}
}

func unshuffleTail(dst []byte, planes ...[]byte) {
	for k, p := range planes {
		for i, b := range p {
			dst[i*len(planes)+k] = b
		}
	}
}

// swap8, swap16 and swap32 transpose 2 x 2 blocks of 1, 2 or 4 bytes that lie
// in the two words: the odd blocks of a change places with the even ones of b.
// Block 0 is the least significant.
func swap8(a, b uint64) (uint64, uint64) {
	const m = 0x00ff00ff00ff00ff
	t := (a>>8 ^ b) & m
	return a ^ t<<8, b ^ t
}

func swap16(a, b uint64) (uint64, uint64) {
	const m = 0x0000ffff0000ffff
	t := (a>>16 ^ b) & m
	return a ^ t<<16, b ^ t
}

func swap32(a, b uint64) (uint64, uint64) {
	return a&0xffffffff | b<<32, a>>32 | b&^0xffffffff
}

// inner16 and inner8 exchange the middle two blocks of 16 or 8 bits in each 64
// or 32.
func inner16(x uint64) uint64 {
	t := (x>>16 ^ x) & 0x00000000ffff0000
	return x ^ t ^ t<<16
}

func inner8(x uint64) uint64 {
	t := (x>>8 ^ x) & 0x0000ff000000ff00
	return x ^ t ^ t<<8
}

// deal2 groups the four first bytes of four 2-byte elements, then the four
// second ones; deal4 the pairs of bytes of two 4-byte elements. gather2 and
// gather4 undo that.
func deal2(x uint64) uint64   { return inner16(inner8(x)) }
func gather2(x uint64) uint64 { return inner8(inner16(x)) }
func deal4(x uint64) uint64   { return inner8(inner16(x)) }
func gather4(x uint64) uint64 { return inner16(inner8(x)) }

// transpose8 transposes the 8 x 8 bytes of w: byte k of word i and byte i of
// word k change places.
func transpose8(w *[8]uint64) {
	for i := 0; i < 8; i += 2 {
		w[i], w[i+1] = swap8(w[i], w[i+1])
	}
	for _, i := range [4]int{0, 1, 4, 5} {
		w[i], w[i+2] = swap16(w[i], w[i+2])
	}
	for i := range 4 {
		w[i], w[i+4] = swap32(w[i], w[i+4])
	}
}
