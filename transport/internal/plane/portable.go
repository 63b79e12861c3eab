package plane

import "math/bits"

// mark4 is Mark for elements of 4 bytes.
func mark4(bitmap, src []byte) {
	for g := range bitmap {
		set := uint32(0)
		if len(src) >= 4*Group {
			s := src[:4*Group]
			for i := 0; i < 4*Group; i += 8 {
				two := le.Uint64(s[i:])
				v, w := uint32(two), uint32(two>>32)
				set = set>>2 | (v|-v)>>31<<6 | (w|-w)>>31<<7
			}
			src = src[4*Group:]
		} else {
			for i := 0; len(src) >= 4; i++ {
				v := le.Uint32(src)
				set |= (v | -v) >> 31 << (i & 7)
				src = src[4:]
			}
		}
		bitmap[g] = byte(set)
	}
}

// split4 is Split for elements of 4 bytes. It works in rest.
func split4(heads, rest, bitmap, src []byte) {
	m := len(src) / 4
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
}

const low24 = 1<<24 - 1

// pack4 writes the elements of src that bitmap marks to dst and returns how many there are. It has no branch that
// depends on the data: where an element is left out the next is written over it.
func pack4(dst, bitmap, src []byte) (m int) {
	for _, set := range bitmap {
		if len(src) >= 4*Group {
			s := src[:4*Group]
			for i := 0; i < 4*Group; i += 8 {
				two := le.Uint64(s[i:])
				le.PutUint32(dst[4*m:], uint32(two))
				m += int(set & 1)
				le.PutUint32(dst[4*m:], uint32(two>>32))
				m += int(set >> 1 & 1)
				set >>= 2
			}
			src = src[4*Group:]
			continue
		}
		for ; len(src) >= 4; src = src[4:] {
			le.PutUint32(dst[4*m:], le.Uint32(src))
			m += int(set & 1)
			set >>= 1
		}
	}
	return m
}

// join4 is Join for elements of 4 bytes, as far as it can read four bytes of rest for each of a Group. It returns how many
// elements it did.
func join4(dst, heads, rest, bitmap []byte) (done int) {
	const reads = 3*Group + 1
	n := len(dst) / 4
	if bitmap == nil {
		for i := 0; i+Group <= n && len(rest) >= reads; i += Group {
			d, r, h := dst[4*i:][:4*Group], rest[:reads], heads[i:][:Group]
			for k := range Group {
				v := le.Uint32(r[3*k:])&low24 | uint32(h[k])<<24
				le.PutUint32(d[4*k:], bits.RotateLeft32(v, -1))
			}
			rest = rest[3*Group:]
			done += Group
		}
		return done
	}
	m := 0
	for ; done+Group <= n && 3*m+reads <= len(rest); done += Group {
		set, d := uint32(bitmap[done/Group]), dst[4*done:][:4*Group]
		for k := 0; k < 4*Group; k += 4 {
			v := le.Uint32(rest[3*m:])&low24 | uint32(heads[m])<<24
			le.PutUint32(d[k:], bits.RotateLeft32(v, -1)&-(set&1))
			m += int(set & 1)
			set >>= 1
		}
	}
	return done
}
