package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"scission/engine"
	"scission/engine/tensor"
	"scission/split"
	"scission/split/tile"
)

// tileRequest makes the only stage of an openRequest the part of one worker of
// a tiled stage.
type tileRequest struct {
	Shares []int `json:"shares"` // of all workers
	Worker int   `json:"worker"` // the receiver
}

// tiled runs a tiled stage: all workers at once, each with rows of its own.
type tiled struct {
	segment split.Segment
	plan    *tile.Plan
	workers []tileWorker
	out     []*tensor.Tensor
}

// tileWorker is a worker and the rows that it is given.
type tileWorker struct {
	Runner
	host string
	in   []*tensor.Tensor
}

// openTiled opens a tiled stage with its workers.
func (n *Node) openTiled(ctx context.Context, d Deployment, self string, s split.Stage, memory *int) (*tiled, error) {
	ws := s.Workers()
	if ws == nil {
		return nil, fmt.Errorf("run: stage %v: bad workers", s)
	}
	plan, err := tile.New(d.Model.Graph, s.Segment, split.Shares(ws))
	if err != nil {
		return nil, fmt.Errorf("run: stage %v: %w", s, err)
	}
	t := &tiled{segment: s.Segment, plan: plan}
	for i, w := range ws {
		var r Runner
		if w.Host == self {
			r, err = n.openTileHere(d, plan, i, split.Stage{Host: self, Segment: s.Segment}, memory)
		} else {
			r, err = n.openTileThere(ctx, d, self, plan, i, ws, s.Segment)
		}
		if err != nil {
			t.Close()
			return nil, err
		}
		in, _ := plan.Types(i)
		t.workers = append(t.workers, tileWorker{r, w.Host, newTensors(in)})
	}
	for _, v := range plan.Outputs {
		t.out = append(t.out, tensor.New(v.DType, v.Shape...))
	}
	return t, nil
}

func newTensors(types []tensor.Type) (ts []*tensor.Tensor) {
	for _, t := range types {
		ts = append(ts, tensor.New(t.DType, t.Shape...))
	}
	return ts
}

// openTileHere compiles a worker's part for this host.
func (n *Node) openTileHere(d Deployment, plan *tile.Plan, worker int, s split.Stage, memory *int) (*local, error) {
	g, layers, err := plan.Graph(worker)
	if err != nil {
		return nil, fmt.Errorf("run: stage %v: %w", s, err)
	}
	compiled, err := engine.Compile(g, engine.Options{Threads: n.Threads, Memory: max(*memory, 1), Exact: n.Exact})
	if err != nil {
		return nil, fmt.Errorf("run: stage %v: %w", s, err)
	}
	*memory -= compiled.Memory()
	nodes := planNodes(compiled, 0)
	for i := range nodes {
		for j, node := range nodes[i].Layers {
			nodes[i].Layers[j] = s.Segment.From + layers[node]
		}
	}
	return n.newLocal(s, compiled, nodes, d.Layers), nil
}

// openTileThere opens a worker's part on another host, which makes it of the
// model by itself.
func (n *Node) openTileThere(ctx context.Context, d Deployment, self string, plan *tile.Plan, worker int, ws []split.Worker, s split.Segment) (*remote, error) {
	p, err := n.dialAs(ctx, self, ws[worker].Host, d.Lossy)
	if err != nil {
		return nil, err
	}
	stages := split.Partition{{Host: ws[worker].Host, Segment: s}}
	err = n.withModel(ctx, p, d.Model, self, stages, func() error {
		o, err := p.openPart(ctx, d, stages, &tileRequest{split.Shares(ws), worker})
		if err == nil && o.Taken != 1 {
			err = p.wrap(fmt.Errorf("took %d of 1 stages", o.Taken))
		}
		return err
	})
	r := &remote{peer: p, taken: stages, credits: newCredits(1, 0)}
	if err == nil {
		_, r.results = plan.Types(worker)
		r.there, r.back = tileHops(self, ws[worker].Host, s)
		err = r.choose(d)
	}
	if err != nil {
		p.conn.Close()
		return nil, err
	}
	return r, nil
}

// tileHops are the transfers of a worker's rows.
func tileHops(source, worker string, s split.Segment) (there, back split.Hop) {
	return split.Hop{From: source, To: worker, Position: s.From, Tile: true}, split.Hop{From: worker, To: source, Position: s.To, Tile: true}
}

// tile opens the part of a tiled stage that a request wants of this host.
func (s *session) tile(d Deployment, r openRequest) error {
	if len(r.Stages) != 1 {
		return fmt.Errorf("run: %d stages with a tile, want 1", len(r.Stages))
	}
	stage := r.Stages[0]
	plan, err := tile.New(d.Model.Graph, stage.Segment, r.Tile.Shares)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if r.Tile.Worker < 0 || r.Tile.Worker >= len(plan.Tiles) {
		return fmt.Errorf("run: worker %d of a tiled stage, want 0 to %d", r.Tile.Worker, len(plan.Tiles)-1)
	}
	memory := s.node.memory()
	l, err := s.node.openTileHere(d, plan, r.Tile.Worker, stage, &memory)
	if err != nil {
		return err
	}
	s.runner.pipeline = pipeline{l}
	_, back := tileHops(s.client.Name, stage.Host, stage.Segment)
	s.runner.codec, err = d.choiceFor(back)
	return err
}

// Run gives each worker its rows and puts together what they give. The spans are
// those of one worker after the other.
func (t *tiled) Run(ctx context.Context, in []*tensor.Tensor) ([]*tensor.Tensor, []Span, error) {
	if err := t.plan.Check(in); err != nil {
		return nil, nil, fmt.Errorf("run: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := time.Now()
	spans := make([][]Span, len(t.workers))
	errs := make([]error, len(t.workers))
	var wg sync.WaitGroup
	var first sync.Once
	failed := 0 // the worker whose error ended the others
	for i := range t.workers {
		wg.Go(func() {
			w := &t.workers[i]
			t.plan.Take(i, in, w.in)
			start := time.Now()
			out, took, err := w.Run(ctx, w.in)
			spans[i], errs[i] = appendSpans(nil, took, start.Sub(begin), 0), err
			if err != nil {
				first.Do(func() { failed = i })
				cancel()
				return
			}
			t.plan.Give(i, out, t.out)
		})
	}
	wg.Wait()
	if err := errs[failed]; err != nil {
		return nil, nil, err
	}
	t.plan.Pass(in, t.out)
	return t.out, slices.Concat(spans...), nil
}

func (t *tiled) lost() error {
	for _, w := range t.workers {
		if err := (pipeline{w.Runner}).lost(); err != nil {
			return err
		}
	}
	return nil
}

func (t *tiled) Close() error {
	var errs []error
	for _, w := range t.workers {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}
