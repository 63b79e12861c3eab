package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReportDrawsWhatWasMeasured(t *testing.T) {
	dir := t.TempDir()
	edge := startWorker(t, "edge")
	profiles, network, out := filepath.Join(dir, "profiles"), filepath.Join(dir, "network.json"), filepath.Join(dir, "report")
	want(t, exitOK, "profile", "zoo:mobilenetv2", "--host", "edge="+edge, "-o", profiles, "--runs", "1", "--warmup", "0")
	want(t, exitOK, "link", "edge="+edge, "-o", network, "--at-least", "1ms")
	stdout, _ := want(t, exitOK, "report", "zoo:mobilenetv2", "--profiles", profiles, "--network", network, "-o", out, "--json")
	var r struct{ Files []string }
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range r.Files {
		st, err := os.Stat(f)
		if err != nil || st.Size() < 1000 {
			t.Errorf("%s: %v bytes, error %v", f, st, err)
		}
		names = append(names, filepath.Base(f))
	}
	const files = "partitions.png partitions.svg layers-device.png layers-device.svg layers-edge.png layers-edge.svg bandwidth.png bandwidth.svg pareto-egress.png pareto-egress.svg index.html"
	if got := strings.Join(names, " "); got != files {
		t.Errorf("got files %s, want %s", got, files)
	}
	want(t, exitUsage, "report", "zoo:mobilenetv2", "--profiles", profiles)
}
