//go:build amd64 && !purego

package isa

import "golang.org/x/sys/cpu"

// detect returns what the processor and the operating system support, the lowest level first.
func detect() []Level {
	x := &cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasFMA:
		return []Level{Go}
	case x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL:
		return []Level{Go, AVX2, AVX512}
	}
	return []Level{Go, AVX2}
}
