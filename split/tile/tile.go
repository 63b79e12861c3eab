// Package tile divides the layers of a stage among workers by the rows of their
// images: each worker computes some rows of the results, and of every value
// before them just the rows that those depend on. Where the windows of two
// workers overlap, both compute the rows that both need.
//
// The rows that a worker gives are bit for bit those that the whole stage gives,
// on the same instruction set. Which rows a layer needs, and what computes them,
// the operators say (graph.Tiler). A layer that cannot be tiled is computed as a
// whole by each worker that needs it, which is right wherever it stands and pays
// nowhere but behind small values.
//
// The package runs nothing. It imports engine/graph, engine/tensor, ops for the
// operator that takes rows, split and split/cut.
package tile

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops"
	"scission/split"
	"scission/split/cut"
)

// Plan says which rows each worker of a tiled stage takes and gives. It is
// immutable, and may be used by several goroutines at once.
type Plan struct {
	// Inputs and Outputs are what crosses the cuts at the ends of the stage, in
	// the order of cut.Cut.Values.
	Inputs, Outputs []*graph.Value
	// Tiles are the parts of the workers, in their order.
	Tiles []Tile

	part *graph.Graph
	kept []int // by output: which input it is if it only passes by, or made or constant
}

// What an output is that is no input.
const (
	made     = -1
	constant = -2
)

// Tile is the part of one worker.
type Tile struct {
	// In and Out are its rows of Inputs and Outputs, none of those that it does
	// not need or give.
	In, Out []graph.Rows
	// Work is how much of the time of each layer of the stage it takes: see
	// graph.Tile.Share.
	Work []float64

	steps []step
}

// step is what a worker does for one layer.
type step struct {
	needed bool
	tile   graph.Tile // with an Op if the layer is tiled
}

// New divides layers [s.From, s.To) of g among workers whose rows of each result
// are in proportion to their shares. It fails where a worker gets no row, where
// the type of a value is known only in a run, and where layers that belong
// together, such as those of a quantised convolution, could be torn apart.
func New(g *graph.Graph, s split.Segment, shares []int) (*Plan, error) {
	if err := split.CheckShares(shares); err != nil {
		return nil, fmt.Errorf("tile: %w", err)
	}
	part, err := cut.Extract(g, s)
	if err != nil {
		return nil, fmt.Errorf("tile: %w", err)
	}
	for i, n := range part.Nodes {
		if err := tileable(n); err != nil {
			return nil, fmt.Errorf("tile: layer %d: %w", s.From+i, err)
		}
	}
	p := &Plan{Inputs: part.Inputs, Outputs: part.Outputs, part: part}
	inputs := map[*graph.Value]int{}
	for i, v := range part.Inputs {
		inputs[v] = i
	}
	for _, v := range part.Outputs {
		kept := made
		if i, passes := inputs[v]; passes {
			kept = i
		} else if v.Const != nil {
			kept = constant
		}
		p.kept = append(p.kept, kept)
	}
	for worker := range shares {
		t, err := p.tile(shares, worker)
		if err != nil {
			return nil, fmt.Errorf("tile: layers %v: %w", s, err)
		}
		p.Tiles = append(p.Tiles, t)
	}
	return p, nil
}

// tileable refuses nodes beside which rows must not be taken.
func tileable(n *graph.Node) error {
	if _, joined := n.Op.(graph.Joined); joined {
		return fmt.Errorf("node %q (%s) is computed together with its readers", n.Name, n.Op)
	}
	for _, v := range append(n.In[:len(n.In):len(n.In)], n.Out...) {
		if v != nil && (v.Late || v.DType == tensor.Packed) {
			return fmt.Errorf("node %q (%s): the size of %q is known only in a run", n.Name, n.Op, v.Name)
		}
	}
	return nil
}

// rowsOf returns the rows of a value that a worker gives.
func rowsOf(t tensor.Type, shares []int, worker int) graph.Rows {
	var before, all int64
	for i, s := range shares {
		if i < worker {
			before += int64(s)
		}
		all += int64(s)
	}
	h := int64(graph.Height(t))
	at := func(share int64) int { return int((2*h*share + all) / (2 * all)) } // rounded
	return graph.Rows{From: at(before), To: at(before + int64(shares[worker]))}
}

// needs is which rows of values are needed, by those who read them.
type needs map[*graph.Value]graph.Rows

func (n needs) add(v *graph.Value, r graph.Rows) { n[v] = n[v].Hull(r) }

// stepOf returns what gives the rows of n's results that are in wanted, and adds
// what it reads to need.
func stepOf(n *graph.Node, wanted func(v *graph.Value) graph.Rows, need needs) step {
	out := graph.Facts(n.Out)
	var s step
	others := false
	for i, v := range n.Out {
		if v == nil || wanted(v).Empty() {
			out[i] = graph.Fact{}
			continue
		}
		s.needed = true
		others = others || i > 0
	}
	if !s.needed {
		return s
	}
	if t, ok := n.Op.(graph.Tiler); ok && !others {
		in := graph.Facts(n.In)
		if made, ok := t.Tile(in, out, wanted(n.Out[0])); ok {
			s.tile = made
			for i, v := range n.In {
				if v != nil && v.Const == nil {
					need.add(v, made.Reads[i])
				}
			}
			return s
		}
	}
	for _, v := range n.In {
		if v != nil && v.Const == nil {
			need.add(v, graph.All(v.Type))
		}
	}
	return s
}

// work is how much of a layer the step computes.
func (s *step) work(n *graph.Node) float64 {
	switch {
	case !s.needed:
		return 0
	case s.tile.Op == nil:
		return 1
	case s.tile.Share > 0:
		return s.tile.Share
	}
	return float64(s.tile.Makes.Len()) / float64(graph.Height(n.Out[0].Type))
}

// tile walks back from the rows that a worker gives.
func (p *Plan) tile(shares []int, worker int) (Tile, error) {
	t := Tile{steps: make([]step, len(p.part.Nodes)), Work: make([]float64, len(p.part.Nodes))}
	given, need := needs{}, needs{}
	gives := false
	for i, v := range p.Outputs {
		var r graph.Rows
		if p.kept[i] == made {
			r = rowsOf(v.Type, shares, worker)
			given.add(v, r)
		}
		t.Out = append(t.Out, r)
		gives = gives || !r.Empty()
	}
	if !gives {
		return t, fmt.Errorf("worker %d gets no row of the results with shares %v", worker, shares)
	}
	wanted := func(v *graph.Value) graph.Rows { return need[v].Hull(given[v]) }
	for i := len(p.part.Nodes) - 1; i >= 0; i-- {
		t.steps[i] = stepOf(p.part.Nodes[i], wanted, need)
		t.Work[i] = t.steps[i].work(p.part.Nodes[i])
	}
	for _, v := range p.Inputs {
		t.In = append(t.In, need[v])
	}
	return t, nil
}

// placed is a value in the graph of a worker, of whose rows it has some.
type placed struct {
	*graph.Value
	rows, good graph.Rows
}

// builder makes the graph of a worker.
type builder struct {
	g      *graph.Graph
	have   map[*graph.Value]placed
	parts  map[*graph.Value]map[graph.Rows]*graph.Value
	layers []int // of the nodes of g
}

// Graph returns the graph that a worker runs: its inputs are the rows Tile.In of
// those inputs of which it has some, its outputs likewise the rows Tile.Out. The
// second result says which layer of the stage, from 0, each node of the graph
// stands for. The graph shares constants with the one that New was given.
func (p *Plan) Graph(worker int) (*graph.Graph, []int, error) {
	t := &p.Tiles[worker]
	b := builder{
		g:    &graph.Graph{Name: fmt.Sprintf("%s worker %d of %d", p.part.Name, worker, len(p.Tiles)), Limit: p.part.Limit, Forget: p.part.Forget},
		have: map[*graph.Value]placed{}, parts: map[*graph.Value]map[graph.Rows]*graph.Value{},
	}
	for i, v := range p.Inputs {
		if r := t.In[i]; !r.Empty() {
			b.have[v] = placed{b.g.Input(v.Name, r.Of(v.Type)), r, r}
		}
	}
	for i, n := range p.part.Nodes {
		if !t.steps[i].needed {
			continue
		}
		err := b.add(n, t.steps[i].tile)
		for len(b.layers) < len(b.g.Nodes) {
			b.layers = append(b.layers, i)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("tile: %w", err)
		}
	}
	for i, v := range p.Outputs {
		if r := t.Out[i]; !r.Empty() {
			out, err := b.read(v, r)
			if err != nil {
				return nil, nil, fmt.Errorf("tile: %w", err)
			}
			b.g.Outputs = append(b.g.Outputs, out)
		}
	}
	for len(b.layers) < len(b.g.Nodes) {
		b.layers = append(b.layers, len(p.part.Nodes)-1)
	}
	return b.g, b.layers, nil
}

// add adds a node that computes rows of n's result, or all of its results.
func (b *builder) add(n *graph.Node, t graph.Tile) error {
	if t.Op == nil {
		t.Op, t.Reads = n.Op, make([]graph.Rows, len(n.In))
		for i, v := range n.In {
			if v != nil {
				t.Reads[i] = graph.All(v.Type)
			}
		}
	} else if t.Free {
		t = b.widened(n, t)
	}
	in := make([]*graph.Value, len(n.In))
	for i, v := range n.In {
		if v == nil {
			continue
		}
		var err error
		if in[i], err = b.read(v, t.Reads[i]); err != nil {
			return err
		}
	}
	names := make([]string, len(n.Out))
	for i, v := range n.Out {
		if v != nil && (i == 0 || t.Makes.Empty()) {
			names[i] = v.Name
		}
	}
	outs, err := b.g.Add(n.Name, t.Op, nil, in, names...)
	if err != nil {
		return err
	}
	for i, v := range n.Out {
		if outs[i] == nil {
			continue
		}
		rows, good := t.Makes, t.Good
		if t.Makes.Empty() {
			rows, good = graph.All(v.Type), graph.All(v.Type)
		}
		if !outs[i].Type.Equal(rows.Of(v.Type)) {
			return fmt.Errorf("node %q (%s): rows %v of %v are %v", n.Name, t.Op, rows, v.Type, outs[i].Type)
		}
		b.have[v] = placed{outs[i], rows, good}
	}
	return nil
}

// widened lets n, which works row by row, do so for all rows that there are of its
// inputs, if those are the same of all: taking rows out costs a copy, and keeps
// the optimiser from joining n with what gives them.
func (b *builder) widened(n *graph.Node, t graph.Tile) graph.Tile {
	var rows, good graph.Rows
	for i, v := range n.In {
		if v == nil || t.Reads[i] != t.Makes || graph.Height(v.Type) != graph.Height(n.Out[0].Type) || len(v.Shape) != len(n.Out[0].Shape) {
			continue
		}
		if v.Const != nil {
			return t
		}
		x := b.have[v]
		if rows.Empty() {
			rows, good = x.rows, x.good
		}
		if x.rows != rows {
			return t
		}
		good = graph.Rows{From: max(good.From, x.good.From), To: min(good.To, x.good.To)}
	}
	if rows == t.Makes || !rows.Has(t.Makes) {
		return t
	}
	out := graph.Facts(n.Out)
	clear(out[1:])
	wide, ok := n.Op.(graph.Tiler).Tile(graph.Facts(n.In), out, rows)
	if !ok {
		return t
	}
	wide.Good = good
	return wide
}

// read returns rows of a value, which are taken out of those that there are.
func (b *builder) read(v *graph.Value, r graph.Rows) (*graph.Value, error) {
	x := placed{v, graph.All(v.Type), graph.All(v.Type)}
	if v.Const == nil {
		x = b.have[v]
	}
	if x.rows == r {
		return x.Value, nil
	}
	if !x.good.Has(r) {
		return nil, fmt.Errorf("rows %v of %q are needed, which has %v", r, v.Name, x.good)
	}
	if part := b.parts[v][r]; part != nil {
		return part, nil
	}
	from := graph.Rows{From: r.From - x.rows.From, To: r.To - x.rows.From}
	name := fmt.Sprintf("%s.rows%d-%d", v.Name, r.From, r.To-1)
	out, err := b.g.Add(name, ops.Rows(from), nil, []*graph.Value{x.Value}, name)
	if err != nil {
		return nil, err
	}
	if b.parts[v] == nil {
		b.parts[v] = map[graph.Rows]*graph.Value{}
	}
	b.parts[v][r] = out[0]
	return out[0], nil
}
