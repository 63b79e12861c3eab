package simnet

import (
	"syscall"
	"time"
)

// nap waits for d, by the system's timer, which is about 0.1 ms late; Go's own
// may be 1 ms late while nothing runs, for it waits in whole milliseconds.
func nap(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	for syscall.Nanosleep(&t, &t) == syscall.EINTR {
	}
}
