//go:build arm64 && !purego

package plane

// Tables by four bits of a bitmap, of indices of bytes in a vector.
var (
	packed4 [16][16]byte // of the elements whose bit is set
	spread4 [16][16]byte // of the places that packed4 gives elements, or none
)

func init() {
	const none = 0xff // of which there is no byte, so that it becomes 0
	for b := range packed4 {
		m := byte(0)
		for i := range byte(4) {
			for k := range byte(4) {
				spread4[b][4*i+k] = none
				if b>>i&1 != 0 {
					packed4[b][4*m+k], spread4[b][4*i+k] = 4*i+k, 4*m+k
				}
			}
			m += byte(b) >> i & 1
		}
	}
}

func asmImpls() []impl {
	im := impl{name: "NEON", limits: true, quantise: quantiseNEON, dequantise: dequantiseNEON}
	im.mark[4], im.mark[2] = mark4NEON, mark2NEON
	im.split[4] = func(heads, rest, marks, src *byte, groups int) {
		split4NEON(heads, rest, marks, src, &packed4[0][0], groups)
	}
	im.split[2] = func(heads, rest, marks, src *byte, groups int) {
		split2NEON(heads, rest, marks, src, &packed[0][0], groups)
	}
	im.join[4] = func(dst, heads, rest, last, marks *byte, groups int) int {
		return join4NEON(dst, heads, rest, last, marks, &spread4[0][0], groups)
	}
	im.join[2] = func(dst, heads, rest, last, marks *byte, groups int) int {
		return join2NEON(dst, heads, rest, last, marks, &spread[0][0], groups)
	}
	im.narrow = [halves]func(dst, src *byte, rounds int){Float16: narrow16NEON, BFloat16: narrowBNEON}
	im.widen = [halves]func(dst, src *byte, rounds int){Float16: widen16NEON, BFloat16: widenBNEON}
	return []impl{im}
}

// limitsFast is not called through a variable, so that x need not be on the heap.
func limitsFast(x *extremes, src *byte, groups int) { limitsNEON(&x.lo[0], src, groups) }
