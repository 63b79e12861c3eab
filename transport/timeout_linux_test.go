package transport

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestBothEndsOfAConnectionHaveTheSystemsTimeout(t *testing.T) {
	a, b := tcp(t, Limits{Silence: 2 * time.Second})
	for _, c := range []*Conn{a, b} {
		rc, err := c.nc.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if ctlErr := rc.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); ctlErr != nil || err != nil {
			t.Fatal(ctlErr, err)
		}
		if want := map[*Conn]int{a: 6000, b: 15000}[c]; got != want {
			t.Errorf("got a timeout of %d ms, want %d", got, want)
		}
	}
}
