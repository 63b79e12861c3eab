package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scission/engine/graph"
	"scission/split"
	"scission/split/cut"
	"scission/split/tile"
)

// planVersion is the version field of a plan file.
const planVersion = "scission-plan/1"

// maxPlanFile bounds the bytes of a plan file.
const maxPlanFile = 16 << 20

// planFile is what "scission plan" finds and "scission exec" runs.
type planFile struct {
	Version   string           `json:"version"`
	Model     split.Model      `json:"model"`
	Source    string           `json:"source"`
	Emulated  []string         `json:"emulated,omitempty"`
	Estimates []split.Estimate `json:"estimates"` // best first
	Warnings  []string         `json:"warnings,omitempty"`
	// Objectives are one, or those of a front; none means latency.
	Objectives []split.Objective      `json:"objectives,omitempty"`
	Power      map[string]split.Power `json:"power,omitempty"`
	BestSplit  *split.Estimate        `json:"best_split,omitempty"` // where the best does not split
	BreakEven  *split.BreakEven       `json:"break_even,omitempty"` // what would make a split pay then
	// Bound is the best of all divisions between two hosts, whatever crosses.
	Bound *cut.Optimum `json:"bound,omitempty"`
}

// planning is the flags from which a Problem is made.
type planning struct {
	benchmarks
	profiles, network string
	hosts             []string
	source            string
	codecs            []string
	lossy             bool // all lossy codecs, too
	maxWidth          int
	tiles             []string     // groups of hosts for tiled stages
	graph             *graph.Graph // of the model; nil where there are only benchmarks
}

func (pl *planning) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&pl.profiles, "profiles", "", "folder `DIR` of profiles, NAME.json for each host")
	f.StringVar(&pl.network, "network", "", "network `FILE`, JSON or Scission's csv, or preset:NAME with NAME one of "+presetNames())
	f.StringSliceVar(&pl.hosts, "hosts", nil, "hosts in the order in which data passes them; the default is every order")
	f.StringVar(&pl.source, "source", deviceName, "`HOST` that has the inputs and wants the outputs")
	f.StringSliceVar(&pl.codecs, "codecs", codecNames(), "codecs allowed beside raw; one that changes values is allowed by its name here, as all are by --lossy")
	f.BoolVar(&pl.lossy, "lossy", false, "allow codecs that change what they send: "+strings.Join(lossyOf(allCodecNames()), ", "))
	f.IntVar(&pl.maxWidth, "max-width", 1, "cut where at most `N` tensors cross")
}

// allowed lists the codecs that may be used beside raw.
func (pl *planning) allowed() []string {
	if !pl.lossy {
		return pl.codecs
	}
	names := slices.Clone(pl.codecs)
	for _, name := range lossyOf(allCodecNames()) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// problem reads the files and checks them against the model.
func (pl *planning) problem(m *model) (split.Problem, error) {
	if pl.profiles == "" {
		return split.Problem{}, usagef("--profiles DIR is needed")
	}
	if pl.maxWidth < 1 {
		return split.Problem{}, usagef("--max-width %d, want at least 1", pl.maxWidth)
	}
	pl.graph = m.Graph
	pb := split.Problem{
		Model: split.Model{Name: m.Name, Digest: m.Digest}, Layers: len(m.Graph.Nodes), Source: pl.source,
		Positions: positions(m.Graph, pl.maxWidth), Profiles: map[string]*split.Profile{}, Codecs: pl.allowed(),
		Tiling: tile.NewTiling(m.Graph),
	}
	files, err := filepath.Glob(filepath.Join(pl.profiles, "*.json"))
	if err != nil || len(files) == 0 {
		return pb, usagef("no profiles (NAME.json) in %s; the original Scission's benchmarks are for plan --benchmarks", pl.profiles)
	}
	from := map[string]string{} // the file of each host
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return pb, err
		}
		p, err := split.ReadProfile(f, split.MaxProfileBytes)
		f.Close()
		if err != nil {
			return pb, fmt.Errorf("%w: %s: %w", errUsage, path, err)
		}
		if first, twice := from[p.Host]; twice {
			return pb, usagef("%s and %s are both profiles of host %s", first, path, p.Host)
		}
		from[p.Host], pb.Profiles[p.Host] = path, p
	}
	pb.Hosts = []string{pl.source}
	for host := range pb.Profiles {
		if host != pl.source {
			pb.Hosts = append(pb.Hosts, host)
		}
	}
	slices.Sort(pb.Hosts[1:])
	err = pl.connect(&pb)
	return pb, err
}

// connect reads the network, and takes the hosts that were asked for.
func (pl *planning) connect(pb *split.Problem) (err error) {
	if pl.hosts != nil {
		pb.Hosts = pl.hosts
	}
	preset, isPreset := strings.CutPrefix(pl.network, presetPrefix)
	if pl.network != "" && !isPreset {
		f, err := os.Open(pl.network)
		if err != nil {
			return err
		}
		defer f.Close()
		if pb.Network, err = split.ReadNetwork(f, split.MaxNetworkBytes); err != nil {
			return fmt.Errorf("%w: %s: %w", errUsage, pl.network, err)
		}
	}
	if isPreset {
		hosts := pb.Hosts
		if !slices.Contains(hosts, pl.source) {
			hosts = append(slices.Clone(hosts), pl.source)
		}
		if pb.Network, err = split.PresetNetwork(preset, hosts); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	if pb.Profiles[pb.Source] == nil && !slices.ContainsFunc(pb.Network.Links(), func(l split.HostLink) bool { return l.From == pb.Source }) {
		return usagef("--source %s: neither the profiles nor the network know it", pb.Source)
	}
	return nil
}

// presetPrefix tells the name of a preset from that of a file.
const presetPrefix = "preset:"

func presetNames() string {
	var names []string
	for _, p := range split.Presets() {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

func positions(g *graph.Graph, maxWidth int) []split.Position {
	var ps []split.Position
	for _, c := range cut.Find(g, maxWidth) {
		ps = append(ps, split.Position{P: c.Position, Bytes: int64(c.Bytes), Width: c.Width()})
	}
	return ps
}

// orders returns every order of the hosts behind the first, or only the given
// one if it was asked for.
func (pl *planning) orders(hosts []string) [][]string {
	if pl.hosts != nil || len(hosts) < 3 {
		return [][]string{hosts}
	}
	all := [][]string{hosts[:1]}
	for _, h := range hosts[1:] {
		var longer [][]string
		for _, o := range all {
			for i := 1; i <= len(o); i++ {
				longer = append(longer, slices.Insert(slices.Clone(o), i, h))
			}
		}
		all = longer
	}
	return all
}

// maxFreeHosts bounds the hosts of which every order is tried.
const maxFreeHosts = 6

// rank finds the best partitions over all orders of the hosts, and with a stage that is tiled over each of the groups
// of hosts.
func (pl *planning) rank(pb split.Problem, q split.Query) ([]split.Estimate, error) {
	all, err := pl.overOrders(pb, func(pb split.Problem) ([]split.Estimate, error) { return pb.Rank(q) })
	if err != nil {
		return nil, err
	}
	for _, group := range pl.tiles {
		tiled, err := pb.RankTiled(q, strings.Split(group, "+"))
		if err != nil && !errors.Is(err, split.ErrNoPartition) {
			return nil, fmt.Errorf("%w: --tile %s: %w", errUsage, group, err)
		}
		all = append(all, tiled...)
	}
	slices.SortStableFunc(all, q.Compare)
	return all[:min(len(all), max(q.Top, 1))], nil
}

// front finds the partitions over all orders of the hosts that none beats in
// all objectives.
func (pl *planning) front(pb split.Problem, q split.Query, objectives []split.Objective) ([]split.Estimate, error) {
	all, err := pl.overOrders(pb, func(pb split.Problem) ([]split.Estimate, error) { return pb.Pareto(q, objectives...) })
	if err != nil {
		return nil, err
	}
	return q.Front(all, objectives...), nil
}

// overOrders collects what a search finds in each order of the hosts.
func (pl *planning) overOrders(pb split.Problem, search func(split.Problem) ([]split.Estimate, error)) ([]split.Estimate, error) {
	if pl.hosts == nil && len(pb.Hosts) > maxFreeHosts {
		return nil, usagef("%d hosts: give their order with --hosts, every order is tried for at most %d", len(pb.Hosts), maxFreeHosts)
	}
	var all []split.Estimate
	var none error
	seen := map[string]bool{}
	for _, order := range pl.orders(pb.Hosts) {
		pb.Hosts = order
		found, err := search(pb)
		if errors.Is(err, split.ErrNoPartition) {
			none = err
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		for _, e := range found {
			if text := e.Partition.String(); !seen[text] {
				seen[text] = true
				all = append(all, e)
			}
		}
	}
	if len(all) == 0 {
		return nil, none
	}
	return all, nil
}

func (a *app) planCommand() *cobra.Command {
	var pl planning
	var l limits
	var q split.Query
	var output string
	c := &cobra.Command{
		Use:   "plan MODEL --profiles DIR --network FILE",
		Short: "Rank the ways to spread a model over hosts",
		Long: `Rank all ways to spread a model over the hosts that have profiles, by predicted
latency: compute, coding and travel, there and back; or by throughput, bytes that
leave the source, or energy; within limits. Running everything on one host is
always among them; if that is best, do not split.

With --accuracy, codecs that change what they send are allowed where they were
measured, as long as what all hops of a partition lose, each as measured by
itself, adds up to no more than --min-accuracy and --max-loss leave.

With --benchmarks, MODEL is a network that the original Scission has measured;
split/compat/COMPAT.md tells how its options translate.`,
		Example: `  scission plan model.onnx --profiles profiles --network network.json --top 10
  scission plan model.onnx --profiles profiles --network network.json --use device --split-only -o plan.json
  scission plan model.onnx --profiles profiles --network preset:wired --private 1 --max-upload device=500kB --objective throughput
  scission plan model.onnx --profiles profiles --network network.json --tile edge1+edge2
  scission plan model.onnx --profiles profiles --network network.json --accuracy accuracy.json --max-loss 0.005
  scission plan vgg19 --benchmarks benchmark_data --network benchmark_data/network_stats.csv --use raspi4 --layers '2500=10'`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			pl.lossy = pl.lossy || l.accuracy != ""
			pb, err := pl.open(args[0])
			if err != nil {
				return err
			}
			q.MaxWidth = pl.maxWidth
			if err := l.fill(&q); err != nil {
				return err
			}
			if err := l.memory(pb, &q); err != nil {
				return err
			}
			if err := l.accurate(&q); err != nil {
				return err
			}
			objectives, err := l.front()
			if err != nil {
				return err
			}
			var found []split.Estimate
			if objectives != nil {
				found, err = pl.front(pb, q, objectives)
			} else {
				found, err = pl.rank(pb, q)
			}
			if err != nil {
				return err
			}
			p := planFile{Version: planVersion, Model: pb.Model, Source: pb.Source, Emulated: emulations(pb), Estimates: found,
				Warnings: append(pl.notes, l.warnings(pb, found[0], time.Now())...), Objectives: objectives, Power: q.Power}
			if objectives == nil {
				p.Objectives = []split.Objective{q.Objective}
			}
			if found[0].Native() && !q.SplitOnly && objectives == nil {
				only := q
				only.Top, only.SplitOnly = 1, true
				if best, err := pl.rank(pb, only); err == nil {
					p.BestSplit = &best[0]
				}
			}
			if p.BestSplit != nil && q.Objective == split.Latency {
				if p.BreakEven, err = pl.breakEven(pb, q, *p.BestSplit); err != nil {
					return err
				}
			}
			if objectives == nil && q.Objective == split.Latency {
				if p.Bound, err = pl.bound(pb); err != nil {
					return err
				}
			}
			if output != "" {
				if err := writeFile(output, func(w io.Writer) error { return json.NewEncoder(w).Encode(p) }); err != nil {
					return err
				}
			}
			return a.print(p, func(w io.Writer) { printPlan(w, p) })
		},
	}
	pl.flags(c)
	pl.benchmarks.flags(c)
	l.flags(c)
	f := c.Flags()
	f.IntVar(&q.Top, "top", 5, "show the best `N`")
	f.StringSliceVar(&q.Use, "use", nil, "hosts that must compute")
	f.StringSliceVar(&q.Avoid, "avoid", nil, "hosts that must not compute")
	f.BoolVar(&q.SplitOnly, "split-only", false, "leave out running everything on one host")
	f.StringArrayVar(&pl.tiles, "tile", nil, "consider stages of which the hosts `A+B` compute rows of the images, too")
	f.StringVarP(&output, "output", "o", "", "write a plan `FILE` for scission exec")
	f.Bool(compatFlag, false, `take all other arguments as the original Scission does: "scission compat"`)
	return c
}

// emulations lists what in a problem is emulated.
func emulations(pb split.Problem) []string {
	var list []string
	for _, h := range pb.Hosts {
		if p := pb.Profiles[h]; p != nil && p.Emulated != "" {
			list = append(list, h+": "+p.Emulated)
		}
	}
	if pb.Network != nil && pb.Network.Emulated != "" {
		list = append(list, "network: "+pb.Network.Emulated)
	}
	return list
}

// maxBalanced bounds the orders of hosts in which breakEven looks for splits.
const maxBalanced = 6

// breakEven says what would make a split pay, in any order of the hosts; where
// there are too many of them, in that of the best split, with the other hosts
// behind.
func (pl *planning) breakEven(pb split.Problem, q split.Query, best split.Estimate) (*split.BreakEven, error) {
	orders := pl.orders(pb.Hosts)
	if len(orders) > maxBalanced {
		var order []string
		for _, s := range best.Partition {
			order = append(order, s.Host)
		}
		for _, host := range pb.Hosts {
			if !slices.Contains(order, host) {
				order = append(order, host)
			}
		}
		orders = [][]string{order}
	}
	var nearest *split.BreakEven
	for _, order := range orders {
		pb.Hosts = order
		planner, err := pb.Prepare()
		if err != nil {
			return nil, err
		}
		b, err := planner.BreakEven(q)
		if errors.Is(err, split.ErrNoPartition) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if nearest != nil {
			b = nearest.Nearer(b)
		}
		nearest = &b
	}
	return nearest, nil
}

// bound is the best division of the model between two hosts; nil where there are
// not two of which the first is the source, or they are not linked.
func (pl *planning) bound(pb split.Problem) (*cut.Optimum, error) {
	if pl.graph == nil || len(pb.Hosts) != 2 || pb.Hosts[0] != pb.Source || !pb.Network.Linked(pb.Hosts[0], pb.Hosts[1]) {
		return nil, nil
	}
	o, err := cut.Optimal(pl.graph, pb, pb.Hosts[1])
	return &o, err
}

// printPlan writes a plan for people, with the objectives' values where they
// are not the latency, which stands first in every line.
func printPlan(w io.Writer, p planFile) {
	for _, e := range p.Emulated {
		fmt.Fprintln(w, "emulated:", e)
	}
	for _, text := range p.Warnings {
		fmt.Fprintln(w, "warning:", text)
	}
	for i, e := range p.Estimates {
		fmt.Fprintf(w, "%3d. ", i+1)
		for _, o := range p.Objectives {
			switch o {
			case split.Throughput:
				fmt.Fprintf(w, "[%.4g/s] ", 1/max(e.Interval(), 1).Seconds())
			case split.Egress:
				fmt.Fprintf(w, "[%d bytes leave] ", e.Egress())
			case split.Energy:
				fmt.Fprintf(w, "[%.4g J] ", e.Energy(p.Power))
			}
		}
		fmt.Fprintln(w, e)
	}
	if best := p.Estimates[0]; best.Native() && len(p.Objectives) < 2 {
		is := "fastest"
		if len(p.Objectives) == 1 && p.Objectives[0] != split.Latency {
			is = "best for " + p.Objectives[0].String()
		}
		fmt.Fprintf(w, "do not split: running everything on %s is %s", best.Partition[0].Host, is)
		if p.BestSplit != nil {
			fmt.Fprintf(w, "; the best split takes %.2f times as long: %v", float64(p.BestSplit.Total)/float64(max(best.Total, 1)), p.BestSplit)
		}
		fmt.Fprintln(w)
		if p.BreakEven != nil {
			fmt.Fprintln(w, p.BreakEven)
		}
	}
	if p.Bound != nil {
		printBound(w, *p.Bound, p.Estimates[0].Total)
	}
}

// printBound says how much any other cut could be better than the best found.
func printBound(w io.Writer, o cut.Optimum, best time.Duration) {
	fmt.Fprintf(w, "bound: no way to divide the layers takes less than %s, whatever crosses", ms(o.Total))
	if best <= o.Total {
		fmt.Fprintln(w, ": the best reaches it")
		return
	}
	fmt.Fprintf(w, "; the best takes %.4g times that", float64(best)/float64(max(o.Total, 1)))
	switch {
	case o.Position < 0:
		fmt.Fprintf(w, " (the bound has %d layers on %s, in another order of the layers)", len(o.Layers), o.Host)
	case len(o.Layers) > 0 && o.Position > 0:
		fmt.Fprintf(w, " (the bound cuts before layer %d, where %d tensors cross)", o.Position, o.Width)
	}
	fmt.Fprintln(w)
}

// readPlan reads a plan file.
func readPlan(path string) (p planFile, err error) {
	f, err := os.Open(path)
	if err != nil {
		return p, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPlanFile+1))
	if err != nil {
		return p, err
	}
	if p, err = parsePlan(b); err != nil {
		return p, usagef("%s: %w", path, err)
	}
	return p, nil
}

// parsePlan checks what a plan file says; that its stages fit a model is left to
// the caller.
func parsePlan(b []byte) (p planFile, err error) {
	if len(b) > maxPlanFile {
		return p, fmt.Errorf("more than %d bytes", maxPlanFile)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		var at int64
		var syntax *json.SyntaxError
		var mismatch *json.UnmarshalTypeError
		switch {
		case errors.As(err, &syntax):
			at = syntax.Offset
		case errors.As(err, &mismatch):
			at = mismatch.Offset
		default: // a text within is wrong, and says which
			return planFile{}, err
		}
		return planFile{}, fmt.Errorf("line %d: %w", 1+bytes.Count(b[:min(at, int64(len(b)))], []byte("\n")), err)
	}
	if p.Version != planVersion {
		return planFile{}, fmt.Errorf("version %.40q, want %q", p.Version, planVersion)
	}
	if len(p.Estimates) == 0 {
		return planFile{}, errors.New("no estimates")
	}
	for i, e := range p.Estimates {
		if len(e.Partition) == 0 {
			return planFile{}, fmt.Errorf("estimates[%d] has no partition", i)
		}
	}
	return p, nil
}
