package split

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

const (
	// TraceVersion is the version field of a trace file.
	TraceVersion = "scission-trace/1"
	// MaxTraceBytes is a limit for ReadTrace that no sensible file reaches: a day of one link, measured every
	// second, is about 8 MB.
	MaxTraceBytes = 16 << 20
	// MaxTraceTime is the longest time that a trace may cover.
	MaxTraceTime = 7 * 24 * time.Hour
)

// Trace is how links and hosts change with time: recorded, or made up. What it does not mention stays as it
// is. Its methods only read it, so it may be used by several goroutines at once.
type Trace struct {
	// Note says where the figures come from.
	Note string
	// Emulated is not empty where the figures are made up, and says how.
	Emulated string
	// Duration is the time that the trace covers; beyond it the last points go on.
	Duration time.Duration
	Links    []LinkTrace
	Hosts    []HostTrace
}

// LinkTrace is a link in one direction over time. Each point holds until the next; the first is at 0.
type LinkTrace struct {
	From, To string
	Points   []LinkPoint
}

// LinkPoint is a link from a time on; its Date does not matter.
type LinkPoint struct {
	At time.Duration
	Link
}

// HostTrace is a host's load over time. Each point holds until the next; the first is at 0.
type HostTrace struct {
	Host   string
	Points []HostPoint
}

// HostPoint is a host's load from a time on.
type HostPoint struct {
	At time.Duration
	// Load is the factor on the profiled compute times, at most MaxLoad: 1 is as profiled.
	Load float64
}

// latest is the index of the last point at or before a time; points are not empty and begin at 0.
func latest[P any](points []P, at func(P) time.Duration, now time.Duration) int {
	i, found := slices.BinarySearchFunc(points, now, func(p P, now time.Duration) int { return cmp.Compare(at(p), now) })
	if found {
		return i
	}
	return max(i-1, 0)
}

func (p LinkPoint) at() time.Duration { return p.At }
func (p HostPoint) at() time.Duration { return p.At }

// At is the link at a time after the trace's beginning.
func (l LinkTrace) At(now time.Duration) Link {
	return l.Points[latest(l.Points, LinkPoint.at, now)].Link
}

// Travel is how long bytes take that leave at a time: the latency at that time, and sending at the bandwidths
// from then on, at most MaxTravel altogether. Where the bandwidth does not change it is [Link.Travel].
func (l LinkTrace) Travel(start time.Duration, bytes int64) time.Duration {
	i := latest(l.Points, LinkPoint.at, start)
	took, left := l.Points[i].Latency, float64(bytes)
	for at := start; ; i++ {
		p := l.Points[i]
		wire := left / p.Bandwidth * float64(time.Second)
		if i+1 == len(l.Points) || wire <= float64(l.Points[i+1].At-at) {
			return time.Duration(min(float64(took)+wire, float64(MaxTravel)))
		}
		passed := l.Points[i+1].At - at
		left -= p.Bandwidth * passed.Seconds()
		took, at = took+passed, l.Points[i+1].At
	}
}

// At is the host's load at a time after the trace's beginning.
func (h HostTrace) At(now time.Duration) float64 {
	return h.Points[latest(h.Points, HostPoint.at, now)].Load
}

// Link finds a link's trace, or nil.
func (t *Trace) Link(from, to string) *LinkTrace {
	for i := range t.Links {
		if t.Links[i].From == from && t.Links[i].To == to {
			return &t.Links[i]
		}
	}
	return nil
}

// Network is a network with the trace's links as they are at a time.
func (t *Trace) Network(base *Network, now time.Duration) (*Network, error) {
	n := &Network{}
	if base != nil {
		n.Date, n.Note, n.Emulated = base.Date, base.Note, base.Emulated
	}
	for _, l := range base.Links() {
		if err := n.Set(l.From, l.To, l.Link); err != nil {
			return nil, err
		}
	}
	for _, l := range t.Links {
		if err := n.Set(l.From, l.To, l.At(now)); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Load is the load of the trace's hosts at a time.
func (t *Trace) Load(now time.Duration) map[string]float64 {
	load := map[string]float64{}
	for _, h := range t.Hosts {
		load[h.Host] = h.At(now)
	}
	return load
}

// traceFile is the JSON form of a Trace.
type traceFile struct {
	Version  string          `json:"version"`
	Note     string          `json:"note,omitempty"`
	Emulated string          `json:"emulated,omitempty"`
	Duration latency         `json:"duration"`
	Links    []traceLinkFile `json:"links,omitempty"`
	Hosts    []traceHostFile `json:"hosts,omitempty"`
}

// traceLinkFile is a link in one direction (From and To) or in both (Between).
type traceLinkFile struct {
	From    string          `json:"from,omitempty"`
	To      string          `json:"to,omitempty"`
	Between []string        `json:"between,omitempty"`
	Points  []linkPointFile `json:"points"`
}

type linkPointFile struct {
	At        latency   `json:"at"`
	Latency   latency   `json:"latency"`
	Bandwidth bandwidth `json:"bandwidth"`
}

type traceHostFile struct {
	Host   string          `json:"host"`
	Points []hostPointFile `json:"points"`
}

type hostPointFile struct {
	At   latency `json:"at"`
	Load float64 `json:"load"`
}

// Validate checks the whole trace: names, that nothing is given twice, times in ascending order from 0, and
// the range of all figures. Errors wrap [ErrFormat] and name the field.
func (t *Trace) Validate() error {
	if err := t.validate(); err != nil {
		return fmt.Errorf("split: trace: %w: %w", ErrFormat, err)
	}
	return nil
}

func (t *Trace) validate() error {
	if t.Duration <= 0 || t.Duration > MaxTraceTime {
		return fmt.Errorf("duration: got %v, want more than 0 and at most %v", t.Duration, MaxTraceTime)
	}
	seen := &Network{} // which also checks names and figures
	for i, l := range t.Links {
		if _, twice := seen.Link(l.From, l.To); twice {
			return fmt.Errorf("links[%d]: link from %s to %s is given twice", i, l.From, l.To)
		}
		if err := checkTimes(l.Points, LinkPoint.at); err != nil {
			return fmt.Errorf("links[%d].points%w", i, err)
		}
		for k, p := range l.Points {
			if err := seen.set(l.From, l.To, p.Link); err != nil {
				return fmt.Errorf("links[%d].points[%d]: %w", i, k, err)
			}
		}
	}
	hosts := map[string]bool{}
	for i, h := range t.Hosts {
		if err := checkHost(h.Host); err != nil {
			return fmt.Errorf("hosts[%d]: %w", i, err)
		}
		if hosts[h.Host] {
			return fmt.Errorf("hosts[%d]: host %s is given twice", i, h.Host)
		}
		hosts[h.Host] = true
		if err := checkTimes(h.Points, HostPoint.at); err != nil {
			return fmt.Errorf("hosts[%d].points%w", i, err)
		}
		for k, p := range h.Points {
			if !(p.Load > 0 && p.Load <= MaxLoad) {
				return fmt.Errorf("hosts[%d].points[%d].load: got %g, want more than 0 and at most %d", i, k, p.Load, MaxLoad)
			}
		}
	}
	return nil
}

// checkTimes checks that there are points, the first at 0 and each later than the one before.
func checkTimes[P any](points []P, at func(P) time.Duration) error {
	if len(points) == 0 {
		return errors.New(": none, want at least one")
	}
	for i, p := range points {
		switch {
		case i == 0 && at(p) != 0:
			return fmt.Errorf("[0].at: got %v, want 0s", at(p))
		case i > 0 && at(p) <= at(points[i-1]):
			return fmt.Errorf("[%d].at: got %v, want more than %v", i, at(p), at(points[i-1]))
		case at(p) > MaxTraceTime:
			return fmt.Errorf("[%d].at: got %v, want at most %v", i, at(p), MaxTraceTime)
		}
	}
	return nil
}

// Write writes the trace as JSON for ReadTrace, each link in its direction. It must be valid.
func (t *Trace) Write(w io.Writer) error {
	if err := t.Validate(); err != nil {
		return err
	}
	file := traceFile{Version: TraceVersion, Note: t.Note, Emulated: t.Emulated, Duration: latency(t.Duration)}
	for _, l := range t.Links {
		entry := traceLinkFile{From: l.From, To: l.To}
		for _, p := range l.Points {
			entry.Points = append(entry.Points, linkPointFile{latency(p.At), latency(p.Latency), bandwidth(p.Bandwidth)})
		}
		file.Links = append(file.Links, entry)
	}
	for _, h := range t.Hosts {
		entry := traceHostFile{Host: h.Host}
		for _, p := range h.Points {
			entry.Points = append(entry.Points, hostPointFile{latency(p.At), p.Load})
		}
		file.Hosts = append(file.Hosts, entry)
	}
	if err := encodeIndented(w, file); err != nil {
		return fmt.Errorf("split: write trace: %w", err)
	}
	return nil
}

// ReadTrace reads a trace of at most limit bytes as Write writes it, and validates it. Errors about the
// content wrap [ErrFormat] and say where. "between" with two hosts instead of "from" and "to" is the same
// link in both directions. Unknown fields are errors.
func ReadTrace(r io.Reader, limit int64) (*Trace, error) {
	data, err := readLimited(r, limit)
	if err != nil {
		return nil, fmt.Errorf("split: read trace: %w", err)
	}
	var file traceFile
	if err := decodeStrict(data, &file); err != nil {
		return nil, fmt.Errorf("split: read trace: %w", err)
	}
	if file.Version != TraceVersion {
		return nil, fmt.Errorf("split: read trace: %w: version is %.40q, want %q", ErrFormat, file.Version, TraceVersion)
	}
	t := &Trace{Note: file.Note, Emulated: file.Emulated, Duration: time.Duration(file.Duration)}
	for i, entry := range file.Links {
		if err := t.add(entry); err != nil {
			return nil, fmt.Errorf("split: read trace: %w: links[%d]: %w", ErrFormat, i, err)
		}
	}
	for _, entry := range file.Hosts {
		h := HostTrace{Host: entry.Host}
		for _, p := range entry.Points {
			h.Points = append(h.Points, HostPoint{time.Duration(p.At), p.Load})
		}
		t.Hosts = append(t.Hosts, h)
	}
	if err := t.validate(); err != nil {
		return nil, fmt.Errorf("split: read trace: %w: %w", ErrFormat, err)
	}
	return t, nil
}

// add puts one entry of a file into the trace.
func (t *Trace) add(entry traceLinkFile) error {
	l := LinkTrace{From: entry.From, To: entry.To}
	for _, p := range entry.Points {
		l.Points = append(l.Points, LinkPoint{time.Duration(p.At), Link{Latency: time.Duration(p.Latency), Bandwidth: float64(p.Bandwidth)}})
	}
	directed := entry.From != "" || entry.To != ""
	switch {
	case directed == (entry.Between != nil):
		return errors.New(`want either "from" and "to" or "between"`)
	case directed:
		t.Links = append(t.Links, l)
		return nil
	case len(entry.Between) != 2:
		return fmt.Errorf("between has %d hosts, want 2", len(entry.Between))
	}
	there, back := l, l
	there.From, there.To = entry.Between[0], entry.Between[1]
	back.From, back.To = there.To, there.From
	t.Links = append(t.Links, there, back)
	return nil
}
