//go:build amd64 && !purego

package plane

import "golang.org/x/sys/cpu"

//go:generate sh ../../../ops/internal/asmgen/generate.sh plane

func asmImpls() []impl {
	if x := &cpu.X86; !x.HasAVX2 || !x.HasPOPCNT || !x.HasF16C {
		return nil
	}
	im := impl{name: "AVX2", limits: true, quantise: quantiseAVX2, dequantise: dequantiseAVX2}
	im.mark[4], im.mark[2] = mark4AVX2, mark2AVX2
	im.split[4] = func(heads, rest, marks, src *byte, groups int) {
		split4AVX2(heads, rest, marks, src, &packed[0][0], groups)
	}
	im.split[2] = func(heads, rest, marks, src *byte, groups int) {
		split2AVX2(heads, rest, marks, src, &packed[0][0], groups)
	}
	im.join[4] = func(dst, heads, rest, last, marks *byte, groups int) int {
		return join4AVX2(dst, heads, rest, last, marks, &spread[0][0], groups)
	}
	im.join[2] = func(dst, heads, rest, last, marks *byte, groups int) int {
		return join2AVX2(dst, heads, rest, last, marks, &spread[0][0], groups)
	}
	im.narrow = [halves]func(dst, src *byte, rounds int){Float16: narrow16AVX2, BFloat16: narrowBAVX2}
	im.widen = [halves]func(dst, src *byte, rounds int){Float16: widen16AVX2, BFloat16: widenBAVX2}
	return []impl{im}
}

// limitsFast is not called through a variable, so that x need not be on the heap.
func limitsFast(x *extremes, src *byte, groups int) { limitsAVX2(&x.lo[0], src, groups) }
