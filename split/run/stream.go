package run

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"scission/engine/tensor"
)

// Stream has many requests in flight through an Execution. While one is on one
// host another is on the next, or on its way there, so that the slowest host or
// hop says how many come out in a time. Answers come in the order of the
// requests.
//
// Submit and Receive may be called at the same time, Submit also by several
// goroutines. One that has a request answered before it submits the next does
// what Run does, at the price of a copy of the inputs.
type Stream struct {
	pipeline pipeline
	flow     *flow
	credits  *credits
	last     *job // whose results the caller has
}

// StreamOptions bound what a Stream has in flight: requests that were submitted
// and whose answers were not yet received.
type StreamOptions struct {
	Depth int // requests; 0 means one for each stage and each hop, and one more
	Bytes int // of the inputs, unless it is one request; 0 means DefaultStreamBytes
}

// DefaultStreamBytes bounds the bytes of the inputs that a Stream has in flight.
const DefaultStreamBytes = 64 << 20

// Request is a run.
type Request struct {
	ID    uint64 // what the caller calls it; it travels along
	Epoch uint64 // the plan for which it is made, for the caller; it travels along
	// From is the first layer to be run, which is one of Stream.Begins. Unless it
	// is 0, the Inputs are what crosses the cut before it.
	From   int
	Inputs []*tensor.Tensor
}

// Answer is how a request ended.
type Answer struct {
	ID, Epoch uint64 // of the request
	// Outputs are valid until the next Receive.
	Outputs []*tensor.Tensor
	Spans   []Span
	Began   time.Time     // the end of Submit's wait
	Total   time.Duration // from there
	// Err is why there are no outputs. If it is ErrBroken, all later requests
	// fail with it.
	Err error
	// With Err, Held is what crosses the cut before Layer, up to which the request
	// had come, so that another execution may go on from there; it is nil if the
	// request was given up. Valid until the next Receive.
	Layer int
	Held  []*tensor.Tensor
}

// Stream starts a Stream, which must be closed before e is. Until then e must
// not be run, nor have another Stream. If nothing was in flight when it was
// closed, e can be used further.
func (e *Execution) Stream(o StreamOptions) (*Stream, error) {
	if o.Depth < 0 || o.Bytes < 0 {
		return nil, fmt.Errorf("run: stream of depth %d and %d bytes, want at least 0", o.Depth, o.Bytes)
	}
	p, ok := e.Runner.(pipeline)
	if !ok {
		p = pipeline{e.Runner}
	}
	depth := cmp.Or(o.Depth, e.stages+len(e.Hops)+1)
	slots := depth + 1 // one is the last answer's
	s := &Stream{pipeline: p, flow: newFlow(context.Background(), p, slots), credits: newCredits(depth, cmp.Or(o.Bytes, DefaultStreamBytes))}
	for range slots {
		s.flow.free.put(newJob())
	}
	return s, nil
}

// Submit sends a request on its way, which it copies. It waits until there is
// room for it. The request is given up when ctx ends, even after Submit has
// returned: its answer is then ctx's error. Hosts that work on it are told of the
// deadline, and when nobody waits for it any more.
//
// A request is answered once if and only if Submit returns nil. Otherwise the
// error is that of ctx, ErrClosed, or ErrBroken.
func (s *Stream) Submit(ctx context.Context, r Request) error {
	for i, t := range r.Inputs {
		if t == nil {
			return fmt.Errorf("run: request %d: input %d is missing", r.ID, i)
		}
	}
	if !slices.Contains(s.Begins(), r.From) {
		return fmt.Errorf("run: request %d: from layer %d, want one of %v", r.ID, r.From, s.Begins())
	}
	size := bytesOf(r.Inputs)
	j, err := s.slot(ctx, size)
	if err != nil {
		return fmt.Errorf("run: request %d: %w", r.ID, err)
	}
	j.inputs = copyTensors(j.inputs, r.Inputs)
	j.tensors = j.inputs
	if _, ok := s.flow.submit(ctx, j, label{id: r.ID, epoch: r.Epoch, size: size, from: r.From}, time.Now(), len(s.pipeline)); !ok {
		s.credits.give(size)
		s.flow.free.put(j)
		return fmt.Errorf("run: request %d: %w", r.ID, ErrClosed)
	}
	return nil
}

// Begins lists the layers at which a request can begin: that of each stage here,
// and of each row of stages on other hosts that hand on to each other.
func (s *Stream) Begins() []int {
	begins := make([]int, len(s.pipeline))
	for i, r := range s.pipeline {
		begins[i], _ = extent(r)
	}
	return begins
}

// slot waits for room for a request of so many bytes.
func (s *Stream) slot(ctx context.Context, size int) (*job, error) {
	if err := s.pipeline.lost(); err != nil {
		return nil, err
	}
	if err := s.credits.take(size, ctx, s.flow.ctx); err != nil {
		if ctx.Err() == nil {
			err = ErrClosed
		}
		return nil, err
	}
	select {
	case <-s.flow.free.there: // later, if requests that were given up still have their memory
		return s.flow.free.pop(), nil
	case <-ctx.Done():
		s.credits.give(size)
		return nil, ctx.Err()
	case <-s.flow.ctx.Done():
		s.credits.give(size)
		return nil, ErrClosed
	}
}

// Receive waits for the answer to the first request that it has not yet
// returned the answer to. It fails with io.EOF when there will be no more, and
// when ctx ends.
func (s *Stream) Receive(ctx context.Context) (Answer, error) {
	if s.last != nil {
		s.flow.recycle(s.last)
		s.last = nil
	}
	o, err := s.flow.next(ctx)
	if err != nil {
		return Answer{}, err
	}
	s.credits.give(o.size)
	a := Answer{ID: o.id, Epoch: o.epoch, Err: o.err}
	if s.last = o.job; o.job != nil {
		a.Began, a.Total = o.job.start, o.job.took
		if o.err == nil {
			a.Outputs, a.Spans = o.job.tensors, o.job.spans
		} else {
			a.Layer, a.Held = o.job.layer, o.job.tensors
		}
	}
	return a, nil
}

// Depth is how many requests can be in flight.
func (s *Stream) Depth() int { return s.credits.depth }

// InFlight returns how many requests are in flight, and the bytes of their
// inputs.
func (s *Stream) InFlight() (requests, bytes int) { return s.credits.used() }

// End takes no more requests. Receive returns what is in flight and then io.EOF.
func (s *Stream) End() { s.flow.end() }

// Close is End and gives up what is in flight, after which, if that was
// anything, e can only be closed. Receive returns the rest all the same. It
// returns when the Stream's goroutines have ended.
func (s *Stream) Close() error {
	s.flow.close()
	return nil
}
