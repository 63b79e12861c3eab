package compat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reference is where the original's data and answers lie, beside the project. They are not part of it.
const reference = "../../../shared/scission"

type goldenPart struct {
	Name  *string
	Used  bool
	First int `json:"first_layer"`
	Last  int `json:"last_layer"`
}

type goldenQuery struct {
	ID, Stdout string
	Args       []string
	Unique     int `json:"n_unique_scenarios"`
	Matching   int `json:"n_matching"`
	Results    []struct {
		Line         string
		Latency      float64 `json:"latency_s"`
		DeviceTime   float64 `json:"device_time_s"`
		EdgeTime     float64 `json:"edge_time_s"`
		CloudTime    float64 `json:"cloud_time_s"`
		Processing   float64 `json:"processing_s"`
		Transfer     float64 `json:"transfer_s"`
		DeviceUpload float64 `json:"device_upload_bytes"`
		EdgeUpload   float64 `json:"edge_upload_bytes"`
		Device       goldenPart
		Edge         goldenPart
		Cloud        goldenPart
	}
}

// goldenQueries are the original's recorded answers; the test is skipped where they are not present.
func goldenQueries(tb testing.TB) []goldenQuery {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(reference, "golden_queries.json"))
	if os.IsNotExist(err) {
		tb.Skip("the original's answers are not beside the project")
	}
	if err != nil {
		tb.Fatal(err)
	}
	var file struct{ Queries []goldenQuery }
	if err := json.Unmarshal(data, &file); err != nil {
		tb.Fatal(err)
	}
	for i := range file.Queries {
		args := file.Queries[i].Args
		args[0] = filepath.Join(reference, args[0])
	}
	return file.Queries
}

func TestAnswersAreTheOriginalsByteForByte(t *testing.T) {
	queries := goldenQueries(t)
	if len(queries) == 0 {
		t.Fatal("no queries")
	}
	systems := map[string]Systems{}
	for _, g := range queries {
		t.Run(g.ID, func(t *testing.T) {
			var out strings.Builder
			err := Run(&out, g.Args)
			crashes := !strings.Contains(g.Stdout, "Graph created") && len(g.Results) > 0
			if out.String() != g.Stdout || (err != nil) != crashes {
				t.Errorf("%q: error %v, got\n%s\nwant\n%s", g.Args, err, out.String(), g.Stdout)
			}
			q, err := ParseArgs(g.Args)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := systems[q.Folder]; !ok {
				if systems[q.Folder], err = ReadFolder(os.DirFS(q.Folder)); err != nil {
					t.Fatal(err)
				}
			}
			n, err := openNetwork(q)
			if err != nil {
				t.Fatal(err)
			}
			all := systems[q.Folder]
			a, err := all.Answer(n, q)
			if err != nil {
				t.Fatal(err)
			}
			if a.Configurations != g.Unique || a.Matching != g.Matching || len(a.Results) != len(g.Results) {
				t.Fatalf("%d of %d configurations match and %d are shown, want %d, %d, %d",
					a.Matching, a.Configurations, len(a.Results), g.Matching, g.Unique, len(g.Results))
			}
			for i, want := range g.Results {
				got := a.Results[i]
				p := &got.Parts
				// Compared with ==, so to the last bit.
				if got.Latency != want.Latency || got.Processing != want.Processing || got.Transfer != want.Transfer ||
					got.DeviceUpload != want.DeviceUpload || got.EdgeUpload != want.EdgeUpload ||
					p[Device].Seconds != want.DeviceTime || p[Edge].Seconds != want.EdgeTime || p[Cloud].Seconds != want.CloudTime {
					t.Errorf("rank %d: %+v, want %+v", i+1, got, want)
				}
				for tier, w := range []goldenPart{want.Device, want.Edge, want.Cloud} {
					name := ""
					if w.Name != nil {
						name = *w.Name
					}
					if g := p[tier]; g.Name != name || g.used() != w.Used || g.First != w.First || g.Last != w.Last {
						t.Errorf("rank %d: %v is %+v, want %+v", i+1, Tier(tier), g, w)
					}
				}
			}
		})
	}
}

func BenchmarkLargestQuery(b *testing.B) {
	folder := filepath.Join(reference, "benchmark_data")
	if _, err := os.Stat(folder); err != nil {
		b.Skip("the original's data is not beside the project")
	}
	q, err := ParseArgs([]string{folder, "network_stats.csv", "mobilenet"})
	if err != nil {
		b.Fatal(err)
	}
	n, err := openNetwork(q)
	if err != nil {
		b.Fatal(err)
	}
	systems, err := ReadFolder(os.DirFS(folder))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := ReadFolder(os.DirFS(folder)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("answer", func(b *testing.B) {
		for b.Loop() {
			if _, err := systems.Answer(n, q); err != nil {
				b.Fatal(err)
			}
		}
	})
}
