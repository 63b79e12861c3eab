//go:build unix

package kerneltest

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// havePages says that accesses past the end fault.
const havePages = true

func paged(tb testing.TB, n int, end bool) []float32 {
	tb.Helper()
	page := unix.Getpagesize()
	size := (n*4 + page - 1) / page * page
	m, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := unix.Munmap(m); err != nil {
			tb.Error(err)
		}
	})
	for _, p := range [][]byte{m[:page], m[page+size:]} {
		if err := unix.Mprotect(p, unix.PROT_NONE); err != nil {
			tb.Fatal(err)
		}
	}
	at := page
	if end {
		at += size - n*4
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(m[at:]))), n)
}
