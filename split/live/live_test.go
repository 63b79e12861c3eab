package live

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
	"scission/split/run"
)

func TestMain(m *testing.M) {
	// Each check of a property is some hundred runs; -rapid.checks makes more.
	if err := flag.Set("rapid.checks", "5"); err != nil {
		panic(err)
	}
	// The engine's workers sleep for the life of the process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("scission/engine.(*pool).loop"))
}

const layers = 6

// hosts are emulated: a lane through them adds the number of its first layer to
// a trace of what it was asked.
type hosts struct {
	mu     sync.Mutex
	down   map[string]error // what asking a host fails with
	opened []string         // stages
	ran    []string         // stages and the layer from which
	took   time.Duration    // of a run
	closed int
}

func (h *hosts) fails(hosts []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range hosts {
		if err := h.down[name]; err != nil {
			return &run.HostError{Host: name, Err: err}
		}
	}
	return nil
}

func (h *hosts) set(name string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down[name] = err
}

func (h *hosts) count(list *[]string, stages string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range *list {
		if strings.HasPrefix(s, stages) {
			n++
		}
	}
	return n
}

// emulated is a lane of emulated hosts. Once a host has failed it is broken.
type emulated struct {
	h      *hosts
	stages split.Partition
	hosts  []string
	mu     sync.Mutex
	broken error
}

// errLost is what a connection that ended fails with.
var errLost = fmt.Errorf("%w: reset", run.ErrBroken)

func (l *emulated) run(ctx context.Context, id uint64, layer int, in []*tensor.Tensor) ([]*tensor.Tensor, []run.Span, *progress, error) {
	l.h.mu.Lock()
	l.h.ran = append(l.h.ran, fmt.Sprint(l.stages, " from ", layer))
	l.h.mu.Unlock()
	at := &progress{layer, in}
	if s := l.stages[0]; s.Host == "device" && len(l.stages) > 1 && layer < s.Segment.To {
		at = &progress{s.Segment.To, []*tensor.Tensor{held(s.Segment.To)}}
	} else if layer > 0 && !in[0].Identical(held(layer)) {
		return nil, nil, nil, fmt.Errorf("what crosses the cut before layer %d is %v", layer, in[0])
	}
	select {
	case <-time.After(l.h.took):
	case <-ctx.Done():
		return nil, nil, at, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.h.fails(l.hosts); err != nil && l.broken == nil {
		if !errors.Is(err, run.ErrBroken) {
			return nil, nil, at, err
		}
		l.broken = err
	}
	if l.broken != nil {
		return nil, nil, at, l.broken
	}
	return []*tensor.Tensor{tensor.Of([]float32{float32(id)}, 1)}, nil, nil, nil
}

func (l *emulated) begins() (layers []int) {
	for _, s := range l.stages {
		layers = append(layers, s.Segment.From)
	}
	return layers
}

func (l *emulated) hops() ([]split.Hop, bool) { return nil, false }

func (l *emulated) close() error {
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	l.h.closed++
	return nil
}

// held is what crosses the cut before a layer.
func held(layer int) *tensor.Tensor { return tensor.Of([]float32{float32(layer)}, 1) }

func deployments(t *testing.T, stages ...string) (ds []run.Deployment) {
	t.Helper()
	g := &graph.Graph{Name: "emulated"}
	g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1}})
	for _, s := range stages {
		p, err := split.ParsePartition(s, layers)
		if err != nil {
			t.Fatal(err)
		}
		ds = append(ds, run.Deployment{Model: run.Model{Name: "emulated", Graph: g}, Stages: p})
	}
	return ds
}

func input() []*tensor.Tensor { return []*tensor.Tensor{tensor.Of([]float32{0.5}, 1)} }

// emulate runs f with a Runner of emulated hosts on a clock of its own.
func emulate(t *testing.T, o Options, stages []string, f func(t *testing.T, r *Runner, h *hosts)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{down: map[string]error{}}
		r := &Runner{node: &run.Node{Name: "device"}, o: o}
		r.dial = func(ctx context.Context, d run.Deployment, epoch uint64) (lane, error) {
			h.mu.Lock()
			h.opened = append(h.opened, d.Stages.String())
			h.mu.Unlock()
			l := &emulated{h: h, stages: d.Stages, hosts: r.route(d).hosts}
			return l, h.fails(l.hosts)
		}
		if err := r.begin(t.Context(), deployments(t, stages...)); err != nil {
			t.Fatal(err)
		}
		f(t, r, h)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if opened := len(h.opened); h.closed > opened {
			t.Errorf("%d deployments closed of %d", h.closed, opened)
		}
		if _, _, err := r.Run(t.Context(), input()); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: got error %v, want %v", err, ErrClosed)
		}
	})
}

func ask(t *testing.T, r *Runner) {
	t.Helper()
	if out, _, err := r.Run(t.Context(), input()); err != nil || len(out) != 1 {
		t.Fatalf("got %v, error %v", out, err)
	}
}

func (h *hosts) last(t *testing.T, want string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if got := h.ran[len(h.ran)-1]; got != want {
		t.Errorf("ran %s, want %s", got, want)
	}
}

func TestRunGoesOnFromTheHeldCutIfTheNextDeploymentHasIt(t *testing.T) {
	for _, c := range []struct{ second, third, want string }{
		{"device:0-1,cloud:2-5", "", "device:0-1,cloud:2-5 from 2"},
		{"device:0-2,cloud:3-5", "", "device:0-2,cloud:3-5 from 0"},
		{"cloud:0-5", "", "cloud:0-5 from 0"},
		{"edge:0-5", "", "device:0-1,device:2-5 from 2"}, // the fallback
		// The third goes on from what the first has computed.
		{"cloud:0-5", "device:0-1,spare:2-5", "device:0-1,spare:2-5 from 2"},
	} {
		stages := []string{"device:0-1,edge:2-5", c.second}
		if c.third != "" {
			stages = append(stages, c.third)
		}
		emulate(t, Options{}, stages, func(t *testing.T, r *Runner, h *hosts) {
			h.set("edge", errLost)
			if c.third != "" {
				h.set("cloud", errLost)
			}
			ask(t, r)
			h.last(t, c.want)
		})
	}
}

func TestHostThatFailedIsTriedAgainWithoutKeepingARunWaiting(t *testing.T) {
	var events []Event
	o := Options{Event: func(e Event) { events = append(events, e) }}
	emulate(t, o, []string{"edge:0-5"}, func(t *testing.T, r *Runner, h *hosts) {
		h.set("edge", errLost)
		ask(t, r)
		h.last(t, "device:0-5 from 0")
		begin := h.count(&h.opened, "edge")
		for range 600 {
			start := time.Now()
			ask(t, r)
			if took := time.Since(start); took != 0 {
				t.Fatalf("a run waited for %v", took)
			}
			h.last(t, "device:0-5 from 0")
			time.Sleep(time.Second)
		}
		// Pauses of at most 0.5, 1, 2, 4, 8, 16, 30, 30, ... seconds, and at least half of that.
		if n := h.count(&h.opened, "edge") - begin; n < 5+600/30-3 || n > 6+600/15 {
			t.Errorf("tried %d times in 10 minutes", n)
		}
		if s := r.Hosts(); len(s) != 1 || s[0].Name != "edge" || s[0].State == Closed || !errors.Is(s[0].Err, run.ErrBroken) {
			t.Errorf("got hosts %+v", s)
		}
		h.set("edge", nil)
		time.Sleep(maxPause)
		ask(t, r)
		h.last(t, "edge:0-5 from 0")
		if s := r.Hosts(); s[0].State != Closed {
			t.Errorf("got hosts %+v", s)
		}
		for _, e := range events {
			if e.What == Failed && (e.Host != "edge" || e.Pause <= 0 || e.Pause > maxPause) || e.String() == "" {
				t.Errorf("got event %+v", e)
			}
		}
	})
}

// A host that has restarted since the last run has ended its connections.
func TestConnectionThatWasGoneIsOpenedAnewOnce(t *testing.T) {
	emulate(t, Options{NoFallback: true}, []string{"device:0-1,edge:2-5"}, func(t *testing.T, r *Runner, h *hosts) {
		ask(t, r)
		h.set("edge", errLost)
		r.mu.Lock()
		l := r.routes[0].open.lane.(*emulated)
		r.mu.Unlock()
		l.run(t.Context(), 1, 2, []*tensor.Tensor{held(2)}) // which breaks it
		h.set("edge", nil)
		ask(t, r)
		h.last(t, "device:0-1,edge:2-5 from 2")
		if n := h.count(&h.opened, "device"); n != 2 {
			t.Errorf("opened %d times, want 2", n)
		}
		h.set("edge", errLost)
		_, _, err := r.Run(t.Context(), input())
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, run.ErrBroken) || run.Culprit(err) != "edge" {
			t.Errorf("got error %v", err)
		}
		if n := h.count(&h.opened, "device"); n != 3 {
			t.Errorf("opened %d times, want 3", n)
		}
	})
}

// A silent peer has cost its time once; that is not to be had twice.
func TestSilentHostIsNotAskedTwice(t *testing.T) {
	emulate(t, Options{}, []string{"edge:0-5"}, func(t *testing.T, r *Runner, h *hosts) {
		ask(t, r)
		h.set("edge", errLost)
		h.took = staleWithin
		ask(t, r)
		h.last(t, "device:0-5 from 0")
		if n := h.count(&h.ran, "edge"); n != 2 {
			t.Errorf("asked %d times, want 2: once for each run", n)
		}
	})
}

// What a host refuses may be the request's fault, so others are answered there;
// but not if it refuses whatever it is asked.
func TestRefusalsCloseOffAHostOnlyInARow(t *testing.T) {
	refused := errors.New("no")
	emulate(t, Options{}, []string{"edge:0-5"}, func(t *testing.T, r *Runner, h *hosts) {
		for range 2 * maxRefusals {
			h.set("edge", refused)
			ask(t, r)
			h.last(t, "device:0-5 from 0")
			h.set("edge", nil)
			ask(t, r)
			h.last(t, "edge:0-5 from 0")
		}
		h.set("edge", refused)
		begin := h.count(&h.ran, "edge")
		for range 10 {
			ask(t, r)
		}
		if n := h.count(&h.ran, "edge") - begin; n != maxRefusals {
			t.Errorf("asked %d times, want %d", n, maxRefusals)
		}
	})
}

func TestBusyHostIsLeftAloneAndItsConnectionKept(t *testing.T) {
	for _, why := range []error{run.ErrBusy, run.ErrDraining} {
		emulate(t, Options{}, []string{"edge:0-5"}, func(t *testing.T, r *Runner, h *hosts) {
			ask(t, r)
			h.set("edge", why)
			ask(t, r)
			ask(t, r)
			if n := h.count(&h.ran, "edge"); n != 2 {
				t.Errorf("%v: asked %d times, want 2", why, n)
			}
			h.set("edge", nil)
			time.Sleep(minPause)
			ask(t, r)
			h.last(t, "edge:0-5 from 0")
			if n := h.count(&h.opened, "edge"); n != 1 {
				t.Errorf("%v: opened %d times, want once", why, n)
			}
		})
	}
}

func TestErrorSaysWhatEachDeploymentSaid(t *testing.T) {
	emulate(t, Options{NoFallback: true}, []string{"edge:0-5", "cloud:0-5"}, func(t *testing.T, r *Runner, h *hosts) {
		h.set("edge", fmt.Errorf("%w: out of ink", run.ErrBroken))
		h.set("cloud", errors.New("out of paper"))
		_, _, err := r.Run(t.Context(), input())
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "out of ink") || !strings.Contains(err.Error(), "out of paper") {
			t.Errorf("got error %v", err)
		}
		// And at once, as long as they are not to be asked.
		start := time.Now()
		_, _, err = r.Run(t.Context(), input())
		if took := time.Since(start); took != 0 || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "out of ink") {
			t.Errorf("got error %v after %v", err, took)
		}
	})
}

func TestDeadlineEndsARunAndBlamesNobody(t *testing.T) {
	emulate(t, Options{}, []string{"edge:0-5"}, func(t *testing.T, r *Runner, h *hosts) {
		h.took = time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, _, err := r.Run(ctx, input()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		h.took = 0
		ask(t, r)
		h.last(t, "edge:0-5 from 0")
	})
}

func TestWrongInputsAreRefusedAtOnce(t *testing.T) {
	emulate(t, Options{}, []string{"edge:0-5"}, func(t *testing.T, r *Runner, h *hosts) {
		for _, in := range [][]*tensor.Tensor{nil, {nil}, {tensor.New(tensor.Float32, 2)}, {tensor.New(tensor.Int32, 1)}, append(input(), input()...)} {
			if _, _, err := r.Run(t.Context(), in); err == nil || errors.Is(err, ErrUnavailable) {
				t.Errorf("%v: got error %v", in, err)
			}
		}
		if len(h.ran) > 0 {
			t.Errorf("ran %v", h.ran)
		}
	})
}

func TestSwitchIsMadeBeforeTheOldIsLetGo(t *testing.T) {
	emulate(t, Options{}, []string{"edge:0-5"}, func(t *testing.T, r *Runner, h *hosts) {
		h.set("cloud", errLost)
		if err := r.Switch(t.Context(), deployments(t, "cloud:0-5")...); !errors.Is(err, ErrUnavailable) {
			t.Errorf("to a host that is down: got error %v", err)
		}
		ask(t, r)
		h.last(t, "edge:0-5 from 0")
		h.set("cloud", nil)
		h.took = time.Second
		done := make(chan struct{})
		go func() {
			ask(t, r)
			close(done)
		}()
		synctest.Wait()
		if err := r.Switch(t.Context(), deployments(t, "cloud:0-5")...); err != nil {
			t.Fatal(err)
		}
		if h.closed > 0 {
			t.Error("a deployment with a run under way is closed")
		}
		ask(t, r)
		h.last(t, "cloud:0-5 from 0")
		<-done
		synctest.Wait()
		if h.closed != 1 {
			t.Errorf("%d deployments are closed, want 1", h.closed)
		}
		// One that is open already is not opened anew.
		if err := r.Switch(t.Context(), deployments(t, "cloud:0-5", "edge:0-5")...); err != nil {
			t.Fatal(err)
		}
		if n := h.count(&h.opened, "cloud:0-5"); n != 2 {
			t.Errorf("opened %d times, want 2", n)
		}
	})
}

func TestNothingWorksFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Runner{node: &run.Node{Name: "device"}, o: Options{NoFallback: true}}
		r.dial = func(context.Context, run.Deployment, uint64) (lane, error) { return nil, errors.New("nobody there") }
		if err := r.begin(t.Context(), deployments(t, "edge:0-5")); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "nobody there") {
			t.Errorf("got error %v", err)
		}
	})
}

// Whatever fails whenever, each of many runs at a time has its own answer or an
// error, and with the fallback its answer.
func TestManyRunsAtATimeOverHostsThatComeAndGo(t *testing.T) {
	for _, fallback := range []bool{true, false} {
		emulate(t, Options{NoFallback: !fallback}, []string{"device:0-1,edge:2-3,cloud:4-5", "device:0-1,spare:2-5", "cloud:0-5"}, func(t *testing.T, r *Runner, h *hosts) {
			h.took = 10 * time.Millisecond
			stop := make(chan struct{})
			go func() {
				defer close(stop)
				x := rand.New(rand.NewPCG(1, 2))
				for range 500 {
					name := []string{"edge", "cloud", "spare"}[x.IntN(3)]
					h.set(name, []error{errLost, errors.New("no"), run.ErrBusy, nil, nil}[x.IntN(5)])
					if x.IntN(10) == 0 {
						all := deployments(t, "edge:0-5", "device:0-2,cloud:3-5", "device:0-1,spare:2-5")
						x.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
						if err := r.Switch(t.Context(), all...); err != nil && !errors.Is(err, ErrUnavailable) {
							t.Error(err)
						}
					}
					time.Sleep(time.Duration(x.IntN(100)) * time.Millisecond)
				}
			}()
			var wg sync.WaitGroup
			var ids []float32
			var mu sync.Mutex
			for range 8 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						out, _, err := r.Run(t.Context(), input())
						if err != nil {
							if fallback || !errors.Is(err, ErrUnavailable) {
								t.Errorf("got error %v", err)
							}
							time.Sleep(time.Millisecond)
							continue
						}
						mu.Lock()
						ids = append(ids, out[0].F32()[0])
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			slices.Sort(ids)
			if n := len(slices.Compact(slices.Clone(ids))); n != len(ids) || n < 1000 {
				t.Errorf("%d answers are of %d requests", len(ids), n)
			}
		})
	}
}
