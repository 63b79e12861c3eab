package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"scission/engine/tensor"
	"scission/split"
	"scission/split/cut"
)

// A link so slow that the device is faster whatever else uses the machine, and a
// device so slow that the edge is.
func TestComparedChoiceIsFastestWhereOneMustBe(t *testing.T) {
	m, err := openModel(fashionModel)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		fastest, slowdown, mbit, latency string
		bandwidth                        float64
	}{
		{deviceName, "1", "4", "20ms", 4},
		{compareEdge, "50", "1000", "100us", 1000},
	} {
		stdout, _ := want(t, exitOK, "compare", fashionModel, "--emulate-slowdown", x.slowdown, "--mbit", x.mbit, "--latency", x.latency,
			"--rounds", "6", "--finalists", "3", "--budget", "100ms", "--lossy", "u8", "--json")
		var r compareReport
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(r.Emulated, "; "); x.slowdown != "1" && !strings.Contains(got, "slowed "+x.slowdown+"x") || !strings.Contains(got, "shaped") {
			t.Errorf("emulated: %s", got)
		}
		if len(r.Links) != 1 || len(r.Links[0].Contests) != 2 {
			t.Fatalf("got %d links, want 1 with a contest without and one with lossy codecs", len(r.Links))
		}
		l := r.Links[0]
		if got := l.There.Bandwidth * 8 / 1e6; got > 1.05*x.bandwidth {
			t.Errorf("a link of %s Mbit/s was measured at %g", x.mbit, got)
		}
		for i, c := range l.Contests {
			if c.Lossy != (i == 1) || !c.Chosen.Partition.Native() || c.Chosen.Partition[0].Host != x.fastest {
				t.Errorf("%s Mbit/s: chosen %v, want all on %s", x.mbit, c.Chosen.Partition, x.fastest)
			}
			slowest := max(c.Device.took(), c.Edge.took())
			if c.Device.Once == 0 || c.Edge.Once == 0 || len(c.Chosen.Rounds) < 6 || 2*c.Chosen.took() > slowest {
				t.Errorf("%s Mbit/s: the choice took %v, the device %v, the edge %v", x.mbit, &c.Chosen, &c.Device, &c.Edge)
			}
		}
		// Every cut of one tensor was run, or the link needs more for its bytes than another run took.
		settled := map[string]bool{}
		for _, u := range l.Runs {
			settled[u.Partition.String()] = settled[u.Partition.String()] || u.Once > 0 || u.Least > l.Runs[0].took()
			if u.Once > 0 && u.Once < u.Least {
				t.Errorf("%s Mbit/s: %v took %v, and the link needs %v for its bytes", x.mbit, u.Partition, u.Once, u.Least)
			}
			if u.Lossy != (len(lossyOf(u.Codecs)) > 0) {
				t.Errorf("%v with %v is lossy: %v", u.Partition, u.Codecs, u.Lossy)
			}
		}
		n := len(m.Graph.Nodes)
		for _, at := range cut.Find(m.Graph, 1) {
			if at.Position == 0 || at.Position == n {
				continue
			}
			p := split.Partition{{Host: deviceName, Segment: split.Segment{From: 0, To: at.Position}}, {Host: compareEdge, Segment: split.Segment{From: at.Position, To: n}}}
			if !settled[p.String()] {
				t.Errorf("%s Mbit/s: %v was not run", x.mbit, p)
			}
		}
	}
}

func TestChoiceTiesUnlessRoundsAgree(t *testing.T) {
	rounds := func(ms ...int) timedRun {
		var r timedRun
		for _, x := range ms {
			r.Rounds = append(r.Rounds, time.Duration(x)*time.Millisecond)
		}
		return r
	}
	for _, c := range []struct {
		chosen, rejected timedRun
		want             string
		ratio            float64
	}{
		{rounds(90, 90, 90, 90, 90, 95, 95), rounds(100, 100, 100, 100, 100, 100, 100), wins, 0.9},
		{rounds(110, 110, 110, 110, 110, 110, 105), rounds(100, 100, 100, 100, 100, 100, 100), loses, 1.1},
		// One round in eight may go the other way by chance, but then another may as well.
		{rounds(90, 90, 90, 90, 90, 90, 90, 110), rounds(100, 100, 100, 100, 100, 100, 100, 100), ties, 0.9},
		{rounds(90, 90, 90, 90, 90, 90, 90, 90, 110), rounds(100, 100, 100, 100, 100, 100, 100, 100, 100), wins, 0.9},
		// So few rounds prove nothing.
		{rounds(90, 90, 90, 90, 90), rounds(100, 100, 100, 100, 100), ties, 0.9},
		// What slows both down in a round does not count.
		{rounds(90, 900, 90, 900, 90, 900), rounds(100, 1000, 100, 1000, 100, 1000), wins, 0.9},
		// Only rounds in which both ran count.
		{rounds(50, 50, 50, 50, 50, 50, 500, 500, 500, 500), rounds(100, 100, 100, 100, 100, 100), wins, 0.5},
	} {
		got := contest{Chosen: c.chosen, Rejected: c.rejected}
		got.judge()
		if got.Verdict != c.want || math.Abs(got.Ratio-c.ratio) > 1e-9 {
			t.Errorf("%v against %v: %v, want %s at %g", c.chosen.Rounds, c.rejected.Rounds, &got, c.want, c.ratio)
		}
	}
}

// In photographs two points are the more alike the nearer they are, and no two
// regions are equal.
func TestPhotographIsSmoothAndNotFlat(t *testing.T) {
	const size = 128
	p := photograph(tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1, 3, size, size}}, 1).F32()
	difference := func(distance int) float64 { // mean square, horizontally
		sum := 0.0
		for y := range size {
			for x := range size - distance {
				d := float64(p[y*size+x+distance] - p[y*size+x])
				sum += d * d
			}
		}
		return sum / float64(size*(size-distance))
	}
	near, middle, far := difference(1), difference(8), difference(48)
	if near == 0 || middle < 3*near || far < 2*middle {
		t.Errorf("mean square differences %g, %g, %g at distances of 1, 8 and 48", near, middle, far)
	}
	for _, v := range p {
		if level := (float64(v) + 1) * 127.5; level < -1e-3 || level > 255.001 || math.Abs(level-math.Round(level)) > 1e-3 {
			t.Fatalf("%g is level %g, want one of 0 to 255", v, level)
		}
	}
}

func TestCompareMistakesAreNamed(t *testing.T) {
	for _, c := range []struct {
		text string
		args []string
	}{
		{"--mbit -1", []string{"--mbit", "5,-1"}},
		{"--lossy zeros+huff0, want some of", []string{"--lossy", "zeros+huff0"}},
		{"--rounds 2", []string{"--rounds", "2"}},
		{"--emulate-slowdown 0.5", []string{"--emulate-slowdown", "0.5"}},
	} {
		if _, stderr := want(t, exitUsage, append([]string{"compare", fashionModel}, c.args...)...); !strings.Contains(stderr, c.text) {
			t.Errorf("%v: %s, want %q", c.args, stderr, c.text)
		}
	}
}
