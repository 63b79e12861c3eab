package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const compatData = "../../testdata/compat"

// compatSession is the command line and output of a query in answers.txt.
func compatSession(t *testing.T, line string) (args []string, stdout string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(compatData, "answers.txt"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(data), "$ . "+line+"\n")
	if !found {
		t.Fatalf("no answer to %s", line)
	}
	stdout, _, _ = strings.Cut(rest, "\n$ ")
	stdout, _, _ = strings.Cut(stdout, "! ")
	return append([]string{compatData}, strings.Fields(line)...), stdout
}

// Both spellings, with options that "plan" has not or means otherwise.
func TestCompatPrintsWhatTheOriginalPrints(t *testing.T) {
	for _, c := range []struct {
		line string
		code int
		note string // on standard error
	}{
		{"network.csv deep -d !-1 -e 13 -c 37 --result-count 6", exitOK, ""},
		{"network.csv toy -e -1 -c -1", exitOK, ""},
		{"network.csv toy -d -1 -e -1 -c -1", exitOK, ""}, // no results
		{"network.csv toy -e hut -c -1 -d !-1", exitOK, "note: the original fails to draw its graph"},
		{"network.csv nosuch", exitUsage, `no benchmark of model "nosuch"`},
		{"network.csv toy --result-count 0", exitUsage, "0 results are asked for"},
		{"network.csv toy -e -1,foo", exitUsage, "option -e needs a value"},
		{"network.csv toy extra", exitUsage, "unknown arguments: extra"},
	} {
		args, answer := compatSession(t, c.line)
		for _, command := range [][]string{
			append([]string{"compat"}, args...),
			append([]string{"plan", "--compat"}, args...),
			append(append([]string{"plan"}, args...), "--compat"),
		} {
			stdout, stderr := want(t, c.code, command...)
			if stdout != answer {
				t.Errorf("%s: got\n%s\nwant\n%s", command, stdout, answer)
			}
			if !strings.Contains(stderr, c.note) || (c.note == "") != (stderr == "") {
				t.Errorf("%s: standard error is %q, want %q", command, stderr, c.note)
			}
		}
	}
}

func TestCompatRefusesWhatIsNotABenchmark(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "device-x.dat"), []byte("cos\nsystem\n."), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := want(t, exitUsage, "compat", dir, "network.csv", "toy")
	if stdout != "" || !strings.Contains(stderr, "device-x.dat") || !strings.Contains(stderr, "offset 0") {
		t.Errorf("got %q, %q", stdout, stderr)
	}
	want(t, exitFailure, "compat", dir+"/none", "network.csv", "toy")
}

func TestCompatHelpNamesEveryOption(t *testing.T) {
	for _, command := range [][]string{{"compat", "-h"}, {"compat", "--help"}, {"help", "compat"}} {
		stdout, _ := want(t, exitOK, command...)
		for _, option := range []string{"-d", "-e", "-c", "-i", "--device-upload", "--edge-upload", "--device-time", "--edge-time", "--cloud-time", "--result-count"} {
			if !strings.Contains(stdout, option) {
				t.Errorf("%s does not name %s", command, option)
			}
		}
	}
}

func TestPlanWithoutCompatIsPlan(t *testing.T) {
	_, stderr := want(t, exitUsage, "plan", compatData, "network.csv", "toy")
	if !strings.Contains(stderr, "accepts 1 arg") {
		t.Errorf("standard error is %q", stderr)
	}
}
