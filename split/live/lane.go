package live

import (
	"context"
	"errors"
	"sync"

	"scission/engine/tensor"
	"scission/split"
	"scission/split/run"
)

// stream is a lane of a run.Stream, whose answers it hands to those who wait for
// them.
type stream struct {
	execution *run.Execution
	stream    *run.Stream
	epoch     uint64
	wg        sync.WaitGroup

	mu      sync.Mutex
	waiting map[uint64]chan<- answer // by request id
}

type answer struct {
	out   []*tensor.Tensor
	spans []run.Span
	held  *progress
	err   error
}

func openLane(ctx context.Context, n *run.Node, d run.Deployment, epoch uint64, depth int) (lane, error) {
	e, err := n.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	s, err := e.Stream(run.StreamOptions{Depth: depth})
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	l := &stream{execution: e, stream: s, epoch: epoch, waiting: map[uint64]chan<- answer{}}
	l.wg.Go(l.receive)
	return l, nil
}

func (l *stream) run(ctx context.Context, id uint64, layer int, in []*tensor.Tensor) ([]*tensor.Tensor, []run.Span, *progress, error) {
	c := make(chan answer, 1)
	l.mu.Lock()
	l.waiting[id] = c
	l.mu.Unlock()
	if err := l.stream.Submit(ctx, run.Request{ID: id, Epoch: l.epoch, From: layer, Inputs: in}); err != nil {
		l.mu.Lock()
		delete(l.waiting, id)
		l.mu.Unlock()
		return nil, nil, nil, err
	}
	a := <-c // which comes when ctx ends, if not before
	return a.out, a.spans, a.held, a.err
}

// receive hands out the answers until there are no more.
func (l *stream) receive() {
	for {
		x, err := l.stream.Receive(context.Background())
		if err != nil {
			return
		}
		a := answer{out: clone(x.Outputs), spans: x.Spans, err: x.Err}
		if x.Err != nil && x.Held != nil {
			a.held = &progress{x.Layer, clone(x.Held)}
		}
		l.mu.Lock()
		c := l.waiting[x.ID]
		delete(l.waiting, x.ID)
		l.mu.Unlock()
		c <- a
	}
}

func (l *stream) begins() []int { return l.stream.Begins() }

func (l *stream) hops() ([]split.Hop, bool) { return l.execution.Hops, l.execution.Relayed }

func (l *stream) close() error {
	l.stream.Close()
	l.wg.Wait()
	return l.execution.Close()
}

func clone(ts []*tensor.Tensor) []*tensor.Tensor {
	var c []*tensor.Tensor
	for _, t := range ts {
		c = append(c, t.Clone())
	}
	return c
}
