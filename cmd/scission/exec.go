package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scission/engine/tensor"
	"scission/split"
	"scission/split/run"
	"scission/transport"
)

type execReport struct {
	Model     string          `json:"model"`
	Stages    split.Partition `json:"stages"`
	Hops      []split.Hop     `json:"hops"`
	Relayed   bool            `json:"relayed"` // hosts in the row do not know each other
	Emulated  []string        `json:"emulated,omitempty"`
	Total     timesReport     `json:"total"`
	Spans     []spanReport    `json:"spans"`
	Predicted time.Duration   `json:"predicted_ns,omitempty"`
	Error     float64         `json:"prediction_error,omitempty"` // (measured - predicted) / measured
	// Throughput is what --pipeline measures.
	Throughput *throughputReport `json:"throughput,omitempty"`
	Identical  *bool             `json:"identical,omitempty"` // to the run that is not split
	// Close is in place of Identical where lossy codecs are in use.
	Close *closeReport `json:"close,omitempty"`
	// Preprocess is how pictures became inputs.
	Preprocess map[string]string `json:"preprocess,omitempty"`
	Outputs    []outputReport    `json:"outputs,omitempty"`
	// Failures are those of hosts, and what went on elsewhere because of them.
	// Runs that did not go as Stages say, Elsewhere in number, are in none of the
	// times unless all did.
	Failures  []string `json:"failures,omitempty"`
	Elsewhere int      `json:"elsewhere,omitempty"`

	samples []run.Sample
}

type timesReport struct {
	Min     time.Duration `json:"min_ns"`
	Median  time.Duration `json:"median_ns"`
	P95     time.Duration `json:"p95_ns"`
	Samples split.Samples `json:"samples_ns"`
}

func times(s split.Samples) timesReport {
	return timesReport{s.Min(), s.Median(), s.Quantile(0.95), s}
}

// spanReport is a span over all runs.
type spanReport struct {
	run.Span                 // of the last run
	Median    time.Duration  `json:"median_ns"`
	Predicted *time.Duration `json:"predicted_ns,omitempty"`
	Samples   split.Samples  `json:"samples_ns"`
}

func (a *app) execCommand() *cobra.Command {
	var stages, plan, codec, name, trace string
	var hosts []string
	var inputs inputFlags
	var outputs outputFlags
	var rank, threads int
	var o execOptions
	var sec security
	var slowdown float64
	var pl planning
	var adapting adaptiveFlags
	var fail failover
	var others []split.Estimate // of the plan
	c := &cobra.Command{
		Use:   "exec MODEL [NAME=]FILE... --stages STAGES",
		Short: "Run a model spread over several machines",
		Long: `Run a partition of a model for real. STAGES are NAME:FIRST-LAST for this machine
and NAME@ADDR:FIRST-LAST for workers, in order, with layers as "scission inspect"
counts them; "end" is the last layer. A+B instead of a name is a tiled stage, of which
each worker computes rows of the images, A*3+B*2 with shares. With --plan the stages and codecs are those
of the plan's estimate number --rank, and --host gives the addresses.

Every stage and hop is timed. Predicted times are shown beside the measured ones
where there is a plan, or --profiles and --network. With --check the model also
runs here unsplit, and the outputs must be the same bit for bit; where a codec is
used that changes what it sends, which --lossy or its name allow, they must be
within --tolerance. A lossless codec that does not pay while data is of another
character than measured makes place for another one of --codecs, or for raw.

With --pipeline many runs are on their way at once, --depth of them at most, so
that all machines work at the same time. Runs in a second are then limited by the
busiest machine or hop, whose share of the time between two answers is shown; a
run by itself takes longer, since it waits behind others.

With --adapt the model runs again and again, --runs times or for --duration, in the
partition that is fastest as the links and the hosts are: their bandwidth, round
trip and load are learned from the runs themselves, idle links are probed with at
most a hundredth of what they carry, and a switch is made when another partition
is clearly faster for long enough, or at once when a link collapses. The new
partition is opened while the old one runs on. Every switch is printed with its
reason. --emulate-trace tries that out on one machine; "scission simulate" needs
none.

When a worker fails, the other estimates of the plan are tried, and then this
machine runs all by itself: from the cut that it still holds, or from the inputs.
What failed is told on stderr, and runs that went another way are not in the
times, though all count as --pipeline's throughput. With --no-fallback a failure
is the end; --adapt has its own ways.

Inputs and outputs are as in "scission run --help"; the files of an input must
give tensors of one shape.`,
		Example: `  scission exec model.onnx --stages device:0-6,edge@127.0.0.1:7001:7-end --input random:1
  scission exec model.onnx --plan plan.json --host edge=127.0.0.1:7001 --input data=x.npy --runs 20 --check
  scission exec model.onnx --stages device:0-6,edge@127.0.0.1:7001:7-end --input random:1 --codec u8 --check
  scission exec model.onnx --stages 'edge1@10.0.0.2:7001+edge2@10.0.0.3:7001:0-30,device:31-end' --name device --input random:1 --check
  scission exec model.onnx --plan plan.json --host edge=127.0.0.1:7001 --input random:1 --pipeline --runs 200
  scission exec model.onnx --plan plan.json --host edge=10.0.0.8:7001 --input random:1 --pipeline --runs 50 --trace trace.json
  scission exec model.onnx --adapt --profiles profiles --network network.json --host edge=127.0.0.1:7001 --input random:1 --duration 1m
  scission exec model.onnx cat.jpg dog.jpg --labels names.txt --stages device:0-6,edge@127.0.0.1:7001:7-end`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := adapting.check(cmd, o); err != nil {
				return err
			}
			if !adapting.on && (stages == "") == (plan == "") {
				return usagef("give either --stages or --plan")
			}
			if !(o.check.tolerance >= 0) {
				return usagef("--tolerance %g, want at least 0", o.check.tolerance)
			}
			if o.runs < 1 || o.warmup < 0 || o.depth < 0 {
				return usagef("--runs %d --warmup %d --depth %d, want at least 1, 0 and 0", o.runs, o.warmup, o.depth)
			}
			if o.depth > 0 && !o.pipeline {
				return usagef("--depth is for --pipeline")
			}
			if err := checkSlowdown(slowdown); err != nil {
				return err
			}
			peers, err := parsePeers(hosts)
			if err != nil {
				return err
			}
			inputs.files = append(inputs.files, args[1:]...)
			x, err := inputs.open(args[0], false)
			if err != nil {
				return err
			}
			reporter, err := outputs.reporter(x)
			if err != nil {
				return err
			}
			in, err := x.loadAll()
			if err != nil {
				return err
			}
			m := x.model
			if err := m.portable(); err != nil {
				return err
			}
			connect, err := sec.options()
			if err != nil {
				return err
			}
			p := newProgress(a.err)
			defer p.clear()
			n := &run.Node{
				Threads: threads, Machine: machine(threads), Peers: peers,
				Transport: connect, Progress: p.update, Slowdown: slowdown,
			}
			if adapting.on {
				n.Name, n.Progress = cmp.Or(name, deviceName), nil
				if err := notMyself(n.Name, peers); err != nil {
					return err
				}
				return a.execAdaptive(cmd.Context(), n, m, in, pl, o, adapting)
			}
			d := run.Deployment{Model: m.Model, Codecs: map[split.Hop]string{}, Layers: trace != ""}
			var predicted *split.Estimate
			if plan != "" {
				p, err := readPlan(plan)
				if err != nil {
					return err
				}
				if rank < 1 || rank > len(p.Estimates) {
					return usagef("--rank %d, want 1 to %d", rank, len(p.Estimates))
				}
				if p.Model.Digest != m.Digest {
					return usagef("%s is for model %q (digest %.12s), got %q (%.12s)", plan, p.Model.Name, p.Model.Digest, m.Name, m.Digest)
				}
				predicted = &p.Estimates[rank-1]
				d.Stages, name = predicted.Partition, p.Source
				for i, e := range p.Estimates {
					if i != rank-1 && !fail.forbidden {
						others = append(others, e)
					}
				}
				d.Codecs = codecsOf(*predicted)
			} else if name, err = parseStages(&d, stages, name, peers); err != nil {
				return err
			}
			if err := notMyself(name, peers); err != nil {
				return err
			}
			if err := d.Stages.Validate(len(m.Graph.Nodes)); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			if pl.profiles != "" && predicted == nil {
				pb, err := pl.problem(m)
				if err != nil {
					return err
				}
				pb.Source = name
				e, err := pb.Predict(d.Stages)
				if err != nil {
					return fmt.Errorf("%w: %w", errUsage, err)
				}
				predicted = &e
				d.Codecs = codecsOf(e)
			}
			if codec != "" {
				if _, err := transport.CodecByName(codec); err != nil {
					return fmt.Errorf("%w: %w", errUsage, err)
				}
				for _, linked := range []bool{true, false} {
					for _, h := range split.Hops(d.Stages, name, func(string, string) bool { return linked }) {
						d.Codecs[h] = codec
					}
				}
			} else {
				d.Alternatives = losslessOf(pl.codecs)
			}
			lossy := lossyHops(d.Codecs)
			d.Lossy = pl.lossy || len(lossyOf(append(pl.codecs, codec))) > 0
			if len(lossy) > 0 && !d.Lossy {
				return usagef("it sends with %s, which changes values: --lossy allows that", strings.Join(lossy, ", "))
			}
			n.Name, o.check.lossy = name, lossy
			for _, e := range others {
				other := d
				other.Stages, other.Codecs = e.Partition, codecsOf(e)
				if len(lossyHops(other.Codecs)) == 0 || d.Lossy {
					fail.others = append(fail.others, other)
				}
			}
			o.failover = &fail
			o.failover.tell = a.err
			r, out, err := measureStages(cmd.Context(), n, m, d, in, o, predicted, p)
			p.clear()
			if err != nil {
				return err
			}
			for i := range out {
				reports, err := reporter.report(m.Graph, in[i], out[i], i)
				if err != nil {
					return err
				}
				r.Outputs = append(r.Outputs, reports...)
			}
			r.Preprocess = x.preprocess()
			if trace != "" {
				if err := writeFile(trace, newTrace(name, m.Graph, r, r.samples).write); err != nil {
					return err
				}
			}
			if err := a.print(r, func(w io.Writer) {
				x.printPreprocess(w)
				printExec(w, r)
			}); err != nil {
				return err
			}
			if r.Identical != nil && !*r.Identical {
				return fmt.Errorf("%w: the outputs differ from those of the unsplit run", errMismatch)
			}
			if r.Close != nil && !r.Close.Within {
				return fmt.Errorf("%w: the outputs are further than --tolerance from those of the unsplit run", errMismatch)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&stages, "stages", "", "`STAGES`, such as device:0-6,edge@ADDR:7-end")
	f.StringVar(&plan, "plan", "", "plan `FILE` of scission plan")
	f.IntVar(&rank, "rank", 1, "which estimate of the plan")
	f.StringArrayVar(&hosts, "host", nil, "`NAME=ADDR` of a worker")
	inputs.flags(c)
	outputs.flags(c)
	f.StringVar(&name, "name", "", "this machine's `NAME`; the default is the stage without an address, or "+deviceName)
	f.StringVar(&codec, "codec", "", "codec of all hops: one of "+strings.Join(codecNames(), ", ")+", which change nothing, or "+strings.Join(lossyOf(allCodecNames()), ", "))
	f.IntVar(&o.runs, "runs", 1, "measured runs of each input")
	f.IntVar(&o.warmup, "warmup", 1, "runs before that; with --pipeline at least as many as its depth")
	f.BoolVar(&o.pipeline, "pipeline", false, "have many runs on their way at once")
	f.IntVar(&o.depth, "depth", 0, "runs on their way at once with --pipeline; 0 is one for each stage and hop, and one more")
	f.BoolVar(&fail.forbidden, "no-fallback", false, "end with an error when a worker fails")
	f.DurationVar(&fail.deadline, "deadline", 0, "how long a run may take with all that is tried for it; 0 is as long as it takes")
	f.StringVar(&trace, "trace", "", "write what each host did when to `FILE`, for ui.perfetto.dev or chrome://tracing; layers are timed for it, which takes a little time")
	f.BoolVar(&o.check.wanted, "check", false, "compare with the unsplit run here, bit for bit")
	f.Float64Var(&o.check.tolerance, "tolerance", 0.1, "how far --check lets an output be off where codecs change values, as a `PART` of its largest magnitude")
	f.Float64Var(&slowdown, "emulate-slowdown", 0, "wait after computing here as if the processor were `N` times slower (emulation)")
	pl.flags(c)
	adapting.flags(c)
	sec.flags(c)
	threadsFlag(c, &threads)
	return c
}

// losslessOf are those of the codecs that change nothing.
func losslessOf(codecs []string) []string {
	return slices.DeleteFunc(slices.Clone(codecs), func(name string) bool { return !slices.Contains(codecNames(), name) })
}

// codecsOf is the codecs that an estimate reckons with.
func codecsOf(e split.Estimate) map[split.Hop]string {
	codecs := map[split.Hop]string{}
	for _, h := range e.Hops {
		codecs[h.Hop] = h.Codec
	}
	for _, s := range e.Stages {
		for _, t := range s.Tiles {
			if t.There != nil {
				codecs[t.There.Hop], codecs[t.Back.Hop] = t.There.Codec, t.Back.Codec
			}
		}
	}
	return codecs
}

// parseStages reads --stages into d, adds its addresses to peers and returns
// this machine's name.
func parseStages(d *run.Deployment, stages, name string, peers map[string]string) (string, error) {
	p, addresses, err := split.ParseStages(stages, len(d.Model.Graph.Nodes))
	if err != nil {
		return "", fmt.Errorf("%w: %w", errUsage, err)
	}
	for host, addr := range addresses {
		peers[host] = addr
	}
	d.Stages = p
	for _, host := range hostsOf(p) {
		_, known := peers[host]
		switch {
		case known || host == name:
		case name == "":
			name = host
		default:
			return "", usagef("stages %q: %s has no address, and this machine is %s", stages, host, name)
		}
	}
	if name == "" {
		name = deviceName
	}
	return name, nil
}

// hostsOf lists the hosts of the stages, the workers of tiled ones among them.
func hostsOf(p split.Partition) (hosts []string) {
	for _, s := range p {
		if !s.Tiled() {
			hosts = append(hosts, s.Host)
		}
		for _, w := range s.Workers() {
			hosts = append(hosts, w.Host)
		}
	}
	return hosts
}

// checking says how outputs are compared with those of the unsplit run.
type checking struct {
	wanted    bool
	lossy     []string // codecs in use
	tolerance float64  // with them
}

// execOptions are how exec runs a deployment.
type execOptions struct {
	warmup, runs int
	pipeline     bool
	depth        int
	check        checking
	failover     *failover // nil fails with the first failure
}

// measureStages opens a deployment, measures it with each of the inputs and puts
// the prediction beside it. It returns the outputs for each.
func measureStages(ctx context.Context, n *run.Node, m *model, d run.Deployment, in [][]*tensor.Tensor, o execOptions, predicted *split.Estimate, p *progress) (execReport, [][]*tensor.Tensor, error) {
	r := execReport{Model: m.Name, Stages: d.Stages}
	if n.Slowdown > 1 {
		r.Emulated = append(r.Emulated, fmt.Sprintf("%s: computing slowed %gx by waiting", n.Name, n.Slowdown))
	}
	measure := r.measureOpen
	if o.failover != nil {
		measure = r.measureLive
	}
	samples, all, err := measure(ctx, n, d, in, o, func(done, of int) { p.update("runs", int64(done), int64(of)) })
	if err != nil {
		return r, nil, err
	}
	if r.Elsewhere > 0 && !ranAs(d.Stages, samples[0].Spans) {
		predicted = nil
	}
	r.samples = samples
	r.fill(samples, predicted)
	switch {
	case o.check.wanted && len(o.check.lossy) > 0:
		if r.Close, err = closeToWhole(ctx, m, n.Threads, in, all, o.check.lossy, o.check.tolerance); err != nil {
			return r, nil, err
		}
	case o.check.wanted:
		same, err := sameAsWhole(ctx, m, n.Threads, in, all)
		if err != nil {
			return r, nil, err
		}
		r.Identical = &same
	}
	return r, all, nil
}

// measureOpen opens d and runs it until something fails.
func (r *execReport) measureOpen(ctx context.Context, n *run.Node, d run.Deployment, in [][]*tensor.Tensor, o execOptions, progress func(done, of int)) ([]run.Sample, [][]*tensor.Tensor, error) {
	e, err := n.Open(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	defer e.Close()
	r.Hops, r.Relayed = e.Hops, e.Relayed
	return measureOneByOne(ctx, e, in, o, progress)
}

// measureOneByOne runs each of the inputs o.runs times in a row, and returns the
// samples and the outputs for each.
func measureOneByOne(ctx context.Context, e *run.Execution, in [][]*tensor.Tensor, o execOptions, progress func(done, of int)) ([]run.Sample, [][]*tensor.Tensor, error) {
	var samples []run.Sample
	var all [][]*tensor.Tensor
	warmup := o.warmup
	for _, x := range in {
		s, err := run.Measure(ctx, e, x, warmup, o.runs, progress)
		if err != nil {
			return nil, nil, err
		}
		samples = append(samples, s...)
		warmup = 0
		out, _, err := e.Run(ctx, x)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, cloneAll(out))
	}
	return samples, all, nil
}

// cloneAll copies the outputs of a run, which the next one overwrites.
func cloneAll(ts []*tensor.Tensor) []*tensor.Tensor {
	clones := make([]*tensor.Tensor, len(ts))
	for i, t := range ts {
		clones[i] = t.Clone()
	}
	return clones
}

// fill adds up the samples, whose spans are the same in each run, and finds the
// prediction of each.
func (r *execReport) fill(samples []run.Sample, predicted *split.Estimate) {
	var total split.Samples
	for _, s := range samples {
		total = append(total, s.Total)
		if r.Spans == nil {
			r.Spans = make([]spanReport, len(s.Spans))
		}
		for i, span := range s.Spans {
			r.Spans[i].Span = span
			r.Spans[i].Samples = append(r.Spans[i].Samples, span.Took)
		}
	}
	r.Total = times(total)
	for i := range r.Spans {
		s := &r.Spans[i]
		s.Median = s.Samples.Median()
		if predicted != nil {
			s.Predicted = prediction(predicted, s.Span)
		}
	}
	if predicted != nil {
		if r.Throughput != nil {
			r.Throughput.Predicted = predicted.Interval()
		}
		r.Predicted = predicted.Total
		r.Error = float64(r.Total.Median-predicted.Total) / float64(max(r.Total.Median, 1))
	}
}

// prediction finds what an estimate says of a span, or nil.
func prediction(e *split.Estimate, s run.Span) *time.Duration {
	if s.What == run.Compute {
		for _, st := range e.Stages {
			if st.Segment != *s.Segment {
				continue
			}
			if st.Host == s.Host {
				return &st.Compute
			}
			for _, t := range st.Tiles {
				if t.Host == s.Host {
					return &t.Compute
				}
			}
		}
		return nil
	}
	if s.Hop.Tile {
		return tilePrediction(e, s)
	}
	for _, h := range e.Hops {
		if h.Hop == *s.Hop {
			return partOf(&h, s.What)
		}
	}
	return nil
}

// tilePrediction is prediction for a transfer of a worker's rows.
func tilePrediction(e *split.Estimate, s run.Span) *time.Duration {
	for _, st := range e.Stages {
		for _, t := range st.Tiles {
			for _, h := range []*split.HopCost{t.There, t.Back} {
				if h != nil && h.Hop == *s.Hop {
					return partOf(h, s.What)
				}
			}
		}
	}
	return nil
}

// partOf is the time of a part of a hop.
func partOf(h *split.HopCost, what run.What) *time.Duration {
	return map[run.What]*time.Duration{run.Encode: &h.Encode, run.Travel: &h.Travel, run.Decode: &h.Decode}[what]
}

func printExec(w io.Writer, r execReport) {
	fmt.Fprintf(w, "%s as %v\n", r.Model, r.Stages)
	for _, e := range r.Emulated {
		fmt.Fprintln(w, "emulated:", e)
	}
	if r.Relayed {
		fmt.Fprintln(w, "the workers do not know each other (scission serve --peer), so their data goes through this machine")
	}
	printSpans(w, r)
	fmt.Fprintf(w, "total: min %s, median %s, p95 %s (%d runs)", ms(r.Total.Min), ms(r.Total.Median), ms(r.Total.P95), len(r.Total.Samples))
	if r.Predicted > 0 {
		fmt.Fprintf(w, "; predicted %s, measured %+.1f%%", ms(r.Predicted), 100*float64(r.Total.Median-r.Predicted)/float64(r.Predicted))
	}
	fmt.Fprintln(w)
	if r.Throughput != nil {
		r.Throughput.print(w)
	}
	if r.Elsewhere > 0 {
		fmt.Fprintf(w, "failures of hosts: %d of the runs went another way\n", r.Elsewhere)
	}
	printOutputs(w, r.Outputs)
	if r.Identical != nil {
		fmt.Fprintf(w, "identical: %s\n", yesNo(*r.Identical))
	}
	if r.Close != nil {
		fmt.Fprintf(w, "close: %v\n", r.Close)
	}
}

func printSpans(w io.Writer, r execReport) {
	header := "what\twhere\tbytes\tmeasured"
	if r.Predicted > 0 {
		header += "\tpredicted"
	}
	table(w, header, func(row func(...any)) {
		for _, s := range r.Spans {
			where, bytes := "", "-"
			if s.What == run.Compute {
				where = fmt.Sprintf("%s, layers %v", s.Host, s.Segment)
			} else {
				where = s.Hop.String()
			}
			if s.What == run.Travel {
				bytes = size(int64(s.Bytes))
			}
			cells := []any{string(s.What), where, bytes, ms(s.Median)}
			if r.Predicted > 0 {
				if s.Predicted != nil {
					cells = append(cells, ms(*s.Predicted))
				} else {
					cells = append(cells, "-")
				}
			}
			row(cells...)
		}
	})
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
