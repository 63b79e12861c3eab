package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scission/split"
)

// limits is the flags from which the objective and the limits of a Query are
// made.
type limits struct {
	objective                     string
	maxTotal                      time.Duration
	maxCompute, maxUpload, layers []string
	maxMemory                     []string
	power, noCodecs               []string
	private                       int
	pareto                        []string
	staleAfter                    time.Duration
	accuracy                      string
	minAccuracy, maxLoss          float64
}

func (l *limits) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&l.objective, "objective", split.Latency.String(), "`WHAT` to make small: latency, throughput (time from output to output in a pipeline), egress (bytes that leave the source) or energy (see --power)")
	f.StringSliceVar(&l.pareto, "pareto", nil, "list the front over two or three `OBJECTIVES`, such as latency,egress, instead of a ranking")
	f.DurationVar(&l.maxTotal, "max-total", 0, "longest total `TIME`")
	f.StringSliceVar(&l.maxCompute, "max-compute", nil, "longest compute time of a host, `HOST=TIME`, or share of all compute, HOST=PERCENT%")
	f.StringSliceVar(&l.maxUpload, "max-upload", nil, "most that a host sends on the way there, `HOST=BYTES`, or HOST:TO=BYTES on one link; kB, MB and GB are powers of 1000")
	f.StringSliceVar(&l.maxMemory, "max-memory", nil, "most that a stage may need on a host, `HOST=SIZE`, for its weights and activations; HOST=auto is what the host's profile says that it has")
	f.StringSliceVar(&l.layers, "layers", nil, "layers that must run on a host, `HOST=LAYERS`, or must not, HOST!=LAYERS: numbers (7, 3-9, 3-end, -1), a name or a pattern of names (block1_*)")
	f.StringSliceVar(&l.power, "power", nil, "what a host takes: `HOST=WATTS`, or HOST=WATTS:JOULES for joules per byte sent and received")
	f.StringSliceVar(&l.noCodecs, "no-codec", nil, "codecs that must not be used, raw among them")
	f.StringVar(&l.accuracy, "accuracy", "", "`FILE` of scission accuracy: what codecs cost; allows lossy ones where they keep --min-accuracy and --max-loss")
	f.Float64Var(&l.minAccuracy, "min-accuracy", 0, "smallest `SHARE` of right answers, such as 0.9, that the codecs of all hops must leave")
	f.Float64Var(&l.maxLoss, "max-loss", 1, "largest `SHARE` of right answers, such as 0.005, that the codecs of all hops may lose")
	f.IntVar(&l.private, "private", 0, "at least `K` layers with a nonlinearity on the source before data leaves it")
	f.DurationVar(&l.staleAfter, "stale-after", 30*24*time.Hour, "warn of profiles and links older than this `TIME`")
}

// fill puts the flags into a query.
func (l *limits) fill(q *split.Query) (err error) {
	if q.Objective, err = split.ParseObjective(l.objective); err != nil {
		return usagef("--objective: %w", err)
	}
	q.MaxTotal, q.NoCodecs, q.Nonlinear = l.maxTotal, l.noCodecs, l.private
	for _, text := range l.maxCompute {
		limit, err := parseCompute(text)
		if err != nil {
			return usagef("--max-compute %q: %w", text, err)
		}
		q.Compute = append(q.Compute, limit)
	}
	for _, text := range l.maxUpload {
		ends, size, ok := strings.Cut(text, "=")
		bytes, err := parseBytes(size)
		if !ok || err != nil {
			return usagef("--max-upload %q, want HOST=BYTES or HOST:TO=BYTES, such as device=1.5MB", text)
		}
		from, to, _ := strings.Cut(ends, ":")
		q.Upload = append(q.Upload, split.UploadLimit{From: from, To: to, Bytes: bytes})
	}
	for _, text := range l.layers {
		host, layers, ok := strings.Cut(text, "=")
		if !ok {
			return usagef("--layers %q, want HOST=LAYERS or HOST!=LAYERS", text)
		}
		name, not := strings.CutSuffix(host, "!")
		q.Layers = append(q.Layers, split.LayerRule{Host: name, Layers: layers, In: !not})
	}
	for _, text := range l.power {
		host, figures, ok := strings.Cut(text, "=")
		watts, joules, moving := strings.Cut(figures, ":")
		var p split.Power
		p.Watts, err = strconv.ParseFloat(watts, 64)
		if moving && err == nil {
			p.JoulesPerByte, err = strconv.ParseFloat(joules, 64)
		}
		if !ok || err != nil {
			return usagef("--power %q, want HOST=WATTS or HOST=WATTS:JOULES, such as device=5:1e-6", text)
		}
		if q.Power == nil {
			q.Power = map[string]split.Power{}
		}
		q.Power[host] = p
	}
	if len(q.Power) == 0 && (q.Objective == split.Energy || strings.Contains(strings.Join(l.pareto, " "), split.Energy.String())) {
		return usagef("energy needs --power HOST=WATTS")
	}
	return nil
}

// memory puts --max-memory into a query.
func (l *limits) memory(pb split.Problem, q *split.Query) error {
	for _, text := range l.maxMemory {
		host, size, ok := strings.Cut(text, "=")
		var bytes int64
		var err error
		if size == "auto" {
			if p := pb.Profiles[host]; p != nil {
				bytes = p.Machine.Memory
			}
			if bytes <= 0 {
				return usagef("--max-memory %q: there is no profile of %s that says how much memory it has", text, host)
			}
		} else if bytes, err = parseBytes(size); !ok || err != nil || bytes <= 0 {
			return usagef("--max-memory %q, want HOST=SIZE, such as device=512MB, or HOST=auto", text)
		}
		if known, twice := q.Memory[host]; q.Memory == nil {
			q.Memory = map[string]int64{}
		} else if twice {
			bytes = min(bytes, known)
		}
		q.Memory[host] = bytes
	}
	return nil
}

// accurate puts --accuracy, --min-accuracy and --max-loss into a query.
func (l *limits) accurate(q *split.Query) error {
	if !(l.minAccuracy >= 0 && l.minAccuracy <= 1 && l.maxLoss >= 0 && l.maxLoss <= 1) {
		return usagef("--min-accuracy %g --max-loss %g, want shares from 0 to 1", l.minAccuracy, l.maxLoss)
	}
	bounded := l.minAccuracy > 0 || l.maxLoss < 1
	if l.accuracy == "" && bounded {
		return usagef("--min-accuracy and --max-loss need --accuracy FILE, which scission accuracy writes")
	}
	if l.accuracy == "" {
		return nil
	}
	if !bounded {
		return usagef("--accuracy needs --min-accuracy or --max-loss")
	}
	measured, err := readAccuracy(l.accuracy)
	if err != nil {
		return err
	}
	q.Accuracy = &split.AccuracyLimit{Measured: measured, Least: max(l.minAccuracy, measured.Top1()-l.maxLoss), Lossless: codecNames()}
	return nil
}

// front is the objectives of --pareto; none without it.
func (l *limits) front() ([]split.Objective, error) {
	var objectives []split.Objective
	for _, name := range l.pareto {
		o, err := split.ParseObjective(name)
		if err != nil {
			return nil, usagef("--pareto: %w", err)
		}
		objectives = append(objectives, o)
	}
	return objectives, nil
}

func parseCompute(text string) (split.ComputeLimit, error) {
	host, value, ok := strings.Cut(text, "=")
	limit := split.ComputeLimit{Host: host}
	var err error
	if number, percent := strings.CutSuffix(value, "%"); percent {
		limit.Percent, err = strconv.ParseFloat(number, 64)
	} else {
		limit.Time, err = time.ParseDuration(value)
	}
	if !ok || err != nil || limit.Time <= 0 && !(limit.Percent > 0) {
		return limit, fmt.Errorf("want HOST=TIME or HOST=PERCENT%%, such as device=200ms or edge=50%%, above 0")
	}
	return limit, nil
}

// byteUnits are the units of parseBytes.
var byteUnits = []struct {
	name  string
	bytes float64
}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}, {"", 1}}

// parseBytes reads "1500", "1.5kB", "20MB" or "1GB".
func parseBytes(s string) (int64, error) {
	for _, u := range byteUnits {
		number, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(number, 64)
		if err != nil || !(v >= 0 && v*u.bytes <= split.MaxBytes) {
			break
		}
		return int64(math.Round(v * u.bytes)), nil
	}
	return 0, fmt.Errorf("size %q, want a number with or without kB, MB or GB", s)
}

// warnings says what is old and what a plan gives away.
func (l *limits) warnings(pb split.Problem, best split.Estimate, now time.Time) []string {
	var list []string
	for _, host := range pb.Hosts {
		if p := pb.Profiles[host]; p != nil && p.Stale(now, l.staleAfter) {
			list = append(list, fmt.Sprintf("the profile of %s is of %s, older than %v", host, p.Date.Format(time.DateOnly), l.staleAfter))
		}
	}
	if pb.Network.Stale(now, l.staleAfter) {
		list = append(list, fmt.Sprintf("the network, or a link of it, was measured longer than %v ago", l.staleAfter))
	}
	for _, host := range pb.Hosts {
		if linked := func(other string) bool { return pb.Network.Linked(host, other) }; host != pb.Source && !slices.ContainsFunc(append(slices.Clone(pb.Hosts), pb.Source), linked) {
			list = append(list, fmt.Sprintf("the network has no links of %s there and back, so it cannot take part", host))
		}
	}
	if best.ShipsInput {
		list = append(list, fmt.Sprintf("the best ships the input itself, or what it can be recovered from, from %s: --private 1 keeps it there", pb.Source))
	}
	if names := lossyOf(codecsIn(best)); len(names) > 0 {
		list = append(list, fmt.Sprintf("the best sends with %s, which changes values: scission exec needs --lossy for it", strings.Join(names, ", ")))
	}
	return list
}

// codecsIn lists the codecs of an estimate's hops.
func codecsIn(e split.Estimate) (names []string) {
	for _, h := range e.Hops {
		names = append(names, h.Codec)
	}
	return names
}
