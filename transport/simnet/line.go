package simnet

import (
	"io"
	"net"
	"os"
	"slices"
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
	*road
	*state
	exact  bool // delivers at the very time, by the system's clock
	queue  []burst
	queued int   // bytes
	total  int64 // bytes written so far

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
	left    time.Time // when its last byte has left the sending end
	arrives time.Time
}

// road is what the lines share that go the same way at the same time: one line
// of a Pipe, all of a Shaper. The lines' state guards it.
type road struct {
	link  Link
	free  time.Time // when all that is queued has left
	lines []*line
}

// window is how many bytes are queued before write waits.
func (r *road) window() int { return buffer + int(r.link.Bandwidth*r.link.Latency.Seconds()) }

// burst is how many bytes are sent at a time.
func (r *road) burst() int {
	if r.link.Bandwidth == 0 {
		return maxBurst
	}
	return int(min(max(r.link.Bandwidth*burstTime.Seconds(), minBurst), maxBurst))
}

// takes is how long so many bytes take to leave.
func (r *road) takes(bytes int) time.Duration {
	if r.link.Bandwidth == 0 {
		return 0
	}
	return time.Duration(float64(bytes) / r.link.Bandwidth * float64(time.Second))
}

// change makes the road another link, which what has not left by then takes.
func (r *road) change(l Link) {
	now := time.Now()
	r.link, r.free = l, now
	var waiting []*burst
	for _, q := range r.lines {
		for i := range q.queue {
			if b := &q.queue[i]; b.left.After(now) {
				waiting = append(waiting, b)
			}
		}
	}
	slices.SortStableFunc(waiting, func(a, b *burst) int { return a.left.Compare(b.left) })
	for _, b := range waiting {
		r.free = r.free.Add(r.takes(len(b.data)))
		b.left, b.arrives = r.free, r.free.Add(l.Latency)
	}
}

func newLine(l Link, s *state) *line { return (&road{link: l}).line(s) }

// line is a new line of the road.
func (r *road) line(s *state) *line {
	q := &line{road: r, state: s}
	r.lines = append(r.lines, q)
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
		case q.queued >= q.window():
			q.changed.Wait()
			continue
		}
		k := min(len(p), q.road.burst(), q.window()-q.queued)
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
	q.free = q.free.Add(q.takes(len(p)))
	q.queue = append(q.queue, burst{append([]byte(nil), p...), q.free, q.free.Add(q.link.Latency)})
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
			left := time.Until(q.queue[0].arrives)
			switch {
			case left <= 0:
				return q.take(p), nil
			case !q.exact:
				q.waitFor(left)
			case left > coarse:
				q.waitFor(left - coarse)
			default:
				q.mu.Unlock()
				nap(left)
				q.mu.Lock()
			}
			continue
		case q.cut:
			return 0, ErrCut
		case q.writerClosed:
			return 0, io.EOF
		}
		q.changed.Wait()
	}
}

// waitFor waits for a change, and no longer than d.
func (q *line) waitFor(d time.Duration) {
	t := time.AfterFunc(d, q.wake)
	q.changed.Wait()
	t.Stop()
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
	q.lines = slices.DeleteFunc(q.lines, func(l *line) bool { return l == q })
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
