package split

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// ms is a time in milliseconds.
func ms(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }

// profile makes a profile with the given milliseconds per layer.
func profile(host string, layers ...float64) *Profile {
	p := &Profile{Model: Model{"toy", "sha256:toy"}, Host: host}
	for _, v := range layers {
		p.Layers = append(p.Layers, LayerProfile{Op: "Conv", Samples: Samples{ms(v)}})
	}
	return p
}

// toy is a small problem that can be priced by hand: a slow device, an edge 5 ms and 1 MB/s away, and a
// cloud 1 ms and 100 MB/s from the edge, which the device does not reach.
func toy(t *testing.T) Problem {
	t.Helper()
	n := &Network{}
	for _, l := range []HostLink{
		{"device", "edge", Link{Latency: ms(5), Bandwidth: 1e6}},
		{"edge", "cloud", Link{Latency: ms(1), Bandwidth: 1e8}},
	} {
		if err := n.SetBoth(l.From, l.To, l.Link); err != nil {
			t.Fatal(err)
		}
	}
	return Problem{
		Layers:    4,
		Positions: []Position{{0, 1_000_000, 1}, {1, 500_000, 1}, {2, 100_000, 1}, {3, 20_000, 2}, {4, 1000, 1}},
		Hosts:     []string{"device", "edge", "cloud"},
		Profiles: map[string]*Profile{
			"device": profile("device", 40, 300, 200, 100),
			"edge":   profile("edge", 4, 3, 2, 1),
			"cloud":  profile("cloud", 2, 1.5, 1, .5),
		},
		Network: n,
	}
}

// toyAnswers is every partition of the toy, best first, and its time in milliseconds: compute on each host,
// hops there, hops back. A hop device-edge takes 5 ms and 1 ms for each 1000 bytes, a hop edge-cloud 1 ms
// and 0.01 ms for each 1000 bytes.
var toyAnswers = []struct {
	stages string
	want   float64
}{
	{"device:0-1,edge:2-3", 340 + 3 + (5 + 100) + (5 + 1)},
	{"device:0-1,edge:2-2,cloud:3-3", 340 + 2 + .5 + (5 + 100) + (1 + .2) + (1 + .01) + (5 + 1)},
	{"device:0-0,edge:1-3", 40 + 6 + (5 + 500) + (5 + 1)},
	{"device:0-0,edge:1-1,cloud:2-3", 40 + 3 + 1.5 + (5 + 500) + (1 + 1) + (1 + .01) + (5 + 1)},
	{"device:0-0,edge:1-2,cloud:3-3", 40 + 5 + .5 + (5 + 500) + (1 + .2) + (1 + .01) + (5 + 1)},
	{"device:0-2,edge:3-3", 540 + 1 + (5 + 20) + (5 + 1)},
	{"device:0-3", 640},
	{"edge:0-3", 10 + (5 + 1000) + (5 + 1)},
	{"edge:0-1,cloud:2-3", 7 + 1.5 + (5 + 1000) + (1 + 1) + (1 + .01) + (5 + 1)},
	{"edge:0-2,cloud:3-3", 9 + .5 + (5 + 1000) + (1 + .2) + (1 + .01) + (5 + 1)},
	{"edge:0-0,cloud:1-3", 4 + 3 + (5 + 1000) + (1 + 5) + (1 + .01) + (5 + 1)},
}

func TestPredictAgreesWithSumsByHand(t *testing.T) {
	pb := toy(t)
	for _, tt := range toyAnswers {
		p, err := ParsePartition(tt.stages, 4)
		if err != nil {
			t.Fatal(err)
		}
		e, err := pb.Predict(p)
		if err != nil || e.Total != ms(tt.want) {
			t.Errorf("%s takes %v, %v, want %v", tt.stages, e.Total, err, ms(tt.want))
		}
	}
}

func TestPredictChoosesTheFastestCodecPerHop(t *testing.T) {
	pb := toy(t)
	cut := func(host string, position int, codecs ...CodecProfile) {
		at := pb.Positions[position]
		pb.Profiles[host].Cuts = append(pb.Profiles[host].Cuts, CutProfile{Position: position, Width: at.Width, Bytes: at.Bytes, Codecs: codecs})
	}
	one := func(v float64) Samples { return Samples{ms(v)} }
	// To the edge zstd saves 50 of 100 ms for 4 and 1 ms, lossy saves 90 but is not allowed.
	cut("device", 2, CodecProfile{"zstd", 50_000, one(4), one(9)}, CodecProfile{"lossy", 10_000, one(1), one(1)})
	// To the cloud zstd saves 0.1 ms for 2.
	cut("edge", 2, CodecProfile{"zstd", 50_000, one(3), one(1)}, CodecProfile{"lossy", 10_000, one(1), one(1)})
	cut("edge", 3, CodecProfile{"zstd", 10_000, one(1), one(1)})
	cut("cloud", 3, CodecProfile{"zstd", 10_000, one(1), one(1)})
	// The outputs: the edge has raw costs of its own; the cloud cannot encode zstd, the device nothing.
	cut("edge", 4, CodecProfile{"raw", 1016, one(.25), one(.5)}, CodecProfile{"zstd", 10, one(0), one(0)})
	pb.Codecs = []string{"raw", "zstd"}
	p, err := ParsePartition("device:0-1,edge:2-2,cloud:3-3", 4)
	if err != nil {
		t.Fatal(err)
	}
	e, err := pb.Predict(p)
	if err != nil {
		t.Fatal(err)
	}
	want := []HopCost{
		{Hop{From: "device", To: "edge", Position: 2}, 100_000, 50_000, "zstd", ms(4), ms(5 + 50), ms(5), ms(1)},
		{Hop{From: "edge", To: "cloud", Position: 3}, 20_000, 20_000, "raw", 0, ms(1 + .2), ms(1), 0},
		{Hop{From: "cloud", To: "edge", Position: 4, Back: true}, 1000, 1000, "raw", 0, ms(1 + .01), ms(1), ms(.5)},
		{Hop{From: "edge", To: "device", Position: 4, Back: true}, 1000, 1016, "raw", ms(.25), ms(5 + 1.016), ms(5), 0},
	}
	if !reflect.DeepEqual(e.Hops, want) {
		t.Errorf("hops are\n%v, want\n%v", e.Hops, want)
	}
	if want := ms(340 + 2 + .5 + (4 + 55 + 1) + 1.2 + (1.01 + .5) + (.25 + 6.016)); e.Total != want {
		t.Errorf("takes %v, want %v", e.Total, want)
	}
	if want := int64(50_000 + 20_000 + 1000 + 1016); e.WireBytes() != want {
		t.Errorf("sends %d bytes, want %d", e.WireBytes(), want)
	}
	const line = "411.48ms device:0-1,edge:2-2,cloud:3-3 (compute 342.5ms, travel 63.23ms, coding 5.75ms, 4 hops: zstd raw raw raw, 72016 bytes)"
	if e.String() != line {
		t.Errorf("got  %s\nwant %s", e, line)
	}
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back Estimate
	if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(e, back) {
		t.Errorf("JSON gives %+v, %v, want %+v", back, err, e)
	}
}

// TestNativeExecutionMaySendTheInputCompressed: each host alone is a candidate, with the codec of the input that
// is fastest on its link.
func TestNativeExecutionMaySendTheInputCompressed(t *testing.T) {
	pb := toy(t)
	if err := pb.Network.SetBoth("device", "cloud", Link{Latency: ms(5), Bandwidth: 1e9}); err != nil {
		t.Fatal(err)
	}
	one := func(v float64) Samples { return Samples{ms(v)} }
	for _, p := range pb.Profiles {
		// Over the 1 MB/s to the edge the slow codec saves 900 ms and the quick one 500; over the 1 GB/s to the
		// cloud raw takes 1 ms, less than either.
		p.Cuts = append(p.Cuts, CutProfile{Position: 0, Width: 1, Bytes: 1_000_000, Codecs: []CodecProfile{
			{"quick", 500_000, one(2), one(2)}, {"slow", 100_000, one(40), one(10)}}})
	}
	for codecs, want := range map[string][3]string{
		"quick slow": {"", ": slow raw", ""},
		"quick":      {"", ": quick raw", ""},
		"":           {"", "", ""},
	} {
		pb.Codecs = strings.Fields(codecs)
		all, err := pb.Rank(Query{Top: 100})
		if err != nil {
			t.Fatal(err)
		}
		for i, host := range pb.Hosts {
			native := slices.IndexFunc(all, func(e Estimate) bool { return e.Native() && e.Partition[0].Host == host })
			if native < 0 {
				t.Fatalf("codecs %q: %s alone is not a candidate", codecs, host)
			}
			if e := all[native]; e.codecs() != want[i] || !strings.Contains(e.String(), "hops"+want[i]+",") && host != "device" {
				t.Errorf("codecs %q: %v, want %q", codecs, e, want[i])
			}
		}
	}
}

func TestSourceNeedNotCompute(t *testing.T) {
	pb := toy(t)
	pb.Hosts, pb.Source = []string{"edge", "cloud"}, "device"
	delete(pb.Profiles, "device")
	best, err := pb.Rank(Query{Top: 10, MaxWidth: 2})
	if err != nil {
		t.Fatal(err)
	}
	// The last four of the answers are those without the device.
	want := toyAnswers[len(toyAnswers)-4:]
	if len(best) != len(want) {
		t.Fatalf("%d partitions, want %d", len(best), len(want))
	}
	for i, e := range best {
		if e.Partition.String() != want[i].stages || e.Total != ms(want[i].want) {
			t.Errorf("rank %d is %v, want %v", i, e, want[i])
		}
	}
}

func TestPredictNamesWhatIsMissing(t *testing.T) {
	tests := []struct {
		stages string
		change func(*Problem)
		want   string
	}{
		{"device:0-2", nil, "stages end before layer 3, want 4"},
		{"device:0-1,fog:2-3", nil, "host fog has no profile"},
		{"cloud:0-3", nil, "no link from device to cloud"},
		{"device:0-3", func(pb *Problem) { pb.Layers = 0 }, "0 layers"},
		{"device:0-3", func(pb *Problem) { pb.Hosts = nil }, "0 hosts"},
		{"device:0-3", func(pb *Problem) { pb.Hosts = []string{"edge", "edge"} }, "host edge is given twice"},
		{"device:0-3", func(pb *Problem) { pb.Hosts = []string{"edge", "fog"} }, "host fog has no profile"},
		{"device:0-3", func(pb *Problem) { pb.Positions = pb.Positions[1:] }, "position 0 is missing"},
		{"device:0-3", func(pb *Problem) { pb.Positions = pb.Positions[:4] }, "position 4 is missing"},
		{"device:0-3", func(pb *Problem) { pb.Positions[1].P = 5 }, "position 5, want 0 to 4"},
		{"device:0-3", func(pb *Problem) { pb.Positions[1].P = 2 }, "position 2 is given twice"},
		{"device:0-3", func(pb *Problem) { pb.Positions[1].Bytes = -1 }, "position 1: -1 bytes"},
		{"device:0-0,edge:1-3", func(pb *Problem) { pb.Positions[1] = pb.Positions[0]; pb.Positions = pb.Positions[1:] }, "cut at position 1 is not one"},
		{"device:0-3", func(pb *Problem) { pb.Profiles["edge"].Model.Digest = "sha256:other" },
			`host edge was profiled with model "toy" (digest sha256:other), host cloud has model "toy" (digest sha256:toy)`},
		{"device:0-3", func(pb *Problem) { pb.Model = Model{"mine", "sha256:mine"} },
			`host cloud was profiled with model "toy" (digest sha256:toy), the problem has model "mine" (digest sha256:mine)`},
		{"device:0-3", func(pb *Problem) { pb.Profiles["edge"] = profile("edge", 1, 2) }, "host edge was profiled with 2 layers, want 4"},
		{"device:0-3", func(pb *Problem) { pb.Profiles["edge"].Cuts = []CutProfile{{Position: 1, Bytes: 7}} },
			"host edge was profiled with 7 bytes at position 1, want 500000"},
		{"device:0-3", func(pb *Problem) { pb.Profiles["edge"].Layers[2].Samples = nil }, "profile of host edge: layers[2].samples_ns: no samples"},
	}
	for _, tt := range tests {
		p, err := ParsePartition(tt.stages, 0)
		if err != nil {
			t.Fatal(err)
		}
		pb := toy(t)
		if tt.change != nil {
			tt.change(&pb)
		}
		if _, err := pb.Predict(p); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.stages, err, tt.want)
		}
	}
	cloud := Partition{{"cloud", Segment{0, 4}}}
	if _, err := toy(t).Predict(cloud); !errors.Is(err, ErrNoLink) {
		t.Errorf("got %v, want ErrNoLink", err)
	}
}
