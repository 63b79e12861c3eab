package cut

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
)

// drawDivided draws a graph and a device and an edge to run it on. A byte takes
// 1 µs on the wire there and 2 µs back.
func drawDivided(t *rapid.T) (*graph.Graph, split.Problem) {
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	g := &graph.Graph{}
	var vs []*graph.Value
	for i := range 2 {
		vs = append(vs, g.Input(fmt.Sprint("x", i), tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{1 + r.IntN(20)}}))
	}
	for i := range rapid.IntRange(1, 8).Draw(t, "layers") {
		in := []*graph.Value{vs[r.IntN(len(vs))]}
		for r.IntN(2) == 0 {
			in = append(in, vs[r.IntN(len(vs))])
		}
		vs = append(vs, add(g, fmt.Sprint("n", i), in...))
	}
	g.Outputs = append(g.Outputs, vs[len(vs)-1])
	if early := vs[2+r.IntN(len(g.Nodes))]; r.IntN(2) == 0 && early != vs[len(vs)-1] {
		g.Outputs = append(g.Outputs, early)
	}
	pb := split.Problem{Model: split.Model{Digest: "d"}, Layers: len(g.Nodes), Hosts: []string{"device", "edge"},
		Source: "device", Profiles: map[string]*split.Profile{}, Network: &split.Network{}}
	for _, c := range Find(g, 0) {
		pb.Positions = append(pb.Positions, split.Position{P: c.Position, Bytes: int64(c.Bytes), Width: c.Width()})
	}
	for h, host := range pb.Hosts {
		p := &split.Profile{Model: pb.Model, Host: host}
		for range g.Nodes {
			p.Layers = append(p.Layers, split.LayerProfile{Samples: split.Samples{time.Duration(r.IntN(60>>(3*h))) * time.Microsecond}})
		}
		pb.Profiles[host] = p
	}
	for host, l := range map[string]split.Link{"edge": {Latency: 5000, Bandwidth: 1e6}, "device": {Latency: 3000, Bandwidth: 5e5}} {
		other := map[string]string{"edge": "device", "device": "edge"}[host]
		if err := pb.Network.Set(other, host, l); err != nil {
			t.Fatal(err)
		}
	}
	return g, pb
}

// divided is the time of a division by its definition, or false where the
// source would wait for the other host.
func divided(g *graph.Graph, pb split.Problem, far int) (time.Duration, bool) {
	var sum time.Duration
	isFar := func(i int) bool { return far>>i&1 == 1 }
	made := map[*graph.Value]int{}
	for i, n := range g.Nodes {
		made[n.Out[0]] = i
	}
	sent := map[*graph.Value]bool{}
	for i, n := range g.Nodes {
		host := "device"
		if isFar(i) {
			host = "edge"
		}
		sum += pb.Profiles[host].Layers[i].Samples[0]
		for _, v := range n.In {
			by, isMade := made[v]
			if isMade && isFar(by) && !isFar(i) {
				return 0, false
			}
			if isFar(i) && !(isMade && isFar(by)) && !sent[v] {
				sent[v] = true
				sum += time.Duration(v.Type.Bytes()) * time.Microsecond
			}
		}
	}
	for _, v := range g.Outputs {
		if isFar(made[v]) {
			sum += time.Duration(v.Type.Bytes()) * 2 * time.Microsecond
		}
	}
	if far != 0 {
		sum += 8000
	}
	return sum, true
}

// rounding is what Optimal takes off each tensor's time.
const rounding = 100 * time.Nanosecond

func TestOptimalAgreesWithAllDivisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, pb := drawDivided(t)
		best := time.Duration(1 << 62)
		for far := range 1 << len(g.Nodes) {
			if d, ok := divided(g, pb, far); ok {
				best = min(best, d)
			}
		}
		o, err := Optimal(g, pb, "edge")
		if err != nil || o.Total > best || o.Total < best-rounding {
			t.Fatalf("got %v, %v, want %v", o, err, best)
		}
		far := 0
		for _, i := range o.Layers {
			far |= 1 << i
		}
		if d, ok := divided(g, pb, far); !ok || d != best {
			t.Fatalf("the division %v takes %v (%v), want %v", o.Layers, d, ok, best)
		}
		if suffix := far == (1<<len(g.Nodes)-1)&^(1<<max(o.Position, 0)-1); o.Position >= 0 && !suffix {
			t.Fatalf("position %d for %v", o.Position, o.Layers)
		}
	})
}

func TestNoCutGoesBelowTheOptimum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, pb := drawDivided(t)
		pb.Codecs = []string{"zip"}
		for _, p := range pb.Profiles {
			for _, at := range pb.Positions {
				some := func(most int) split.Samples {
					return split.Samples{time.Duration(rapid.IntRange(0, most).Draw(t, "time")) * time.Microsecond}
				}
				c := split.CutProfile{Position: at.P, Width: at.Width, Bytes: at.Bytes, Enter: some(5), Leave: some(5)}
				wire := at.Bytes * int64(rapid.IntRange(3, 11).Draw(t, "tenths")) / 10
				c.Codecs = []split.CodecProfile{{Name: "zip", WireBytes: wire, Encode: some(9), Decode: some(9)}}
				p.Cuts = append(p.Cuts, c)
			}
		}
		best, err := pb.Rank(split.Query{MaxWidth: len(g.Nodes) + 2})
		if err != nil {
			t.Fatal(err)
		}
		if o, err := Optimal(g, pb, "edge"); err != nil || o.Total > best[0].Total {
			t.Fatalf("the bound is %v, %v, and a cut takes %v", o.Total, err, best[0])
		}
	})
}

func TestOptimalNamesWhatIsMissing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, pb := drawDivided(t)
		if _, err := Optimal(g, pb, "cloud"); err == nil {
			t.Fatal("a host without a profile")
		}
		pb.Network = nil
		if _, err := Optimal(g, pb, "edge"); err == nil {
			t.Fatal("hosts without a link")
		}
		pb.Profiles["edge"].Layers = append(pb.Profiles["edge"].Layers, pb.Profiles["edge"].Layers[0])
		if _, err := Optimal(g, pb, "edge"); err == nil {
			t.Fatal("a profile of another model")
		}
	})
}
