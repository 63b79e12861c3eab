package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"scission/bench/zoo"
	"scission/split"
	"scission/split/compat"
)

// reference is where the original's data lie in a developer's tree, beside the
// project.
const reference = "../../../shared/scission"

// planned runs "plan" with the own benchmarks.
func planned(t *testing.T, args ...string) (p planFile) {
	t.Helper()
	args = append([]string{"plan", "--benchmarks", compatData, "--network", compatData + "/network.csv", "--json"}, args...)
	out, _ := want(t, exitOK, args...)
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// The figures are those of make.py and network.csv: half of a ping each way,
// and outputs without the 128 bytes of an .npy file's header.
func TestBenchmarksArePlannedAsByHand(t *testing.T) {
	const mbit = 1e6 / 8
	p := planned(t, "toy", "--layers", "phone=0-1", "--layers", "42=2", "--layers", "tower(GPU)=3-7")
	e := p.Estimates[0]
	if len(p.Estimates) != 1 || e.Partition.String() != "phone:0-1,42:2-2,tower(GPU):3-7" {
		t.Fatalf("got %v", p.Estimates)
	}
	compute := 0.31 + 0.023 + (0.0007 + 0)
	there := 0.0293/2 + 401408/(8.5*mbit) + 0.0077/2 + 1605632/(43*mbit)
	back := 0.0077/2 + 4000/(43*mbit) + 0.0293/2 + 4000/(8.5*mbit)
	if want := compute + there + back; math.Abs(e.Total.Seconds()-want) > 1e-8 {
		t.Errorf("total is %v, want %v s", e.Total, want)
	}
	if p.Source != "phone" || p.Model.Name != "toy" {
		t.Errorf("the plan is for %s of %s", p.Model.Name, p.Source)
	}
	// All in the cloud is best; the input has the 0.15 MB of the original, or what is said.
	for size, bytes := range map[string]float64{"150kB": 150_000, "1MB": 1e6} {
		e := planned(t, "toy", "--use", "tower(GPU)", "--avoid", "phone,42,hut,hall", "--input-size", size).Estimates[0]
		if want := 0.0023 + 0.0011 + 0.0007 + 0.0571 + (bytes+4000)/(7.1*mbit); math.Abs(e.Total.Seconds()-want) > 1e-8 {
			t.Errorf("with an input of %s all in the cloud takes %v, want %v s", size, e.Total, want)
		}
	}
}

func TestEveryQuestionCanBeAskedAboutBenchmarks(t *testing.T) {
	all := planned(t, "toy", "--top", "1000").Estimates
	if len(all) < 100 {
		t.Fatalf("%d partitions", len(all))
	}
	// least is the smallest value of the partitions that fulfil a condition.
	least := func(value func(split.Estimate) time.Duration, holds func(split.Estimate) bool) time.Duration {
		best := time.Duration(math.MaxInt64)
		for _, e := range all {
			if holds(e) {
				best = min(best, value(e))
			}
		}
		return best
	}
	total := func(e split.Estimate) time.Duration { return e.Total }
	interval := func(e split.Estimate) time.Duration { return e.Interval() }
	computes := func(e split.Estimate, host string) (d time.Duration, layers int) {
		for _, s := range e.Stages {
			if s.Host == host {
				d, layers = d+s.Compute, layers+s.Segment.Len()
			}
		}
		return d, layers
	}
	every := func(split.Estimate) bool { return true }
	for _, c := range []struct {
		args  string
		value func(split.Estimate) time.Duration
		holds func(split.Estimate) bool
	}{
		{"", total, every},
		{"--split-only", total, func(e split.Estimate) bool { return !e.Native() }},
		{"--objective throughput", interval, every},
		{"--avoid tower(GPU)", total, func(e split.Estimate) bool { _, n := computes(e, "tower(GPU)"); return n == 0 }},
		{"--use 42", total, func(e split.Estimate) bool { _, n := computes(e, "42"); return n > 0 }}, // a name, not a layer
		{"--max-compute hall=10ms --use hall", total, func(e split.Estimate) bool {
			d, n := computes(e, "hall")
			return n > 0 && d <= 10*time.Millisecond
		}},
		{"--max-upload phone=100kB", total, func(e split.Estimate) bool { return e.Egress() <= 100_000 }},
		{"--layers phone=all", total, func(e split.Estimate) bool { return e.Native() && e.Partition[0].Host == "phone" }},
		{"--layers phone=1 --layers phone!=3", total, func(e split.Estimate) bool {
			return e.Partition[0].Host == "phone" && e.Partition[0].Segment.To < 4
		}},
	} {
		got := planned(t, append([]string{"toy"}, strings.Fields(c.args)...)...).Estimates[0]
		if want := least(c.value, c.holds); c.value(got) != want || !c.holds(got) {
			t.Errorf("%s: %v, want %v", c.args, got, want)
		}
	}
	front := planned(t, "toy", "--pareto", "latency,egress").Estimates
	if len(front) < 2 || front[0].Total != all[0].Total || front[len(front)-1].Egress() != 0 {
		t.Errorf("the front is %v", front)
	}
	if e := planned(t, "toy", "--objective", "energy", "--power", "phone=5").Estimates[0]; e.Partition[0].Host == "phone" {
		t.Errorf("what takes the phone least energy is %v", e)
	}
	if e := planned(t, "deep", "--hosts", "phone,42,hall").Estimates[0]; e.Total != planned(t, "deep", "--avoid", "hut,tower(GPU)").Estimates[0].Total {
		t.Errorf("with the best order of hosts given the best is %v", e)
	}
	want(t, exitNoPartition, "plan", "toy", "--benchmarks", compatData, "--network", compatData+"/network.csv", "--max-total", "1ms")
}

// A network of the zoo, as it would be in benchmarks: one block for each cut.
func TestLayersOfKnownNetworksHaveNames(t *testing.T) {
	blocks := func(change int) map[string][]compat.Block {
		g, err := zoo.Outline("vgg16")
		if err != nil {
			t.Fatal(err)
		}
		var list []compat.Block
		for i, l := range zoo.Layers(g) {
			list = append(list, compat.Block{First: i + 1, Last: i + 1, Seconds: 0.01, Bytes: int64(128 + l.Out().Bytes())})
		}
		list[0].First = 0
		list[5].Bytes += int64(change)
		return map[string][]compat.Block{"vgg16": list}
	}
	for _, known := range []bool{true, false} {
		change := 0
		if !known {
			change = 4
		}
		systems := compat.Systems{{{Name: "d", Models: blocks(change)}}}
		pb, err := systems.Problem("vgg16", 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := nameLayers(&pb); got != known {
			t.Errorf("named: %v, want %v", got, known)
		}
		pool := pb.Profiles["d"].Layers[3] // as model.summary() of Keras counts
		if (pool.Name == "block1_pool" && pool.Nonlinear()) != known {
			t.Errorf("layer 3 is %q, %s", pool.Name, pool.Op)
		}
	}
}

func TestMistakesAboutBenchmarksAreNamed(t *testing.T) {
	bad := t.TempDir()
	if err := os.WriteFile(filepath.Join(bad, "edge-x.dat"), []byte("\x80\x03}."), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bad, "device-y.dat"), []byte("\x80\x03cos\nsystem\n."), 0o644); err != nil {
		t.Fatal(err)
	}
	two := t.TempDir()
	data, err := os.ReadFile(compatData + "/device-phone.dat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"device-a.dat", "device-b.dat"} {
		if err := os.WriteFile(filepath.Join(two, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		code int
		args string
		says []string
	}{
		{exitUsage, "toy --benchmarks " + bad, []string{"device-y.dat", "offset 2", `"system"`}},
		{exitUsage, "nosuch --benchmarks " + compatData, []string{`"nosuch"`, `"deep" "single" "toy"`}},
		{exitUsage, "toy --benchmarks " + t.TempDir(), []string{"no benchmarks"}},
		{exitUsage, "toy --benchmarks " + two, []string{"--source", `"a" "b"`}},
		{exitUsage, "toy --benchmarks " + compatData + " --input-size 1TB", []string{"--input-size", "1TB"}},
		{exitUsage, "toy --benchmarks " + compatData + " --profiles " + compatData, []string{"--benchmarks and --profiles"}},
		{exitUsage, "toy --benchmarks " + compatData + " --network " + compatData + "/make.py", []string{"make.py", "line 1"}},
		{exitUsage, "toy --benchmarks " + compatData + " --layers phone=conv*", []string{`"conv*"`}},
		{exitFailure, "toy --benchmarks " + bad + "/none", []string{"none"}},
	} {
		_, stderr := want(t, c.code, append([]string{"plan"}, strings.Fields(c.args)...)...)
		for _, says := range c.says {
			if !strings.Contains(stderr, says) {
				t.Errorf("plan %s: says %q, want %q", c.args, stderr, says)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(two, "edge-e.dat"), []byte("\x80\x03}."), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ := want(t, exitOK, "plan", "toy", "--benchmarks", two, "--source", "a")
	if !strings.Contains(out, "warning: edge e is left out: it has no benchmark of toy\n") {
		t.Errorf("with a system without the network it says\n%s", out)
	}
	if p := planned(t, "toy", "--source", "hut"); p.Source != "hut" || p.Estimates[0].Hops[0].From != "hut" {
		t.Errorf("from hut: %v", p.Estimates[0])
	}
}

// Where the original's data are present. That no split wins without a
// constraint, and who does, is known from them.
func TestTheOriginalsNetworksArePlanned(t *testing.T) {
	folder := filepath.Join(reference, "benchmark_data")
	systems, err := compat.ReadFolder(os.DirFS(folder))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the original's data are not beside the project")
	}
	if err != nil {
		t.Fatal(err)
	}
	onDevice := []string{"mobilenet", "mobilenetv2", "resnet50v2"} // over the slow network
	for _, network := range []string{"network_stats.csv", "network_stats_wired.csv"} {
		for _, info := range zoo.List() {
			pb, err := systems.Problem(info.Name, 150_000)
			if err != nil {
				t.Fatal(err)
			}
			if !nameLayers(&pb) {
				t.Errorf("%s: the blocks are not those of the zoo's network", info.Name)
			}
			pl := planning{network: filepath.Join(folder, network)}
			if err := pl.connect(&pb); err != nil {
				t.Fatal(err)
			}
			best, err := pb.Rank(split.Query{})
			if err != nil {
				t.Fatal(err)
			}
			winner := "6700k(GPU)"
			if network == "network_stats.csv" && slices.Contains(onDevice, info.Name) {
				winner = "raspi4"
			}
			if p := best[0].Partition; !p.Native() || p[0].Host != winner {
				t.Errorf("%s, %s: the best is %v, want all on %s", info.Name, network, best[0], winner)
			}
			private, err := pb.Rank(split.Query{Nonlinear: 1, Use: []string{"raspi4"}})
			if err != nil || private[0].ShipsInput {
				t.Errorf("%s, %s: in private %v, error %v", info.Name, network, private, err)
			}
		}
	}
}

// jsonAnswer has the names of the fields from the recorded answers of the
// original, beside the project.
type jsonAnswer struct {
	Model                    string
	Systems                  map[string]int
	Configurations, Matching int
	Results                  []map[string]any
	Graph, Fails             string
}

func askedJSON(t *testing.T, code int, args ...string) (a jsonAnswer) {
	t.Helper()
	out, _ := want(t, code, args...)
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatalf("%s: %v in %q", args, err, out)
	}
	return a
}

func TestCompatAnswersInJSON(t *testing.T) {
	for _, line := range []string{
		"network.csv deep -d !-1 -e 13 -c 37 --result-count 6",
		"network.csv toy -d -1 -e -1 -c -1",
		"network.csv toy -e hut -c -1 -d !-1",
	} {
		args, text := compatSession(t, line)
		for _, command := range [][]string{
			slices.Concat([]string{"compat"}, args, []string{"--json"}),
			slices.Concat([]string{"compat", "--json"}, args),
			slices.Concat([]string{"--json", "compat"}, args),
			slices.Concat([]string{"plan", "--compat", "--json"}, args),
		} {
			a := askedJSON(t, exitOK, command...)
			if want := map[string]int{"device": 1, "edge": 2, "cloud": 2}; !maps.Equal(a.Systems, want) {
				t.Errorf("%s: systems are %v, want %v", command, a.Systems, want)
			}
			// What the original prints can be put together again.
			var again strings.Builder
			fmt.Fprintf(&again, "[+] 5 systems loaded : %d device, %d edge, %d cloud\n", a.Systems["device"], a.Systems["edge"], a.Systems["cloud"])
			if len(a.Results) == 0 {
				again.WriteString("No results for the specified configuration\n")
			} else {
				fmt.Fprintf(&again, "[+] %s results\n", a.Model)
			}
			for _, r := range a.Results {
				fmt.Fprintln(&again, r["line"])
			}
			if a.Graph != "" {
				fmt.Fprintf(&again, "[+] Graph created: %s\n", a.Graph)
			}
			if again.String() != strings.TrimSuffix(text, "\n")+"\n" || a.Results == nil {
				t.Errorf("%s: got\n%s\nwant\n%s", command, &again, text)
			}
			if (a.Fails != "") != (len(a.Results) > 0 && a.Graph == "") {
				t.Errorf("%s: graph %q, fails %q", command, a.Graph, a.Fails)
			}
		}
	}
	if a := askedJSON(t, exitUsage, "compat", compatData, "network.csv", "nosuch", "--json"); !strings.Contains(a.Fails, "nosuch") || a.Results == nil {
		t.Errorf("got %+v", a)
	}
	if out, _ := want(t, exitUsage, "compat", "--json", compatData); out != "" {
		t.Errorf("without all arguments it prints %q", out)
	}
}

// Where the original's answers are present: every number of every result, to
// the last bit.
func TestJSONHasTheOriginalsNumbers(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(reference, "golden_queries.json"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the original's answers are not beside the project")
	}
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Queries []struct {
			ID       string
			Args     []string
			Unique   int `json:"n_unique_scenarios"`
			Matching int `json:"n_matching"`
			Results  []map[string]any
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	for _, q := range golden.Queries {
		q.Args[0] = filepath.Join(reference, q.Args[0])
		a := askedJSON(t, exitOK, slices.Concat([]string{"compat", "--json"}, q.Args)...)
		if a.Configurations != q.Unique || a.Matching != q.Matching || len(a.Results) != len(q.Results) {
			t.Errorf("%s: %d, %d, %d, want %d, %d, %d", q.ID, a.Configurations, a.Matching, len(a.Results), q.Unique, q.Matching, len(q.Results))
			continue
		}
		for i, want := range q.Results {
			for _, field := range []string{"rank", "line", "latency_s", "processing_s", "transfer_s", "device_upload_bytes", "edge_upload_bytes"} {
				if a.Results[i][field] != want[field] {
					t.Errorf("%s, rank %d: %s is %v, want %v", q.ID, i+1, field, a.Results[i][field], want[field])
				}
			}
			for _, tier := range []string{"device", "edge", "cloud"} {
				got, want := a.Results[i][tier].(map[string]any), want[tier].(map[string]any)
				for _, field := range []string{"name", "used", "first_layer", "last_layer"} {
					if got[field] != want[field] {
						t.Errorf("%s, rank %d: %s's %s is %v, want %v", q.ID, i+1, tier, field, got[field], want[field])
					}
				}
			}
		}
	}
}

// The examples are those of split/compat/COMPAT.md: lines behind "$ " in blocks
// of code, and below each what it prints, where "..." stands for any lines.
func TestExamplesOfCompatAreTrue(t *testing.T) {
	t.Chdir("../..")
	data, err := os.ReadFile("split/compat/COMPAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat("../shared/scission/benchmark_data")
	present := err == nil
	var command string
	var shows []string
	ran, skipped := 0, 0
	run := func() {
		switch {
		case command == "":
			return
		case strings.Contains(command, "../shared") && !present:
			skipped++
			return
		}
		ran++
		out, _ := want(t, exitOK, strings.Fields(strings.ReplaceAll(command, "'", ""))...)
		if !follow(strings.Split(strings.TrimSuffix(out, "\n"), "\n"), shows) {
			t.Errorf("scission %s prints\n%s\nwant\n%s", command, out, strings.Join(shows, "\n"))
		}
	}
	code, indent := false, ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if before, ok := strings.CutSuffix(line, "```"); ok {
			run()
			code, indent, command, shows = !code, before, "", nil
			continue
		}
		line = strings.TrimPrefix(line, indent)
		if next, ok := strings.CutPrefix(line, "$ scission "); code && ok {
			run()
			command, shows = next, nil
		} else if code {
			shows = append(shows, line)
		}
	}
	if ran+skipped < 12 {
		t.Errorf("%d examples", ran+skipped)
	}
	if skipped > 0 {
		t.Logf("%d examples are left out: the original's data are not beside the project", skipped)
	}
}

// follow says whether lines are as shown, where "..." stands for any.
func follow(lines, shown []string) bool {
	if len(shown) == 0 {
		return len(lines) == 0
	}
	if shown[0] != "..." {
		return len(lines) > 0 && lines[0] == shown[0] && follow(lines[1:], shown[1:])
	}
	for i := range len(lines) + 1 {
		if follow(lines[i:], shown[1:]) {
			return true
		}
	}
	return false
}
