package run

import (
	"cmp"
	"fmt"
	"math/bits"
	"runtime/debug"
	"time"

	"scission/engine"
)

// DefaultBatch is how many requests of a connection a Node computes together at
// most.
const DefaultBatch = 8

// batching decides how many of the requests that wait for a stage are computed
// together: 1, 2, 4 or a higher power of 2. It learns from each time which is the
// fastest. The zero value computes them one by one.
type batching struct {
	sizes []batchTime // of 1, 2, 4, ... together
}

// batchTime is what is known of the computing of so many requests together.
type batchTime struct {
	runs   int           // how often it was done
	each   time.Duration // mean time of a request, the last ones counting most; 0 is not known
	passed int           // times that another size was taken since
}

const (
	// worthwhile is the time of a request of a batch, in proportion to that of one
	// of half as many or fewer, above which a batch is not worth that its first
	// request waits for the last.
	worthwhile = 0.97
	// fade is the part by which a time counts for less each time that another size
	// is taken, so that each is tried again, the less often the slower it is: what
	// it cost once may be because of other work of the machine.
	fade = 0.002
	// recent is the part by which a new time moves the mean at least: where the mean
	// has faded by more, it is that.
	recent = 0.25
)

func newBatching(most int) batching {
	return batching{make([]batchTime, bits.Len(uint(most)))}
}

// expected is the time of a request, or less the longer it was not tried.
func (t *batchTime) expected() float64 { return float64(t.each) * max(0, 1-fade*float64(t.passed)) }

// size says how many of those that wait to compute together: not more than remain,
// with which the stage goes on while the hosts behind it work on the batch and, where
// so few requests are on their way, send for new ones.
func (b *batching) size(waiting int) int {
	best, there := 0, 1
	for ; there < len(b.sizes) && 2<<there <= waiting+1; there++ {
		if b.sizes[there].expected() < worthwhile*b.sizes[best].expected() {
			best = there
		}
	}
	for i := range min(there, len(b.sizes)) {
		if i != best {
			b.sizes[i].passed++
		}
	}
	return 1 << best
}

// within returns how many of the jobs, a power of 2, to compute together so that each is
// expected to end before its deadline; at least one.
func (b *batching) within(jobs []*job) int {
	i := bits.Len(uint(len(jobs))) - 1
	for ; i > 0; i-- {
		took, ok := time.Duration(float64(int(1)<<i)*b.sizes[i].expected()), true
		for _, j := range jobs[:1<<i] {
			if deadline, any := j.ctx.Deadline(); any && time.Until(deadline) < took {
				ok = false
			}
		}
		if ok {
			break
		}
	}
	return 1 << i
}

// learn takes in that n requests, a power of 2, took so long each. The first time,
// when their memory was new, does not count.
func (b *batching) learn(n int, each time.Duration) {
	i := bits.Len(uint(n)) - 1
	if i >= len(b.sizes) {
		return
	}
	t := &b.sizes[i]
	weight := max(recent, min(1, fade*float64(t.passed)))
	t.passed = 0
	switch t.runs++; t.runs {
	case 1:
	case 2:
		t.each = each
	default:
		t.each += time.Duration(weight * float64(each-t.each))
	}
}

// widen lets the stages of a pipeline that compute here compute requests together
// as far as their memory is within what is left for the deployment.
func (n *Node) widen(p pipeline, memory int) {
	for _, r := range p {
		l, ok := r.(*local)
		if !ok {
			continue
		}
		most := max(1, cmp.Or(n.Batch, DefaultBatch))
		if each := l.plan.Memory(); each > 0 {
			most = min(most, 1+max(0, memory)/each)
		}
		l.batch = newBatching(most)
		memory -= (most - 1) * l.plan.Memory()
	}
}

// together is the step of part i, which computes here. While the part waits for its
// turn, requests may come in behind the one that it has; none is waited for.
func (f *flow) together(i int, l *local) step {
	var memory []*job
	return func(first *job, waiting <-chan *job, done func(*job)) {
		some := append(memory[:0], first)
		for at := 0; at < len(some); {
			n, j := 1, some[at]
			if l.wanted(j) {
				if j.err = l.take(j.ctx); j.err != nil {
					continue
				}
				for most := l.batch.size(len(some) - at + len(waiting)); len(some)-at < most; {
					some = append(some, <-waiting)
				}
				memory = some
				n = l.batch.within(some[at:])
				f.compute(i, l, some[at:at+n])
			}
			for range n {
				done(some[at])
				at++
			}
		}
	}
}

// wanted says whether l is to compute a request.
func (l *local) wanted(j *job) bool { return j.err == nil && j.layer <= l.segment.From }

// compute computes part i of some requests together, of which l wants the first. It is l's
// turn, which compute gives. If something panics, each is computed by itself.
func (f *flow) compute(i int, l *local, jobs []*job) {
	err := f.attempt(i, l, jobs)
	if err != nil && len(jobs) == 1 {
		jobs[0].err = err
	} else if err != nil {
		for k, j := range jobs {
			if !l.wanted(j) {
				continue
			}
			if j.err = l.take(j.ctx); j.err == nil {
				f.compute(i, l, jobs[k:k+1])
			}
		}
	}
}

// attempt is compute until something panics, which is the error.
func (f *flow) attempt(i int, l *local, jobs []*job) (err error) {
	defer func() {
		clear(l.runs)
		if r := recover(); r != nil {
			err = fmt.Errorf("run: request %d panicked: %v\n%s", jobs[0].id, r, debug.Stack())
		}
	}()
	l.runs = l.runs[:0]
	for _, j := range jobs {
		if l.wanted(j) {
			l.runs = append(l.runs, engine.Run{Context: j.ctx, In: j.tensors})
		}
	}
	start, each := func() (time.Time, time.Duration) {
		defer l.turn.give()
		return l.compute()
	}()
	all, k := len(l.runs) == len(jobs), 0
	for _, j := range jobs {
		if !l.wanted(j) {
			continue
		}
		r := &l.runs[k]
		if j.err = r.Err; j.err == nil {
			j.tensors, j.layer = r.Out, l.segment.To
			if m := &j.parts[i]; !j.carried {
				m.results = copyTensors(m.results, r.Out)
				j.tensors = m.results
			}
			j.spans = append(j.spans, l.span(k, start.Add(time.Duration(k)*each).Sub(j.start), each))
		}
		all = all && j.err == nil
		k++
	}
	if all {
		l.batch.learn(len(jobs), each)
	}
	return nil
}
