package plane

import "os"

// impl is the kernels of one instruction set; what is nil, portable code does. groups count Group elements and rounds
// wide; there is at least one.
type impl struct {
	name string

	// By the size of an element.
	mark  [9]func(bitmap, src *byte, groups int)
	split [9]func(heads, rest, marks, src *byte, groups int) // marks may be nil
	// join stops before a group whose rest would begin behind last, and returns how many groups it did.
	join [9]func(dst, heads, rest, last, marks *byte, groups int) (done int)

	limits     bool // limitsFast works
	quantise   func(dst, src *byte, rounds int, lo, inverse float32)
	dequantise func(dst, src *byte, rounds int, lo, scale float32)

	narrow, widen [halves]func(dst, src *byte, rounds int)
}

// impls lists the implementations that this processor has, the fastest first.
var impls = append(asmImpls(), impl{name: "go"})

// best is what the exported functions use.
var best = func() *impl {
	if os.Getenv("SCISSION_ISA") == "go" {
		return &impls[len(impls)-1]
	}
	return &impls[0]
}()

// Tables by a byte of a bitmap, of indices of elements in a group.
var (
	// packed lists the elements whose bit is set.
	packed [256][Group]byte
	// spread has for each element the place that packed gives it, or absent.
	spread [256][Group]byte
)

// absent is an index that, doubled or not, is in no table of 16 or 32 bytes, and whose double has the highest bit of a
// byte.
const absent = 0x40

func init() {
	for b := range packed {
		m := byte(0)
		for i := range byte(Group) {
			spread[b][i] = absent
			if b>>i&1 != 0 {
				packed[b][m], spread[b][i] = i, m
				m++
			}
		}
	}
}
