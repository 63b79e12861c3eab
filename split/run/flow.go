package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"scission/engine/tensor"
	"scission/transport"
)

// flow runs requests through the parts of a pipeline. The parts work at the
// same time, each on one request, but one on another host on two, of which one is
// sent there while the answer to another is received, and one that computes here on
// as many as are faster together. Requests stay in order.
//
// A source has a flow in its Stream, a worker in its session.
type flow struct {
	ctx     context.Context // of all that the parts do
	cancel  context.CancelFunc
	free    jobs
	first   chan *job // to the first part
	pending chan *job // all that were submitted, in order
	head    *job      // the one of them that next waits for
	wg      sync.WaitGroup
	steps   []step     // of all parts
	alone   sync.Mutex // held while a job is carried

	mu    sync.Mutex
	ended bool
}

// label is what a job is known by, also when its memory serves another one.
type label struct {
	id, epoch uint64            // the source's
	reply     uint64            // id of the answer that a worker owes
	size      int               // bytes of the inputs
	from      int               // first layer that is to be run
	refusal   error             // why it is not to be run
	deadline  time.Time         // beside its context's; zero is none
	answered  func(failed bool) // of a worker, to be called once
}

// job is a request in a flow and the memory for it.
type job struct {
	label
	ctx      context.Context  // ends with the flow's
	release  func()           // of ctx
	start    time.Time        // from which spans count
	layer    int              // the first that has not been run
	tensors  []*tensor.Tensor // which it and those behind it read
	spans    []Span
	err      error
	took     time.Duration
	carried  bool // or was; what the parts here return is not copied
	state    atomic.Int32
	finished chan struct{}
	parts    []partMemory
	inputs   []*tensor.Tensor // copies, of a source

	// Of a worker: the request's frame.
	inbox transport.Inbox
	stats transport.Stats
}

// States of a job.
const (
	jobOpen     = iota
	jobFinished // before it was given up
	jobGivenUp  // by next, so that nobody wants its results
)

// partMemory is what a job needs for a part of the pipeline.
type partMemory struct {
	visit   visit            // of a part on another host
	results []*tensor.Tensor // of a part here
}

// jobs are the free ones. The last that was put back is the first to be taken,
// so that few requests use little memory, which the processor's caches know.
type jobs struct {
	there chan struct{} // holds a value for each
	mu    sync.Mutex
	stack []*job
}

func (f *jobs) put(j *job) {
	f.mu.Lock()
	f.stack = append(f.stack, j)
	f.mu.Unlock()
	f.there <- struct{}{} // which has room for all jobs
}

// pop returns a job after a value of there was received.
func (f *jobs) pop() *job {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(f.stack) - 1
	j := f.stack[last]
	f.stack = f.stack[:last]
	return j
}

func newJob() *job { return &job{finished: make(chan struct{}, 1)} }

// newFlow starts a flow that has room for so many jobs, which are for the caller
// to put into free. It ends by end or when ctx does, and close must follow.
func newFlow(ctx context.Context, p pipeline, slots int) *flow {
	f := &flow{free: jobs{there: make(chan struct{}, slots)}, first: make(chan *job, slots), pending: make(chan *job, slots)}
	f.ctx, f.cancel = context.WithCancel(ctx)
	for i, r := range p {
		switch r := r.(type) {
		case *remote:
			f.steps = append(f.steps, each(f.send(i, r)), each(f.receive(i, r)))
		case *local:
			f.steps = append(f.steps, f.together(i, r))
		default:
			f.steps = append(f.steps, each(f.run(i, r)))
		}
	}
	in := f.first
	for i, do := range f.steps {
		var next chan *job
		if i < len(f.steps)-1 {
			next = make(chan *job, slots)
		}
		from := in
		f.wg.Go(func() { f.work(from, next, do) })
		in = next
	}
	return f
}

// step does what a part of the pipeline is for to a job, unless it has failed, and
// perhaps to some of those that wait behind it. It calls done for each of these,
// in order, and after the last touches nothing that it uses for the next.
type step func(j *job, waiting <-chan *job, done func(*job))

// each is the step that does do to one job after the other.
func each(do func(*job) error) step {
	return func(j *job, _ <-chan *job, done func(*job)) {
		if j.err == nil {
			j.err = guarded(j, do)
		}
		done(j)
	}
}

// work does a step to the jobs of in and hands them on.
func (f *flow) work(in <-chan *job, next chan<- *job, do step) {
	done := f.finish
	if next != nil {
		done = func(j *job) { next <- j }
		defer close(next)
	}
	for j := range in {
		f.giveWay()
		do(j, in, done)
	}
}

// giveWay waits for a job that is carried.
func (f *flow) giveWay() {
	f.alone.Lock()
	defer f.alone.Unlock()
}

// finish ends the way of j through the parts.
func (f *flow) finish(j *job) {
	j.took = time.Since(j.start)
	if j.state.CompareAndSwap(jobOpen, jobFinished) {
		j.finished <- struct{}{}
	} else {
		f.recycle(j)
	}
}

// carry takes j, which was begun and not submitted, through the parts while no
// other job is in the flow, or those that are wait. The caller holds f.alone, and
// goes on to do so for as long as it uses results that are not copied.
func (f *flow) carry(j *job) {
	j.carried = true
	for _, do := range f.steps {
		do(j, nil, func(*job) {})
	}
}

// guarded does do to j; a panic is an error.
func guarded(j *job, do func(*job) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("run: request %d panicked: %v\n%s", j.id, r, debug.Stack())
		}
	}()
	return do(j)
}

// run is the step of part i, which this host has a hand in. Its results, which the
// next run overwrites, are copied unless that waits.
func (f *flow) run(i int, r Runner) func(*job) error {
	return func(j *job) error {
		begin, end := extent(r)
		if j.layer > begin {
			return nil
		}
		if err := j.ctx.Err(); err != nil {
			return fmt.Errorf("run: %w", err)
		}
		start := time.Now()
		out, spans, err := r.Run(j.ctx, j.tensors)
		if err != nil {
			return err
		}
		if !j.carried {
			j.parts[i].results = copyTensors(j.parts[i].results, out)
			out = j.parts[i].results
		}
		j.tensors, j.layer = out, end
		j.spans = appendSpans(j.spans, spans, start.Sub(j.start), 0)
		return nil
	}
}

// send and receive are the steps of part i, which is on another host.
func (f *flow) send(i int, r *remote) func(*job) error {
	return func(j *job) error {
		if begin, _ := extent(r); j.layer > begin {
			return nil
		}
		v := &j.parts[i].visit
		v.ctx, v.id, v.epoch, v.in = j.ctx, j.id, j.epoch, j.tensors
		if err := r.send(f.ctx, v); err != nil {
			return err
		}
		// The peer is told when nobody waits for the request any more.
		f.wg.Add(1)
		seq := v.seq
		v.stay = context.AfterFunc(j.ctx, func() {
			defer f.wg.Done()
			r.withdraw(f.ctx, seq)
		})
		return nil
	}
}

func (f *flow) receive(i int, r *remote) func(*job) error {
	return func(j *job) error {
		begin, end := extent(r)
		if j.layer > begin {
			return nil
		}
		v := &j.parts[i].visit
		defer func() {
			if v.stay() {
				f.wg.Done()
			}
		}()
		out, spans, err := r.receive(f.ctx, v)
		if err != nil {
			return err
		}
		j.tensors, j.layer, j.spans = out, end, appendSpans(j.spans, spans, v.start.Sub(j.start), 0)
		return nil
	}
}

// submit sends j, whose tensors are set, on its way. The request is given up
// when ctx ends, or at the deadline, or when the function that submit returns is
// called. It reports whether the flow still takes requests.
func (f *flow) submit(ctx context.Context, j *job, l label, start time.Time, parts int) (giveUp func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return nil, false
	}
	giveUp = f.begin(ctx, j, l, start, parts)
	f.pending <- j // which have room for all jobs
	f.first <- j
	return giveUp, true
}

// begin makes j ready for its way. See submit.
func (f *flow) begin(ctx context.Context, j *job, l label, start time.Time, parts int) (giveUp func()) {
	var cancel context.CancelFunc
	if l.deadline.IsZero() {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithDeadline(ctx, l.deadline)
	}
	stop := context.AfterFunc(f.ctx, cancel)
	j.label, j.layer, j.ctx, j.start, j.err, j.carried = l, l.from, ctx, start, l.refusal, false
	j.release = func() { stop(); cancel() }
	j.state.Store(jobOpen)
	if len(j.parts) != parts {
		j.parts = make([]partMemory, parts)
	}
	return cancel
}

// outcome is how a job ended.
type outcome struct {
	label
	job *job // to be recycled; nil if the job was given up
	err error
}

// outcome is that of a job which has gone its way.
func (j *job) outcome() outcome {
	o := outcome{label: j.label, job: j, err: j.err}
	ended := j.ctx.Err()
	if deadline, ok := j.ctx.Deadline(); ended == nil && ok && !time.Now().Before(deadline) {
		ended = context.DeadlineExceeded // which the context is about to tell
	}
	if o.err != nil && ended != nil && !errors.Is(o.err, ended) {
		o.err = fmt.Errorf("run: request %d: %w: %w", o.id, ended, o.err) // another host has noticed first
	}
	return o
}

// next waits for the end of the job that was submitted first of those that it
// has not returned yet, or of that job's context. It fails with io.EOF when
// there will be no more, and when ctx ends.
func (f *flow) next(ctx context.Context) (outcome, error) {
	if f.head == nil {
		select {
		case j, ok := <-f.pending:
			if !ok {
				return outcome{}, io.EOF
			}
			f.head = j
		case <-ctx.Done():
			return outcome{}, ctx.Err()
		}
	}
	j := f.head
	select {
	case <-j.finished:
	case <-ctx.Done():
		return outcome{}, ctx.Err()
	case <-j.ctx.Done():
		o := outcome{label: j.label, err: fmt.Errorf("run: request %d: %w", j.id, j.ctx.Err())}
		if j.state.CompareAndSwap(jobOpen, jobGivenUp) {
			f.head = nil
			return o, nil
		}
		<-j.finished
	}
	f.head = nil
	return j.outcome(), nil
}

// recycle makes the memory of a job that next has returned free for another.
func (f *flow) recycle(j *job) {
	j.release()
	j.ctx, j.release, j.tensors, j.spans = nil, nil, nil, nil
	f.free.put(j)
}

// end lets no more jobs in. Those that are in are worked on.
func (f *flow) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		f.ended = true
		close(f.first)
		close(f.pending)
	}
}

// close gives up all jobs and waits for the parts to stop.
func (f *flow) close() {
	f.cancel()
	f.end()
	f.wg.Wait()
}

// extent is the layers [begin, end) that a part of a pipeline runs. A runner of
// no layers is the whole of its pipeline.
func extent(r Runner) (begin, end int) {
	switch r := r.(type) {
	case *local:
		return r.segment.From, r.segment.To
	case *tiled:
		return r.segment.From, r.segment.To
	case *remote:
		return r.taken[0].Segment.From, r.taken[len(r.taken)-1].Segment.To
	}
	return 0, 0
}

// appendSpans adds spans that begin a time later than what they are added to,
// give or take the skew.
func appendSpans(to, spans []Span, later, skew time.Duration) []Span {
	for _, s := range spans {
		s.At += later
		s.Skew += skew
		to = append(to, s)
	}
	return to
}

// copyTensors returns copies of ts, for which it uses the memory of dst.
func copyTensors(dst, ts []*tensor.Tensor) []*tensor.Tensor {
	for len(dst) < len(ts) {
		dst = append(dst, new(tensor.Tensor))
	}
	dst = dst[:len(ts)]
	for i, t := range ts {
		d := dst[i]
		if cap(d.Raw) < len(t.Raw) {
			d.Raw = tensor.Alloc(len(t.Raw))
		}
		d.DType, d.Shape, d.Raw = t.DType, append(d.Shape[:0], t.Shape...), d.Raw[:len(t.Raw)]
		copy(d.Raw, t.Raw)
	}
	return dst
}

// bytesOf is the bytes of tensors, which may be missing.
func bytesOf(ts []*tensor.Tensor) int {
	n := 0
	for _, t := range ts {
		if t != nil {
			n += len(t.Raw)
		}
	}
	return n
}
