//go:build !amd64 || purego

package engine

import "sync/atomic"

var paused atomic.Uint32

// pause spins for about n times 10 ns.
func pause(n int) {
	for range 8 * n {
		paused.Load()
	}
}
