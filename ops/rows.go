package ops

import (
	"fmt"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Rows returns the operator that takes rows out of an image.
//
//	x: [N C H W] of any type, any layout
//	y: the given rows of it
func Rows(r graph.Rows) graph.Op { return rowsOf{r} }

// rowsOf is what Rows returns.
type rowsOf struct{ graph.Rows }

func (r rowsOf) String() string { return fmt.Sprintf("Rows[%d-%d]", r.From, r.To-1) }

func (r rowsOf) Infer(in []graph.Fact) ([]graph.Fact, error) {
	if err := checkInputs(in, 1, 1); err != nil {
		return nil, err
	}
	x := in[0].Type
	if len(x.Shape) != 4 || x.DType == tensor.Packed || r.Empty() || !graph.All(x).Has(r.Rows) {
		return nil, fmt.Errorf("x is %v, want an image with rows %d to %d", x, r.From, r.To-1)
	}
	return []graph.Fact{{Type: r.Of(x)}}, nil
}

// Layouts keeps NCHW16c.
func (rowsOf) Layouts(in, out []graph.Fact) (want, give []graph.Layout) {
	return sameLayouts(in, out, true)
}

func (r rowsOf) Compile(in, out []graph.Fact) (graph.Kernel, error) {
	x, y := stored(in[0]), stored(out[0])
	planes := x[:2].Elems()
	row := x[3:].Elems() * in[0].DType.Size()
	whole, part := x[2]*row, y[2]*row
	count := chunks(planes, moveTime*float64(part))
	return graph.Kernel{Info: "copy", Steps: []graph.Step{{N: count, Do: func(_ *graph.Exec, in, out []*tensor.Tensor, i int) error {
		lo, hi := span(planes, count, i, 1)
		for p := lo; p < hi; p++ {
			copy(out[0].Raw[p*part:][:part], in[0].Raw[p*whole+r.From*row:])
		}
		return nil
	}}}}, nil
}

// tileRows is the Tile of an operator that calculates each row of an image from
// the same rows of its inputs, with broadcasting, and from inputs that have but
// one row for all or, of rank 0 or 1, none.
func tileRows(op graph.Op, in, out []graph.Fact, rows graph.Rows) (graph.Tile, bool) {
	y := out[0].Type
	if len(y.Shape) != 4 || len(out) > 1 && !out[1].Missing() {
		return graph.Tile{}, false
	}
	t := graph.Tile{Op: op, Reads: make([]graph.Rows, len(in)), Makes: rows, Good: rows, Free: true}
	rowed := false
	for i, f := range in {
		switch {
		case f.Missing():
		case len(f.Shape) == 4 && f.Shape[2] == y.Shape[2]:
			t.Reads[i], rowed = rows, true
		case dim(f.Shape, 2, len(y.Shape)) == 1:
			t.Reads[i] = graph.All(f.Type)
		default:
			return graph.Tile{}, false
		}
	}
	return t, rowed
}
