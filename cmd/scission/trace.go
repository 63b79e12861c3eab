package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"scission/engine/graph"
	"scission/split/run"
)

// traceFile is the JSON object format of Chrome's Trace Event Format, which
// Perfetto and chrome://tracing read. A process is a host and its threads are
// what it does: slices of one thread do not overlap unless one is within the
// other, so that what happens at once has threads side by side.
type traceFile struct {
	Events   []traceEvent  `json:"traceEvents"`
	Unit     string        `json:"displayTimeUnit"`
	Metadata traceMetadata `json:"metadata"`
}

type traceMetadata struct {
	Program  string   `json:"program"`
	Model    string   `json:"model"`
	Stages   string   `json:"stages"`
	Clock    string   `json:"clock"`
	Emulated []string `json:"emulated,omitempty"`
	// ClockError is by how many nanoseconds the times of a host may be wrong.
	ClockError map[string]time.Duration `json:"clock_error_ns"`
}

// clockNote says what ClockError is.
const clockNote = "All times are by the clock of %s, on which the trace begins with the first run. Times of another host are set between " +
	"what that one sent to it and received from it, and may be wrong by clock_error_ns in either direction: half of what the way there and " +
	"back took, beyond the transfer of bytes, in the worst run."

type traceEvent struct {
	Name     string         `json:"name"`
	Category string         `json:"cat,omitempty"`
	Phase    string         `json:"ph"`
	Begin    microseconds   `json:"ts"`
	Took     *microseconds  `json:"dur,omitempty"`
	Process  int            `json:"pid"`
	Thread   int            `json:"tid"`
	Args     map[string]any `json:"args,omitempty"`
}

// Phases of events.
const (
	tracePhaseSlice = "X"
	tracePhaseName  = "M"
)

// microseconds is a time as the format has it, to the nanosecond.
type microseconds time.Duration

// MarshalJSON writes a decimal number.
func (m microseconds) MarshalJSON() ([]byte, error) {
	if m < 0 {
		return fmt.Appendf(nil, "-%d.%03d", -m/1000, -m%1000), nil
	}
	return fmt.Appendf(nil, "%d.%03d", m/1000, m%1000), nil
}

// slice is one bar of the trace, with what is within it.
type slice struct {
	host   string
	row    string
	name   string
	at     time.Duration
	took   time.Duration
	args   map[string]any
	within []slice
}

func (s slice) end() time.Duration { return s.at + s.took }

// traceRows are the rows of a host, from top to bottom.
var traceRows = []string{"runs", string(run.Compute), string(run.Encode), string(run.Travel), string(run.Decode)}

// newTrace is the trace of measured runs, which source began.
func newTrace(source string, g *graph.Graph, r execReport, samples []run.Sample) *traceFile {
	f := &traceFile{Unit: "ms", Metadata: traceMetadata{
		Program: "scission exec", Model: r.Model, Stages: r.Stages.String(), Emulated: r.Emulated,
		Clock: fmt.Sprintf(clockNote, source), ClockError: map[string]time.Duration{source: 0},
	}}
	hosts := []string{source}
	var bars []slice
	for i, sample := range samples {
		begin := sample.Began.Sub(samples[0].Began)
		bars = append(bars, slice{host: source, row: traceRows[0], name: fmt.Sprintf("run %d", i+1), at: begin, took: sample.Total})
		for _, s := range sample.Spans {
			x := spanSlice(g, s, begin, i+1)
			bars = append(bars, x)
			if _, known := f.Metadata.ClockError[x.host]; !known {
				hosts = append(hosts, x.host)
			}
			f.Metadata.ClockError[x.host] = max(f.Metadata.ClockError[x.host], s.Skew)
		}
	}
	f.add(hosts, bars)
	return f
}

// spanSlice is the bar of a span of the run that began at begin.
func spanSlice(g *graph.Graph, s run.Span, begin time.Duration, number int) slice {
	x := slice{host: s.Host, row: string(s.What), at: begin + s.At, took: s.Took, args: map[string]any{"run": number}}
	if s.What != run.Compute {
		x.name = fmt.Sprintf("%s %v", s.What, s.Hop)
		if s.What == run.Travel {
			x.host = s.Hop.From
			x.args["bytes"], x.args["codec"] = s.Bytes, s.Codec
		}
		return x
	}
	x.name = fmt.Sprintf("layers %v", s.Segment)
	at := x.at
	for i, took := range s.Layers {
		took = min(took, x.end()-at)
		if k := s.Segment.From + i; took > 0 && k < len(g.Nodes) {
			x.within = append(x.within, slice{name: g.Nodes[k].Name, at: at, took: took, args: map[string]any{"layer": k, "op": g.Nodes[k].Op.String()}})
			at += took
		}
	}
	return x
}

// add puts the slices on rows, and names hosts and rows.
func (f *traceFile) add(hosts []string, all []slice) {
	slices.SortStableFunc(all, func(a, b slice) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.took, a.took))
	})
	type row struct{ host, what string }
	free := map[row][]time.Duration{} // when each thread of a row ends what it does
	thread := func(row int, lane int) int { return lane*len(traceRows) + row + 1 }
	for _, s := range all {
		r := row{s.host, s.row}
		lane := slices.IndexFunc(free[r], func(until time.Duration) bool { return until <= s.at })
		if lane < 0 {
			lane = len(free[r])
			free[r] = append(free[r], 0)
		}
		free[r][lane] = s.end()
		process, number := 1+slices.Index(hosts, s.host), thread(slices.Index(traceRows, s.row), lane)
		for _, bar := range append([]slice{s}, s.within...) {
			took := microseconds(bar.took)
			f.Events = append(f.Events, traceEvent{bar.name, s.row, tracePhaseSlice, microseconds(bar.at), &took, process, number, bar.args})
		}
	}
	name := func(kind string, process, thread int, args map[string]any) {
		f.Events = append(f.Events, traceEvent{Name: kind, Phase: tracePhaseName, Process: process, Thread: thread, Args: args})
	}
	for i, host := range hosts {
		name("process_name", 1+i, 0, map[string]any{"name": host})
		name("process_sort_index", 1+i, 0, map[string]any{"sort_index": i})
		for k, what := range traceRows {
			for lane := range free[row{host, what}] {
				name("thread_name", 1+i, thread(k, lane), map[string]any{"name": what})
				name("thread_sort_index", 1+i, thread(k, lane), map[string]any{"sort_index": k})
			}
		}
	}
}

func (f *traceFile) write(w io.Writer) error { return json.NewEncoder(w).Encode(f) }
