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
// The pieces of work of a step are shared out in runs of pieces that follow one
// another, one run to each worker and one to the caller. Who has finished its
// own takes pieces from the ends of the others', the furthest from where they
// are at work. So a part of an image, or of its channels, falls mostly to the
// same core in one step after the other and stays in that core's cache, while a
// worker whose thread the system has taken away delays nothing but the piece it
// holds: when no other core is free the caller does everything itself.
//
// Workers spin while a run is under way, since waking a thread takes longer
// than most layers, and sleep some 100 µs after the last run ends.
type pool struct {
	mu      sync.Mutex // held during a run that uses the workers
	workers []*worker
	team    atomic.Int32 // workers numbered below are wanted by the run under way; 0 when there is none
	job     *job         // of the current step; written before shares, read after a claim
	_       [64]byte
	done    atomic.Int64 // pieces that are finished
	_       [56]byte
	shares  [maxTeam]share // by worker; that of the caller is the first
}

// share is the run of pieces [first, last) that a worker has yet to begin, in
// one word: team<<48 | first<<24 | last. Only workers numbered below team may
// take of it.
type share struct {
	atomic.Uint64
	_ [56]byte // no two shares lie in one cache line
}

const (
	shareBits  = 24
	shareMask  = 1<<shareBits - 1
	shareFirst = 1 << shareBits
	maxTeam    = 255
)

// team is how many workers, with the caller, may take of the share.
func (s *share) team() int { return int(s.Load() >> (2 * shareBits)) }

// empty reports whether all pieces of the share have begun.
func (s *share) empty() bool {
	w := s.Load()
	return w>>shareBits&shareMask >= w&shareMask
}

// claim takes the first or the last piece of the share for worker id.
func (s *share) claim(id int, first bool) (piece int, ok bool) {
	for {
		w := s.Load()
		from, to, team := int(w>>shareBits&shareMask), int(w&shareMask), int(w>>(2*shareBits))
		if from >= to || id >= team {
			return 0, false
		}
		if first && s.CompareAndSwap(w, w+shareFirst) {
			return from, true
		}
		if !first && s.CompareAndSwap(w, w-1) {
			return to - 1, true
		}
	}
}

// piecesPerWorker is into how many pieces a step is cut at most, per worker:
// enough for a late worker to be made up for, few enough to cost nothing.
const piecesPerWorker = 32

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
	own := &p.shares[w.id]
	for spins := 0; ; {
		if !own.empty() {
			p.take(w.id)
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

// take does the pieces of worker id's share of the current step, then those of
// others' that are left.
func (p *pool) take(id int) {
	did := int64(0)
	for {
		i, ok := p.shares[id].claim(id, true)
		if !ok {
			break
		}
		p.piece(i, id)
		did++
	}
	team := p.shares[id].team()
	for k := 1; k < team; k++ {
		other := &p.shares[(id+k)%team]
		for {
			i, ok := other.claim(id, false)
			if !ok {
				break
			}
			p.piece(i, id)
			did++
		}
	}
	p.done.Add(did)
}

func (p *pool) piece(i, id int) {
	j := p.job
	defer func() {
		if r := recover(); r != nil {
			j.recovered(r)
		}
	}()
	j.run(i, id)
}

// do runs a job on the caller and the run's workers, and returns when it is done.
func (p *pool) do(j *job) {
	team := int(p.team.Load())
	p.job = j
	p.done.Store(0)
	for id := team - 1; id >= 0; id-- { // the caller begins last
		first, last := id*j.pieces/team, (id+1)*j.pieces/team
		p.shares[id].Store(uint64(team)<<(2*shareBits) | uint64(first)<<shareBits | uint64(last))
	}
	p.take(0)
	for spins := 0; p.done.Load() != int64(j.pieces); spins++ {
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
