package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// smallModels writes the first layers of a network of the zoo as files.
func smallModels(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	for name, layers := range map[string]string{"small": "0-2", "large": "0-4"} {
		file := filepath.Join(dir, name+".onnx")
		want(t, exitOK, "extract", "zoo:mobilenetv2", "--layers", layers, "-o", file)
		files = append(files, file)
	}
	return files
}

// overhead is what "scission profile --json" says of each job.
func overhead(t *testing.T, out string) map[string]profileJob {
	t.Helper()
	var r struct{ Overhead []profileJob }
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	jobs := map[string]profileJob{}
	for _, j := range r.Overhead {
		jobs[j.Network+" on "+j.Host] = j
	}
	return jobs
}

func TestProfilesOfSeveralNetworksContinueWhereTheyStopped(t *testing.T) {
	dir := t.TempDir()
	edge := startWorker(t, "edge")
	profiles := filepath.Join(dir, "profiles")
	args := append([]string{"profile", "--host", "edge=" + edge, "-o", profiles, "--runs", "2", "--warmup", "0", "--json"}, smallModels(t, dir)...)
	out, _ := want(t, exitOK, args...)
	jobs := overhead(t, out)
	if len(jobs) != 4 {
		t.Fatalf("got %v, want two networks on two hosts", jobs)
	}
	for name, j := range jobs {
		if p, err := readProfile(j.File); err != nil || j.Kept || j.Took <= 0 || p.Took != j.Took || p.Machine.Memory <= 0 || p.Machine.ClockTick <= 0 {
			t.Errorf("%s: got %+v, error %v", name, j, err)
		}
	}
	if err := os.Remove(filepath.Join(profiles, "small", "edge.json")); err != nil {
		t.Fatal(err)
	}
	out, _ = want(t, exitOK, args...)
	for name, j := range overhead(t, out) {
		if j.Kept != (name != "small on edge") {
			t.Errorf("%s: kept %v", name, j.Kept)
		}
	}
	for _, other := range [][]string{{"--runs", "3"}, {"--force"}, {"--max-width", "2", "--warmup", "1"}} {
		out, _ = want(t, exitOK, append(args, other...)...)
		for name, j := range overhead(t, out) {
			if j.Kept {
				t.Errorf("%v: %s was kept", other, name)
			}
		}
	}
	want(t, exitOK, "plan", filepath.Join(dir, "large.onnx"), "--profiles", filepath.Join(profiles, "large"), "--network", "preset:lan")
	if err := os.WriteFile(filepath.Join(profiles, "large", "device.json"), []byte(`{"version":1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr := want(t, exitUsage, args...); !strings.Contains(stderr, filepath.Join("large", "device.json")) || !strings.Contains(stderr, "version") {
		t.Errorf("a malformed profile: got %q", stderr)
	}
}

func TestBudgetIsKeptAndWhatItLeavesOutIsSaid(t *testing.T) {
	dir := t.TempDir()
	files := smallModels(t, dir)
	out, _ := want(t, exitOK, "profile", files[0], "-o", filepath.Join(dir, "one"), "--runs", "900", "--budget", "1us")
	if !strings.Contains(out, "not measured: the budget is used up") {
		t.Errorf("got %s", out)
	}
	start := time.Now()
	out, _ = want(t, exitOK, append([]string{"profile", "-o", filepath.Join(dir, "two"), "--runs", "900", "--budget", "400ms", "--json"}, files...)...)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	short := 0
	for name, j := range overhead(t, out) {
		if j.Error != "" {
			continue
		}
		p, err := readProfile(j.File)
		if err != nil || len(p.Whole) >= 900 || len(p.Whole) < 3 || len(p.Short) == 0 || len(j.Short) == 0 {
			t.Errorf("%s: %d runs, short %q, error %v", name, len(p.Whole), j.Short, err)
		}
		short++
	}
	if short == 0 {
		t.Errorf("nothing was measured: %s", out)
	}
}

func TestInterruptedProfileLeavesWholeFiles(t *testing.T) {
	dir := t.TempDir()
	small := smallModels(t, dir)[0]
	out := filepath.Join(dir, "profiles")
	first := filepath.Join(out, networkFolder(small), "device.json")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if _, err := os.Stat(first); err == nil {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	var stdout, stderr bytes.Buffer
	code := execute(ctx, []string{"profile", small, "zoo:mobilenetv2", "-o", out, "--runs", "1000", "--warmup", "0"}, &stdout, &stderr)
	cancel()
	<-done
	if code != exitFailure || !strings.Contains(stderr.String(), "interrupted: 1 of 2 profiles") {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
	files, err := filepath.Glob(filepath.Join(out, "*", "*"))
	if err != nil || len(files) != 1 || files[0] != first {
		t.Fatalf("got files %v, error %v, want %s alone", files, err, first)
	}
	if _, err := readProfile(first); err != nil {
		t.Error(err)
	}
}

func TestProfileRefusesWrongUsage(t *testing.T) {
	dir := t.TempDir()
	for args, says := range map[string]string{
		"zoo:mobilenetv2 zoo:mobilenetv2":                    "same name",
		"zoo:all zoo:mobilenetv2":                            "same name",
		"zoo:mobilenetv2 zoo:mobilenet --input input=random": "for one model",
		"zoo:mobilenetv2 --budget -1s":                       "--budget",
		"zoo:mobilenetv2 --no-local":                         "nothing to measure on",
	} {
		if _, stderr := want(t, exitUsage, append([]string{"profile", "-o", dir}, strings.Fields(args)...)...); !strings.Contains(stderr, says) {
			t.Errorf("%s: got %q, want %q", args, stderr, says)
		}
	}
}
