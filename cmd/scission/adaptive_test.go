package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"scission/split"
	"scission/split/adapt"
)

// writeProfiles makes up profiles of MobileNetV2 on a slow device and a fast edge, and a network.
func writeProfiles(t *testing.T, dir string) (profiles, network string) {
	t.Helper()
	m, err := openModel(zooPrefix + "mobilenetv2")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.portable(); err != nil {
		t.Fatal(err)
	}
	profiles, network = filepath.Join(dir, "profiles"), filepath.Join(dir, "network.json")
	if err := os.Mkdir(profiles, 0o755); err != nil {
		t.Fatal(err)
	}
	for host, layer := range map[string]time.Duration{deviceName: 600 * time.Microsecond, "edge": 70 * time.Microsecond} {
		p := &split.Profile{Model: split.Model{Name: m.Name, Digest: m.Digest}, Host: host}
		for i := range m.Graph.Nodes {
			p.Layers = append(p.Layers, split.LayerProfile{Name: fmt.Sprint(i), Op: "Conv", Samples: split.Samples{layer}})
		}
		if err := writeFile(filepath.Join(profiles, host+".json"), p.Write); err != nil {
			t.Fatal(err)
		}
	}
	n := &split.Network{}
	if err := n.SetBoth(deviceName, "edge", split.Link{Latency: time.Millisecond, Bandwidth: 400e6 / 8}); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(network, n.Write); err != nil {
		t.Fatal(err)
	}
	return profiles, network
}

// With a link that becomes useless after a second, requests go on here; none fails, and all have the bits of the
// unsplit run.
func TestExecAdaptsToALinkThatCollapses(t *testing.T) {
	dir := t.TempDir()
	profiles, network := writeProfiles(t, dir)
	edge := startWorker(t, "edge")
	trace := &split.Trace{Note: "it collapses", Duration: time.Minute}
	for _, ends := range [][2]string{{deviceName, "edge"}, {"edge", deviceName}} {
		l := split.LinkTrace{From: ends[0], To: ends[1]}
		for i, mbit := range []float64{400, 0.2} {
			l.Points = append(l.Points, split.LinkPoint{At: time.Duration(i) * time.Second, Link: split.Link{Latency: time.Millisecond, Bandwidth: mbit * 1e6 / 8}})
		}
		trace.Links = append(trace.Links, l)
	}
	path := filepath.Join(dir, "trace.json")
	if err := writeFile(path, trace.Write); err != nil {
		t.Fatal(err)
	}
	flags := []string{"exec", "zoo:mobilenetv2", "--adapt", "--profiles", profiles, "--network", network, "--host", "edge=" + edge,
		"--input", "random:1", "--input", "random:2", "--emulate-trace", path, "--emulate-slowdown", "4", "--check"}
	out, _ := want(t, exitOK, append(flags, "--every", "50ms", "--runs", "20", "--json")...)
	var r adaptReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Requests != 40 || len(r.Total.Samples) != 40 || r.Failed != 0 || r.Wrong == nil || *r.Wrong != 0 || len(r.Emulated) == 0 {
		t.Errorf("%d requests, %d answered, %d failed, wrong %v, emulated %q", r.Requests, len(r.Total.Samples), r.Failed, r.Wrong, r.Emulated)
	}
	if len(r.Decisions) < 2 || r.Decisions[0].Rule != adapt.Start || r.Decisions[0].To.String() != "edge:0-157" {
		t.Fatalf("decided %+v, want to begin on the edge and to leave it", r.Decisions)
	}
	for _, d := range r.Decisions {
		if d.Reason == "" || len(d.Links) != 2 || (d.Ready == 0) != (d.Error != "" || d.Rule == adapt.Start) {
			t.Errorf("decision %+v", d)
		}
	}
	made := slices.DeleteFunc(slices.Clone(r.Decisions), func(d decisionReport) bool { return d.Error != "" }) // such as one that the end of the run cut short
	last := made[len(made)-1]
	if !last.To.Native() || last.To[0].Host != deviceName {
		t.Errorf("the last decision that was carried out is %+v, want all on the device", last)
	}
	var sum time.Duration
	requests := 0
	for _, p := range r.Partitions {
		sum, requests = sum+p.Time, requests+p.Requests
	}
	if requests != r.Requests || sum > r.Duration+time.Millisecond || sum < r.Duration-time.Second {
		t.Errorf("%d requests in %v, by partition %d in %v", r.Requests, r.Duration, requests, sum)
	}
	text, _ := want(t, exitOK, append(flags, "--duration", "100ms")...)
	for _, part := range []string{"emulated: links of device", "switch to edge:0-157 (start)", "identical: yes", "0 failed"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}

// Without the worker all requests are answered here.
func TestExecAdaptsToAWorkerThatIsNotThere(t *testing.T) {
	profiles, network := writeProfiles(t, t.TempDir())
	code, out, stderr := cli("exec", "zoo:mobilenetv2", "--adapt", "--profiles", profiles, "--network", network, "--host", "edge=127.0.0.1:1",
		"--input", "random:1", "--runs", "3", "--json")
	var r adaptReport
	if code != exitOK || json.Unmarshal([]byte(out), &r) != nil {
		t.Fatalf("exit code %d\n%s%s", code, out, stderr)
	}
	if r.Requests != 3 || r.Failed != 0 || r.Partitions[len(r.Partitions)-1].Partition.String() != "device:0-157" {
		t.Errorf("got %+v", r)
	}
}

func TestMistakesWithAdaptation(t *testing.T) {
	dir := t.TempDir()
	profiles, network := writeProfiles(t, dir)
	planned := " --profiles " + profiles + " --network " + network
	for _, tt := range []struct{ says, args string }{
		{"--every is for --adapt", "exec zoo:mobilenetv2 --stages device:0-end --input random:1 --every 1s"},
		{"--stages is not for --adapt", "exec zoo:mobilenetv2 --adapt --stages device:0-end --input random:1"},
		{"--profiles DIR is needed", "exec zoo:mobilenetv2 --adapt --input random:1"},
		{"no address of edge", "exec zoo:mobilenetv2 --adapt --input random:1" + planned},
		{"not on this machine", "exec zoo:mobilenetv2 --adapt --input random:1 --emulate-trace synthetic:step --host edge=10.0.0.8:1" + planned},
		{`trace "3d"`, "exec zoo:mobilenetv2 --adapt --input random:1 --emulate-trace synthetic:3d --host edge=127.0.0.1:1" + planned},
		{"--duration -1s", "exec zoo:mobilenetv2 --adapt --input random:1 --duration -1s --host edge=127.0.0.1:1" + planned},
		{"--trace FILE is needed", "simulate zoo:mobilenetv2" + planned},
		{"synthetic:KIND", "simulate zoo:mobilenetv2 --trace " + filepath.Join(dir, "none") + planned},
		{"unknown field", "simulate zoo:mobilenetv2 --trace " + network + planned},
		{"noise 0.7", "simulate zoo:mobilenetv2 --trace synthetic:step --noise 0.7" + planned},
	} {
		if _, stderr := want(t, exitUsage, strings.Fields(tt.args)...); !strings.Contains(stderr, tt.says) {
			t.Errorf("scission %s says %q, want %q", tt.args, stderr, tt.says)
		}
	}
}

func TestSimulationOfAWrittenTraceIsTheSame(t *testing.T) {
	dir := t.TempDir()
	profiles, network := writeProfiles(t, dir)
	trace := filepath.Join(dir, "trace.json")
	args := []string{"simulate", "zoo:mobilenetv2", "--profiles", profiles, "--network", network, "--duration", "30s", "--every", "100ms", "--json"}
	first, _ := want(t, exitOK, append(args, "--trace", "synthetic:step", "-o", trace)...)
	again, _ := want(t, exitOK, append(args, "--trace", trace)...)
	if first != again {
		t.Errorf("got\n%s\nthen\n%s", first, again)
	}
	var r simulateReport
	if err := json.Unmarshal([]byte(first), &r); err != nil {
		t.Fatal(err)
	}
	var policies []string
	for _, o := range r.Outcomes {
		policies = append(policies, o.Policy)
		if o.Requests < 200 || o.Mean <= 0 || o.P95 < 0 || o.Regret < 0 {
			t.Errorf("got %+v", o)
		}
	}
	if !slices.Equal(policies, []string{"oracle", "adaptive", "no hysteresis", "fixed"}) || len(r.Decisions) < 2 {
		t.Errorf("got %q with %d decisions, want a switch at each step", policies, len(r.Decisions))
	}
	text, _ := want(t, exitOK, append(args[:len(args)-1:len(args)-1], "--trace", trace)...)
	for _, part := range []string{"emulated: trace: made up", "regret", "the best fixed one is", "switch to"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}
