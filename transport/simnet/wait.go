package simnet

import (
	"context"
	"time"
)

// coarse is by how much Go's timers may be late, and as much again.
const coarse = 2 * time.Millisecond

// Wait waits for d or until ctx ends, whose error it returns. What is emulated
// takes as long as it should by it: a timer may be a millisecond late in a
// process that has nothing else to do. The last two milliseconds go on when
// ctx ends, and hold a thread of the system.
func Wait(ctx context.Context, d time.Duration) error {
	end := time.Now().Add(d)
	if d > coarse {
		t := time.NewTimer(d - coarse)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if left := time.Until(end); left > 0 {
		nap(left)
	}
	return nil
}
