package simnet

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// buffer is how many bytes a line takes in beyond those on their way: the
	// socket buffers of both ends.
	buffer = 1 << 20
	// A line sends bursts of what it carries in this time, within these sizes.
	burstTime          = time.Millisecond
	minBurst, maxBurst = 1460, 64 << 10
)

// line is one direction of a connection: a queue of bursts, each with the time
// at which it arrives.
type line struct {
	link   Link
	window int // bytes queued before write waits
	burst  int // bytes

	*state
	queue  []burst
	queued int       // bytes
	free   time.Time // when the sending end has sent all that is queued
	total  int64     // bytes written so far

	writerClosed, readerClosed  bool
	readDeadline, writeDeadline time.Time
	readTimer, writeTimer       *time.Timer
}

// state is what both directions of a connection share.
type state struct {
	mu      sync.Mutex
	changed sync.Cond
	cut     bool // a direction has reached its link.Cut
}

func newState() *state {
	s := &state{}
	s.changed.L = &s.mu
	return s
}

func (s *state) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

type burst struct {
	data    []byte
	arrives time.Time
}

func newLine(l Link, s *state) *line {
	q := &line{link: l, window: buffer, burst: maxBurst, state: s}
	if l.Bandwidth > 0 {
		q.window += int(l.Bandwidth * l.Latency.Seconds())
		q.burst = int(min(max(l.Bandwidth*burstTime.Seconds(), minBurst), maxBurst))
	}
	return q
}

// write queues p, waiting while the line is full.
func (q *line) write(p []byte) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.writerClosed:
			return n, net.ErrClosed
		case len(p) == 0:
			return n, nil
		case q.cut:
			return n, ErrCut
		case q.readerClosed:
			return n, io.ErrClosedPipe
		case expired(q.writeDeadline):
			return n, os.ErrDeadlineExceeded
		case q.queued >= q.window:
			q.changed.Wait()
			continue
		}
		k := min(len(p), q.burst, q.window-q.queued)
		if q.link.Cut > 0 {
			k = int(min(int64(k), q.link.Cut-q.total))
		}
		q.send(p[:k])
		p, n = p[k:], n+k
	}
}

// send queues one burst.
func (q *line) send(p []byte) {
	now := time.Now()
	if q.free.Before(now) {
		q.free = now
	}
	if q.link.Bandwidth > 0 {
		q.free = q.free.Add(time.Duration(float64(len(p)) / q.link.Bandwidth * float64(time.Second)))
	}
	q.queue = append(q.queue, burst{append([]byte(nil), p...), q.free.Add(q.link.Latency)})
	q.queued += len(p)
	q.total += int64(len(p))
	if q.link.Cut > 0 && q.total >= q.link.Cut {
		q.cut = true
	}
	q.changed.Broadcast()
}

// read takes what has arrived, waiting for the first byte.
func (q *line) read(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.readerClosed:
			return 0, net.ErrClosed
		case expired(q.readDeadline):
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(q.queue) > 0:
			if left := time.Until(q.queue[0].arrives); left > 0 {
				t := time.AfterFunc(left, q.wake)
				q.changed.Wait()
				t.Stop()
				continue
			}
			return q.take(p), nil
		case q.cut:
			return 0, ErrCut
		case q.writerClosed:
			return 0, io.EOF
		}
		q.changed.Wait()
	}
}

// take moves bytes that have arrived to p.
func (q *line) take(p []byte) (n int) {
	now := time.Now()
	for len(q.queue) > 0 && n < len(p) && !q.queue[0].arrives.After(now) {
		b := &q.queue[0]
		k := copy(p[n:], b.data)
		b.data, n = b.data[k:], n+k
		if len(b.data) == 0 {
			q.queue = q.queue[1:]
		}
	}
	q.queued -= n
	q.changed.Broadcast()
	return n
}

func (q *line) closeWriter() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writerClosed = true
	stop(q.writeTimer)
	q.changed.Broadcast()
}

func (q *line) closeReader() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.readerClosed = true
	q.queue, q.queued = nil, 0
	stop(q.readTimer)
	q.changed.Broadcast()
}

func (q *line) setReadDeadline(t time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	stop(q.readTimer)
	q.readDeadline, q.readTimer = t, q.wakeAt(t)
	return nil
}

func (q *line) setWriteDeadline(t time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	stop(q.writeTimer)
	q.writeDeadline, q.writeTimer = t, q.wakeAt(t)
	return nil
}

// wakeAt wakes all that wait, at t and now.
func (q *line) wakeAt(t time.Time) *time.Timer {
	q.changed.Broadcast()
	if t.IsZero() {
		return nil
	}
	return time.AfterFunc(time.Until(t), q.wake)
}

func stop(t *time.Timer) {
	if t != nil {
		t.Stop()
	}
}

func expired(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }
