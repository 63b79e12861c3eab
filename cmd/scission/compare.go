package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scission/engine/tensor"
	"scission/split"
	"scission/split/run"
	"scission/transport"
)

// compareEdge is the host beside the device in a comparison.
const compareEdge = "edge"

const (
	// compareProfile is how often the model runs on each host for its profile, and as often again with the times
	// of the layers.
	compareProfile = 30
	// minCompared are the rounds that are made whatever the budget.
	minCompared = 6
	// A run that took farBehind times as long as the fastest one is not repeated, unless it is among the alwaysRepeated
	// fastest.
	farBehind      = 1.3
	alwaysRepeated = 3
)

// comparing is the flags of compare, and the work itself.
type comparing struct {
	inputs            inputFlags
	mbits             []float64
	latency           time.Duration
	slowdown          float64
	lossy             []string
	rounds, finalists int
	budget            time.Duration
	threads           int

	progress *progress
	model    *model
	in       []*tensor.Tensor
	world    *world
	pb       split.Problem // with all codecs, and no link
	links    []*comparedLink
	all      []*contender
}

// comparedLink is a link and what was planned for it.
type comparedLink struct {
	emulatedLink
	report  linkReport
	planner *split.Planner   // with all codecs
	chosen  []split.Estimate // without lossy codecs, and with them where some are allowed
	took    time.Duration
}

// least is what the link needs for a run's bytes alone.
func (l *comparedLink) least(wire int64) time.Duration {
	if wire == 0 {
		return 0
	}
	return 2*l.latency + time.Duration(float64(wire)/l.oneWay().Bandwidth*float64(time.Second))
}

// contender is a deployment and how it did over each link.
type contender struct {
	*subject
	lossy bool
	over  []timedRun
}

func (a *app) compareCommand() *cobra.Command {
	var c comparing
	cmd := &cobra.Command{
		Use:   "compare [MODEL]",
		Short: "Run what the planner chooses against all that it rejects, over slow and fast links",
		Long: `Plan how to spread a model over a slow device and a fast edge, for links of several
bandwidths, and run for real, over each link, the partition that the plan chooses
and those that it rejects: everything on the device, everything on the edge, and
the model cut in two at each place where one tensor crosses, sent as it is, with
the lossless codec that makes it smallest there, and with the lossy one that does.
There are two choices: without lossy codecs, and with those of --lossy.

Each of them is run once over each link, unless its bytes alone take the link
longer than another run took altogether. Those that took the least then run by
turns, in rounds, and their medians are compared. Two runs tie if the median of
the ratios of their times in each round may be 1, with 95 % confidence.

Both hosts are this machine. That the device is slower is emulated, as is the
link, and labelled so; coding is not slowed. Without --input a model of pictures
has one that is made up with the statistics of photographs, so that codecs do to
it what they do to those; other models have random inputs. The weights of built-in
networks are seeded random numbers.`,
		Example: `  scission compare
  scission compare zoo:resnet50 --mbit 5,20,100 --latency 10ms
  scission compare model.onnx --input photo.jpg --emulate-slowdown 4 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := zooPrefix + "mobilenetv2"
			if len(args) > 0 {
				name = args[0]
			}
			if err := c.check(); err != nil {
				return err
			}
			c.progress = newProgress(a.err)
			r, err := c.compare(cmd.Context(), name)
			c.progress.clear()
			if err != nil {
				return err
			}
			return a.print(r, r.print)
		},
	}
	c.inputs.flags(cmd)
	f := cmd.Flags()
	f.Float64SliceVar(&c.mbits, "mbit", []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}, "bandwidths of the link in `MBIT/S`")
	f.Lookup("mbit").DefValue = strings.Join(strings.Fields(fmt.Sprint(c.mbits)), ",")
	f.DurationVar(&c.latency, "latency", 2*time.Millisecond, "of the link, one way")
	f.Float64Var(&c.slowdown, "emulate-slowdown", 8, "the device is `N` times slower than the edge")
	f.StringSliceVar(&c.lossy, "lossy", []string{transport.U8.Name(), transport.U8Channel.Name()}, "codecs of the second choice that change what they send; none leaves it out")
	f.IntVar(&c.finalists, "finalists", 10, "how many of each kind run in rounds")
	f.IntVar(&c.rounds, "rounds", 25, fmt.Sprintf("rounds of these at most, and then of the fastest %d of each kind", alwaysRepeated))
	f.DurationVar(&c.budget, "budget", 2*time.Minute, fmt.Sprintf("about how much `TIME` all rounds may take; %d each are made anyway", minCompared))
	f.IntVar(&c.threads, "threads", 1, "threads of each host")
	return cmd
}

func (c *comparing) check() error {
	if c.rounds < minCompared || c.finalists < alwaysRepeated || c.latency < 0 || c.threads < 0 || c.budget < 0 || len(c.mbits) == 0 {
		return usagef("--rounds %d --finalists %d --latency %v --threads %d --budget %v, %d bandwidths, want at least %d, %d, 0, 0, 0 and 1",
			c.rounds, c.finalists, c.latency, c.threads, c.budget, len(c.mbits), minCompared, alwaysRepeated)
	}
	for _, mbit := range c.mbits {
		if !(mbit > 0) || math.IsInf(mbit, 1) {
			return usagef("--mbit %g, want more than 0", mbit)
		}
	}
	for _, name := range c.lossy {
		if codec, err := transport.CodecByName(name); err != nil || codec.Lossless() {
			return usagef("--lossy %s, want some of %s", name, strings.Join(lossyOf(allCodecNames()), ", "))
		}
	}
	return checkSlowdown(c.slowdown)
}

func (c *comparing) compare(ctx context.Context, name string) (r compareReport, err error) {
	begin, since := time.Now(), watchOthers()
	if c.model, c.in, err = c.inputs.openOne(name, true); err != nil {
		return r, err
	}
	if err := c.model.portable(); err != nil {
		return r, err
	}
	r.Input = strings.Join(c.inputs.files, ", ")
	if r.Input == "" {
		r.Input = "random"
		if len(c.in) == 1 && isPhotograph(c.in[0].Type) {
			c.in[0], r.Input = photograph(c.in[0].Type, 1), "made up like a photograph"
		}
	}
	hosts := []emulatedHost{{deviceName, c.slowdown}, {compareEdge, 1}}
	if c.world, err = newWorld(ctx, hosts, []emulatedLink{c.unlimited()}, c.threads); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.world.close()) }()
	if err := c.plan(ctx); err != nil {
		return r, err
	}
	c.enter()
	if err := c.once(ctx); err != nil {
		return r, err
	}
	for k, l := range c.links {
		start := time.Now()
		rounds, err := c.repeat(ctx, k)
		if err != nil {
			return r, err
		}
		x := linkComparison{Mbit: l.mbit, Latency: l.latency, There: l.report.There, Back: l.report.Back, Rounds: rounds, Took: l.took + time.Since(start)}
		for i, e := range l.chosen {
			x.Contests = append(x.Contests, c.decide(k, e, i > 0))
		}
		for _, u := range c.all {
			x.Runs = append(x.Runs, u.over[k])
		}
		slices.SortStableFunc(x.Runs, func(a, b timedRun) int { return a.compare(&b) })
		r.Links = append(r.Links, x)
	}
	r.Model, r.Lossy, r.Machine = c.model.Name, c.lossy, c.pb.Profiles[compareEdge].Machine
	r.Emulated = append([]string{"both hosts are this process"}, emulations(c.pb)...)
	r.Emulated = append(r.Emulated, deviceName+": coding is not slowed", "link: "+shapedNote)
	if strings.HasPrefix(name, zooPrefix) {
		r.Emulated = append(r.Emulated, "weights: seeded random numbers")
	}
	r.Others, r.Took = since(), time.Since(begin)
	return r, nil
}

// unlimited is a link that is not emulated.
func (c *comparing) unlimited() emulatedLink { return emulatedLink{a: deviceName, b: compareEdge} }

// plan profiles both hosts, measures the links and plans for each.
func (c *comparing) plan(ctx context.Context) (err error) {
	m := c.model
	c.pb = split.Problem{
		Model: split.Model{Name: m.Name, Digest: m.Digest}, Layers: len(m.Graph.Nodes), Hosts: []string{deviceName, compareEdge}, Source: deviceName,
		Positions: positions(m.Graph, 1), Profiles: map[string]*split.Profile{}, Codecs: append(codecNames(), c.lossy...),
	}
	for _, host := range c.pb.Hosts {
		o := run.ProfileOptions{Inputs: c.in, Warmup: 2, Runs: compareProfile, Codecs: c.pb.Codecs,
			Progress: func(done, of int) { c.progress.update("profile of "+host, int64(done), int64(of)) }}
		if c.pb.Profiles[host], err = c.world.direct.Profile(ctx, m.Model, host, o); err != nil {
			return err
		}
	}
	for i, mbit := range c.mbits {
		c.progress.update("links", int64(i), int64(len(c.mbits)))
		l := &comparedLink{emulatedLink: emulatedLink{deviceName, compareEdge, c.latency, mbit}}
		c.world.set(0, l.emulatedLink)
		pb := c.pb
		var reports []linkReport
		if pb.Network, reports, err = c.world.measureLinks(ctx, linkTransfer); err != nil {
			return err
		}
		l.report = reports[0]
		if l.planner, err = pb.Prepare(); err != nil {
			return err
		}
		if len(c.lossy) > 0 {
			if l.chosen, err = l.planner.Rank(split.Query{}); err != nil {
				return err
			}
		}
		pb.Codecs = codecNames()
		lossless, err := pb.Rank(split.Query{})
		if err != nil {
			return err
		}
		l.chosen = append(lossless, l.chosen...)
		c.links = append(c.links, l)
	}
	return nil
}

// enter lists everything that is run: the model on either host and what the
// plans choose, and then the model cut at each position.
func (c *comparing) enter() {
	c.find(native(deviceName, c.model.Graph), nil)
	ways := []split.Partition{native(compareEdge, c.model.Graph)}
	for _, at := range c.pb.Positions {
		if at.P > 0 && at.P < c.pb.Layers {
			ways = append(ways, split.Partition{
				{Host: deviceName, Segment: split.Segment{From: 0, To: at.P}},
				{Host: compareEdge, Segment: split.Segment{From: at.P, To: c.pb.Layers}},
			})
		}
	}
	for i, p := range ways {
		for _, allowed := range [][]string{nil, codecNames(), c.pb.Codecs} {
			codecs := map[split.Hop]string{}
			for _, h := range split.Hops(p, deviceName, nil) {
				codecs[h] = c.smallest(h.Position, allowed)
			}
			c.find(p, codecs)
		}
		if i == 0 {
			for _, l := range c.links {
				for _, e := range l.chosen {
					c.find(e.Partition, codecsOf(e))
				}
			}
		}
	}
}

// smallest is the codec of those allowed that sends the fewest bytes of what
// crosses a position, raw if none is better.
func (c *comparing) smallest(position int, allowed []string) string {
	best, bytes := split.RawCodec, c.wire(position, split.RawCodec)
	for _, name := range allowed {
		if n := c.wire(position, name); n < bytes {
			best, bytes = name, n
		}
	}
	return best
}

// wire is the bytes that a codec sends of what crosses a position.
func (c *comparing) wire(position int, codec string) int64 {
	for _, x := range c.pb.Profiles[deviceName].Cuts {
		if x.Position != position {
			continue
		}
		for _, k := range x.Codecs {
			if k.Name == codec {
				return k.WireBytes
			}
		}
		return x.Bytes
	}
	return 0
}

// find is the contender of a partition and codecs, which is a new one if there
// is none yet.
func (c *comparing) find(p split.Partition, codecs map[split.Hop]string) *contender {
	for _, u := range c.all {
		if u.d.Stages.String() == p.String() && maps.Equal(u.d.Codecs, codecs) {
			return u
		}
	}
	r := timedRun{Partition: p}
	for _, h := range split.Hops(p, deviceName, nil) {
		r.Codecs = append(r.Codecs, codecs[h])
		r.Wire += c.wire(h.Position, codecs[h])
	}
	r.Lossy = len(lossyOf(r.Codecs)) > 0
	u := &contender{subject: &subject{node: c.world.nodes[deviceName], d: run.Deployment{Model: c.model.Model, Stages: p, Codecs: codecs, Lossy: r.Lossy}}, lossy: r.Lossy}
	for range c.links {
		u.over = append(u.over, r)
	}
	c.all = append(c.all, u)
	return u
}

// once runs every contender once over each link that may carry its bytes in the
// time of the fastest until then. Only one is open at a time.
func (c *comparing) once(ctx context.Context) error {
	fastest := make([]time.Duration, len(c.links))
	for i, u := range c.all {
		c.progress.update("every run once", int64(i), int64(len(c.all)))
		var within []int
		for k, l := range c.links {
			e, err := l.planner.PredictWith(u.d.Stages, u.d.Codecs)
			if err != nil {
				return err
			}
			x := &u.over[k]
			x.Predicted, x.Least = e.Total, l.least(x.Wire)
			if fastest[k] == 0 || x.Least <= fastest[k] || x.Partition.Native() {
				within = append(within, k)
			}
		}
		if len(within) == 0 {
			continue
		}
		if err := c.open(ctx, u); err != nil {
			return err
		}
		for _, k := range within {
			begin, l, x := time.Now(), c.links[k], &u.over[k]
			c.world.set(0, l.emulatedLink)
			if err := (turn{u.subject}).take(ctx, c.in, 1); err != nil {
				return err
			}
			x.Once, u.samples = u.samples[0][0].Total, nil
			if !u.lossy && (fastest[k] == 0 || x.Once < fastest[k]) {
				fastest[k] = x.Once
			}
			l.took += time.Since(begin)
		}
		if err := u.close(); err != nil {
			return err
		}
	}
	return nil
}

// open opens a contender over a link that is not emulated, and runs it to warm
// it up.
func (c *comparing) open(ctx context.Context, u *contender) (err error) {
	c.world.set(0, c.unlimited())
	if u.execution, err = u.subject.open(ctx); err != nil {
		return err
	}
	_, err = run.Measure(ctx, u.execution, c.in, 0, 1, nil)
	return err
}

func (u *contender) close() error {
	err := u.execution.Close()
	u.execution = nil
	return err
}

// repeat has the fastest over a link run by turns, in rounds, and then those few
// that were the fastest in them for more rounds. Any two that run in the same
// phases do so in the same rounds. It returns the number of rounds.
func (c *comparing) repeat(ctx context.Context, k int) (rounds int, err error) {
	for _, u := range c.fastest(k, c.finalists) {
		if err := c.open(ctx, u); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, u.close()) }()
	}
	runtime.GC()
	c.world.set(0, c.links[k].emulatedLink)
	counts := []int{c.finalists, alwaysRepeated}
	share := c.budget / time.Duration(len(c.links)*len(counts))
	for _, count := range counts {
		list := c.fastest(k, count)
		var t turn
		for _, u := range list {
			t = append(t, u.subject)
		}
		begin := time.Now()
		for n := 0; n < minCompared || n < c.rounds && time.Since(begin) < share; n++ {
			c.progress.update(fmt.Sprintf("round %d at %g Mbit/s", rounds+1, c.links[k].mbit), int64(n), int64(c.rounds))
			if err := t.take(ctx, c.in, 1); err != nil {
				return 0, err
			}
			rounds++
		}
		for _, u := range list {
			for _, s := range u.samples {
				u.over[k].Rounds = append(u.over[k].Rounds, s[0].Total)
			}
			u.samples = nil
		}
	}
	return rounds, nil
}

// fastest are so many of those without lossy codecs that were the fastest over a
// link, so many of all, and what was chosen; but of those far behind few.
func (c *comparing) fastest(k, count int) []*contender {
	list := slices.DeleteFunc(slices.Clone(c.all), func(u *contender) bool { return u.over[k].Once == 0 })
	slices.SortStableFunc(list, func(a, b *contender) int { return a.over[k].compare(&b.over[k]) })
	take := map[*contender]bool{}
	for i, e := range c.links[k].chosen {
		take[c.find(e.Partition, codecsOf(e))] = true
		n, limit := 0, 0.0
		for _, u := range list {
			if u.lossy && i == 0 {
				continue
			}
			took := float64(u.over[k].took())
			if n == 0 {
				limit = farBehind * took
			}
			if n == count || n >= alwaysRepeated && took > limit {
				break
			}
			take[u] = true
			n++
		}
	}
	return slices.DeleteFunc(list, func(u *contender) bool { return !take[u] })
}

// decide compares what was chosen for a link with all else that might have been.
// The codec of the small outputs alone makes no other choice.
func (c *comparing) decide(k int, e split.Estimate, lossy bool) contest {
	chosen := c.find(e.Partition, codecsOf(e))
	r := contest{Lossy: lossy, Chosen: chosen.over[k]}
	for _, u := range c.all {
		x := &u.over[k]
		if u.lossy && !lossy {
			continue
		}
		if x.Partition.Native() {
			of := &r.Device
			if x.Partition[0].Host == compareEdge {
				of = &r.Edge
			}
			if of.Partition == nil || x.compare(of) < 0 {
				*of = *x
			}
		}
		if x.same(&r.Chosen) {
			continue
		}
		r.Others++
		if x.Once == 0 {
			r.OutOfReach++
		}
		if len(x.Rounds) > 0 {
			r.Repeated++
		}
		if r.Rejected.Partition == nil || x.compare(&r.Rejected) < 0 {
			r.Rejected = *x
		}
	}
	r.judge()
	return r
}
