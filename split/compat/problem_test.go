package compat

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"scission/split"
)

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * 1e9)) }

// Both answers price the same thing but for the headers of .npy files, which only the original charges, and for
// the outputs' way back, which it does not. No block of the network takes 0 s, so that no quirk is in between.
func TestProblemsAgreeWithTheOriginalButForHeadersAndTheWayBack(t *testing.T) {
	const outputs = 128 + 4*(7919*16*16*16%500000) - headerBytes // of the last block in make.py
	systems, n := ownData(t)
	pb, err := systems.Problem("deep", 150_000)
	if err != nil {
		t.Fatal(err)
	}
	pb.Network = &split.Network{}
	for ends, l := range n { // as split reads the csv
		if err := pb.Network.SetBoth(ends[0], ends[1], split.Link{Latency: seconds(l.PingMs / 2000), Bandwidth: l.Rate}); err != nil {
			t.Fatal(err)
		}
	}
	planner, err := pb.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	all := answer(t, "deep", "--result-count", "100000")
	if len(all.Results) < 400 {
		t.Fatalf("%d configurations", len(all.Results))
	}
	for _, r := range all.Results {
		var p split.Partition
		want, from := r.Latency, "phone"
		for tier, part := range r.Parts {
			if !part.used() {
				continue
			}
			p = append(p, split.Stage{Host: part.Name, Segment: split.Segment{From: part.First, To: part.Last + 1}})
			if Tier(tier) != Device {
				rate := n[[2]string{from, part.Name}].Rate
				want += outputs / rate
				if part.First > 0 {
					want -= headerBytes / rate
				}
			}
			from = part.Name
		}
		e, err := planner.Predict(p)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(e.Total.Seconds()-want) > 1e-7 { // each of some twenty terms is rounded to a nanosecond
			t.Errorf("%v takes %v, want %v s: the original says %v", p, e.Total, want, r.Latency)
		}
	}
}

func TestProblemsSayWhatTheBenchmarksSay(t *testing.T) {
	systems, _ := ownData(t)
	pb, err := systems.Problem("toy", 7)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"phone", "42", "hut", "hall", "tower(GPU)"}; !slices.Equal(pb.Hosts, want) || pb.Source != "phone" || pb.Layers != 8 {
		t.Errorf("hosts %v from %s, %d layers, want %v from phone, 8", pb.Hosts, pb.Source, pb.Layers, want)
	}
	want := []split.Position{{P: 0, Bytes: 7, Width: 1}, {P: 2, Bytes: 401408, Width: 1}, {P: 3, Bytes: 1605632, Width: 1}, {P: 7, Bytes: 8192, Width: 1}, {P: 8, Bytes: 4000, Width: 1}}
	if !slices.Equal(pb.Positions, want) {
		t.Errorf("cuts %v, want %v", pb.Positions, want)
	}
	if got := pb.Profiles["42"].SegmentTime(split.Segment{From: 2, To: 7}); got != seconds(0.034) {
		t.Errorf("layers 2 to 6 on 42 take %v, want 34 ms", got)
	}
	if other, err := systems.Problem("deep", 7); err != nil || other.Model.Digest == pb.Model.Digest {
		t.Errorf("digest %s of two networks, error %v", other.Model.Digest, err)
	}
	if got := systems.Untimed("toy"); len(got) != 2 || got["edge-hut.dat"] != 2 || got["cloud-tower(GPU).dat"] != 1 {
		t.Errorf("blocks of 0 s: %v", got)
	}
}

func TestContradictingBenchmarksAreNoProblem(t *testing.T) {
	one := func(b ...Block) map[string][]Block { return map[string][]Block{"m": b} }
	good := Block{0, 3, 0.5, 132}
	for name, c := range map[string]struct {
		systems Systems
		want    string // empty where it is no error
	}{
		"good":           {Systems{{{"d", one(good)}}, nil, {{"c", one(good)}}}, ""},
		"not everywhere": {Systems{{{"d", one(good)}}, {{"e", nil}}}, ""},
		"other blocks":   {Systems{{{"d", one(good)}}, {{"e", one(Block{0, 3, 0.5, 136})}}}, "edge-e.dat: malformed: other blocks"},
		"same name":      {Systems{{{"d", one(good)}}, {{"d", one(good)}}}, "edge-d.dat: malformed: a second system named d"},
		"no header":      {Systems{{{"d", one(Block{0, 3, 0.5, 127})}}}, "device-d.dat: malformed: network \"m\": block 0: output of 127 bytes"},
		"late beginning": {Systems{{{"d", one(Block{1, 3, 0.5, 132})}}}, "begins with layer 1, want 0"},
		"too long":       {Systems{{{"d", one(Block{0, 3, 3601, 132})}}}, "second_prediction is 3601 s, want at most 1h0m0s"},
		"too deep":       {Systems{{{"d", one(Block{0, 1 << 30, 0.5, 132})}}}, "1073741825 layers, want at most 65536"},
		"name":           {Systems{nil, nil, {{"a b", one(good)}}}, "cloud-a b.dat: malformed"},
	} {
		pb, err := c.systems.Problem("m", 1)
		if c.want == "" {
			if err != nil || pb.Source != "d" {
				t.Errorf("%s: source %q, error %v", name, pb.Source, err)
			}
			continue
		}
		if !errors.Is(err, split.ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	for _, systems := range []Systems{{}, {{{"d", one(good)}}}} {
		if _, err := systems.Problem("x", 1); !errors.Is(err, ErrUsage) {
			t.Errorf("unknown network: error %v", err)
		}
	}
}
