package tile

import (
	"fmt"

	"scission/engine/graph"
	"scission/split"
	"scission/split/cut"
)

// Tiling says what tiled stages of a model cost, for a split.Problem. It is
// immutable, and may be used by several goroutines at once.
type Tiling struct {
	g      *graph.Graph
	places []cut.Cut
	maker  map[*graph.Value]int // the layer that makes a value
}

var _ split.Tiling = (*Tiling)(nil)

// NewTiling returns the Tiling of a graph, which must not change.
func NewTiling(g *graph.Graph) *Tiling {
	t := &Tiling{g: g, places: cut.Places(g), maker: map[*graph.Value]int{}}
	for i, n := range g.Nodes {
		for _, v := range n.Out {
			if v != nil {
				t.maker[v] = i
			}
		}
	}
	return t
}

// Walk is described at split.Tiling.
func (t *Tiling) Walk(to int, shares []int) ([]split.TileWork, error) {
	if to < 1 || to > len(t.g.Nodes) {
		return nil, fmt.Errorf("tile: position %d, want 1 to %d", to, len(t.g.Nodes))
	}
	if err := split.CheckShares(shares); err != nil {
		return nil, fmt.Errorf("tile: %w", err)
	}
	first := to // where a stage can begin
	for first > 0 && tileable(t.g.Nodes[first-1]) == nil {
		first--
	}
	works := make([]split.TileWork, len(shares))
	for worker := range shares {
		works[worker] = t.walk(to, first, shares, worker)
	}
	return works, nil
}

// walk walks back from the rows that a worker gives at position to.
func (t *Tiling) walk(to, first int, shares []int, worker int) split.TileWork {
	w := split.TileWork{First: first, In: make([]int64, to+1), Out: make([]int64, to+1), Work: make([]float64, to)}
	given, need := needs{}, needs{}
	bytes := func(v *graph.Value, r graph.Rows) int64 {
		if r.Empty() {
			return 0
		}
		return int64(r.Of(v.Type).Bytes())
	}
	for _, v := range t.places[to].Values {
		if v.Const != nil || v.Late {
			continue
		}
		r := rowsOf(v.Type, shares, worker)
		given.add(v, r)
		if made, ok := t.maker[v]; ok {
			w.Out[made] += bytes(v, r) // of stages that begin there or before
		}
	}
	wanted := func(v *graph.Value) graph.Rows { return need[v].Hull(given[v]) }
	var in int64 // bytes of need
	for i := to - 1; i >= first; i-- {
		n := t.g.Nodes[i]
		before := needs{}
		s := stepOf(n, wanted, before)
		w.Work[i] = s.work(n)
		for v, r := range before {
			in -= bytes(v, need[v])
			need.add(v, r)
			in += bytes(v, need[v])
		}
		for _, v := range n.Out {
			if v != nil {
				in -= bytes(v, need[v])
				delete(need, v)
			}
		}
		w.In[i] = in
		w.Out[i] += w.Out[i+1]
	}
	return w
}
