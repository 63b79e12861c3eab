//go:build amd64 && !purego

package engine

// pause spins for n times the processor's own pause, some 10 to 40 ns each,
// without disturbing the core's other thread. n must be at least 1.
//
//go:noescape
func pause(n int)
