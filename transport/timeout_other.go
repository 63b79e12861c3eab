//go:build !linux

package transport

import (
	"syscall"
	"time"
)

// setUserTimeout does nothing: here keepalive alone finds, in place of d, a peer
// that vanished while no call waited for it.
func setUserTimeout(syscall.RawConn, time.Duration) error { return nil }
