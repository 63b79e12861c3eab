package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"scission/bench/report"
	"scission/bench/zoo"
	"scission/split"
)

// sampleProblem is a network of the zoo whose layers all take as long, on hosts
// that are linked with each other.
func sampleProblem(t *testing.T, name string, hosts ...string) split.Problem {
	t.Helper()
	g, err := zoo.Build(name)
	if err != nil {
		t.Fatal(err)
	}
	pb := split.Problem{
		Layers: len(g.Nodes), Hosts: hosts, Source: hosts[0], Positions: positions(g, validateWidth),
		Profiles: map[string]*split.Profile{}, Network: &split.Network{},
	}
	for i, a := range hosts {
		p := &split.Profile{Model: split.Model{Digest: "d"}, Host: a, Layers: make([]split.LayerProfile, pb.Layers)}
		for l := range p.Layers {
			p.Layers[l].Samples = split.Samples{time.Millisecond}
		}
		pb.Profiles[a] = p
		for _, b := range hosts[:i] {
			if err := pb.Network.SetBoth(a, b, split.Link{Latency: time.Millisecond, Bandwidth: 1e7}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return pb
}

func TestSampleIsSpreadOverCutsAndHops(t *testing.T) {
	for _, name := range []string{"mobilenetv2", "nasnetmobile"} {
		for _, hosts := range [][]string{{"device", "edge"}, {"device", "edge", "cloud"}} {
			pb := sampleProblem(t, name, hosts...)
			list, err := samplePartitions(pb, 12)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) != 12 {
				t.Fatalf("%s on %v: got %d partitions, want 12", name, hosts, len(list))
			}
			seen, stages, tenths := map[string]bool{}, map[int]int{}, map[int]bool{}
			for _, p := range list {
				if err := p.Validate(pb.Layers); err != nil {
					t.Error(err)
				}
				if _, err := pb.Predict(p); err != nil {
					t.Error(err)
				}
				if p.Native() || seen[p.String()] {
					t.Errorf("%v is no split, or there twice", p)
				}
				seen[p.String()] = true
				stages[len(p)]++
				for _, s := range p[1:] {
					tenths[10*s.Segment.From/pb.Layers] = true
				}
			}
			if len(hosts) == 3 && (stages[2] < 5 || stages[3] < 5) || len(hosts) == 2 && stages[2] != 12 {
				t.Errorf("%s on %v: got %v partitions by number of stages", name, hosts, stages)
			}
			if len(tenths) < 8 {
				t.Errorf("%s on %v: cuts in tenths %v of the layers only", name, hosts, tenths)
			}
		}
	}
}

func TestSampleOfASmallModelIsAllThereIs(t *testing.T) {
	pb := sampleProblem(t, "mobilenetv2", "device", "edge")
	pb.Positions = []split.Position{pb.Positions[0], pb.Positions[7], pb.Positions[len(pb.Positions)-1]}
	list, err := samplePartitions(pb, 12)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(list); len(list) != 1 || list[0][1].Segment.From != pb.Positions[1].P {
		t.Errorf("got %v, want the one split at %d", got, pb.Positions[1].P)
	}
}

func TestQuietestRoundsAreKeptInOrder(t *testing.T) {
	got := fmt.Sprint(quietest([]float64{0.5, 0.1, 0.3, 0.1, 0.9}, 3))
	if got != "[1 2 3]" {
		t.Errorf("got rounds %s, want [1 2 3]", got)
	}
}

func TestLoadIsThatOfOthers(t *testing.T) {
	busy, err := parseBusy("cpu  10 20 30 4000 500 6 7 8 9 9\ncpu0 1 1 1 1\n")
	if want := 81 * cpuTick; err != nil || busy != want {
		t.Errorf("busy: got %v, %v, want %v", busy, err, want)
	}
	own, err := parseProcess("12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 70 30 1 1 20 0")
	if want := 100 * cpuTick; err != nil || own != want {
		t.Errorf("own: got %v, %v, want %v", own, err, want)
	}
	begin := time.Now()
	from := cpuLoad{begin, 10 * time.Second, 3 * time.Second}
	to := cpuLoad{begin.Add(10 * time.Second), 20 * time.Second, 12 * time.Second}
	if got := othersSince(from, to, 2); math.Abs(got-0.05) > 1e-12 {
		t.Errorf("others had %v of two processors, want 0.05", got)
	}
	for _, bad := range []string{"", "cpu 1 2", "intr 1 2 3 4 5 6 7 8 9", "cpu a b c d e f g h i"} {
		if _, err := parseBusy(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	if _, err := parseProcess("1 (x) S 1 2"); err == nil {
		t.Error("a short line of a process, no error")
	}
	if runtime.GOOS == "linux" {
		if share := watchOthers()(); share < 0 {
			t.Errorf("others had %v of the processors, want at least 0", share)
		}
	}
}

func TestNetworksAreOrderedFromSmallToLarge(t *testing.T) {
	list, err := networkNames([]string{"zoo:all", "model.onnx"})
	if err != nil {
		t.Fatal(err)
	}
	bySize(list)
	if len(list) != 19 || list[0] != "model.onnx" || list[1] != "zoo:mobilenetv2" || list[18] != "zoo:vgg19" {
		t.Errorf("got %v", list)
	}
}

type validationReport struct {
	Networks []*report.Validation
	Totals   report.Totals
}

func validation(t *testing.T, args ...string) (r validationReport, stderr string) {
	t.Helper()
	stdout, stderr := want(t, exitOK, append([]string{"report", "zoo:mobilenetv2", "--validate", "--runs", "1", "--partitions", "10", "--json", "--budget", "1s"}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Networks) != 1 || len(r.Networks[0].Partitions) != 10 {
		t.Fatalf("got %d networks, want 1 with 10 partitions", len(r.Networks))
	}
	for _, x := range r.Networks[0].Partitions {
		if e := x.Error(); x.Measured <= 0 || x.Predicted <= 0 || x.Hops == 0 || len(x.Samples) == 0 || len(x.Ratios) != r.Networks[0].Rounds || math.IsNaN(e) || math.IsInf(e, 0) {
			t.Errorf("%v: predicted %v, measured %v in %d samples, %d hops", x.Partition, x.Predicted, x.Measured, len(x.Samples), x.Hops)
		}
	}
	for _, h := range r.Networks[0].Hosts {
		if h.Sum <= 0 || h.Whole <= 0 || len(h.Ratios) == 0 {
			t.Errorf("%s: layers take %v, the whole %v", h.Host, h.Sum, h.Whole)
		}
	}
	if r.Totals.Prediction.Count != 10 || r.Totals.Additivity.Count != 1 {
		t.Errorf("got totals %+v", r.Totals)
	}
	return r, stderr
}

func TestValidationExecutesPredictedPartitions(t *testing.T) {
	dir := t.TempDir()
	r, _ := validation(t, "-o", dir, "--emulate-slowdown", "device=3")
	v := r.Networks[0]
	labels := strings.Join(v.Emulated, "; ")
	if len(v.Hosts) != 3 || !strings.Contains(labels, "link device–edge 200 Mbit/s") || !strings.Contains(labels, "device: computing slowed 3x") {
		t.Errorf("got %d hosts, emulated: %s", len(v.Hosts), labels)
	}
	for _, file := range []string{"index.html", "predicted-measured.png", "predicted-measured.svg", "additivity.png", "additivity.svg", "validation-mobilenetv2.json"} {
		if st, err := os.Stat(filepath.Join(dir, file)); err != nil || st.Size() < 1000 {
			t.Errorf("%s: %v, %v", file, st, err)
		}
	}
	again, stderr := validation(t, "-o", dir, "--emulate-slowdown", "device=3")
	if !strings.Contains(stderr, "as in") || !again.Networks[0].Date.Equal(v.Date) || again.Networks[0].Partitions[3].Measured != v.Partitions[3].Measured {
		t.Errorf("the finished result was not kept: %s", stderr)
	}
}

func TestValidationWithRealWorkers(t *testing.T) {
	edge := startWorker(t, "edge")
	r, _ := validation(t, "--host", "edge="+edge, "--label", "nothing")
	if v := r.Networks[0]; len(v.Hosts) != 2 || len(v.Links) != 2 || fmt.Sprint(v.Emulated) != "[nothing]" {
		t.Errorf("got hosts %v, links %v, emulated %v", v.Hosts, v.Links, v.Emulated)
	}
	want(t, exitUsage, "report", "zoo:mobilenetv2", "--validate", "--runs", "0")
	want(t, exitUsage, "report", "zoo:mobilenetv2", "--validate", "--host", "device=127.0.0.1:1")
	want(t, exitUsage, "report", "zoo:mobilenetv2", "--validate", "--network", "preset:4g")
	want(t, exitUsage, "report", "zoo:mobilenetv2", "--validate", "--emulate-slowdown", "device=x")
	want(t, exitUsage, "report", "zoo:mobilenetv2", "--validate", "--emulate-slowdown", "sea=2")
}

func TestMedianOfRepeatedMeasurementsOfALinkCounts(t *testing.T) {
	network := func(latency time.Duration, bandwidth float64) *split.Network {
		n := &split.Network{}
		if err := n.Set("a", "b", split.Link{Latency: latency, Bandwidth: bandwidth}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	n, err := medianLinks([]*split.Network{network(3*time.Millisecond, 1e6), network(2*time.Millisecond, 8e5), network(9*time.Millisecond, 9e5)})
	if err != nil {
		t.Fatal(err)
	}
	if l, _ := n.Link("a", "b"); l.Latency != 3*time.Millisecond || l.Bandwidth != 9e5 {
		t.Errorf("got %+v, want 3ms and 9e5 bytes a second", l)
	}
}
