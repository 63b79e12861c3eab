package live

import (
	"errors"
	"testing"
	"time"
)

func TestBreakerOpensForLongerAndLongerAndClosesWithAnAnswer(t *testing.T) {
	for _, random := range []float64{0, 0.5, 1} {
		var b breaker
		now := time.Unix(1e9, 0)
		at := func(want State) {
			t.Helper()
			if got := b.state(now); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
		at(Closed)
		for i, whole := range []time.Duration{500, 1000, 2000, 4000, 8000, 16000, 30000, 30000} {
			whole *= time.Millisecond
			want := whole - time.Duration(random*float64(whole)/2)
			if got := b.fail(now, errors.New("gone"), random); got != want {
				t.Fatalf("failure %d: got a pause of %v, want %v", i+1, got, want)
			}
			now = now.Add(want - 1)
			at(Open)
			// What was asked before tells nothing new.
			if got := b.fail(now, errors.New("gone"), random); got != 1 {
				t.Fatalf("a further failure makes the pause %v, want 1ns", got)
			}
			now = now.Add(1)
			at(HalfOpen)
		}
		b.succeed()
		at(Closed)
		if got := b.fail(now, errors.New("gone"), 0); got != minPause {
			t.Errorf("first failure after an answer: got a pause of %v, want %v", got, minPause)
		}
	}
}
