package live

import "time"

// The pause after a failure of a host is between half of and all of minPause,
// and twice that after each further failure, to maxPause.
const (
	minPause = 500 * time.Millisecond
	maxPause = 30 * time.Second
)

// breaker keeps a host that failed from being asked again too soon.
type breaker struct {
	failures int       // in a row
	refusals int       // in a row: requests that it answered with an error
	until    time.Time // when the pause after the last one ends
	last     error
}

// State is whether a host is asked.
type State string

// The states of a host's circuit breaker.
const (
	Closed   State = "closed"    // it works: it is asked
	Open     State = "open"      // it failed: it is not asked for a while
	HalfOpen State = "half-open" // the while is over: an attempt decides
)

func (b *breaker) state(now time.Time) State {
	switch {
	case b.failures == 0:
		return Closed
	case now.Before(b.until):
		return Open
	}
	return HalfOpen
}

// fail notes a failure and returns for how long the host is not asked. Failures
// while it is not asked are of earlier requests and change nothing. random is
// from 0 to 1.
func (b *breaker) fail(now time.Time, err error, random float64) time.Duration {
	if b.state(now) != Open {
		pause := minPause
		for range b.failures {
			pause = min(2*pause, maxPause)
		}
		b.failures++
		b.until = now.Add(pause - time.Duration(random*float64(pause/2)))
		b.last = err
	}
	return b.until.Sub(now)
}

// maxRefusals in a row, by a host that answers but runs nothing, are a failure.
const maxRefusals = 3

// refuse notes an error that is perhaps the request's own and returns whether it
// counts as a failure.
func (b *breaker) refuse() bool {
	b.refusals++
	return b.refusals >= maxRefusals
}

// relax ends the pause: the host was reached, which is not yet an answer.
func (b *breaker) relax(now time.Time) {
	if b.state(now) == Open {
		b.until = now
	}
}

// succeed notes an answer.
func (b *breaker) succeed() { *b = breaker{} }
