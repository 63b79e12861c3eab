package main

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func execJSON(t *testing.T, args ...string) (r execReport, stderr string) {
	t.Helper()
	out, stderr := want(t, exitOK, append([]string{"exec", "zoo:mobilenetv2", "--input", "random:3", "--check", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Identical == nil || !*r.Identical {
		t.Error("the outputs are not those of the unsplit run")
	}
	return r, stderr
}

func TestExecGoesOnHereWithoutAWorkerAndSaysSo(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	stages := "device:0-80,edge@" + gone.Addr().String() + ":81-end"
	r, stderr := execJSON(t, "--stages", stages)
	if r.Elsewhere != 1 || len(r.Failures) == 0 || !strings.Contains(stderr, "edge failed") {
		t.Errorf("%d runs elsewhere, failures %q, stderr %q", r.Elsewhere, r.Failures, stderr)
	}
	_, stderr = want(t, exitFailure, "exec", "zoo:mobilenetv2", "--input", "random:3", "--stages", stages, "--no-fallback")
	if !strings.Contains(stderr, "host edge") || !strings.Contains(stderr, "refused") {
		t.Errorf("stderr %q does not say who failed and how", stderr)
	}
}

// startMortal starts a slow worker in a process of its own, which is killed a
// moment later.
func startMortal(t *testing.T) (addr string) {
	t.Helper()
	c := exec.Command(os.Args[0], "serve", "--listen", "127.0.0.1:0", "--name", "edge", "--store", t.TempDir(), "--emulate-slowdown", "10")
	c.Env = append(os.Environ(), asProgram+"=1")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	_, addr, ok := strings.Cut(strings.TrimSpace(line), " listening on ")
	if err != nil || !ok {
		t.Fatalf("worker said %q, error %v", line, err)
	}
	kill := time.AfterFunc(1500*time.Millisecond, func() { c.Process.Kill() })
	t.Cleanup(func() { kill.Stop() })
	return addr
}

func TestExecGoesOnWhenAWorkerIsKilledInTheMiddle(t *testing.T) {
	const runs = "200" // of which the worker does not do half until it is killed
	for _, how := range [][]string{nil, {"--pipeline", "--depth", "4"}} {
		stages := func() string { return "device:0-80,edge@" + startMortal(t) + ":81-end" }
		r, stderr := execJSON(t, append(how, "--stages", stages(), "--runs", runs, "--deadline", "1m")...)
		if r.Elsewhere == 0 || len(r.Failures) == 0 || !strings.Contains(stderr, "edge failed") {
			t.Errorf("%v: %d runs elsewhere, failures %q, stderr %q", how, r.Elsewhere, r.Failures, stderr)
		}
		if p := r.Throughput; how != nil && (p == nil || p.Depth != 4 || p.PerSecond <= 0 || len(p.Parts) == 0) {
			t.Errorf("%v: throughput %+v", how, p)
		}
		_, stderr = want(t, exitFailure, append([]string{"exec", "zoo:mobilenetv2", "--input", "random:3", "--stages", stages(), "--runs", runs, "--no-fallback"}, how...)...)
		if !strings.Contains(stderr, "host edge") && !strings.Contains(stderr, "edge: ") {
			t.Errorf("%v: stderr %q does not name the host that failed", how, stderr)
		}
	}
}

func TestRunsEndAtTheirDeadline(t *testing.T) {
	for _, how := range [][]string{nil, {"--pipeline"}} {
		_, stderr := want(t, exitFailure, append([]string{"exec", "zoo:mobilenetv2", "--input", "random:3", "--stages", "device:0-end", "--deadline", "1ns"}, how...)...)
		if !strings.Contains(stderr, "deadline") {
			t.Errorf("%v: stderr %q does not speak of the deadline", how, stderr)
		}
	}
}
