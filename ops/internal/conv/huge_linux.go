package conv

import (
	"syscall"
	"unsafe"
)

// hugePage is the bytes of a huge page of the processors that we know.
const hugePage = 2 << 20

// preferHuge asks for huge pages for memory that has not been touched yet: walks through many weights then miss the
// translation of addresses less often, and the system is asked for memory less often. It is a hint.
func preferHuge(v []float32) {
	p := unsafe.Pointer(unsafe.SliceData(v))
	skip := int(-uintptr(p) % hugePage)
	if n := (4*len(v) - skip) / hugePage * hugePage; n > 0 {
		_ = syscall.Madvise(unsafe.Slice((*byte)(unsafe.Add(p, skip)), n), syscall.MADV_HUGEPAGE) // if it fails, pages are small
	}
}
