package run

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
	"scission/split/cut"
	"scission/transport/simnet"
)

// local runs a segment of a graph on this host.
type local struct {
	host     string
	segment  split.Segment
	plan     *engine.Plan
	nodes    []planNode
	slowdown float64
	turn     *processor // of the host
	observed bool       // the times of layers are asked for
	seats    []*seat    // those of the first so many of requests that are computed together
	batch    batching
	runs     []engine.Run // of the requests that are computed
}

// seat is the memory of one of the requests that are computed together.
type seat struct {
	session *engine.Session
	layers  []time.Duration // of the segment in the run under way; nil if not asked for
}

// compile compiles a part of a graph for this host, with at most so many bytes
// of activations.
func (n *Node) compile(g *graph.Graph, s split.Segment, memory int) (*engine.Plan, error) {
	part, err := cut.Extract(g, s)
	if err != nil {
		return nil, err
	}
	return engine.Compile(part, engine.Options{Threads: n.Threads, Memory: memory, Exact: n.Exact})
}

// openLocal takes what the session needs from memory.
func (n *Node) openLocal(d Deployment, s split.Stage, memory *int) (*local, error) {
	plan, err := n.compile(d.Model.Graph, s.Segment, max(*memory, 1))
	if err != nil {
		return nil, fmt.Errorf("run: stage %v: %w", s, err)
	}
	*memory -= plan.Memory()
	return n.newLocal(s, plan, planNodes(plan, s.Segment.From), d.Layers), nil
}

// newLocal returns what runs a plan of this host's.
func (n *Node) newLocal(s split.Stage, plan *engine.Plan, nodes []planNode, observed bool) *local {
	l := &local{host: s.Host, segment: s.Segment, plan: plan, nodes: nodes, slowdown: n.Slowdown, turn: n.turns(), observed: observed}
	l.seat(0) // so that the first run need not wait for its memory
	return l
}

// memory is the bytes that the stages of a deployment may have here.
func (n *Node) memory() int { return cmp.Or(n.Memory, engine.DefaultMemory) }

// seat returns one of the seats; those before it are there.
func (l *local) seat(i int) *seat {
	if i == len(l.seats) {
		l.seats = append(l.seats, &seat{session: l.plan.NewSession()})
		l.watch(l.seats[i])
	}
	return l.seats[i]
}

// observe adds up the times of the plan's nodes by layer, or does not any more.
func (l *local) observe(on bool) {
	l.observed = on
	for _, s := range l.seats {
		l.watch(s)
	}
}

// watch is observe for one seat.
func (l *local) watch(s *seat) {
	if !l.observed {
		s.layers = nil
		s.session.Observe(nil)
		return
	}
	s.layers = make([]time.Duration, l.segment.Len())
	layer := make([]int, len(l.nodes))
	for i, n := range l.nodes {
		layer[i] = len(s.layers) - 1 // the results' change of layout
		if len(n.Layers) > 0 {
			layer[i] = n.Layers[0] - l.segment.From
		}
	}
	s.session.Observe(func(node int, took time.Duration) { s.layers[layer[node]] += took })
}

func (l *local) Run(ctx context.Context, in []*tensor.Tensor) ([]*tensor.Tensor, []Span, error) {
	called := time.Now()
	if err := l.take(ctx); err != nil {
		return nil, nil, err
	}
	defer l.turn.give()
	l.runs = append(l.runs[:0], engine.Run{Context: ctx, In: in})
	start, took := l.compute()
	if err := l.runs[0].Err; err != nil {
		return nil, nil, err
	}
	return l.runs[0].Out, []Span{l.span(0, start.Sub(called), took)}, nil
}

// take waits for l's turn to compute.
func (l *local) take(ctx context.Context) error {
	if err := l.turn.take(ctx); err != nil {
		return fmt.Errorf("run: host %s: %w", l.host, err)
	}
	return nil
}

// compute makes l.runs, of which the contexts and inputs are set, together. It
// returns when they began and how long each took, as if one had been made after the
// other.
func (l *local) compute() (start time.Time, each time.Duration) {
	for i := range l.runs {
		s := l.seat(i)
		clear(s.layers)
		l.runs[i].Session = s.session
	}
	start = time.Now()
	engine.RunTogether(l.runs)
	took := time.Since(start)
	for i := range l.runs {
		r := &l.runs[i]
		if r.Err != nil {
			r.Err = fmt.Errorf("run: host %s, layers %v: %w", l.host, l.segment, r.Err)
			continue
		}
		if l.slowdown > 1 {
			for k, d := range l.seats[i].layers {
				l.seats[i].layers[k] = time.Duration(float64(d) * l.slowdown)
			}
			if err := simnet.Wait(r.Context, time.Duration(float64(took)*l.slowdown)-time.Since(start)); err != nil {
				r.Err = fmt.Errorf("run: host %s: %w", l.host, err)
			}
		}
	}
	if l.slowdown > 1 {
		took = time.Since(start)
	}
	return start, took / time.Duration(len(l.runs))
}

// span is that of l.runs[i], which began and took a time.
func (l *local) span(i int, at, took time.Duration) Span {
	segment := l.segment // a span that is kept must not keep the plan
	return Span{What: Compute, Host: l.host, At: at, Took: took, Segment: &segment, Layers: append([]time.Duration(nil), l.seats[i].layers...)}
}

func (l *local) Close() error { return nil }

// processor is what stages take turns at.
type processor struct {
	once sync.Once
	busy chan struct{} // a value for each stage that computes
}

// turns are those of this host. A slowed one computes one stage at a time.
func (n *Node) turns() *processor {
	n.processor.once.Do(func() {
		size := cmp.Or(n.Computing, runtime.GOMAXPROCS(0))
		if n.Slowdown > 1 {
			size = 1
		}
		n.processor.busy = make(chan struct{}, size)
	})
	return &n.processor
}

func (p *processor) take(ctx context.Context) error {
	select {
	case p.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *processor) give() { <-p.busy }
