// Package live keeps a model running while hosts fail and come back.
//
// A Runner has several deployments of one model, in order of preference, and
// answers each run by the first whose hosts work. When a host fails in the
// middle of a run, the next deployment finishes it, from the tensors that this
// host still holds if the two deployments cut the model at the same place, and
// from the inputs if they do not. All deployments of a model give the same bits
// where their codecs are lossless, so nobody can tell by the results.
//
// The package decides who is asked; it runs nothing itself. Of the project it
// imports engine/graph, engine/tensor, split and split/run.
package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
	"scission/split/run"
)

// Errors that callers decide about, for errors.Is.
var (
	// ErrUnavailable: every deployment was tried, or has a host that failed a
	// moment ago. The error says what each failed with.
	ErrUnavailable = errors.New("no deployment works")
	// ErrClosed: the Runner is closed.
	ErrClosed = errors.New("closed")
)

// Options is how to keep a model running.
type Options struct {
	// NoFallback leaves runs that all deployments fail to their error. Otherwise
	// this host runs the stages of the first deployment all by itself when no
	// deployment works.
	NoFallback bool
	// Depth is how many runs of a deployment are in flight at once; further ones
	// wait. 0 means as many as run.StreamOptions says.
	Depth int
	// Event, if not nil, is told what happens. It is called while the Runner is
	// locked, so it must be quick and not call it.
	Event func(Event)
}

// What says what happened.
type What string

// What can happen.
const (
	Opened    What = "opened"    // a deployment is ready: epoch, stages, hops
	Failed    What = "failed"    // a host, or opening a deployment: host, error, and for how long it is not asked
	Retried   What = "retried"   // a run goes on elsewhere: request, epoch, stages, and the layer from which
	Preferred What = "preferred" // Switch has made a deployment the first: epoch, stages
	Retired   What = "retired"   // a deployment is closed: epoch, stages
)

// Event is one thing that happened. Fields that its What does not name are zero.
type Event struct {
	What    What
	Epoch   uint64 // of the opened deployment, counted from 1
	Stages  split.Partition
	Host    string
	Err     error
	Pause   time.Duration // for which the host is not asked
	Request uint64        // counted from 1
	Layer   int           // those before it are not computed again

	// As run.Execution has them.
	Hops    []split.Hop
	Relayed bool
}

// String is a line for people.
func (e Event) String() string {
	switch e.What {
	case Failed:
		s := e.Host
		if s == "" {
			s = e.Stages.String()
		}
		if s += " failed"; e.Pause > 0 {
			s += fmt.Sprintf(", not asked for %v", e.Pause.Round(time.Millisecond))
		}
		return fmt.Sprintf("%s: %v", s, e.Err)
	case Retried:
		return fmt.Sprintf("request %d goes on as %v from layer %d", e.Request, e.Stages, e.Layer)
	}
	return fmt.Sprintf("%s %v (epoch %d)", e.What, e.Stages, e.Epoch)
}

// lane is an open deployment. It takes several runs at once.
type lane interface {
	// run runs request id from layer on, whose inputs are in. The results are
	// the caller's. With an error, held is what crosses the last cut that was
	// reached on this host, also the caller's, and at the layer behind it.
	run(ctx context.Context, id uint64, layer int, in []*tensor.Tensor) (out []*tensor.Tensor, spans []run.Span, held *progress, err error)
	// begins lists the layers from which it can run.
	begins() []int
	// hops are those of run.Execution, and relayed its Relayed.
	hops() (hops []split.Hop, relayed bool)
	close() error
}

// progress is how far a run has come: layer is the first that is not computed,
// and the tensors are what it and those behind it read.
type progress struct {
	layer   int
	tensors []*tensor.Tensor
}

// route is a deployment and what is known of it.
type route struct {
	run.Deployment
	hosts   []string      // other than this one
	self    breaker       // for failures that are no other host's
	opening chan struct{} // closed when the attempt under way ends
	err     error         // of the last attempt
	open    *opened
	dropped bool // not used any more
}

// opened is a route's lane while there is one.
type opened struct {
	lane
	route   *route
	epoch   uint64
	users   int
	worked  bool // gave an answer
	retired bool // closed once it has no users
}

// Runner runs a model by whichever of its deployments works. It is safe for
// concurrent use.
type Runner struct {
	node *run.Node
	o    Options
	dial func(ctx context.Context, d run.Deployment, epoch uint64) (lane, error)
	ctx  context.Context // of openings
	stop context.CancelFunc
	wg   sync.WaitGroup // openings, users of lanes, and their closing

	inputs    []*graph.Value
	switching chan struct{} // holds a value while Switch is in progress

	mu       sync.Mutex
	closed   bool
	routes   []*route // in order of preference
	breakers map[string]*breaker
	epochs   uint64
	requests uint64
	timer    *time.Timer // to look again at routes that may work again
}

var _ run.Runner = (*Runner)(nil)

// New returns a Runner of deployments of one model on this node and its peers,
// in order of preference; close it. It opens the first one that works, and fails
// with ErrUnavailable if none does; others are opened when they are needed.
func New(ctx context.Context, n *run.Node, o Options, deployments ...run.Deployment) (*Runner, error) {
	r := &Runner{node: n, o: o, dial: func(ctx context.Context, d run.Deployment, epoch uint64) (lane, error) {
		return openLane(ctx, n, d, epoch, o.Depth)
	}}
	return r, r.begin(ctx, deployments)
}

func (r *Runner) begin(ctx context.Context, deployments []run.Deployment) error {
	r.breakers, r.switching = map[string]*breaker{}, make(chan struct{}, 1)
	r.ctx, r.stop = context.WithCancel(context.Background())
	if len(deployments) > 0 {
		r.inputs = deployments[0].Model.Graph.Inputs
	}
	if err := r.Switch(ctx, deployments...); err != nil {
		r.Close()
		return err
	}
	return nil
}

// plan makes routes of deployments, and of the fallback.
func (r *Runner) plan(deployments []run.Deployment) ([]*route, error) {
	if len(deployments) == 0 {
		return nil, errors.New("live: no deployments, want at least one")
	}
	var routes []*route
	for _, d := range deployments {
		if d.Model.Digest != deployments[0].Model.Digest {
			return nil, fmt.Errorf("live: deployments of models %.12s and %.12s, want those of one", deployments[0].Model.Digest, d.Model.Digest)
		}
		routes = append(routes, r.route(d))
	}
	if r.o.NoFallback || slices.ContainsFunc(routes, func(rt *route) bool { return len(rt.hosts) == 0 }) {
		return routes, nil
	}
	here := deployments[0]
	here.Codecs, here.Stages = nil, slices.Clone(here.Stages)
	for i := range here.Stages {
		here.Stages[i].Host = r.node.Name // the cuts stay, so that runs can go on from them
	}
	return append(routes, r.route(here)), nil
}

func (r *Runner) route(d run.Deployment) *route {
	rt := &route{Deployment: d}
	for _, s := range d.Stages {
		names := []string{s.Host}
		if s.Tiled() {
			names = nil
			for _, w := range s.Workers() {
				names = append(names, w.Host)
			}
		}
		for _, name := range names {
			if name != r.node.Name && !slices.Contains(rt.hosts, name) {
				rt.hosts = append(rt.hosts, name)
			}
		}
	}
	return rt
}

// Run answers one run. It returns the results, which are the caller's and no
// later run changes, together with the spans of the deployment that gave them;
// or an error: ErrUnavailable with what every deployment says, ErrClosed, the
// context's, or what is wrong with the inputs, which are read and not kept.
func (r *Runner) Run(ctx context.Context, in []*tensor.Tensor) ([]*tensor.Tensor, []run.Span, error) {
	if err := r.check(in); err != nil {
		return nil, nil, err
	}
	a := &attempts{at: progress{0, in}}
	for {
		o, err := r.acquire(ctx, a)
		if err != nil {
			return nil, nil, a.error(err)
		}
		from := a.at
		if !slices.Contains(o.begins(), from.layer) {
			from = progress{0, in}
		}
		if len(a.failed) > 0 {
			r.tell(Event{What: Retried, Request: a.id, Epoch: o.epoch, Stages: o.route.Stages, Layer: from.layer})
		}
		begin := time.Now()
		out, spans, held, err := o.run(ctx, a.id, from.layer, from.tensors)
		r.release(ctx, o, a, time.Since(begin), err)
		switch {
		case err == nil:
			return out, spans, nil
		case ctx.Err() != nil:
			return nil, nil, a.error(err)
		case held != nil && held.layer > a.at.layer:
			a.at = *held
		}
	}
}

// check refuses inputs that no deployment would take.
func (r *Runner) check(in []*tensor.Tensor) error {
	if len(in) != len(r.inputs) {
		return fmt.Errorf("live: got %d inputs, want %d", len(in), len(r.inputs))
	}
	for i, v := range r.inputs {
		if in[i] == nil || !v.Late && !in[i].Type.Equal(v.Type) {
			return fmt.Errorf("live: input %d is %v, want %v", i, in[i], v.Type)
		}
	}
	return nil
}

// attempts is what a run has tried.
type attempts struct {
	id     uint64
	at     progress
	failed []*route // a route is tried again if it is in here once, after a connection that had been there before was gone
	errs   []error
}

func (a *attempts) times(rt *route) (n int) {
	for _, f := range a.failed {
		if f == rt {
			n++
		}
	}
	return n
}

func (a *attempts) error(err error) error {
	return fmt.Errorf("live: request %d: %w", a.id, errors.Join(append(a.errs, err)...))
}

// acquire returns the open deployment that is to run next, which it opens if it
// must. release follows.
func (r *Runner) acquire(ctx context.Context, a *attempts) (*opened, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.id == 0 {
		r.requests++
		a.id = r.requests
	}
	for {
		if r.closed {
			return nil, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rt := r.choose(a)
		if rt == nil {
			return nil, r.unavailable(a)
		}
		if rt.open != nil {
			rt.open.users++
			r.wg.Add(1)
			return rt.open, nil
		}
		r.start(rt)
		if err := r.await(ctx, rt.opening); err != nil {
			return nil, err
		}
		if rt.open == nil && rt.err != nil {
			a.failed = append(a.failed, rt, rt)
			a.errs = append(a.errs, rt.err)
		}
	}
}

// await waits without the lock.
func (r *Runner) await(ctx context.Context, c <-chan struct{}) error {
	r.mu.Unlock()
	defer r.mu.Lock()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// choose returns the first route that can be tried: one that is open or whose
// hosts work, or else one whose hosts may work again.
func (r *Runner) choose(a *attempts) *route {
	for _, limit := range []State{Closed, HalfOpen} {
		for _, rt := range r.routes {
			if a.times(rt) < 2 && r.may(rt, limit) {
				return rt
			}
		}
	}
	return nil
}

// may says whether all hosts of a route are in a state as good as limit. A route
// that is open has shown that they are not worse than HalfOpen.
func (r *Runner) may(rt *route, limit State) bool {
	now := time.Now()
	for _, b := range r.breakersOf(rt) {
		s := b.state(now)
		if s == Open || s == HalfOpen && limit == Closed && rt.open == nil {
			return false
		}
	}
	return true
}

func (r *Runner) breakersOf(rt *route) []*breaker {
	all := []*breaker{&rt.self}
	for _, h := range rt.hosts {
		all = append(all, r.breaker(h))
	}
	return all
}

func (r *Runner) breaker(host string) *breaker {
	b := r.breakers[host]
	if b == nil {
		b = &breaker{}
		r.breakers[host] = b
	}
	return b
}

// unavailable says why there is no route left.
func (r *Runner) unavailable(a *attempts) error {
	errs := []error{ErrUnavailable}
	now := time.Now()
	for _, rt := range r.routes {
		for _, b := range r.breakersOf(rt) {
			if a.times(rt) == 0 && b.state(now) == Open {
				errs = append(errs, fmt.Errorf("not asked for %v more: %w", b.until.Sub(now).Round(time.Millisecond), b.last))
			}
		}
	}
	return errors.Join(errs...)
}

// start opens a route unless that is under way.
func (r *Runner) start(rt *route) {
	if rt.opening != nil {
		return
	}
	rt.opening, rt.err = make(chan struct{}), nil
	r.epochs++
	epoch := r.epochs
	r.wg.Go(func() {
		l, err := r.dial(r.ctx, rt.Deployment, epoch)
		r.mu.Lock()
		defer r.mu.Unlock()
		defer func() {
			close(rt.opening)
			rt.opening = nil
		}()
		if err != nil {
			rt.err = err
			r.blame(rt, err, true)
			return
		}
		rt.open = &opened{lane: l, route: rt, epoch: epoch}
		for _, b := range r.breakersOf(rt) {
			b.relax(time.Now())
		}
		e := Event{What: Opened, Epoch: epoch, Stages: rt.Stages}
		e.Hops, e.Relayed = l.hops()
		r.event(e)
		if r.closed || rt.dropped {
			r.retire(rt)
		}
	})
}

// staleWithin is how soon a run fails over a connection that had ended before.
const staleWithin = time.Second

// release notes how a run went, and how long it took.
func (r *Runner) release(ctx context.Context, o *opened, a *attempts, took time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.wg.Done()
	rt := o.route
	o.users--
	broken := errors.Is(err, run.ErrBroken)
	if broken && rt.open == o {
		r.retire(rt)
	}
	switch {
	case err == nil:
		o.worked = true
		for _, b := range r.breakersOf(rt) {
			b.succeed()
		}
	case ctx.Err() != nil:
	default:
		a.failed, a.errs = append(a.failed, rt), append(a.errs, err)
		// A connection that had been there may have ended long before, with a
		// host that has come back since. One that falls silent takes longer.
		if stale := broken && o.worked && took < staleWithin; !stale || a.times(rt) > 1 {
			a.failed = append(a.failed, rt)
			r.blame(rt, err, broken || errors.Is(err, run.ErrBusy) || errors.Is(err, run.ErrDraining))
		}
	}
	r.settle(o)
}

// blame notes a failure of a route for the host that it is of. If it is not
// certain that it is, it may be the request's.
func (r *Runner) blame(rt *route, err error, certain bool) {
	if r.closed {
		return
	}
	e := Event{What: Failed, Stages: rt.Stages, Err: err}
	b := &rt.self
	if h := run.Culprit(err); slices.Contains(rt.hosts, h) {
		e.Host, b = h, r.breaker(h)
	}
	if certain || b.refuse() {
		e.Pause = b.fail(time.Now(), err, rand.Float64())
		r.schedule()
	}
	r.event(e)
}

// retire takes no more runs to what is open of a route.
func (r *Runner) retire(rt *route) {
	o := rt.open
	rt.open = nil
	o.retired = true
	r.settle(o)
}

// settle closes what is retired and has no users.
func (r *Runner) settle(o *opened) {
	if !o.retired || o.users > 0 || o.lane == nil {
		return
	}
	l := o.lane
	o.lane = nil
	r.event(Event{What: Retired, Epoch: o.epoch, Stages: o.route.Stages})
	r.wg.Go(func() { l.close() }) // what it says tells nothing about any run
}

// schedule sees to it that look is called when the next pause ends of a host that
// keeps a route from being used that is preferred to those that are open.
func (r *Runner) schedule() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	now := time.Now()
	var next time.Time
	for _, rt := range r.better() {
		var until time.Time
		for _, b := range r.breakersOf(rt) {
			if b.state(now) == Open && b.until.After(until) {
				until = b.until
			}
		}
		if !until.IsZero() && (next.IsZero() || until.Before(next)) {
			next = until
		}
	}
	if !next.IsZero() && !r.closed {
		r.timer = time.AfterFunc(next.Sub(now), r.look)
	}
}

// better are the routes that are preferred to those that are open.
func (r *Runner) better() []*route {
	i := slices.IndexFunc(r.routes, func(rt *route) bool { return rt.open != nil })
	if i < 0 {
		i = len(r.routes)
	}
	return r.routes[:i]
}

// look opens, of the routes that are preferred to those that are open, the first
// that may work again, so that no run needs to wait for that.
func (r *Runner) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	for _, rt := range r.better() {
		if r.may(rt, HalfOpen) {
			r.start(rt)
			break
		}
	}
	r.schedule()
}

// Switch makes other deployments of the model those that are used, in order of
// preference. It opens the first of them that works and only then uses it, while
// runs go on as before; those that are under way end where they began, and then
// what they used is closed. Deployments that are in use already stay open. If
// none works it fails with ErrUnavailable, and nothing changes.
func (r *Runner) Switch(ctx context.Context, deployments ...run.Deployment) error {
	routes, err := r.plan(deployments)
	if err != nil {
		return err
	}
	select {
	case r.switching <- struct{}{}:
		defer func() { <-r.switching }()
	case <-ctx.Done():
		return fmt.Errorf("live: switch: %w", ctx.Err())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, rt := range routes {
		if k := slices.IndexFunc(r.routes, func(old *route) bool { return old.open != nil && same(old.Deployment, rt.Deployment) }); k >= 0 {
			routes[i] = r.routes[k]
		}
	}
	candidates := routes
	if len(r.routes) > 0 {
		candidates = routes[:len(deployments)] // what is in use is better than the fallback
	}
	var errs []error
	for _, rt := range candidates {
		for rt.open == nil && rt.err == nil && !r.closed {
			r.start(rt)
			if err := r.await(ctx, rt.opening); err != nil {
				r.abandon(routes)
				return fmt.Errorf("live: switch: %w", err)
			}
		}
		if r.closed {
			r.abandon(routes)
			return fmt.Errorf("live: switch: %w", ErrClosed)
		}
		if rt.open != nil {
			old := r.routes
			r.routes = routes
			r.event(Event{What: Preferred, Epoch: rt.open.epoch, Stages: rt.Stages})
			r.abandon(old)
			r.schedule()
			return nil
		}
		errs = append(errs, rt.err)
	}
	r.abandon(routes)
	return fmt.Errorf("live: switch: %w: %w", ErrUnavailable, errors.Join(errs...))
}

// same says whether what is open for a deployment serves another one.
func same(a, b run.Deployment) bool {
	if a.Model.Digest != b.Model.Digest || a.Layers != b.Layers || !slices.Equal(a.Stages, b.Stages) || len(a.Codecs) != len(b.Codecs) {
		return false
	}
	for hop, codec := range a.Codecs {
		if b.Codecs[hop] != codec {
			return false
		}
	}
	return true
}

// abandon retires those of the routes that are not used any more.
func (r *Runner) abandon(routes []*route) {
	for _, rt := range routes {
		if slices.Contains(r.routes, rt) {
			continue
		}
		rt.dropped = true
		if rt.open != nil {
			r.retire(rt)
		}
	}
}

// Close takes no more runs, waits for those under way, whose contexts can end
// them, and closes all deployments.
func (r *Runner) Close() error {
	r.mu.Lock()
	r.closed = true
	r.stop()
	if r.timer != nil {
		r.timer.Stop()
	}
	for _, rt := range r.routes {
		if rt.open != nil {
			r.retire(rt)
		}
	}
	r.mu.Unlock()
	r.wg.Wait()
	return nil
}

// Host is the state of a host.
type Host struct {
	Name  string
	State State
	Until time.Time // when its pause ends, if it is Open
	Err   error     // of its last failure, unless it is Closed
}

// Hosts returns the states of the hosts that were asked, in order of their names.
func (r *Runner) Hosts() []Host {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	var hosts []Host
	for name, b := range r.breakers {
		hosts = append(hosts, Host{name, b.state(now), b.until, b.last})
	}
	slices.SortFunc(hosts, func(a, b Host) int { return cmp.Compare(a.Name, b.Name) })
	return hosts
}

func (r *Runner) event(e Event) {
	if r.o.Event != nil {
		r.o.Event(e)
	}
}

func (r *Runner) tell(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.event(e)
}
