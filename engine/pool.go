package engine

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// pool is the process's only team of workers. Several teams that spin would
// take the cores from each other; so a session that finds the pool taken runs
// alone on its own goroutine.
//
// Work is shared by tickets: the team's state holds the next piece of work and
// their number in one word, a worker claims a piece by compare-and-swap, and
// the caller works too. A worker whose thread the system has taken away thus
// delays nothing but the piece it holds, and when no other core is free the
// caller does everything itself.
//
// Workers spin while a run is under way, since waking a thread takes longer
// than most layers, and sleep some 100 µs after the last run ends.
type pool struct {
	mu      sync.Mutex // held during a run that uses the workers
	workers []*worker
	team    atomic.Int32 // workers numbered below are wanted by the run under way; 0 when there is none
	_       [64]byte
	state   atomic.Uint64 // a ticket
	_       [56]byte
	done    atomic.Int64 // pieces that are finished
	_       [56]byte
	job     *job // of the current state; written before state, read after a claim
}

// A ticket is epoch<<56 | team<<48 | next<<24 | total: total pieces of work, of
// which next is the first unclaimed, for the workers numbered below team.
const (
	ticketTotal = 1<<24 - 1
	ticketNext  = 24
	ticketTeam  = 48
	ticketEpoch = 56
	maxTeam     = 255
)

// ticketsPerWorker is into how many pieces a step is cut at most, per worker:
// enough for a late worker to be made up for, few enough to cost nothing.
const ticketsPerWorker = 32

// Spinning, in units of pause(spinPause), some 50 to 100 ns each.
const (
	spinPause  = 4
	spinIdle   = 1500 // before a worker sleeps when no run is under way
	spinYield  = 512  // between chances for other goroutines
	spinFinish = 2000 // of the caller, before it yields, for the last pieces
)

type worker struct {
	id     int
	parked atomic.Bool
	wake   chan struct{}
}

// job is one step of a kernel as the workers see it.
type job struct {
	step    *graph.Step
	in, out []*tensor.Tensor
	exec    []graph.Exec // one for each worker of the team
	pieces  int
	err     atomic.Pointer[error]
}

// run does iterations of piece p on worker id.
func (j *job) run(p, id int) {
	lo, hi := p*j.step.N/j.pieces, (p+1)*j.step.N/j.pieces
	for i := lo; i < hi; i++ {
		if err := j.step.Do(&j.exec[id], j.in, j.out, i); err != nil {
			j.fail(err)
			return
		}
	}
}

func (j *job) fail(err error) { j.err.CompareAndSwap(nil, &err) }

// recovered turns a panic of a kernel, which is a defect of ours, into an
// error of the run, so that one model cannot stop a worker's other sessions.
func (j *job) recovered(p any) {
	j.fail(fmt.Errorf("kernel panicked: %v\n%s", p, debug.Stack()))
}

var (
	thePool  pool
	poolOnce sync.Once
)

// acquire takes the pool for a run with the given number of threads, and wakes
// the workers. It returns nil if the run has to do without.
func acquire(threads int) *pool {
	if threads < 2 {
		return nil
	}
	p := &thePool
	poolOnce.Do(func() {
		for id := 1; id < min(runtime.GOMAXPROCS(0), maxTeam); id++ {
			w := &worker{id: id, wake: make(chan struct{}, 1)}
			p.workers = append(p.workers, w)
			go p.loop(w)
		}
	})
	if len(p.workers) == 0 || !p.mu.TryLock() {
		return nil
	}
	team := min(threads, len(p.workers)+1)
	p.team.Store(int32(team))
	for _, w := range p.workers[:team-1] {
		if w.parked.Load() && w.parked.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
	return p
}

func (p *pool) release() {
	p.team.Store(0)
	p.mu.Unlock()
}

func (p *pool) loop(w *worker) {
	for spins := 0; ; {
		if p.take(w.id) {
			spins = 0
			continue
		}
		pause(spinPause)
		if spins++; spins%spinYield == 0 {
			runtime.Gosched()
		}
		if spins < spinIdle || w.id < int(p.team.Load()) {
			continue
		}
		w.parked.Store(true)
		if w.id < int(p.team.Load()) && w.parked.CompareAndSwap(true, false) {
			continue
		}
		<-w.wake
		spins = 0
	}
}

// take does pieces of the current step until none is left unclaimed and
// reports whether it did any.
func (p *pool) take(id int) (any bool) {
	for {
		s := p.state.Load()
		next, total := int(s>>ticketNext&ticketTotal), int(s&ticketTotal)
		if next >= total || id >= int(s>>ticketTeam&maxTeam) {
			return any
		}
		if p.state.CompareAndSwap(s, s+1<<ticketNext) {
			any = true
			p.piece(next, id)
		}
	}
}

func (p *pool) piece(i, id int) {
	j := p.job
	defer func() {
		if r := recover(); r != nil {
			j.recovered(r)
		}
		p.done.Add(1)
	}()
	j.run(i, id)
}

// do runs a job on the caller and the run's workers, and returns when it is done.
func (p *pool) do(j *job) {
	team, total := p.team.Load(), j.pieces
	p.job = j
	p.done.Store(0)
	epoch := p.state.Load()>>ticketEpoch + 1
	p.state.Store(epoch<<ticketEpoch | uint64(team)<<ticketTeam | uint64(total))
	p.take(0)
	for spins := 0; p.done.Load() != int64(total); spins++ {
		if spins < spinFinish {
			pause(1)
		} else {
			runtime.Gosched()
		}
	}
}

// serial runs a job on the calling goroutine alone.
func (j *job) serial() {
	defer func() {
		if r := recover(); r != nil {
			j.recovered(r)
		}
	}()
	j.pieces = 1
	j.run(0, 0)
}
