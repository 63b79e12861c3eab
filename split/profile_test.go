package split

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const profileJSON = `{
  "version": "scission-profile/1",
  "model": {"name": "toy", "digest": "sha256:01"},
  "host": "device",
  "date": "2026-11-22T10:00:00Z",
  "machine": {"cpu": "Cortex-A72", "isa": "neon", "os": "linux", "arch": "arm64", "cores": 4, "threads": 2,
    "memory_bytes": 4000, "governor": "ondemand", "clock_tick_ns": 19},
  "emulated": "sleeps", "slowdown": 2.5,
  "took_ns": 9000, "warmup": 3, "peak_bytes": 1234,
  "whole_ns": [31, 30],
  "layers": [
    {"name": "conv", "op": "Conv", "samples_ns": [12, 10, 11], "weight_bytes": 64, "live_bytes": 500},
    {"name": "fc", "op": "Gemm", "samples_ns": [20, 25, 19, 24]}
  ],
  "cuts": [
    {"position": 0, "width": 1, "bytes": 400},
    {"position": 1, "width": 2, "bytes": 100, "leave_ns": [3, 5], "enter_ns": [7], "codecs": [
      {"name": "zstd", "wire_bytes": 60, "encode_ns": [5, 4], "decode_ns": [2]}
    ]},
    {"position": 2, "width": 1, "bytes": 8}
  ]
}`

func TestReadProfileKeepsEverything(t *testing.T) {
	p, err := ReadProfile(strings.NewReader(profileJSON), MaxProfileBytes)
	if err != nil {
		t.Fatal(err)
	}
	want := &Profile{
		Model:    Model{"toy", "sha256:01"},
		Host:     "device",
		Date:     time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
		Machine:  Machine{"Cortex-A72", "neon", "linux", "arm64", 4, 2, 4000, "ondemand", 19},
		Emulated: "sleeps", Slowdown: 2.5,
		Took: 9000, Warmup: 3, Peak: 1234,
		Whole:  Samples{31, 30},
		Layers: []LayerProfile{{"conv", "Conv", Samples{12, 10, 11}, 64, 500}, {"fc", "Gemm", Samples{20, 25, 19, 24}, 0, 0}},
		Cuts: []CutProfile{
			{Position: 0, Width: 1, Bytes: 400},
			{Position: 1, Width: 2, Bytes: 100, Leave: Samples{3, 5}, Enter: Samples{7}, Codecs: []CodecProfile{{"zstd", 60, Samples{5, 4}, Samples{2}}}},
			{Position: 2, Width: 1, Bytes: 8},
		},
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
	// Medians: 11 of the first layer, (20+24)/2 = 22 of the second.
	if got := p.SegmentTime(Segment{0, 2}); got != 33 {
		t.Errorf("both layers take %v, want 33ns", got)
	}
	// Cut at 1, the first layer takes (3+5)/2 longer and the second one 7.
	if got := p.SegmentTime(Segment{0, 1}); got != 15 {
		t.Errorf("the first layer takes %v, want 15ns", got)
	}
	if got := p.SegmentTime(Segment{1, 2}); got != 29 {
		t.Errorf("the second layer takes %v, want 29ns", got)
	}
	if p.Cut(1) != &p.Cuts[1] || p.Cut(3) != nil || (*Profile)(nil).Cut(0) != nil {
		t.Error("Cut finds the wrong cut")
	}
	if got, want := fmt.Sprint(p.Positions()), "[{0 400 1} {1 100 2} {2 8 1}]"; got != want {
		t.Errorf("positions %s, want %s", got, want)
	}
	checkProfileRoundTrip(t, p)
}

func checkProfileRoundTrip(t *testing.T, p *Profile) {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	q, err := ReadProfile(&b, MaxProfileBytes)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	var again bytes.Buffer
	if err := q.Write(&again); err != nil || again.String() != text {
		t.Fatalf("wrote %s, %v, want %s", again.String(), err, text)
	}
}

// The middle half of the four runs by their sums (11, 20, 22, 90) is the first and the last one.
func TestLayerTimesAddUpToThoseOfTypicalRuns(t *testing.T) {
	p := &Profile{Layers: []LayerProfile{{Samples: Samples{5, 10, 40, 4}}, {Samples: Samples{15, 1, 50, 18}}}}
	if got, want := fmt.Sprint(p.LayerTimes()), "[4ns 16ns]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWriteProfilePutsSamplesOnOneLine(t *testing.T) {
	p, err := ReadProfile(strings.NewReader(profileJSON), MaxProfileBytes)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	if want := "\n      \"samples_ns\": [20, 25, 19, 24]\n"; !strings.Contains(b.String(), want) {
		t.Errorf("no line %q in\n%s", want, b.String())
	}
}

func TestReadProfileSaysWhereAFileIsWrong(t *testing.T) {
	tests := []struct{ old, new, want string }{
		{`"scission-profile/1"`, `"scission-profile/9"`, `version is "scission-profile/9"`},
		{`"host": "device"`, `"host": ""`, "host: host name has 0 bytes"},
		{`"host": "device"`, `"host": "a,b"`, "host: host name"},
		{`"host": "device"`, `"hots": "device"`, `line 4: unknown field "hots"`},
		{`"sha256:01"`, `""`, "model.digest: empty"},
		{`"sha256:01"`, `1`, "line 3: model.digest: got a JSON number, want string"},
		{`[12, 10, 11]`, `[]`, "layers[0].samples_ns: no samples"},
		{`[12, 10, 11]`, `[12, -10]`, "layers[0].samples_ns: sample 1 is -10ns, want 0 to 1h0m0s"},
		{`[12, 10, 11]`, `[3600000000001]`, "sample 0 is 1h0m0.000000001s"},
		{`[12, 10, 11]`, `[1.5]`, "line 12: layers[0].samples_ns: got a JSON number 1.5"},
		{`[12, 10, 11]`, `[null]`, "line 12: layers[0].samples_ns: got null"},
		{`[12, 10, 11]`, `[NaN]`, "line 12"},
		{`[12, 10, 11]`, `null`, "layers[0].samples_ns: got null"},
		{`[12, 10, 11]`, `[99999999999999999999]`, "layers[0].samples_ns"},
		{`"name": "fc", `, `"nome": "fc", `, `line 13: layers[1]: unknown field "nome"`},
		{`"name": "fc", `, `"op": "Gemm", `, `line 13: layers[1]: field "op" is given twice`},
		{`"position": 1,`, `"position": 0,`, "cuts[1].position: got 0, want 1 to 2"},
		{`"position": 1,`, `"position": 3,`, "cuts[1].position: got 3, want 1 to 2"},
		{`"width": 2`, `"width": -2`, "cuts[1]: width is -2"},
		{`"bytes": 100`, `"bytes": -1`, "cuts[1]: bytes is -1"},
		{`"leave_ns": [3, 5]`, `"leave_ns": [3, -5]`, "cuts[1]: leave_ns: sample 1"},
		{`"enter_ns": [7]`, `"enter_ns": [3600000000001]`, "cuts[1]: enter_ns: sample 0"},
		{`"weight_bytes": 64`, `"weight_bytes": -64`, "layers[0]: -64 bytes of weights"},
		{`"memory_bytes": 4000`, `"memory_bytes": -1`, "machine.memory_bytes -1"},
		{`"warmup": 3`, `"warmup": -3`, "warmup -3"},
		{`"wire_bytes": 60`, `"wire_bytes": 1099511627777`, "cuts[1]: codecs[0].wire_bytes: got 1099511627777"},
		{`"name": "zstd"`, `"name": ""`, "codecs[0].name"},
		{`"decode_ns": [2]`, `"decode_ns": []`, "cuts[1]: codecs[0].decode_ns: no samples"},
		{`"slowdown": 2.5`, `"slowdown": -1`, "slowdown: got -1"},
		{`"emulated": "sleeps", `, ``, "without the label of emulation"},
		{`"whole_ns": [31, 30]`, `"whole_ns": [-1]`, "whole_ns: sample 0"},
		{`"cuts": [`, `"cuts": [7, `, `cuts[0]: got "7", want "{"`},
		{`"machine": {`, `"machine": 3, "x": {`, `machine: got "3", want "{"`},
		{`"date": "2026-11-22T10:00:00Z"`, `"date": 5`, "line 5: date"},
	}
	for _, tt := range tests {
		if !strings.Contains(profileJSON, tt.old) {
			t.Fatalf("no %s in the profile", tt.old)
		}
		p, err := ReadProfile(strings.NewReader(strings.Replace(profileJSON, tt.old, tt.new, 1)), MaxProfileBytes)
		if p != nil || !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.new, err, tt.want)
		}
	}
	if _, err := ReadProfile(strings.NewReader(profileJSON), 100); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "limit of 100 bytes") {
		t.Errorf("limit: %v", err)
	}
}

func TestReadProfileRefusesFloodsOfEmptyObjects(t *testing.T) {
	flood := `{"version":"scission-profile/1","layers":[` + strings.Repeat("{},", maxObjects) + `{}]}`
	if _, err := ReadProfile(strings.NewReader(flood), MaxProfileBytes); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "objects") {
		t.Errorf("got %v", err)
	}
	deep := strings.Repeat("[", 1<<20)
	if _, err := ReadProfile(strings.NewReader(`{"layers":`+deep), MaxProfileBytes); !errors.Is(err, ErrFormat) {
		t.Errorf("got %v", err)
	}
}

func TestWriteRefusesAnInvalidProfile(t *testing.T) {
	if err := (&Profile{Host: "device"}).Write(&bytes.Buffer{}); !errors.Is(err, ErrFormat) {
		t.Errorf("got %v", err)
	}
}

func TestSamplesStatistics(t *testing.T) {
	tests := []struct {
		samples          Samples
		median, min, p95 time.Duration
	}{
		{nil, 0, 0, 0},
		{Samples{7}, 7, 7, 7},
		{Samples{9, 4}, 6, 4, 9},
		{Samples{3, 1, 2}, 2, 1, 3},
		{Samples{4, 1, 3, 2}, 2, 1, 4},
		{Samples{20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}, 10, 1, 19},
	}
	for _, tt := range tests {
		if m, l, q := tt.samples.Median(), tt.samples.Min(), tt.samples.Quantile(.95); m != tt.median || l != tt.min || q != tt.p95 {
			t.Errorf("%v: median %d, min %d, p95 %d, want %d, %d, %d", tt.samples, m, l, q, tt.median, tt.min, tt.p95)
		}
	}
	s := Samples{30, 10, 20}
	if s.Quantile(0) != 10 || s.Quantile(1) != 30 || s.Quantile(2) != 30 || s[0] != 30 {
		t.Errorf("quantiles 0 and 1 are %d and %d, samples now %v", s.Quantile(0), s.Quantile(1), s)
	}
}

func TestWarningsTellOfTimesBelowTheTickAndOfWideSpread(t *testing.T) {
	p := &Profile{
		Machine: Machine{ClockTick: 50},
		Whole:   Samples{100, 100, 1000, 1000},
		Layers: []LayerProfile{
			{Samples: Samples{300, 300, 301, 301}},
			{Samples: Samples{0, 0, 0, 0}},     // joined to layer 0
			{Samples: Samples{0, 100, 0, 0}},   // mean 25
			{Samples: Samples{60, 60, 60, 76}}, // quartiles 60 and 60
			{Samples: Samples{60, 76, 60, 77}}, // quartiles 60 and 76: 16 of 68
			{Samples: Samples{60, 80, 60, 81}}, // quartiles 60 and 80: 20 of 70
		},
	}
	got := p.Warnings()
	if len(got) != 3 || fmt.Sprint(got[0].Layers) != "[2]" || !got[1].Whole || fmt.Sprint(got[2].Layers) != "[5]" {
		t.Fatalf("got %+v, want the tick for layer 2, and spread for the whole and layer 5", got)
	}
	if text := got[2].String(); !strings.HasPrefix(text, "1 layers") || !strings.Contains(text, "25%") {
		t.Errorf("got %q", text)
	}
	if quiet := (&Profile{Layers: p.Layers[:2]}).Warnings(); len(quiet) != 0 {
		t.Errorf("steady times: got %+v", quiet)
	}
}

func FuzzReadProfile(f *testing.F) {
	f.Add([]byte(profileJSON))
	f.Add([]byte(`{"version":"scission-profile/1","model":{"name":"","digest":"d"},"host":"h","layers":[{"name":"","op":"","samples_ns":[0]}]}`))
	f.Add([]byte(`{"version":"scission-profile/1","machine":{"cores":1e3},"layers":[{}],"cuts":[{"codecs":[{}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ReadProfile(bytes.NewReader(data), 1<<14)
		if (p == nil) == (err == nil) {
			t.Fatalf("got %v and %v, want a value or an error", p, err)
		}
		if err != nil {
			return
		}
		if d := p.SegmentTime(Segment{0, len(p.Layers)}); d < 0 {
			t.Fatalf("negative time %v", d)
		}
		checkProfileRoundTrip(t, p)
	})
}
