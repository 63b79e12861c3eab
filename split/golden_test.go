package split

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the planner's answers in testdata/plans")

const plans = "../testdata/plans"

// readFile reads a file with ReadProfile or ReadNetwork.
func readFile[T any](tb testing.TB, path string, limit int64, read func(f *os.File, limit int64) (T, error)) T {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	v, err := read(f, limit)
	if err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	return v
}

// glob lists files, of which there must be some.
func glob(tb testing.TB, pattern string) []string {
	tb.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		tb.Fatalf("%s: %d files, %v", pattern, len(paths), err)
	}
	return paths
}

// readPlan reads the profiles and the network of a folder of testdata/plans; hosts are left to the caller.
func readPlan(tb testing.TB, dir string) Problem {
	tb.Helper()
	pb := Problem{Profiles: map[string]*Profile{}}
	for _, path := range glob(tb, filepath.Join(dir, "*.profile.json")) {
		p := readFile(tb, path, MaxProfileBytes, func(f *os.File, limit int64) (*Profile, error) { return ReadProfile(f, limit) })
		pb.Profiles[p.Host] = p
		pb.Layers, pb.Positions = len(p.Layers), p.Positions()
	}
	pb.Network = readFile(tb, glob(tb, filepath.Join(dir, "network.*"))[0], MaxNetworkBytes,
		func(f *os.File, limit int64) (*Network, error) { return ReadNetwork(f, limit) })
	return pb
}

func TestAnswersAreAsRecorded(t *testing.T) {
	for _, path := range glob(t, plans+"/*/queries.json") {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var queries []json.RawMessage
			if err := json.Unmarshal(data, &queries); err != nil {
				t.Fatal(err)
			}
			pb := readPlan(t, dir)
			var got strings.Builder
			for _, text := range queries {
				var q struct {
					Hosts, Codecs []string
					Source        string
					Query         Query
				}
				var line bytes.Buffer
				if err := errors.Join(json.Unmarshal(text, &q), json.Compact(&line, text)); err != nil {
					t.Fatal(err)
				}
				pb.Hosts, pb.Codecs, pb.Source = q.Hosts, q.Codecs, q.Source
				fmt.Fprintf(&got, "# %s\n", &line)
				best, err := pb.Rank(q.Query)
				if err != nil {
					fmt.Fprintln(&got, err)
				}
				for i, e := range best {
					fmt.Fprintf(&got, "%d. %v\n", i+1, e)
					for _, h := range e.Hops {
						fmt.Fprintf(&got, "     %v: %d bytes, %s %d; encode %v, travel %v, decode %v\n",
							h.Hop, h.Bytes, h.Codec, h.Wire, h.Encode, h.Travel, h.Decode)
					}
				}
				fmt.Fprintln(&got)
			}
			answers := filepath.Join(dir, "answers.txt")
			if *update {
				if err := os.WriteFile(answers, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(answers)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("%s has changed (rewrite it with -update if that is right); got\n%s", answers, got.String())
			}
		})
	}
}

// TestToyFilesAreTheToy ties the recorded answers to the sums by hand of toyAnswers.
func TestToyFilesAreTheToy(t *testing.T) {
	pb := readPlan(t, plans+"/toy")
	pb.Hosts = []string{"device", "edge", "cloud"}
	best, err := pb.Rank(Query{Top: 20, MaxWidth: 2})
	if err != nil || len(best) != len(toyAnswers) {
		t.Fatalf("%d partitions, %v, want %d", len(best), err, len(toyAnswers))
	}
	for i, e := range best {
		if want := toyAnswers[i]; e.Partition.String() != want.stages || e.Total != ms(want.want) {
			t.Errorf("rank %d is %v, want %v", i, e, want)
		}
	}
}
