package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var updateCases = flag.Bool("update-cases", false, "write the list of the results of Debian's node cases")

// The node cases of Debian's package libonnx-testdata, run as the verify command
// runs them, give the results of the checked-in list: passed, failed, unsupported
// or error.
func TestDebianNodeCasesGiveTheListedResults(t *testing.T) {
	if _, err := os.Stat(debianCases); err != nil {
		t.Skip("libonnx-testdata is not installed")
	}
	cases, err := findCases([]string{debianCases})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, dir := range cases {
		r := verifyCase(context.Background(), dir, conformance, 1)
		if r.Status != passed {
			t.Logf("%s: %s", r.Name, r.Message)
		}
		operator := "several"
		if used := operatorsOf(dir); len(used) == 1 {
			operator = used[0].Name
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", operator, r.Name, r.Status))
	}
	slices.Sort(lines)
	file := filepath.Join("..", "..", "testdata", "conformance", "debian.txt")
	if *updateCases {
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(list), "\n"), "\n")
	for _, l := range lines {
		if !slices.Contains(want, l) {
			t.Errorf("got  %s", l)
		}
	}
	for _, l := range want {
		if !slices.Contains(lines, l) {
			t.Errorf("want %s", l)
		}
	}
}
