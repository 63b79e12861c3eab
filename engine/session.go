package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

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
	exec    []exec

	ctx     context.Context // of the run under way
	err     error           // of it
	lane    lane
	group   []*Session // whose runs this one leads, itself or more
	job     job        // of the group
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
		exec:    make([]exec, p.threads),
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
// Plan.Nodes and the time it took, or of runs together an equal share of it. A nil f
// ends that.
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
	if err := s.begin(ctx, in); err != nil {
		return nil, err
	}
	s.group = append(s.group[:0], s)
	s.lead(team)
	return s.end()
}

// Run is one of several runs that are made together: what Session.Run takes and,
// once it is made, what that returns.
type Run struct {
	Session *Session
	Context context.Context
	In      []*tensor.Tensor

	Out []*tensor.Tensor
	Err error
}

// RunTogether makes several runs of one plan, each in a session of its own. Each
// gives what Session.Run would give, bit for bit, and fails alone if it fails. But
// all have done a step of a kernel before any goes on to the next, and the iterations of
// all are shared out at once: so workers wait for each other as seldom as in one run. Runs of
// a plan that has late values are made one after the other.
func RunTogether(runs []Run) {
	if len(runs) == 0 {
		return
	}
	first := runs[0].Session
	team := acquire(len(first.exec))
	if team != nil {
		defer team.release()
	}
	first.group = first.group[:0]
	for i := range runs {
		r := &runs[i]
		r.Out = nil
		switch {
		case r.Session.plan != first.plan || slices.ContainsFunc(runs[:i], func(o Run) bool { return o.Session == r.Session }):
			r.Err = fmt.Errorf("engine: run %q: run %d is not in a session of its own of the plan", first.plan.name, i)
		case first.plan.tail != nil:
			r.Out, r.Err = r.Session.run(r.Context, r.In, team)
		default:
			if r.Err = r.Session.begin(r.Context, r.In); r.Err == nil {
				first.group = append(first.group, r.Session)
			}
		}
	}
	if first.plan.tail != nil {
		return
	}
	first.lead(team)
	for i := range runs {
		if r := &runs[i]; r.Err == nil {
			r.Out, r.Err = r.Session.end()
		}
	}
}

// begin takes the inputs of a run of the nodes of the plan.
func (s *Session) begin(ctx context.Context, in []*tensor.Tensor) error {
	p := s.plan
	if len(in) != len(p.inputs) {
		return fmt.Errorf("engine: run %q: got %d inputs, want %d", p.name, len(in), len(p.inputs))
	}
	for i, t := range in {
		want := &p.ins[i]
		if p.tail != nil {
			want = &p.ins[p.tail.known[i]]
		}
		if t == nil || !t.Type.Equal(want.Type) || len(t.Raw) != want.Type.Bytes() {
			return fmt.Errorf("engine: run %q: input %q is %v, want %v", p.name, want.Name, describe(t), want.Type)
		}
		if !tensor.Aligned(t.Raw, t.DType.Size()) {
			return fmt.Errorf("engine: run %q: input %q is not aligned to %d bytes", p.name, want.Name, t.DType.Size())
		}
	}
	for i, t := range in {
		s.tensors[p.inputs[i]].Raw = t.Raw
	}
	for _, r := range s.rebind {
		s.tensors[r[0]].Raw = s.tensors[r[1]].Raw
	}
	s.ctx, s.err = ctx, nil
	return nil
}

// end returns how the run ended that begin began and some session has led. It
// drops the caller's context and the memory of the caller's tensors.
func (s *Session) end() ([]*tensor.Tensor, error) {
	s.ctx = nil
	if s.err == nil {
		for _, o := range s.plan.outputs {
			if o.copied {
				copy(s.tensors[o.to].Raw, s.tensors[o.from].Raw)
			}
		}
	}
	for _, slot := range s.plan.inputs {
		s.tensors[slot].Raw = nil
	}
	for _, r := range s.rebind {
		s.tensors[r[0]].Raw = nil
	}
	if s.err != nil {
		return nil, s.err
	}
	return s.results, nil
}

func describe(t *tensor.Tensor) string {
	if t == nil {
		return "missing"
	}
	return fmt.Sprintf("%v of %d bytes", t.Type, len(t.Raw))
}

// position is how far the job of a group has come.
type position struct {
	shared   bool // with a team
	node, to int  // of the plan: the one whose steps are under way, and the first that is not part of the job
	step     int  // the next step of that node
}

// lead runs the nodes of the plan for the sessions of s.group, whose runs have begun.
func (s *Session) lead(team *pool) {
	for i := 0; i < len(s.plan.nodes) && len(s.group) > 0; {
		observed := slices.ContainsFunc(s.group, func(o *Session) bool { return o.observe != nil })
		var start time.Time
		if observed {
			start = time.Now()
		}
		to := s.stretch(i, observed)
		s.at = position{shared: team != nil, node: i, to: to}
		switch {
		case s.callers[i] != nil:
			s.calls(i, team)
		case team != nil:
			team.do(&s.job)
		default:
			s.next(0)
		}
		if observed && len(s.group) > 0 {
			share := time.Since(start) / time.Duration(len(s.group))
			for _, o := range s.group {
				if o.observe != nil {
					o.observe(i, share)
				}
			}
		}
		i = to
	}
	clear(s.group)
}

// stretch returns the end of the nodes from node i on that can be one job: one
// that calls graphs of its own cannot be with others, nor one that is observed.
func (s *Session) stretch(i int, observed bool) int {
	to := i + 1
	if observed || s.callers[i] != nil {
		return to
	}
	for to < len(s.plan.nodes) && s.callers[to] == nil {
		to++
	}
	return to
}

// next is job.next for nodes.
func (s *Session) next(id int) bool {
	j, at := &s.job, &s.at
	for at.node < at.to && s.carryOn() {
		steps := s.plan.nodes[at.node].kernel.Steps
		if at.step == len(steps) {
			at.node++
			at.step = 0
			continue
		}
		j.step = &steps[at.step]
		at.step++
		if iterations := j.step.N * len(j.lanes); at.shared && iterations > 1 {
			j.pieces = min(iterations, piecesPerWorker*len(s.exec))
			return true
		}
		j.serial(id)
	}
	return false
}

// carryOn takes out of the group the sessions whose runs have failed or, before a
// node, whose contexts have ended, and gets the lanes of the others ready for the
// node. It reports whether there are any.
func (s *Session) carryOn() bool {
	at, left := &s.at, s.group[:0]
	s.job.lanes = s.job.lanes[:0]
	for _, o := range s.group {
		if err := o.lane.err.Swap(nil); err != nil {
			o.fail(at.node, *err)
			continue
		}
		if at.step == 0 {
			if err := o.ctx.Err(); err != nil {
				o.err = fmt.Errorf("engine: run %q: %w", s.plan.name, err)
				continue
			}
			o.lane.in, o.lane.out, o.lane.temp = o.in[at.node], o.out[at.node], o.temp[at.node]
		}
		left = append(left, o)
		s.job.lanes = append(s.job.lanes, &o.lane)
	}
	clear(s.group[len(left):])
	s.group = left
	return len(left) > 0
}

// fail ends the run with the error of a node.
func (s *Session) fail(node int, err error) {
	info := &s.plan.nodes[node].info
	s.err = fmt.Errorf("engine: run %q: node %q (%s): %w", s.plan.name, info.Name, info.Op, err)
}

// calls runs node i, whose kernel has a Call, for the sessions of the group, one after
// the other.
func (s *Session) calls(i int, team *pool) {
	if !s.carryOn() {
		return
	}
	for _, o := range s.group {
		if err := o.call(o.ctx, i, o.callers[i], team); err != nil {
			o.fail(i, err)
		}
	}
	s.group = slices.DeleteFunc(s.group, func(o *Session) bool { return o.err != nil })
}
