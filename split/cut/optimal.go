package cut

import (
	"fmt"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/graph/simple"

	"scission/engine/graph"
	"scission/split"
	"scission/split/maxflow"
)

// Optimum is a division of a graph's layers between the source and another
// host that takes the least time.
type Optimum struct {
	Host  string        `json:"host"` // the other one
	Total time.Duration `json:"total_ns"`
	// Layers are those that run on the other host, ascending. All layers that
	// read what they make are among them, so that the others are the beginning
	// of some topological order.
	Layers []int `json:"layers"`
	// Position is where the layers' own order would have to be cut for that, or
	// -1 where no cut of it divides them so.
	Position int `json:"position"`
	// Width is the number of tensors that go from the source to the other host.
	Width int `json:"width"`
}

// Optimal finds, of all ways to run some of the layers on the source first and
// all others on another host then, whatever tensors cross, the one that takes
// the least time: a bound that no cut goes below. It is a minimum cut. A layer
// that runs on the other host costs its time there, and one on the source its
// time there; a tensor that goes to the other host costs its wire time, once,
// however many layers read it; and so does an output that comes back.
//
// What else a cut costs counts as nothing: encoding, decoding, and what the
// profiles' Enter and Leave say. Where the problem allows codecs, all tensors
// are taken to shrink as much as what crosses any measured cut does at best.
// Without codecs and these costs the bound is the time of the division.
//
// The problem needs profiles of both hosts and links between them. Its Hosts
// and Positions do not matter. Times that add up to less than 104 days are
// exact.
func Optimal(g *graph.Graph, pb split.Problem, host string) (Optimum, error) {
	o := Optimum{Host: host, Position: -1}
	near, far := pb.Profiles[pb.Source], pb.Profiles[host]
	there, back, err := ends(g, pb, host)
	if err != nil {
		return o, fmt.Errorf("cut: optimal: %w", err)
	}
	there.ratio, back.ratio = ratio(near, pb.Codecs), ratio(far, pb.Codecs)
	nearTimes, farTimes := near.LayerTimes(), far.LayerTimes()

	// Nodes 0 to n-1 are the layers, then the source's side and the other, then
	// tensors with several readers.
	n := int64(len(g.Nodes))
	source, sink := n, n+1
	flow := simple.NewWeightedDirectedGraph(0, 0)
	flow.AddNode(simple.Node(source))
	flow.AddNode(simple.Node(sink))
	arc := func(from, to int64, weight float64) {
		if e := flow.WeightedEdge(from, to); e != nil {
			weight += e.Weight()
		}
		flow.SetWeightedEdge(flow.NewWeightedEdge(simple.Node(from), simple.Node(to), weight))
	}
	returned := map[*graph.Value]bool{}
	for _, v := range g.Outputs {
		returned[v] = true
	}
	readers := map[*graph.Value][]int64{}
	for i, node := range g.Nodes {
		stays := float64(farTimes[i])
		for _, v := range node.Out {
			if returned[v] {
				stays += back.wire(v)
			}
		}
		arc(source, int64(i), stays)
		arc(int64(i), sink, float64(nearTimes[i]))
		for _, v := range node.In {
			if v != nil && v.Const == nil && !slices.Contains(readers[v], int64(i)) {
				readers[v] = append(readers[v], int64(i))
			}
		}
	}
	next := sink
	tensor := func(from int64, v *graph.Value) {
		if v == nil || len(readers[v]) == 0 {
			return
		}
		next++
		arc(from, next, there.wire(v))
		for _, to := range readers[v] {
			arc(next, to, math.Inf(1))
			if from != source {
				arc(to, from, math.Inf(1)) // what the source runs it has the inputs of
			}
		}
	}
	for _, v := range g.Inputs {
		tensor(source, v)
	}
	for i, node := range g.Nodes {
		for _, v := range node.Out {
			tensor(int64(i), v)
		}
	}
	least, side, err := maxflow.MinCut(flow, source, sink)
	if err != nil {
		return o, fmt.Errorf("cut: optimal: %w", err)
	}
	for i := range g.Nodes {
		if !side[int64(i)] {
			o.Layers = append(o.Layers, i)
		}
	}
	o.Total = time.Duration(least) + there.Latency + back.Latency
	var native time.Duration
	for _, d := range nearTimes {
		native += d
	}
	if len(o.Layers) == 0 || native <= o.Total {
		o.Total, o.Layers = native, nil
	}
	o.describe(g)
	return o, nil
}

// describe finds the position and the width.
func (o *Optimum) describe(g *graph.Graph) {
	n := len(g.Nodes)
	if len(o.Layers) == 0 || o.Layers[0] == n-len(o.Layers) {
		o.Position = n - len(o.Layers)
	}
	away := make([]bool, n)
	for _, i := range o.Layers {
		away[i] = true
	}
	made := map[*graph.Value]bool{} // away
	sent := map[*graph.Value]bool{}
	for i, node := range g.Nodes {
		if !away[i] {
			continue
		}
		for _, v := range node.Out {
			made[v] = true
		}
		for _, v := range node.In {
			if v != nil && v.Const == nil && !made[v] {
				sent[v] = true
			}
		}
	}
	o.Width = len(sent)
}

// wire is a link and how small tensors become on it.
type wire struct {
	split.Link
	ratio float64
}

// wire is the least time that a tensor keeps the wire busy, in nanoseconds.
func (w wire) wire(v *graph.Value) float64 {
	bytes := int64(math.Floor(float64(v.Type.Bytes()) * w.ratio))
	return math.Max(0, float64(w.Travel(bytes)-w.Latency-1)) // rounding may have added half of it
}

// ends finds the links and checks the profiles.
func ends(g *graph.Graph, pb split.Problem, host string) (there, back wire, err error) {
	for _, name := range []string{pb.Source, host} {
		p := pb.Profiles[name]
		if p == nil {
			return there, back, fmt.Errorf("host %q has no profile", name)
		}
		if err := p.Validate(); err != nil {
			return there, back, err
		}
		if len(p.Layers) != len(g.Nodes) {
			return there, back, fmt.Errorf("host %q was profiled with %d layers, want %d", name, len(p.Layers), len(g.Nodes))
		}
	}
	var known, knownBack bool
	there.Link, known = pb.Network.Link(pb.Source, host)
	back.Link, knownBack = pb.Network.Link(host, pb.Source)
	if !known || !knownBack {
		return there, back, fmt.Errorf("%w between %s and %s", split.ErrNoLink, pb.Source, host)
	}
	return there, back, nil
}

// ratio is the smallest that what crosses a cut becomes with raw or one of some
// codecs.
func ratio(p *split.Profile, codecs []string) float64 {
	smallest := 1.
	for _, c := range p.Cuts {
		for _, k := range c.Codecs {
			if c.Bytes > 0 && (k.Name == split.RawCodec || slices.Contains(codecs, k.Name)) {
				smallest = min(smallest, float64(k.WireBytes)/float64(c.Bytes))
			}
		}
	}
	return smallest
}
