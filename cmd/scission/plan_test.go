package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scission/split"
	"scission/split/cut"
	"scission/split/run"
)

// planProfiles writes profiles of the smallest network of the zoo.
func planProfiles(t *testing.T, date time.Time) (dir string) {
	t.Helper()
	return profilesOf(t, "zoo:mobilenetv2", date)
}

// profilesOf writes profiles of a model: every layer takes a millisecond on the
// device and a hundredth of it on the edge.
func profilesOf(t *testing.T, name string, date time.Time) (dir string) {
	t.Helper()
	dir = t.TempDir()
	m, err := openModel(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.portable(); err != nil {
		t.Fatal(err)
	}
	for host, layer := range map[string]time.Duration{deviceName: time.Millisecond, "edge": 10 * time.Microsecond} {
		p := &split.Profile{Model: split.Model{Name: m.Name, Digest: m.Digest}, Host: host, Date: date}
		for _, n := range m.Graph.Nodes {
			p.Layers = append(p.Layers, split.LayerProfile{Name: n.Name, Op: n.Op.String(), Samples: split.Samples{layer}, Weights: 1000, Live: 500})
		}
		if host == "edge" {
			p.Machine.Memory = 20_500
		}
		if err := writeFile(filepath.Join(dir, host+".json"), p.Write); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPlanKeepsLimitsAndObjectives(t *testing.T) {
	dir := planProfiles(t, time.Now())
	plan := func(args ...string) (p planFile) {
		t.Helper()
		out, _ := want(t, exitOK, append([]string{"plan", "zoo:mobilenetv2", "--profiles", dir, "--json"}, args...)...)
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	best := func(args ...string) split.Estimate { t.Helper(); return plan(args...).Estimates[0] }

	if p := plan("--network", "preset:lan"); p.Estimates[0].Partition[0].Host != "edge" || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "ships the input") {
		t.Errorf("over a lan the best is %v with warnings %q, want all on the edge and a warning", p.Estimates[0], p.Warnings)
	}
	if e := best("--network", "preset:lan", "--private", "2"); e.Partition[0].Host != deviceName || e.ShipsInput {
		t.Errorf("with two private layers the best is %v", e)
	}
	if e := best("--network", "preset:lan", "--max-upload", deviceName+"=20kB"); e.Native() && e.Partition[0].Host == "edge" || e.Egress() > 20_000 {
		t.Errorf("with an upload of 20 kB the best is %v", e)
	}
	if e := best("--network", "preset:lan", "--layers", deviceName+"=0-4", "--layers", deviceName+"!=5"); e.Partition.String()[:len("device:0-4,")] != "device:0-4," {
		t.Errorf("with layers 0 to 4 on the device the best is %v", e)
	}
	if e := best("--network", "preset:lan", "--max-compute", "edge=1ms", "--max-compute", "device=100%"); len(e.Stages) != 2 || e.Stages[1].Compute > time.Millisecond {
		t.Errorf("with a millisecond on the edge the best is %v", e)
	}
	for _, memory := range []string{"edge=20.5kB", "edge=auto"} { // twenty layers' weights, and what is alive
		if e := best("--network", "preset:lan", "--max-memory", memory); len(e.Stages) != 2 || e.Stages[1].Segment.Len() > 20 {
			t.Errorf("with memory %s the best is %v", memory, e)
		}
	}
	if e := best("--network", "preset:lan", "--objective", "egress"); !e.Native() || e.Partition[0].Host != deviceName {
		t.Errorf("what leaves the device least is %v", e)
	}
	if e := best("--network", "preset:lan", "--objective", "energy", "--power", deviceName+"=5:1e-9"); e.Partition[0].Host != "edge" {
		t.Errorf("what takes the device least energy is %v", e)
	}
	p := plan("--network", "preset:lan", "--pareto", "latency,egress")
	for i, e := range p.Estimates[1:] {
		if before := p.Estimates[i]; e.Total <= before.Total || e.Egress() >= before.Egress() {
			t.Errorf("on the front %v comes behind %v", e, before)
		}
	}
	if last := p.Estimates[len(p.Estimates)-1]; len(p.Estimates) < 2 || last.Egress() != 0 {
		t.Errorf("the front is %v", p.Estimates)
	}
	slow := filepath.Join(t.TempDir(), "slow.json")
	n := &split.Network{}
	if err := n.SetBoth(deviceName, "edge", split.Link{Latency: time.Millisecond, Bandwidth: 5e4}); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(slow, n.Write); err != nil {
		t.Fatal(err)
	}
	out, _ := want(t, exitOK, "plan", "zoo:mobilenetv2", "--profiles", dir, "--network", slow)
	if !strings.Contains(out, "do not split: running everything on device is fastest") || !strings.Contains(out, "times its bytes, or if device took") {
		t.Errorf("over a slow link it says\n%s", out)
	}
	p = plan("--network", "preset:lan", "--max-memory", "edge=20.5kB")
	if b := p.Bound; b == nil || b.Host != "edge" || b.Total >= p.Estimates[0].Total || b.Position != 0 {
		t.Errorf("without the limit all runs on the edge, and the bound is %+v", b)
	}
	out, _ = want(t, exitOK, "plan", "zoo:mobilenetv2", "--profiles", dir, "--network", "preset:lan")
	if !strings.Contains(out, "bound: no way to divide the layers takes less than") {
		t.Errorf("it says\n%s", out)
	}
	want(t, exitNoPartition, "plan", "zoo:mobilenetv2", "--profiles", dir, "--network", slow, "--max-total", "1ns")
}

// TestNASNetIsCutInsideItsBody: between its stem and its head no cut has fewer
// than two tensors. A plan within the body is found where two or three may cross,
// and run over a real connection they all do, and change no bit.
func TestNASNetIsCutInsideItsBody(t *testing.T) {
	const model, raw = "zoo:nasnetmobile", "raw"
	dir, file := profilesOf(t, model, time.Now()), filepath.Join(t.TempDir(), "plan.json")
	plan := func(width string) []string {
		return []string{"plan", model, "--profiles", dir, "--network", "preset:lan", "--max-width", width, "-o", file, "--json",
			"--layers", deviceName + "=0-300", "--layers", "edge=700-end"}
	}
	want(t, exitNoPartition, plan("1")...)
	m, err := openModel(model)
	if err != nil {
		t.Fatal(err)
	}
	edge := startWorker(t, "edge")
	for _, most := range []int{2, 3} {
		out, _ := want(t, exitOK, plan(fmt.Sprint(most))...)
		var p planFile
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			t.Fatal(err)
		}
		at := p.Estimates[0].Hops[0].Position
		c := cut.Find(m.Graph, 0)[at]
		if c.Width() < 2 || c.Width() > most || at < 301 || at > 700 {
			t.Errorf("with at most %d tensors the cut is at %d with %d", most, at, c.Width())
		}
		out, _ = want(t, exitOK, "exec", model, "--plan", file, "--host", "edge="+edge, "--input", "random:1", "--check", "--json", "--codec", raw)
		var r execReport
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		if r.Identical == nil || !*r.Identical {
			t.Errorf("cut at %d it is not identical: %v", at, r.Identical)
		}
		for _, s := range r.Spans {
			if s.What == run.Travel && !s.Hop.Back && s.Bytes < c.Bytes {
				t.Errorf("%d tensors of %d bytes cross at %d, and %d bytes were sent", c.Width(), c.Bytes, at, s.Bytes)
			}
		}
	}
}

func TestPlanWarnsOfWhatIsStale(t *testing.T) {
	dir := planProfiles(t, time.Now().Add(-90*24*time.Hour))
	out, _ := want(t, exitOK, "plan", "zoo:mobilenetv2", "--profiles", dir, "--network", "preset:3g")
	if strings.Count(out, "warning: the profile of") != 2 {
		t.Errorf("it says\n%s", out)
	}
	out, _ = want(t, exitOK, "plan", "zoo:mobilenetv2", "--profiles", dir, "--network", "preset:3g", "--stale-after", "2400h")
	if strings.Contains(out, "older") {
		t.Errorf("it says\n%s", out)
	}
}

func TestPlanMistakesAreNamed(t *testing.T) {
	dir := planProfiles(t, time.Time{})
	for args, says := range map[string]string{
		"--network preset:5g":                  "wired",
		"--objective speed":                    "throughput",
		"--objective energy":                   "--power",
		"--pareto latency":                     "2 or 3",
		"--pareto latency,speed":               "--pareto",
		"--max-compute edge":                   "HOST=TIME",
		"--max-compute edge=0%":                "above 0",
		"--max-compute fog=5ms":                "fog",
		"--max-upload device=lots":             "HOST:TO=BYTES",
		"--max-upload device=9e99GB":           "HOST:TO=BYTES",
		"--layers edge":                        "HOST!=LAYERS",
		"--max-memory edge":                    "HOST=SIZE",
		"--max-memory edge=0":                  "HOST=SIZE",
		"--max-memory fog=1MB":                 "fog",
		"--max-memory device=auto":             "no profile of device that says",
		"--hosts device,fog":                   "host fog has no profile",
		"--source fog --hosts device":          "--source fog",
		"--use fog":                            "fog",
		"--layers edge=nothing_*":              "nothing_*",
		"--power device=much":                  "HOST=WATTS",
		"--power device=-1 --objective energy": "0 to",
		"--private -1":                         "nonlinear",
	} {
		_, stderr := want(t, exitUsage, append([]string{"plan", "zoo:mobilenetv2", "--profiles", dir}, strings.Fields(args)...)...)
		if !strings.Contains(stderr, says) {
			t.Errorf("plan %s: says %q, want %q", args, stderr, says)
		}
	}
}

func TestPlanFilesThatAreMalformedSayWhere(t *testing.T) {
	const good = "{\"version\": \"scission-plan/1\",\n\"estimates\": [\n{\"partition\": \"a:0-1,b:2-3\"}]}"
	if _, err := parsePlan([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for change, says := range map[[2]string]string{
		{"}]}", "}]"}:                       "line 3",
		{"\"a:0-1,b:2-3\"", "5,\n\"x\": 1"}: "line 3",
		{"b:2-3", "b:3-3"}:                  "starts at layer 3, want 2",
		{"scission-plan/1", "2"}:            "version",
		{"partition", "portion"}:            "estimates[0]",
		{"estimates", "guesses"}:            "no estimates",
	} {
		if p, err := parsePlan([]byte(strings.Replace(good, change[0], change[1], 1))); err == nil || !strings.Contains(err.Error(), says) || p.Estimates != nil {
			t.Errorf("%q: got %v, %v, want an error with %q", change, p, err, says)
		}
	}
}

func TestSizesAreInPowersOfThousand(t *testing.T) {
	for text, bytes := range map[string]int64{"0": 0, "1500": 1500, "1.5kB": 1500, "20MB": 20e6, "1GB": 1e9, "7B": 7} {
		if got, err := parseBytes(text); err != nil || got != bytes {
			t.Errorf("parseBytes(%q) = %d, %v, want %d", text, got, err, bytes)
		}
	}
	for _, text := range []string{"", "B", "-1", "1TB", "NaN", "1 000", fmt.Sprint(2e12), "1kb"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("parseBytes(%q) = %d, want an error", text, got)
		}
	}
}
