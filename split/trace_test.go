package split

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

const traceText = `{
  "version": "scission-trace/1", "note": "n", "duration": "30s",
  "links": [
    {"between": ["a", "b"], "points": [{"at": "0s", "latency": "5ms", "bandwidth": "80Mbit/s"}, {"at": "10s", "latency": "7ms", "bandwidth": "8Mbit/s"}]},
    {"from": "b", "to": "c", "points": [{"at": "0s", "latency": "0s", "bandwidth": 1e6}]}
  ],
  "hosts": [{"host": "b", "points": [{"at": "0s", "load": 1}, {"at": "3s", "load": 2.5}]}]
}`

func readTrace(t *testing.T, text string) *Trace {
	t.Helper()
	trace, err := ReadTrace(strings.NewReader(text), MaxTraceBytes)
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

func TestTraceSaysHowThingsAreAtATime(t *testing.T) {
	trace := readTrace(t, traceText)
	base := &Network{}
	if err := base.SetBoth("a", "c", Link{Bandwidth: 3}); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Duration]Link{0: {Latency: 5e6, Bandwidth: 1e7}, 10*time.Second - 1: {Latency: 5e6, Bandwidth: 1e7}, 10 * time.Second: {Latency: 7e6, Bandwidth: 1e6}, time.Hour: {Latency: 7e6, Bandwidth: 1e6}} {
		n, err := trace.Network(base, at)
		if err != nil {
			t.Fatal(err)
		}
		for _, ends := range [][2]string{{"a", "b"}, {"b", "a"}} {
			if got, _ := n.Link(ends[0], ends[1]); got != want {
				t.Errorf("%v at %v: got %v, want %v", ends, at, got, want)
			}
		}
		if got, _ := n.Link("a", "c"); got.Bandwidth != 3 {
			t.Errorf("a link that the trace does not mention is %v", got)
		}
	}
	for at, want := range map[time.Duration]float64{0: 1, 3*time.Second - 1: 1, 3 * time.Second: 2.5, time.Hour: 2.5} {
		if got := trace.Load(at)["b"]; got != want {
			t.Errorf("load at %v is %g, want %g", at, got, want)
		}
	}
	if trace.Link("c", "b") != nil || trace.Link("b", "c") == nil {
		t.Error("a link in one direction is one in the other")
	}
}

// 10 MB/s until 10 s and 1 MB/s from then on: of 3 MB that leave at 9.9 s, 1 MB have left at 10 s.
func TestTransferGoesOnAtTheBandwidthThatThereIs(t *testing.T) {
	l := readTrace(t, traceText).Link("a", "b")
	for _, c := range []struct {
		start time.Duration
		bytes int64
		want  time.Duration
	}{
		{0, 1e6, 105 * time.Millisecond},
		{9900 * time.Millisecond, 3e6, 2105 * time.Millisecond},
		{20 * time.Second, 1e6, 1007 * time.Millisecond},
		{0, 0, 5 * time.Millisecond},
		{20 * time.Second, MaxBytes, time.Duration(MaxBytes)*time.Microsecond + 7*time.Millisecond},
	} {
		if got := l.Travel(c.start, c.bytes); math.Abs(float64(got-c.want)) > 1e3 {
			t.Errorf("%d bytes from %v take %v, want %v", c.bytes, c.start, got, c.want)
		}
	}
	slow := LinkTrace{Points: []LinkPoint{{Link: Link{Bandwidth: 1e-300}}}}
	if got := slow.Travel(0, MaxBytes); got != MaxTravel {
		t.Errorf("at nearly nothing it takes %v, want %v", got, MaxTravel)
	}
}

func TestTraceIsReadAsItWasWritten(t *testing.T) {
	trace := readTrace(t, traceText)
	var b bytes.Buffer
	if err := trace.Write(&b); err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := readTrace(t, b.String()).Write(&again); err != nil {
		t.Fatal(err)
	}
	if b.String() != again.String() || len(trace.Links) != 3 {
		t.Errorf("wrote\n%s\nthen\n%s", &b, &again)
	}
}

func TestMalformedTracesAreRefused(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"trace/1", "trace/2", "version"},
		{`"30s"`, `"0s"`, "duration"},
		{`"30s"`, `"200h"`, "duration"},
		{`"note"`, `"nope"`, "unknown field"},
		{`"from": "b", "to": "c"`, `"from": "a", "to": "b"`, "given twice"},
		{`"from": "b", "to": "c"`, `"from": "b", "to": "b"`, "itself"},
		{`"between": ["a", "b"]`, `"between": ["a"]`, "want 2"},
		{`"between": ["a", "b"]`, `"to": "a", "between": ["a", "b"]`, "either"},
		{`{"at": "0s", "latency": "5ms"`, `{"at": "1s", "latency": "5ms"`, "links[0].points[0].at"},
		{`"at": "10s"`, `"at": "0s"`, "links[0].points[1].at"},
		{`"at": "10s"`, `"at": "1000h"`, "at most"},
		{`"8Mbit/s"`, `"0Mbit/s"`, "bandwidth"},
		{`"7ms"`, `"-7ms"`, "latency"},
		{`[{"at": "0s", "latency": "0s", "bandwidth": 1e6}]`, `[]`, "none"},
		{`"load": 2.5`, `"load": 0`, "load"},
		{`"load": 2.5`, `"load": 1001`, "load"},
		{`"at": "3s"`, `"at": "0s"`, "hosts[0].points[1].at"},
		{`"host": "b"`, `"host": "b c"`, "host name"},
	} {
		if !strings.Contains(traceText, c.from) {
			t.Fatalf("no %s to replace", c.from)
		}
		_, err := ReadTrace(strings.NewReader(strings.Replace(traceText, c.from, c.to, 1)), MaxTraceBytes)
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s for %s: got %v, want one about %s", c.to, c.from, err, c.want)
		}
	}
	if _, err := ReadTrace(strings.NewReader(traceText), 100); !errors.Is(err, ErrFormat) {
		t.Errorf("a file beyond the limit: got %v", err)
	}
}

func FuzzReadTrace(f *testing.F) {
	f.Add(traceText)
	f.Add(`{"version":"scission-trace/1","duration":"1s"}`)
	f.Fuzz(func(t *testing.T, text string) {
		trace, err := ReadTrace(strings.NewReader(text), 1<<16)
		if err != nil {
			if !errors.Is(err, ErrFormat) || trace != nil {
				t.Fatalf("got %v, error %v", trace, err)
			}
			return
		}
		for _, at := range []time.Duration{0, time.Second, MaxTraceTime} {
			if _, err := trace.Network(nil, at); err != nil {
				t.Fatal(err)
			}
			for _, l := range trace.Links {
				if took := l.Travel(at, 1e6); took < 0 || took > MaxTravel {
					t.Fatalf("took %v", took)
				}
			}
			for _, load := range trace.Load(at) {
				if !(load > 0) {
					t.Fatalf("load %g", load)
				}
			}
		}
		if err := trace.Write(&bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
	})
}
