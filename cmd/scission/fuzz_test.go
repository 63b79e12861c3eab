package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"scission/split"
	"scission/split/compat"
)

// FuzzQuery asks any question about the own benchmarks.
func FuzzQuery(f *testing.F) {
	f.Add("--objective throughput --max-compute hall=10ms --max-upload phone=1.5MB --layers phone=0-1 --layers 42!=x*")
	f.Add("--power phone=4:1e-7 --objective energy --no-codec raw,zstd --private 2 --max-total 1s")
	f.Add("--max-memory phone=20MB --max-memory hut=auto --max-compute hut=1%")
	f.Add("--pareto latency,egress --max-compute 42=33.3% --max-upload phone:hut=0 --layers hut=-1,tower(GPU)=2-end")
	systems, err := compat.ReadFolder(os.DirFS(compatData))
	if err != nil {
		f.Fatal(err)
	}
	pb, err := systems.Problem("toy", 150_000)
	if err != nil {
		f.Fatal(err)
	}
	pl := planning{network: compatData + "/network.csv"}
	if err := pl.connect(&pb); err != nil {
		f.Fatal(err)
	}
	planner, err := pb.Prepare()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var l limits
		c := &cobra.Command{}
		l.flags(c)
		if c.ParseFlags(strings.Split(line, " ")) != nil {
			return
		}
		q := split.Query{Top: 3}
		err := l.fill(&q)
		objectives, frontErr := l.front()
		if err = errors.Join(err, frontErr, l.memory(pb, &q)); err != nil {
			if !errors.Is(err, errUsage) {
				t.Fatalf("error %v", err)
			}
			return
		}
		var found []split.Estimate
		if objectives != nil {
			found, err = planner.Pareto(q, objectives...)
		} else {
			found, err = planner.Rank(q)
		}
		if (err == nil) != (len(found) > 0) {
			t.Fatalf("%d partitions, error %v", len(found), err)
		}
		for _, e := range found {
			if q.MaxTotal > 0 && e.Total > q.MaxTotal {
				t.Fatalf("%v, want at most %v", e, q.MaxTotal)
			}
			if again, err := planner.Predict(e.Partition); len(q.NoCodecs) == 0 && (err != nil || again.Total != e.Total) {
				t.Fatalf("%v, predicted as %v, error %v", e, again, err)
			}
		}
	})
}

// FuzzReadPlan reads any file as a plan.
func FuzzReadPlan(f *testing.F) {
	f.Add(`{"version":"scission-plan/1","model":{"name":"m","digest":"d"},"source":"a","estimates":[{"partition":"a:0-1,b:2-3","total_ns":5,"stages":[],"hops":[{"from":"a","to":"b","codec":"raw"}]}]}`)
	f.Add(`{"version":"scission-plan/1","objectives":["latency"],"estimates":[{"partition":"a:0-end"}]}`)
	path := filepath.Join(f.TempDir(), "plan.json")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := readPlan(path)
		switch {
		case err == nil && len(p.Estimates) == 0:
			t.Fatal("a plan without estimates")
		case err != nil && !(errors.Is(err, errUsage) && strings.Contains(err.Error(), path)):
			t.Fatalf("error %v", err)
		}
		if err == nil {
			p.Estimates[0].Partition.Native()
		}
	})
}
