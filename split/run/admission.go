package run

import (
	"context"
	"fmt"
	"sync"
)

// DefaultMaxRuns is how many runs a Node has in hand at once.
const DefaultMaxRuns = 64

// work is the requests that a node has taken and not yet answered. Its zero
// value is ready.
type work struct {
	mu       sync.Mutex
	sessions map[*session]int // and how many of the requests are theirs
	inHand   int
	idle     chan struct{} // not nil once the node drains; closed when nothing is in hand
}

func (w *work) join(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(s, 0)
}

func (w *work) add(s *session, n int) {
	if w.sessions == nil {
		w.sessions = map[*session]int{}
	}
	w.sessions[s] += n
	w.inHand += n
}

// leave ends a session, with whatever it has in hand.
func (w *work) leave(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.give(w.sessions[s])
	delete(w.sessions, s)
}

// take takes a request if there is room for it among so many.
func (w *work) take(s *session, limit int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.idle != nil:
		return fmt.Errorf("run: %w", ErrDraining)
	case w.inHand >= limit:
		return fmt.Errorf("run: %w: %d requests in hand, as many as allowed", ErrBusy, w.inHand)
	}
	w.add(s, 1)
	return nil
}

// answered is called for each request whose answer is sent, taken or refused. A
// session of a draining node that has no more in hand ends.
func (w *work) answered(s *session, taken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if taken {
		w.sessions[s]--
		w.give(1)
	}
	if w.idle != nil && w.sessions[s] == 0 {
		s.conn.Close()
	}
}

func (w *work) give(n int) {
	w.inHand -= n
	if n > 0 && w.inHand == 0 && w.idle != nil {
		close(w.idle)
	}
}

// drain takes no more requests and ends the sessions without any in hand. It
// returns what is closed when there are none in hand.
func (w *work) drain() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.idle != nil {
		return w.idle
	}
	w.idle = make(chan struct{})
	if w.inHand == 0 {
		close(w.idle)
	}
	for s, n := range w.sessions {
		if n == 0 {
			s.conn.Close()
		}
	}
	return w.idle
}

// Drain makes the node take no more requests, which it answers with ErrDraining,
// and waits until those that it has in hand are answered, or ctx ends, whose error
// it returns. Connections without a request in hand are closed. What Serve and
// ServeAll do goes on until their contexts end.
func (n *Node) Drain(ctx context.Context) error {
	select {
	case <-n.work.drain():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
