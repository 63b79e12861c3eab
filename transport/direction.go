package transport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// direction is what sending and receiving on a Conn have in common: calls take
// turns, a context can interrupt the one in progress, and the first error that
// leaves the stream within a frame ends the direction for good.
type direction struct {
	name        string // for errors
	setDeadline func(time.Time) error
	limits      *Limits
	turn        chan struct{} // holds a value while a call is in progress

	// resumes says that a call of the connection which failed at its deadline
	// may be made again. Then a deadline that was set stays until it comes,
	// which again puts off: setting one for each step of each frame costs more
	// than the rest of what a step does, for it may wake a thread.
	resumes bool

	// Of the call in progress.
	broken  error     // why no call can succeed any more
	started time.Time // first byte of the frame
	bytes   int       // of the frame, up to the current step

	mu    sync.Mutex
	ctx   context.Context // of the call in progress, else of the last one
	stop  func() bool     // ends the watch over ctx
	busy  bool
	lost  error     // the peer is taken for dead
	limit time.Time // when the read or write is to fail; zero is never
	armed time.Time // when it does, if that is before limit: then it is to be put off
}

func (d *direction) init(name string, l *Limits, setDeadline func(time.Time) error) {
	d.name, d.limits, d.setDeadline = name, l, setDeadline
	d.turn = make(chan struct{}, 1)
}

// begin waits for the turn of a call under ctx. If it returns nil, end must
// follow.
func (d *direction) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return d.contextError(err)
	}
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return d.contextError(ctx.Err())
	}
	if d.broken != nil {
		<-d.turn
		return fmt.Errorf("transport: %s: after an earlier error: %w", d.name, d.broken)
	}
	d.started, d.bytes = time.Time{}, 0
	d.mu.Lock()
	d.busy = true
	d.watch(ctx)
	d.mu.Unlock()
	return nil
}

// try takes the turn, if no call has it, under no context. If it returns true,
// end must follow.
func (d *direction) try() bool {
	select {
	case d.turn <- struct{}{}:
		d.started, d.bytes = time.Time{}, 0
		return true
	default:
		return false
	}
}

// watch interrupts the call in progress when ctx ends. The watch stays for the
// calls that follow under the same context, which therefore allocate nothing.
func (d *direction) watch(ctx context.Context) {
	done := ctx.Done()
	if d.ctx != nil && d.ctx.Done() == done {
		return
	}
	if d.stop != nil {
		d.stop()
	}
	d.ctx, d.stop = ctx, nil
	if done != nil {
		d.stop = context.AfterFunc(ctx, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.busy && d.ctx.Done() == done {
				d.arm(past)
			}
		})
	}
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

func (d *direction) end() {
	d.mu.Lock()
	d.busy = false
	d.mu.Unlock()
	<-d.turn
}

// close ends the watch; the connection is about to be closed.
func (d *direction) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop != nil {
		d.stop()
	}
}

// lose makes the call in progress and all later ones fail with err.
func (d *direction) lose(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost = err
	d.arm(past)
}

// until sets the time at which the next read or write fails; zero is never.
func (d *direction) until(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lost != nil {
		return d.lost
	}
	if d.busy {
		if err := d.ctx.Err(); err != nil {
			return err
		}
	}
	d.limit = t
	if d.resumes && (t.IsZero() || !d.armed.IsZero() && !d.armed.After(t)) {
		return nil
	}
	return d.arm(t)
}

func (d *direction) arm(t time.Time) error {
	d.armed = t
	return d.setDeadline(t)
}

// again reports whether err, of a read or write, only says that the deadline
// came which is armed, and not the limit. It then puts that off.
func (d *direction) again(err error) bool {
	if !d.resumes || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.lost != nil, d.busy && d.ctx.Err() != nil, d.armed.Equal(d.limit):
		return false
	case !d.limit.IsZero() && !time.Now().Before(d.limit):
		return false
	}
	return d.arm(d.limit) == nil
}

// pace allows d.bytes of the frame the time that the minimum rate leaves them.
func (d *direction) pace() error {
	allowed := d.limits.Grace + time.Duration(float64(d.bytes)/float64(d.limits.MinRate)*float64(time.Second))
	return d.until(d.started.Add(allowed))
}

// fail turns err, which ended the call in progress, into what the caller gets.
func (d *direction) fail(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		d.mu.Lock()
		ctxErr, lost := error(nil), d.lost
		if d.busy {
			ctxErr = d.ctx.Err()
		}
		d.mu.Unlock()
		switch {
		case ctxErr != nil:
			err = ctxErr
		case lost != nil:
			err = lost
		case d.started.IsZero():
			err = fmt.Errorf("%w: no frame within %v", ErrIdle, d.limits.Idle)
		default:
			err = fmt.Errorf("%w: frame not at byte %d after %v, want %d bytes/s after %v", ErrTimeout,
				d.bytes, time.Since(d.started).Round(time.Millisecond), d.limits.MinRate, d.limits.Grace)
		}
	}
	return d.contextError(err)
}

// fatal is fail for an error after which the position in the stream is unknown.
func (d *direction) fatal(err error) error {
	err = d.fail(err)
	d.broken = errors.Unwrap(err)
	return err
}

func (d *direction) contextError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return fmt.Errorf("transport: %s: %w", d.name, err)
}
