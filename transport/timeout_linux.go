package transport

import (
	"math"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout makes the system end the connection when bytes that were sent
// are not acknowledged for d: RFC 5482, tcp(7). Connections that a listener
// accepts have its timeout.
func setUserTimeout(rc syscall.RawConn, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	var failed error
	err := rc.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(min(d.Milliseconds(), math.MaxInt32)))
	})
	if err != nil {
		return err
	}
	return failed
}
