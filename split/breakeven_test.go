package split

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// nearly compares factors to the precision of the search for a bandwidth.
func nearly(got, want float64) bool { return math.Abs(got/want-1) < 2e-3 }

func TestBreakEvenAgreesWithSumsByHand(t *testing.T) {
	pb := toy(t)
	pb.Hosts = pb.Hosts[:2]
	breakEven := func() BreakEven {
		t.Helper()
		planner, err := pb.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		best, err := planner.Rank(Query{Top: 20})
		if err != nil {
			t.Fatal(err)
		}
		native := best[slices.IndexFunc(best, Estimate.Native)]
		split := best[slices.IndexFunc(best, func(e Estimate) bool { return !e.Native() })]
		b, err := planner.BreakEven(native.Partition, split.Partition)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// The best split, device:0-1,edge:2-3, takes 340 + 3 + 105 + 6 = 454 ms. A device that takes 40, 300, 60 and
	// 10 ms is done in 410 ms. The split must save 44 ms. Of 101 ms on the wire, 57 are left at 101/57 times the
	// bandwidth; of 100 ms there, 56 at 0.56 times the bytes. The device must lose 44 ms on the 70 that the
	// split computes elsewhere.
	pb.Profiles["device"] = profile("device", 40, 300, 60, 10)
	b := breakEven()
	if b.Native.Partition.String() != "device:0-3" || b.Split.Partition.String() != "device:0-1,edge:2-3" || b.From != "device" || b.To != "edge" {
		t.Errorf("compares %v with %v over %s-%s", b.Native, b.Split, b.From, b.To)
	}
	if !nearly(b.Bandwidth, 101./57) || b.Ratio != .56 || !nearly(b.Load, 1+44./70) {
		t.Errorf("factors are %v, %v, %v, want %v, 0.56, %v", b.Bandwidth, b.Ratio, b.Load, 101./57, 1+44./70)
	}
	const want = "the split would pay if the link device-edge had 1.77 times its bandwidth, " +
		"or if its first transfer had 0.56 times its bytes, or if device took 1.63 times as long to compute"
	if b.String() != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	// No network is faster than no transfer where the edge is as slow as the device.
	pb.Profiles["device"], pb.Profiles["edge"] = profile("device", 1, 1, 1, 1), profile("edge", 1, 1, 1, 1)
	if b = breakEven(); b.Bandwidth != 0 || b.Ratio != 0 || b.Load == 0 || strings.Contains(b.String(), "bandwidth") {
		t.Errorf("got %+v, %v, want only load", b, b)
	}
	// Native execution on the edge needs 10 + 1005 + 6 = 1021 ms, a split after layer 0 on the device
	// d + 6 + 505 + 6. A slower link hurts native execution more: at d = 520 the split is 16 ms slower, and
	// halfway of 500 ms more on the wire makes up for it at 500/516 of the bandwidth.
	pb.Profiles["device"], pb.Profiles["edge"] = profile("device", 520, 900, 900, 900), profile("edge", 4, 3, 2, 1)
	if b = breakEven(); b.Native.Partition.String() != "edge:0-3" || !nearly(b.Bandwidth, 500./516) || b.Ratio != 1-16./500 {
		t.Errorf("got %+v, want the bandwidth %v", b, 500./516)
	}
	// The split wins.
	pb.Profiles["device"] = profile("device", 40, 300, 200, 100)
	if b = breakEven(); b.Bandwidth != 1 || b.Ratio != 1 || b.Load != 1 {
		t.Errorf("got %+v, want factors of 1", b)
	}
	planner, err := pb.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := planner.BreakEven(b.Split.Partition, b.Native.Partition); err == nil {
		t.Error("a split was taken for native execution")
	}
}

func TestObjectivesAgreeWithSumsByHand(t *testing.T) {
	pb := toy(t)
	p, err := ParsePartition("device:0-1,edge:2-3", pb.Layers)
	if err != nil {
		t.Fatal(err)
	}
	cut := func(host string, position int, bytes int64) {
		pb.Profiles[host].Cuts = append(pb.Profiles[host].Cuts, CutProfile{Position: position, Width: 1, Bytes: bytes,
			Codecs: []CodecProfile{{RawCodec, bytes, Samples{ms(7)}, Samples{ms(400)}}}})
	}
	cut("device", 2, 100_000)
	cut("edge", 2, 100_000)
	e, err := pb.Predict(p)
	if err != nil {
		t.Fatal(err)
	}
	// The edge decodes 400 ms and computes 3; the device computes 340 ms and encodes 7; the wire takes 100.
	if e.Interval() != ms(403) || e.Egress() != 100_000 || !e.ShipsInput {
		t.Errorf("interval %v, egress %d, ships the input %v", e.Interval(), e.Egress(), e.ShipsInput)
	}
	power := map[string]Power{"device": {Watts: 2, JoulesPerByte: 1e-6}, "edge": {Watts: 10}}
	// 2 W for 347 ms, 1 µJ for 100,000 bytes sent and 1000 received, 10 W for 403 ms.
	if got, want := e.Energy(power), 2*.347+.101+10*.403; math.Abs(got-want) > 1e-9 {
		t.Errorf("energy %v J, want %v", got, want)
	}
	pb.Profiles["device"].Layers[1].Op = "Conv[3x3]+Relu"
	if e, err = pb.Predict(p); err != nil || e.ShipsInput {
		t.Errorf("%v, %v: warns of the input behind a Relu", e, err)
	}
	for _, o := range []Objective{Latency, Throughput, Egress, Energy} {
		if got, err := ParseObjective(o.String()); err != nil || got != o {
			t.Errorf("ParseObjective(%q) = %v, %v", o, got, err)
		}
	}
	if _, err := ParseObjective("speed"); err == nil {
		t.Error("speed is an objective")
	}
}

func TestQueriesThatMakeNoSenseAreErrors(t *testing.T) {
	pb := toy(t)
	for want, q := range map[string]Query{
		"longest total":   {MaxTotal: -1},
		"nonlinear":       {Nonlinear: -1},
		"objective":       {Objective: 9},
		"unknown host":    {Compute: []ComputeLimit{{Host: "fog"}}},
		"steps of 0.1":    {Compute: []ComputeLimit{{Host: "edge", Percent: 12.34}}},
		"0 to 100":        {Compute: []ComputeLimit{{Host: "edge", Percent: 101}}},
		"more than 0":     {Memory: map[string]int64{"edge": 0}},
		"does not say":    {Memory: map[string]int64{"edge": 1000}},
		"want at least 0": {Compute: []ComputeLimit{{Host: "edge", Time: -1}}},
		"upload limit":    {Upload: []UploadLimit{{From: "edge", Bytes: -1}}},
		"layer 4":         {Layers: []LayerRule{{"edge", "4", true}}},
		"layer -5":        {Layers: []LayerRule{{"edge", "-5", true}}},
		"within 0 to 3":   {Layers: []LayerRule{{"edge", "2-9", true}}},
		"no layer's name": {Layers: []LayerRule{{"edge", "conv*", true}}},
		"syntax error":    {Layers: []LayerRule{{"edge", "[", true}}},
		"power of host":   {Power: map[string]Power{"edge": {Watts: math.NaN()}}},
	} {
		if _, err := pb.Rank(q); err == nil || errors.Is(err, ErrNoPartition) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want an error with %q", q, err, want)
		}
	}
	for _, objectives := range [][]Objective{nil, {Latency}, {Egress, Egress}, {Latency, Throughput, Egress, Energy}, {Latency, 7}} {
		if _, err := pb.Pareto(Query{}, objectives...); err == nil {
			t.Errorf("a front over %v", objectives)
		}
	}
}

func TestPresetsLinkAllHosts(t *testing.T) {
	hosts := []string{"a", "b", "c"}
	fastest := 0.
	for _, p := range Presets() {
		n, err := PresetNetwork(p.Name, hosts)
		if err != nil || len(n.Links()) != 6 || !n.Linked("c", "a") || !strings.Contains(n.Note, p.Source) {
			t.Errorf("%s: %v, %v", p.Name, n, err)
		}
		if l, _ := n.Link("a", "b"); l != p.Link || l.Bandwidth <= fastest {
			t.Errorf("%s: got %v, want %v", p.Name, l, p.Link)
		}
		fastest = p.Link.Bandwidth
	}
	if _, err := PresetNetwork("5g", hosts); err == nil || !strings.Contains(err.Error(), "wired") {
		t.Errorf("got %v, want the names of the presets", err)
	}
}

func TestStaleIsOlderThanTheAge(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	p, n := &Profile{}, &Network{}
	if p.Stale(now, 0) || n.Stale(now, 0) || (*Network)(nil).Stale(now, 0) {
		t.Error("what has no date is stale")
	}
	p.Date, n.Date = now.Add(-day), now.Add(-day)
	if p.Stale(now, day) || n.Stale(now, day) || !p.Stale(now, day-1) || !n.Stale(now, day-1) {
		t.Error("a day old is not what is older than less than a day")
	}
	if err := n.Set("a", "b", Link{Bandwidth: 1, Date: now.Add(-3 * day)}); err != nil || !n.Stale(now, 2*day) {
		t.Errorf("%v: an old link is not stale", err)
	}
}
