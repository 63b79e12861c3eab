package engine

import (
	"context"
	"fmt"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Session is the memory of one run at a time of a Plan. It is not safe for
// concurrent use; sessions of one plan or of several may run concurrently.
type Session struct {
	plan    *Plan
	tensors []tensor.Tensor    // of each slot
	in, out [][]*tensor.Tensor // of each node
	rebind  [][2]int           // slots that show the bytes of an input slot: slot, input
	results []*tensor.Tensor
	temp    [][]byte // of each node
	exec    []graph.Exec
	job     job
	at      position
	observe func(node int, took time.Duration)
	callers map[int]*caller // of the nodes whose kernels have a Call
	late    lateRun
}

// NewSession allocates the memory of a run.
func (p *Plan) NewSession() *Session {
	arena := tensor.Alloc(p.arena)
	s := &Session{
		plan:    p,
		tensors: make([]tensor.Tensor, len(p.values)),
		exec:    make([]graph.Exec, p.threads),
	}
	for i, t := range p.values {
		s.tensors[i].Type = t
		switch at := p.places[i]; at.kind {
		case inArena:
			s.tensors[i].Raw = arena[at.offset : at.offset+p.sizes[i] : at.offset+p.sizes[i]]
		case sharesConst:
			s.tensors[i].Raw = p.consts[at.of].Raw
		case sharesInput:
			if at.of != i {
				s.rebind = append(s.rebind, [2]int{i, at.of})
			}
		}
	}
	for _, n := range p.nodes {
		s.in = append(s.in, s.operands(n.in))
		s.out = append(s.out, s.operands(n.out))
		s.temp = append(s.temp, arena[n.temp:n.temp+n.kernel.Temp])
		if n.kernel.Call != nil {
			if s.callers == nil {
				s.callers = map[int]*caller{}
			}
			s.callers[len(s.temp)-1] = &caller{kernel: n.kernel, plans: n.bodies}
		}
	}
	for _, o := range p.outputs {
		s.results = append(s.results, &s.tensors[o.to])
	}
	for i := range s.exec {
		s.exec[i].Scratch = tensor.Alloc(p.scratch)
	}
	s.job.exec, s.job.next = s.exec, s.next
	return s
}

func (s *Session) operands(slots []int) []*tensor.Tensor {
	ts := make([]*tensor.Tensor, len(slots))
	for i, slot := range slots {
		if slot >= 0 {
			ts[i] = &s.tensors[slot]
		}
	}
	return ts
}

// Observe makes every later run call f after each node with its place in
// Plan.Nodes and the time it took. A nil f ends that.
func (s *Session) Observe(f func(node int, took time.Duration)) { s.observe = f }

// Run runs the plan. The inputs have the types of Plan.Inputs, in that order;
// Run reads them and does not keep them. The results belong to the session and
// are valid until its next Run. When ctx ends, Run returns its error between
// two nodes. After the session's first run, Run does not allocate on the heap,
// unless the plan has late values or nodes that run graphs of their own. An input
// that is late may have any type; the outputs that are have one in each run.
func (s *Session) Run(ctx context.Context, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	team := acquire(len(s.exec))
	if team != nil {
		defer team.release()
	}
	return s.run(ctx, in, team)
}

// run is Run on a team that is acquired, nil for the calling goroutine alone.
func (s *Session) run(ctx context.Context, in []*tensor.Tensor, team *pool) ([]*tensor.Tensor, error) {
	if s.plan.tail != nil {
		return s.runLate(ctx, in, team)
	}
	return s.runKnown(ctx, in, team)
}

// runKnown runs the nodes of the plan.
func (s *Session) runKnown(ctx context.Context, in []*tensor.Tensor, team *pool) ([]*tensor.Tensor, error) {
	p := s.plan
	if len(in) != len(p.inputs) {
		return nil, fmt.Errorf("engine: run %q: got %d inputs, want %d", p.name, len(in), len(p.inputs))
	}
	defer s.forget()
	for i, t := range in {
		want := &p.ins[i]
		if p.tail != nil {
			want = &p.ins[p.tail.known[i]]
		}
		if t == nil || !t.Type.Equal(want.Type) || len(t.Raw) != want.Type.Bytes() {
			return nil, fmt.Errorf("engine: run %q: input %q is %v, want %v", p.name, want.Name, describe(t), want.Type)
		}
		if !tensor.Aligned(t.Raw, t.DType.Size()) {
			return nil, fmt.Errorf("engine: run %q: input %q is not aligned to %d bytes", p.name, want.Name, t.DType.Size())
		}
		s.tensors[p.inputs[i]].Raw = t.Raw
	}
	for _, r := range s.rebind {
		s.tensors[r[0]].Raw = s.tensors[r[1]].Raw
	}
	for i := 0; i < len(p.nodes); {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("engine: run %q: %w", p.name, err)
		}
		var start time.Time
		if s.observe != nil {
			start = time.Now()
		}
		to := s.stretch(i)
		at, err := s.nodes(ctx, i, to, team)
		if err != nil {
			return nil, fmt.Errorf("engine: run %q: node %q (%s): %w", p.name, p.nodes[at].info.Name, p.nodes[at].info.Op, err)
		}
		if s.observe != nil && at == to {
			s.observe(i, time.Since(start))
		}
		i = at
	}
	for _, o := range p.outputs {
		if o.copied {
			copy(s.tensors[o.to].Raw, s.tensors[o.from].Raw)
		}
	}
	return s.results, nil
}

// forget drops the memory of the caller's tensors.
func (s *Session) forget() {
	for _, slot := range s.plan.inputs {
		s.tensors[slot].Raw = nil
	}
	for _, r := range s.rebind {
		s.tensors[r[0]].Raw = nil
	}
}

func describe(t *tensor.Tensor) string {
	if t == nil {
		return "missing"
	}
	return fmt.Sprintf("%v of %d bytes", t.Type, len(t.Raw))
}

// position is how far a job of some nodes has come.
type position struct {
	ctx      context.Context
	shared   bool // with a team
	node, to int  // of the plan: the one whose steps are under way, and the first that is not part of the job
	step     int  // the next step of that node
}

// stretch returns the end of the nodes from node i on that can be one job: one
// that calls graphs of its own cannot be with others, nor one that is observed.
func (s *Session) stretch(i int) int {
	to := i + 1
	if s.observe != nil || s.callers[i] != nil {
		return to
	}
	for to < len(s.plan.nodes) && s.callers[to] == nil {
		to++
	}
	return to
}

// nodes runs the nodes from from to to, or as far as it comes before ctx ends.
// It returns the first that is not done, which is the one with the error if
// there is one.
func (s *Session) nodes(ctx context.Context, from, to int, team *pool) (at int, err error) {
	if c := s.callers[from]; c != nil {
		if err := s.call(ctx, from, c, team); err != nil {
			return from, err
		}
		return to, nil
	}
	s.at = position{ctx: ctx, shared: team != nil, node: from, to: to}
	if team != nil {
		team.do(&s.job)
	} else {
		s.next(0)
	}
	s.at.ctx = nil
	if err := s.job.err.Swap(nil); err != nil {
		return s.at.node, *err
	}
	return s.at.node, nil
}

// next is job.next for nodes.
func (s *Session) next(id int) bool {
	j, at := &s.job, &s.at
	for at.node < at.to && j.err.Load() == nil {
		steps := s.plan.nodes[at.node].kernel.Steps
		if at.step == 0 {
			if at.ctx.Err() != nil {
				return false
			}
			j.in, j.out = s.in[at.node], s.out[at.node]
			for w := range s.exec {
				s.exec[w].Temp = s.temp[at.node]
			}
		}
		if at.step == len(steps) {
			at.node++
			at.step = 0
			continue
		}
		j.step = &steps[at.step]
		at.step++
		if at.shared && j.step.N > 1 {
			j.pieces = min(j.step.N, piecesPerWorker*len(s.exec))
			return true
		}
		j.serial(id)
	}
	return false
}
