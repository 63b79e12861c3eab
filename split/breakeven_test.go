package split

import (
	"cmp"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// nearly compares factors to the precision of the search for a bandwidth.
func nearly(got, want float64) bool { return math.Abs(got/want-1) < 2e-3 }

func TestBreakEvenAgreesWithSumsByHand(t *testing.T) {
	pb := toy(t)
	pb.Hosts = pb.Hosts[:2]
	breakEven := func(q Query) BreakEven {
		t.Helper()
		planner, err := pb.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		b, err := planner.BreakEven(q)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// The best split as things are, device:0-1,edge:2-3, takes 454 ms. A device that takes 40, 300, 60 and 10 ms
	// is done in 410 ms. The split device:0-0,edge:1-3 computes 46 ms, and has 10 ms of latency and 501 on the
	// wire: it is the first to pay, at 501/354 times the bandwidth, and where of 500 ms there 353 are left. The
	// device must become so slow that 40 of its 410 ms and 517 others are no more than all 410.
	pb.Profiles["device"] = profile("device", 40, 300, 60, 10)
	b := breakEven(Query{})
	if b.Native.Partition.String() != "device:0-3" || b.Split.Partition.String() != "device:0-1,edge:2-3" || b.From != "device" || b.To != "edge" {
		t.Errorf("compares %v with %v over %s-%s", b.Native, b.Split, b.From, b.To)
	}
	if !nearly(b.Bandwidth, 501./354) || !nearly(b.Ratio, 353./500) || !nearly(b.Load, 517./370) {
		t.Errorf("factors are %v, %v, %v, want %v, %v, %v", b.Bandwidth, b.Ratio, b.Load, 501./354, 353./500, 517./370)
	}
	const want = "a split would pay if the link device-edge had 1.42 times its bandwidth, " +
		"or if what goes from stage to stage had 0.706 times its bytes, or if device took 1.4 times as long to compute"
	if b.String() != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	// Layer 1 must stay on the device. Then it is device:0-1,edge:2-3 with 101 ms on the wire, of which 57 may be
	// left; of 100 ms there, 56; and the device must lose 44 ms on the 70 that the edge takes over.
	b = breakEven(Query{Layers: []LayerRule{{"device", "1", true}}})
	if !nearly(b.Bandwidth, 101./57) || !nearly(b.Ratio, .56) || !nearly(b.Load, 1+44./70) {
		t.Errorf("factors are %v, %v, %v, want %v, 0.56, %v", b.Bandwidth, b.Ratio, b.Load, 101./57, 1+44./70)
	}
	// No network is faster than no transfer where the edge is as slow as the device.
	pb.Profiles["device"], pb.Profiles["edge"] = profile("device", 1, 1, 1, 1), profile("edge", 1, 1, 1, 1)
	if b = breakEven(Query{}); b.Bandwidth != 0 || b.Ratio != 0 || b.Load == 0 || strings.Contains(b.String(), "bandwidth") {
		t.Errorf("got %+v, %v, want only load", b, b)
	}
	// Native execution on the edge needs 10 + 1005 + 6 = 1021 ms, a split after layer 0 on the device
	// d + 6 + 505 + 6. A slower link hurts native execution more: at d = 520 the split is 16 ms slower, and
	// halfway of 500 ms more on the wire makes up for it at 500/516 of the bandwidth.
	pb.Profiles["device"], pb.Profiles["edge"] = profile("device", 520, 900, 900, 900), profile("edge", 4, 3, 2, 1)
	if b = breakEven(Query{}); b.Native.Partition.String() != "edge:0-3" || !nearly(b.Bandwidth, 500./516) || !nearly(b.Ratio, 1-16./500) {
		t.Errorf("got %+v, want the bandwidth %v", b, 500./516)
	}
	// The split wins.
	pb.Profiles["device"] = profile("device", 40, 300, 200, 100)
	if b = breakEven(Query{}); b.Bandwidth != 1 || b.Ratio != 1 || b.Load != 1 {
		t.Errorf("got %+v, want factors of 1", b)
	}
	planner, err := pb.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []Query{{Use: []string{"device", "edge"}}, {Avoid: []string{"edge"}}} {
		if b, err := planner.BreakEven(q); !errors.Is(err, ErrNoPartition) {
			t.Errorf("%+v: got %v, %v, want ErrNoPartition", q, b, err)
		}
	}
}

// TestNoFactorNearerToOnePays checks factors against rankings of problems that are changed as they say.
func TestNoFactorNearerToOnePays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pb, q := drawLimits(t)
		q.Upload, q.Objective = nil, Latency
		source := cmp.Or(pb.Source, pb.Hosts[0])
		for _, p := range pb.Profiles { // times of some length, so that the smallest factors count
			for i := range p.Layers {
				p.Layers[i].Samples[0] *= 10_000
			}
		}
		planner, err := pb.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		b, err := planner.BreakEven(q)
		if err != nil {
			return
		}
		q.Top, q.SplitOnly = MaxTop, false
		pays := func(change func(pb *Problem)) bool {
			pb := pb
			change(&pb)
			native, split := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
			all, _ := pb.Rank(q)
			for _, e := range all {
				if e.Native() {
					native = min(native, e.Total)
				} else {
					split = min(split, e.Total)
				}
			}
			return split < math.MaxInt64 && split <= native
		}
		loaded := func(x float64) func(pb *Problem) {
			return func(pb *Problem) {
				host := b.Native.Partition[0].Host
				p := *pb.Profiles[host]
				p.Layers = slices.Clone(p.Layers)
				for i := range p.Layers {
					p.Layers[i].Samples = Samples{time.Duration(math.Round(float64(p.Layers[i].Samples[0]) * x))}
				}
				p.Cuts = slices.Clone(p.Cuts)
				for i := range p.Cuts {
					for _, s := range []*Samples{&p.Cuts[i].Enter, &p.Cuts[i].Leave} {
						if len(*s) > 0 {
							*s = Samples{time.Duration(math.Round(float64((*s)[0]) * x))}
						}
					}
				}
				pb.Profiles = maps.Clone(pb.Profiles)
				pb.Profiles[host] = &p
			}
		}
		widened := func(from, to string, x float64) func(pb *Problem) {
			return func(pb *Problem) {
				n := &Network{}
				for _, l := range pb.Network.Links() {
					if l.From == from && l.To == to || l.From == to && l.To == from {
						l.Bandwidth *= x
					}
					if err := n.Set(l.From, l.To, l.Link); err != nil {
						t.Fatal(err)
					}
				}
				pb.Network = n
			}
		}
		nearer := func(x float64) float64 { // a factor between 1 and x, or any where none pays
			if x == 0 {
				x = factorRange
			}
			return math.Pow(x/math.Pow(factorExact, math.Copysign(1, math.Log(x))), rapid.Float64Range(0, 1).Draw(t, "nearer"))
		}
		if b.Load > 0 && !pays(loaded(b.Load)) {
			t.Fatalf("%v does not pay with load", b)
		}
		if x := nearer(b.Load); b.Load != 1 && pays(loaded(x)) {
			t.Fatalf("%v: pays with a load of %v", b, x)
		}
		if b.Bandwidth > 0 && !pays(widened(b.From, b.To, b.Bandwidth)) {
			t.Fatalf("%v does not pay with bandwidth", b)
		}
		for _, host := range pb.Hosts {
			x := nearer(b.Bandwidth)
			if rapid.Bool().Draw(t, "slower") {
				x = 1 / x
			}
			if host != source && pb.Network.Linked(source, host) && b.Bandwidth != 1 && pays(widened(source, host, x)) {
				t.Fatalf("%v: pays with %v of the bandwidth to %s", b, x, host)
			}
		}
	})
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
