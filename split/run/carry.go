package run

import (
	"errors"
	"sync"
	"time"
)

// A worker carries a run that is likely to be brief and the only one: the
// goroutine that has read it takes it through all parts and sends the answer,
// and reads on after that. To hand it from goroutine to goroutine, as runs that
// are in flight together need it, wakes threads, which takes longer than the
// rest of what a hop does.
const (
	// briefRun is how long the run before may have been on its way.
	briefRun = time.Millisecond
	// reliefTime is how long, and up to twice that, nobody reads when a run is
	// not brief after all.
	reliefTime = 5 * time.Millisecond
)

// errRelieved ends a reader in whose place another goroutine reads.
var errRelieved = errors.New("run: relieved")

// relief sees to it that somebody reads while a run is carried. It looks from
// time to time as long as there are runs to be carried: a timer for each would
// wake a thread for each.
type relief struct {
	mu        sync.Mutex
	looking   bool
	count     int                  // runs so far
	seen      int                  // runs when it last looked
	due       func(answering bool) // has another goroutine read; nil while no run is carried, and when it was called
	answering bool                 // the run has come to its end
}

// begin is called before a run is carried.
func (r *relief) begin(due func(answering bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due, r.answering = due, false
	if r.count++; !r.looking {
		r.looking, r.seen = true, r.count-1
		time.AfterFunc(reliefTime, r.look)
	}
}

func (r *relief) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.seen != r.count:
		r.seen = r.count
		time.AfterFunc(reliefTime, r.look)
		return
	case r.due != nil:
		r.due(r.answering)
		r.due = nil
	}
	r.looking = false
}

// answer is called before the carried run is answered. If it returns true,
// another goroutine reads, and the run is not the caller's to answer.
func (r *relief) answer() (relieved bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answering = true
	return r.due == nil
}

// end is called when the carried run is answered, and says whether another
// goroutine reads.
func (r *relief) end() (relieved bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	relieved = r.due == nil
	r.due = nil
	return relieved
}
