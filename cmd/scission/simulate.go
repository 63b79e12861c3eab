package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scission/split"
	"scission/split/adapt"
)

// syntheticPrefix tells the kind of a trace that is made up from a file.
const syntheticPrefix = "synthetic:"

// traceFlags are the flags from which a trace is made.
type traceFlags struct {
	trace    string
	duration time.Duration
	seed     uint64
}

func syntheticNames() string {
	var names []string
	for _, s := range adapt.Synthetics() {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// syntheticHelp lists the kinds of traces that are made up.
func syntheticHelp() string {
	var b strings.Builder
	for _, s := range adapt.Synthetics() {
		fmt.Fprintf(&b, "\n  %-6s %s", s.Name, s.Text)
	}
	return b.String()
}

// open reads the trace, or makes it up for the links of a host.
func (f traceFlags) open(network *split.Network, host string) (*split.Trace, error) {
	if kind, ok := strings.CutPrefix(f.trace, syntheticPrefix); ok {
		t, err := adapt.NewTrace(kind, network, host, f.duration, f.seed)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		return t, nil
	}
	file, err := os.Open(f.trace)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("--trace: %w; made up ones are %sKIND, KIND one of %s", err, syntheticPrefix, syntheticNames())
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	t, err := split.ReadTrace(file, split.MaxTraceBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUsage, f.trace, err)
	}
	return t, nil
}

// adaptiveOptions are the options of a controller.
func (pl *planning) adaptiveOptions(pb split.Problem, metered []string) (adapt.Options, error) {
	if pl.hosts == nil && len(pb.Hosts) > maxFreeHosts {
		return adapt.Options{}, usagef("%d hosts: give their order with --hosts, every order is tried for at most %d", len(pb.Hosts), maxFreeHosts)
	}
	return adapt.Options{Query: split.Query{MaxWidth: pl.maxWidth}, Orders: pl.orders(pb.Hosts), Metered: metered}, nil
}

type simulateReport struct {
	Model     string           `json:"model"`
	Emulated  []string         `json:"emulated,omitempty"`
	Trace     string           `json:"trace"`
	Duration  time.Duration    `json:"duration_ns"`
	Every     time.Duration    `json:"every_ns"`
	Outcomes  []adapt.Outcome  `json:"outcomes"`
	Decisions []decisionReport `json:"decisions,omitempty"` // of the adaptive one
}

// decisionReport is a decision to switch.
type decisionReport struct {
	At     time.Duration   `json:"at_ns"`
	Rule   adapt.Rule      `json:"rule"`
	From   split.Partition `json:"from,omitempty"`
	To     split.Partition `json:"to"`
	Codecs []string        `json:"codecs,omitempty"` // of the hops of To
	// Now and Then are what the two are predicted to take.
	Now    time.Duration      `json:"from_total_ns,omitempty"`
	Then   time.Duration      `json:"to_total_ns"`
	Links  []linkEstimate     `json:"links"`
	Load   map[string]float64 `json:"load,omitempty"`
	Reason string             `json:"reason"`
	// Ready is how long it took until requests ran with To; 0 where it was not
	// carried out.
	Ready time.Duration `json:"ready_ns,omitempty"`
	Error string        `json:"error,omitempty"` // why it was not
}

type linkEstimate struct {
	From      string        `json:"from"`
	To        string        `json:"to"`
	Latency   time.Duration `json:"latency_ns"`
	Bandwidth float64       `json:"bytes_per_second"`
}

func newDecisionReport(d adapt.Decision) decisionReport {
	r := decisionReport{At: d.At, Rule: d.Rule, From: d.From.Partition, To: d.To.Partition, Now: d.From.Total, Then: d.To.Total, Load: d.Load, Reason: d.Reason}
	for _, h := range d.To.Hops {
		r.Codecs = append(r.Codecs, h.Codec)
	}
	for _, l := range d.Links {
		r.Links = append(r.Links, linkEstimate{l.From, l.To, l.Latency, l.Bandwidth})
	}
	return r
}

// print writes a line for people.
func (r decisionReport) print(w io.Writer) {
	fmt.Fprintf(w, "%8.2f s  switch to %v (%s): %s\n", r.At.Seconds(), r.To, r.Rule, r.Reason)
}

func (a *app) simulateCommand() *cobra.Command {
	var pl planning
	var tf traceFlags
	var output string
	var metered []string
	var s adapt.Scenario
	c := &cobra.Command{
		Use:   "simulate MODEL --profiles DIR --network FILE --trace FILE",
		Short: "Try adaptation to changing links and hosts on a trace",
		Long: `Run requests, in a simulation, over links and hosts that change as a trace says,
and compare four ways to choose partitions: adaptive as "scission exec --adapt",
the same without hysteresis, the one that is best if it is kept all the time, and
an oracle that knows for each request which partition answers it first. Regret is
by what part the mean latency is longer than the oracle's.

A trace is a file, as split/FORMATS.md describes it, or made up from the links of
--source in the network:` + syntheticHelp(),
		Example: `  scission simulate model.onnx --profiles profiles --network network.json --trace synthetic:4g --duration 5m
  scission simulate model.onnx --profiles profiles --network preset:wifi --trace synthetic:step -o step.json
  scission simulate model.onnx --profiles profiles --network network.json --trace step.json --every 100ms --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if tf.trace == "" {
				return usagef("--trace FILE is needed, or --trace %sKIND, KIND one of %s", syntheticPrefix, syntheticNames())
			}
			pb, err := pl.open(args[0])
			if err != nil {
				return err
			}
			if s.Trace, err = tf.open(pb.Network, pb.Source); err != nil {
				return err
			}
			if output != "" {
				if err := writeFile(output, s.Trace.Write); err != nil {
					return err
				}
			}
			s.Problem, s.Seed = pb, tf.seed
			if s.Options, err = pl.adaptiveOptions(pb, metered); err != nil {
				return err
			}
			found, err := adapt.Simulate(s)
			switch {
			case errors.Is(err, split.ErrNoPartition):
				return err
			case err != nil:
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			r := simulateReport{
				Model: pb.Model.Name, Emulated: emulations(pb), Trace: s.Trace.Note, Duration: s.Trace.Duration,
				Every: s.Every, Outcomes: found.Outcomes(),
			}
			if s.Trace.Emulated != "" {
				r.Emulated = append(r.Emulated, "trace: "+s.Trace.Emulated)
			}
			for _, d := range found.Adaptive.Decisions {
				r.Decisions = append(r.Decisions, newDecisionReport(d))
			}
			return a.print(r, func(w io.Writer) { printSimulation(w, r) })
		},
	}
	pl.flags(c)
	pl.benchmarks.flags(c)
	f := c.Flags()
	f.StringVar(&tf.trace, "trace", "", "trace `FILE`, or "+syntheticPrefix+"KIND with KIND one of "+syntheticNames())
	f.DurationVar(&tf.duration, "duration", time.Minute, "`TIME` that a made up trace covers")
	f.Uint64Var(&tf.seed, "seed", 1, "of what is random")
	f.StringVarP(&output, "output", "o", "", "write the trace to a `FILE`")
	f.StringSliceVar(&metered, "metered", nil, "`HOSTS` whose links are never probed")
	f.DurationVar(&s.Every, "every", 0, "`TIME` from request to request; at least until the answer")
	f.Float64Var(&s.Noise, "noise", 0.05, "spread of times, as a part of them")
	f.DurationVar(&s.Prepare, "prepare", 200*time.Millisecond, "`TIME` until a new partition is ready, while the old one runs on")
	f.DurationVar(&s.Delay, "switch-delay", time.Millisecond, "`TIME` that the first request after a switch takes longer")
	return c
}

func printSimulation(w io.Writer, r simulateReport) {
	for _, e := range r.Emulated {
		fmt.Fprintln(w, "emulated:", e)
	}
	for _, d := range r.Decisions {
		d.print(w)
	}
	table(w, "policy\tmean\tp95\tlongest\tswitches\tregret\trequests\tsent\tprobes", func(row func(...any)) {
		for _, o := range r.Outcomes {
			row(o.Policy, ms(o.Mean), ms(o.P95), ms(o.Max), o.Switches, fmt.Sprintf("%.1f%%", 100*o.Regret), o.Requests, size(o.Bytes), size(o.Probed))
		}
	})
	for _, o := range r.Outcomes {
		if o.Plan != "" {
			fmt.Fprintf(w, "the best fixed one is %s\n", o.Plan)
		}
	}
}
