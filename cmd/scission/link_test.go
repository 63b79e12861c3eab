package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestLinkTakesEachNameOnce(t *testing.T) {
	for args, says := range map[string]string{
		"=127.0.0.1:1":                      "want NAME=ADDR",
		"edge=":                             "want NAME=ADDR",
		"edge=127.0.0.1:1 edge=127.0.0.1:2": "given twice",
		"127.0.0.1:1 edge=127.0.0.1:1":      "given twice",
		"device=127.0.0.1:1":                "name of this machine",
		"--name edge edge=127.0.0.1:1":      "name of this machine",
		"a=127.0.0.1:1 b=127.0.0.1:2 =":     "want NAME=ADDR",
	} {
		if _, stderr := want(t, exitUsage, append([]string{"link"}, strings.Fields(args)...)...); !strings.Contains(stderr, says) {
			t.Errorf("link %s: says %q, want %q", args, stderr, says)
		}
	}
	// Two workers that call themselves the same need other names.
	one, other := startWorker(t, "edge"), startWorker(t, "edge")
	file := filepath.Join(t.TempDir(), "network.json")
	if _, stderr := want(t, exitUsage, "link", one, other, "-o", file, "--at-least", "1ms"); !strings.Contains(stderr, "calls itself edge") {
		t.Errorf("says %q", stderr)
	}
	want(t, exitOK, "link", one, "second="+other, "-o", file, "--at-least", "1ms")
}
