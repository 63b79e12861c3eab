package adapt

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"scission/split"
)

// Rules say when to switch.
type Rules struct {
	// A plan must be faster than the present one by more than Share of its time and by more than Least, in
	// Count estimates in a row, which are Interval apart or more.
	Share    float64
	Least    time.Duration
	Count    int
	Interval time.Duration
	// Dwell is how long the last switch must be ago, and Return how long if that one did not wait (see
	// below), unless staying has since cost requests Share of that time. A plan that was switched to for its
	// gain and is left for another's within Flap, or in an emergency within Dwell, is a flap, after which all
	// three are doubled, up to MaxDwell. They are as at first again after a stay that was none.
	Dwell, Return, Flap, MaxDwell time.Duration
	// The gain over Horizon, at the rate at which requests come, must be more than the switch costs.
	Horizon time.Duration
	// A link that falls below Collapse of the bandwidth with which the plan was made is an emergency, and so
	// is a request that takes longer than Overdue times what is predicted, OverdueLeast more than that, and
	// twice the longest of the last Recent requests; but any that takes longer than Hopeless times what is
	// predicted, which is also what counts until there were that many. Only the margin counts then.
	Collapse          float64
	Overdue, Hopeless float64
	OverdueLeast      time.Duration
	Recent            int
}

// DefaultRules are the rules that are meant for use. They are not to be changed.
var DefaultRules = Rules{
	Share: 0.15, Least: 5 * time.Millisecond, Count: 3, Interval: 100 * time.Millisecond,
	Dwell: 5 * time.Second, Return: time.Second, Flap: 15 * time.Second, MaxDwell: 80 * time.Second,
	Horizon:  30 * time.Second,
	Collapse: 0.25, Overdue: 4, Hopeless: 10, OverdueLeast: 100 * time.Millisecond, Recent: 10,
}

// NoHysteresis are rules that always switch to the plan that looks best; for comparison.
var NoHysteresis = Rules{
	Count: 1, Collapse: DefaultRules.Collapse, Overdue: DefaultRules.Overdue, Hopeless: DefaultRules.Hopeless,
	OverdueLeast: DefaultRules.OverdueLeast, Recent: DefaultRules.Recent,
}

// Rule is what a decision was made by.
type Rule string

// Of the rules, the first five switch.
const (
	Start    Rule = "start"    // there was no plan
	Gain     Rule = "gain"     // another plan is faster, for long enough
	Collapse Rule = "collapse" // a link has lost most of its bandwidth
	Overdue  Rule = "overdue"  // a request does not come back
	Failure  Rule = "failure"  // a host has failed

	Best    Rule = "best"    // the present plan is the best
	Margin  Rule = "margin"  // another is faster, by too little
	Count   Rule = "count"   // not in enough estimates in a row yet
	Dwell   Rule = "dwell"   // the last switch is too short ago
	Cost    Rule = "cost"    // the gain does not pay for the switch
	Pending Rule = "pending" // a switch is under way
	Waiting Rule = "waiting" // nothing new to decide about
	None    Rule = "none"    // no other plan is possible
)

// emergency says whether the rule did not wait.
func (r Rule) emergency() bool { return r == Collapse || r == Overdue || r == Failure }

// Decision is whether to switch, and why.
type Decision struct {
	At     time.Duration // when it was made
	Switch bool
	Rule   Rule
	// From is the present plan and To the best, priced under the present estimates; To is empty where nothing
	// was planned. After Failure From may be empty of figures.
	From, To split.Estimate
	// Links and Load are the estimates.
	Links []split.HostLink
	Load  map[string]float64
	// Reason is one sentence for people.
	Reason string
}

// Emergency says whether the decision did not wait; what is under way with the old plan is then better begun
// again with the new one.
func (d Decision) Emergency() bool { return d.Switch && d.Rule.emergency() }

// String is one line for people.
func (d Decision) String() string {
	verb := "stay with"
	plan := d.From
	if d.Switch {
		verb, plan = "switch to", d.To
	}
	return fmt.Sprintf("%s %s (%s): %s", verb, planText(plan), d.Rule, d.Reason)
}

// planText is a plan for people: the partition, and codecs where not all are raw.
func planText(e split.Estimate) string {
	text, codecs, raw := e.Partition.String(), []string{}, true
	for _, h := range e.Hops {
		codecs, raw = append(codecs, h.Codec), raw && h.Codec == split.RawCodec
	}
	if !raw {
		text += " " + strings.Join(codecs, "+")
	}
	return text
}

// Options are what a Controller is free in.
type Options struct {
	// Query says which plans are allowed, and by what they rank: latency or throughput. Top does not matter.
	Query split.Query
	// Orders are the orders of hosts to plan with; none means that of the problem.
	Orders [][]string
	// Metered are hosts whose links are never probed.
	Metered []string
	// Cost, if not nil, is by how much requests together are delayed by switching to a plan.
	Cost func(to split.Estimate) time.Duration
	// Rules are DefaultRules where Count is 0.
	Rules Rules
}

// Controller decides which plan to run. It is not safe for concurrent use. Times must not go backwards.
type Controller struct {
	o        Options
	rules    Rules
	planners []*split.Planner
	profiles map[string]*split.Profile
	profiled map[split.Stage]time.Duration
	est      *Estimator
	probes   []*prober
	down     map[string]bool

	current  split.Estimate // none where its Partition is nil; priced at the latest estimates
	basis    map[[2]string]float64
	target   string // the plan of a switch under way
	rule     Rule   // of it
	streak   int
	planned  time.Duration // when the last estimate was made
	any      bool          // one was
	moved    bool          // there was a switch
	switched time.Duration
	waited   bool            // the last switch was no emergency
	factor   time.Duration   // of the dwell times
	recent   []time.Duration // what the last requests with this plan took
	observed time.Duration   // the last request
	gap      time.Duration   // from request to request, averaged
	busy     time.Duration   // what requests took since the last estimate
	lost     time.Duration   // of what they took since the last switch, what they would not have with the best plan
	fallen   *time.Duration  // since when a link has collapsed and no other plan is better
}

// gapWeight is what a request weighs in the average time from request to request.
const gapWeight = 0.2

// NewController makes a controller for a problem, whose network is what is known of the links at first. The
// problem must not change while the controller is in use.
func NewController(pb split.Problem, o Options) (*Controller, error) {
	if o.Rules.Count == 0 {
		o.Rules = DefaultRules
	}
	if o.Query.Objective != split.Latency && o.Query.Objective != split.Throughput {
		return nil, fmt.Errorf("adapt: objective %v, want %v or %v", o.Query.Objective, split.Latency, split.Throughput)
	}
	if len(o.Orders) == 0 {
		o.Orders = [][]string{pb.Hosts}
	}
	if pb.Source == "" && len(pb.Hosts) > 0 {
		pb.Source = pb.Hosts[0]
	}
	c := &Controller{
		o: o, rules: o.Rules, profiles: pb.Profiles, profiled: map[split.Stage]time.Duration{},
		est: NewEstimator(pb.Network), down: map[string]bool{}, factor: 1,
	}
	for _, order := range o.Orders {
		pb.Hosts = order
		p, err := pb.Prepare()
		if err != nil {
			return nil, fmt.Errorf("adapt: %w", err)
		}
		c.planners = append(c.planners, p)
	}
	for _, host := range pb.Hosts {
		if host != pb.Source && !slices.Contains(o.Metered, host) && pb.Network.Linked(pb.Source, host) {
			c.probes = append(c.probes, newProber(pb.Source, host))
		}
	}
	return c, nil
}

// Estimator is the controller's; it is only to be read.
func (c *Controller) Estimator() *Estimator { return c.est }

// Begin plans for the first time. A switch to what it decides must be reported like any other.
func (c *Controller) Begin(now time.Duration) (Decision, error) {
	d, err := c.compare(now, c.est.Network())
	if err != nil {
		return d, fmt.Errorf("adapt: %w", err)
	}
	return c.commit(d, Start, "%v is predicted", shown(c.time(d.To))), nil
}

// Request is what one request showed.
type Request struct {
	Took      time.Duration // all of it
	Computed  []Computed
	Exchanges []Exchange
}

// Exchanges pairs the frames of one request, in their order, with those that answer them.
func Exchanges(transfers []Transfer) []Exchange {
	var list []Exchange
	var open []Transfer
	for _, t := range transfers {
		if n := len(open); n > 0 && open[n-1].From == t.To && open[n-1].To == t.From {
			list = append(list, Exchange{open[n-1], t})
			open = open[:n-1]
			continue
		}
		open = append(open, t)
	}
	return list
}

// Observe takes in what a request showed that was answered, and decides.
func (c *Controller) Observe(now time.Duration, r Request) Decision {
	switch {
	case c.observed == 0:
	case c.gap == 0:
		c.gap = now - c.observed
	default:
		c.gap += time.Duration(gapWeight * float64(now-c.observed-c.gap))
	}
	c.observed = now
	if c.recent = append(c.recent, r.Took); len(c.recent) > c.rules.Recent {
		c.recent = c.recent[1:]
	}
	c.busy += r.Took
	for _, x := range r.Exchanges {
		c.est.Exchange(now, x)
		for _, p := range c.probes {
			if pair(x.There.From, x.There.To) == pair(p.source, p.host) {
				p.used += x.There.Bytes + x.Back.Bytes
				p.silent = false
			}
		}
	}
	for _, s := range r.Computed {
		c.est.Compute(now, s.Host, s.Took, c.profile(split.Stage{Host: s.Host, Segment: s.Segment}))
	}
	return c.decide(now)
}

// profile is the time that the profile says a stage takes; 0 where there is none.
func (c *Controller) profile(s split.Stage) time.Duration {
	took, known := c.profiled[s]
	if p := c.profiles[s.Host]; !known && p != nil && s.Segment.From >= 0 && s.Segment.To <= len(p.Layers) && s.Segment.Len() > 0 {
		took = p.SegmentTime(s.Segment)
		c.profiled[s] = took
	}
	return took
}

// decide applies the rules to the present estimates.
func (c *Controller) decide(now time.Duration) Decision {
	if c.current.Partition == nil {
		return c.hold(Decision{At: now}, Waiting, "there is no plan yet")
	}
	if link, was := c.collapsed(); link == nil {
		c.fallen = nil
	} else {
		d, err := c.estimate(now)
		if err == nil && c.worth(d) && c.key(d.To) != c.target {
			return c.commit(d, Collapse, "the link from %s to %s fell to %s, of %s with which the plan was made; %s",
				link[0], link[1], split.FormatBandwidth(round(c.est.Bandwidth(link[0], link[1]))), split.FormatBandwidth(round(was)), c.gain(d))
		}
		if c.fallen == nil {
			c.fallen = &now
		} else if now-*c.fallen >= c.rules.Return { // it is no news any more, and may have fallen as far as it does
			c.remember()
		}
	}
	if c.any && now-c.planned < c.rules.Interval {
		return c.hold(Decision{At: now, From: c.current}, Waiting, "the last estimate is less than %v ago", c.rules.Interval)
	}
	c.planned, c.any = now, true
	busy := c.busy
	c.busy = 0
	d, err := c.estimate(now)
	switch {
	case err != nil:
		c.streak, c.lost = 0, 0
		return c.hold(d, None, "%v", err)
	case c.key(d.From) == c.key(d.To):
		c.streak, c.lost = 0, 0
		for link, was := range c.basis { // with which it would be made again
			c.basis[link] = max(was, c.est.Bandwidth(link[0], link[1]))
		}
		return c.hold(d, Best, "nothing is faster")
	}
	c.lost += time.Duration(float64(busy) * float64(c.time(d.From)-c.time(d.To)) / float64(max(c.time(d.From), 1)))
	if !c.worth(d) {
		c.streak = 0
		return c.hold(d, Margin, "%s, which is not more than %g%% and %v", c.gain(d), 100*c.rules.Share, c.rules.Least)
	}
	c.streak++
	wait := c.wait()
	switch {
	case c.streak < c.rules.Count:
		return c.hold(d, Count, "%s, in %d estimates in a row of %d", c.gain(d), c.streak, c.rules.Count)
	case c.probing():
		return c.hold(d, Count, "%s, but a link is still being measured", c.gain(d))
	case c.unknown(now, d.To):
		return c.hold(d, Count, "%s, but a link of it does not answer a probe", c.gain(d))
	case c.target != "":
		return c.hold(d, Pending, "a switch is under way")
	case now-c.switched < wait && c.lost < time.Duration(c.rules.Share*float64(wait)):
		return c.hold(d, Dwell, "%s, but the last switch is %v ago, of %v", c.gain(d), shown(now-c.switched), wait)
	case !c.pays(d):
		return c.hold(d, Cost, "%s, which does not pay for the switch within %v", c.gain(d), c.rules.Horizon)
	}
	return c.commit(d, Gain, "%s, in %d estimates in a row", c.gain(d), c.streak)
}

// Overdue decides about a request that has been under way for a time and is not answered. What it takes longer
// than predicted is laid to the links that it uses: they have at most the bandwidth with which it would be there
// by now. How much less they have is not known; that part of it is reckoned with that is a collapse.
func (c *Controller) Overdue(now, elapsed time.Duration) Decision {
	hold := func(format string, args ...any) Decision {
		return c.hold(Decision{At: now, From: c.current}, Waiting, format, args...)
	}
	if c.current.Partition == nil {
		return hold("there is no plan yet")
	}
	predicted := c.current.Total
	limit := c.limit(predicted)
	var wire time.Duration
	for _, h := range c.current.Hops {
		wire += h.Travel - h.Latency
	}
	if elapsed <= limit || wire <= 0 {
		return hold("the request is %v under way, of %v", shown(elapsed), shown(limit))
	}
	slower := float64(elapsed-predicted+wire) / float64(wire)
	network := c.est.Network()
	for _, h := range c.current.Hops {
		l, _ := network.Link(h.From, h.To)
		had := float64(h.Wire) / max(h.Travel-h.Latency, minWire).Seconds()
		l.Bandwidth = min(l.Bandwidth, c.rules.Collapse*had/slower)
		if network.Set(h.From, h.To, l) != nil {
			return hold("the link from %s to %s is beyond all reckoning", h.From, h.To)
		}
	}
	d, err := c.compare(now, network)
	if err != nil || !c.worth(d) || c.key(d.To) == c.target {
		return c.hold(d, Waiting, "the request is %v under way and no other plan is faster, or a switch is under way", shown(elapsed))
	}
	for _, h := range c.current.Hops {
		l, _ := network.Link(h.From, h.To)
		c.est.Bound(h.From, h.To, l.Bandwidth)
	}
	return c.commit(d, Overdue, "a request is not back after %v, predicted were %v; %s", shown(elapsed), shown(predicted), c.gain(d))
}

// limit is from when on a request is overdue.
func (c *Controller) limit(predicted time.Duration) time.Duration {
	times := func(factor float64) time.Duration { return time.Duration(factor * float64(predicted)) }
	usual := times(c.rules.Hopeless)
	if len(c.recent) == c.rules.Recent {
		usual = min(usual, 2*slices.Max(c.recent))
	}
	return max(c.rules.patience(predicted), usual)
}

// patience is how long at least what is predicted to take a time is waited for.
func (r Rules) patience(predicted time.Duration) time.Duration {
	return max(time.Duration(r.Overdue*float64(predicted)), predicted+r.OverdueLeast)
}

// Fail says that a host has failed: no plan uses it until Restore.
func (c *Controller) Fail(now time.Duration, host string) Decision {
	c.down[host] = true
	used := slices.ContainsFunc(c.current.Partition, func(s split.Stage) bool { return s.Host == host })
	if !used {
		return c.hold(Decision{At: now, From: c.current}, Best, "%s has failed, which the plan does not use", host)
	}
	d, err := c.estimate(now)
	if err != nil {
		return c.hold(d, None, "%s has failed: %v", host, err)
	}
	return c.commit(d, Failure, "%s has failed", host)
}

// Restore says that a host that had failed is there again.
func (c *Controller) Restore(host string) { delete(c.down, host) }

// Switched says that from now on requests run as plan, which was decided or chosen otherwise.
func (c *Controller) Switched(now time.Duration, plan split.Estimate) {
	if old := c.current; old.Partition != nil && c.key(old) != c.key(plan) {
		flap := c.rules.Flap
		if c.rule.emergency() {
			flap = c.rules.Dwell
		}
		switch {
		case !c.moved || !c.waited:
		case now-c.switched >= flap*c.factor:
			c.factor = 1
		case c.rules.Dwell*c.factor < c.rules.MaxDwell:
			c.factor *= 2
		}
		c.moved, c.switched, c.waited = true, now, !c.rule.emergency()
	}
	c.current, c.target, c.streak, c.lost, c.recent = plan, "", 0, 0, nil
	c.remember()
}

// Abandoned says that the switch under way could not be made. The next one waits as after a switch.
func (c *Controller) Abandoned(now time.Duration) {
	c.target, c.streak, c.lost = "", 0, 0
	c.moved, c.switched, c.waited = true, now, true
}

// wait is how long the last switch must be ago.
func (c *Controller) wait() time.Duration {
	switch {
	case !c.moved:
		return 0
	case c.waited:
		return c.rules.Dwell * c.factor
	}
	return c.rules.Return * c.factor
}

// remember keeps the bandwidths of the plan's links, of which a part is a collapse.
func (c *Controller) remember() {
	c.basis, c.fallen = map[[2]string]float64{}, nil
	for _, h := range c.current.Hops {
		c.basis[[2]string{h.From, h.To}] = c.est.Bandwidth(h.From, h.To)
	}
}

// collapsed finds a link of the plan that has lost most of its bandwidth, and what that was.
func (c *Controller) collapsed() (link *[2]string, was float64) {
	for _, h := range c.current.Hops {
		key := [2]string{h.From, h.To}
		if was := c.basis[key]; c.est.Bandwidth(h.From, h.To) < c.rules.Collapse*was {
			return &key, was
		}
	}
	return nil, 0
}

// estimate prices the present plan and the best as the links and hosts are now.
func (c *Controller) estimate(now time.Duration) (Decision, error) {
	d, err := c.compare(now, c.est.Network())
	if err == nil {
		c.current = d.From
	}
	return d, err
}

// compare prices the present plan and the best under a network.
func (c *Controller) compare(now time.Duration, network *split.Network) (Decision, error) {
	d := Decision{At: now, Links: network.Links(), Load: c.est.Load(now)}
	q := c.o.Query
	q.Top, q.Avoid = 1, slices.Clone(q.Avoid)
	for _, host := range slices.Sorted(maps.Keys(c.down)) {
		if !slices.Contains(q.Avoid, host) {
			q.Avoid = append(q.Avoid, host)
		}
	}
	found := false
	none := split.ErrNoPartition
	for i, p := range c.planners {
		under, err := p.Under(network, d.Load)
		if err != nil {
			return d, err
		}
		if i == 0 && c.current.Partition != nil {
			codecs := map[split.Hop]string{}
			for _, h := range c.current.Hops {
				codecs[h.Hop] = h.Codec
			}
			if d.From, err = under.PredictWith(c.current.Partition, codecs); err != nil {
				return d, err
			}
		}
		best, err := under.Rank(q)
		if errors.Is(err, split.ErrNoPartition) {
			none = err
			continue
		}
		if err != nil {
			return d, err
		}
		if !found || q.Compare(best[0], d.To) < 0 {
			d.To, found = best[0], true
		}
	}
	if !found {
		return d, none
	}
	return d, nil
}

// time is what is to be small.
func (c *Controller) time(e split.Estimate) time.Duration {
	if c.o.Query.Objective == split.Throughput {
		return e.Interval()
	}
	return e.Total
}

// worth says whether the best beats the present plan by the margin.
func (c *Controller) worth(d Decision) bool {
	was, gain := c.time(d.From), c.time(d.From)-c.time(d.To)
	return gain > 0 && float64(gain) > c.rules.Share*float64(was) && gain > c.rules.Least
}

// pays says whether the gain is more than the switch costs.
func (c *Controller) pays(d Decision) bool {
	if c.o.Cost == nil || c.rules.Horizon == 0 {
		return true
	}
	requests := float64(c.rules.Horizon) / float64(max(c.gap, 1))
	return float64(c.time(d.From)-c.time(d.To))*requests >= float64(c.o.Cost(d.To))
}

// gain says for people what the best would gain.
func (c *Controller) gain(d Decision) string {
	was, is := c.time(d.From), c.time(d.To)
	return fmt.Sprintf("%s takes %v instead of %v, %.0f%% less", planText(d.To), shown(is), shown(was), 100*float64(was-is)/float64(max(was, 1)))
}

// key tells plans from each other.
func (c *Controller) key(e split.Estimate) string { return planText(e) }

func (c *Controller) hold(d Decision, rule Rule, format string, args ...any) Decision {
	d.Rule, d.Reason = rule, fmt.Sprintf(format, args...)
	return d
}

func (c *Controller) commit(d Decision, rule Rule, format string, args ...any) Decision {
	d.Switch, d.Rule, d.Reason = true, rule, fmt.Sprintf(format, args...)
	c.target, c.rule, c.streak = c.key(d.To), rule, 0
	return d
}

// shown rounds a time for people.
func shown(d time.Duration) time.Duration {
	step := time.Millisecond / 100
	for step < time.Second && d >= 1000*step {
		step *= 10
	}
	return d.Round(step)
}

// round leaves a bandwidth three digits.
func round(bandwidth float64) float64 {
	if !(bandwidth > 0) {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(bandwidth))-2)
	return math.Round(bandwidth/unit) * unit
}
