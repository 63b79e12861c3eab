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
	session  *engine.Session
	nodes    []planNode
	memory   int // bytes of the session
	slowdown float64
	turn     *processor      // of the host
	layers   []time.Duration // of the segment in the run under way; nil if not asked for
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
	l := &local{host: s.Host, segment: s.Segment, session: plan.NewSession(), nodes: planNodes(plan, s.Segment.From), memory: plan.Memory(), slowdown: n.Slowdown, turn: n.turns()}
	l.observe(d.Layers)
	return l, nil
}

// memory is the bytes that the stages of a deployment may have here.
func (n *Node) memory() int { return cmp.Or(n.Memory, engine.DefaultMemory) }

// observe adds up the times of the plan's nodes by layer, or does not any more.
func (l *local) observe(on bool) {
	if !on {
		l.layers = nil
		l.session.Observe(nil)
		return
	}
	l.layers = make([]time.Duration, l.segment.Len())
	layer := make([]int, len(l.nodes))
	for i, n := range l.nodes {
		layer[i] = len(l.layers) - 1 // the results' change of layout
		if len(n.Layers) > 0 {
			layer[i] = n.Layers[0] - l.segment.From
		}
	}
	l.session.Observe(func(node int, took time.Duration) { l.layers[layer[node]] += took })
}

func (l *local) Run(ctx context.Context, in []*tensor.Tensor) ([]*tensor.Tensor, []Span, error) {
	clear(l.layers)
	called := time.Now()
	if err := l.turn.take(ctx); err != nil {
		return nil, nil, fmt.Errorf("run: host %s: %w", l.host, err)
	}
	defer l.turn.give()
	start := time.Now()
	out, err := l.session.Run(ctx, in)
	if err != nil {
		return nil, nil, fmt.Errorf("run: host %s, layers %v: %w", l.host, l.segment, err)
	}
	took := time.Since(start)
	layers := append([]time.Duration(nil), l.layers...)
	if l.slowdown > 1 {
		for i := range layers {
			layers[i] = time.Duration(float64(layers[i]) * l.slowdown)
		}
		if err := simnet.Wait(ctx, time.Duration(float64(took)*l.slowdown)-time.Since(start)); err != nil {
			return nil, nil, fmt.Errorf("run: host %s: %w", l.host, err)
		}
		took = time.Since(start)
	}
	segment := l.segment // a span that is kept must not keep the plan
	return out, []Span{{What: Compute, Host: l.host, At: start.Sub(called), Took: took, Segment: &segment, Layers: layers}}, nil
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
