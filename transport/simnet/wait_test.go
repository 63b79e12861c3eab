package simnet

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestWaitEndsNoEarlierThanAskedAndWithItsContext(t *testing.T) {
	for _, d := range []time.Duration{-1, 0, 300 * time.Microsecond, coarse, coarse + time.Millisecond} {
		start := time.Now()
		if err := Wait(context.Background(), d); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < d {
			t.Errorf("wait for %v took %v", d, took)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(time.Millisecond, cancel)
	if err := Wait(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("wait under a context that ends: %v, want %v", err, context.Canceled)
	}
}
