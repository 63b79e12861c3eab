package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
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

// Times for which this process stood still, as when a person stops it and its
// workers: nobody can keep a deadline in them.
var (
	stood   atomic.Int64 // their sum
	resumed atomic.Int64 // when the last one ended, in nanoseconds since began
	began   = time.Now()
)

const noticeEvery = 10 * time.Millisecond

// aftermath is how long after such a time requests may fail of it: connections
// seem dead then, and hosts that failed are not asked for a while.
const aftermath = 10 * time.Second

// notice looks for such times until the process ends.
func notice() {
	for last := time.Now(); ; {
		time.Sleep(noticeEvery)
		now := time.Now()
		if gap := now.Sub(last); gap > slack {
			stood.Add(int64(gap))
			resumed.Store(int64(now.Sub(began)))
		}
		last = now
	}
}

// excusable reports whether a request that began at start and failed now may have
// done so because this process stood still.
func excusable(start time.Time) bool {
	at := time.Duration(resumed.Load())
	return at > 0 && start.Before(began.Add(at+aftermath))
}

// tally is how requests ended. Each is in right, failed, wrong, or excused, which
// is failed while this process stood still or in the aftermath; and in late
// besides if it ended after its deadline and slack, but for that time.
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
	if err != nil || time.Since(start) > deadline {
		time.Sleep(noticeEvery * 2) // so that standing still is noticed
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
	case err != nil && !errors.Is(err, run.ErrBusy) && excusable(start):
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
	return numbers.ReplaceAllString(text, "N")
}

// numbers differ between errors of one kind: of requests, ports, times.
var numbers = regexp.MustCompile(`[0-9][0-9.]*`)

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
		r.note("%d requests failed when this process stood still, or just after", r.excused)
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

// judgeErrors adds that no request may fail.
func (r *row) judgeErrors() {
	if r.failed > 0 {
		r.failf("%d requests failed: %v", r.failed, r.errs)
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
