package split

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

var (
	// ErrNoPartition is wrapped by the error of a query that no partition satisfies: too few links, or
	// conditions that exclude everything.
	ErrNoPartition = errors.New("no partition satisfies the query")
	// ErrTooHard is wrapped by the error of a query whose exact answer takes more than a bounded number of
	// steps. A smaller Top, fewer limits that are sums over several stages, or fewer positions help.
	ErrTooHard = errors.New("the query takes too many steps")
)

// MaxTop is the largest number of results of one query.
const MaxTop = 100_000

// Query says which partitions to rank, and by what. The zero value asks for the fastest one.
type Query struct {
	// Top is how many of the best partitions to return, up to MaxTop; 0 means 1.
	Top int
	// Objective is what is to be small; the default is latency.
	Objective Objective
	// MaxWidth is the largest width of a cut; 0 means 1.
	MaxWidth int
	// Use are hosts that must compute.
	Use []string
	// Avoid are hosts that must not compute; data may still pass the source.
	Avoid []string
	// SplitOnly leaves out native execution, on any host.
	SplitOnly bool
	// MaxTotal is the longest total latency; 0 means any.
	MaxTotal time.Duration
	// Compute limits what hosts compute.
	Compute []ComputeLimit
	// Memory is how many bytes a stage may need on a host, by host: the constants of its layers, and the most
	// that any of them has alive at a time (see [LayerProfile]). The host's profile must say both.
	Memory map[string]int64
	// Upload limits what hosts send on the way there.
	Upload []UploadLimit
	// Layers says where layers must and must not run.
	Layers []LayerRule
	// NoCodecs are codecs that must not be used, [RawCodec] among them if need be: a hop for which none is
	// left is no link. A transfer within a host needs no codec.
	NoCodecs []string
	// Accuracy bounds what lossy codecs may cost; without it codecs are taken for what they are in the problem,
	// and it is up to the caller to allow lossy ones there.
	Accuracy *AccuracyLimit
	// Nonlinear is how many layers with a nonlinearity must run on the source before data first leaves it;
	// see [LayerProfile.Nonlinear]. Where the model has fewer, all of it must run on the source.
	Nonlinear int
	// Power is what hosts consume, as the user states it, for [Energy]; a host that is not there consumes
	// nothing.
	Power map[string]Power
}

// ComputeLimit bounds the compute time of a host; coding does not count. Where two bounds are given both hold.
type ComputeLimit struct {
	Host string
	// Time is the longest compute time; 0 means no such bound (Avoid says that a host must not compute).
	Time time.Duration
	// Percent is the largest share in the compute time of all hosts, in steps of 0.1; 0 means no such bound.
	Percent float64
}

// UploadLimit bounds the bytes on the wire that a host sends on the way there, to a host or, where To is
// empty, to all hosts together. What the source passes on counts as sent by the source, so a limit for the
// source to all hosts is one for what leaves the device. Outputs on the way back do not count.
type UploadLimit struct {
	From, To string
	Bytes    int64
}

// permille is the number of thousandths of a limit's percentage.
func (l ComputeLimit) permille() int64 { return int64(math.Round(l.Percent * 10)) }

func (l ComputeLimit) check() error {
	steps := l.Percent * 10
	const rounding = 1e-6
	if !(l.Percent >= 0 && l.Percent <= 100) || math.Abs(steps-math.Round(steps)) > rounding {
		return fmt.Errorf("compute limit of host %s is %g %%, want 0 to 100 in steps of 0.1", l.Host, l.Percent)
	}
	if l.Time < 0 {
		return fmt.Errorf("compute limit of host %s is %v, want at least 0", l.Host, l.Time)
	}
	return nil
}

// check fills in the defaults.
func (q Query) check(hosts []string, source string) (Query, error) {
	if q.Top == 0 {
		q.Top = 1
	}
	if q.MaxWidth == 0 {
		q.MaxWidth = 1
	}
	if q.Top < 0 || q.Top > MaxTop {
		return q, fmt.Errorf("top %d, want 1 to %d", q.Top, MaxTop)
	}
	if q.MaxWidth < 0 {
		return q, fmt.Errorf("widest cut %d, want at least 1", q.MaxWidth)
	}
	if q.MaxTotal < 0 {
		return q, fmt.Errorf("longest total %v, want at least 0", q.MaxTotal)
	}
	if q.Nonlinear < 0 {
		return q, fmt.Errorf("%d nonlinear layers on the source, want at least 0", q.Nonlinear)
	}
	if q.Objective < Latency || q.Objective > Energy {
		return q, fmt.Errorf("objective %d, want %d to %d", q.Objective, Latency, Energy)
	}
	names := slices.Concat(q.Use, q.Avoid)
	for _, l := range q.Compute {
		names = append(names, l.Host)
		if err := l.check(); err != nil {
			return q, err
		}
	}
	for _, r := range q.Layers {
		names = append(names, r.Host)
	}
	names = append(names, sortedKeys(q.Memory)...)
	for _, host := range names {
		if !slices.Contains(hosts, host) {
			return q, fmt.Errorf("unknown host %.80q, want one of %q", host, hosts)
		}
	}
	for _, host := range sortedKeys(q.Memory) {
		if q.Memory[host] <= 0 {
			return q, fmt.Errorf("memory limit of host %s is %d bytes, want more than 0", host, q.Memory[host])
		}
	}
	for _, l := range q.Upload {
		if l.Bytes < 0 {
			return q, fmt.Errorf("upload limit of host %s is %d bytes, want at least 0", l.From, l.Bytes)
		}
		for _, host := range []string{l.From, l.To} {
			if host != source && host != "" && !slices.Contains(hosts, host) || l.From == "" {
				return q, fmt.Errorf("upload limit: unknown host %.80q, want one of %q", host, hosts)
			}
		}
	}
	for _, host := range sortedKeys(q.Power) {
		if err := q.Power[host].check(); err != nil {
			return q, fmt.Errorf("power of host %.80q: %w", host, err)
		}
	}
	return q, nil
}
