//go:build unix

package onnximport

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// openFlags keeps an open from waiting for the writer of a FIFO.
const openFlags = os.O_RDONLY | unix.O_NONBLOCK

// mapFile maps f into memory for reading.
func mapFile(f *os.File, _ int64) (contents, error) {
	size, err := fileSize(f, math.MaxInt)
	if err != nil || size == 0 { // a mapping of no bytes is an error
		return contents{close: func() error { return nil }}, err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return contents{}, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	forget := func(lo, hi int) {
		page := os.Getpagesize()
		if lo, hi = (lo+page-1)/page*page, hi/page*page; lo < hi {
			_ = unix.Madvise(b[lo:hi], unix.MADV_DONTNEED) // if it fails, more memory stays in use
		}
	}
	return contents{b, func() error { return unix.Munmap(b) }, forget}, nil
}

// links is the number of names that the file has.
func links(f *os.File) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, err
	}
	return uint64(st.Nlink), nil
}
