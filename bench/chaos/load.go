package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"scission/engine/tensor"
	"scission/split/run"
)

// device is this process's name among the hosts.
const device = "device"

// slack is how much later than its deadline an answer may come on a machine
// whose processors are all busy.
const slack = 500 * time.Millisecond

// runner is what is asked.
type runner interface {
	Run(ctx context.Context, in []*tensor.Tensor) ([]*tensor.Tensor, []run.Span, error)
}

// stood adds up the times for which this process stood still, as when a person
// stops it: time that nobody can keep a deadline in.
var stood atomic.Int64

const noticeEvery = 10 * time.Millisecond

// notice looks for such times until the process ends.
func notice() {
	for last := time.Now(); ; {
		time.Sleep(noticeEvery)
		now := time.Now()
		if gap := now.Sub(last); gap > slack {
			stood.Add(int64(gap))
		}
		last = now
	}
}

// tally is how requests ended. Each is in right, failed, wrong, or excused, which
// is failed with its deadline while this process stood still; and in late besides
// if it ended after its deadline and slack, but for that time.
type tally struct {
	mu                                         sync.Mutex
	asked, right, failed, wrong, late, excused int
	slowest                                    time.Duration
	errs                                       map[string]int
}

// ask asks one question and notes how it ended.
func (t *tally) ask(ctx context.Context, r runner, q question, deadline time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	start, before := time.Now(), stood.Load()
	out, _, err := r.Run(ctx, q.in)
	if time.Since(start) > deadline {
		time.Sleep(noticeEvery * 2) // so that it is noticed
	}
	still := time.Duration(stood.Load() - before)
	took := time.Since(start) - still
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	t.slowest = max(t.slowest, took)
	if took > deadline+slack {
		t.late++
	}
	switch {
	case still > 0 && errors.Is(err, context.DeadlineExceeded):
		t.excused++
	case err != nil:
		t.failed++
		if t.errs == nil {
			t.errs = map[string]int{}
		}
		t.errs[kind(err)]++
	case same(out, q.want):
		t.right++
	default:
		t.wrong++
	}
	return err
}

func same(a, b []*tensor.Tensor) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !a[i].Identical(b[i]) {
			return false
		}
	}
	return true
}

// kind is what an error is counted as.
func kind(err error) string {
	switch {
	case errors.Is(err, run.ErrBusy):
		return "busy"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// load asks questions, so many at a time, until stop is closed.
func (h *harness) load(t *tally, r runner, callers int, deadline time.Duration, stop <-chan struct{}) (wait func()) {
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if t.ask(context.Background(), r, h.questions[i%len(h.questions)], deadline) != nil {
					time.Sleep(10 * time.Millisecond) // as a client would that is told to go away
				}
			}
		})
	}
	return wg.Wait
}

// row is a line of the table.
type row struct {
	name string
	tally
	took  time.Duration
	notes []string
	bad   []string // why the row is a failure

	fallback bool // this host runs the whole when no other works
}

func (r *row) failf(format string, args ...any) { r.bad = append(r.bad, fmt.Sprintf(format, args...)) }
func (r *row) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// judge adds what no scenario may show.
func (r *row) judge() {
	if n := r.asked - r.right - r.failed - r.wrong - r.excused; n != 0 {
		r.failf("%d requests are lost", n)
	}
	if r.excused > 0 {
		r.note("%d requests missed their deadline while this process was stopped", r.excused)
	}
	if r.wrong > 0 {
		r.failf("%d wrong answers", r.wrong)
	}
	if r.fallback && r.failed > 0 {
		r.failf("%d requests failed though this host can run the whole: %v", r.failed, r.errs)
	}
	if r.late > 0 {
		r.failf("%d requests ended after their deadline", r.late)
	}
	if r.right == 0 {
		r.failf("no request was answered")
	}
}

// checked does a scenario and looks for goroutines and descriptors that it left.
func checked(name string, do func(r *row) error) *row {
	r := &row{name: name}
	before, descriptors := len(goroutines()), openFiles()
	if err := do(r); err != nil {
		r.failf("%v", err)
	}
	r.judge()
	// What ends does so a moment later.
	for wait := time.Millisecond; wait < 4*time.Second && (len(goroutines()) > before || openFiles() > descriptors); wait *= 2 {
		time.Sleep(wait)
	}
	if left := goroutines(); len(left) > before {
		r.failf("%d goroutines are left; all:\n%s", len(left)-before, strings.Join(left, "\n\n"))
	}
	if n := openFiles() - descriptors; n > 0 {
		r.failf("%d descriptors are left", n)
	}
	return r
}

// goroutines returns the stacks of all but the proxy's, which ends some of its
// own only with the process.
func goroutines() []string {
	stacks := make([]byte, 1<<20)
	all := strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")
	return slices.DeleteFunc(all, func(s string) bool { return strings.Contains(s, "toxiproxy") })
}

func openFiles() int {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // no Linux: nothing to compare
	}
	return len(files)
}
