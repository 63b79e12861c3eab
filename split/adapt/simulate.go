package adapt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"scission/split"
)

// Scenario is what Simulate tries the controller on.
type Scenario struct {
	// Problem has the profiles, and the network as it is believed to be when the simulation begins.
	Problem split.Problem
	Options Options
	// Trace is how the network and the hosts really are.
	Trace *split.Trace
	// Every is the time from the begin of a request to that of the next, which waits for the answer at least.
	Every time.Duration
	// Noise is the spread of compute times, and of the times on the wire, as a part of them; at most 0.5.
	Noise float64
	Seed  uint64
	// Prepare is how long after a decision the new plan is ready, unless it runs everything on the source,
	// which is always ready; until then the old one runs on. Delay is added to the first request with a new
	// plan.
	Prepare, Delay time.Duration
}

// Outcome is how a way to choose plans fares in a simulation.
type Outcome struct {
	Policy   string        `json:"policy"`
	Plan     string        `json:"plan,omitempty"` // of a fixed one
	Requests int           `json:"requests"`
	Mean     time.Duration `json:"mean_ns"`
	P95      time.Duration `json:"p95_ns"`
	Max      time.Duration `json:"max_ns"`
	Switches int           `json:"switches"`
	// Regret is by what part the mean is longer than the oracle's.
	Regret float64 `json:"regret"`
	// Bytes are what the requests sent on all wires, and Probed what probes did.
	Bytes  int64 `json:"bytes"`
	Probed int64 `json:"probe_bytes"`
	// Decisions are those to switch.
	Decisions []Decision `json:"-"`

	took split.Samples
}

// Report is what Simulate finds.
type Report struct {
	Adaptive Outcome
	// Fixed is the plan that, had it been kept all the time, would have had the shortest mean.
	Fixed Outcome
	// Oracle takes, for each request, the plan that answers it first, knowing what is to come, at no cost.
	Oracle Outcome
	// Eager is like Adaptive and always switches to what looks best.
	Eager Outcome
}

// Outcomes lists them in the order of a table.
func (r Report) Outcomes() []Outcome { return []Outcome{r.Oracle, r.Adaptive, r.Eager, r.Fixed} }

const (
	// tick is how often a request under way is looked after, and probes are due.
	tick = 20 * time.Millisecond
	// probeFrame is the bytes of a frame of a probe beside the tensor.
	probeFrame = 128
	// maxCandidates bounds the plans that are tried as fixed ones, and moments the points in time whose best
	// plans they are.
	maxCandidates, moments = 64, 200
	// maxRequests bounds the requests of a simulation.
	maxRequests = 1 << 20
)

// Simulate runs requests one after the other for the time of a trace: as the controller decides, with every
// plan that is ever the best kept all the time, with an oracle, and with a controller without hysteresis. The
// same scenario has the same report.
func Simulate(s Scenario) (Report, error) {
	var r Report
	w, err := newWorld(s)
	if err != nil {
		return r, fmt.Errorf("adapt: simulate: %w", err)
	}
	for i, plan := range w.candidates {
		o := w.fixed(plan)
		if i == 0 || o.Mean < r.Fixed.Mean {
			r.Fixed = o
		}
	}
	r.Oracle = w.oracle()
	if r.Adaptive, err = w.adaptive("adaptive", s.Options); err == nil {
		eager := s.Options
		eager.Rules = NoHysteresis
		r.Eager, err = w.adaptive("no hysteresis", eager)
	}
	if err != nil {
		return r, fmt.Errorf("adapt: simulate: %w", err)
	}
	for _, o := range []*Outcome{&r.Adaptive, &r.Fixed, &r.Oracle, &r.Eager} {
		o.Regret = float64(o.Mean)/float64(max(r.Oracle.Mean, 1)) - 1
	}
	return r, nil
}

// world is what really happens in a simulation.
type world struct {
	Scenario
	links      map[[2]string]split.LinkTrace
	hosts      map[string]split.HostTrace
	candidates []split.Estimate // priced without load, so that their stages and hops are as profiled
	planner    *split.Planner
}

func newWorld(s Scenario) (*world, error) {
	if s.Trace == nil {
		return nil, errors.New("no trace")
	}
	if err := s.Trace.Validate(); err != nil {
		return nil, err
	}
	if s.Every < 0 || s.Noise < 0 || s.Noise > 0.5 || s.Prepare < 0 || s.Delay < 0 {
		return nil, fmt.Errorf("every %v, noise %g, prepare %v, delay %v, want at least 0, and noise at most 0.5", s.Every, s.Noise, s.Prepare, s.Delay)
	}
	if s.Problem.Source == "" && len(s.Problem.Hosts) > 0 {
		s.Problem.Source = s.Problem.Hosts[0]
	}
	if len(s.Options.Orders) == 0 {
		s.Options.Orders = [][]string{s.Problem.Hosts}
	}
	w := &world{Scenario: s, links: map[[2]string]split.LinkTrace{}, hosts: map[string]split.HostTrace{}}
	base := s.Problem.Network
	for _, l := range base.Links() {
		w.links[[2]string{l.From, l.To}] = split.LinkTrace{From: l.From, To: l.To, Points: []split.LinkPoint{{Link: l.Link}}}
	}
	for _, l := range s.Trace.Links {
		if _, known := base.Link(l.From, l.To); !known {
			return nil, fmt.Errorf("the trace has a link from %s to %s, the network has none", l.From, l.To)
		}
		w.links[[2]string{l.From, l.To}] = l
	}
	for _, h := range s.Trace.Hosts {
		w.hosts[h.Host] = h
	}
	return w, w.collect()
}

// collect finds the plans that are the best at some moment of the trace, and those that use one host only.
func (w *world) collect() error {
	seen := map[string]bool{}
	add := func(p *split.Planner, e split.Estimate) error {
		if len(w.candidates) == maxCandidates || seen[planText(e)] {
			return nil
		}
		codecs := map[split.Hop]string{}
		for _, h := range e.Hops {
			codecs[h.Hop] = h.Codec
		}
		neutral, err := p.PredictWith(e.Partition, codecs)
		if err == nil {
			seen[planText(e)] = true
			w.candidates = append(w.candidates, neutral)
		}
		return err
	}
	q := w.Options.Query
	q.Top = 1
	for i, order := range w.Options.Orders {
		pb := w.Problem
		pb.Hosts = order
		p, err := pb.Prepare()
		if err != nil {
			return err
		}
		if i == 0 {
			w.planner = p
		}
		for k := range moments {
			now := w.Trace.Duration * time.Duration(k) / moments
			network, err := w.Trace.Network(w.Problem.Network, now)
			if err != nil {
				return err
			}
			under, err := p.Under(network, w.Trace.Load(now))
			if err != nil {
				return err
			}
			best, err := under.Rank(q)
			if errors.Is(err, split.ErrNoPartition) {
				continue
			}
			if err == nil {
				err = add(p, best[0])
			}
			if err != nil {
				return err
			}
		}
		for _, host := range order {
			alone := q
			for _, other := range order {
				if other != host {
					alone.Avoid = append(alone.Avoid[:len(alone.Avoid):len(alone.Avoid)], other)
				}
			}
			best, err := p.Rank(alone)
			if errors.Is(err, split.ErrNoPartition) {
				continue
			}
			if err == nil {
				err = add(p, best[0])
			}
			if err != nil {
				return err
			}
		}
	}
	if len(w.candidates) == 0 {
		return split.ErrNoPartition
	}
	return nil
}

// jitter is a factor of about 1 on a time.
func (w *world) jitter(r *rand.Rand) float64 {
	return max(1+w.Noise*r.NormFloat64(), 1-2*w.Noise+1e-3)
}

// execute runs a request that begins at a time with a plan, and says when it ends and what it shows.
func (w *world) execute(plan split.Estimate, start time.Duration, number int) (time.Duration, Request) {
	r := rand.New(rand.NewPCG(w.Seed, uint64(number)))
	var shows Request
	var transfers []Transfer
	now := start
	scaled := func(d time.Duration, host string) time.Duration {
		load := 1.
		if h, known := w.hosts[host]; known {
			load = h.At(now)
		}
		return time.Duration(float64(d) * load * w.jitter(r))
	}
	hops := plan.Hops
	travel := func() {
		h := hops[0]
		hops = hops[1:]
		now += scaled(h.Encode, h.From)
		link := w.links[[2]string{h.From, h.To}]
		latency := link.At(now).Latency
		took := latency + time.Duration(float64(link.Travel(now, h.Wire)-latency)*w.jitter(r))
		transfers = append(transfers, Transfer{From: h.From, To: h.To, Bytes: h.Wire, Took: took, Latency: latency})
		now += took
		now += scaled(h.Decode, h.To)
	}
	for _, s := range plan.Stages {
		for len(hops) > 0 && !hops[0].Back && hops[0].Position == s.Segment.From {
			travel()
		}
		took := scaled(s.Compute, s.Host)
		shows.Computed = append(shows.Computed, Computed{s.Host, s.Segment, took})
		now += took
	}
	for len(hops) > 0 {
		travel()
	}
	shows.Exchanges = Exchanges(transfers)
	return now, shows
}

// summary ends an outcome.
func (o Outcome) summary() Outcome {
	o.Requests, o.Mean, o.P95, o.Max = len(o.took), o.took.Mean(), o.took.Quantile(0.95), o.took.Quantile(1)
	return o
}

// add counts an answered request.
func (o *Outcome) add(took time.Duration, plan split.Estimate) {
	o.took = append(o.took, took)
	o.Bytes += plan.WireBytes()
}

// steady runs requests with the plan that choose gives for each, which begins at a time.
func (w *world) steady(o Outcome, choose func(start time.Duration, number int) split.Estimate) Outcome {
	for start, number := time.Duration(0), 0; start < w.Trace.Duration && number < maxRequests; number++ {
		plan := choose(start, number)
		end, _ := w.execute(plan, start, number)
		o.add(end-start, plan)
		start = max(end, start+w.Every)
	}
	return o.summary()
}

func (w *world) fixed(plan split.Estimate) Outcome {
	return w.steady(Outcome{Policy: "fixed", Plan: planText(plan)}, func(time.Duration, int) split.Estimate { return plan })
}

func (w *world) oracle() Outcome {
	o := Outcome{Policy: "oracle"}
	last := ""
	switches := 0
	o = w.steady(o, func(start time.Duration, number int) (best split.Estimate) {
		var first time.Duration
		for i, plan := range w.candidates {
			if end, _ := w.execute(plan, start, number); i == 0 || end < first {
				best, first = plan, end
			}
		}
		if text := planText(best); text != last {
			if last != "" {
				switches++
			}
			last = text
		}
		return best
	})
	o.Switches = switches
	return o
}

// pilot is a simulation with a controller.
type pilot struct {
	*world
	c       *Controller
	o       Outcome
	plan    split.Estimate // priced without load
	next    *split.Estimate
	ready   time.Duration // when next is
	moving  bool          // what is under way begins again with next
	fresh   bool          // no request has run with plan yet
	looked  time.Duration // the last tick
	probe   *Probe
	shows   Exchange
	arrives time.Duration // the answer to probe
}

func (w *world) adaptive(policy string, o Options) (Outcome, error) {
	c, err := NewController(w.Problem, o)
	if err != nil {
		return Outcome{}, err
	}
	p := &pilot{world: w, c: c, o: Outcome{Policy: policy}}
	d, err := c.Begin(0)
	if err != nil {
		return Outcome{}, err
	}
	if p.plan, err = p.neutral(d.To); err != nil {
		return Outcome{}, err
	}
	c.Switched(0, d.To)
	number := 0
	for start := time.Duration(0); start < w.Trace.Duration && number < maxRequests; number++ {
		if _, err := p.until(start, -1); err != nil {
			return Outcome{}, err
		}
		end, err := p.request(start, number)
		if err != nil {
			return Outcome{}, err
		}
		start = max(end, start+w.Every)
	}
	return p.o.summary(), nil
}

// neutral prices a plan without load, as execute wants it.
func (w *world) neutral(e split.Estimate) (split.Estimate, error) {
	codecs := map[split.Hop]string{}
	for _, h := range e.Hops {
		codecs[h.Hop] = h.Codec
	}
	return w.planner.PredictWith(e.Partition, codecs)
}

// request runs one request and gives the time of its answer.
func (p *pilot) request(start time.Duration, number int) (time.Duration, error) {
	if p.next != nil && p.ready <= start {
		if err := p.begin(start); err != nil {
			return 0, err
		}
	}
	for begin := start; ; begin = p.looked {
		if p.fresh {
			begin += p.Delay
			p.fresh = false
		}
		plan := p.plan
		end, shows := p.execute(plan, begin, number)
		again, err := p.until(end, start)
		if err != nil {
			return 0, err
		}
		if !again {
			p.o.add(end-start, plan)
			shows.Took = end - start
			p.heed(p.c.Observe(end, shows))
			return end, nil
		}
	}
}

// begin lets the plan that is ready begin.
func (p *pilot) begin(now time.Duration) error {
	plan, err := p.neutral(*p.next)
	if err != nil {
		return err
	}
	p.c.Switched(now, *p.next)
	p.plan, p.next, p.fresh, p.moving = plan, nil, true, false
	p.o.Switches++
	return nil
}

// until lets the time pass to the end: answers to probes arrive, new ones leave, plans that are ready begin. A
// request that is under way since start, which is not negative, is looked after; until then says whether it is
// to begin again, now.
func (p *pilot) until(end, start time.Duration) (again bool, err error) {
	for {
		if p.next != nil && p.ready <= p.looked {
			again = p.moving && start >= 0
			if err := p.begin(p.looked); err != nil || again {
				return again, err
			}
		}
		if p.looked+tick > end {
			return false, nil
		}
		p.looked += tick
		now := p.looked
		if p.probe != nil && p.arrives <= now {
			probe := *p.probe
			p.probe = nil
			p.heed(p.c.Probed(now, probe, p.shows))
		}
		if p.probe == nil {
			if probe, due := p.c.Probe(now); due {
				p.send(now, probe)
			}
		}
		if start >= 0 {
			p.heed(p.c.Overdue(now, now-start))
		}
	}
}

// heed carries out a decision.
func (p *pilot) heed(d Decision) {
	if !d.Switch {
		return
	}
	p.o.Decisions = append(p.o.Decisions, d)
	p.next, p.ready, p.moving = &d.To, d.At, d.Emergency()
	if !d.To.Native() || d.To.Partition[0].Host != p.Problem.Source {
		p.ready += p.Prepare
	}
}

// send lets a probe leave.
func (p *pilot) send(now time.Duration, probe Probe) {
	r := rand.New(rand.NewPCG(p.Seed, uint64(now)))
	transfer := func(from, to string, bytes int, at time.Duration) Transfer {
		l := p.links[[2]string{from, to}]
		latency := l.At(at).Latency
		t := Transfer{From: from, To: to, Bytes: int64(bytes + probeFrame), Latency: latency}
		t.Took = latency + time.Duration(float64(l.Travel(at, t.Bytes)-latency)*p.jitter(r))
		p.o.Probed += t.Bytes
		return t
	}
	p.shows.There = transfer(p.Problem.Source, probe.Host, probe.Send, now)
	p.shows.Back = transfer(probe.Host, p.Problem.Source, probe.Reply, now+p.shows.There.Took)
	p.arrives = now + p.shows.There.Took + p.shows.Back.Took
	p.probe = &probe
}
