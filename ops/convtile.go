package ops

import (
	"slices"

	"scission/engine/graph"
	"scission/ops/internal/conv"
	"scission/ops/internal/dwconv"
	"scission/ops/internal/winograd"
)

// convPart says of which convolution another one computes rows: those from first
// on.
type convPart struct {
	window  window // of the whole
	in, out int    // rows of its x and y
	first   int
}

// Tile computes rows from those that they meet, by the algorithm that is chosen for
// all rows. Winograd's calculates some rows together, which are then made
// together. Strassen's calculates pixels together wherever rows end, which leaves
// rows at either end that are not good.
func (c *convolution) Tile(in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	if halfType(in).Valid() {
		in, out = inSingle(in), inSingle(out)
	}
	x, w := in[convX], in[convW]
	if len(x.Shape) != 4 || c.part != nil || len(c.absorbed) > 0 {
		return graph.Tile{}, false
	}
	h, v, err := c.plane(x.Shape, w.Shape)
	if err != nil {
		return graph.Tile{}, false
	}
	t := graph.Tile{Reads: make([]graph.Rows, len(in)), Good: rows}
	for i, f := range in {
		if !f.Missing() {
			t.Reads[i] = graph.All(f.Type)
		}
	}
	t.Makes, t.Good = c.together(in, out, rows)
	part, first, end, ok := h.part(t.Makes.From, t.Makes.To)
	if !ok {
		return graph.Tile{}, false
	}
	t.Reads[convX] = graph.Rows{From: first, To: end}
	next := *c
	next.window = c.window.of([]slide{part, v})
	next.part = &convPart{window: c.window, in: h.in, out: h.out, first: t.Makes.From}
	t.Op = &next
	facts := slices.Clone(in)
	facts[convX].Type = t.Reads[convX].Of(x.Type)
	got, err := next.Infer(facts)
	if err != nil || !got[0].Type.Equal(t.Makes.Of(out[0].Type)) || !next.tiles(facts, got) {
		return graph.Tile{}, false
	}
	t.Share = next.share(facts, got)
	return t, true
}

// weightPixels is how many products of a weight take as long as reading it from
// memory.
const weightPixels = 8

// share is Tile.Share of c, which is a part, on a machine with all algorithms.
func (c *convolution) share(in, out []graph.Fact) float64 {
	a, s, whole := c.choosePart(in, out)
	switch {
	case a == generic || a == depthwise:
		return 0
	case winograd.TileRows(whole) > 1:
		return winograd.Share(whole, s)
	}
	return float64(s.N*s.OH*s.OW+weightPixels) / float64(whole.N*whole.OH*whole.OW+weightPixels)
}

// together returns the rows that have to be made for those that are asked for, and
// which of them are good, on any machine.
func (c *convolution) together(in, out []graph.Fact, rows graph.Rows) (makes, good graph.Rows) {
	_, s := c.choose(in, out)
	if s.OH == 0 || dwconv.Accepts(s) || s.IC <= maxImageChannels && conv.Accepts(s, true) || !conv.Accepts(s, false) {
		return rows, rows
	}
	if n := winograd.TileRows(s); n > 1 {
		all := graph.Rows{From: rows.From / n * n, To: min(s.OH, ceil(rows.To, n)*n)}
		return all, all
	}
	beside := ceil(conv.StrassenPart(s)-1, s.OW)
	return graph.Rows{From: max(0, rows.From-beside), To: min(s.OH, rows.To+beside)}, rows
}

// tiles reports whether the part c can be computed as the whole is.
func (c *convolution) tiles(in, out []graph.Fact) bool {
	a, s, whole := c.choosePart(in, out)
	switch a {
	case generic:
		return true
	}
	// A kernel of which the whole leaves out what meets padding alone is not the
	// part's.
	if whole.KH != in[convW].Shape[2] {
		return false
	}
	if a == depthwise {
		return dwconv.Accepts(s)
	}
	return conv.Accepts(s, a == stem)
}

// choosePart is choose for c, which is a part, and returns the shape of the whole
// too.
func (c *convolution) choosePart(in, out []graph.Fact) (a algorithm, s, whole conv.Shape) {
	all := *c
	all.window, all.part = c.part.window, nil
	in, out = slices.Clone(in), slices.Clone(out)
	x := in[convX].Shape
	in[convX].Type = graph.Rows{To: c.part.in}.Of(in[convX].Type)
	out[0].Type = graph.Rows{To: c.part.out}.Of(out[0].Type)
	a, whole = all.choose(in, out)
	h, _, err := c.plane(x, in[convW].Shape)
	if err != nil || a == generic {
		return generic, whole, whole
	}
	s = whole
	s.IH, s.OH, s.PadTop = h.in, h.out, h.before
	return a, s, whole
}
