package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scission/split"
	"scission/split/run"
)

// readTrace reads a trace as the format says and checks what Perfetto needs: all
// events are slices or names, times are numbers that are not negative, each
// process and thread has one name, and slices of one thread are apart or within
// one another.
func readTrace(t *testing.T, b []byte) (f struct {
	TraceEvents     []readEvent
	DisplayTimeUnit string
	Metadata        struct {
		Clock string
		Error map[string]int64 `json:"clock_error_ns"`
	}
}) {
	t.Helper()
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	if f.DisplayTimeUnit != "ms" && f.DisplayTimeUnit != "ns" {
		t.Errorf("display unit %q", f.DisplayTimeUnit)
	}
	type thread struct{ pid, tid int }
	processes, threads := map[int]string{}, map[thread]string{}
	open := map[thread][]readEvent{} // slices that have not ended, by thread
	last := 0.0
	for _, e := range f.TraceEvents {
		at := thread{e.PID, e.TID}
		switch {
		case e.Ph == "M" && e.Name == "process_name":
			if processes[e.PID] != "" {
				t.Errorf("process %d has two names", e.PID)
			}
			processes[e.PID] = fmt.Sprint(e.Args["name"])
		case e.Ph == "M" && e.Name == "thread_name":
			if threads[at] != "" {
				t.Errorf("thread %v has two names", at)
			}
			threads[at] = fmt.Sprint(e.Args["name"])
		case e.Ph == "M" && (e.Name == "process_sort_index" || e.Name == "thread_sort_index"):
			if _, ok := e.Args["sort_index"].(float64); !ok {
				t.Errorf("%s of %v", e.Name, e.Args)
			}
		case e.Ph == "X":
			if e.Dur == nil || *e.Dur < 0 || e.TS < last {
				t.Errorf("slice %+v at %v after one at %v", e, e.TS, last)
				continue
			}
			if len(e.Args) == 0 || e.Args["layer"] == nil {
				last = e.TS // layers follow what they are within
			}
			stack := open[at]
			const half = 0.0005 // of a nanosecond, since times are read as binary fractions
			for len(stack) > 0 && stack[len(stack)-1].end() <= e.TS+half {
				stack = stack[:len(stack)-1]
			}
			if n := len(stack); n > 0 && stack[n-1].end()+half < e.end() {
				t.Errorf("slices %+v and %+v of thread %v overlap", stack[n-1], e, at)
			}
			open[at] = append(stack, e)
		default:
			t.Errorf("event %+v", e)
		}
	}
	for at := range open {
		if processes[at.pid] == "" || threads[at] == "" {
			t.Errorf("thread %v has no name, or its process", at)
		}
	}
	return f
}

type readEvent struct {
	Name, Cat, Ph string
	TS            float64
	Dur           *float64
	PID, TID      int
	Args          map[string]any
}

func (e readEvent) end() float64 { return e.TS + *e.Dur }

func TestTraceOfARunHasARowForEachHost(t *testing.T) {
	edge := startWorker(t, "edge")
	path := filepath.Join(t.TempDir(), "trace.json")
	want(t, exitOK, "exec", "zoo:mobilenetv2", "--stages", "device:0-17,edge@"+edge+":18-end", "--input", "random:1", "--runs", "3", "--trace", path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := readTrace(t, b)
	count := map[string]int{}
	names := map[int]string{}
	for _, e := range f.TraceEvents {
		if e.Name == "process_name" {
			names[e.PID] = e.Args["name"].(string)
		}
	}
	for _, e := range f.TraceEvents {
		if e.Ph == "X" && e.Args["layer"] == nil {
			count[names[e.PID]+" "+e.Cat]++
		} else if e.Ph == "X" {
			count[names[e.PID]+" layers"]++
		}
	}
	for what, n := range map[string]int{
		"device runs": 3, "device compute": 3, "device encode": 3, "device travel": 3, "device decode": 3,
		"edge compute": 3, "edge encode": 3, "edge travel": 3, "edge decode": 3,
	} {
		if count[what] != n {
			t.Errorf("%d slices of %s, want %d", count[what], what, n)
		}
	}
	if count["device layers"] < 3 || count["edge layers"] < 3 {
		t.Errorf("%d and %d slices of layers", count["device layers"], count["edge layers"])
	}
	if e, ok := f.Metadata.Error["device"]; !ok || e != 0 || f.Metadata.Error["edge"] <= 0 || !strings.Contains(f.Metadata.Clock, "clock of device") {
		t.Errorf("clock %q, errors %v", f.Metadata.Clock, f.Metadata.Error)
	}
}

// Spans that overlap in any way, as those of runs in a pipeline do, become
// threads in which none does.
func TestTraceKeepsWhatHappensAtOnceApart(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var samples []run.Sample
	began := time.Now()
	for range 50 {
		began = began.Add(time.Duration(r.IntN(1000)))
		s := run.Sample{Began: began, Total: time.Duration(r.IntN(5000))}
		for range 20 {
			span := run.Span{At: time.Duration(r.IntN(4000)), Took: time.Duration(r.IntN(3000)), Host: []string{"a", "b"}[r.IntN(2)], Skew: time.Duration(r.IntN(100))}
			span.What = []run.What{run.Compute, run.Encode, run.Travel, run.Decode}[r.IntN(4)]
			if span.What == run.Compute {
				span.Segment = &split.Segment{From: 0, To: 3}
				span.Layers = []time.Duration{time.Duration(r.IntN(2000)), 0, time.Duration(r.IntN(2000))}
			} else {
				span.Hop = &split.Hop{From: span.Host, To: "c"}
			}
			s.Spans = append(s.Spans, span)
		}
		samples = append(samples, s)
	}
	m, err := openModel(zooPrefix + "mobilenetv2")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := newTrace("a", m.Graph, execReport{Model: "m"}, samples).write(&b); err != nil {
		t.Fatal(err)
	}
	f := readTrace(t, b.Bytes())
	if len(f.TraceEvents) < 50*21 {
		t.Errorf("%d events", len(f.TraceEvents))
	}
	if e := f.Metadata.Error["b"]; e < 90 || e > 99 {
		t.Errorf("the clock of b is off by %d, want the largest skew, below 100", e)
	}
}
