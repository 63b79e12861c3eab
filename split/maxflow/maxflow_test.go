package maxflow

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/graph/simple"
	"pgregory.net/rapid"
)

// cutWeight is the weight of the edges that leave a set of nodes.
func cutWeight(g *simple.WeightedDirectedGraph, in func(id int64) bool) float64 {
	var sum float64
	edges := g.WeightedEdges()
	for edges.Next() {
		if e := edges.WeightedEdge(); in(e.From().ID()) && !in(e.To().ID()) {
			sum += e.Weight()
		}
	}
	return sum
}

func TestMinCutAgreesWithExhaustiveSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := int64(rapid.IntRange(2, 8).Draw(t, "nodes"))
		g := simple.NewWeightedDirectedGraph(0, 0)
		for id := range n {
			g.AddNode(simple.Node(id))
		}
		weights := rapid.SampledFrom([]float64{0, 1, 1, 2, 3, 7, math.Inf(1)})
		for a := range n {
			for b := range n {
				if a != b && rapid.Bool().Draw(t, "edge") {
					g.SetWeightedEdge(g.NewWeightedEdge(simple.Node(a), simple.Node(b), weights.Draw(t, "weight")))
				}
			}
		}
		want, smallest := math.Inf(1), int64(1)<<n
		for set := range int64(1) << n {
			if set&1 == 0 || set>>(n-1)&1 == 1 {
				continue
			}
			switch w := cutWeight(g, func(id int64) bool { return set>>id&1 == 1 }); {
			case w < want:
				want, smallest = w, set
			case w == want:
				smallest &= set
			}
		}
		got, side, err := MinCut(g, 0, n-1)
		if err != nil || got != want {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
		if math.IsInf(want, 1) {
			if side != nil {
				t.Fatalf("got the set %v of an infinite cut", side)
			}
			return
		}
		for id := range n {
			if side[id] != (smallest>>id&1 == 1) {
				t.Fatalf("got the set %v, want %b", side, smallest)
			}
		}
	})
}

func TestGraphsThatAreNoNetworksAreErrors(t *testing.T) {
	g := simple.NewWeightedDirectedGraph(0, 0)
	g.SetWeightedEdge(g.NewWeightedEdge(simple.Node(1), simple.Node(2), -1))
	for _, ends := range [][2]int64{{1, 2}, {1, 1}, {1, 3}, {3, 1}} {
		if _, side, err := MinCut(g, ends[0], ends[1]); err == nil || side != nil {
			t.Errorf("%v: got %v and no error", ends, side)
		}
	}
}
