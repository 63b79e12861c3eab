package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scission/bench/report"
	"scission/bench/zoo"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
	"scission/split/run"
)

// validating is the flags of report --validate, and the work itself.
type validating struct {
	runs, partitions, maxWidth, threads int
	budget                              time.Duration
	hosts                               []string // NAME=ADDR of workers; none means hosts of this process
	slowdowns                           map[string]string
	network                             string
	label                               string
	security                            security
	output                              string // folder for results; may be empty

	peers    map[string]string
	log      io.Writer
	progress *progress
}

func (v *validating) flags(c *cobra.Command) {
	f := c.Flags()
	f.IntVar(&v.runs, "runs", 7, "rounds of a validation that count; each runs the model on each host and every partition once")
	f.IntVar(&v.partitions, "partitions", 12, "partitions of each network that a validation executes")
	f.DurationVar(&v.budget, "budget", 25*time.Minute, "about how much `TIME` a validation of all networks may take; at least 3 rounds each are made")
	f.IntVar(&v.threads, "threads", 1, "threads of each host of a validation")
	f.StringArrayVar(&v.hosts, "host", nil, "`NAME=ADDR` of a worker to validate with; without, three hosts are emulated here")
	f.StringToStringVar(&v.slowdowns, "emulate-slowdown", nil, "`HOST=N`: the emulated host waits after computing as if it were N times slower")
	f.StringVar(&v.label, "label", "", "say in a validation with workers what of them or their network is emulated: `TEXT`")
	v.security.flags(c)
}

// The hosts and links of a validation without workers. The links are fast, so
// that computing is most of the time and errors in it show.
var (
	validateHosts = []string{deviceName, "edge", "cloud"}
	validateLinks = []emulatedLink{
		{deviceName, "edge", 2 * time.Millisecond, 200},
		{"edge", "cloud", 5 * time.Millisecond, 400},
		{deviceName, "cloud", 10 * time.Millisecond, 100},
	}
)

const (
	// maxOthers is the share of the processors for other programs above which
	// a round is disturbed.
	maxOthers = 0.06
	// minRounds are made whatever the budget.
	minRounds = 3
	// minPartitions is the smallest sample.
	minPartitions = 1
	// visitTime is how long the runs of a deployment in a round take together,
	// if the model is quick, and maxVisit how many they are at most.
	visitTime = 200 * time.Millisecond
	maxVisit  = 7
	// linkTransfer is how long a transfer takes at least that measures a link.
	linkTransfer = 60 * time.Millisecond
	// openBytes bounds the weights of deployments that stay open; those of a
	// larger model are opened for each round anew.
	openBytes = 1 << 30
	// softMemory is what the collector of garbage keeps the process below, if
	// it can.
	softMemory = 3 << 30
)

func (v *validating) check() (err error) {
	if v.runs < 1 || v.partitions < minPartitions || v.threads < 0 || v.budget < 0 {
		return usagef("--runs %d --partitions %d --threads %d --budget %v, want at least 1, 1, 0 and 0", v.runs, v.partitions, v.threads, v.budget)
	}
	if v.peers, err = parsePeers(v.hosts); err != nil {
		return err
	}
	if v.peers[deviceName] != "" {
		return usagef("host %s is this machine, want other names for workers", deviceName)
	}
	if len(v.peers) > 0 && len(v.slowdowns) > 0 {
		return usagef("--emulate-slowdown is for emulated hosts; workers have a flag of their own (scission serve --help)")
	}
	if _, preset := strings.CutPrefix(v.network, presetPrefix); preset {
		return usagef("a validation measures its links, a preset does not help")
	}
	for host, text := range v.slowdowns {
		if !slices.Contains(validateHosts, host) {
			return usagef("--emulate-slowdown %s, want one of %v", host, validateHosts)
		}
		if _, err := parseSlowdown(text); err != nil {
			return err
		}
	}
	return nil
}

func parseSlowdown(text string) (float64, error) {
	var f float64
	if _, err := fmt.Sscanf(text, "%g", &f); err != nil {
		return 0, usagef("--emulate-slowdown %q, want a number", text)
	}
	return f, checkSlowdown(f)
}

// setting is all of the flags that a result depends on.
func (v *validating) setting() string {
	return fmt.Sprintf("rounds %d, partitions %d, width %d, threads %d, hosts %v, slowdown %v, links %v, network %q",
		v.runs, v.partitions, v.maxWidth, v.threads, v.hosts, v.slowdowns, validateLinks, v.network)
}

// bySize orders models, files first and then built-in networks from small to
// large, so that what the small ones leave of the budget is the large ones'.
func bySize(models []string) {
	parameters := map[string]int{}
	for _, info := range zoo.List() {
		parameters[zooPrefix+info.Name] = info.Params
	}
	slices.SortStableFunc(models, func(a, b string) int { return parameters[a] - parameters[b] })
}

// validate validates the models one after the other. What is in the output
// folder from an earlier call with the same settings is not done again.
func (v *validating) validate(ctx context.Context, models []string) ([]*report.Validation, error) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(softMemory))
	begin := time.Now()
	bySize(models)
	var list []*report.Validation
	for i, name := range models {
		left := max(0, v.budget-time.Since(begin))
		share := left / time.Duration(len(models)-i)
		what := fmt.Sprintf("%s, network %d of %d, about %v left", name, i+1, len(models), left.Round(time.Minute))
		r, err := v.one(ctx, name, what, share)
		v.progress.clear()
		if err != nil {
			return list, fmt.Errorf("validate %s: %w", name, err)
		}
		list = append(list, r)
		debug.FreeOSMemory()
	}
	return list, nil
}

// one validates one model, within about the given time, or finds the
// result of an earlier call.
func (v *validating) one(ctx context.Context, name, what string, share time.Duration) (*report.Validation, error) {
	begin := time.Now()
	m, in, err := inputFlags{}.openOne(name, true)
	if err != nil {
		return nil, err
	}
	if err := m.portable(); err != nil {
		return nil, err
	}
	path := ""
	if v.output != "" {
		path = filepath.Join(v.output, "validation-"+networkFolder(name)+".json")
		if old, err := readValidation(path); err == nil && old.Model.Digest == m.Digest && old.Setting == v.setting() {
			fmt.Fprintf(v.log, "%s: as in %s\n", name, path)
			return old, nil
		}
	}
	s, err := v.newSite(ctx)
	if err != nil {
		return nil, err
	}
	r, err := v.rounds(ctx, s, m, in, what, begin.Add(share))
	if err := errors.Join(err, s.close()); err != nil {
		return nil, err
	}
	r.Version, r.Setting, r.Date, r.Took = report.ValidationVersion, v.setting(), begin.UTC().Truncate(time.Second), time.Since(begin)
	a, p := r.Additivity(), r.Prediction()
	fmt.Fprintf(v.log, "%s: %d rounds and %d repeats in %.0f s; the layers add up to %+.1f %%, %d partitions within %.1f %% (median %.1f %%); others took %.0f %% of the processors\n",
		name, r.Rounds, r.Repeats, r.Took.Seconds(), 100*a, p.Count, 100*p.Worst, 100*p.Median, 100*r.Others)
	if path != "" {
		err = writeFile(path, func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(r)
		})
	}
	return r, err
}

// readValidation reads a result of an earlier call.
func readValidation(path string) (*report.Validation, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r report.Validation
	if err := json.NewDecoder(io.LimitReader(f, maxPlanFile)).Decode(&r); err != nil {
		return nil, err
	}
	if r.Version != report.ValidationVersion {
		return nil, fmt.Errorf("%s: version %.40q, want %q", path, r.Version, report.ValidationVersion)
	}
	return &r, nil
}

// site is the hosts of a validation and the network between them.
type site struct {
	hosts []string  // in a row, this one first
	node  *run.Node // this host
	// direct reaches the same hosts without emulated links, where there are any.
	direct *run.Node
	// links measures the links. They are measured in each round, and their
	// medians count as those of the runs do.
	links    func(context.Context) (*split.Network, error)
	emulated []string
	close    func() error
}

func (v *validating) newSite(ctx context.Context) (*site, error) {
	if len(v.peers) > 0 {
		return v.workers(ctx)
	}
	var hosts []emulatedHost
	for _, name := range validateHosts {
		h := emulatedHost{name, 1}
		if text := v.slowdowns[name]; text != "" {
			var err error
			if h.slowdown, err = parseSlowdown(text); err != nil {
				return nil, err
			}
		}
		hosts = append(hosts, h)
	}
	w, err := newWorld(ctx, hosts, validateLinks, v.threads)
	if err != nil {
		return nil, err
	}
	s := &site{hosts: validateHosts, node: w.nodes[deviceName], direct: w.direct, close: w.close}
	s.emulated = append([]string{"all hosts are this process"}, w.emulated()...)
	s.links = func(ctx context.Context) (*split.Network, error) {
		n, _, err := w.measureLinks(ctx, linkTransfer)
		return n, err
	}
	return s, nil
}

// workers is a site of this machine and real workers. The links from here are
// measured, those between the workers are taken from the network file.
func (v *validating) workers(ctx context.Context) (*site, error) {
	s := &site{hosts: append([]string{deviceName}, hostNames(v.hosts)...), close: func() error { return nil }}
	connect, err := v.security.options()
	if err != nil {
		return nil, err
	}
	s.node = &run.Node{Name: deviceName, Threads: v.threads, Machine: machine(v.threads), Peers: v.peers, Transport: connect}
	s.direct = s.node
	file := &split.Network{}
	if v.network != "" {
		f, err := os.Open(v.network)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if file, err = split.ReadNetwork(f, split.MaxNetworkBytes); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errUsage, v.network, err)
		}
	}
	if v.label != "" {
		s.emulated = []string{v.label}
	}
	s.links = func(ctx context.Context) (*split.Network, error) {
		n := &split.Network{Date: time.Now().UTC().Truncate(time.Second), Emulated: v.label}
		for _, l := range file.Links() {
			if err := n.Set(l.From, l.To, l.Link); err != nil {
				return nil, err
			}
		}
		for _, host := range s.hosts[1:] {
			r, err := s.node.MeasureLink(ctx, host, linkTransfer)
			if err != nil {
				return nil, err
			}
			if err := errors.Join(n.Set(deviceName, host, r.There), n.Set(host, deviceName, r.Back)); err != nil {
				return nil, err
			}
		}
		return n, nil
	}
	return s, nil
}

// medianLinks is the first of the networks with, of each link, the medians of
// the latency and the bandwidth in all of them, which have the same links.
func medianLinks(all []*split.Network) (*split.Network, error) {
	n := &split.Network{Date: all[0].Date, Note: all[0].Note, Emulated: all[0].Emulated}
	for _, l := range all[0].Links() {
		var latency split.Samples
		var bandwidth []float64
		for _, one := range all {
			o, ok := one.Link(l.From, l.To)
			if !ok {
				return nil, fmt.Errorf("link %s→%s is missing in a measurement", l.From, l.To)
			}
			latency, bandwidth = append(latency, o.Latency), append(bandwidth, o.Bandwidth)
		}
		slices.Sort(bandwidth)
		l.Latency, l.Bandwidth = latency.Median(), (bandwidth[len(bandwidth)/2]+bandwidth[(len(bandwidth)-1)/2])/2
		if err := n.Set(l.From, l.To, l.Link); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// subject is a deployment that is run in each round.
type subject struct {
	node      *run.Node
	d         run.Deployment
	weights   int64  // bytes, roughly, that it takes while it is open
	host      string // whose profile it feeds; empty for a partition
	execution *run.Execution
	hops      []split.Hop    // that its runs really make
	samples   [][]run.Sample // of each round
}

// open opens the deployment.
func (s *subject) open(ctx context.Context) (*run.Execution, error) {
	return s.node.Open(ctx, s.d)
}

// turn is deployments that run by turns, which what slows the machine down for
// a while hits alike.
type turn []*subject

// take runs each deployment a few times; those that are not open are opened for
// it, and warmed up.
func (t turn) take(ctx context.Context, in []*tensor.Tensor, runs int) error {
	now := make([]*run.Execution, len(t))
	for i, u := range t {
		if now[i] = u.execution; now[i] == nil {
			var err error
			if now[i], err = u.open(ctx); err != nil {
				return err
			}
			defer runtime.GC() // between measurements, not in one
			defer now[i].Close()
			if _, err := run.Measure(ctx, now[i], in, 0, 1, nil); err != nil {
				return err
			}
		}
		u.hops, u.samples = now[i].Hops, append(u.samples, nil)
	}
	for range runs {
		for i, u := range t {
			samples, err := run.Measure(ctx, now[i], in, 0, 1, nil)
			if err != nil {
				return err
			}
			last := len(u.samples) - 1
			u.samples[last] = append(u.samples[last], samples...)
		}
	}
	return nil
}

// rounds makes rounds until enough of them were quiet or the time is over, and
// compares.
func (v *validating) rounds(ctx context.Context, s *site, m *model, in []*tensor.Tensor, what string, deadline time.Time) (*report.Validation, error) {
	pb := split.Problem{
		Model: split.Model{Name: m.Name, Digest: m.Digest}, Layers: len(m.Graph.Nodes), Hosts: s.hosts, Source: deviceName,
		Positions: positions(m.Graph, v.maxWidth), Profiles: map[string]*split.Profile{}, Codecs: codecNames(),
	}
	var err error
	if pb.Network, err = s.links(ctx); err != nil {
		return nil, err
	}
	weights := weightBytes(m.Graph)
	var subjects []*subject
	defer func() {
		for _, u := range subjects {
			if u.execution != nil {
				u.execution.Close()
			}
		}
	}()
	// A first look at the model on each host, from which the partitions are chosen.
	var took time.Duration
	for i, host := range s.hosts {
		v.progress.update(what+": first look", int64(i), int64(len(s.hosts)))
		observed := &subject{node: s.direct, host: host, weights: weights, d: run.Deployment{Model: m.Model, Stages: native(host, m.Graph), Layers: true}}
		whole := *observed
		whole.d.Layers = false
		subjects = append(subjects, observed, &whole)
		look := *observed
		if err := (turn{&look}).take(ctx, in, 1); err != nil {
			return nil, err
		}
		p := &split.Profile{Model: pb.Model, Host: host, Layers: make([]split.LayerProfile, pb.Layers)}
		if err := run.AddRuns(p, look.samples[0]); err != nil {
			return nil, err
		}
		pb.Profiles[host] = p
		took = max(took, p.SegmentTime(split.Segment{From: 0, To: pb.Layers}))
	}
	sample, err := samplePartitions(pb, v.partitions)
	if err != nil {
		return nil, err
	}
	// What the cuts of these partitions cost.
	o := run.ProfileOptions{Inputs: in, Warmup: 1, Runs: 1, MaxWidth: v.maxWidth, Positions: cutsOf(sample), Codecs: codecNames()}
	for i, host := range s.hosts {
		v.progress.update(what+": cuts", int64(i), int64(len(s.hosts)))
		if pb.Profiles[host], err = s.direct.Profile(ctx, m.Model, host, o); err != nil {
			return nil, err
		}
	}
	r := &report.Validation{Model: pb.Model, Layers: pb.Layers, Machine: pb.Profiles[deviceName].Machine, Emulated: s.emulated}
	for _, host := range s.hosts {
		if p := pb.Profiles[host]; p.Emulated != "" {
			r.Emulated = append(r.Emulated, host+": "+p.Emulated)
		}
	}
	for _, p := range sample {
		e, err := pb.Predict(p)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, &subject{node: s.node, weights: weights, d: run.Deployment{Model: m.Model, Stages: p, Codecs: codecsOf(e)}})
	}
	if err := openAll(ctx, subjects, in); err != nil {
		return nil, err
	}
	visit := int(min(max(visitTime/max(took, 1), 1), maxVisit))
	order := interleave(subjects, len(s.hosts))
	var others []float64
	var links []*split.Network // of each round
	for quiet := 0; quiet < v.runs && len(others) < 2*v.runs; {
		begin, since := time.Now(), watchOthers()
		n, err := s.links(ctx)
		if err != nil {
			return nil, err
		}
		links = append(links, n)
		for i := range order {
			v.progress.update(fmt.Sprintf("%s: round %d", what, len(others)+1), int64(i), int64(len(order)))
			// Each round begins elsewhere, so that neighbours in time change.
			if err := order[(i+len(others)*len(s.hosts))%len(order)].take(ctx, in, visit); err != nil {
				return nil, err
			}
		}
		share := since()
		if others = append(others, share); share <= maxOthers {
			quiet++
		}
		if len(others) >= minRounds && time.Now().Add(time.Since(begin)).After(deadline) {
			break
		}
	}
	kept := quietest(others, min(v.runs, len(others)))
	r.Rounds, r.Repeats = len(kept), len(others)-len(kept)
	for _, round := range kept {
		r.Others = max(r.Others, others[round])
		if others[round] == unknownLoad {
			r.Others = unknownLoad
		}
		r.Disturbed = r.Disturbed || others[round] > maxOthers
	}
	return r, compare(r, pb, subjects, links, kept)
}

// quietest chooses n rounds, those with the smallest share of others, in order
// of time.
func quietest(others []float64, n int) []int {
	rounds := make([]int, len(others))
	for i := range rounds {
		rounds[i] = i
	}
	slices.SortStableFunc(rounds, func(a, b int) int {
		switch {
		case others[a] < others[b]:
			return -1
		case others[a] > others[b]:
			return 1
		}
		return 0
	})
	rounds = rounds[:n]
	slices.Sort(rounds)
	return rounds
}

// openAll opens the subjects if all of them may stay open, and runs each once.
// They are opened one after the other, so that none has better memory than
// another; for the same reason it is all or none.
func openAll(ctx context.Context, subjects []*subject, in []*tensor.Tensor) error {
	sum := int64(0)
	for _, u := range subjects {
		sum += u.weights
	}
	if sum > openBytes {
		return nil
	}
	for _, u := range subjects {
		var err error
		if u.execution, err = u.open(ctx); err != nil {
			return err
		}
		if _, err := run.Measure(ctx, u.execution, in, 0, 1, nil); err != nil {
			return err
		}
	}
	runtime.GC()
	return nil
}

// interleave puts the runs of the whole model, which are the first of the
// subjects, evenly among the partitions: of each host an observed and an
// unobserved one by turns.
func interleave(subjects []*subject, hosts int) []turn {
	wholes, partitions := subjects[:2*hosts], subjects[2*hosts:]
	var order []turn
	for h := range hosts {
		order = append(order, wholes[2*h:2*h+2])
		for _, p := range partitions[h*len(partitions)/hosts : (h+1)*len(partitions)/hosts] {
			order = append(order, turn{p})
		}
	}
	return order
}

// compare makes the profiles of the rounds that count, predicts from them and
// puts what was measured beside it.
func compare(r *report.Validation, pb split.Problem, subjects []*subject, links []*split.Network, rounds []int) error {
	all, err := seen(pb, subjects, links, rounds)
	if err != nil {
		return err
	}
	var each []split.Problem
	for _, round := range rounds {
		one, err := seen(pb, subjects, links, []int{round})
		if err != nil {
			return err
		}
		each = append(each, one)
	}
	r.Links = linkTexts(all.Network)
	model := split.Segment{From: 0, To: pb.Layers}
	for _, host := range pb.Hosts {
		p := all.Profiles[host]
		a := report.Additivity{Host: host, Sum: p.SegmentTime(model), Whole: p.Whole.Median()}
		for i, whole := range p.Whole {
			var sum time.Duration
			for _, l := range p.Layers {
				sum += l.Samples[i]
			}
			a.Ratios = append(a.Ratios, report.Ratio(sum, whole))
		}
		r.Hosts = append(r.Hosts, a)
	}
	for _, u := range subjects {
		if u.host != "" {
			continue
		}
		e, err := predictAs(all, u.d)
		if err != nil {
			return err
		}
		if made := fmt.Sprint(u.hops); made != fmt.Sprint(hopsOf(e)) {
			return fmt.Errorf("%w: %v travels %s, want %v as predicted: give the links between workers with --network", errUsage, u.d.Stages, made, hopsOf(e))
		}
		x := report.Execution{Partition: u.d.Stages, Hops: len(e.Hops), Predicted: e.Total}
		for _, st := range e.Stages {
			x.Computing += st.Compute
		}
		for i, round := range rounds {
			e, err := predictAs(each[i], u.d)
			if err != nil {
				return err
			}
			var samples split.Samples
			for _, s := range u.samples[round] {
				samples = append(samples, s.Total)
			}
			x.Ratios = append(x.Ratios, report.Ratio(e.Total, samples.Median()))
			x.Samples = append(x.Samples, samples...)
		}
		x.Measured = x.Samples.Median()
		r.Partitions = append(r.Partitions, x)
	}
	return nil
}

// seen is the problem with the links and the profiles of the whole model as
// the rounds saw them.
func seen(pb split.Problem, subjects []*subject, links []*split.Network, rounds []int) (split.Problem, error) {
	var of []*split.Network
	for _, round := range rounds {
		of = append(of, links[round])
	}
	var err error
	if pb.Network, err = medianLinks(of); err != nil {
		return pb, err
	}
	pb.Profiles = maps.Clone(pb.Profiles)
	for host, p := range pb.Profiles {
		q := *p
		q.Whole, q.Layers = nil, slices.Clone(p.Layers)
		for i := range q.Layers {
			q.Layers[i].Samples = nil
		}
		pb.Profiles[host] = &q
	}
	for _, u := range subjects {
		if u.host == "" {
			continue
		}
		for _, round := range rounds {
			if err := run.AddRuns(pb.Profiles[u.host], u.samples[round]); err != nil {
				return pb, err
			}
		}
	}
	return pb, nil
}

// predictAs predicts a deployment with the codecs that it was opened with: of
// each cut the profiles keep those only.
func predictAs(pb split.Problem, d run.Deployment) (split.Estimate, error) {
	used := map[int][]string{}
	for hop, codec := range d.Codecs {
		used[hop.Position] = append(used[hop.Position], codec)
	}
	profiles := maps.Clone(pb.Profiles)
	for host, p := range profiles {
		q := *p
		q.Cuts = slices.Clone(p.Cuts)
		for i := range q.Cuts {
			c := &q.Cuts[i]
			c.Codecs = slices.DeleteFunc(slices.Clone(c.Codecs), func(k split.CodecProfile) bool {
				return k.Name != split.RawCodec && !slices.Contains(used[c.Position], k.Name)
			})
		}
		profiles[host] = &q
	}
	pb.Profiles = profiles
	return pb.Predict(d.Stages)
}

// hopsOf lists the hops of an estimate.
func hopsOf(e split.Estimate) []split.Hop {
	var hops []split.Hop
	for _, h := range e.Hops {
		hops = append(hops, h.Hop)
	}
	return hops
}

// cutsOf lists the positions at which the partitions cut.
func cutsOf(list []split.Partition) []int {
	var at []int
	for _, p := range list {
		for _, s := range p[1:] {
			at = append(at, s.Segment.From)
		}
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// linkTexts describes links for people.
func linkTexts(n *split.Network) []string {
	var list []string
	for _, l := range n.Links() {
		list = append(list, fmt.Sprintf("%s→%s %s, %s", l.From, l.To, mbit(l.Bandwidth), ms(l.Latency)))
	}
	return list
}

// weightBytes is the size of the graph's constants.
func weightBytes(g *graph.Graph) int64 {
	seen := map[*tensor.Tensor]bool{nil: true}
	var sum int64
	for _, n := range g.Nodes {
		for _, v := range n.In {
			if v != nil && !seen[v.Const] {
				seen[v.Const] = true
				sum += int64(len(v.Const.Raw))
			}
		}
	}
	return sum
}
