//go:build !linux

package simnet

import "time"

func nap(d time.Duration) { time.Sleep(d) }
