package transport

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// beatMagic is a beat: SPEC.md, section 3.1. It stands between frames.
const beatMagic = "SCIB"

// beatBit of the codecs in a hello says that the sender sends and takes beats.
const beatBit = 63

// drainTime is how long a look for beats takes that finds none.
const drainTime = time.Millisecond

// pulse tells the peer that this side lives, and finds out when the peer does
// not. Once started it has two timers: one sends a beat when nothing else was
// sent since it last fired; the other counts how often in a row it has fired
// without a byte from the peer. Since it counts, and does not compare times, a
// process that was stopped for a while does not take its peer for dead.
type pulse struct {
	sent, heard atomic.Bool // since the timer last fired

	mu     sync.Mutex
	timers []*time.Timer
	closed bool
}

// every calls f each d, one call at a time, until it returns false or close is called.
func (p *pulse) every(d time.Duration, f func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		if !f() {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.closed {
			t.Reset(d)
		}
	})
	p.timers = append(p.timers, t)
}

func (p *pulse) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, t := range p.timers {
		t.Stop()
	}
}

// live starts the pulse.
func (c *Conn) live() {
	c.pulse.every(c.limits.Beat, c.beat)
	if c.limits.Silence < 0 {
		return
	}
	quiet := 0
	limit := max(2, int((c.limits.Silence+c.limits.Beat-1)/c.limits.Beat))
	c.pulse.every(c.limits.Beat, func() bool {
		if !c.drain() {
			return false
		}
		if quiet++; c.pulse.heard.Swap(false) {
			quiet = 0
		}
		if quiet < limit {
			return true
		}
		err := fmt.Errorf("%w: nothing heard of the peer for %v", ErrTimeout, time.Duration(quiet)*c.limits.Beat)
		c.out.lose(err)
		c.in.lose(err)
		return false
	})
}

// beat sends a beat if nothing was sent since the last call and nothing is being
// sent. It waits while the peer takes nothing; until it is lost, or closed.
func (c *Conn) beat() bool {
	if c.pulse.sent.Swap(false) || !c.out.try() {
		return true
	}
	defer c.out.end()
	if c.out.broken != nil || c.out.until(time.Time{}) != nil {
		return false
	}
	for rest := []byte(beatMagic); len(rest) > 0; {
		n, err := c.nc.Write(rest)
		rest = rest[n:]
		if err != nil && !c.out.again(err) {
			c.out.fatal(err)
			return false
		}
	}
	return true
}

// drain takes the beats that have arrived, if no call is reading, so that they
// do not pile up. A frame that waits for the next Receive is a sign of life. It
// returns false when the connection has ended, which the next Receive will tell.
func (c *Conn) drain() bool {
	if !c.in.try() {
		return true
	}
	defer c.in.end()
	for {
		if c.in.broken != nil || c.in.until(time.Now().Add(drainTime)) != nil {
			return false
		}
		b, err := c.reader.Peek(len(beatMagic))
		if err != nil {
			return errors.Is(err, os.ErrDeadlineExceeded)
		}
		if string(b) != beatMagic {
			c.pulse.heard.Store(true)
			return true
		}
		c.reader.Discard(len(beatMagic))
	}
}

// next returns when the first bytes of a frame are there, or fails at the given
// time, which beats do not put off; zero is never.
func (c *Conn) next(deadline time.Time) error {
	for {
		if c.reader.Buffered() == 0 {
			if err := c.in.until(deadline); err != nil {
				return err
			}
			if _, err := c.reader.Peek(1); err != nil {
				return err
			}
		}
		c.in.started = time.Now()
		if !c.beats {
			return nil
		}
		if c.reader.Buffered() < len(beatMagic) {
			c.in.bytes = len(beatMagic)
			if err := c.in.pace(); err != nil {
				return err
			}
			c.in.bytes = 0
		}
		b, err := c.reader.Peek(len(beatMagic))
		switch {
		case err == io.EOF:
			return fmt.Errorf("frame ends at byte %d: %w", len(b), io.ErrUnexpectedEOF)
		case err != nil:
			return err
		case string(b) != beatMagic:
			return nil
		}
		c.reader.Discard(len(beatMagic))
		c.in.started = time.Time{}
	}
}

// listening is the connection's reading half, on which every byte is a sign of life.
type listening struct{ c *Conn }

func (l listening) Read(b []byte) (int, error) {
	for {
		n, err := l.c.nc.Read(b)
		if n > 0 {
			l.c.pulse.heard.Store(true)
		}
		if err == nil || !l.c.in.again(err) {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
	}
}
