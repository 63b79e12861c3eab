package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"scission/engine/tensor"
	"scission/split"
	"scission/split/adapt"
	"scission/split/live"
	"scission/split/run"
	"scission/transport/simnet"
)

const (
	// lookEvery is how often a request under way is looked after.
	lookEvery = 20 * time.Millisecond
	// probeTimeout is how long the answer to a probe is awaited.
	probeTimeout = 10 * time.Second
	// failurePause is how long after a request that failed the next one begins.
	failurePause = 50 * time.Millisecond
)

// adaptiveFlags are the flags of exec that are for --adapt.
type adaptiveFlags struct {
	on       bool
	every    time.Duration
	metered  []string
	emulated traceFlags
}

func (f *adaptiveFlags) flags(c *cobra.Command) {
	fl := c.Flags()
	fl.BoolVar(&f.on, "adapt", false, "run again and again, and change the partition with the links and hosts (needs --profiles and --network)")
	fl.DurationVar(&f.emulated.duration, "duration", 0, "with --adapt, `TIME` to run for, instead of --runs")
	fl.DurationVar(&f.every, "every", 0, "with --adapt, `TIME` from run to run; at least until the answer")
	fl.StringSliceVar(&f.metered, "metered", nil, "with --adapt, `HOSTS` whose links are never probed")
	fl.StringVar(&f.emulated.trace, "emulate-trace", "", "with --adapt, emulate the links to workers on this machine as a trace `FILE` has them, or "+syntheticPrefix+"KIND with KIND one of "+syntheticNames())
	fl.Uint64Var(&f.emulated.seed, "seed", 1, "with --emulate-trace, of what is random")
}

// check refuses flags that do not go together.
func (f *adaptiveFlags) check(c *cobra.Command, o execOptions) error {
	with, without := []string{"duration", "every", "metered", "emulate-trace", "seed"}, []string{"stages", "plan", "rank", "codec", "pipeline", "output", "labels", "warmup"}
	names := with
	if f.on {
		names = without
	}
	for _, name := range names {
		if c.Flags().Changed(name) && f.on {
			return usagef("--%s is not for --adapt", name)
		} else if c.Flags().Changed(name) {
			return usagef("--%s is for --adapt", name)
		}
	}
	if f.emulated.duration < 0 || f.every < 0 {
		return usagef("--duration %v --every %v, want at least 0", f.emulated.duration, f.every)
	}
	return nil
}

// adaptReport is what "exec --adapt" did.
type adaptReport struct {
	Model    string        `json:"model"`
	Emulated []string      `json:"emulated,omitempty"`
	Duration time.Duration `json:"duration_ns"`
	Requests int           `json:"requests"`
	Failed   int           `json:"failed"`
	// Moved are requests that did not come back and were begun again with
	// another partition.
	Moved int         `json:"moved"`
	Total timesReport `json:"total"`
	// Extra is the time of a request beside computing, coding and the network;
	// ExtraAtSwitch that of those that a switch was made beside of, and of the
	// first with the new partition.
	Extra         timesReport      `json:"extra"`
	ExtraAtSwitch timesReport      `json:"extra_at_switch"`
	Decisions     []decisionReport `json:"decisions"`
	Partitions    []partitionTime  `json:"partitions"`
	Bytes         int64            `json:"bytes"` // of requests on all links
	Probes        int              `json:"probes"`
	ProbeBytes    int64            `json:"probe_bytes"`
	Wrong         *int             `json:"wrong,omitempty"` // requests whose outputs are not those of the unsplit run
}

// partitionTime is what one partition was used for.
type partitionTime struct {
	Partition split.Partition `json:"partition"`
	Time      time.Duration   `json:"time_ns"` // from being ready to the next one
	Requests  int             `json:"requests"`
	Took      timesReport     `json:"took"`
}

// errMoved is why a request that is overdue is cancelled.
var errMoved = errors.New("begun again with another partition")

// adaptive runs requests while a controller watches. mu guards the controller and
// all that is below it.
type adaptive struct {
	node  *run.Node
	model run.Model
	// alternatives are what hops may send with as well; lossy allows codecs that
	// change what they send.
	alternatives []string
	lossy        bool

	text  io.Writer // decisions, as they are made
	start time.Time
	zero  time.Duration   // when requests began, from start; what is shown counts from then
	ctx   context.Context // of switches
	wg    sync.WaitGroup
	// preferred is the partition that the last switch led to.
	preferred atomic.Pointer[split.Partition]
	runner    *live.Runner

	mu     sync.Mutex
	c      *adapt.Controller
	report adaptReport

	begun time.Time               // of the request under way; zero if none is
	move  context.CancelCauseFunc // of that request
	down  map[string]bool         // hosts that are not asked

	target string // partition of the newest switch under way
	latest *pendingSwitch

	plans   map[string]*split.Samples // latencies by partition
	order   []split.Partition
	used    map[string]time.Duration
	current split.Partition
	since   time.Duration // when current became so
	first   bool          // no request was answered with it
}

// pendingSwitch is a switch under way, or the last one.
type pendingSwitch struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (x *adaptive) now() time.Duration { return time.Since(x.start) }

// deployment is what runs a plan.
func (x *adaptive) deployment(e split.Estimate) run.Deployment {
	return run.Deployment{Model: x.model, Stages: e.Partition, Codecs: codecsOf(e), Alternatives: x.alternatives, Lossy: x.lossy}
}

// refuge runs everything on this host, which needs no other. It is kept open, to
// be there when another host is not.
func (x *adaptive) refuge() run.Deployment {
	return run.Deployment{Model: x.model, Stages: native(x.node.Name, x.model.Graph), Codecs: map[split.Hop]string{}}
}

// event takes in what happens to deployments. The runner is locked.
func (x *adaptive) event(e live.Event) {
	switch e.What {
	case live.Preferred:
		x.preferred.Store(&e.Stages)
	case live.Failed, live.Retried:
		fmt.Fprintf(x.text, "            %v\n", e)
	}
}

// hosts tells the controller which hosts are not asked, since they failed; x.mu is
// held.
func (x *adaptive) hosts(all []live.Host) {
	for _, h := range all {
		switch failed := h.State == live.Open; {
		case failed && !x.down[h.Name]:
			x.down[h.Name] = true
			x.heed(x.c.Fail(x.now(), h.Name))
		case !failed && x.down[h.Name]:
			delete(x.down, h.Name)
			x.c.Restore(h.Name)
		}
	}
}

// heed carries out a decision; x.mu is held.
func (x *adaptive) heed(d adapt.Decision) {
	if !d.Switch || d.To.Partition.String() == x.target {
		return
	}
	number := len(x.report.Decisions)
	x.decided(d)
	ctx, cancel := context.WithCancel(x.ctx)
	before, s := x.latest, &pendingSwitch{cancel, make(chan struct{})}
	x.latest, x.target = s, d.To.Partition.String()
	if before != nil {
		before.cancel()
	}
	x.wg.Go(func() {
		defer close(s.done)
		defer cancel()
		if before != nil {
			<-before.done
		}
		err := x.runner.Switch(ctx, x.deployment(d.To), x.refuge())
		if got := x.preferred.Load(); err == nil && got.String() != d.To.Partition.String() {
			err = fmt.Errorf("%v could not be opened", d.To.Partition)
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.latest == s {
			x.target = ""
		}
		now := x.now()
		if err != nil {
			x.report.Decisions[number].Error = err.Error()
			x.c.Abandoned(now)
			return
		}
		x.report.Decisions[number].Ready = now - d.At
		x.c.Switched(now, d.To)
		x.enter(now, d.To.Partition)
		if d.Emergency() && !x.begun.IsZero() && x.begun.Before(x.start.Add(d.At)) {
			x.move(errMoved)
		}
	})
}

// decided records a decision to switch; x.mu is held.
func (x *adaptive) decided(d adapt.Decision) {
	r := newDecisionReport(d)
	r.At -= x.zero
	r.print(x.text)
	x.report.Decisions = append(x.report.Decisions, r)
}

// enter notes that requests run as another partition; x.mu is held.
func (x *adaptive) enter(now time.Duration, p split.Partition) {
	if x.current != nil {
		x.used[x.current.String()] += now - x.since
	}
	x.current, x.since, x.first = p, now, true
	if x.plans[p.String()] == nil {
		x.plans[p.String()] = &split.Samples{}
		x.order = append(x.order, p)
	}
}

// shows is what the spans of a request say about links and hosts. Compute times
// do not count where they are the first of a partition.
func shows(spans []run.Span, first bool) (r adapt.Request, bytes int64, sum time.Duration) {
	var transfers []adapt.Transfer
	for _, s := range spans {
		sum += s.Took
		switch {
		case s.What == run.Compute && !first:
			r.Computed = append(r.Computed, adapt.Computed{Host: s.Host, Segment: *s.Segment, Took: s.Took})
		case s.What == run.Travel:
			transfers = append(transfers, transferOf(s))
			bytes += int64(s.Bytes)
		}
	}
	r.Exchanges = adapt.Exchanges(transfers)
	return r, bytes, sum
}

func transferOf(s run.Span) adapt.Transfer {
	return adapt.Transfer{From: s.Hop.From, To: s.Hop.To, Bytes: int64(s.Bytes), Took: s.Took, Latency: max(s.Took-s.Transfer, 0)}
}

// request runs one request and lets the controller learn from it.
func (x *adaptive) request(ctx context.Context, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	begun := time.Now()
	for {
		under, cancel := context.WithCancelCause(ctx)
		x.mu.Lock()
		x.begun, x.move = begun, cancel
		decided, plan, first := len(x.report.Decisions), x.current, x.first
		again := time.Now()
		x.mu.Unlock()
		out, spans, err := x.runner.Run(under, in)
		took, extra := time.Since(begun), time.Since(again)
		x.mu.Lock()
		x.begun, x.move = time.Time{}, nil
		moved := err != nil && ctx.Err() == nil && context.Cause(under) == errMoved
		cancel(nil)
		if moved {
			x.report.Moved++
			x.mu.Unlock()
			continue
		}
		if err == nil {
			r, bytes, sum := shows(spans, first)
			r.Took = took
			extra -= sum
			if plan.String() == x.current.String() {
				x.first = false
			}
			x.report.Bytes += bytes
			x.report.Total.Samples = append(x.report.Total.Samples, took)
			*x.plans[plan.String()] = append(*x.plans[plan.String()], took)
			if first || x.target != "" || len(x.report.Decisions) > decided {
				x.report.ExtraAtSwitch.Samples = append(x.report.ExtraAtSwitch.Samples, extra)
			} else {
				x.report.Extra.Samples = append(x.report.Extra.Samples, extra)
			}
			x.heed(x.c.Observe(x.now(), r))
		}
		x.mu.Unlock()
		return out, err
	}
}

// watch looks after requests under way until ctx ends.
func (x *adaptive) watch(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		all := x.runner.Hosts()
		x.mu.Lock()
		x.hosts(all)
		if !x.begun.IsZero() {
			x.heed(x.c.Overdue(x.now(), time.Since(x.begun)))
		}
		x.mu.Unlock()
	}
}

// probe sends the probes that the controller wants until ctx ends.
func (x *adaptive) probe(ctx context.Context) {
	probers := map[string]*run.Prober{}
	defer func() {
		for _, p := range probers {
			p.Close()
		}
	}()
	for ctx.Err() == nil {
		x.mu.Lock()
		p, due := x.c.Probe(x.now())
		x.mu.Unlock()
		if !due {
			select {
			case <-ctx.Done():
			case <-time.After(lookEvery):
			}
			continue
		}
		there, back, err := x.exchange(ctx, probers, p)
		x.mu.Lock()
		if err != nil {
			x.c.Unanswered(x.now(), p)
		} else {
			x.report.Probes++
			x.report.ProbeBytes += int64(there.Bytes) + int64(back.Bytes)
			x.heed(x.c.Probed(x.now(), p, adapt.Exchange{There: transferOf(there), Back: transferOf(back)}))
		}
		x.mu.Unlock()
	}
}

// exchange sends one probe, over a connection that is kept.
func (x *adaptive) exchange(ctx context.Context, probers map[string]*run.Prober, p adapt.Probe) (there, back run.Span, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if probers[p.Host] == nil {
		prober, err := x.node.Prober(ctx, p.Host)
		if err != nil {
			return there, back, err
		}
		probers[p.Host] = prober
	}
	there, back, err = probers[p.Host].Probe(ctx, p.Send, p.Reply)
	if err != nil {
		probers[p.Host].Close()
		delete(probers, p.Host)
	}
	return there, back, err
}

// shapers emulate the links of this host with others.
type shapers map[string]*simnet.Shaper

// newShapers emulates the links of the node as a trace has them at its begin.
// Only workers on this machine can be behind an emulated link, as the node's
// options for the network do not count then.
func newShapers(n *run.Node, t *split.Trace) (shapers, error) {
	s := shapers{}
	for host, addr := range n.Peers {
		there, back := t.Link(n.Name, host), t.Link(host, n.Name)
		if there == nil || back == nil {
			continue
		}
		name, _, err := net.SplitHostPort(addr)
		if ip := net.ParseIP(name); err != nil || name != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, usagef("--emulate-trace: %s=%s is not on this machine", host, addr)
		}
		s[host] = simnet.NewShaper(simnetLink(there.At(0)), simnetLink(back.At(0)))
	}
	if len(s) == 0 {
		return nil, usagef("--emulate-trace: the trace has no links of %s with %q, there and back", n.Name, slices.Sorted(maps.Keys(n.Peers)))
	}
	n.DialConn = func(ctx context.Context, host, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil || s[host] == nil {
			return c, err
		}
		return s[host].Conn(c), nil
	}
	return s, nil
}

func simnetLink(l split.Link) simnet.Link {
	return simnet.Link{Latency: l.Latency, Bandwidth: l.Bandwidth}
}

// play changes the links as the trace says, from now on until ctx ends.
func (s shapers) play(ctx context.Context, self string, t *split.Trace) {
	var times []time.Duration
	for _, l := range t.Links {
		for _, p := range l.Points {
			times = append(times, p.At)
		}
	}
	slices.Sort(times)
	start := time.Now()
	for _, at := range slices.Compact(times) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(start.Add(at))):
		}
		for host, shaper := range s {
			shaper.Set(simnetLink(t.Link(self, host).At(at)), simnetLink(t.Link(host, self).At(at)))
		}
	}
}

// execAdaptive is "exec --adapt".
func (a *app) execAdaptive(ctx context.Context, n *run.Node, m *model, in [][]*tensor.Tensor, pl planning, o execOptions, f adaptiveFlags) error {
	pl.source = n.Name
	pb, err := pl.problem(m)
	if err != nil {
		return err
	}
	for _, host := range pb.Hosts {
		if _, known := n.Peers[host]; host != n.Name && !known {
			return usagef("no address of %s, of which there is a profile: give --host %s=ADDR, or --hosts without it", host, host)
		}
	}
	options, err := pl.adaptiveOptions(pb, f.metered)
	if err != nil {
		return err
	}
	lossy := pl.lossy || len(lossyOf(pl.codecs)) > 0
	if lossy && o.check.wanted {
		return usagef("--check with --adapt is for codecs that change nothing")
	}
	x := &adaptive{node: n, model: m.Model, text: a.out, lossy: lossy, alternatives: losslessOf(pl.codecs), plans: map[string]*split.Samples{}, used: map[string]time.Duration{}}
	if a.json {
		x.text = io.Discard
	}
	x.report.Model, x.report.Emulated = m.Name, emulations(pb)
	var trace *split.Trace
	var links shapers
	if f.emulated.trace != "" {
		made := f.emulated
		made.duration = cmp.Or(made.duration, time.Minute)
		if trace, err = made.open(pb.Network, n.Name); err != nil {
			return err
		}
		if links, err = newShapers(n, trace); err != nil {
			return err
		}
		x.report.Emulated = append(x.report.Emulated, fmt.Sprintf("links of %s, on loopback sockets: %s", n.Name, trace.Note))
	}
	for _, e := range x.report.Emulated {
		fmt.Fprintln(x.text, "emulated:", e)
	}
	if x.c, err = adapt.NewController(pb, options); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	var want [][]*tensor.Tensor
	if o.check.wanted {
		if err := eachWhole(ctx, m, n.Threads, in, func(_ int, out []*tensor.Tensor) bool {
			want = append(want, cloneAll(out))
			return true
		}); err != nil {
			return err
		}
		x.report.Wrong = new(int)
	}
	if err := x.loop(ctx, in, want, o.runs, f, links, trace); err != nil {
		return err
	}
	if err := a.print(x.report, func(w io.Writer) { printAdapted(w, x.report) }); err != nil {
		return err
	}
	switch {
	case x.report.Wrong != nil && *x.report.Wrong > 0:
		return fmt.Errorf("%w: the outputs of %d requests differ from those of the unsplit run", errMismatch, *x.report.Wrong)
	case x.report.Failed > 0:
		return fmt.Errorf("%d of %d requests failed", x.report.Failed, x.report.Requests)
	}
	return nil
}

// loop opens the first plan and runs the requests.
func (x *adaptive) loop(ctx context.Context, in, want [][]*tensor.Tensor, runs int, f adaptiveFlags, links shapers, trace *split.Trace) (err error) {
	d, err := x.c.Begin(0)
	if err != nil {
		return err
	}
	x.down, x.start = map[string]bool{}, time.Now()
	if x.runner, err = live.New(ctx, x.node, live.Options{Event: x.event}, x.refuge()); err != nil {
		return err
	}
	if err := x.runner.Switch(ctx, x.deployment(d.To), x.refuge()); err != nil {
		return errors.Join(err, x.runner.Close())
	}
	side, stop := context.WithCancel(ctx)
	x.ctx = side
	defer func() {
		stop()
		x.wg.Wait()
		err = errors.Join(err, x.runner.Close())
	}()
	x.zero = x.now()
	d.At = x.zero
	x.decided(d)
	x.mu.Lock()
	x.c.Switched(x.zero, d.To)
	x.enter(x.zero, d.To.Partition)
	if x.preferred.Load().String() != d.To.Partition.String() { // a host is not there
		x.hosts(x.runner.Hosts())
	}
	x.mu.Unlock()
	if links != nil {
		x.wg.Go(func() { links.play(side, x.node.Name, trace) })
	}
	x.wg.Go(func() { x.watch(side) })
	x.wg.Go(func() { x.probe(side) })
	for i := 0; ctx.Err() == nil; i++ {
		if f.emulated.duration > 0 && x.now()-x.zero >= f.emulated.duration || f.emulated.duration == 0 && i == runs*len(in) {
			break
		}
		begun := time.Now()
		out, err := x.request(ctx, in[i%len(in)])
		if err != nil && ctx.Err() != nil {
			break
		}
		x.report.Requests++
		pause := time.Until(begun.Add(f.every))
		switch {
		case err != nil:
			x.report.Failed++
			fmt.Fprintf(x.text, "%8.2f s  request %d failed: %v\n", (x.now() - x.zero).Seconds(), i+1, err)
			pause = max(pause, failurePause)
		case want != nil && !identical(out, want[i%len(in)]):
			*x.report.Wrong++
		}
		if pause > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
	x.summarise()
	return nil
}

// summarise fills in what is known at the end.
func (x *adaptive) summarise() {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := &x.report
	r.Duration = x.now() - x.zero
	x.used[x.current.String()] += x.now() - x.since
	r.Total, r.Extra, r.ExtraAtSwitch = times(r.Total.Samples), times(r.Extra.Samples), times(r.ExtraAtSwitch.Samples)
	for _, p := range x.order {
		took := *x.plans[p.String()]
		r.Partitions = append(r.Partitions, partitionTime{p, x.used[p.String()], len(took), times(took)})
	}
}

func identical(a, b []*tensor.Tensor) bool {
	return slices.EqualFunc(a, b, func(x, y *tensor.Tensor) bool { return x.Identical(y) })
}

func printAdapted(w io.Writer, r adaptReport) {
	table(w, "partition\ttime\trequests\tmedian\tp95\tlongest", func(row func(...any)) {
		for _, p := range r.Partitions {
			row(p.Partition, fmt.Sprintf("%.1f s", p.Time.Seconds()), p.Requests, ms(p.Took.Median), ms(p.Took.P95), ms(p.Took.Samples.Quantile(1)))
		}
	})
	fmt.Fprintf(w, "%d requests in %.1f s, %d failed, %d begun again; mean %s, p95 %s, longest %s\n", r.Requests, r.Duration.Seconds(), r.Failed, r.Moved,
		ms(r.Total.Samples.Mean()), ms(r.Total.P95), ms(r.Total.Samples.Quantile(1)))
	fmt.Fprintf(w, "%d switches; time of a request beside computing, coding and network: median %s, beside a switch %s, at most %s\n", len(r.Decisions)-1,
		ms(r.Extra.Median), ms(r.ExtraAtSwitch.Median), ms(r.ExtraAtSwitch.Samples.Quantile(1)))
	fmt.Fprintf(w, "%s in requests, %s in %d probes\n", size(r.Bytes), size(r.ProbeBytes), r.Probes)
	if r.Wrong != nil {
		fmt.Fprintf(w, "identical: %s\n", yesNo(*r.Wrong == 0))
	}
}
