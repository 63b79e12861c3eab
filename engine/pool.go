package engine

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

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
// holds. Who finishes the last piece of a step shares out the next: the run goes
// on without the caller, too. And since a thread that has run for some
// milliseconds may lose its core to another process at any moment, it offers it
// before that, when it holds no piece.
//
// Workers spin while a run is under way, since waking a thread takes longer
// than most layers, and sleep some 100 µs after the last run ends.
type pool struct {
	mu      sync.Mutex // held during a run that uses the workers
	workers []*worker
	team    atomic.Int32 // workers numbered below are wanted by the run under way; 0 when there is none
	job     *job         // written before shares, read after a claim
	_       [64]byte
	left    atomic.Int64 // pieces of the current step that are not finished
	over    atomic.Bool  // the job has no further step
	_       [48]byte
	shares  [maxTeam]share // by worker; that of the caller is the first
}

// share is the run of pieces [first, last) that a worker has yet to begin, in
// one word: team<<48 | first<<24 | last. Only workers numbered below team may
// take of it.
type share struct {
	atomic.Uint64
	began time.Duration // when the worker last began to have a core to itself, by clock
	_     [48]byte      // no two shares lie in one cache line
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
	spinPause = 4
	spinIdle  = 1500 // before a worker sleeps when no run is under way
	spinOffer = 128  // before, and between, offers of the core to other goroutines and processes
)

// turn is how long a thread works before it offers its core to other processes.
// Systems take it away after 3 ms or more if one wants it.
const turn = 2500 * time.Microsecond

var start = time.Now()

// clock is a time that never goes back.
func clock() time.Duration { return time.Since(start) }

type worker struct {
	id     int
	parked atomic.Bool
	wake   chan struct{}
}

// job is some steps of kernels, one after the other, each for some lanes.
type job struct {
	// next does what is not shared out on worker id and sets the fields below
	// to the next step that is. It returns false if there is none.
	next func(id int) bool

	step   *graph.Step
	lanes  []*lane
	exec   []exec // one for each worker of the team
	pieces int
}

// lane is one run's part of a job.
type lane struct {
	in, out []*tensor.Tensor // of the kernel whose step is done
	temp    []byte
	err     atomic.Pointer[error] // the first
}

// exec is a worker's, in a cache line of its own.
type exec struct {
	graph.Exec
	_ [16]byte
}

// run does the iterations of piece p on worker id: those of one lane before those
// of the next, so that a worker keeps to few lanes and finds their values in its
// core's cache in one step after the other.
func (j *job) run(p, id int) {
	n := j.step.N
	all := n * len(j.lanes)
	lo, hi := p*all/j.pieces, (p+1)*all/j.pieces
	for k := lo / max(n, 1); lo < hi; k++ {
		to := min(hi, (k+1)*n)
		j.lanes[k].run(j.step, &j.exec[id].Exec, lo-k*n, to-k*n)
		lo = to
	}
}

// run does the iterations [from, to) of a step.
func (l *lane) run(step *graph.Step, x *graph.Exec, from, to int) {
	defer func() {
		if r := recover(); r != nil {
			l.recovered(r)
		}
	}()
	x.Temp = l.temp
	for i := from; i < to; i++ {
		if err := step.Do(x, l.in, l.out, i); err != nil {
			l.fail(err)
			return
		}
	}
}

// serial does all of a step on worker id.
func (j *job) serial(id int) {
	j.pieces = 1
	j.run(0, id)
}

func (l *lane) fail(err error) { l.err.CompareAndSwap(nil, &err) }

// recovered turns a panic of a kernel, which is a defect of ours, into an
// error of the run, so that one model cannot stop a worker's other sessions.
func (l *lane) recovered(p any) {
	l.fail(fmt.Errorf("kernel panicked: %v\n%s", p, debug.Stack()))
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
		spins++
		wait(spins)
		if spins < spinIdle || w.id < int(p.team.Load()) {
			continue
		}
		w.parked.Store(true)
		if w.id < int(p.team.Load()) && w.parked.CompareAndSwap(true, false) {
			continue
		}
		<-w.wake
		own.began = clock()
		spins = 0
	}
}

// wait is one of some turns of waiting for others.
func wait(turns int) {
	pause(spinPause)
	if turns%spinOffer == 0 {
		runtime.Gosched()
		yield()
	}
}

// take does the pieces of worker id's share of the current step, then those of
// others' that are left. If it finishes the step it shares out the next.
func (p *pool) take(id int) {
	own, did := &p.shares[id], int64(0)
	for p.offer(own); ; p.offer(own) {
		i, ok := own.claim(id, true)
		if !ok {
			break
		}
		p.job.run(i, id)
		did++
	}
	team := own.team()
	for k := 1; k < team; k++ {
		other := &p.shares[(id+k)%team]
		for {
			i, ok := other.claim(id, false)
			if !ok {
				break
			}
			p.job.run(i, id)
			did++
			p.offer(own)
		}
	}
	if did > 0 && p.left.Add(-did) == 0 {
		p.post(id)
	}
}

// offer lets other processes have the core if the worker with that share has
// had it for a turn.
func (p *pool) offer(own *share) {
	if clock()-own.began > turn {
		yield()
		own.began = clock()
	}
}

// post shares out the next step of the job, by worker id. Until all is shared out
// the step counts as one piece more: others may have finished their shares, and
// must not share out the step after it yet.
func (p *pool) post(id int) {
	j, team := p.job, int(p.team.Load())
	for j.next(id) {
		pieces := j.pieces
		p.left.Store(int64(pieces) + 1)
		for k := 1; k <= team; k++ { // who posts begins last
			w := (id + k) % team
			first, last := w*pieces/team, (w+1)*pieces/team
			p.shares[w].Store(uint64(team)<<(2*shareBits) | uint64(first)<<shareBits | uint64(last))
		}
		if p.left.Add(-1) > 0 {
			return
		}
	}
	p.over.Store(true)
}

// do does a job on the caller and the run's workers, and returns when it is done.
func (p *pool) do(j *job) {
	p.job = j
	p.over.Store(false)
	own := &p.shares[0]
	own.began = clock()
	p.post(0)
	for spins := 0; !p.over.Load(); {
		if !own.empty() {
			p.take(0)
			spins = 0
			continue
		}
		spins++
		wait(spins)
	}
}
