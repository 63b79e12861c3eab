package run

import (
	"context"
	"runtime"
	"testing"
	"time"

	"scission/split"
)

func TestAddRunsTellsLayersFromWholes(t *testing.T) {
	p := &split.Profile{Host: "edge", Layers: make([]split.LayerProfile, 2)}
	all := &split.Segment{From: 0, To: 2}
	samples := []Sample{
		{Total: 9, Spans: []Span{{What: Travel, Took: 3}, {What: Compute, Host: "edge", Took: 5, Segment: all, Layers: []time.Duration{1, 4}}}},
		{Total: 8, Spans: []Span{{What: Compute, Host: "edge", Took: 6, Segment: all}}},
		{Total: 7, Spans: []Span{{What: Compute, Host: "cloud", Took: 7, Segment: all}}},
	}
	if err := AddRuns(p, samples); err != nil {
		t.Fatal(err)
	}
	if p.Whole.Median() != 6 || len(p.Whole) != 1 || p.Layers[0].Samples.Median() != 1 || p.Layers[1].Samples.Median() != 4 {
		t.Errorf("got whole %v and layers %v, want 6, and 1 and 4", p.Whole, p.Layers)
	}
	samples[0].Spans[1].Layers = []time.Duration{1, 2, 3}
	if AddRuns(p, samples) == nil {
		t.Error("three layers for two, no error")
	}
}

func TestProfileOfSomePositionsMeasuresOnlyThose(t *testing.T) {
	g := residual(0)
	edge := worker(t, "edge", g, nil)
	device := &Node{Name: "device", Threads: 1, Peers: map[string]string{"edge": edge}}
	for _, host := range []string{"device", "edge"} {
		o := ProfileOptions{Inputs: input(1), Runs: 1, MaxWidth: 2, Positions: []int{2}, Codecs: []string{"raw"}}
		p, err := device.Profile(context.Background(), testModel(g), host, o)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Cuts) != 3 || p.Cut(0) == nil || p.Cut(2) == nil || p.Cut(layers) == nil {
			t.Errorf("%s: got cuts %+v, want 0, 2 and %d", host, p.Cuts, layers)
		}
	}
}

// Samples of many deployments are kept while their plans, with all the weights,
// must not be.
func TestSpansKeepNoPlan(t *testing.T) {
	device := &Node{Name: "device", Threads: 1}
	e, err := device.Open(context.Background(), Deployment{Model: testModel(residual(0)), Stages: parse(t, "device:0-5")})
	if err != nil {
		t.Fatal(err)
	}
	l := e.Runner.(pipeline)[0].(*local)
	freed := make(chan bool)
	runtime.AddCleanup(l, func(c chan bool) { close(c) }, freed)
	samples, err := Measure(context.Background(), e, input(1), 0, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, e = nil, nil
	for range 10 {
		runtime.GC()
		select {
		case <-freed:
			runtime.KeepAlive(samples)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Errorf("the plan is still there, kept by %v", samples)
}
