//go:build !linux

package engine

// yield would let another process run on this core, if one waited for it.
// Without cgo there is no portable way to say so.
func yield() {}
