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
	if r.Elsewhere != 1 || len(r.Failures) != 1 || !strings.Contains(stderr, "edge failed") {
		t.Errorf("%d runs elsewhere, failures %q, stderr %q", r.Elsewhere, r.Failures, stderr)
	}
	_, stderr = want(t, exitFailure, "exec", "zoo:mobilenetv2", "--input", "random:3", "--stages", stages, "--no-fallback")
	if !strings.Contains(stderr, "host edge") || !strings.Contains(stderr, "refused") {
		t.Errorf("stderr %q does not say who failed and how", stderr)
	}
}

func TestExecGoesOnWhenAWorkerIsKilledInTheMiddle(t *testing.T) {
	c := exec.Command(os.Args[0], "serve", "--listen", "127.0.0.1:0", "--name", "edge", "--store", t.TempDir())
	c.Env = append(os.Environ(), asProgram+"=1")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_, addr, ok := strings.Cut(strings.TrimSpace(line), " listening on ")
	if err != nil || !ok {
		t.Fatalf("worker said %q, error %v", line, err)
	}
	kill := time.AfterFunc(1500*time.Millisecond, func() { c.Process.Kill() })
	defer func() {
		kill.Stop()
		c.Process.Kill()
		c.Wait()
	}()
	execJSON(t, "--stages", "device:0-80,edge@"+addr+":81-end", "--runs", "60", "--deadline", "1m")
	if _, stderr := want(t, exitFailure, "exec", "zoo:mobilenetv2", "--input", "random:3", "--stages", "device:0-end", "--deadline", "1ns"); !strings.Contains(stderr, "deadline") {
		t.Errorf("stderr %q does not speak of the deadline", stderr)
	}
}
