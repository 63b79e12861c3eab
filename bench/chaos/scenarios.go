package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"scission/engine/tensor"
	"scission/split"
	"scission/split/live"
	"scission/split/run"
	"scission/transport"
	"scission/transport/keys"
)

// harness is what the scenarios share.
type harness struct {
	scission  string          // the program
	dir       string          // for stores and keys
	authority *keys.Authority // of TLS, if there is to be any
	started   int             // workers
	model     run.Model
	questions []question
	rand      *rand.Rand
	log       func(format string, args ...any)
}

// deployments of the harness's model, as scission exec --stages has them.
func (h *harness) deployments(stages ...string) ([]run.Deployment, error) {
	var ds []run.Deployment
	for _, s := range stages {
		p, err := split.ParsePartition(s, layers)
		if err != nil {
			return nil, err
		}
		ds = append(ds, run.Deployment{Model: h.model, Stages: p})
	}
	return ds, nil
}

// keep starts a live.Runner whose events are counted.
func (h *harness) keep(n *run.Node, fallback bool, stages ...string) (*live.Runner, *events, error) {
	ds, err := h.deployments(stages...)
	if err != nil {
		return nil, nil, err
	}
	e := &events{n: map[live.What]int{}, log: h.log}
	r, err := live.New(context.Background(), n, live.Options{NoFallback: !fallback, Event: e.add}, ds...)
	return r, e, err
}

// events counts what happens.
type events struct {
	mu  sync.Mutex
	n   map[live.What]int
	log func(format string, args ...any)
}

func (e *events) add(x live.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n[x.What]++
	e.log("    %v", x)
}

func (e *events) count(w live.What) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.n[w]
}

func (e *events) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var s []string
	for _, w := range []live.What{live.Opened, live.Failed, live.Retried, live.Retired} {
		s = append(s, fmt.Sprintf("%d %s", e.n[w], w))
	}
	return strings.Join(s, ", ")
}

// issue makes keys of a host, or panics, as only a lack of randomness makes it do.
func (h *harness) issue(name string) *keys.Identity {
	id, err := h.authority.Issue(name, keys.All, time.Now(), 24*time.Hour)
	if err != nil {
		panic(err)
	}
	return id
}

func (h *harness) node(workers ...*worker) *run.Node {
	n := &run.Node{Name: device, Threads: 1, Peers: map[string]string{}, Transport: transport.Options{Insecure: true}}
	if h.authority != nil {
		n.Transport = transport.Options{Keys: h.issue(device)}
	}
	for _, w := range workers {
		n.Peers[w.name] = w.addr
	}
	return n
}

// pause waits for a random time up to d.
func (h *harness) pause(d time.Duration) { time.Sleep(time.Duration(h.rand.Int64N(int64(d)))) }

// Times between what is done to the hosts, and the deadline of a request, which
// is longer than it takes to find a silent peer.
const (
	betweenKills = 200 * time.Millisecond
	downtime     = 400 * time.Millisecond
	deadline     = 10 * time.Second
	callers      = 4
)

// kills kills a random one of three workers at each of n random moments.
func (h *harness) kills(n int, fallback bool) func(r *row) error {
	return func(r *row) (err error) {
		r.fallback = fallback
		var ws []*worker
		defer func() {
			for _, w := range ws {
				err = errors.Join(err, w.stop())
			}
		}()
		cloud, err := h.newWorker("cloud", "--emulate-slowdown", "3")
		if err != nil {
			return err
		}
		ws = append(ws, cloud)
		edge, err := h.newWorker("edge", "--emulate-slowdown", "3", "--peer", "cloud="+cloud.addr)
		if err != nil {
			return err
		}
		ws = append(ws, edge)
		spare, err := h.newWorker("spare", "--emulate-slowdown", "3")
		if err != nil {
			return err
		}
		ws = append(ws, spare)
		k, ev, err := h.keep(h.node(ws...), fallback, "device:0-1,edge:2-4,cloud:5-7", "device:0-1,spare:2-7", "device:0-3,cloud:4-7")
		if err != nil {
			return err
		}
		defer k.Close()
		stop := make(chan struct{})
		wait := h.load(&r.tally, k, callers, deadline, stop)
		killed := map[string]int{}
		for range n {
			h.pause(2 * betweenKills)
			w := ws[h.rand.IntN(len(ws))]
			w.kill()
			killed[w.name]++
			h.pause(downtime)
			if err := w.start(); err != nil {
				close(stop)
				wait()
				return err
			}
		}
		close(stop)
		wait()
		r.note("killed %v; %v", killed, ev)
		return nil
	}
}

// stops stops the only worker, as if it hung, n times; its system still
// acknowledges what is sent.
func (h *harness) stops(n int) func(r *row) error {
	return func(r *row) (err error) {
		r.fallback = true
		edge, err := h.newWorker("edge")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, edge.stop()) }()
		k, ev, err := h.keep(h.node(edge), true, "device:0-1,edge:2-7")
		if err != nil {
			return err
		}
		defer k.Close()
		stop := make(chan struct{})
		wait := h.load(&r.tally, k, callers, deadline, stop)
		for range n {
			h.pause(2 * betweenKills)
			edge.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(8 * time.Second)
			edge.cmd.Process.Signal(syscall.SIGCONT)
			time.Sleep(time.Second)
		}
		close(stop)
		wait()
		r.note("%v", ev)
		return nil
	}
}

// Bounds on what may grow between the first quarter of a long run and its end.
const (
	maxGrowth      = 8 << 10 // KiB resident
	maxEnding      = 8       // descriptors, of connections that end; what is left at the end is judged when all have
	samplesOfAlong = 40
)

// growth follows the resources of this process and a worker.
type growth struct {
	pids  map[string]int
	sizes map[string][]resources
}

func newGrowth(w *worker) *growth {
	return &growth{pids: map[string]int{device: os.Getpid(), w.name: w.cmd.Process.Pid}, sizes: map[string][]resources{}}
}

func (g *growth) sample() error {
	for name, pid := range g.pids {
		r, err := resourcesOf(pid)
		if err != nil {
			return err
		}
		g.sizes[name] = append(g.sizes[name], r)
	}
	return nil
}

// judge fits a line through the samples behind the first quarter.
func (g *growth) judge(r *row) {
	for name, all := range g.sizes {
		s := all[len(all)/4:]
		var mx, my, sxx, sxy float64
		for i, v := range s {
			mx += float64(i) / float64(len(s))
			my += float64(v.rss) / float64(len(s))
		}
		for i, v := range s {
			sxx += (float64(i) - mx) * (float64(i) - mx)
			sxy += (float64(i) - mx) * (float64(v.rss) - my)
		}
		grown := sxy / sxx * float64(len(s)-1)
		fds := fewest(s[len(s)/2:]) - fewest(s[:len(s)/2]) // some connections have not ended yet
		r.note("%s: %.1f MiB resident, %+.1f MiB by the line's slope, descriptors %d, %+d", name, my/1024, grown/1024, s[len(s)-1].descriptors, fds)
		if grown > maxGrowth {
			r.failf("%s grew by %.1f MiB", name, grown/1024)
		}
		if fds > maxEnding {
			r.failf("%s has %d descriptors more", name, fds)
		}
	}
}

// fewest is the least number of descriptors.
func fewest(s []resources) int {
	return slices.MinFunc(s, func(a, b resources) int { return a.descriptors - b.descriptors }).descriptors
}

// cycles connects, asks once, and disconnects, n times.
func (h *harness) cycles(n int) func(r *row) error {
	return func(r *row) (err error) {
		edge, err := h.newWorker("edge")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, edge.stop()) }()
		node := h.node(edge)
		ds, err := h.deployments("device:0-1,edge:2-7")
		if err != nil {
			return err
		}
		g := newGrowth(edge)
		for i := range n {
			c := &client{node: node, deployment: ds[0]}
			r.ask(context.Background(), c, h.questions[i%len(h.questions)], deadline)
			if err := c.close(); err != nil {
				return err
			}
			if (i+1)%max(n/samplesOfAlong, 1) == 0 {
				if err := g.sample(); err != nil {
					return err
				}
			}
		}
		g.judge(r)
		r.judgeErrors()
		return nil
	}
}

// requests asks n questions through one connection.
func (h *harness) requests(n int) func(r *row) error {
	return func(r *row) (err error) {
		edge, err := h.newWorker("edge")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, edge.stop()) }()
		k, ev, err := h.keep(h.node(edge), false, "device:0-1,edge:2-7")
		if err != nil {
			return err
		}
		defer k.Close()
		g := newGrowth(edge)
		for range samplesOfAlong {
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					for i := c; i < n/samplesOfAlong; i += callers {
						r.ask(context.Background(), k, h.questions[i%len(h.questions)], deadline)
					}
				})
			}
			wg.Wait()
			if err := g.sample(); err != nil {
				return err
			}
		}
		g.judge(r)
		r.note("%v", ev)
		r.judgeErrors()
		return nil
	}
}

// clients has n clients, each with a connection of its own, ask a worker that
// serves fewer, at the same time. Each is answered or told that it is busy.
func (h *harness) clients(n, each int) func(r *row) error {
	return func(r *row) (err error) {
		edge, err := h.newWorker("edge")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, edge.stop()) }()
		ds, err := h.deployments("device:0-1,edge:2-7")
		if err != nil {
			return err
		}
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				q := h.questions[i%len(h.questions)]
				c := &client{node: h.node(edge), deployment: ds[0]}
				for range each {
					if err := r.ask(context.Background(), c, q, deadline); err != nil && !errors.Is(err, run.ErrBusy) {
						c.close()
					}
				}
				c.close()
			})
		}
		wg.Wait()
		r.note("errors: %v", r.errs)
		if r.failed != r.errs["busy"] {
			r.failf("%d errors are not that the worker is busy", r.failed-r.errs["busy"])
		}
		return nil
	}
}

// client opens a deployment when it has none.
type client struct {
	node       *run.Node
	deployment run.Deployment
	open       *run.Execution
}

func (c *client) Run(ctx context.Context, in []*tensor.Tensor) ([]*tensor.Tensor, []run.Span, error) {
	if c.open == nil {
		e, err := c.node.Open(ctx, c.deployment)
		if err != nil {
			return nil, nil, err
		}
		c.open = e
	}
	return c.open.Run(ctx, in)
}

// close ends the deployment, if one is open; the next request opens it again.
func (c *client) close() error {
	if c.open == nil {
		return nil
	}
	e := c.open
	c.open = nil
	return e.Close()
}
